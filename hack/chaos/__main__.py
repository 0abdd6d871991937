"""A chaos run: honest tenants at work while servers fail and one namespace is hostile. hack/chaos.sh starts it.

usage: chaos PROGRAM CLUSTER FOLDER --seed N --minutes N --objects N --hostile on|off|LIST --faults on|off

CLUSTER is the folder of a control plane that hack/lib/cluster.sh started, FOLDER where everything else goes. It has four phases:

1. reference: the honest tenants alone, without faults. How long does a change take?
2. bursts of faults for the given minutes, one namespace being hostile all the time, each followed by a quiet window. There each
   honest object is changed once, and may take up to 30 s longer than in the reference.
3. the end: the faults are over, the hostile namespace is not. Each honest object is changed once more, and must become Ready.
4. the controller is asked to end.

Progress goes to standard error, the figures and verdicts to standard output. Exit status 1 means that a verdict failed.
"""

import argparse
import collections
import http.server
import os
import re
import subprocess
import sys
import threading
import time

import faults
import hostile
import repositories
import servers
import verdicts
from cluster_api import APPLY, GROUP, Api, Refused
from observation import Observation
from tenants import NAMESPACES, Ci, Tenants

TICK = 0.05
# Rounds of changes in the reference, after the objects were created.
ROUNDS = 3
# Seconds until servers are up, and until all is settled. Generous: the machine may be busy with something else.
TO_START, TO_SETTLE, TO_CHANGE = 120, 300, 1200
# Seconds after a burst until the controller's watches are back: one that was interrupted waits up to half a minute.
TO_RECOVER = 45
# Seconds that the controller gets to end, though it should take fewer.
TO_END_AT_MOST = 30


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


def listed(counts):
    return ", ".join(f"{what} {count}" for what, count in sorted(counts.items())) or "none"


class Canary(http.server.BaseHTTPRequestHandler):
    """Where hostile redirects lead. Nobody should come."""

    requests = []

    def do_GET(self):
        Canary.requests.append(f"{self.command} {self.path}")
        self.send_error(404)

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_):
        pass


