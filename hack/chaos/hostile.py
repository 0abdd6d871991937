"""The hostile tenant: one namespace with the rights of `edit` there, all of which it uses against the others.

What it makes is bounded: the objects of each kind, and the actions of its loop.
"""

import collections
import json
import os
import random
import subprocess
import tempfile
import threading
import time

import bombs
import repositories
from cluster_api import APPLY, GROUP, MERGE, Refused, path_of
from tenants import REQUESTED_AT

NAMESPACE = "team-x"
USER = "mallory"
# The rights that `edit` gives to what the controller looks at (with the chart's aggregated role).
RIGHTS = [
    {"apiGroups": ["patching.c5c3.io"], "resources": ["patchsets", "constraintoverrides"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["secrets", "configmaps", "pods", "events"], "verbs": ["*"]},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["*"]},
]
DRIPS, PROXIED, JOBS, CHURNING, ACTIONS = 8, 4, 40, 20, 20_000
# The hostile servers that are not registries.
GITS = ("git", "proxy-drip", "proxy-lie")
LINES, FEEDS, BLOB = 1_000_000, 100 << 20, 1 << 30


class Hostile:
    """Makes its repositories and objects, and goes on until told to stop.

    `only` are what the names of objects may begin with; if it is empty, all are made.
    """

    def __init__(self, api, tenants, ports, only):
        self.api, self.tenants, self.ports, self.only = api, tenants, ports, only
        self.administrator, self.seed = tenants.api, tenants.seed
        self.folder, self.git = tenants.folder, tenants.git
        self.counts = collections.Counter()
        self.fixed = []

    def prepare(self):
        """Makes the namespace and its rights as administrator, and the repositories on the shared Git server."""
        admin = self.administrator
        admin.apply(
            f"/api/v1/namespaces/{NAMESPACE}",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        )
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        meta = {"name": "edit", "namespace": NAMESPACE}
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": meta,
            "rules": RIGHTS,
        }
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "edit"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
        }
        admin.apply(path_of(NAMESPACE, "roles", "edit", rbac), role)
        admin.apply(path_of(NAMESPACE, "rolebindings", "edit", rbac), binding)
        repository = f"{self.folder}/{NAMESPACE}/upstream.git"
        repositories.create(repository)
        huge = "".join(f"line {number}\n" for number in range(LINES))
        repositories.commit(repository, "main", {"huge.txt": huge, "file.txt": "a\n"}, is_first=True)
        repositories.commit(repository, "feeds", {"feeds.txt": b"\n" * FEEDS}, is_first=True)
        repositories.commit(
            repository, "blob", {"zeros": repositories.large_blob(repository, BLOB)}, is_first=True
        )

    def start(self, stop):
        thread = threading.Thread(target=self.run, args=(stop,), daemon=True)
        thread.start()
        return thread

    def is_meant(self, name):
        return not self.only or name.startswith(self.only)

    def run(self, stop):
        for path, thing in self.objects():
            if stop.is_set():
                return
            if self.is_meant(thing["metadata"]["name"]):
                if thing["kind"] == "PatchSet":
                    self.fixed.append(path)
                self.apply(path, thing)
        for kind, plural, value in (("Secret", "secrets", "dmFsdWU="), ("ConfigMap", "configmaps", "value")):
            meta = {
                "name": f"deep-{plural}",
                "namespace": NAMESPACE,
                "managedFields": bombs.deep_managed_fields(),
            }
            thing = {"apiVersion": "v1", "kind": kind, "metadata": meta, "data": {"key": value}}
            if self.is_meant(meta["name"]):
                self.write("POST", path_of(NAMESPACE, plural, group="/api/v1"), thing)
        self.loop(stop)

    def apply(self, path, thing):
        self.write("PATCH", f"{path}?fieldManager={USER}&force=true", thing, APPLY)

    def write(self, method, path, thing=None, kind="application/json"):
        """Makes a request. Refusals are counted; if no server answers, it goes on."""
        try:
            self.api.ask(method, path, thing, kind)
            self.counts["accepted"] += 1
            return True
        except Refused as refused:
            self.counts[f"refused with {refused.status}"] += 1
        except (OSError, RecursionError):
            self.counts["unanswered"] += 1
        return False

    def loop(self, stop):
        """Creates, changes and deletes, and asks for looks, until told to stop."""
        chance = random.Random(f"{self.seed} hostile")
        for number in range(ACTIONS):
            if stop.wait(0.1):
                return
            action, name = chance.random(), f"churn-{chance.randrange(CHURNING):02}"
            if action < 0.35 and self.fixed:
                note = {"metadata": {"annotations": {REQUESTED_AT: str(time.time_ns())}}}
                self.write("PATCH", chance.choice(self.fixed), note, MERGE)
            elif not self.is_meant(name):
                continue
            elif action < 0.6:
                text = chance.choice((bombs.spaces_patch(), "no patch", bombs.line_feeds_patch("file.txt")))
                thing = self.patch_set(
                    name, {"patches": inline({"0001.patch": text}), "release": f"r{number}"}
                )
                self.apply(path_of(NAMESPACE, "patchsets", name), thing)
            elif action < 0.8:
                self.write("DELETE", path_of(NAMESPACE, "patchsets", name))
            else:
                self.apply(*self.config_map(name, {"x": str(number) * 1000}))

    def answers(self):
        """How many of the permanent objects got which answer, by the reason of Ready."""
        counts = collections.Counter()
        for thing in self.tenants.api.list(path_of(NAMESPACE, "patchsets")):
            if path_of(NAMESPACE, "patchsets", thing["metadata"]["name"]) in self.fixed:
                conditions = thing.get("status", {}).get("conditions", [])
                counts.update(one["reason"] for one in conditions if one["type"] == "Ready")
                counts["no answer"] += not conditions
        return +counts

    def patch_set(self, name, spec):
        whole = {
            "component": "hostile",
            "release": "2026.1",
            "timeout": "1h",
            "interval": "1ms",
            "upstream": {"url": f"{self.git}/{NAMESPACE}/upstream.git", "ref": {"branch": "main"}},
            **spec,
        }
        meta = {"name": name, "namespace": NAMESPACE}
        return {
            "apiVersion": GROUP.removeprefix("/apis/"),
            "kind": "PatchSet",
            "metadata": meta,
            "spec": whole,
        }

    def objects(self):
        """The permanent objects: (path, object)."""
        hostile_git = f"http://127.0.0.1:{self.ports['git']}"
        main = {"ref": {"branch": "main"}}
        yield self.fixed_object("many-refs", {"upstream": {"url": f"{hostile_git}/refs/x.git", **main}})
        yield self.fixed_object("delta-bomb", {"upstream": {"url": f"{hostile_git}/bomb/x.git", **main}})
        yield self.fixed_object("deep-path", {"patches": inline({"0001.patch": bombs.deep_path_patch()})})
        yield self.fixed_object("lost-hunks", {"patches": inline({"0001.patch": bombs.lost_hunks_patch()})})
        yield self.fixed_object("spaces", {"patches": inline({"0001.patch": bombs.spaces_patch()})})
        bomb = {f"000{number}.patch": bombs.binary_bomb_patch(f"zeros-{number}") for number in (1, 2)}
        yield self.fixed_object("binary-bomb", {"patches": inline(bomb)})
        upstream = f"{self.git}/{NAMESPACE}/upstream.git"
        feeds = {
            "upstream": {"url": upstream, "ref": {"branch": "feeds"}},
            "patches": inline({"0001.patch": bombs.line_feeds_patch()}),
        }
        yield self.fixed_object("line-feeds", feeds)
        blob = {
            "upstream": {"url": upstream, "ref": {"branch": "blob"}},
            **self.build(self.ports["no-location"]),
        }
        yield self.fixed_object("large-blob", blob)
        yield self.config_map("failing", bombs.failing_patches())
        yield self.fixed_object("failing", {"patches": {"configMap": {"name": "failing"}}})
        for wrong, port in self.ports.items():
            if wrong not in GITS:
                yield self.fixed_object(f"registry-{wrong}", self.build(port))
        yield from self.jobs()
        yield from self.actions()
        yield from self.keys()
        # Last, because these hold the places that the namespace can have.
        yield from self.proxies()
        for number in range(DRIPS):
            yield self.fixed_object(
                f"drip-{number}", {"upstream": {"url": f"{hostile_git}/drip/{number}.git", **main}}
            )

    def fixed_object(self, name, spec):
        return path_of(NAMESPACE, "patchsets", name), self.patch_set(name, spec)

    def build(self, port):
        place = f"127.0.0.1:{port}/x"
        source = {"repository": f"{place}/source", "version": "1.0"}
        contexts = {"base": f"docker-image://{place}/base:latest"}
        return {
            "build": {
                "engine": "External",
                "source": source,
                "image": {"repository": place},
                "contexts": contexts,
            }
        }

    def config_map(self, name, data):
        meta = {"name": name, "namespace": NAMESPACE}
        thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
        return path_of(NAMESPACE, "configmaps", name, "/api/v1"), thing

    def secret(self, name, data):
        meta = {"name": name, "namespace": NAMESPACE}
        thing = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}
        return path_of(NAMESPACE, "secrets", name, "/api/v1"), thing

    def proxies(self):
        """The honest tenants' own upstreams, by proxies that answer in their place."""
        for wrong in ("proxy-drip", "proxy-lie"):
            yield self.secret(wrong, {"address": f"http://127.0.0.1:{self.ports[wrong]}"})
            for one in self.tenants.objects[:PROXIED]:
                upstream = {
                    **self.tenants.manifest(one)["spec"]["upstream"],
                    "proxySecretRef": {"name": wrong},
                }
                yield self.fixed_object(f"{wrong}-{one.name}", {"upstream": upstream})

    def jobs(self):
        """Jobs of its own that look like the controller's, and a build with a pod template 200 levels deep."""
        for number in range(JOBS):
            labels = {
                "app.kubernetes.io/managed-by": "patchset-controller",
                "patching.c5c3.io/patchset-uid": f"none-{number}",
            }
            pod = {"restartPolicy": "Never", "containers": [{"name": "build", "image": "none"}]}
            meta = {"name": f"job-{number}", "namespace": NAMESPACE, "labels": labels}
            spec = {"template": {"metadata": {"labels": labels}, "spec": pod}}
            thing = {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}
            yield path_of(NAMESPACE, "jobs", meta["name"], "/apis/batch/v1"), thing
        build = self.build(self.ports["canary"])["build"]
        build |= {
            "engine": "Job",
            "dockerfile": {"inline": "FROM scratch\n"},
            "job": {"podTemplate": bombs.nested(200)},
        }
        yield self.fixed_object("deep-template", {"build": build})

    def actions(self):
        """GitHub's API, by servers that redirect."""
        yield self.secret("token", {"token": "x"})
        for wrong in ("link-local", "canary"):
            build = self.build(self.ports["no-location"])["build"]
            address = f"http://127.0.0.1:{self.ports[wrong]}"
            where = {
                "repository": "x/y",
                "workflow": "z.yaml",
                "apiUrl": address,
                "secretRef": {"name": "token"},
            }
            yield self.fixed_object(
                f"actions-{wrong}", {"build": {**build, "engine": "GitHubActions", "githubActions": where}}
            )

    def keys(self):
        """A private key that takes forever to open."""
        with tempfile.TemporaryDirectory() as folder:
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-a", "1", "-f", f"{folder}/key"]
            if subprocess.run(command, env=os.environ, check=False, capture_output=True).returncode:
                return
            with open(f"{folder}/key") as file:
                key = bombs.endless_key(file.read())
        yield self.secret(
            "key", {"identity": key, "password": "secret", "known_hosts": "127.0.0.1 ssh-ed25519 AAAA\n"}
        )
        upstream = {
            "url": "ssh://git@127.0.0.1:1/x.git",
            "ref": {"branch": "main"},
            "secretRef": {"name": "key"},
        }
        yield self.fixed_object("endless-key", {"upstream": upstream})


def inline(patches):
    return {"inline": [{"name": name, "content": text} for name, text in patches.items()]}


def ports_of(server):
    """The ports that the hostile servers' process printed, once it has."""
    with open(f"{server.folder}/{server.name}.log") as file:
        first = file.readline()
    return json.loads(first) if first.endswith("\n") else None
