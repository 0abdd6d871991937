//! A series made of a branch's commits is found whole on any later commit of that branch, whatever
//! was changed around it.

use std::cell::Cell;

use git_apply_engine::PatchInput;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use upstream_history::Finding;

use super::Upstream;

/// An edit of a file: from a position given as a share of its lines, remove this many and insert
/// these.
type Edit = (bool, prop::sample::Index, usize, Vec<u8>);

/// What a patch keeps of its origin.
#[derive(Clone, Copy, Debug)]
enum Kept {
    All,
    /// No `From <id>`.
    Message,
    /// The diff alone.
    Nothing,
}

fn edit() -> impl Strategy<Value = Edit> {
    (
        any::<bool>(),
        any::<prop::sample::Index>(),
        0..3_usize,
        prop::collection::vec(0..9_u8, 1..4),
    )
}

fn edited(lines: &mut Vec<String>, (_, at, remove, put): &Edit, number: usize) {
    let at = at.index(lines.len() + 1);
    let end = (at + remove).min(lines.len());
    lines.splice(
        at..end,
        put.iter().map(|line| format!("line {line} of {number}\n")),
    );
}

fn kept(patch: &PatchInput, kept: Kept) -> PatchInput {
    let text = String::from_utf8(patch.bytes.clone()).unwrap();
    let text = match kept {
        Kept::All => text,
        Kept::Message => text.split_once('\n').unwrap().1.to_owned(),
        Kept::Nothing => text[text.find("diff --git").unwrap()..].to_owned(),
    };
    PatchInput::new(patch.name.clone(), text)
}

#[test]
fn a_series_of_a_branch_is_found_on_it() {
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(24)
    });
    let (found, applied) = (Cell::new(0), Cell::new(0));
    let cases = (
        prop::collection::vec((edit(), any::<bool>()), 4..9),
        any::<[prop::sample::Index; 2]>(),
        prop_oneof![Just(Kept::All), Just(Kept::Message), Just(Kept::Nothing)],
    );
    runner
        .run(&cases, |(edits, [from, to], keeps)| {
            let upstream = Upstream::new();
            let mut files = [vec![], vec![]];
            for file in &mut files {
                *file = (0..25)
                    .map(|line| format!("line {line}\n"))
                    .collect::<Vec<String>>();
            }
            upstream.commit(&[("f", &files[0].concat()), ("d/g", &files[1].concat())], "Base");
            let mut commits = Vec::new();
            for (number, (edit, has_id)) in edits.iter().enumerate() {
                let at = usize::from(edit.0);
                edited(&mut files[at], edit, number);
                let id = format!("\n\nChange-Id: I{:040x}", number + 1);
                let message = format!("Change {number}{}", if *has_id { &id } else { "" });
                commits.push(upstream.commit(&[(["f", "d/g"][at], &files[at].concat())], &message));
            }
            let (mut from, mut to) = (from.index(commits.len()), to.index(commits.len()));
            if from > to {
                (from, to) = (to, from);
            }
            let series = commits[from..=to].iter();
            let patches: Vec<PatchInput> = series
                .map(|commit| kept(&upstream.patch(commit), keeps))
                .collect();
            for tip in &commits[to..] {
                let reports = upstream.reports(tip, &patches);
                let findings = upstream.find(tip, &patches);
                for ((patch, report), finding) in patches.iter().zip(&reports).zip(&findings) {
                    match finding {
                        Finding::Merged(merged) => {
                            let commit = merged.commit.as_ref().unwrap().commit.to_string();
                            assert_eq!(commit, patch.name, "{keeps:?} {finding:?}");
                            found.set(found.get() + 1);
                        }
                        _ if report.applies() => applied.set(applied.get() + 1),
                        other => panic!("{keeps:?} {other:?} {report:#?}"),
                    }
                }
            }
            Ok(())
        })
        .unwrap();
    assert!(
        found.get() > 100,
        "{} found, {} apply again",
        found.get(),
        applied.get()
    );
}
