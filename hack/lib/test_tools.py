"""What tools.sh says of a machine that lacks something, by running it."""

import subprocess
import tempfile
import unittest
from pathlib import Path

TOOLS = Path(__file__).with_name("tools.sh")


class Space(unittest.TestCase):
    def need_space(self, gibibytes):
        with tempfile.TemporaryDirectory() as folder:
            script = f". '{TOOLS}'\nneed_space {gibibytes} '{folder}/new'\necho went on"
            return subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
            )

    def test_a_disk_with_room_is_not_spoken_of(self):
        ended = self.need_space(0)
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "went on\n", ""))

    def test_a_disk_that_is_too_full_ends_it_and_says_what_to_do(self):
        ended = self.need_space(1_000_000_000)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertRegex(ended.stderr, r"^error: \d+ GiB are free where /.*/new is, and this needs 1000000000: make room")
        self.assertIn("XDG_CACHE_HOME", ended.stderr)


if __name__ == "__main__":
    unittest.main()
