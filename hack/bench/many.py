"""What many PatchSets cost: time, requests, writes, CPU and memory, until all are Ready, at rest, and after a restart.

usage: many.py PATCHSET CLUSTER OBJECTS UPSTREAMS [OBJECTS UPSTREAMS]...

CLUSTER is the folder of a control plane that hack/cluster.sh started. Each pair is one setting: so many objects, with one patch each,
in ten namespaces, spread over so many upstreams. Prints a Markdown table with a row for each. Times are of the machine with all that
runs on it; requests, writes, CPU (of the controller's process) and memory are the controller's own. Writes are of statuses and events,
reads all that the API server was asked for besides watches. A setting that is not done within its time has what it came to so far in
its row, and is told on standard error.
"""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from controller import Cluster, define, free_port, reachable, run

NAMESPACES = 10
CREATORS = 6
# Per object, and on top of that: anything slower counts as not done.
SECONDS_EACH, SECONDS_MORE = 0.03, 240
AT_REST = 60
# How often the benchmark tries a request of its own if the API server has no time for it.
TRIES = 10
PATCH = "--- a/file.txt\n+++ b/file.txt\n@@ -1 +1 @@\n-one\n+two\n"
TICKS = os.sysconf("SC_CLK_TCK")


class Setting:
    def __init__(self, patchset, cluster, objects, upstreams):
        self.patchset, self.cluster, self.objects, self.upstreams = patchset, cluster, objects, upstreams
        self.folder = tempfile.mkdtemp(prefix="many-")
        self.prefix = f"many-{objects}-{upstreams}-{os.getpid()}"
        self.namespaces = [f"{self.prefix}-{number}" for number in range(NAMESPACES)]
        self.processes, self.controller, self.ready = [], None, set()
        self.ends = time.monotonic() + SECONDS_MORE + SECONDS_EACH * objects

    def serve(self):
        first = f"{self.folder}/git/0.git"
        run("git", "init", "--quiet", "--bare", "--initial-branch=main", first)
        git = ["git", "--git-dir", first, "-c", "user.name=bench", "-c", "user.email=b@example.org"]
        blob = run(*git, "hash-object", "-w", "--stdin", input=b"one\n").decode().strip()
        tree = run(*git, "mktree", input=f"100644 blob {blob}\tfile.txt\n".encode()).decode().strip()
        commit = run(*git, "commit-tree", tree, "-m", "base").decode().strip()
        run(*git, "update-ref", "refs/heads/main", commit)
        for number in range(1, self.upstreams):
            shutil.copytree(first, f"{self.folder}/git/{number}.git")
        self.port = free_port()
        programs = run("git", "--exec-path").decode().strip()
        command = [f"{programs}/git-daemon", "--verbose", "--export-all", "--reuseaddr", "--listen=127.0.0.1"]
        self.start("git", command + [f"--port={self.port}", f"--base-path={self.folder}/git"])
        self.ports = {"metrics": free_port(), "health": free_port()}
        self.start_controller()

    def start(self, name, command, **environment):
        with open(f"{self.folder}/{name}.log", "ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
        self.processes.append(process)
        return process

    def start_controller(self):
        command = [self.patchset, "controller", "--allow-transport=git", "--storage-path", f"{self.folder}/data"]
        command += [f"--watch-label-selector=bench={self.prefix}", "--log-level=warn"]
        command += [f"--metrics-addr=127.0.0.1:{self.ports['metrics']}", f"--health-addr=127.0.0.1:{self.ports['health']}"]
        self.controller = self.start("controller", command, KUBECONFIG=self.cluster.kubeconfig)

    def stop(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait(self, what, until):
        while time.monotonic() < self.ends:
            if until():
                return True
            time.sleep(0.2)
        print(f"{self.objects} on {self.upstreams}: {what} is not done in time", file=sys.stderr)
        return False

    def connect(self):
        host = urllib.parse.urlsplit(self.cluster.server).netloc
        return http.client.HTTPSConnection(host, context=self.cluster.tls, timeout=60)

    def create(self, connection, path, body):
        """Creates an object; returns the connection for the next."""
        headers = {"Authorization": f"Bearer {self.cluster.token}", "Content-Type": "application/json"}
        for _ in range(TRIES):
            try:
                connection.request("POST", f"/{path}", json.dumps(body), headers)
                answer = connection.getresponse()
                text = answer.read()
                # An earlier try may have created it.
                if answer.status < 400 or answer.status == 409:
                    return connection
            except (OSError, http.client.HTTPException) as error:
                text = str(error).encode()
                connection = self.connect()
            time.sleep(1)
        print(f"POST {path}: {text.decode(errors='replace')}", file=sys.stderr)
        return connection

    def follow(self):
        """Notes which objects are Ready, by a watch, until the bench ends."""
        selector = urllib.parse.quote(f"bench={self.prefix}")
        while True:
            try:
                connection = self.connect()
                headers = {"Authorization": f"Bearer {self.cluster.token}"}
                path = f"/apis/patching.c5c3.io/v1alpha1/patchsets?labelSelector={selector}&watch=1"
                connection.request("GET", path, None, headers)
                for line in connection.getresponse():
                    found = json.loads(line)["object"]
                    if found["kind"] != "PatchSet":
                        break
                    for condition in found.get("status", {}).get("conditions", []):
                        if condition["type"] == "Ready" and condition["status"] == "True":
                            self.ready.add((found["metadata"]["namespace"], found["metadata"]["name"]))
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.5)

    def create_all(self):
        connection = self.connect()
        for namespace in self.namespaces:
            connection = self.create(connection, "api/v1/namespaces", {"metadata": {"name": namespace}})

        def some(first):
            connection = self.connect()
            for number in range(first, self.objects, CREATORS):
                namespace = self.namespaces[number % NAMESPACES]
                path = f"apis/patching.c5c3.io/v1alpha1/namespaces/{namespace}/patchsets"
                connection = self.create(connection, path, self.patch_set(number))

        threads = [threading.Thread(target=some, args=(first,)) for first in range(CREATORS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def patch_set(self, number):
        # Objects of one namespace are on all upstreams.
        upstream = number // NAMESPACES % self.upstreams
        return {
            "apiVersion": "patching.c5c3.io/v1alpha1",
            "kind": "PatchSet",
            "metadata": {"name": f"p{number}", "labels": {"bench": self.prefix}},
            "spec": {
                "component": "demo",
                "release": "2025.2",
                "interval": "30m",
                "upstream": {"url": f"git://127.0.0.1:{self.port}/{upstream}.git", "ref": {"branch": "main"}},
                "patches": {"inline": [{"name": "0001-two.patch", "content": PATCH}]},
            },
        }

    def requests(self):
        with open(f"{self.folder}/git.log", errors="replace") as file:
            return sum("Request upload-pack" in line for line in file)

    def writes(self):
        """Writes of statuses and events that the API server counted."""
        total = 0
        for line in self.cluster.ask("GET", "metrics").decode().splitlines():
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            written = (labels.get("resource"), labels.get("subresource")) in [("patchsets", "status"), ("events", "")]
            if line.startswith("apiserver_request_total{") and written and labels["verb"] not in ("GET", "LIST", "WATCH"):
                total += float(line.rsplit(" ", 1)[1])
        return int(total)

    def spent(self):
        """CPU seconds that the controller has used, and its peak memory in MiB."""
        with open(f"/proc/{self.controller.pid}/stat") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        with open(f"/proc/{self.controller.pid}/status") as file:
            peak = int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1))
        return (int(fields[11]) + int(fields[12])) / TICKS, peak / 1024

    def reconciled(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['metrics']}/metrics", timeout=30) as answer:
                text = answer.read().decode()
        except OSError:
            return 0
        return sum(map(int, re.findall(r"patchset_reconciliations_total\{.*\} (\d+)", text)))

    def counts(self):
        reads = self.cluster.requests().get("reads", 0)
        return {"git": self.requests(), "writes": self.writes(), "reads": int(reads), "cpu": self.spent()[0], "time": time.monotonic()}

    def since(self, before):
        return {name: value - before[name] for name, value in self.counts().items()}

    def measure(self):
        self.serve()
        up = lambda: reachable(f"http://127.0.0.1:{self.ports['health']}/readyz")
        if not self.wait("the start of the controller", up):
            return None
        threading.Thread(target=self.follow, daemon=True).start()
        before = self.counts()
        self.create_all()
        made = time.monotonic() - before["time"]
        self.wait("all that are Ready", lambda: len(self.ready) >= self.objects)
        first = self.since(before)
        # By then the upstreams are looked at once more, for anything newer than the last look.
        time.sleep(AT_REST / 2)
        rest = self.counts()
        time.sleep(AT_REST / 2)
        rest = self.since(rest)
        (_, peak), turns = self.spent(), self.reconciled()
        self.controller.kill()
        self.controller.wait()
        before = self.counts_without_controller()
        self.start_controller()
        self.wait("the restart", lambda: time.sleep(1) or self.reconciled() >= self.objects)
        again = self.since(before)
        return (
            f"| {len(self.ready):,} of {self.objects:,} on {self.upstreams} | {made:.0f} | {first['time']:.1f} | {first['git']:,} "
            f"| {first['writes'] / self.objects:.2f} | {first['reads'] / self.objects:.2f} | {1000 * first['cpu'] / self.objects:.1f} "
            f"| {turns / self.objects:.1f} | {peak:.0f} | {rest['git']} | {rest['writes']} | {again['time']:.1f} "
            f"| {again['git']} | {again['writes']} | {1000 * again['cpu'] / self.objects:.1f} | {self.spent()[1]:.0f} |"
        )

    def counts_without_controller(self):
        reads = self.cluster.requests().get("reads", 0)
        return {"git": self.requests(), "writes": self.writes(), "reads": int(reads), "cpu": 0, "time": time.monotonic()}


COLUMNS = [
    "Ready",
    "created, s",
    "Ready, s",
    "Git requests",
    "writes an object",
    "reads an object",
    "CPU an object, ms",
    "reconciliations an object",
    "memory, MiB",
    "at rest: Git requests",
    "writes",
    "restart, s",
    "Git requests",
    "writes",
    "CPU an object, ms",
    "memory, MiB",
]


def main():
    patchset, cluster, *numbers = sys.argv[1:]
    if not numbers or len(numbers) % 2:
        sys.exit(__doc__)
    patchset, cluster = os.path.abspath(patchset), Cluster(cluster)
    define(patchset, cluster)
    print(f"| {' | '.join(COLUMNS)} |")
    print(f"| --- |{' ---: |' * (len(COLUMNS) - 1)}")
    for objects, upstreams in zip(numbers[::2], numbers[1::2]):
        setting = Setting(patchset, cluster, int(objects), int(upstreams))
        try:
            row = setting.measure()
            if row:
                print(row, flush=True)
        finally:
            setting.stop()


if __name__ == "__main__":
    main()
