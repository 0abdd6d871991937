"""The processes of a run: how they are started, killed, paused and slowed, and what memory they took."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request

# A controller that ends by itself is started again after this time, as a kubelet would.
RESTART = 2


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(url, tls=None):
    """Whether a server answers a GET with success."""
    try:
        with urllib.request.urlopen(url, timeout=2, context=tls) as answer:
            return answer.status == 200
    except OSError:
        return False


def is_listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return True
    except OSError:
        return False


class Server:
    """A process with children of its own. Only the main thread starts it: it dies with the thread that did."""

    def __init__(self, name, command, folder, ready, environment=None, clean=None):
        self.name, self.command, self.folder, self.ready = name, command, folder, ready
        self.environment, self.clean = environment or {}, clean
        self.process, self.wanted, self.peak = None, False, 0
        # (seconds since the start of the system, exit status) of each end that nobody asked for
        self.ended_alone = []
        self.restart_at = None

    def start(self):
        if self.clean:
            self.clean()
        log = open(f"{self.folder}/{self.name}.log", "ab")
        with log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        self.wanted, self.restart_at = True, None

    def signal(self, number):
        if self.process and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def is_up(self):
        return self.process is not None and self.process.poll() is None

    def pause(self):
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """Ends it and its children at once."""
        self.look()
        self.wanted = False
        self.signal(signal.SIGKILL)
        self.process.wait()
        end = time.monotonic() + 10
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < end:
                os.killpg(self.process.pid, 0)
                time.sleep(0.01)

    def stop(self, patience):
        """Asks it to end; returns the seconds that it took, or None if it did not."""
        self.look()
        self.wanted = False
        begun = time.monotonic()
        self.process.terminate()
        try:
            self.process.wait(patience)
            return time.monotonic() - begun
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def look(self):
        """Notes its memory, and starts it again if it ended by itself."""
        if not self.process:
            return
        if self.wanted and self.process.poll() is not None and self.restart_at is None:
            self.ended_alone.append((time.monotonic(), self.process.returncode))
            self.restart_at = time.monotonic() + RESTART
        if self.restart_at and time.monotonic() >= self.restart_at:
            self.start()
        with contextlib.suppress(OSError), open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    self.peak = max(self.peak, int(line.split()[1]) * 1024)


class Adopted(Server):
    """A process that hack/lib/cluster.sh started: taken over with the command that it runs with."""

    def __init__(self, name, folder, ready):
        self.file = f"{folder}/{name}.pid"
        with open(self.file) as file:
            self.first = int(file.read())
        with open(f"/proc/{self.first}/cmdline", "rb") as file:
            command = [word.decode() for word in file.read().split(b"\0")[:-1]]
        super().__init__(name, command, folder, ready)

    def take_over(self):
        """Ends the one that the script started, and starts one that this process may signal."""
        os.kill(self.first, signal.SIGTERM)
        end = time.monotonic() + 90
        while is_running(self.first) and time.monotonic() < end:
            time.sleep(0.05)
        self.start()

    def start(self):
        super().start()
        # For the script that cleans up.
        with open(self.file, "w") as file:
            file.write(f"{self.process.pid}\n")


def is_running(pid):
    """Whether a process is there and not a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def registry(folder, host):
    """Debian's docker-registry."""
    with open(f"{folder}/registry.yml", "w") as file:
        file.write(
            f"version: 0.1\nlog:\n  accesslog:\n    disabled: true\n  level: error\nstorage:\n  filesystem:\n"
            f"    rootdirectory: {folder}/registry\nhttp:\n  addr: {host}\n"
        )
    command = ["docker-registry", "serve", f"{folder}/registry.yml"]
    return Server("registry", command, folder, lambda: answers(f"http://{host}/v2/"))


def controller(program, folder, kubeconfig, plain_registries):
    """The controller as installed, except for plain HTTP."""
    health, metrics = free_port(), free_port()
    command = [
        program,
        "controller",
        "--allow-transport=https,ssh,http",
        "--storage-path",
        f"{folder}/mirrors",
    ]
    command += [
        "--storage-capacity=2Gi",
        f"--metrics-addr=127.0.0.1:{metrics}",
        f"--health-addr=127.0.0.1:{health}",
    ]
    command += [f"--plain-http-registry={host}" for host in plain_registries]
    environment = {"KUBECONFIG": kubeconfig, "RUNTIME_NAMESPACE": "default"}
    return Server(
        "controller", command, folder, lambda: answers(f"http://127.0.0.1:{health}/readyz"), environment
    )
