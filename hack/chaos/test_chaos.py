"""What a run relies on: verdicts that can fail, schedules that can be repeated, hostile inputs that are what they seem.

usage: python3 -m unittest discover --start-directory hack/chaos
"""

import os
import subprocess
import tempfile
import unittest

import bombs
import faults
import repositories
import verdicts
from tenants import Change, Honest, Tenants, patch_text, upstream_files

IMAGES = {f"sha256:{number}": ("ns/one", number, number) for number in range(4)} | {
    "sha256:other": ("ns/other", 9, 9)
}


def delivered(*digests):
    return verdicts.sequences({"ns/one": [f"host/one:tag@sha256:{digest}" for digest in digests]}, IMAGES)


class VerdictsTest(unittest.TestCase):
    def test_order(self):
        self.assertEqual(verdicts.out_of_order(delivered(0, 1, 3)), [])
        self.assertEqual(len(verdicts.out_of_order(delivered(0, 3, 1))), 1)
        self.assertEqual(len(verdicts.out_of_order(delivered(0, "other"))), 1)
        self.assertEqual(len(verdicts.out_of_order(delivered(0, "unknown"))), 1)

    def test_twice(self):
        self.assertEqual(verdicts.twice(delivered(0, 1, 2)), [])
        self.assertEqual(len(verdicts.twice(delivered(0, 1, 1))), 1)
        self.assertEqual(len(verdicts.twice(delivered(0, 1, 0))), 1)

    def test_waits(self):
        one = Honest("ns", "one", "build", "repository")
        tenants = Tenants(None, 1, "", "", "", 0)
        tenants.objects = [one]
        one.changes = [
            Change(1, 0, "reference", ready=5.0),
            Change(2, 0, "quiet", ready=50.0, cut=36.0),
            Change(3, 0, "quiet", ready=34.0),
        ]
        reference, quiet = verdicts.waits(tenants, "reference"), verdicts.waits(tenants, "quiet")
        self.assertEqual(
            verdicts.late(reference, quiet), ["one waited 36.0 s, 31.0 s longer than one of its kind alone"]
        )

    def test_an_object_is_settled_at_its_last_revision_alone(self):
        one = Honest("ns", "one", "build", "repository", upstream=1, patch=2, revisions={"a": 0, "b": 1})
        change = Change(1, 2, "quiet", begun=10.0)
        one.changes = [change]

        def observe(commit, patch, truth, now):
            ready = [{"type": "Ready", "status": truth}]
            one.observe(
                {
                    "upstream": {"commit": commit},
                    "patches": [{"subject": f"Revision {patch}"}],
                    "conditions": ready,
                },
                now,
            )

        observe("a", 2, "True", 11.0)
        observe("b", 1, "True", 12.0)
        self.assertEqual((change.verdict, change.ready, one.is_settled()), (None, None, False))
        observe("b", 2, "Unknown", 13.0)
        self.assertEqual((change.verdict, change.ready, one.is_settled()), (3.0, None, False))
        observe("b", 2, "True", 14.0)
        self.assertEqual((change.verdict, change.ready, one.is_settled()), (3.0, 4.0, True))
        tenants = Tenants(None, 1, "", "", "", 0)
        tenants.objects = [one]
        self.assertEqual(verdicts.not_ready(tenants), [])
        self.assertEqual(len(verdicts.not_delivered(tenants, {})), 1)
        self.assertEqual(verdicts.not_delivered(tenants, {"ns/one": [(0, 2), (1, 2)]}), [])


class ScheduleTest(unittest.TestCase):
    def test_it_follows_from_the_seed(self):
        self.assertEqual(faults.burst(5, 2), faults.burst(5, 2))
        self.assertNotEqual(faults.burst(5, 2), faults.burst(6, 2))

    def test_each_server_has_each_fault_in_three_bursts(self):
        had = {(fault.kind, fault.target) for number in range(3) for fault in faults.burst(5, number)}
        self.assertEqual(len(had), len(faults.KINDS) * len(faults.TARGETS))

    def test_a_server_has_one_fault_at_a_time(self):
        for number in range(50):
            schedule = faults.burst(5, number)
            for target in faults.TARGETS:
                mine = [fault for fault in schedule if fault.target == target]
                self.assertTrue(all(a.end < b.start for a, b in zip(mine, mine[1:])), mine)


class InputsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.repository = f"{folder.name}/x.git"
        repositories.create(self.repository)

    def test_honest_patches_apply_at_any_revision(self):
        for revision in (0, 3):
            commit = repositories.commit(
                self.repository, f"b{revision}", upstream_files(revision), is_first=True
            )
            self.assertRegex(
                repositories.patched_tree(self.repository, commit, patch_text(7)), "^[0-9a-f]{40}$"
            )

    def test_git_takes_the_delta(self):
        commit, pack = bombs.delta_bomb(copies=1)
        repositories.git(self.repository, "unpack-objects", "-q", data=pack)
        self.assertEqual(repositories.git(self.repository, "cat-file", "-t", commit), "commit")

    def test_git_takes_the_foreign_commit(self):
        commit, pack = bombs.foreign_commit()
        repositories.git(self.repository, "unpack-objects", "-q", data=pack)
        self.assertIn("not what", repositories.git(self.repository, "show", f"{commit}:file.txt"))

    def test_git_takes_the_binary_patch(self):
        commit = repositories.commit(self.repository, "main", {"file": "text\n"}, is_first=True)
        tree = repositories.patched_tree(self.repository, commit, bombs.binary_bomb_patch("zeros", 1 << 20))
        self.assertIn("1048576\tzeros", repositories.git(self.repository, "ls-tree", "-l", tree))

    def test_images_are_read_off_commits(self):
        repositories.commit(
            self.repository, "main", {"apps/a.yaml": "image: none  # marker\n"}, is_first=True
        )
        commit = repositories.commit(self.repository, "main", {"apps/a.yaml": "image: x:1  # marker\n"})
        found = repositories.image_lines(self.repository, "main")
        self.assertEqual([entry[1:] for entry in found], [("apps/a.yaml", "none"), ("apps/a.yaml", "x:1")])
        self.assertEqual(found[-1][0], commit)

    def test_the_key_asks_for_all_rounds(self):
        with tempfile.TemporaryDirectory() as folder:
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-a", "1", "-f", f"{folder}/key"]
            if subprocess.run(command, env=os.environ, check=False, capture_output=True).returncode:
                self.skipTest("no ssh-keygen")
            with open(f"{folder}/key") as file:
                key = bombs.endless_key(file.read())
            with open(
                f"{folder}/endless", "w", opener=lambda path, flags: os.open(path, flags, 0o600)
            ) as file:
                file.write(key)
            # With another passphrase it is refused only after all rounds.
            with self.assertRaises(subprocess.TimeoutExpired):
                subprocess.run(
                    ["ssh-keygen", "-y", "-P", "secret", "-f", f"{folder}/endless"],
                    capture_output=True,
                    check=False,
                    timeout=3,
                )


if __name__ == "__main__":
    unittest.main()
