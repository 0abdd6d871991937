"""Times a PatchRepository of many components and releases against a real API server and Git server, and prints a Markdown table.

usage: fleet.py PATCHSET CLUSTER [COMPONENTS [RELEASES]]

CLUSTER is the folder of a control plane that hack/cluster.sh started. Each component has an upstream of its own, with a branch for
each release, and one patch per release in the one repository. What is counted: seconds until all are Ready, requests to the Git
server, requests to the API server, the controller's CPU and memory; the same for a push that changes the patch of one component,
and for a while without changes.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

from controller import GROUP, Cluster, define, free_port, reachable, run, wait

NAMESPACE = f"fleet-{os.getpid()}"
PATIENCE = 420
QUIET = 30
WHO = {"GIT_AUTHOR_NAME": "bench", "GIT_AUTHOR_EMAIL": "b@example.org"}
WHO |= {"GIT_COMMITTER_NAME": "bench", "GIT_COMMITTER_EMAIL": "b@example.org"}
BASE = "".join(f"line {number}\n" for number in range(1, 11))


def patch(subject):
    return (
        f"From: Bench <b@example.org>\nSubject: [PATCH] {subject}\n\n---\n--- a/file.txt\n+++ b/file.txt\n"
        "@@ -4,3 +4,3 @@\n line 4\n-line 5\n+LINE 5\n line 6\n"
    )


def commit(repository, work, message):
    git = ["git", "--git-dir", repository, "--work-tree", work, "-c", "gc.auto=0"]
    run(*git, "add", "--all", "--force")
    run(*git, "commit", "--quiet", "--message", message, env={**os.environ, **WHO})


class Fleet:
    def __init__(self, patchset, cluster, folder, components, releases):
        self.patchset, self.cluster, self.folder = patchset, cluster, folder
        self.components = [f"component-{number:03}" for number in range(components)]
        self.releases = [f"20{20 + number}.1" for number in range(releases)]
        self.processes = {}

    def make(self):
        served, work = f"{self.folder}/served", f"{self.folder}/work"
        os.makedirs(f"{self.folder}/upstream")
        os.makedirs(served)
        bare = f"{served}/all.git"
        run("git", "init", "--quiet", "--bare", f"--initial-branch=stable/{self.releases[0]}", bare)
        run("git", "--git-dir", bare, "config", "uploadpack.allowFilter", "true")
        for release in self.releases:
            run("git", "--git-dir", bare, "symbolic-ref", "HEAD", f"refs/heads/stable/{release}")
            with open(f"{self.folder}/upstream/file.txt", "w") as file:
                file.write(BASE + release + "\n")
            commit(bare, f"{self.folder}/upstream", release)
        for component in self.components:
            os.symlink("all.git", f"{served}/{component}.git")
        for release in self.releases:
            os.makedirs(f"{work}/releases/{release}")
            with open(f"{work}/releases/{release}/source-refs.yaml", "w") as file:
                file.writelines(f"{component}: stable/{release}\n" for component in self.components)
            for component in self.components:
                os.makedirs(f"{work}/patches/{component}/{release}")
                self.write_patch(component, release, "Say five louder")
        run("git", "init", "--quiet", "--bare", "--initial-branch=main", f"{served}/ours.git")
        commit(f"{served}/ours.git", work, "patches")

    def write_patch(self, component, release, subject):
        with open(f"{self.folder}/work/patches/{component}/{release}/0001.patch", "w") as file:
            file.write(patch(subject))

    def start(self, name, command, **environment):
        log = open(f"{self.folder}/{name}.log", "wb")
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})

    def serve(self):
        git, metrics, health = free_port(), free_port(), free_port()
        self.git = f"git://127.0.0.1:{git}"
        programs = run("git", "--exec-path").decode().strip()
        self.start(
            "git",
            [f"{programs}/git-daemon", "--verbose", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={git}"]
            + [f"--base-path={self.folder}/served"],
        )
        self.metrics = f"http://127.0.0.1:{metrics}/metrics"
        self.start(
            "controller",
            [self.patchset, "controller", "--watch-all-namespaces=false", "--runtime-namespace", NAMESPACE]
            + ["--allow-transport=https,git", "--storage-path", f"{self.folder}/data"]
            + [f"--metrics-addr=127.0.0.1:{metrics}", f"--health-addr=127.0.0.1:{health}"],
            KUBECONFIG=self.cluster.kubeconfig,
        )
        wait("the controller", lambda: reachable(f"http://127.0.0.1:{health}/readyz"))

    def stop(self):
        for process in self.processes.values():
            process.kill()
            process.wait()

    def metric(self, name):
        with urllib.request.urlopen(self.metrics) as answer:
            lines = answer.read().decode().splitlines()
        found = [line for line in lines if line.startswith(name)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    def state(self):
        pid = self.processes["controller"].pid
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        with open(f"{self.folder}/git.log", errors="replace") as file:
            asked = [line for line in file if "Request upload-pack" in line]
        return {
            "seconds": time.monotonic(),
            "cpu": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            "fetches": self.metric("patchset_mirror_fetches_total"),
            "asked": len(asked),
            "asked of ours": sum("/ours.git" in line for line in asked),
            "turns": self.metric("patchset_reconciliations_total{"),
            **{"reads": 0, "writes": 0, **self.cluster.requests()},
        }

    def memory(self):
        with open(f"/proc/{self.processes['controller'].pid}/status") as file:
            return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) // 1024

    def repository(self):
        return self.cluster.get(f"{GROUP}/namespaces/{NAMESPACE}/patchrepositories/bench")

    def until(self, what, wanted):
        """Waits until the status is as wanted. If it is late, that is reported, and the row has what it came to."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            status = self.repository().get("status", {})
            if wanted(status):
                return status
            time.sleep(0.5)
        print(f"{what}: not within {PATIENCE} s: {json.dumps(status.get('conditions'))}", file=sys.stderr)
        return status

    def resource(self):
        return {
            "apiVersion": "patching.c5c3.io/v1alpha1",
            "kind": "PatchRepository",
            "metadata": {"name": "bench"},
            "spec": {
                "source": {"git": {"url": f"{self.git}/ours.git", "ref": {"branch": "main"}}},
                "upstream": {"urlTemplate": f"{self.git}/{{component}}.git"},
                "template": {"spec": {"interval": "1h"}},
                "interval": "1h",
                "timeout": "10m",
            },
        }


