"""Times the controller against a real API server, registry and Git server, and prints Markdown tables.

usage: controller.py PATCHSET CLUSTER REPOSITORY OLD NEW

CLUSTER is the folder of a control plane that hack/cluster.sh started. The upstream is REPOSITORY at OLD; the patches are changes
from there to NEW. Nothing runs the Jobs: only the way to them is timed.

The peer is what teams have in CI: a clone with depth 1, `git apply`, and the creation of a Job. It starts the moment the change is
there; a CI's own way to that, from its poll or webhook to the start of a runner, is left out.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

RUNS = 20
PATCHES = 10
# A change without a Job within this time is not counted, but reported.
PATIENCE = 180
QUIET = 30
NAMESPACE = "bench"
GROUP = "apis/patching.c5c3.io/v1alpha1"


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, **options)
    if done.returncode:
        sys.exit(f"{command}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait(what, until):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = until()
        if found:
            return found
        time.sleep(0.02)
    sys.exit(f"{what}: not within {PATIENCE} s")


def define(patchset, cluster):
    """Installs the custom resource definitions."""
    with tempfile.TemporaryDirectory() as crds:
        run(patchset, "crds", "--output-dir", crds)
        kubectl = ["kubectl", "--kubeconfig", cluster.kubeconfig]
        run(*kubectl, "apply", "--server-side", "--filename", crds)
        # A brand-new definition has no conditions yet, which makes kubectl fail.
        names = [f"crd/{name.removeprefix('patching.c5c3.io_').removesuffix('.yaml')}.patching.c5c3.io" for name in os.listdir(crds)]
        established = [*kubectl, "wait", "--for=condition=Established", "--timeout=60s", *names]
        wait("the definitions", lambda: subprocess.run(established, capture_output=True).returncode == 0)


class Cluster:
    """The API server, as its administrator."""

    def __init__(self, folder):
        self.kubeconfig = f"{folder}/kubeconfig"
        with open(self.kubeconfig) as file:
            text = file.read()
        field = lambda name: re.search(rf"{name}: (\S+)", text).group(1)
        self.server, self.token = field("server"), field("token")
        authority = base64.b64decode(field("certificate-authority-data")).decode()
        self.tls = ssl.create_default_context(cadata=authority)
        self.jobs, self.seen, self.watch, self.dropped = {}, threading.Condition(), None, set()

    def ask(self, method, path, body=None, kind="application/json"):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        request = urllib.request.Request(f"{self.server}/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, context=self.tls, timeout=30) as answer:
            return answer.read()

    def get(self, path):
        return json.loads(self.ask("GET", path))

    def apply(self, path, object):
        query = "?fieldManager=bench&force=true"
        return json.loads(self.ask("PATCH", path + query, object, "application/apply-patch+yaml"))

    def watch_jobs(self):
        command = ["kubectl", "--kubeconfig", self.kubeconfig, "--namespace", NAMESPACE]
        command += ["get", "jobs", "--watch", "--output=name"]
        self.watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

        def follow():
            for name in self.watch.stdout:
                now = time.perf_counter()
                with self.seen:
                    # A Job is listed again on each change; the first time counts.
                    self.jobs.setdefault(name.strip().removeprefix("job.batch/"), now)
                    self.seen.notify_all()

        threading.Thread(target=follow, daemon=True).start()

    def new_job(self, known, start):
        """Waits for a Job that is not known, and returns its name and the seconds since the start; None if none comes."""
        builds = set(map(build, known))
        new = lambda: [name for name in self.jobs if build(name) not in builds]
        with self.seen:
            if not self.seen.wait_for(new, PATIENCE):
                print(f"no Job within {PATIENCE} s", file=sys.stderr)
                return None
            name = new()[0]
            return name, self.jobs[name] - start

    def drop(self):
        """Deletes all Jobs so far: nothing here ends them, and those under way hold places.

        One deleted before its image is there is tried again, under another number; the next call deletes that.
        """
        with self.seen:
            jobs = set(self.jobs) - self.dropped
        for job in jobs:
            try:
                path = f"apis/batch/v1/namespaces/{NAMESPACE}/jobs/{job}?propagationPolicy=Background"
                self.ask("DELETE", path)
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
        self.dropped |= jobs

    def requests(self):
        """Requests by verb, without watches, the server's own requests, and those that ask for this."""
        counts = {}
        for line in self.ask("GET", "metrics").decode().splitlines():
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            own = labels.get("resource", "") in ("", "leases", "endpointslices", "apiservices", "services", "endpoints")
            if line.startswith("apiserver_request_total{") and labels["verb"] != "WATCH" and not own:
                key = "writes" if labels["verb"] not in ("GET", "LIST") else "reads"
                counts[key] = counts.get(key, 0) + float(line.rsplit(" ", 1)[1])
        return counts


