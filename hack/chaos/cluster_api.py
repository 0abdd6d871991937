"""The API server over HTTP: requests, requests repeated until the server is back, and watches."""

import base64
import http.client
import json
import re
import ssl
import threading
import time
import urllib.parse

GROUP = "/apis/patching.c5c3.io/v1alpha1"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


class Refused(Exception):
    """The API server's answer was an error."""

    def __init__(self, status, text):
        super().__init__(f"{status}: {text[:500]}")
        self.status = status


def path_of(namespace, plural, name="", group=GROUP):
    """The path of an object, or of all objects of a kind in a namespace."""
    return f"{group}/namespaces/{namespace}/{plural}{'/' if name else ''}{name}"


class Api:
    """Requests as one user. Each thread has a connection of its own."""

    def __init__(self, kubeconfig, user=None):
        with open(kubeconfig) as file:
            text = file.read()

        def field(name):
            return re.search(rf"{name}: (\S+)", text).group(1)

        server = urllib.parse.urlsplit(field("server"))
        self.host, self.port = server.hostname, server.port
        authority = base64.b64decode(field("certificate-authority-data")).decode()
        self.tls = ssl.create_default_context(cadata=authority)
        self.headers = {"Authorization": f"Bearer {field('token')}"}
        if user:
            self.headers["Impersonate-User"] = user
        self.local = threading.local()

    def connect(self, timeout):
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.tls)

    def ask(self, method, path, body=None, kind="application/json", timeout=20):
        """Makes a request and returns the API server's answer. Raises OSError if there is none, or Refused."""
        connection = getattr(self.local, "connection", None)
        if connection is None:
            connection = self.local.connection = self.connect(timeout)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            connection.request(method, path, data, {**self.headers, "Content-Type": kind})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise OSError(f"the API server does not answer: {error!r}") from error
        if answer.status >= 400:
            raise Refused(answer.status, text.decode(errors="replace"))
        return json.loads(text) if text[:1] == b"{" else text

    def insist(self, method, path, body=None, kind="application/json", patience=180, begun=None):
        """Repeats a request until the API server takes it, as a person would. `begun` is called before each try."""
        end = time.monotonic() + patience
        while True:
            try:
                if begun:
                    begun()
                return self.ask(method, path, body, kind)
            except (OSError, Refused) as error:
                passing = (
                    not isinstance(error, Refused) or error.status in (401, 409, 429) or error.status >= 500
                )
                if not passing or time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def apply(self, path, thing, begun=None):
        return self.insist("PATCH", f"{path}?fieldManager=chaos&force=true", thing, APPLY, begun=begun)

    def list(self, path):
        """All objects, page by page."""
        items, token = [], ""
        while True:
            page = self.insist("GET", f"{path}?limit=500&continue={urllib.parse.quote(token)}")
            items += page["items"]
            token = page["metadata"].get("continue", "")
            if not token:
                return items


class Watch:
    """Follows objects whenever the connection ends, and reports each state that it is shown."""

    def __init__(self, api, path, tell, selector=""):
        self.api, self.path, self.tell = api, path, tell
        self.selector = f"fieldSelector={selector}&" if selector else ""
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        version = None
        while True:
            try:
                if version is None:
                    version = self.look()
                version = self.read(version)
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.3)
            except Refused as refused:
                # 410 Gone: what was in between is lost; the list shows what is now.
                version = None if refused.status == 410 else version
                time.sleep(0.3)

    def look(self):
        found = self.api.ask("GET", f"{self.path}?{self.selector}limit=5000")
        for item in found["items"]:
            self.tell("ADDED", item)
        return found["metadata"]["resourceVersion"]

    def read(self, version):
        connection = self.api.connect(timeout=40)
        query = (
            f"{self.selector}watch=1&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion={version}"
        )
        try:
            connection.request("GET", f"{self.path}?{query}", headers=self.api.headers)
            answer = connection.getresponse()
            if answer.status != 200:
                raise Refused(answer.status, answer.read().decode(errors="replace"))
            while line := answer.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise Refused(event["object"].get("code", 500), json.dumps(event["object"]))
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self.tell(event["type"], event["object"])
        except TimeoutError:
            pass
        finally:
            connection.close()
        return version