def counts(status):
    return status.get("counts") or {}


def row(what, before, after, objects=None):
    change = {key: after[key] - before[key] for key in before}
    each = f"{change['cpu'] * 1000 / objects:.1f} ms" if objects else f"{change['cpu'] * 1000:.0f} ms in all"
    cells = [f"{change['seconds']:.1f}", *(f"{change[key]:.0f}" for key in ("asked of ours", "asked", "fetches", "turns"))]
    cells += [f"{max(change['reads'], 0):.0f}", f"{change['writes']:.0f}", each]
    print(f"| {what} | " + " | ".join(cells) + " |", flush=True)


def main():
    patchset, cluster_folder, *sizes = sys.argv[1:]
    components, releases = (int(size) for size in [*sizes, *["500", "4"][len(sizes) :]])
    cluster, folder = Cluster(cluster_folder), tempfile.mkdtemp()
    fleet = Fleet(patchset, cluster, folder, components, releases)
    objects = components * releases
    try:
        fleet.make()
        define(patchset, cluster)
        run("kubectl", "--kubeconfig", cluster.kubeconfig, "create", "namespace", NAMESPACE)
        fleet.serve()
        print(f"{components} components at {releases} releases, {components} upstreams, one repository of patches.\n")
        print("| | s | requests to the patches' repository | Git requests in all | packs | reconciliations | reads | writes | CPU |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        before = fleet.state()
        cluster.apply(f"{GROUP}/namespaces/{NAMESPACE}/patchrepositories/bench", fleet.resource())
        done = fleet.until("Ready", lambda status: counts(status).get("ready") == objects)
        ready = counts(done).get("ready") or 0
        row(f"from the resource to {ready} of {objects} Ready, each", before, fleet.state(), objects)

        time.sleep(10)
        before = fleet.state()
        one = f"{fleet.components[7]}-{fleet.releases[0]}"
        fleet.write_patch(fleet.components[7], fleet.releases[0], "Say five twice as loud")
        commit(f"{folder}/served/ours.git", f"{folder}/work", "another patch")
        head = run("git", "--git-dir", f"{folder}/served/ours.git", "rev-parse", "main").decode().strip()
        request = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "push"}}}
        path = f"{GROUP}/namespaces/{NAMESPACE}/patchrepositories/bench"
        cluster.ask("PATCH", path, request, "application/merge-patch+json")
        object = f"{GROUP}/namespaces/{NAMESPACE}/patchsets/{one}"
        wait("the push", lambda: head in cluster.get(object).get("status", {}).get("patchesRevision", ""))
        row("a push of one patch, until it is told", before, fleet.state())
        time.sleep(10)

        before = fleet.state()
        time.sleep(QUIET)
        row("nothing changes", before, fleet.state())
        print(f"\nThe controller took at most {fleet.memory()} MiB.")
    except SystemExit:
        for name in ("controller", "git"):
            if os.path.exists(f"{folder}/{name}.log"):
                with open(f"{folder}/{name}.log", errors="replace") as file:
                    print(f"{name}:\n{file.read()[-4000:]}", file=sys.stderr)
        raise
    finally:
        fleet.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