class Bench:
    def __init__(self, patchset, cluster, folder):
        self.patchset, self.cluster, self.folder = patchset, cluster, folder
        self.processes = []

    def start(self, name, command, **environment):
        log = open(f"{self.folder}/{name}.log", "wb")
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
        self.processes.append(process)

    def log(self, name):
        with open(f"{self.folder}/{name}.log", errors="replace") as file:
            return file.read()

    def stop(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()

    def serve(self):
        """Starts a registry, a Git server and the controller."""
        self.registry = f"127.0.0.1:{free_port()}"
        with open(f"{self.folder}/registry.yml", "w") as file:
            file.write(
                f"version: 0.1\nlog:\n  accesslog:\n    disabled: false\nstorage:\n  filesystem:\n"
                f"    rootdirectory: {self.folder}/registry\nhttp:\n  addr: {self.registry}\n"
            )
        self.start("registry", ["docker-registry", "serve", f"{self.folder}/registry.yml"])
        git, metrics, health = free_port(), free_port(), free_port()
        self.git = f"git://127.0.0.1:{git}/upstream.git"
        # `git daemon` starts this as a separate process, which would stay.
        programs = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
        self.start(
            "git",
            [f"{programs}/git-daemon", "--verbose", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={git}"]
            + [f"--base-path={self.folder}"],
        )
        self.metrics = f"http://127.0.0.1:{metrics}/metrics"
        self.start(
            "controller",
            [self.patchset, "controller", "--watch-all-namespaces=false", "--runtime-namespace", NAMESPACE]
            + ["--interval-jitter-percentage=0", "--min-interval=1s", "--allow-transport=https,git", "--storage-path", f"{self.folder}/data"]
            + [f"--plain-http-registry={self.registry}", f"--metrics-addr=127.0.0.1:{metrics}"]
            + [f"--health-addr=127.0.0.1:{health}"],
            KUBECONFIG=self.cluster.kubeconfig,
        )
        wait("the registry", lambda: reachable(f"http://{self.registry}/v2/"))
        wait("the controller", lambda: reachable(f"http://127.0.0.1:{health}/readyz"))

    def reconciliations(self):
        with urllib.request.urlopen(self.metrics) as answer:
            text = answer.read().decode()
        found = re.findall(r'patchset_reconciliations_total\{kind="PatchSet",outcome="(\w+)"\} (\d+)', text)
        return {outcome: int(count) for outcome, count in found}


def build(job):
    """What a Job builds: the names of the first and further tries differ in the last number."""
    return job.rsplit("-", 1)[0] if job.startswith("bench-") else job


def reachable(url):
    try:
        return urllib.request.urlopen(url, timeout=1).status == 200
    except OSError:
        return False


def patches(repository, old, new):
    """Changes that apply to OLD one after the other, one per file, and small enough for a ConfigMap."""
    git = ["git", "--git-dir", repository]
    diff = run(*git, "diff", "--full-index", "--no-renames", "--diff-filter=M", old, new, "--", "*.py")
    parts = diff.decode().split("\ndiff --git ")
    whole = [parts[0] + "\n"] + [f"diff --git {part.rstrip(chr(10))}\n" for part in parts[1:]]
    small = [patch for patch in whole if len(patch) < 20000]
    return {f"{number:04}.patch": patch for number, patch in enumerate(small[:PATCHES])}


def changing(number):
    return f"--- /dev/null\n+++ b/bench.txt\n@@ -0,0 +1 @@\n+{number}\n"


def config_map(data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "patches"}, "data": data}


def patch_set(bench, interval):
    return {
        "apiVersion": "patching.c5c3.io/v1alpha1",
        "kind": "PatchSet",
        "metadata": {"name": "bench"},
        "spec": {
            "component": "nova",
            "release": "2025.2",
            "interval": interval,
            "upstream": {"url": bench.git, "ref": {"branch": "main"}},
            "patches": {"configMap": {"name": "patches"}},
            "build": {
                "engine": "Job",
                "image": {"repository": f"{bench.registry}/nova"},
                "source": {"repository": f"{bench.registry}/nova-source"},
                "dockerfile": {"inline": "FROM scratch\nCOPY --from=nova . /nova\n"},
            },
        },
    }


PIPELINE = """set -e
git clone --quiet --depth 1 --branch main "$UPSTREAM" "$WORK/tree"
git -C "$WORK/tree" apply --check "$WORK"/*.patch
git -C "$WORK/tree" apply "$WORK"/*.patch
kubectl --kubeconfig "$KUBECONFIG" --namespace bench create job "$NAME" --image=builder -- build >/dev/null
"""


def pipeline(bench, name, data):
    work = tempfile.mkdtemp(dir=bench.folder)
    for file, text in data.items():
        with open(f"{work}/{file}", "w") as out:
            out.write(text)
    environment = {"UPSTREAM": bench.git, "WORK": work, "NAME": name, "KUBECONFIG": bench.cluster.kubeconfig}
    return work, lambda: run("sh", "-c", PIPELINE, env={**os.environ, **environment})


def timed(cluster, change):
    """Seconds from a change to the Job that it leads to; None if none came."""
    with cluster.seen:
        known = set(cluster.jobs)
    start = time.perf_counter()
    change()
    found = cluster.new_job(known, start)
    cluster.drop()
    # What the Job's end causes is not part of the next run.
    time.sleep(1)
    return found and found[1]


def measure(bench, base):
    """Seconds from a change to the Job, for each kind of change: ours, the peer's."""
    cluster, results = bench.cluster, {"a patch changed": ([], []), "the upstream moved": ([], [])}
    core = f"api/v1/namespaces/{NAMESPACE}/configmaps/patches"
    ours = f"{GROUP}/namespaces/{NAMESPACE}/patchsets/bench"
    git = ["git", "--git-dir", f"{bench.folder}/upstream.git"]
    who = {"GIT_AUTHOR_NAME": "bench", "GIT_AUTHOR_EMAIL": "b@example.org"}
    who |= {"GIT_COMMITTER_NAME": "bench", "GIT_COMMITTER_EMAIL": "b@example.org"}
    for number in range(RUNS):
        data = {**base, "9999.patch": changing(number)}
        results["a patch changed"][0].append(timed(cluster, lambda: cluster.apply(core, config_map(data))))
        work, peer = pipeline(bench, f"peer-patch-{number}", data)
        results["a patch changed"][1].append(timed(cluster, peer))
        shutil.rmtree(work)
    for number in range(RUNS):
        blob = run(*git, "hash-object", "-w", "--stdin", input=f"{number}\n".encode()).decode().strip()
        tree = run(*git, "ls-tree", "main").decode() + f"100644 blob {blob}\tmoved-{number}\n"
        tree = run(*git, "mktree", input=tree.encode()).decode().strip()
        commit = run(*git, "commit-tree", tree, "-p", "main", "-m", "move", env={**os.environ, **who}).decode().strip()
        request = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": str(number)}}}

        def move():
            run(*git, "update-ref", "refs/heads/main", commit)
            cluster.ask("PATCH", ours, request, "application/merge-patch+json")

        results["the upstream moved"][0].append(timed(cluster, move))
        work, peer = pipeline(bench, f"peer-move-{number}", data)
        results["the upstream moved"][1].append(timed(cluster, peer))
        shutil.rmtree(work)
    return results


def push_image(registry, target, inputs):
    """Does what a builder does at its end: pushes an image with a label that says what it was built from."""
    repository, tag = target.removeprefix(f"{registry}/").rsplit(":", 1)

    def blob(content):
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        begun = urllib.request.Request(f"http://{registry}/v2/{repository}/blobs/uploads/", b"", method="POST")
        with urllib.request.urlopen(begun) as answer:
            location = answer.headers["Location"]
        headers = {"Content-Type": "application/octet-stream"}
        put = urllib.request.Request(f"{location}&digest={digest}", content, headers, method="PUT")
        urllib.request.urlopen(put).close()
        return {"digest": digest, "size": len(content)}

    labels = {"Labels": {"patching.c5c3.io/inputs": inputs}}
    empty = {"type": "layers", "diff_ids": []}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": labels, "rootfs": empty}).encode()
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(config)},
        "layers": [],
    }
    url = f"http://{registry}/v2/{repository}/manifests/{tag}"
    put = urllib.request.Request(url, json.dumps(manifest).encode(), {"Content-Type": kind}, method="PUT")
    urllib.request.urlopen(put).close()


