"""Faults of servers: a schedule that follows from a seed, as plain values, and what carries it out."""

import random
import time
from dataclasses import dataclass

TARGETS = ("kube-apiserver", "git", "registry", "controller")
KINDS = ("kill", "pause", "slow")
# Seconds in which the faults of one burst begin, and how long each may last. Well below what the controller gives the API server.
BURST = 30
SHORTEST, LONGEST = 2, 12
# A slowed process is stopped for most of each period, in seconds.
PERIOD, STOPPED = 0.25, 0.2


@dataclass(frozen=True)
class Fault:
    """From one second of a burst to another, something is wrong with a server. One that is killed is away until the end."""

    start: float
    end: float
    target: str
    kind: str


def burst(seed, number):
    """The faults of a burst: one at a time on a server, also at the same time on different ones."""
    chance = random.Random(f"{seed} burst {number}")
    faults, free = [], dict.fromkeys(TARGETS, 0.0)
    # Each server has its turn in each burst, with each kind once in three bursts; two have a second one.
    turns = [(target, dealt(seed, number, target)) for target in TARGETS]
    turns += [(target, chance.choice(KINDS)) for target in chance.sample(TARGETS, 2)]
    chance.shuffle(turns)
    for target, kind in turns:
        start = max(free[target], chance.uniform(0, BURST / 2))
        end = start + chance.uniform(SHORTEST, LONGEST)
        faults.append(Fault(round(start, 1), round(end, 1), target, kind))
        free[target] = end + 3
    return sorted(faults, key=lambda fault: fault.start)


def dealt(seed, number, target):
    """The kind of fault of a server's turn in a burst."""
    kinds = list(KINDS)
    random.Random(f"{seed} {target} {number // len(KINDS)}").shuffle(kinds)
    return kinds[number % len(KINDS)]


class Driver:
    """Carries faults out, and keeps the servers going. All in the main thread: see servers.Server."""

    def __init__(self, servers, clock=time.monotonic):
        self.servers = {server.name: server for server in servers}
        self.clock = clock
        self.running = []
        self.counts = {}

    def begin(self, faults):
        self.running = [(fault, self.clock()) for fault in faults]
        self.started = set()

    def is_over(self):
        return not self.running

    def tick(self):
        """Has to be called a few times in each period."""
        now = self.clock()
        for entry in list(self.running):
            fault, begun = entry
            server, at = self.servers[fault.target], now - begun
            if at >= fault.end:
                if fault in self.started:
                    self.end(fault, server)
                self.running.remove(entry)
            elif at >= fault.start:
                if fault not in self.started:
                    self.started.add(fault)
                    self.start(fault, server)
                if fault.kind == "slow":
                    is_stopped = (at - fault.start) % PERIOD < STOPPED
                    (server.pause if is_stopped else server.go_on)()
        for server in self.servers.values():
            server.look()

    def start(self, fault, server):
        key = (fault.kind, fault.target)
        self.counts[key] = self.counts.get(key, 0) + 1
        if fault.kind == "kill":
            server.kill()
        elif fault.kind == "pause":
            server.pause()

    def end(self, fault, server):
        if fault.kind == "kill":
            server.start()
        else:
            server.go_on()
