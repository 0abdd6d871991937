//! Patch-ids and diffs against the installed git, over generated edits.

use git_apply_engine::Oid;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use upstream_history::testing::{commit_patch_id, patch_id};

use super::Upstream;

fn hex(id: Option<[u8; 20]>) -> String {
    id.map_or_else(String::new, |id| Oid::from_bytes(id).to_string())
}

/// The patch-ids that git computes.
fn gits(upstream: &Upstream, text: &[u8]) -> String {
    let told = upstream.git_with(&["patch-id", "--stable"], Some(text));
    told.split(' ').next().unwrap().to_owned()
}

fn lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("\n".to_owned()),
        Just("    }\n".to_owned()),
        Just("\tdef f(x):\n".to_owned()),
        (0..9_u8).prop_map(|n| format!("{}line {n}\n", " ".repeat(usize::from(n % 3) * 4))),
    ];
    (prop::collection::vec(line, 0..40), any::<bool>()).prop_map(|(lines, ends)| {
        let mut text = lines.concat();
        if !ends && text.ends_with('\n') {
            text.pop();
        }
        text
    })
}

#[test]
fn commits_have_the_patch_ids_that_git_gives_them() {
    let upstream = Upstream::new();
    upstream.commit(&[], "Root");
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(60)
    });
    let cases = prop::collection::vec(
        (prop::sample::select(vec!["f", "d/g", "a b", "\u{e9}"]), lines()),
        1..4,
    );
    runner
        .run(&cases, |files| {
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
            let commit = upstream.commit(&files, "Change");
            let shown = upstream.git(&["diff-tree", "-p", "--full-index", &commit]);
            let ours = commit_patch_id(&upstream, &upstream, upstream.id(&commit)).unwrap();
            assert_eq!(
                hex(ours),
                if ours.is_some() {
                    gits(&upstream, shown.as_bytes())
                } else {
                    hex(None)
                },
                "{shown}"
            );
            assert_eq!(ours.is_none(), shown.lines().count() <= 1, "{shown}");
            Ok(())
        })
        .unwrap();
}

#[test]
fn texts_have_the_patch_ids_that_git_gives_them() {
    let upstream = Upstream::new();
    upstream.commit(
        &[
            ("f", "one\ntwo\n"),
            ("gone", "x\n"),
            ("bin", "a\0b\n"),
            ("run", "#!\n"),
        ],
        "Base",
    );
    upstream.git(&["mv", "gone", "moved"]);
    upstream.git(&["update-index", "--chmod=+x", "run"]);
    upstream.git(&["commit", "--quiet", "-m", "Move\n\ndiff is what it says"]);
    let moved = upstream.patch("HEAD").bytes;
    let last = upstream.commit(
        &[("f", "one\n2\nthree"), ("bin", "a\0c\n"), ("new", "\n")],
        "More",
    );
    let more = upstream.patch(&last).bytes;
    let crlf = String::from_utf8_lossy(&more).replace('\n', "\r\n").into_bytes();
    let twice = [moved.as_slice(), &more].concat();
    let shown = upstream.git(&["log", "-p", "-1"]).into_bytes();
    let plain = b"junk\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n".to_vec();
    for text in [moved, more, crlf, twice, shown] {
        assert_eq!(
            hex(patch_id(&text)),
            gits(&upstream, &text),
            "{}",
            text.escape_ascii()
        );
    }
    assert_eq!((patch_id(&plain), gits(&upstream, &plain)), (None, String::new()));
}
