//! Whether patches of two series are the same change.

use std::collections::BTreeSet;

use crate::headers::PatchIdentity;
use crate::history::{PatchId, stable_patch_id};

/// By what a patch of one series is known in another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct PatchMark {
    patch_id: Option<PatchId>,
    change_ids: BTreeSet<String>,
    /// The commits that it was made of or taken from.
    commits: BTreeSet<String>,
}

/// By what two patches are the same, from the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub(in crate::cli) enum SameBy {
    /// Both change the same in the same way.
    PatchId,
    /// Both have the same `Change-Id`s.
    ChangeId,
    /// Both were taken from the same commit, or one is that of the other.
    Commit,
}

impl PatchMark {
    /// Reads it of a patch.
    pub(in crate::cli) fn read(patch: &[u8]) -> Self {
        let identity = PatchIdentity::read(patch);
        let is_whole = |commit: &String| commit.len() == 40 && commit.bytes().any(|byte| byte != b'0');
        let commits = identity.picks.into_iter().flatten().chain(identity.commit);
        Self {
            patch_id: stable_patch_id(&with_git_headers(patch)),
            change_ids: identity.change_ids.into_iter().collect(),
            commits: commits.filter(is_whole).collect(),
        }
    }

    /// Whether another patch changes the same lines in the same way.
    pub(in crate::cli) fn changes_the_same(&self, other: &Self) -> bool {
        self.patch_id.is_some() && self.patch_id == other.patch_id
    }

    /// By what another patch is the same change; `None` where it is another one, or where that is
    /// not known.
    pub(in crate::cli) fn same_by(&self, other: &Self) -> Option<SameBy> {
        if self.changes_the_same(other) {
            return Some(SameBy::PatchId);
        }
        if !self.change_ids.is_empty() && self.change_ids == other.change_ids {
            return Some(SameBy::ChangeId);
        }
        let shares_commit = !self.commits.is_disjoint(&other.commits);
        shares_commit.then_some(SameBy::Commit)
    }
}

/// A plain diff with the line before each file that `git patch-id` looks for.
fn with_git_headers(patch: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(patch.len());
    let mut has_header = false;
    let mut lines = patch.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        has_header |= line.starts_with(b"diff --git ");
        let next = lines.peek().copied().unwrap_or_default();
        if let (Some(old), Some(new)) = (line.strip_prefix(b"--- "), next.strip_prefix(b"+++ ")) {
            if !has_header {
                let name = |line: &[u8]| {
                    let end = line.iter().position(|byte| b"\t\r\n".contains(byte));
                    line.get(..end.unwrap_or(line.len())).unwrap_or_default().to_vec()
                };
                text.extend([&b"diff --git "[..], &name(old), b" ", &name(new), b"\n"].concat());
            }
            has_header = false;
        }
        text.extend_from_slice(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n";

    fn same(one: &str, other: &str) -> Option<SameBy> {
        PatchMark::read(one.as_bytes()).same_by(&PatchMark::read(other.as_bytes()))
    }

    #[test]
    fn the_same_change_is_known_again() {
        let id = "a".repeat(40);
        let git = "diff --git a/x b/x\nindex 1234567..7654321 100644\n--- a/x\n+++ b/x\n@@ -7 +7 @@\n-a\n+b\n\
                   diff --git a/y b/y\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n";
        assert_eq!(same(DIFF, git), Some(SameBy::PatchId));
        assert_eq!(same(DIFF, &DIFF.replace("+b", "+c")), None);
        let mail = |note: &str, diff: &str| format!("Subject: x\n\nText\n\n{note}\n---\n{diff}");
        let change = format!("Change-Id: I{id}");
        let other = DIFF.replace("+b", "+c");
        assert_eq!(
            same(&mail(&change, DIFF), &mail(&change, &other)),
            Some(SameBy::ChangeId)
        );
        let picked = format!("(cherry picked from commit {id})");
        let own = format!("From {id} Mon Sep 17 00:00:00 2001\nSubject: x\n\n---\n{other}");
        assert_eq!(same(&mail(&picked, DIFF), &own), Some(SameBy::Commit));
        assert_eq!(same("", ""), None);
    }
}
