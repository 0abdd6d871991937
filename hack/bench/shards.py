"""What many PatchSets cost where several controllers share them by a label, and what moving some to one controller more costs.

usage: shards.py PATCHSET CLUSTER OBJECTS UPSTREAMS CONTROLLERS

As many.py, with all objects on an upstream in one shard, a folder of mirrors for each controller. When all are Ready, one controller
more begins, and its share of the upstreams moves to it by the label. Prints a Markdown table with a row for each controller, and what
the move cost: nothing is lost where the one that was added has looked at each object that moved, and where an upstream that moves on
then is told; nothing is done twice where the move writes nothing.
"""

import json
import os
import re
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from controller import GROUP, Cluster, define, free_port, reachable, run
from many import TICKS, Setting

LABEL = "sharding.fluxcd.io/key"


class Shard:
    """One controller."""

    def __init__(self, setting, number):
        self.setting, self.number = setting, number
        self.metrics, self.health = free_port(), free_port()
        command = [setting.patchset, "controller", "--allow-transport=git", "--log-level=warn"]
        command += ["--storage-path", f"{setting.folder}/data-{number}"]
        command += [f"--watch-label-selector=bench={setting.prefix},{LABEL}=s{number}"]
        command += [f"--metrics-addr=127.0.0.1:{self.metrics}", f"--health-addr=127.0.0.1:{self.health}"]
        self.process = setting.start(f"controller-{number}", command, KUBECONFIG=setting.cluster.kubeconfig)

    def is_up(self):
        return reachable(f"http://127.0.0.1:{self.health}/readyz")

    def reconciled(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return sum(map(int, re.findall(r"patchset_reconciliations_total\{.*\} (\d+)", text)))

    def row(self, objects):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        with open(f"/proc/{self.process.pid}/status") as file:
            peak = int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1)) / 1024
        cpu = (int(fields[11]) + int(fields[12])) / TICKS
        asked = self.setting.requests_of(self.number)
        return f"| {self.number} | {objects:,} | {asked:,} | {self.reconciled():,} | {1000 * cpu / max(objects, 1):.1f} | {peak:.0f} |"


class ShardedSetting(Setting):
    def __init__(self, patchset, cluster, objects, upstreams, shards):
        super().__init__(patchset, cluster, objects, upstreams)
        self.shard_of = {upstream: upstream % shards for upstream in range(upstreams)}
        self.shards = []

    def start_controller(self):
        self.shards = [Shard(self, number) for number in sorted(set(self.shard_of.values()))]

    def upstream_of(self, number):
        return number // len(self.namespaces) % self.upstreams

    def patch_set(self, number):
        body = super().patch_set(number)
        body["metadata"]["labels"][LABEL] = f"s{self.shard_of[self.upstream_of(number)]}"
        return body

    def requests_of(self, shard):
        """Git requests for the upstreams that are now this shard's."""
        with open(f"{self.folder}/git.log", errors="replace") as file:
            asked = re.findall(r"Request upload-pack for '/(\d+)\.git'", file.read())
        return sum(self.shard_of[int(upstream)] == shard for upstream in asked)

    def objects_of(self, shard):
        return [number for number in range(self.objects) if self.shard_of[self.upstream_of(number)] == shard]

    def path(self, number):
        return f"{GROUP}/namespaces/{self.namespaces[number % len(self.namespaces)]}/patchsets/p{number}"

    def change(self, number, metadata):
        self.cluster.ask("PATCH", self.path(number), {"metadata": metadata}, "application/merge-patch+json")

    def move_on(self, upstream):
        """A commit that the patch does not apply to."""
        git = ["git", "--git-dir", f"{self.folder}/git/{upstream}.git", "-c", "user.name=bench", "-c", "user.email=b@example.org"]
        blob = run(*git, "hash-object", "-w", "--stdin", input=b"other\n").decode().strip()
        tree = run(*git, "mktree", input=f"100644 blob {blob}\tfile.txt\n".encode()).decode().strip()
        commit = run(*git, "commit-tree", tree, "-p", "main", "-m", "next").decode().strip()
        run(*git, "update-ref", "refs/heads/main", commit)
        return commit

    def has_commit(self, number, commit):
        status = json.loads(self.cluster.ask("GET", self.path(number))).get("status", {})
        return commit in json.dumps(status.get("upstream", {}))

    def begin(self):
        self.serve()
        if not self.wait("the start of the controllers", lambda: all(shard.is_up() for shard in self.shards)):
            return False
        threading.Thread(target=self.follow, daemon=True).start()
        before, begun = self.writes(), time.monotonic()
        self.create_all()
        self.wait("all that are Ready", lambda: len(self.ready) >= self.objects)
        took, written = time.monotonic() - begun, self.writes() - before
        print(
            f"{len(self.ready):,} of {self.objects:,} objects on {self.upstreams} upstreams Ready in {took:.0f} s by "
            f"{len(self.shards)} controllers, {written / self.objects:.2f} writes of statuses and events an object.\n"
        )
        self.table()
        return True

    def table(self):
        print("| controller | objects | Git requests | reconciliations | CPU an object, ms | memory, MiB |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for shard in self.shards:
            print(shard.row(len(self.objects_of(shard.number))), flush=True)

    def rebalance(self):
        """Adds a controller, and moves its share of the upstreams; the objects of each move at once."""
        added = Shard(self, len(self.shards))
        self.shards.append(added)
        self.wait("the start of one controller more", added.is_up)
        moved = [upstream for upstream in range(self.upstreams) if upstream % len(self.shards) == added.number]
        self.shard_of.update(dict.fromkeys(moved, added.number))
        numbers, before, begun = self.objects_of(added.number), self.writes(), time.monotonic()
        for number in numbers:
            self.change(number, {"labels": {LABEL: f"s{added.number}"}})
        seen = self.wait("what moved", lambda: time.sleep(1) or added.reconciled() >= len(numbers))
        took, written = time.monotonic() - begun, self.writes() - before
        print(
            f"\n{len(numbers):,} objects moved to one controller more in {took:.0f} s: it looked at "
            f"{'all' if seen else 'NOT all'} of them; {written} writes of statuses and events.\n"
        )
        first = {self.upstream_of(number): number for number in reversed(numbers)}
        commits = {number: self.move_on(upstream) for upstream, number in first.items()}
        for number in first.values():
            self.change(number, {"annotations": {"reconcile.fluxcd.io/requestedAt": "moved"}})
        told = lambda: all(self.has_commit(number, commit) for number, commit in commits.items())
        followed = self.wait("a commit of each upstream that moved", told)
        print(f"A commit of each of these {len(first)} upstreams was {'told' if followed else 'NOT told'}.\n")
        self.table()


def main():
    patchset, cluster, *numbers = sys.argv[1:]
    if len(numbers) != 3:
        sys.exit(__doc__)
    patchset, cluster = os.path.abspath(patchset), Cluster(cluster)
    define(patchset, cluster)
    setting = ShardedSetting(patchset, cluster, *map(int, numbers))
    try:
        if setting.begin():
            setting.rebalance()
    finally:
        setting.stop()


if __name__ == "__main__":
    main()
