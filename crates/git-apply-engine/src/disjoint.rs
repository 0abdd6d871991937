//! Which patches of a series speak of files that no other speaks of.

use std::collections::{HashMap, HashSet};

use super::report::{FileReport, PatchReport};

/// The most bytes of names and of the folders that lead to them that are looked at.
const MOST_BYTES: usize = 16 << 20;

/// Whether each patch stands for itself: what other patches do to the tree changes nothing for it,
/// and what it does changes nothing for them.
///
/// That holds where no other patch names its files, a folder that leads to them, or anything below
/// them, and where it has lines alone: what is binary can be taken from whatever another patch
/// made. Where it would take too long to find out, none is said to.
pub(super) fn stand_alone(reports: &[PatchReport]) -> Vec<bool> {
    let of_all = || reports.iter().flat_map(|report| &report.files).flat_map(paths);
    let size: usize = of_all()
        .map(|path| path.len().saturating_mul(1 + above(path).count()))
        .fold(0, usize::saturating_add);
    if size > MOST_BYTES {
        return vec![false; reports.len()];
    }
    let folders: HashSet<&str> = of_all().flat_map(above).collect();
    // The patch that names a path, or none where several do.
    let mut owners: HashMap<&str, Option<usize>> = HashMap::new();
    for (number, report) in reports.iter().enumerate() {
        for path in report.files.iter().flat_map(paths) {
            let owner = owners.entry(path).or_insert(Some(number));
            *owner = owner.filter(|owner| *owner == number);
        }
    }
    let is_own = |path: &str| {
        matches!(owners.get(path), Some(Some(_)))
            && !folders.contains(path)
            && !above(path).any(|folder| owners.contains_key(folder))
    };
    let stands_alone = |file: &FileReport| !file.hunks.is_empty() && paths(file).all(is_own);
    let alone = reports.iter().map(|report| report.files.iter().all(stands_alone));
    alone.collect()
}

/// The names of a file, before a patch and after it.
fn paths(file: &FileReport) -> impl Iterator<Item = &str> {
    file.old_path.as_deref().into_iter().chain([file.path.as_str()])
}

/// The folders that lead to a path, from the nearest on.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/').filter_map(|(at, _)| path.get(..at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{FileChange, HunkOutcome, HunkReport, PatchState};

    /// Reports of patches that change files with these names; `old => new` renames one, and a `!`
    /// before a name says that what changes is binary.
    fn alone(patches: &[&[&str]]) -> Vec<bool> {
        let hunk = HunkReport {
            number: 1,
            patch_line: 1,
            old_start: 1,
            outcome: HunkOutcome::Placed { line: 1, offset: 0 },
        };
        let file = |name: &&str| {
            let (hunks, name) = match name.strip_prefix('!') {
                Some(name) => (Vec::new(), name),
                None => (vec![hunk.clone()], *name),
            };
            let (old, new) = name
                .split_once(" => ")
                .map_or((None, name), |(old, new)| (Some(old), new));
            FileReport {
                path: new.to_owned(),
                old_path: old.map(ToOwned::to_owned),
                change: FileChange::Modify,
                error: None,
                hunks,
            }
        };
        let reports = patches.iter().map(|names| PatchReport {
            name: String::new(),
            subject: None,
            author: None,
            state: PatchState::Clean,
            tree: None,
            files: names.iter().map(file).collect(),
            error: None,
        });
        stand_alone(&reports.collect::<Vec<_>>())
    }

    #[test]
    fn patches_stand_alone_whose_files_no_other_touches() {
        for (patches, expected) in [
            (&[&["a/b"][..], &["a/c"]][..], &[true, true][..]),
            (&[&["a/b"], &["a/b"]], &[false, false]),
            (&[&["a/b", "x"], &["a/b"], &["c"]], &[false, false, true]),
            // Two diffs of one patch may be of one file.
            (&[&["a", "a"], &["b"]], &[true, true]),
            (&[&["a => b"], &["b"]], &[false, false]),
            (&[&["a => b"], &["a"]], &[false, false]),
            (&[&["a => b"], &["c"]], &[true, true]),
            // A file where another has a folder.
            (&[&["a"], &["a/b/c"], &["ab"]], &[false, false, true]),
            (&[&["!a"], &["b"]], &[false, true]),
            (&[&["b", "!a"], &["c"]], &[false, true]),
        ] {
            assert_eq!(alone(patches), expected, "{patches:?}");
        }
    }

    #[test]
    fn names_that_take_long_to_compare_are_not() {
        let deep = "a/".repeat(5000) + "b";
        assert_eq!(alone(&[&[&deep], &["c"]]), [false, false]);
        let shallow = "a/".repeat(500) + "b";
        assert_eq!(alone(&[&[&shallow], &["c"]]), [true, true]);
    }
}
