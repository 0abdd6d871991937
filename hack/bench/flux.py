"""What Flux costs an object, as the peer of many.py: kustomize-controller with many Kustomizations on one source.

usage: flux.py KUSTOMIZE_CONTROLLER DEFINITIONS CLUSTER [KUSTOMIZATIONS]

CLUSTER is the folder of a control plane that hack/cluster.sh started, DEFINITIONS that of Flux's kinds. Each Kustomization applies one
ConfigMap of an artifact that is served here, as source-controller does it. Prints a Markdown table with a row.
"""

import hashlib
import http.server
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

from controller import Cluster, free_port, run, wait

NAMESPACE = f"flux-{os.getpid()}"
PATIENCE = 1800
AT_REST = 60
TICKS = os.sysconf("SC_CLK_TCK")
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app-${number}\ndata:\n  one: two\n"


def artifact():
    text, packed = CONFIG_MAP.encode(), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("app.yaml")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return packed.getvalue()


def serve(packed):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(packed)))
            self.end_headers()
            self.wfile.write(packed)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/app.tar.gz"


class Flux:
    def __init__(self, program, cluster, folder, count):
        self.cluster, self.count = cluster, count
        command = [program, "--enable-leader-election=false", "--watch-all-namespaces=true", "--log-level=error"]
        command += [f"--metrics-addr=127.0.0.1:{free_port()}", f"--health-addr=127.0.0.1:{free_port()}"]
        environment = {"KUBECONFIG": cluster.kubeconfig, "RUNTIME_NAMESPACE": NAMESPACE, "TMPDIR": folder}
        with open(f"{folder}/log", "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})

    def state(self):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        cpu = (int(fields[11]) + int(fields[12])) / TICKS
        return {"time": time.monotonic(), "cpu": cpu, "reads": 0, "writes": 0, **self.cluster.requests()}

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 1024

    def make(self, packed, url):
        source = f"apis/source.toolkit.fluxcd.io/v1/namespaces/{NAMESPACE}/gitrepositories/app"
        kind = {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": "app"}}
        self.cluster.apply(source, {**kind, "spec": {"url": "https://git.invalid/app", "interval": "1h"}})
        digest, now = f"sha256:{hashlib.sha256(packed).hexdigest()}", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        found = {"path": "app.tar.gz", "url": url, "revision": f"main@sha1:{'1' * 40}", "digest": digest}
        status = {"observedGeneration": 1, "artifact": {**found, "lastUpdateTime": now, "size": len(packed)}}
        self.cluster.ask("PATCH", f"{source}/status", {"status": status}, "application/merge-patch+json")
        path = f"apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{NAMESPACE}/kustomizations"
        for number in range(self.count):
            spec = {"interval": "30m", "path": "./", "prune": True, "sourceRef": {"kind": "GitRepository", "name": "app"}}
            spec |= {"targetNamespace": NAMESPACE, "postBuild": {"substitute": {"number": f"n{number}"}}}
            kind = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": f"k{number}"}}
            self.cluster.ask("POST", path, {**kind, "spec": spec})

    def ready(self):
        path = f"apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{NAMESPACE}/kustomizations"
        conditions = lambda item: item.get("status", {}).get("conditions", [])
        is_ready = lambda item: any(one["type"] == "Ready" and one["status"] == "True" for one in conditions(item))
        return sum(map(is_ready, self.cluster.get(path)["items"]))


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    program, definitions, cluster, *count = sys.argv[1:]
    cluster, folder = Cluster(cluster), tempfile.mkdtemp(prefix="flux-")
    kubectl = ["kubectl", "--kubeconfig", cluster.kubeconfig]
    run(*kubectl, "apply", "--server-side", "--filename", definitions)
    established = [*kubectl, "wait", "--for=condition=Established", "--timeout=60s"]
    established += ["crd/kustomizations.kustomize.toolkit.fluxcd.io", "crd/gitrepositories.source.toolkit.fluxcd.io"]
    wait("Flux's definitions", lambda: subprocess.run(established, capture_output=True).returncode == 0)
    run(*kubectl, "create", "namespace", NAMESPACE)
    flux = Flux(program, cluster, folder, int(count[0]) if count else 200)
    try:
        # Let its caches fill.
        time.sleep(10)
        packed, before = artifact(), flux.state()
        flux.make(packed, serve(packed))
        # Each look here lists all of them once.
        looks, ready, end = 0, 0, time.monotonic() + PATIENCE
        while ready < flux.count and time.monotonic() < end:
            time.sleep(2)
            ready, looks = flux.ready(), looks + 1
        after = flux.state()
        time.sleep(AT_REST)
        rest = flux.state()
        change = {name: after[name] - before[name] for name in before}
        # Less those that made the objects, and those that asked if they are Ready.
        writes, reads = change["writes"] - flux.count - 2, change["reads"] - looks
        print("| Kustomizations Ready | Ready, s | writes an object | reads an object | CPU an object, ms | memory, MiB | at rest: writes |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        print(
            f"| {ready} of {flux.count} on one source | {change['time']:.1f} | {writes / flux.count:.2f} | {reads / flux.count:.2f} "
            f"| {1000 * change['cpu'] / flux.count:.1f} | {flux.memory():.0f} | {rest['writes'] - after['writes']:.0f} |"
        )
        if ready < flux.count:
            with open(f"{folder}/log", errors="replace") as file:
                print(file.read()[-4000:], file=sys.stderr)
    finally:
        flux.process.kill()
        flux.process.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
