"""A repository and patches of which two thirds do not apply.

The patches are the changes from one release to the next, one per file. They are tried on three trees: the older
release, on which all apply; the newer one, which has them; and a tree that took changes of one hunk whole and every
second hunk of the others, like a branch that took some of the changes back.

usage: mix.py REPOSITORY FOLDER OLD NEW makes FOLDER/mix.git, with the tags `old`, `half` and `new`, and
FOLDER/patches.
"""

import os
import re
import subprocess
import sys

PATCHES = 400
HUNK = re.compile(rb"^(?=@@ -)", re.MULTILINE)


def git(repository, *arguments, **options):
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    environment.update(options.pop("env", {}))
    command = ["git", "--git-dir", repository, *arguments]
    return subprocess.run(command, capture_output=True, env=environment, **options)


def split(diff):
    parts = diff.split(b"\ndiff --git ")
    first = parts[0] + b"\n"
    return [first] + [b"diff --git " + part.rstrip(b"\n") + b"\n" for part in parts[1:]]


def changes(repository, old, new):
    """The changes between two revisions, one per file, at most PATCHES of them."""
    diff = git(repository, "diff", "--binary", "--full-index", "--no-renames", old, new, check=True).stdout
    patches = split(diff)
    return patches[:: max(1, len(patches) // PATCHES)][:PATCHES]


def write(patches, folder):
    """Writes patches to files; returns their names."""
    os.mkdir(folder)
    names = [f"{folder}/{number:04}.patch" for number in range(len(patches))]
    for name, patch in zip(names, patches):
        with open(name, "wb") as file:
            file.write(patch)
    return names


def every_second_hunk(patch):
    header, *hunks = HUNK.split(patch)
    return patch if len(hunks) < 2 else header + b"".join(hunks[::2])


def clone(repository, folder, old, new):
    """A repository that reads another one's objects, with the tags `old`, `new` and `half`."""
    there = f"{folder}/mix.git"
    subprocess.run(["git", "init", "--quiet", "--bare", there], check=True)
    with open(f"{there}/objects/info/alternates", "w", encoding="utf-8") as file:
        file.write(f"{os.path.abspath(repository)}/objects\n")
    for name, revision in (("old", old), ("new", new)):
        commit = git(repository, "rev-parse", f"{revision}^{{commit}}", check=True).stdout.decode().strip()
        git(there, "update-ref", f"refs/tags/{name}", commit, check=True)
    index = {"GIT_INDEX_FILE": f"{folder}/half"}
    git(there, "read-tree", "old", check=True, env=index)
    for patch in map(every_second_hunk, changes(repository, old, new)):
        git(there, "apply", "--cached", input=patch, env=index)
    tree = git(there, "write-tree", check=True, env=index).stdout.decode().strip()
    person = {f"GIT_{who}_{what}": "bench" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    commit = git(there, "commit-tree", "-p", "old", "-m", "half", tree, check=True, env=person)
    git(there, "update-ref", "refs/tags/half", commit.stdout.decode().strip(), check=True)
    git(there, "repack", "-a", "-d", "--quiet", check=True)
    return there


if __name__ == "__main__":
    source, target, older, newer = sys.argv[1:]
    clone(source, target, older, newer)
    write(changes(source, older, newer), f"{target}/patches")
