"""What must hold in the end, each as a line with what was found."""

import repositories
from tenants import patch_text

# The promises: seconds that a hostile namespace may cost, bytes of memory, seconds to end in.
SURPLUS = 30
MEMORY = 400 << 20
TO_END = 10


class Verdicts:
    """Passed and failed checks."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, what, wrong):
        """A check passes if nothing is wrong."""
        if wrong:
            self.failed += 1
            print(f"FAILED  {what}")
            for line in wrong[:10]:
                print(f"          {line}")
            if len(wrong) > 10:
                print(f"          and {len(wrong) - 10} more")
        else:
            self.passed += 1
            print(f"passed  {what}")

    def summary(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


def not_ready(tenants):
    """Honest objects that are not Ready at their last revision."""
    found = []
    for one in tenants.objects:
        if not one.is_settled():
            ready = [c for c in one.status.get("conditions", []) if c["type"] == "Ready"]
            told = (
                f"{ready[0]['status']} {ready[0]['reason']}: {ready[0]['message'][:200]}"
                if ready
                else "no condition"
            )
            found.append(
                f"{one.namespace}/{one.name} is at {one.revision()} of {(one.upstream, one.patch)}; {told}"
            )
    return found


def other_trees(tenants):
    """Objects whose patched tree is not the one that git makes."""
    found = []
    for one in tenants.objects:
        commit = next(commit for commit, revision in one.revisions.items() if revision == one.upstream)
        expected = repositories.patched_tree(one.repository, commit, patch_text(one.patch))
        if one.status.get("patchedTree") != expected:
            found.append(
                f"{one.namespace}/{one.name}: {one.status.get('patchedTree')}, and git has {expected}"
            )
    return found


def sequences(deliveries, images):
    """The revisions that were delivered to each object, in order; an image that no CI built is kept as it is."""
    found = {}
    for key, references in deliveries.items():
        for reference in references:
            owner, *revision = images.get(reference.rsplit("@", 1)[-1], (None,))
            found.setdefault(key, []).append(tuple(revision) if owner == key else reference)
    return found


def out_of_order(sequences):
    """Objects to which something older was delivered over something newer, or what is not theirs."""
    found = []
    for key, revisions in sequences.items():
        strange = [revision for revision in revisions if isinstance(revision, str)]
        found += [f"{key}: {reference} was not built for it" for reference in strange]
        known = [revision for revision in revisions if not isinstance(revision, str)]
        for before, after in zip(known, known[1:]):
            if after[0] < before[0] or after[1] < before[1]:
                found.append(f"{key}: {after} over {before}")
    return found


def twice(sequences):
    """Objects to which the same was delivered more than once."""
    found = []
    for key, revisions in sequences.items():
        again = {revision for revision in revisions if revisions.count(revision) > 1}
        found += [
            f"{key}: {revision} was delivered {revisions.count(revision)} times" for revision in sorted(again)
        ]
    return found


def not_delivered(tenants, sequences):
    """Objects whose last revision is not what was delivered last."""
    found = []
    for one in tenants.objects:
        last = sequences.get(f"{one.namespace}/{one.name}", [None])[-1]
        if one.builds and last != (one.upstream, one.patch):
            found.append(f"{one.namespace}/{one.name}: {last} and not {(one.upstream, one.patch)}")
    return found


def waits(tenants, phase):
    """What each change of a phase waited until Ready: (kind of the object, its name, seconds)."""
    found = []
    for one in tenants.objects:
        for change in one.changes:
            wait = change.ready if change.cut is None else change.cut
            if change.phase == phase and wait is not None:
                found.append((one.kind, one.name, wait))
    return found


def late(reference, measured):
    """Changes that waited too much longer than the slowest of the same kind of object in the reference."""
    slowest = {}
    for kind, _, wait in reference:
        slowest[kind] = max(slowest.get(kind, 0.0), wait)
    found = sorted(
        ((wait - slowest.get(kind, 0.0), name, wait) for kind, name, wait in measured), reverse=True
    )
    return [
        f"{name} waited {wait:.1f} s, {more:.1f} s longer than one of its kind alone"
        for more, name, wait in found
        if more > SURPLUS
    ]
