//! Generated edits: a file, a diff with some context, another file that resembles the first.

use std::cell::Cell;

use git_apply_engine::Options;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Comparison;

/// An edit of lines: at a position given as a share of the file, remove this many and insert these.
pub(super) type Edit = (prop::sample::Index, usize, Vec<u8>);

pub(super) fn lines() -> impl Strategy<Value = Vec<u8>> {
    // Few different lines, so that hunks find more than one place.
    prop::collection::vec(0..6_u8, 0..40)
}

pub(super) fn edits(most: usize) -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(
        (
            any::<prop::sample::Index>(),
            0..4_usize,
            prop::collection::vec(0..8_u8, 0..4),
        ),
        1..=most,
    )
}

pub(super) fn edited(lines: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut lines = lines.to_vec();
    for (place, remove, put) in edits {
        let at = place.index(lines.len() + 1);
        let end = (at + remove).min(lines.len());
        lines.splice(at..end, put.iter().copied());
    }
    lines
}

pub(super) fn text(lines: &[u8], ends: bool) -> Vec<u8> {
    let mut text: Vec<u8> = lines
        .iter()
        .flat_map(|line| match line {
            0 => b"\n".to_vec(),
            1 => b"  \t\n".to_vec(),
            2 => b"}\r\n".to_vec(),
            n => format!("line {n}\n").into_bytes(),
        })
        .collect();
    if !ends && text.last() == Some(&b'\n') {
        text.pop();
    }
    text
}

pub(super) fn diff(before: &[u8], after: &[u8], context: u32) -> Vec<u8> {
    let mut options = git2::DiffOptions::new();
    options.context_lines(context).interhunk_lines(0);
    let path = Some(std::path::Path::new("f"));
    let mut patch = git2::Patch::from_buffers(before, path, after, path, Some(&mut options)).unwrap();
    patch.to_buf().unwrap().to_vec()
}

#[test]
fn edits_on_files_that_changed_meanwhile() {
    let oracle = Comparison::new();
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(600)
    });
    let (applied, refused) = (Cell::new(0), Cell::new(0));
    let cases = (
        lines(),
        edits(4),
        prop_oneof![Just(vec![]), edits(3)],
        0..5_u32,
        any::<[bool; 4]>(),
    );
    runner
        .run(
            &cases,
            |(before, ours, theirs, context, [ends, after_ends, reverse, rewrite])| {
                let after = text(&edited(&before, &ours), after_ends);
                let mut patch = diff(&text(&before, ends), &after, context);
                if rewrite {
                    // Wrong counts.
                    patch = String::from_utf8_lossy(&patch)
                        .replacen(",3 ", ",4 ", 1)
                        .into_bytes();
                }
                let base = text(&edited(&before, &theirs), ends);
                let tree = oracle.tree(&[("100644", b"f", &base)]);
                let args: &[&str] = if reverse { &["-R"] } else { &[] };
                let options = Options {
                    reverse,
                    ..Options::default()
                };
                match oracle.check(&tree, &patch, args, &options) {
                    Some(_) => applied.set(applied.get() + 1),
                    None => refused.set(refused.get() + 1),
                }
                Ok(())
            },
        )
        .unwrap();
    let (applied, refused) = (applied.get(), refused.get());
    assert!(
        applied > 50 && refused > 50,
        "{applied} applied and {refused} were refused"
    );
}

#[test]
fn bytes_that_were_changed_at_random() {
    let oracle = Comparison::new();
    let tree = oracle.tree(&[
        ("100644", b"f", b"a\nb\nc\nd\ne\nf\ng\nh\n"),
        ("100644", b"dir/g", b"one\ntwo\nthree\n"),
        ("120000", b"l", b"f"),
    ]);
    let patch: &[u8] = b"Subject: x\n\n---\ndiff --git a/f b/f\nindex 1..2 100644\n--- a/f\n+++ b/f\n@@ -2,4 +2,4 @@ x\n b\n c\n-d\n+D\n e\n\
        diff --git a/dir/g b/dir/h\nsimilarity index 50%\nrename from dir/g\nrename to dir/h\n--- a/dir/g\n+++ b/dir/h\n@@ -1,3 +1,4 @@\n one\n-two\n+zwei\n+2\n three\n\
        diff --git a/l b/l\ndeleted file mode 120000\n--- a/l\n+++ /dev/null\n@@ -1 +0,0 @@\n-f\n\\ No newline at end of file\n-- \n2\n";
    assert!(oracle.check(&tree, patch, &[], &Options::default()).is_some());
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(1500)
    });
    let change = (
        any::<prop::sample::Index>(),
        0..4_u8,
        prop_oneof![
            Just(b'\n'),
            Just(b' '),
            Just(b'/'),
            Just(b'0'),
            Just(b'"'),
            Just(b'-'),
            any::<u8>()
        ],
    );
    runner
        .run(&prop::collection::vec(change, 1..4), |changes| {
            let mut bytes = patch.to_vec();
            for (place, kind, byte) in changes {
                let at = place.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    2 => drop(bytes.remove(at)),
                    // Two more changes may each take a byte away.
                    _ => bytes.truncate(at.max(4)),
                }
            }
            // In C a NUL ends a name, and no patch has one in its names.
            bytes.retain(|byte| *byte != 0);
            oracle.check(&tree, &bytes, &[], &Options::default());
            Ok(())
        })
        .unwrap();
}