class Run:
    def __init__(self, options):
        self.options = options
        self.git_folder = f"{options.folder}/git"
        os.makedirs(self.git_folder)
        self.kubeconfig = f"{options.cluster}/kubeconfig"
        self.api = Api(self.kubeconfig)
        self.stop = threading.Event()

    def wait(self, what, until, patience):
        """Lets time pass, with faults and servers under way, until something holds. Returns whether it did."""
        end = time.monotonic() + patience
        while not until():
            if time.monotonic() > end:
                say(f"{what}: not within {patience:.0f} s")
                return False
            self.driver.tick()
            time.sleep(TICK)
        return True

    def need(self, what, until, patience=TO_START):
        if not self.wait(what, until, patience):
            sys.exit(f"error: {what}: not within {patience} s; the logs are in {self.options.folder}")

    def serve(self):
        """Starts everything but the API server, which is taken over from its script."""
        folder, options = self.options.folder, self.options
        canary = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Canary)
        threading.Thread(target=canary.serve_forever, daemon=True).start()
        here = os.path.dirname(os.path.abspath(__file__))
        url = f"https://{self.api.host}:{self.api.port}/readyz"
        api_server = servers.Adopted(
            "kube-apiserver", options.cluster, lambda: servers.answers(url, self.api.tls)
        )
        git_port, registry_port = servers.free_port(), servers.free_port()
        self.registry = f"127.0.0.1:{registry_port}"
        self.git = f"http://127.0.0.1:{git_port}"
        git = servers.Server(
            "git",
            [sys.executable, f"{here}/git_server.py", str(git_port), self.git_folder],
            folder,
            lambda: servers.is_listening(git_port),
            clean=lambda: repositories.remove_locks(self.git_folder),
        )
        hostile_servers = servers.Server(
            "hostile-servers",
            [sys.executable, f"{here}/hostile_servers.py", str(canary.server_address[1]), str(self.api.port)],
            folder,
            lambda: hostile.ports_of(hostile_servers) is not None,
        )
        registry = servers.registry(folder, self.registry)
        self.driver = faults.Driver([api_server, git, registry])
        api_server.take_over()
        for server in (git, registry, hostile_servers):
            server.start()
        self.need(
            "the servers",
            lambda: all(server.ready() for server in (api_server, git, registry, hostile_servers)),
        )
        self.ports = hostile.ports_of(hostile_servers)
        strange = [f"127.0.0.1:{port}" for name, port in self.ports.items() if name not in hostile.GITS]
        self.controller = servers.controller(
            options.program, folder, self.kubeconfig, [self.registry, *strange]
        )
        self.hostile_servers = hostile_servers

    def install(self):
        made = subprocess.run(
            [self.options.program, "crds"], check=True, capture_output=True, text=True
        ).stdout
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        for text in made.split("\n---\n"):
            name = re.search(r"^  name: (\S+)$", text, re.MULTILINE).group(1)
            self.api.insist(
                "PATCH", f"{definitions}/{name}?fieldManager=chaos&force=true", text.encode(), APPLY
            )
        self.need("the definitions are known", self.is_installed)
        self.controller.start()
        self.driver = faults.Driver([*self.driver.servers.values(), self.controller])
        self.need("the controller", self.controller.ready)

    def is_installed(self):
        try:
            return all(
                "items" in self.api.ask("GET", f"{GROUP}/{kind}")
                for kind in ("patchsets", "constraintoverrides")
            )
        except Refused:
            return False

    def settled(self):
        return all(one.is_settled() for one in self.tenants.objects)

    def changed(self, number, phase, patience):
        """A round of changes, each with `patience` seconds for its answer."""
        threads, changes = self.tenants.round(number, phase, patience)
        self.wait("a round of changes", lambda: not any(thread.is_alive() for thread in threads), TO_CHANGE)
        waits = [change.ready if change.cut is None else change.cut for change in list(changes)]
        waits = [wait for wait in waits if wait is not None]
        say(f"{phase}: {len(waits)} changes, the longest wait {max(waits, default=0):.1f} s")

    def reference(self):
        say(f"create {self.options.objects} PatchSets, and wait until all are Ready")
        self.tenants.create()
        self.need("all objects are Ready", self.settled, TO_SETTLE)
        for number in range(ROUNDS):
            self.changed(f"reference {number}", "reference", TO_SETTLE)

    def burst(self, number):
        """Faults, with changes while they last, and a first answer after them."""
        schedule = faults.burst(self.options.seed, number)
        told = ", ".join(f"{f.kind} {f.target} {f.start:.0f}-{f.end:.0f} s" for f in schedule)
        say(f"burst {number}: {told}")
        disturbing = threading.Event()
        thread = threading.Thread(target=self.tenants.disturb, args=(disturbing,), daemon=True)
        thread.start()
        self.driver.begin(schedule)
        self.wait("the faults are over", self.driver.is_over, faults.BURST * 4)
        disturbing.set()
        up = self.driver.servers.values()
        self.wait("the servers are back", lambda: all(server.ready() for server in up), TO_START)
        self.wait("the last change is written", lambda: not thread.is_alive(), TO_SETTLE)
        self.wait("what changed in between is answered", self.settled, TO_RECOVER)

    def chaos(self):
        end = time.monotonic() + self.options.minutes * 60
        number = 0
        while time.monotonic() < end:
            if self.options.faults == "on":
                self.burst(number)
            self.changed(f"quiet {number}", "quiet", self.longest + verdicts.SURPLUS + 15)
            number += 1

    def finish(self):
        say("the end: one more change of each object")
        self.changed("end", "end", TO_SETTLE)
        self.wait("all objects are Ready", self.settled, TO_RECOVER)

    def run(self):
        options = self.options
        self.serve()
        self.install()
        arguments = (self.api, options.seed, self.git_folder, self.git, self.registry, options.objects)
        self.tenants = Tenants(*arguments)
        self.observation = Observation(self.api, self.tenants)
        self.ci = Ci(self.tenants)
        self.reference()
        self.memory_alone = self.controller.peak
        self.longest = max(wait for _, _, wait in verdicts.waits(self.tenants, "reference"))
        self.hostile = None
        if options.hostile != "off":
            say("the hostile namespace begins")
            mallory = Api(self.kubeconfig, hostile.USER)
            only = () if options.hostile == "on" else tuple(options.hostile.split(","))
            self.hostile = hostile.Hostile(mallory, self.tenants, self.ports, only)
            preparing = threading.Thread(target=self.hostile.prepare, daemon=True)
            preparing.start()
            self.wait("the hostile repositories are made", lambda: not preparing.is_alive(), TO_SETTLE)
            self.mallory = self.hostile.start(self.stop)
        self.chaos()
        self.finish()
        return self.judge()

    def judge(self):
        # It has to end while the hostile namespace is at work.
        self.was_hostile = self.hostile and self.mallory.is_alive() and self.hostile_servers.is_up()
        took = self.controller.stop(TO_END_AT_MOST)
        self.stop.set()
        self.figures()
        return self.decide(took)

    def deliveries(self):
        images = {key: [image for _, image in seen] for key, seen in self.observation.config_maps.items()}
        return verdicts.sequences({**images, **self.observation.commits()}, self.ci.images)

    def figures(self):
        tenants, options = self.tenants, self.options
        print(
            f"seed {options.seed}, {options.minutes:g} minutes, {options.objects} PatchSets of {len(NAMESPACES)} namespaces",
            end="",
        )
        print(f", hostile namespace {options.hostile}, faults {options.faults}\n")
        print("| fault | " + " | ".join(faults.TARGETS) + " |\n| --- |" + " ---: |" * len(faults.TARGETS))
        for kind in faults.KINDS:
            counts = [str(self.driver.counts.get((kind, target), 0)) for target in faults.TARGETS]
            print(f"| {kind} | " + " | ".join(counts) + " |")
        print("\n| wait until Ready | changes | median | p95 | worst |\n| --- | ---: | ---: | ---: | ---: |")
        for phase, what in (
            ("reference", "honest tenants alone"),
            ("quiet", "between faults"),
            ("end", "after the faults"),
        ):
            found = sorted(wait for _, _, wait in verdicts.waits(tenants, phase))
            if found:
                middle, high = found[len(found) // 2], found[min(len(found) - 1, len(found) * 95 // 100)]
                print(f"| {what} | {len(found)} | {middle:.1f} s | {high:.1f} s | {found[-1]:.1f} s |")
        print(f"\nevents of honest objects: {listed(self.observation.events(NAMESPACES))}")
        if self.hostile:
            print(f"events of hostile objects: {listed(self.observation.events([hostile.NAMESPACE]))}")
            print(f"answers to its objects: {listed(self.hostile.answers())}")
            print(f"requests of the hostile tenant: {listed(self.hostile.counts)}")
        changes = collections.Counter(change.phase for one in tenants.objects for change in one.changes)
        print(
            f"changes of honest objects: {sum(changes.values())}, of these {changes['faults']} during faults"
        )
        sequences = self.deliveries()
        print(
            f"deliveries: {sum(map(len, sequences.values()))} of {len(self.ci.images)} images that were built"
        )
        print(
            f"peak memory of the controller: {self.controller.peak >> 20} MiB, in the reference {self.memory_alone >> 20} MiB\n"
        )

    def decide(self, took):
        tenants, found = self.tenants, verdicts.Verdicts()
        sequences = self.deliveries()
        found.check("all changes of honest objects could be made", tenants.errors)
        if self.hostile:
            found.check(
                "the hostile tenant was at work until the end",
                [] if self.was_hostile else ["it ended before"],
            )
        found.check("every honest object is Ready at its last revision", verdicts.not_ready(tenants))
        found.check("every patched tree is the one that git makes", verdicts.other_trees(tenants))
        found.check("the last image of each object was delivered", verdicts.not_delivered(tenants, sequences))
        found.check("nothing was delivered out of order", verdicts.out_of_order(sequences))
        found.check("nothing was delivered twice", verdicts.twice(sequences))
        measured = verdicts.waits(tenants, "quiet") + verdicts.waits(tenants, "end")
        late = verdicts.late(verdicts.waits(tenants, "reference"), measured)
        found.check(f"no honest object waited more than {verdicts.SURPLUS} s longer than alone", late)
        ends = [f"exit status {status}" for _, status in self.controller.ended_alone]
        found.check("the controller never ended by itself", ends)
        peak = self.controller.peak
        over = [f"{peak >> 20} MiB"] if peak > verdicts.MEMORY else []
        found.check(f"the controller took at most {verdicts.MEMORY >> 20} MiB", over)
        slow = (
            []
            if took is not None and took <= verdicts.TO_END
            else [f"it took {took or TO_END_AT_MOST:.1f} s or more"]
        )
        found.check(f"the controller ended within {verdicts.TO_END} s of SIGTERM", slow)
        found.check("no redirect led the controller astray", Canary.requests)
        return found.summary()


def read_options():
    parser = argparse.ArgumentParser()
    for name in ("program", "cluster", "folder"):
        parser.add_argument(name)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--objects", type=int, required=True)
    parser.add_argument("--hostile", default="on")
    parser.add_argument("--faults", choices=("on", "off"), default="on")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(Run(read_options()).run())
