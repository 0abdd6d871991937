//! In which files two patches that are the same change differ.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::cli::team::PatchMark;
use crate::patch::{Options, PatchInput, read_diffs};

/// A patch, to be compared with those of other releases.
#[derive(Clone, Debug, Default)]
pub(super) struct ComparedPatch {
    pub(super) mark: PatchMark,
    /// What changes in each file: a digest of the lines that come and go.
    files: BTreeMap<String, [u8; 32]>,
}

impl ComparedPatch {
    pub(super) fn read(patch: &PatchInput, engine: &Options) -> Self {
        let diffs = read_diffs(&patch.bytes, &patch.options(engine)).unwrap_or_default();
        let mut files: BTreeMap<String, Sha256> = BTreeMap::new();
        for diff in &diffs {
            let path = diff.new_path.as_ref().or(diff.old_path.as_ref());
            let path = String::from_utf8_lossy(path.map(Vec::as_slice).unwrap_or_default()).into_owned();
            let digest = files.entry(path).or_default();
            let lines = diff.hunks.iter().flat_map(|hunk| hunk.lines());
            for line in lines.filter(|line| !line.starts_with(b" ")) {
                digest.update(line);
            }
            if diff.is_binary {
                digest.update(diff.new_id);
            }
        }
        let files = files.into_iter();
        Self {
            mark: PatchMark::read(&patch.bytes),
            files: files
                .map(|(path, digest)| (path, digest.finalize().into()))
                .collect(),
        }
    }

    /// The files in which another patch changes something else, sorted.
    pub(super) fn differing_files(&self, other: &Self) -> Vec<String> {
        if self.mark.changes_the_same(&other.mark) {
            return Vec::new();
        }
        let is_same = |path: &&String| self.files.get(*path) == other.files.get(*path);
        let mut differing: Vec<String> = self
            .files
            .keys()
            .chain(other.files.keys())
            .filter(|path| !is_same(path))
            .cloned()
            .collect();
        differing.sort_unstable();
        differing.dedup();
        differing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_compared_by_the_lines_that_come_and_go() {
        let diff = |file: &str, at: u32, into: &str| {
            format!("--- a/{file}\n+++ b/{file}\n@@ -{at},2 +{at},2 @@\n a{at}\n-b\n+{into}\n")
        };
        let read = |text: String| ComparedPatch::read(&PatchInput::new("x", text), &Options::default());
        let one = read(diff("x", 1, "c") + &diff("y", 1, "c"));
        let other = read(diff("x", 1, "d") + &diff("y", 7, "c") + &diff("z", 1, "c"));
        assert_eq!(one.differing_files(&other), ["x", "z"]);
        assert!(one.differing_files(&one).is_empty());
    }
}
