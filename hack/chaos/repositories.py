"""Bare repositories on the Git server's disk: commits without a checkout, and what git itself makes of a patch."""

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass

ENVIRONMENT = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
# Held while a ref is written here, and while the locks of killed processes are removed.
writing = threading.Lock()


def git(repository, *arguments, data=None, **environment):
    done = subprocess.run(
        ["git", "--git-dir", repository, *arguments],
        input=data,
        capture_output=True,
        env={**ENVIRONMENT, **environment},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"git {arguments[0]} in {repository}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace").strip()


def create(repository):
    subprocess.run(
        ["git", "init", "--quiet", "--bare", "--initial-branch=main", repository], env=ENVIRONMENT, check=True
    )
    for key, value in (("http.receivepack", "true"), ("gc.auto", "0"), ("receive.autogc", "false")):
        git(repository, "config", key, value)


@dataclass(frozen=True)
class Blob:
    """A blob that is already in the repository."""

    name: str


def large_blob(repository, size):
    """A blob of `size` zeros that takes neither memory nor disk."""
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(size)
        return Blob(git(repository, "hash-object", "-w", "--no-filters", file.name))


def commit(repository, branch, files, is_first=False):
    """Adds a commit with these files (text, bytes or a Blob) to a branch; returns its SHA-1."""
    message = b"Change " + ", ".join(files).encode()
    stream = [b"commit refs/heads/%s\nmark :1\n" % branch.encode()]
    stream.append(b"committer Tenant <tenant@example.org> %d +0000\n" % time.time())
    stream.append(b"data %d\n%s\n" % (len(message), message))
    if not is_first:
        stream.append(b"from refs/heads/%s^0\n" % branch.encode())
    for path, content in files.items():
        if isinstance(content, Blob):
            stream.append(b"M 100644 %s %s\n" % (content.name.encode(), path.encode()))
            continue
        data = content if isinstance(content, bytes) else content.encode()
        stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
    stream.append(b"\nget-mark :1\n")
    with writing:
        return git(repository, "fast-import", "--quiet", data=b"".join(stream))


def patched_tree(repository, revision, patch):
    """The tree that `git apply` makes from a commit."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": f"{folder}/index"}
        git(repository, "read-tree", revision, **index)
        git(repository, "apply", "--cached", data=patch.encode(), **index)
        return git(repository, "write-tree", **index)


def remove_locks(folder):
    """Removes what killed git processes left behind, as whoever runs a Git server would."""
    with writing:
        for place, _, names in os.walk(folder):
            for name in names:
                if name.endswith(".lock"):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(os.path.join(place, name))


def image_lines(repository, branch):
    """The images in files of a branch, oldest commit first: (commit, file, image)."""
    log = git(
        repository, "log", "--reverse", "--first-parent", "-p", "--unified=0", "--format=commit %H", branch
    )
    found, at, file = [], "", ""
    for line in log.splitlines():
        if line.startswith("commit "):
            at = line.split()[1]
        elif line.startswith("+++ "):
            file = line.removeprefix("+++ b/")
        elif line.startswith("+image: "):
            found.append((at, file, line.removeprefix("+image: ").split()[0]))
    return found
