//! Which patches of a series touch only files that no other patch touches.

use std::collections::{HashMap, HashSet};

use super::report::{FileReport, PatchReport};

/// The most bytes of names, and of the folders that lead to them, that are compared.
const MOST_BYTES: usize = 16 << 20;

/// Whether each patch is independent: what other patches do to the tree changes nothing for it, and
/// what it does changes nothing for them.
///
/// That holds if no other patch names its files, a folder that leads to them, or anything below
/// them, and if it is in `of_lines`: binary contents can come from whatever another patch made. If
/// finding out would take too long, no patch is said to be independent.
pub(super) fn stand_alone(reports: &[PatchReport], of_lines: &HashSet<usize>) -> Vec<bool> {
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
    let is_alone = |report: &PatchReport| report.files.iter().flat_map(paths).all(is_own);
    let reports = reports.iter().enumerate();
    reports
        .map(|(number, report)| of_lines.contains(&number) && is_alone(report))
        .collect()
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
    use crate::report::{FileChange, PatchState};

    /// Reports of patches that change files with these names; `old => new` renames one, and a `!`
    /// before a name makes the change binary.
    fn alone(patches: &[&[&str]]) -> Vec<bool> {
        let file = |name: &&str| {
            let name = name.trim_start_matches('!');
            let (old, new) = name
                .split_once(" => ")
                .map_or((None, name), |(old, new)| (Some(old), new));
            FileReport {
                path: new.to_owned(),
                old_path: old.map(ToOwned::to_owned),
                change: FileChange::Modify,
                error: None,
                hunks: Vec::new(),
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
        let of_lines = |names: &&[&str]| !names.iter().any(|name| name.starts_with('!'));
        let of_lines = patches
            .iter()
            .enumerate()
            .filter(|(_, names)| of_lines(names))
            .map(|(number, _)| number)
            .collect();
        stand_alone(&reports.collect::<Vec<_>>(), &of_lines)
    }

    #[test]
    fn patches_stand_alone_whose_files_no_other_touches() {
        for (patches, expected) in [
            (&[&["a/b"][..], &["a/c"]][..], &[true, true][..]),
            (&[&["a/b"], &["a/b"]], &[false, false]),
            (&[&["a/b", "x"], &["a/b"], &["c"]], &[false, false, true]),
            // Two diffs of one patch may change one file.
            (&[&["a", "a"], &["b"]], &[true, true]),
            (&[&["a => b"], &["b"]], &[false, false]),
            (&[&["a => b"], &["a"]], &[false, false]),
            (&[&["a => b"], &["c"]], &[true, true]),
            // A file where another patch has a folder.
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
