//! What is refused: merges, other histories, policies, and what is too large.

use git_apply_engine::Oid;
use git_format_patch::{FormatError, FormatLimits, SubjectPolicy, first_parent_range, format_series};

use super::repository::Repository;

fn branch(subjects: &[&str]) -> (Repository, Oid) {
    let repository = Repository::new();
    repository.write("file", "0\n");
    let base = repository.commit("base");
    for (number, subject) in subjects.iter().enumerate() {
        repository.write(format!("file{number}"), subject);
        repository.commit(subject);
    }
    (repository, base)
}

#[test]
fn merges_are_refused_on_top_of_the_base_alone() {
    let (repository, base) = branch(&["one"]);
    repository.git(&["checkout", "--quiet", "-b", "side", &base.to_string()]);
    repository.write("side", "side\n");
    let side = repository.commit("side");
    repository.git(&["checkout", "--quiet", "-"]);
    repository.git(&["merge", "--quiet", "--no-ff", "-m", "merged", "side"]);
    let merge = repository.head();
    repository.write("after", "after\n");
    repository.commit("after");
    let error = repository.range(base).unwrap_err();
    assert_eq!(
        error,
        FormatError::Merge {
            commit: merge,
            others: side.to_string()
        }
    );
    assert!(error.to_string().contains("rebase the branch"), "{error}");
    let range = repository.range(merge).unwrap();
    assert_eq!((range.base, range.commits.len()), (merge, 1));
}

#[test]
fn another_history_and_too_many_commits_are_told() {
    let (repository, base) = branch(&["one", "two", "three"]);
    let nowhere = |_: Oid| false;
    let of = |most| first_parent_range(&repository, repository.head(), &nowhere, most, "stable/1");
    assert!(matches!(of(10), Err(FormatError::Unrelated { root, .. }) if root == base));
    let error = of(2).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("more than 2 commits on top of stable/1"),
        "{error}"
    );
    let nothing = first_parent_range(&repository, base, &|commit| commit == base, 10, "it").unwrap();
    assert!(nothing.commits.is_empty());
}

#[test]
fn subjects_say_what_stays() {
    let (repository, base) = branch(&[
        "UPSTREAM: <carry>: a",
        "UPSTREAM: <drop>: b",
        "UPSTREAM: 7: c",
        "d",
    ]);
    let range = repository.range(base).unwrap();
    let series = |target, policy| format_series(&repository, &range, target, policy, FormatLimits::default());
    let names = |target, policy| {
        let patches = series(target, policy).unwrap().patches.into_iter();
        patches
            .map(|patch| patch.name[..4].to_owned())
            .collect::<Vec<_>>()
    };
    let elsewhere = range.commits[0];
    assert_eq!(
        names(elsewhere, SubjectPolicy::Ignore),
        ["0001", "0002", "0003", "0004"]
    );
    assert_eq!(names(base, SubjectPolicy::Soft), ["0001", "0002", "0003", "0004"]);
    assert_eq!(names(elsewhere, SubjectPolicy::Soft), ["0001", "0003", "0004"]);
    let told = series(elsewhere, SubjectPolicy::Soft).unwrap();
    assert_eq!(
        (told.dropped.len(), told.unmarked.as_slice()),
        (1, &["d".to_owned()][..])
    );
    let note = told.note().unwrap();
    assert!(
        note.contains("left out, because the upstream is not at the branch's base: \"UPSTREAM: <drop>: b\""),
        "{note}"
    );
    assert!(
        note.contains("kept without a mark such as UPSTREAM: <carry>: \"d\""),
        "{note}"
    );
    assert_eq!(series(elsewhere, SubjectPolicy::Ignore).unwrap().note(), None);
    let error = series(base, SubjectPolicy::Strict).unwrap_err().to_string();
    assert!(
        error.contains("\"d\": the policy on subjects is Strict"),
        "{error}"
    );
    let (repository, base) = branch(&["UPSTREAM: <cary>: a"]);
    let range = repository.range(base).unwrap();
    let error = format_series(
        &repository,
        &range,
        base,
        SubjectPolicy::Soft,
        FormatLimits::default(),
    );
    assert!(error.unwrap_err().to_string().contains("is not followed by"));
}

#[test]
fn what_is_too_large_is_refused_by_its_commit() {
    let (repository, base) = branch(&["one", "two"]);
    let range = repository.range(base).unwrap();
    let of = |limits| format_series(&repository, &range, base, SubjectPolicy::Ignore, limits);
    let limits = FormatLimits::default();
    for (limits, said) in [
        (
            FormatLimits {
                file_bytes: 2,
                ..limits
            },
            "more than 2 bytes",
        ),
        (
            FormatLimits {
                patch_bytes: 50,
                ..limits
            },
            "its patch has more than 50 bytes",
        ),
        (
            FormatLimits {
                series_bytes: 600,
                ..limits
            },
            "with it the branch's patches",
        ),
        (FormatLimits { effort: 3, ..limits }, "takes more work"),
    ] {
        let error = of(limits).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn deep_trees_are_refused() {
    let (repository, base) = branch(&["one"]);
    repository.write(format!("{}f", "d/".repeat(140)), "deep\n");
    repository.commit("deep");
    let range = repository.range(base).unwrap();
    let error = format_series(
        &repository,
        &range,
        base,
        SubjectPolicy::Ignore,
        FormatLimits::default(),
    );
    assert!(error.unwrap_err().to_string().contains("more than 128 deep"));
}
