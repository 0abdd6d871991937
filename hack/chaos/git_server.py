"""A Git server over HTTP in a process of its own: git http-backend for each request.

usage: git_server.py PORT FOLDER
"""

import http.server
import os
import subprocess
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(b"")

    def do_POST(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            self.answer(self.chunks())
        else:
            self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def chunks(self):
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, body):
        """Runs git http-backend as RFC 3875 says, and passes on what it writes."""
        path, _, query = self.path.partition("?")
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": self.server.folder,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_USER": "tenant",
        }
        for name in ("Content-Encoding", "Git-Protocol"):
            if self.headers.get(name):
                environment["HTTP_" + name.upper().replace("-", "_")] = self.headers[name]
        if self.headers.get("Git-Protocol"):
            environment["GIT_PROTOCOL"] = self.headers["Git-Protocol"]
        backend = subprocess.Popen(
            ["git", "http-backend"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        try:
            # git reads a request before it answers.
            backend.stdin.write(body)
            backend.stdin.close()
            self.head(backend.stdout)
            while part := backend.stdout.read1(1 << 16):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True
        finally:
            backend.stdout.close()
            backend.kill()
            backend.wait()

    def head(self, output):
        status, headers = 200, []
        while line := output.readline().decode().strip():
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def log_message(self, *_):
        pass


class GitServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def main():
    port, folder = sys.argv[1:]
    server = GitServer(("127.0.0.1", int(port)), Handler)
    server.folder = folder
    server.serve_forever()


main()
