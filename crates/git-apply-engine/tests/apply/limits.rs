//! Bounds: whatever is within them behaves as in git, and only what exceeds them is refused.

use git_apply_engine::{Limits, Options, PatchInput, PatchState, Sequence, apply};

use super::Comparison;

const GOOD: &str = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-2\n+zwei\n 3\n";

/// A tree with a file to which [`GOOD`] applies, and others.
fn tree(oracle: &Comparison, files: &[(&str, &[u8])]) -> String {
    let mut all: Vec<(&str, &[u8], &[u8])> = vec![("100644", b"f", b"1\n2\n3\n4\n5\n")];
    all.extend(
        files
            .iter()
            .map(|(path, contents)| ("100644", path.as_bytes(), *contents)),
    );
    oracle.tree(&all)
}

fn new_file(path: &str) -> String {
    format!("--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n")
}

#[test]
fn paths_up_to_the_bounds_are_gits() {
    let oracle = Comparison::new();
    let tree = tree(&oracle, &[]);
    let deepest = format!("{}f", "a/".repeat(255));
    let longest = format!("{}/{}", "d".repeat(2048), "e".repeat(2047));
    let options = Options::default();
    for path in [&deepest, &longest] {
        assert!(
            oracle
                .check(&tree, new_file(path).as_bytes(), &[], &options)
                .is_some()
        );
        let twice = format!("{}{GOOD}", new_file(path));
        assert!(oracle.check(&tree, twice.as_bytes(), &[], &options).is_some());
    }
    // The preimage's tree may be of any depth.
    let upstream = format!("{}f", "a/".repeat(1500));
    let tree = oracle.tree(&[
        ("100644", b"f", b"1\n2\n3\n"),
        ("100644", upstream.as_bytes(), b"1\n"),
    ]);
    for patch in [GOOD, &new_file("a/a/new"), &new_file("a/a/f/new")] {
        oracle.check(&tree, patch.as_bytes(), &[], &options);
    }
    for path in [format!("a/{deepest}"), format!("{longest}e")] {
        let report = oracle.ours(&tree, new_file(&path).as_bytes(), &options);
        assert_eq!(report.state, PatchState::Malformed, "{:?}", report.error);
    }
}

#[test]
fn hunks_far_from_their_place_are_where_git_finds_them() {
    let oracle = Comparison::new();
    let file: String = (0..4000).fold(String::new(), |file, line| match line % 7 {
        0 => file + "}\n",
        1 => file + "\n",
        _ => file + &format!("line {}\n", line % 500),
    });
    let tree = tree(&oracle, &[("big", file.as_bytes())]);
    for (from, to) in [
        (2, 1500),
        (900, 3000),
        (3900, 20),
        (2000, 2130),
        (2000, 1870),
        (40, 3999),
    ] {
        let lines: Vec<&str> = file.lines().skip(from).take(5).collect();
        let hunk = format!(
            "@@ -{to},5 +{to},5 @@\n {}\n {}\n-{}\n+changed\n {}\n {}\n",
            lines[0], lines[1], lines[2], lines[3], lines[4]
        );
        let one = format!("--- a/big\n+++ b/big\n{hunk}");
        assert!(
            oracle
                .check(&tree, one.as_bytes(), &[], &Options::default())
                .is_some(),
            "{one}"
        );
        // Repeated: a hunk does not match what an earlier one left, and takes the next place.
        for times in 2..6 {
            let again = format!("--- a/big\n+++ b/big\n{}", hunk.repeat(times));
            oracle.check(&tree, again.as_bytes(), &[], &Options::default());
        }
    }
}

#[test]
fn work_beyond_the_budget_is_refused_and_the_series_goes_on() {
    let oracle = Comparison::new();
    // No line is rare, and no place is right.
    let file = "a\nb\n".repeat(5000);
    let tree = tree(&oracle, &[("ab", file.as_bytes())]);
    let hunk = format!(
        "@@ -5000,42 +5000,42 @@\n{}-b\n-b\n+c\n+c\n",
        " a\n b\n".repeat(20)
    );
    let costly = format!(
        "--- a/ab\n+++ b/ab\n{}",
        format!("{hunk} a\n").replace(",42", ",43").repeat(300)
    );
    let patches = [
        PatchInput::new("1", costly),
        PatchInput::new("2", GOOD),
        PatchInput::new("3", GOOD),
    ];
    let within = |effort| {
        let limits = Limits {
            effort,
            ..Limits::default()
        };
        let options = Options {
            limits,
            ..Options::default()
        };
        let base = tree.parse().unwrap();
        apply(&oracle.store, base, &patches, Sequence::Stacked, &options).unwrap()
    };
    let states = |effort| {
        within(effort)
            .patches()
            .iter()
            .map(|report| report.state)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        states(Limits::default().effort),
        [PatchState::Conflict, PatchState::Clean, PatchState::Merged]
    );
    assert_eq!(
        states(40_000_000),
        [PatchState::Malformed, PatchState::Clean, PatchState::Merged]
    );
    let error = within(40_000_000).patches()[0].error.clone().unwrap();
    assert!(
        error.starts_with("ab: this takes more work than is allowed"),
        "{error}"
    );
}
