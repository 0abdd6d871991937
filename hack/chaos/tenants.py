"""The honest tenants: PatchSets of all kinds, the changes that are made to them, and the CI that builds their images.

An object's state is two numbers that only grow: the revision of its upstream, and that of its patch. Both are in the tree that is
published, so that an image says what it was built from.
"""

import collections
import random
import threading
import time
from dataclasses import dataclass, field

import registry_client
import repositories
from cluster_api import GROUP, MERGE, Refused, path_of

NAMESPACES = ("team-a", "team-b", "team-c", "team-d")
KINDS = ("inline", "config-map", "git", "build", "build-git")
REQUESTED_AT = "reconcile.fluxcd.io/requestedAt"
INPUTS = "patching.c5c3.io/inputs"
DELIVERED = "images"
LINES = [f"line {number} of what is patched\n" for number in range(1, 31)]
AT = 15
# How many changes of a round are under way at the same time.
AT_ONCE = 6
# How long a change waits for a server that is away. Longer than any fault.
PATIENCE = 180


def upstream_files(revision):
    """The upstream grows at the top, so that patches apply at an offset."""
    added = [f"added by revision {number}\n" for number in range(revision, 0, -1)]
    return {"file.txt": "".join(added + LINES), "upstream.txt": f"{revision}\n"}


def patch_text(revision):
    """A patch as git format-patch writes it."""
    before, after = LINES[AT - 4 : AT - 1], LINES[AT : AT + 3]
    hunk = (
        [f" {line}" for line in before]
        + [f"-{LINES[AT - 1]}", f"+patched by revision {revision}\n"]
        + [f" {line}" for line in after]
    )
    return (
        f"From: Tenant <tenant@example.org>\nSubject: [PATCH] Revision {revision}\n\n---\n"
        f"diff --git a/file.txt b/file.txt\n--- a/file.txt\n+++ b/file.txt\n@@ -{AT - 3},7 +{AT - 3},7 @@\n{''.join(hunk)}"
        f"diff --git a/patched.txt b/patched.txt\nnew file mode 100644\n--- /dev/null\n+++ b/patched.txt\n@@ -0,0 +1 @@\n+{revision}\n"
    )


def spread(namespaces, count):
    """The namespace, name and kind of each of `count` objects."""
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        yield namespaces[number % len(namespaces)], f"{kind}-{number:02}", kind


@dataclass
class Change:
    """What was changed, and how long it took until the status said so."""

    upstream: int
    patch: int
    phase: str
    begun: float = 0.0
    # Seconds until the verdict on the patches, and until Ready.
    verdict: float | None = None
    ready: float | None = None
    # Seconds waited in vain, if measuring ended before the answer.
    cut: float | None = None


@dataclass
class Honest:
    """One PatchSet."""

    namespace: str
    name: str
    kind: str
    repository: str
    upstream: int = 0
    patch: int = 0
    revisions: dict = field(default_factory=dict)
    changes: list = field(default_factory=list)
    status: dict = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    # Held while it is changed, however long the API server is away: an older change is never written after a newer one.
    editing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def path(self):
        return path_of(self.namespace, "patchsets", self.name)

    @property
    def builds(self):
        return self.kind.startswith("build")

    def revision(self):
        """The two numbers that the status shows; None if it shows none."""
        commit = self.status.get("upstream", {}).get("commit")
        subjects = [patch.get("subject", "") for patch in self.status.get("patches", [])]
        if commit not in self.revisions or not subjects or not subjects[0].startswith("Revision "):
            return None
        return self.revisions[commit], int(subjects[0].split()[1])

    def is_ready(self):
        ready = [one["status"] for one in self.status.get("conditions", []) if one["type"] == "Ready"]
        return ready == ["True"]

    def observe(self, status, now):
        """Notes a status, and which changes it answers."""
        with self.lock:
            self.status = status
            revision = self.revision()
            if revision is None:
                return
            for change in self.changes:
                if change.ready is None and revision[0] >= change.upstream and revision[1] >= change.patch:
                    if change.verdict is None:
                        change.verdict = now - change.begun
                    if self.is_ready():
                        change.ready = now - change.begun

    def is_settled(self):
        """Whether the status says that the last change is done."""
        with self.lock:
            return self.is_ready() and self.revision() == (self.upstream, self.patch)


