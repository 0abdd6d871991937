"""Servers of the hostile tenant, in a process of its own: Git servers that drip, drown or explode, registries that answer nonsense.

usage: hostile_servers.py CANARY_PORT API_SERVER_PORT

Prints their ports as a line of JSON: `git`, the proxies `proxy-drip` and `proxy-lie`, and one for each registry by what is wrong with
it. All of it is bounded.
"""

import http.server
import json
import sys
import threading
import time

import bombs
from tenants import NAMESPACES, spread

DRIP = 5
REFS = 1_000_000
# Bytes of all endless answers together, and of one part of them.
ENDLESS, PART = 2 << 30, 1 << 20
# The branch of the hostile tenant itself, and those of the honest ones, which a proxy answers for.
BRANCHES = [b"main", *(name.encode() for _, name, _ in spread(NAMESPACES, 100))]
LINK_LOCAL = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
REGISTRIES = (
    "line-feed",
    "endless-token",
    "no-location",
    "wrong-location",
    "link-local",
    "api-server",
    "canary",
)


def line(data):
    """A pkt-line of git's protocol."""
    return b"%04x%s" % (len(data) + 4, data)


class Hostile(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer_safely(b"")

    do_HEAD = do_PATCH = do_DELETE = do_GET

    def do_POST(self):
        self.answer_safely(self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 64 << 20)))

    do_PUT = do_POST

    def answer_safely(self, body):
        try:
            self.server.answer(self, body)
        except OSError:
            self.close_connection = True

    def send(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def begin(self, kind):
        """Starts an answer that ends with the connection."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), Hostile)
        self.answer = answer
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass


class Git:
    """The path decides: /drip, /refs, /bomb. As a proxy it is asked for other servers' addresses, and answers itself."""

    def __init__(self, content, drips=False):
        self.drips = drips
        self.commit, self.pack = content
        self.refs = None
        self.lock = threading.Lock()

    def many_refs(self):
        with self.lock:
            if self.refs is None:
                names = (
                    b"%s refs/heads/branch-%07d\n" % (self.commit.encode(), number) for number in range(REFS)
                )
                self.refs = b"".join(line(name) for name in names) + b"0000"
            return self.refs

    def __call__(self, request, body):
        if self.drips or request.path.startswith("/drip"):
            request.begin("application/x-git-upload-pack-advertisement")
            for byte in b"001e# service=git-upload-pack\n" * 1000:
                request.wfile.write(bytes([byte]))
                request.wfile.flush()
                time.sleep(DRIP)
        elif request.command == "GET":
            offer = [
                b"version 2\n",
                b"agent=git/2.39\n",
                b"ls-refs\n",
                b"fetch=shallow\n",
                b"object-format=sha1\n",
            ]
            text = line(b"# service=git-upload-pack\n") + b"0000" + b"".join(map(line, offer)) + b"0000"
            request.send(200, text, Content_Type="application/x-git-upload-pack-advertisement")
        elif b"command=ls-refs" in body:
            some = (
                b"".join(line(b"%s refs/heads/%s\n" % (self.commit.encode(), name)) for name in BRANCHES)
                + b"0000"
            )
            text = self.many_refs() if request.path.startswith("/refs") else some
            request.send(200, text, Content_Type="application/x-git-upload-pack-result")
        else:
            shallow = line(b"shallow-info\n") + line(b"shallow %s\n" % self.commit.encode()) + b"0001"
            parts = [self.pack[at : at + 60000] for at in range(0, len(self.pack), 60000)]
            text = shallow + line(b"packfile\n") + b"".join(line(b"\x01" + part) for part in parts) + b"0000"
            request.send(200, text, Content_Type="application/x-git-upload-pack-result")


class Registry:
    """A registry, by what is wrong with it. It is also GitHub's API, which leads astray."""

    left = ENDLESS
    lock = threading.Lock()

    def __init__(self, wrong, canary, api_server):
        self.wrong = wrong
        self.target = {
            "link-local": LINK_LOCAL,
            "api-server": f"https://127.0.0.1:{api_server}/api/v1/secrets",
            "canary": f"http://127.0.0.1:{canary}/led-astray",
        }.get(wrong)

    def __call__(self, request, _):
        host = request.headers.get("Host", "")
        if self.target:
            request.send(307, Location=self.target)
        elif request.path.startswith("/token"):
            self.token(request)
        elif self.wrong in ("line-feed", "endless-token"):
            challenge = f'Bearer realm="http://{host}/token",service="x",scope="repository:x:pull,push"'
            request.send(401, WWW_Authenticate=challenge)
        elif request.command == "POST" and self.wrong == "no-location":
            request.send(202)
        elif request.command == "POST":
            request.send(202, Location="http://[::1")
        elif request.command == "PUT":
            request.send(201)
        else:
            request.send(200 if request.path == "/v2/" else 404)

    def token(self, request):
        if self.wrong == "line-feed":
            request.send(200, b'{"token": "a\\nb: c"}', Content_Type="application/json")
            return
        request.begin("application/json")
        request.wfile.write(b'{"token": "')
        while True:
            with Registry.lock:
                if Registry.left <= 0:
                    return
                Registry.left -= PART
            request.wfile.write(b"a" * PART)
            time.sleep(0.01)


def main():
    canary, api_server = map(int, sys.argv[1:])
    servers = {
        "git": Server(Git(bombs.delta_bomb())),
        "proxy-drip": Server(Git(bombs.foreign_commit(), drips=True)),
        "proxy-lie": Server(Git(bombs.foreign_commit())),
    }
    for wrong in REGISTRIES:
        servers[wrong] = Server(Registry(wrong, canary, api_server))
    print(json.dumps({name: server.server_address[1] for name, server in servers.items()}), flush=True)
    threading.Event().wait()


main()
