//! Series that upstream has, reversed from the last patch to the first.

use std::cell::Cell;

use git_apply_engine::{
    EntryMode, MemoryStore, Oid, Options, PatchInput, PatchReport, PatchState, Sequence, applies, apply,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Comparison;
use super::generated::{diff, edited, edits, lines, text};

/// The verdict on a patch; one that neither applies nor is there already has one verdict, whatever
/// its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Applies,
    Merged,
    Neither,
}

fn ours(comparison: &Comparison, tree: &str, patches: &[PatchInput]) -> Vec<PatchReport> {
    let (tree, options) = (tree.parse().unwrap(), Options::default());
    let series = apply(&comparison.store, tree, patches, Sequence::Stacked, &options);
    series.unwrap().patches().to_vec()
}

fn said(report: &PatchReport) -> Said {
    match report.state {
        PatchState::Clean | PatchState::Offset => Said::Applies,
        PatchState::Merged => Said::Merged,
        _ => Said::Neither,
    }
}

/// git's verdicts. Applies the series from first to last, trying each patch that does not apply in
/// reverse at that point; if one of them is upstream's, then reverses from last to first on the
/// tree itself. Also returns how many only the second pass finds.
fn gits(comparison: &Comparison, tree: &str, patches: &[PatchInput]) -> (Vec<Said>, usize) {
    let mut there = tree.to_owned();
    let mut all: Vec<Said> = Vec::new();
    for patch in patches {
        let one = match comparison.apply(&there, &patch.bytes, &[]) {
            Some(after) => {
                there = after;
                Said::Applies
            }
            None if comparison.apply(&there, &patch.bytes, &["-R"]).is_some() => Said::Merged,
            None => Said::Neither,
        };
        all.push(one);
    }
    let (mut there, mut found) = (tree.to_owned(), 0);
    for (patch, said) in patches.iter().zip(&mut all).rev() {
        let is_open = *said == Said::Merged || (*said == Said::Neither && there != tree);
        if is_open && let Some(before) = comparison.apply(&there, &patch.bytes, &["-R"]) {
            there = before;
            found += usize::from(*said == Said::Neither);
            *said = Said::Merged;
        }
    }
    (all, found)
}

#[test]
fn a_series_is_unwound_as_git_unwinds_it() {
    let comparison = Comparison::new();
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(100)
    });
    let (found, applied) = (Cell::new(0), Cell::new(0));
    let cases = (
        lines(),
        prop::collection::vec(edits(2), 2..6),
        prop_oneof![Just(vec![]), edits(2)],
        any::<prop::sample::Index>(),
    );
    runner
        .run(&cases, |(base, steps, theirs, merged)| {
            let mut states = vec![base];
            for step in &steps {
                let last = states.last().unwrap();
                states.push(edited(last, step));
            }
            let patches: Vec<PatchInput> = states
                .windows(2)
                .filter(|pair| pair[0] != pair[1])
                .enumerate()
                .map(|(number, pair)| {
                    let diff = diff(&text(&pair[0], true), &text(&pair[1], true), 3);
                    PatchInput::new(number.to_string(), diff)
                })
                .collect();
            let upstream = edited(&states[merged.index(states.len())], &theirs);
            let tree = comparison.tree(&[("100644", b"f", &text(&upstream, true))]);
            let (expected, only_unwound) = gits(&comparison, &tree, &patches);
            let reports = ours(&comparison, &tree, &patches);
            let said: Vec<Said> = reports.iter().map(said).collect();
            assert_eq!(said, expected, "{reports:#?}");
            found.set(found.get() + only_unwound);
            applied.set(applied.get() + said.iter().filter(|said| **said == Said::Applies).count());
            Ok(())
        })
        .unwrap();
    let (found, applied) = (found.get(), applied.get());
    assert!(found > 8 && applied > 8, "{found} found, {applied} applied");
}

const FIRST: &str = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-2\n+zwei\n 3\n";
const SECOND: &str = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-zwei\n+deux\n 3\n";
const OTHER: &str = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-due\n+dos\n 3\n";

#[test]
fn what_is_merged_blocks_nothing() {
    use PatchState::{Blocked, Conflict, Malformed, Merged};

    let comparison = Comparison::new();
    let tree = comparison.tree(&[("100644", b"f", b"1\ndeux\n3\n")]);
    let states = |patches: &[&str]| -> Vec<PatchState> {
        let patches: Vec<PatchInput> = patches.iter().map(|patch| PatchInput::new("p", *patch)).collect();
        let reports = ours(&comparison, &tree, &patches);
        reports.iter().map(|report| report.state).collect()
    };
    assert_eq!(states(&[FIRST]), [Conflict]);
    assert_eq!(states(&[FIRST, SECOND]), [Merged, Merged]);
    assert_eq!(states(&[FIRST, SECOND, OTHER]), [Merged, Merged, Conflict]);
    assert_eq!(states(&[FIRST, OTHER, SECOND]), [Merged, Conflict, Merged]);
    assert_eq!(states(&[OTHER, FIRST]), [Conflict, Blocked]);
    assert_eq!(states(&[FIRST, "no diff", SECOND]), [Merged, Malformed, Merged]);
}

#[test]
fn whether_patches_apply_is_told_without_a_report() {
    let comparison = Comparison::new();
    let tree = comparison.tree(&[("100644", b"f", b"1\n2\n3\n")]);
    let applies = |patches: &[&str]| {
        let patches: Vec<PatchInput> = patches.iter().map(|patch| PatchInput::new("p", *patch)).collect();
        applies(
            &comparison.store,
            tree.parse().unwrap(),
            &patches,
            &Options::default(),
        )
        .unwrap()
    };
    assert!(applies(&[]) && applies(&[FIRST]) && applies(&[FIRST, SECOND]));
    assert!(!applies(&[SECOND]) && !applies(&[SECOND, FIRST]) && !applies(&["no diff"]));
}

/// A store of many files, and a series: a patch that fits nowhere, then one merged patch for each
/// file.
fn merged_series(count: usize) -> (MemoryStore, Oid, Vec<PatchInput>) {
    let mut store = MemoryStore::new();
    let name = |file: usize| format!("{}/{}", file / 64, file % 64);
    let files = (0..count).map(|file| (name(file), EntryMode::Regular, "1\nzwei\n3\n"));
    let tree = store.add_files(files).unwrap();
    let first = PatchInput::new("first", OTHER.replace('f', "0/0"));
    let merged = (0..count).map(|file| PatchInput::new(name(file), FIRST.replace('f', &name(file))));
    (store, tree, std::iter::once(first).chain(merged).collect())
}

#[test]
fn a_series_is_unwound_with_work_that_grows_as_it_does() {
    let effort = |count| {
        let (store, tree, patches) = merged_series(count);
        let series = apply(&store, tree, &patches, Sequence::Stacked, &Options::default()).unwrap();
        let merged = series
            .patches()
            .iter()
            .filter(|report| report.state == PatchState::Merged)
            .count();
        assert_eq!(merged, count);
        series.effort()
    };
    let (some, more) = (effort(256), effort(1024));
    assert!(more < 5 * some, "{some} for 256 patches, {more} for 1024");
}
