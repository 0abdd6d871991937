"""Times patchset against git over patches of which two thirds do not apply, and prints a Markdown table.

usage: failing.py PATCHSET REPOSITORY OLD NEW

Each verdict and tree is compared with those of `git apply --cached`, and of those that do not apply whether they do
in reverse.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import mix

RUNS = 5


class Git:
    """`git apply --cached` on the trees of a repository; what it makes goes elsewhere."""

    def __init__(self, repository, folder):
        self.repository, self.folder = repository, folder
        os.makedirs(f"{folder}/objects", exist_ok=True)
        self.environment = {
            "GIT_INDEX_FILE": f"{folder}/index",
            "GIT_OBJECT_DIRECTORY": f"{folder}/objects",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": f"{repository}/objects",
        }
        self.spent = 0.0

    def run(self, *arguments):
        return mix.git(self.repository, *arguments, env=self.environment)

    def begin(self, revision):
        base = f"{self.folder}/base-{revision}"
        if not os.path.exists(base):
            index = {"GIT_INDEX_FILE": base}
            mix.git(self.repository, "read-tree", revision, check=True, env=index)
        shutil.copyfile(base, f"{self.folder}/index")

    def tree(self):
        return self.run("write-tree").stdout.decode().strip()

    def verdict(self, name):
        """The tree after a patch, and whether it applies in reverse where it does not apply. Only `git apply` is timed."""
        start = time.perf_counter()
        applies = self.run("apply", "--cached", name).returncode == 0
        self.spent += time.perf_counter() - start
        if applies:
            return self.tree(), False
        return None, self.run("apply", "--cached", "--check", "-R", name).returncode == 0


def told(patchset, arguments):
    output = subprocess.run([*patchset, *arguments], capture_output=True, check=False).stdout
    return [json.loads(line) for line in output.splitlines()]


def timed(command):
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def alone(git, revisions, names, ask):
    """Each patch alone on each tree: how many there are, how many fail, and how many verdicts differ."""
    failing = wrong = 0
    for revision in revisions:
        for name, verdict in zip(names, ask(revision)):
            git.begin(revision)
            tree, is_there = git.verdict(name)
            failing += tree is None
            wrong += (verdict["tree"], verdict["state"] == "Merged") != (tree, is_there)
    return len(names) * len(revisions), failing, wrong


def stacked(git, revisions, names, ask):
    """The same of one patch on top of the other. Which patches are in the tree only below later ones is not asked."""
    failing = wrong = 0
    for revision in revisions:
        git.begin(revision)
        for name, verdict in zip(names, ask(revision)):
            tree, is_there = git.verdict(name)
            failing += tree is None
            wrong += verdict["tree"] != tree or (is_there and verdict["state"] != "Merged")
    return len(names) * len(revisions), failing, wrong


def main():
    patchset, repository, old, new = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        clone = mix.clone(repository, folder, old, new)
        names = mix.write(mix.changes(repository, old, new), f"{folder}/patches")
        revisions = ["old", "half", "new"]
        print("| | patches | do not apply | differ from git | patchset | git | times |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        bad = 0
        for what, judge, options in (
            ("each alone", alone, ["--independent"]),
            ("one on top of the other", stacked, []),
        ):
            git = Git(clone, f"{folder}/{judge.__name__}")

            def command(revision, options=options):
                return [patchset, "apply", "--repo", clone, "--ref", revision, "--output", "json", *options, *names]

            count, failing, wrong = judge(git, revisions, names, lambda revision: told(command(revision), []))
            ours = sum(timed(command(revision)) for revision in revisions) / count
            theirs = git.spent / count
            print(
                f"| {what} | {count} | {failing} | {wrong} "
                f"| {ours * 1000:.3f} ms | {theirs * 1000:.2f} ms | {theirs / ours:.1f} |"
            )
            bad += wrong
        return 1 if bad else 0


sys.exit(main())
