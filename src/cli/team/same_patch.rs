//! Which patches are the same change: in other releases, and under other names.

use std::collections::BTreeMap;

use git_apply_engine::{HunkDiff, Options, PatchInput, read_diffs};
use patch_headers::PatchIdentity;
use sha2::{Digest, Sha256};
use upstream_history::{PatchId, patch_id};

/// What identifies a patch.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct PatchMarks {
    /// Nothing where there is no diff in it.
    pub(in crate::cli) patch_id: Option<PatchId>,
    identity: PatchIdentity,
    /// What changes in each file: a digest of its lines.
    files: BTreeMap<String, [u8; 32]>,
}

/// What makes two patches the same change, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub(in crate::cli) enum SameBy {
    /// The same lines change.
    PatchId,
    /// They have a `Change-Id` in common.
    ChangeId,
    /// They were taken from the same commit.
    Commit,
    /// They have the same author and subject.
    Authorship,
}

impl SameBy {
    /// The evidence in words.
    pub(in crate::cli) fn in_words(self) -> &'static str {
        match self {
            Self::PatchId => "patch-id",
            Self::ChangeId => "Change-Id",
            Self::Commit => "commit",
            Self::Authorship => "author and subject",
        }
    }
}

impl PatchMarks {
    /// Reads a patch.
    pub(in crate::cli) fn read(patch: &PatchInput, engine: &Options) -> Self {
        let diffs = read_diffs(&patch.bytes, &patch.options(engine)).unwrap_or_default();
        let mut files: BTreeMap<String, Sha256> = BTreeMap::new();
        for diff in &diffs {
            let path = diff.new_path.as_ref().or(diff.old_path.as_ref());
            let path = String::from_utf8_lossy(path.map(Vec::as_slice).unwrap_or_default()).into_owned();
            let digest = files.entry(path).or_default();
            let lines = diff.hunks.iter().flat_map(HunkDiff::lines);
            for line in lines.filter(|line| !line.starts_with(b" ")) {
                digest.update(line);
            }
            if diff.is_binary {
                digest.update(diff.new_id);
            }
        }
        Self {
            patch_id: patch_id(&patch.bytes),
            identity: PatchIdentity::read(&patch.bytes),
            files: files
                .into_iter()
                .map(|(path, digest)| (path, digest.finalize().into()))
                .collect(),
        }
    }

    /// What makes another patch the same change; `None` if nothing does.
    pub(in crate::cli) fn same_as(&self, other: &Self) -> Option<SameBy> {
        if self.patch_id.is_some() && self.patch_id == other.patch_id {
            return Some(SameBy::PatchId);
        }
        let (own, others) = (&self.identity, &other.identity);
        if own.change_ids.iter().any(|id| others.change_ids.contains(id)) {
            return Some(SameBy::ChangeId);
        }
        let commits = |identity: &PatchIdentity| -> Vec<String> {
            let picked = identity.picks.iter().flatten();
            picked.chain(&identity.commit).cloned().collect()
        };
        let theirs = commits(others);
        let is_same = |commit: &String| {
            theirs
                .iter()
                .any(|other| other.starts_with(commit.as_str()) || commit.starts_with(other.as_str()))
        };
        if commits(own).iter().any(is_same) {
            return Some(SameBy::Commit);
        }
        let is_told = own.subject.as_ref().is_some_and(|subject| !subject.is_empty());
        let is_same = own.subject == others.subject && own.author_address == others.author_address;
        (is_told && own.author_address.is_some() && is_same).then_some(SameBy::Authorship)
    }

    /// The files in which two patches change something else, sorted.
    pub(in crate::cli) fn differing_files<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        if self.patch_id.is_some() && self.patch_id == other.patch_id {
            return Vec::new();
        }
        let mut differing: Vec<&'a str> = self
            .files
            .iter()
            .filter(|(path, digest)| other.files.get(*path) != Some(digest))
            .map(|(path, _)| path.as_str())
            .chain(
                other
                    .files
                    .keys()
                    .filter(|path| !self.files.contains_key(*path))
                    .map(String::as_str),
            )
            .collect();
        differing.sort_unstable();
        differing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(text: &str) -> PatchMarks {
        PatchMarks::read(&PatchInput::new("x.patch", text), &Options::default())
    }

    fn diff(file: &str, into: &str) -> String {
        format!("--- a/{file}\n+++ b/{file}\n@@ -1,2 +1,2 @@\n a\n-b\n+{into}\n")
    }

    #[test]
    fn a_change_is_known_by_its_lines_ids_and_author() {
        let id = "I0123456789012345678901234567890123456789";
        let commit = "867d1dd8b6e4f5b5fbb6b8a0b2a4c8d1e2f3a4b5";
        let plain = marks(&diff("x", "c"));
        let moved = diff("x", "c").replace("-1,2 +1,2", "-7,2 +7,2");
        assert_eq!(plain.same_as(&marks(&moved)), Some(SameBy::PatchId));
        assert_eq!(plain.same_as(&marks(&diff("x", "d"))), None);
        for (message, by) in [
            (format!("S\n\nChange-Id: {id}\n\n"), SameBy::ChangeId),
            (
                format!("S\n\nB\n\n(cherry picked from commit {commit})\n\n"),
                SameBy::Commit,
            ),
            (
                "From: Ann <a@x>\nSubject: [PATCH] S\n\nB\n---\n".to_owned(),
                SameBy::Authorship,
            ),
        ] {
            let one = marks(&(message.clone() + &diff("x", "c") + &diff("y", "c")));
            let other = marks(&(message + &diff("x", "d") + &diff("y", "c")));
            assert_eq!(one.same_as(&other), Some(by));
            assert_eq!(one.differing_files(&other), ["x"]);
        }
    }
}
