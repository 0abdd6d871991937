"""Times patchset against git over patches of which two thirds do not apply, and prints a Markdown table.

usage: failing.py PATCHSET REPOSITORY OLD NEW

Each verdict and tree is compared with those of `git apply --cached`, and, if a patch does not apply, whether it does
in reverse. Times are CPU times of whole processes. Git gives verdicts alone; the last row has all that patchset
reports by default.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile

import mix

RUNS = 5


def childrens_time():
    """CPU time of the child processes that ended, in seconds: other work on the machine matters little."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Git:
    """`git apply --cached` on the trees of a repository; what it writes goes elsewhere."""

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
        """The tree after a patch, and, if it does not apply, whether it does in reverse. Only `git apply` is timed."""
        start = childrens_time()
        applies = self.run("apply", "--cached", name).returncode == 0
        self.spent += childrens_time() - start
        if applies:
            return self.tree(), False
        return None, self.run("apply", "--cached", "--check", "-R", name).returncode == 0


class Ours:
    """`patchset apply` on all patches. It is timed between the runs of git: what slows the machine down slows both."""

    def __init__(self, command):
        self.command, self.spent = command, 0.0

    def verdicts(self, revision):
        output = subprocess.run(self.command(revision), capture_output=True, check=False).stdout
        return [json.loads(line) for line in output.splitlines()]

    def timed_between(self, revision, names):
        """Each name with its verdict; RUNS times on the way, all patches are applied again and timed."""
        step = -(-len(names) // RUNS)
        for number, (name, verdict) in enumerate(zip(names, self.verdicts(revision))):
            if number % step == 0:
                start = childrens_time()
                subprocess.run(self.command(revision), stdout=subprocess.DEVNULL, check=False)
                self.spent += (childrens_time() - start) / RUNS
            yield name, verdict


def alone(git, ours, revisions, names):
    """Each patch alone on each tree: how many there are, how many fail, and how many verdicts differ."""
    failing = wrong = 0
    for revision in revisions:
        for name, verdict in ours.timed_between(revision, names):
            git.begin(revision)
            tree, is_there = git.verdict(name)
            failing += tree is None
            wrong += (verdict["tree"], verdict["state"] == "Merged") != (tree, is_there)
    return len(names) * len(revisions), failing, wrong


def stacked(git, ours, revisions, names):
    """The same for one patch on top of the other. Which patches are in the tree only below later ones is not checked."""
    failing = wrong = 0
    for revision in revisions:
        git.begin(revision)
        for name, verdict in ours.timed_between(revision, names):
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
        verdicts = ["--no-history", "--no-refresh"]
        for what, judge, options in (
            ("each alone", alone, ["--independent", *verdicts]),
            ("one on top of the other", stacked, verdicts),
            ("each alone, with what upstream did and what can be made anew", alone, ["--independent"]),
        ):
            git = Git(clone, f"{folder}/git")

            def command(revision, options=options):
                return [patchset, "apply", "--repo", clone, "--ref", revision, "--output", "json", *options, *names]

            ours = Ours(command)
            count, failing, wrong = judge(git, ours, revisions, names)
            each, theirs = ours.spent / count, git.spent / count
            print(
                f"| {what} | {count} | {failing} | {wrong} "
                f"| {each * 1000:.3f} ms | {theirs * 1000:.2f} ms | {theirs / each:.1f} |"
            )
            bad += wrong
        return 1 if bad else 0


sys.exit(main())