def quiet(bench):
    """What an unchanged PatchSet costs over time, with the image that it asks for in the registry."""
    cluster, path = bench.cluster, f"{GROUP}/namespaces/{NAMESPACE}/patchsets/bench"
    build = cluster.get(path)["status"]["build"]
    push_image(bench.registry, build["target"], build["inputsDigest"])
    cluster.apply(path, patch_set(bench, "1s"))
    ready = lambda: [c for c in cluster.get(path)["status"]["conditions"] if c["type"] == "Ready" and c["status"] == "True"]
    wait("the PatchSet", ready)
    time.sleep(3)

    def state():
        return {
            "version": cluster.get(path)["metadata"]["resourceVersion"],
            "turns": bench.reconciliations().get("Unchanged", 0),
            "registry": bench.log("registry").count("/v2/"),
            "git": bench.log("git").count("Request upload-pack"),
            **cluster.requests(),
        }

    before = state()
    time.sleep(QUIET)
    after = state()
    if before["version"] != after["version"]:
        print("an unchanged PatchSet was written", file=sys.stderr)
    change = lambda key: int(after.get(key, 0) - before.get(key, 0))
    # The second look at the object falls between the two looks at the counters.
    return change("turns"), change("reads") - 1, change("writes"), change("registry"), change("git")


