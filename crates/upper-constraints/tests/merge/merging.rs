//! Merging texts that are known to be valid.

use upper_constraints::{ConstraintsFile, Merged, OverrideState, Overrides, PackageName, merge};

/// Merges them, without the pins of packages built from source.
pub fn merged(base: &str, overrides: &str, from_source: &[&str]) -> Merged {
    let names: Vec<PackageName> = from_source.iter().map(|name| name.parse().unwrap()).collect();
    let base = ConstraintsFile::parse(base.as_bytes()).unwrap();
    merge(&base, &Overrides::parse(overrides.as_bytes()).unwrap(), &names).unwrap()
}

/// Packages and states.
pub fn states(merged: &Merged) -> Vec<(&str, OverrideState)> {
    merged
        .outcomes
        .iter()
        .map(|outcome| (outcome.package.as_str(), outcome.state))
        .collect()
}

/// The lines of the merged file that outcomes are about.
fn merged_lines(base: &str, overrides: &str, from_source: &[&str]) -> Vec<Option<usize>> {
    let done = merged(base, overrides, from_source);
    let lines = done.outcomes.iter().map(|outcome| outcome.merged_line);
    lines.collect()
}

#[test]
fn each_outcome_names_the_line_of_the_merged_file_that_it_is_about() {
    let base = "# c\na===1\nb===1\nc===1\nd===1 # x\n\ne===1\n";
    let overrides = "-b\nd===2\nnew===1\ne===1\n-gone\nnewer===1\n-a\n";
    assert_eq!(
        merged(base, overrides, &[]).text,
        "# c\nc===1\nd===2 # x\n\ne===1\nnew===1\nnewer===1\n"
    );
    assert_eq!(
        merged_lines(base, overrides, &[]),
        [Some(2), Some(3), Some(6), Some(5), None, Some(7), Some(2)]
    );
    // Line endings count as they do for pip, and an entry over several lines has the number of its
    // first.
    assert_eq!(merged_lines("a===1\r\nb===1\rc===1\n", "c===2\n", &[]), [Some(3)]);
    assert_eq!(
        merged_lines("a===1 \\\n  --hash=sha256:0\nb===1\n", "a===2\nb===2\n", &[]),
        [Some(1), Some(2)]
    );
    // What stood at the end was before a line that is gone.
    assert_eq!(merged_lines("a===1\nb===1\n", "-b\n", &[]), [Some(2)]);
    assert_eq!(merged_lines("b===1", "-b\n", &[]), [Some(1)]);
    assert_eq!(merged_lines("a===1", "b===1\n", &[]), [Some(2)]);
    // The pin of a package built from source has no line; its removal has one.
    assert_eq!(merged_lines("a===1\nb===1\n", "b===2\n", &["b"]), [None, Some(2)]);
}
