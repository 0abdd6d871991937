"""What hack/demo.sh --here says of clusters that it cannot use: soon, and before it builds anything."""

import json
import os
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

HACK = Path(__file__).resolve().parents[1]
# Far more than anything here takes, for a busy machine.
DEADLINE = 120


def find_program(name):
    script = f". '{HACK}/lib/common.sh'; find_program {name}"
    return subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout.strip()


class Here(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.kubeconfig = self.folder / "kubeconfig"
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir()

    def write_kubeconfig(self, server, token="none", authority=None):
        cluster = {"server": server, **({"certificate-authority-data": authority} if authority else {})}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "theirs", "cluster": cluster}],
            "users": [{"name": "me", "user": {"token": token}}],
            "contexts": [{"name": "theirs", "context": {"cluster": "theirs", "user": "me"}}],
            "current-context": "theirs",
        }
        self.kubeconfig.write_text(json.dumps(config))

    def refusal(self):
        """The last line that the demo prints; it leaves nothing."""
        run = subprocess.run(
            [HACK / "demo.sh", "--here"],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "TMPDIR": str(self.temporary)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        self.assertEqual((run.returncode, run.stdout), (1, ""), run.stderr)
        self.assertEqual(list(self.temporary.iterdir()), [])
        return run.stderr.splitlines()[-1]

    def test_no_context(self):
        self.kubeconfig.write_text("")
        self.assertRegex(self.refusal(), "^error: --here takes the current context of your kubeconfig, and there is none")

    def test_a_cluster_that_does_not_answer(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            self.write_kubeconfig(f"https://127.0.0.1:{closed.getsockname()[1]}")
            self.assertRegex(self.refusal(), "^error: the cluster of the context theirs does not answer")

    def test_a_cluster_that_answers_others(self):
        cluster = self.folder / "cluster"
        server = subprocess.Popen(
            [HACK / "cluster.sh", "serve", cluster], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            self.assertEqual(server.stdout.readline(), "ready\n")
            kubectl = [find_program("kubectl"), "--kubeconfig", cluster / "kubeconfig"]

            def ask(*arguments):
                return subprocess.run([*kubectl, *arguments], check=True, capture_output=True, text=True).stdout.strip()

            place = json.loads(ask("config", "view", "--raw", "--output", "json"))["clusters"][0]["cluster"]
            address, authority = place["server"], place["certificate-authority-data"]

            with self.subTest("not logged in"):
                self.write_kubeconfig(address, "nobody's", authority)
                self.assertRegex(self.refusal(), "^error: the cluster of the context theirs does not answer, or not to you")

            def wait_for_right(*question):
                """The API server learns of a binding a moment after it was made."""
                deadline = time.monotonic() + DEADLINE
                user = "system:serviceaccount:default:me"
                asked = [*kubectl, "auth", "can-i", *question, "--as", user]
                while subprocess.run(asked, capture_output=True).returncode != 0:
                    self.assertLess(time.monotonic(), deadline)

            ask("create", "serviceaccount", "me")
            self.write_kubeconfig(address, ask("create", "token", "me"), authority)
            with self.subTest("no rights"):
                self.assertRegex(
                    self.refusal(),
                    "^error: the user of the context theirs may not do there what the demo does: "
                    "kubectl auth can-i create customresourcedefinitions says no",
                )

            ask("create", "clusterrole", "kinds", "--verb=*", "--resource=customresourcedefinitions,namespaces")
            ask("create", "clusterrolebinding", "kinds", "--clusterrole=kinds", "--serviceaccount=default:me")
            wait_for_right("create", "customresourcedefinitions")
            with self.subTest("not enough rights"):
                self.assertIn("can-i '*' '*' --namespace patchset-demo says no", self.refusal())

            ask("create", "clusterrolebinding", "admin", "--clusterrole=cluster-admin", "--serviceaccount=default:me")
            ask("create", "namespace", "patchset-demo")
            wait_for_right("*", "*")
            with self.subTest("the namespace is there"):
                self.assertRegex(self.refusal(), "^error: the cluster of the context theirs has a namespace patchset-demo")
        finally:
            server.communicate(timeout=DEADLINE)


if __name__ == "__main__":
    unittest.main()
