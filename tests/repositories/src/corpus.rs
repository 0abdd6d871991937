//! Real repositories that `hack/corpus.sh` gets.

use std::path::PathBuf;

/// The folder of the corpus.
pub fn corpus() -> PathBuf {
    let cache = || {
        let home = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
        home.unwrap().join("patchset/corpus")
    };
    let folder = std::env::var_os("PATCHSET_CORPUS").map_or_else(cache, PathBuf::from);
    assert!(
        folder.is_dir(),
        "{} is not there: run hack/corpus.sh of the repository",
        folder.display()
    );
    folder
}

/// Splits the output of `git diff` at the header of each file.
pub fn split_diff(diff: &[u8]) -> Vec<&[u8]> {
    const HEADER: &[u8] = b"diff --git ";
    let mut starts = Vec::new();
    let mut at = 0;
    for line in diff.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(HEADER) {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([diff.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &diff[*start..end])
        .collect()
}