class Tenants:
    """All honest objects, on one API server, Git server and registry."""

    def __init__(self, api, seed, folder, git, registry, count):
        self.api, self.seed, self.folder, self.git, self.registry = api, seed, folder, git, registry
        self.objects = []
        # Changes that could not be made.
        self.errors = []
        for namespace, name, kind in spread(NAMESPACES, count):
            repository = f"{folder}/{namespace}/upstream-{len(self.objects) % 3}.git"
            self.objects.append(Honest(namespace, name, kind, repository))

    def create(self):
        """Makes the repositories and namespaces, and creates all objects."""
        for namespace in NAMESPACES:
            for name in ("upstream-0", "upstream-1", "upstream-2", "patches", "gitops"):
                repositories.create(f"{self.folder}/{namespace}/{name}.git")
            mine = [one for one in self.objects if one.namespace == namespace]
            markers = {f"apps/{one.name}.yaml": self.marked(one) for one in mine if one.kind == "build-git"}
            repositories.commit(
                f"{self.folder}/{namespace}/gitops.git",
                "main",
                {"README": "text\n", **markers},
                is_first=True,
            )
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            self.api.apply(f"/api/v1/namespaces/{namespace}", body)
        for one in self.objects:
            commit = repositories.commit(one.repository, one.name, upstream_files(0), is_first=True)
            one.revisions[commit] = 0
            change = Change(0, 0, "created")
            one.changes.append(change)
            self.write_patch(one, change)
            self.api.apply(one.path, self.manifest(one), begun=lambda change=change: begin(change))

    def marked(self, one):
        return f'image: none  # {{"$patchset": "{one.namespace}:{one.name}"}}\n'

    def manifest(self, one):
        url = f"{self.git}/{one.namespace}"
        spec = {
            "component": one.name,
            "release": "2026.1",
            "interval": "30s",
            "timeout": "1m",
            "upstream": {
                "url": f"{self.git}{one.repository.removeprefix(self.folder)}",
                "ref": {"branch": one.name},
            },
        }
        if one.kind == "config-map":
            spec["patches"] = {"configMap": {"name": one.name}}
        elif one.kind in ("git", "build-git"):
            spec["patches"] = {
                "git": {"url": f"{url}/patches.git", "ref": {"branch": one.name}, "path": "patches"}
            }
        else:
            spec["patches"] = {"inline": [{"name": "0001-change.patch", "content": patch_text(one.patch)}]}
        if one.builds:
            place = f"{self.registry}/{one.namespace}/{one.name}"
            spec["build"] = {
                "engine": "External",
                "source": {"repository": f"{place}-source", "version": "1.0.0"},
                "image": {"repository": place, "tag": "{inputs}"},
            }
            spec["delivery"] = {"configMap": {"name": DELIVERED}}
        if one.kind == "build-git":
            spec["delivery"] = {"git": {"url": f"{url}/gitops.git", "branch": "main", "paths": ["apps"]}}
        metadata = {"name": one.name, "namespace": one.namespace}
        return {
            "apiVersion": GROUP.removeprefix("/apis/"),
            "kind": "PatchSet",
            "metadata": metadata,
            "spec": spec,
        }

    def write_patch(self, one, change):
        """Writes the patch, unless the object holds it: that is written elsewhere."""
        text = patch_text(one.patch)
        if one.kind == "config-map":
            metadata = {"name": one.name, "namespace": one.namespace}
            body = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata,
                "data": {"0001-change.patch": text},
            }
            path = path_of(one.namespace, "configmaps", one.name, "/api/v1")
            self.api.apply(path, body, begun=lambda: begin(change))
        elif one.kind in ("git", "build-git"):
            repository = f"{self.folder}/{one.namespace}/patches.git"
            repositories.commit(
                repository, one.name, {"patches/0001-change.patch": text}, is_first=one.patch == 0
            )

    def change(self, one, what, phase):
        """Moves the upstream or the patch by one revision, as a person does, and asks for a look if none would follow."""
        with one.editing:
            change = Change(one.upstream + (what == "upstream"), one.patch + (what == "patch"), phase)
            change.begun = time.monotonic()
            if what == "upstream":
                commit = repositories.commit(one.repository, one.name, upstream_files(change.upstream))
                one.revisions[commit] = change.upstream
            with one.lock:
                one.upstream, one.patch = change.upstream, change.patch
                one.changes.append(change)
            if what == "patch":
                self.write_patch(one, change)
            if what == "patch" and one.kind in ("inline", "build"):
                self.api.apply(one.path, self.manifest(one), begun=lambda: begin(change))
            elif what == "upstream" or one.kind != "config-map":
                self.ask_for_look(one, begun=lambda: begin(change))
        return change

    def try_change(self, one, what, phase):
        """Makes a change; if that fails, notes it and returns None."""
        try:
            return self.change(one, what, phase)
        except (OSError, Refused, RuntimeError) as error:
            self.errors.append(f"{one.namespace}/{one.name}: {what}: {error}")
            return None

    def ask_for_look(self, one, begun=None):
        note = {"metadata": {"annotations": {REQUESTED_AT: str(time.time_ns())}}}
        self.api.insist("PATCH", one.path, note, MERGE, PATIENCE, begun)

    def round(self, number, phase, patience):
        """Changes each object once, in an order and of a kind that follow from the seed. A few changes are under way at the same
        time, so that each waits for its own work and not for everyone's. Ends early if one is not answered in time; returns
        the threads and the changes.
        """
        chance = random.Random(f"{self.seed} round {number}")
        order = [(one, chance.choice(("upstream", "patch"))) for one in self.objects]
        chance.shuffle(order)
        waiting, changes = collections.deque(order), []

        def work():
            while True:
                try:
                    one, what = waiting.popleft()
                except IndexError:
                    return
                change = self.try_change(one, what, phase)
                if change is None:
                    continue
                changes.append(change)
                while change.ready is None and time.monotonic() - change.begun < patience:
                    time.sleep(0.05)
                if change.ready is None:
                    change.cut = time.monotonic() - change.begun
                    waiting.clear()

        threads = [threading.Thread(target=work, daemon=True) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        return threads, changes

    def disturb(self, stop):
        """Changes objects one after the other until told to stop: what happens while servers are away."""
        chance = random.Random(f"{self.seed} disturbance")
        while not stop.is_set():
            self.try_change(chance.choice(self.objects), chance.choice(("upstream", "patch")), "faults")
            stop.wait(chance.uniform(0.3, 1.5))


def begin(change):
    change.begun = time.monotonic()


class Ci:
    """Builds what the status asks for, each image once, after a delay that follows from the seed, even if outdated by then."""

    def __init__(self, tenants):
        self.tenants = tenants
        self.chance = random.Random(f"{tenants.seed} CI")
        # What is known of an image, by its digest: (object, upstream's revision, patch's revision).
        self.images = {}
        self.asked = set()
        self.due = []
        self.lock = threading.Lock()
        for work in (self.look, self.build, self.build):
            threading.Thread(target=work, daemon=True).start()

    def look(self):
        while True:
            for one in self.tenants.objects:
                build = one.status.get("build") or {}
                key = (one.name, build.get("target"))
                if one.builds and key[1] and key not in self.asked:
                    self.asked.add(key)
                    with self.lock:
                        self.due.append((time.monotonic() + self.chance.uniform(0, 2), one, build))
            time.sleep(0.1)

    def build(self):
        while True:
            with self.lock:
                ready = [entry for entry in self.due if entry[0] <= time.monotonic()]
                entry = min(ready, key=lambda entry: entry[0]) if ready else None
                if entry:
                    self.due.remove(entry)
            if entry is None:
                time.sleep(0.05)
                continue
            try:
                self.push(entry[1], entry[2])
            except (OSError, ValueError, KeyError, IndexError):
                with self.lock:
                    self.due.append((time.monotonic() + 1, *entry[1:]))

    def push(self, one, build):
        source = build["contexts"][one.name].removeprefix("docker-image://")
        upstream, patch = registry_client.read_files(source, ("upstream.txt", "patched.txt"))
        labels = {INPUTS: build["inputsDigest"], "chaos.revision": f"{upstream.strip()}.{patch.strip()}"}
        digest = registry_client.push(build["target"], labels)
        self.images[digest] = (f"{one.namespace}/{one.name}", int(upstream), int(patch))
        try:
            self.tenants.ask_for_look(one)
        except (OSError, Refused):
            # It is looked for anyway.
            pass
