//! What upstream took back.

use git_apply_engine::PatchInput;
use upstream_history::{Evidence, Finding};

use super::Upstream;
use super::identities::{BASE, change_id, commit_of, merged};

/// Base, a fix with a `Change-Id`, and a copy of it as a patch.
fn fixed() -> (Upstream, String, PatchInput) {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE), ("g", "1\n")], "Base");
    let message = format!("Fix\n\n{}", change_id('a'));
    let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], &message);
    let patch = upstream.patch(&fix);
    (upstream, fix, patch)
}

/// Changes what the patch needs around its lines, so that it applies neither way.
fn changed_around(upstream: &Upstream) {
    let text = std::fs::read_to_string(upstream.path().join("f")).unwrap();
    upstream.commit(
        &[("f", &text.replace("three", "trois").replace("five", "cinq"))],
        "Later",
    );
}

/// The commits that brought and removed a patch.
fn reverted(findings: &[Finding]) -> (String, String) {
    match findings {
        [Finding::Reverted { merged, reverted_by }] => {
            (merged.commit.to_string(), reverted_by.commit.to_string())
        }
        other => panic!("{other:#?}"),
    }
}

#[test]
fn reverts_of_reverts_of_reverts() {
    let (upstream, fix, patch) = fixed();
    let mut last = fix.clone();
    for times in 1..=5 {
        upstream.git(&["revert", "--no-edit", &last]);
        last = upstream.head();
        upstream.git(&["branch", "--force", "at", "HEAD"]);
        changed_around(&upstream);
        let findings = upstream.find("main", std::slice::from_ref(&patch));
        if times % 2 == 1 {
            assert_eq!(reverted(&findings), (fix.clone(), last.clone()), "{times}");
        } else {
            let merged = merged(&findings);
            assert_eq!(
                (merged.by, commit_of(merged)),
                (Evidence::Commit, fix.clone()),
                "{times}"
            );
        }
        upstream.git(&["reset", "--quiet", "--hard", "at"]);
    }
}

#[test]
fn reverts_in_the_words_of_gerrit_and_github() {
    for (message, counts) in [
        (
            "Revert \"Fix\"\n\nThis reverts commit ID.\n\nReason for revert: it broke the gate.",
            true,
        ),
        (
            "Revert \"Fix\" (#12)\n\nReverts example/manager#11\n\nThis reverts commit ID.",
            true,
        ),
        ("Revert \"Fix\" (#12)\n\nReverts example/manager@ID", true),
        ("Undo\n\nThis reverts commit SHORT.", true),
        ("Revert \"Fix\" (#12)\n\nReverts example/manager#11", false),
        ("Tidy\n\nThis partially reverts commit ID.", false),
        ("Tidy\n\n> This reverts commit ID.", false),
    ] {
        let (upstream, fix, patch) = fixed();
        let message = message.replace("ID", &fix).replace("SHORT", &fix[..8]);
        let revert = upstream.commit(&[("f", BASE)], &message);
        changed_around(&upstream);
        let findings = upstream.find("main", &[patch]);
        if counts {
            assert_eq!(reverted(&findings), (fix, revert), "{message}");
        } else {
            assert_eq!(commit_of(merged(&findings)), fix, "{message}");
        }
    }
}

#[test]
fn what_comes_again_after_a_revert_is_there() {
    let (upstream, fix, patch) = fixed();
    upstream.git(&["revert", "--no-edit", &fix]);
    let message = format!("Fix\n\n{}", change_id('a'));
    let again = upstream.commit(&[("f", &BASE.replace("four", "vier!"))], &message);
    changed_around(&upstream);
    let findings = upstream.find("main", &[patch]);
    assert_eq!(
        (merged(&findings).by, commit_of(merged(&findings))),
        (Evidence::ChangeId, again)
    );
}

#[test]
fn a_merge_that_is_taken_back_takes_its_commits_along() {
    let upstream = Upstream::new();
    upstream.commit(&[("f", BASE), ("g", "1\n")], "Base");
    upstream.git(&["checkout", "--quiet", "-b", "topic"]);
    let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], "Fix");
    let patch = upstream.patch(&fix);
    upstream.git(&["checkout", "--quiet", "main"]);
    let aside = upstream.commit(&[("g", "2\n")], "Aside");
    let aside_patch = upstream.patch(&aside);
    upstream.git(&["merge", "--quiet", "--no-ff", "-m", "Merge the topic", "topic"]);
    upstream.git(&["revert", "--no-edit", "-m", "1", "HEAD"]);
    let revert = upstream.head();
    changed_around(&upstream);
    upstream.commit(&[("g", "3\n")], "More");
    assert_eq!(reverted(&upstream.find("main", &[patch])), (fix, revert));
    // What was on the main line before is not reverted.
    assert_eq!(commit_of(merged(&upstream.find("main", &[aside_patch]))), aside);
}

#[test]
fn a_revert_that_was_picked_names_the_commit_of_the_other_branch() {
    for keeps_name in [true, false] {
        let upstream = Upstream::new();
        upstream.commit(&[("f", BASE)], "Base");
        upstream.git(&["branch", "stable"]);
        let message = format!("Fix\n\n{}", change_id('a'));
        let fix = upstream.commit(&[("f", &BASE.replace("four", "vier"))], &message);
        upstream.git(&["revert", "--no-edit", &fix]);
        let revert = upstream.head();
        upstream.git(&["checkout", "--quiet", "stable"]);
        upstream.commit(&[("g", "2\n")], "Other");
        // Known by the note on the pick, or by the `Change-Id` alone.
        let pick: &[&str] = if keeps_name {
            &["cherry-pick", "-x"]
        } else {
            &["cherry-pick"]
        };
        upstream.git(&[pick, &[&fix]].concat());
        let backport = upstream.head();
        upstream.git(&[pick, &[&revert]].concat());
        let picked = upstream.head();
        changed_around(&upstream);
        let findings = upstream.find("stable", &[upstream.patch(&fix)]);
        assert_eq!(reverted(&findings), (backport, picked));
    }
}

#[test]
fn a_revert_on_another_branch_takes_nothing_back() {
    let (upstream, fix, patch) = fixed();
    upstream.git(&["branch", "stable"]);
    upstream.git(&["revert", "--no-edit", &fix]);
    upstream.git(&["checkout", "--quiet", "stable"]);
    changed_around(&upstream);
    assert_eq!(commit_of(merged(&upstream.find("stable", &[patch]))), fix);
}
