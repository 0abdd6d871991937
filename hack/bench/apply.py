"""Times patchset against git over a real repository, and prints rows of a Markdown table.

usage: apply.py PATCHSET REPOSITORY OLD NEW

The patches are the changes from OLD to NEW, one per file. Each verdict and tree is compared with git's too.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import mix
from mix import git

RUNS = 5


def median(values):
    return sorted(values)[len(values) // 2]


def timed(work):
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def peak_memory(command, env=None):
    """Peak resident memory of a command in MiB, measured in a separate process."""
    if os.fork() == 0:
        subprocess.run(command, stdout=subprocess.DEVNULL, env={**os.environ, **(env or {})}, check=False)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        os._exit(min(peak, 255))
    return os.waitstatus_to_exitcode(os.wait()[1])


def row(what, ours, theirs, unit="ms"):
    scale = 1000 if unit == "ms" else 1
    print(f"| {what} | {ours * scale:.2f} {unit} | {theirs * scale:.2f} {unit} | {theirs / ours:.1f} |")


def main():
    patchset, repository, old, new = sys.argv[1:]
    folder = tempfile.TemporaryDirectory()
    names = mix.write(mix.changes(repository, old, new), f"{folder.name}/patches")
    files = len(git(repository, "ls-tree", "-r", "--name-only", old, check=True).stdout.splitlines())

    ours = [patchset, "apply", "--repo", repository, "--ref", old, "--output", "json"]
    independent = [*ours, "--independent", *names]
    verdicts = [json.loads(line) for line in subprocess.run(independent, capture_output=True).stdout.splitlines()]
    assert len(verdicts) == len(names)

    index = f"{folder.name}/index"
    base = f"{folder.name}/base"
    objects = f"{folder.name}/objects"
    os.mkdir(objects)
    elsewhere = {
        "GIT_OBJECT_DIRECTORY": objects,
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": f"{repository}/objects",
    }
    git(repository, "read-tree", old, check=True, env={"GIT_INDEX_FILE": base})
    wrong, spent = 0, 0.0
    for name, verdict in zip(names, verdicts):
        with open(base, "rb") as source, open(index, "wb") as target:
            target.write(source.read())
        environment = {"GIT_INDEX_FILE": index, **elsewhere}
        start = time.perf_counter()
        applied = git(repository, "apply", "--cached", name, env=environment).returncode == 0
        spent += time.perf_counter() - start
        tree = git(repository, "write-tree", check=True, env=environment).stdout.decode().strip() if applied else None
        wrong += (verdict["tree"], verdict["applies"]) != (tree, applied)

    print(f"{len(names)} patches on a tree of {files} files; {wrong} verdicts or trees differ from git's.\n")
    print("| | patchset | git | times |\n| --- | ---: | ---: | ---: |")
    each = timed(lambda: subprocess.run(independent, stdout=subprocess.DEVNULL))
    row("one patch, of many in one command, and `git apply --cached`", each / len(names), spent / len(names))

    def checkout():
        with tempfile.TemporaryDirectory() as work:
            clone = ["git", "clone", "--quiet", "--no-local", "--depth", "1", "--branch", old]
            subprocess.run([*clone, f"file://{repository}", f"{work}/w"], check=True, stderr=subprocess.DEVNULL)
            subprocess.run(["git", "-C", f"{work}/w", "apply", "--check", *names], check=False, capture_output=True)

    series = timed(lambda: subprocess.run([*ours, *names], stdout=subprocess.DEVNULL))
    row("the series, and clone + checkout + `git apply --check`", series, timed(checkout))
    row(
        "peak memory of the series, and of `git apply --cached`",
        peak_memory([*ours, *names]),
        peak_memory(
            ["git", "--git-dir", repository, "apply", "--cached", "--check", *names],
            env={"GIT_INDEX_FILE": base},
        ),
        "MiB",
    )
    return 1 if wrong else 0


sys.exit(main())