def milliseconds(values):
    """Median and 95th percentile of those that came."""
    ordered = sorted(value for value in values if value is not None)
    if not ordered:
        return float("nan"), float("nan")
    median, high = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, round(len(ordered) * 0.95) - 1)]
    return median * 1000, high * 1000


def main():
    patchset, cluster_folder, repository, old, new = sys.argv[1:]
    cluster = Cluster(cluster_folder)
    folder = tempfile.mkdtemp()
    bench = Bench(patchset, cluster, folder)
    try:
        git = ["git", "--git-dir", f"{folder}/upstream.git"]
        run("git", "init", "--quiet", "--bare", "--initial-branch=main", f"{folder}/upstream.git")
        run(*git, "fetch", "--quiet", "--depth", "1", f"file://{repository}", f"refs/tags/{old}:refs/heads/main")
        files = len(run(*git, "ls-tree", "-r", "--name-only", "main").splitlines())
        base = patches(repository, old, new)
        define(patchset, cluster)
        run("kubectl", "--kubeconfig", cluster.kubeconfig, "create", "namespace", NAMESPACE)
        bench.serve()
        cluster.watch_jobs()
        cluster.apply(f"api/v1/namespaces/{NAMESPACE}/configmaps/patches", config_map(base))
        path = f"{GROUP}/namespaces/{NAMESPACE}/patchsets/bench"
        timed(cluster, lambda: cluster.apply(path, patch_set(bench, "1h")))

        results = measure(bench, base)
        print(f"{len(base) + 1} patches on a tree of {files} files; {RUNS} runs of each, one after the other.\n")
        print("| from a change to the Job, ms | patchset, median | p95 | clone + `git apply` + `kubectl create job`, median | p95 | times |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for what, (ours, theirs) in results.items():
            (median, high), (peer, peer_high) = milliseconds(ours), milliseconds(theirs)
            print(f"| {what} | {median:.0f} | {high:.0f} | {peer:.0f} | {peer_high:.0f} | {peer / median:.1f} |")
        missing = sum(value is None for ours, theirs in results.values() for value in ours + theirs)
        if missing:
            print(f"\n{missing} runs had no Job within {PATIENCE} s, and are not counted.")
        turns, reads, writes, registry, looks = quiet(bench)
        print(f"\nAn unchanged PatchSet with its image built, in {QUIET} s with an interval of 1 s:\n")
        print("| reconciliations | reads from the API server | writes to it | requests to the registry | looks at refs |")
        print("| ---: | ---: | ---: | ---: | ---: |")
        print(f"| {turns} | {reads} | {writes} | {registry} | {looks} |")
    except SystemExit:
        try:
            status = cluster.get(f"{GROUP}/namespaces/{NAMESPACE}/patchsets/bench").get("status", {})
            print(json.dumps(status.get("conditions"), indent=1), file=sys.stderr)
        except OSError:
            pass
        for name in ("controller", "registry", "git"):
            if os.path.exists(f"{folder}/{name}.log"):
                print(f"{name}:\n{bench.log(name)[-4000:]}", file=sys.stderr)
        raise
    finally:
        bench.stop()
        if cluster.watch:
            cluster.watch.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
