"""The hostile tenant: one namespace with the rights of `edit` there, which uses all of them against the others.

What it makes is bounded: so many objects of each kind, so many actions of its loop.
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
from cluster_api import GROUP, MERGE, Refused, path_of
from tenants import REQUESTED_AT

NAMESPACE = "team-x"
USER = "mallory"
# What `edit` gives of what the controller looks at (the chart's aggregated role among it).
RIGHTS = [
    {"apiGroups": ["patching.c5c3.io"], "resources": ["patchsets", "constraintoverrides"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["secrets", "configmaps", "pods", "events"], "verbs": ["*"]},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["*"]},
]
DRIPS, JOBS, CHURNING, ACTIONS = 8, 40, 20, 20_000
LINES, FEEDS, BLOB = 1_000_000, 100 << 20, 1 << 30


class Hostile:
    """Makes its repositories and objects, and goes on until told to stop."""

    def __init__(self, administrator, api, seed, folder, git, ports):
        self.administrator, self.api, self.seed = administrator, api, seed
        self.folder, self.git, self.ports = folder, git, ports
        self.counts = collections.Counter()
        self.fixed = []

    def prepare(self):
        """The namespace and its rights, by the administrator; the repositories, on the Git server that all share."""
        admin = self.administrator
        admin.apply(f"/api/v1/namespaces/{NAMESPACE}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        meta = {"name": "edit", "namespace": NAMESPACE}
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": RIGHTS}
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
        repositories.commit(repository, "blob", {"zeros": b"\0" * BLOB}, is_first=True)

    def start(self, stop):
        thread = threading.Thread(target=self.run, args=(stop,), daemon=True)
        thread.start()
        return thread

    def run(self, stop):
        for path, thing in self.objects():
            if stop.is_set():
                return
            self.write("PATCH", f"{path}?fieldManager=mallory&force=true", thing, "application/apply-patch+yaml")
        for name in ("secrets", "configmaps"):
            kind = {"secrets": "Secret", "configmaps": "ConfigMap"}[name]
            meta = {"name": f"deep-{name}", "namespace": NAMESPACE, "managedFields": bombs.deep_managed_fields()}
            value = "dmFsdWU=" if kind == "Secret" else "value"
            thing = {"apiVersion": "v1", "kind": kind, "metadata": meta, "data": {"key": value}}
            self.write("POST", path_of(NAMESPACE, name, group="/api/v1"), thing)
        self.loop(stop)

    def write(self, method, path, thing=None, kind="application/json"):
        """One request. Whether it is refused is counted; where no server answers, it goes on."""
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
        """Creates, changes and deletes, and asks for looks, without end."""
        chance = random.Random(f"{self.seed} hostile")
        for number in range(ACTIONS):
            if stop.wait(0.1):
                return
            action = chance.random()
            name = f"churn-{chance.randrange(CHURNING):02}"
            path = path_of(NAMESPACE, "patchsets", name)
            if action < 0.35:
                note = {"metadata": {"annotations": {REQUESTED_AT: str(time.time_ns())}}}
                self.write("PATCH", chance.choice(self.fixed), note, MERGE)
            elif action < 0.6:
                patch = {"0001.patch": chance.choice((bombs.spaces_patch(), "no patch", bombs.line_feeds_patch("file.txt")))}
                spec = {"patches": inline(patch), "release": f"r{number}"}
                self.write("PATCH", f"{path}?fieldManager=mallory&force=true", self.patch_set(name, spec), "application/apply-patch+yaml")
            elif action < 0.8:
                self.write("DELETE", path)
            else:
                meta = {"name": f"churn-{number % CHURNING}", "namespace": NAMESPACE}
                thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"x": str(number) * 1000}}
                where = path_of(NAMESPACE, "configmaps", meta["name"], "/api/v1")
                self.write("PATCH", f"{where}?fieldManager=mallory&force=true", thing, "application/apply-patch+yaml")

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
        return {"apiVersion": GROUP.removeprefix("/apis/"), "kind": "PatchSet", "metadata": meta, "spec": whole}

    def objects(self):
        """What is there all the time: (path, object)."""
        hostile_git = f"http://127.0.0.1:{self.ports['git']}"
        main = {"ref": {"branch": "main"}}
        for number in range(DRIPS):
            yield self.fix(f"drip-{number}", {"upstream": {"url": f"{hostile_git}/drip/{number}.git", **main}})
        yield self.fix("many-refs", {"upstream": {"url": f"{hostile_git}/refs/x.git", **main}})
        yield self.fix("delta-bomb", {"upstream": {"url": f"{hostile_git}/bomb/x.git", **main}})
        yield self.fix("deep-path", {"patches": inline({"0001.patch": bombs.deep_path_patch()})})
        yield self.fix("lost-hunks", {"patches": inline({"0001.patch": bombs.lost_hunks_patch()})})
        yield self.fix("spaces", {"patches": inline({"0001.patch": bombs.spaces_patch()})})
        bomb = {f"000{number}.patch": bombs.binary_bomb_patch(f"zeros-{number}") for number in (1, 2)}
        yield self.fix("binary-bomb", {"patches": inline(bomb)})
        upstream = f"{self.git}/{NAMESPACE}/upstream.git"
        feeds = {"upstream": {"url": upstream, "ref": {"branch": "feeds"}}, "patches": inline({"0001.patch": bombs.line_feeds_patch()})}
        yield self.fix("line-feeds", feeds)
        blob = {"upstream": {"url": upstream, "ref": {"branch": "blob"}}, **self.build(self.ports["no-location"])}
        yield self.fix("large-blob", blob)
        yield self.config_map("failing", bombs.failing_patches())
        yield self.fix("failing", {"patches": {"configMap": {"name": "failing"}}})
        for wrong, port in self.ports.items():
            if wrong != "git":
                yield self.fix(f"registry-{wrong}", self.build(port))
        yield from self.jobs()
        yield from self.actions()
        yield from self.keys()

    def fix(self, name, spec):
        path = path_of(NAMESPACE, "patchsets", name)
        self.fixed.append(path)
        return path, self.patch_set(name, spec)

    def build(self, port):
        place = f"127.0.0.1:{port}/x"
        source = {"repository": f"{place}/source", "version": "1.0"}
        contexts = {"base": f"docker-image://{place}/base:latest"}
        return {"build": {"engine": "External", "source": source, "image": {"repository": place}, "contexts": contexts}}

    def config_map(self, name, data):
        meta = {"name": name, "namespace": NAMESPACE}
        thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
        return path_of(NAMESPACE, "configmaps", name, "/api/v1"), thing

    def secret(self, name, data):
        meta = {"name": name, "namespace": NAMESPACE}
        thing = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}
        return path_of(NAMESPACE, "secrets", name, "/api/v1"), thing

    def jobs(self):
        """Jobs of its own that look like the controller's, and a build with a pod template that is 200 levels deep."""
        for number in range(JOBS):
            labels = {"app.kubernetes.io/managed-by": "patchset-controller", "patching.c5c3.io/patchset-uid": f"none-{number}"}
            pod = {"restartPolicy": "Never", "containers": [{"name": "build", "image": "none"}]}
            meta = {"name": f"job-{number}", "namespace": NAMESPACE, "labels": labels}
            spec = {"template": {"metadata": {"labels": labels}, "spec": pod}}
            thing = {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}
            yield path_of(NAMESPACE, "jobs", meta["name"], "/apis/batch/v1"), thing
        build = self.build(self.ports["canary"])["build"]
        build |= {"engine": "Job", "dockerfile": {"inline": "FROM scratch\n"}, "job": {"podTemplate": bombs.nested(200)}}
        yield self.fix("deep-template", {"build": build})

    def actions(self):
        """GitHub's API by servers that lead elsewhere."""
        yield self.secret("token", {"token": "x"})
        for wrong in ("link-local", "canary"):
            build = self.build(self.ports["no-location"])["build"]
            address = f"http://127.0.0.1:{self.ports[wrong]}"
            where = {"repository": "x/y", "workflow": "z.yaml", "apiUrl": address, "secretRef": {"name": "token"}}
            yield self.fix(f"actions-{wrong}", {"build": {**build, "engine": "GitHubActions", "githubActions": where}})

    def keys(self):
        """A private key that takes for ever to open."""
        with tempfile.TemporaryDirectory() as folder:
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-a", "1", "-f", f"{folder}/key"]
            if subprocess.run(command, env=os.environ, check=False, capture_output=True).returncode:
                return
            with open(f"{folder}/key") as file:
                key = bombs.endless_key(file.read())
        yield self.secret("key", {"identity": key, "password": "secret", "known_hosts": "127.0.0.1 ssh-ed25519 AAAA\n"})
        upstream = {"url": "ssh://git@127.0.0.1:1/x.git", "ref": {"branch": "main"}, "secretRef": {"name": "key"}}
        yield self.fix("endless-key", {"upstream": upstream})


def inline(patches):
    return {"inline": [{"name": name, "content": text} for name, text in patches.items()]}


def ports_of(server):
    """The ports that the hostile servers' process printed, once it has."""
    with open(f"{server.folder}/{server.name}.log") as file:
        first = file.readline()
    return json.loads(first) if first.endswith("\n") else None
