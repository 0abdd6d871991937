//! Which changes are planned, and which are left alone.

use std::collections::BTreeSet;

use patch_refresh::{FileOutcome, RefreshKind};
use patchset_api::status::{PatchState, PatchStatus};
use patchset_api::upkeep::{Renumbering, UpkeepAction, UpkeepDrop, UpkeepState, UpkeepStatus};
use patchset_api::upstream_history::{Evidence, RevertedStatus, UpstreamCommitStatus};

use super::world::{
    DAY, Refreshes, SEEN, at, broken, edits, facts, left, mail, merged, moved, now, patch, planned,
    planned_with, proof, result, tweaked,
};
use crate::layout::tests::MemoryFiles;
use crate::plan::conditions::seconds;
use crate::upkeep::{
    CommitMark, Harm, MovedFile, RefreshedPatch, WithheldChanges, WithheldPart, plan_upkeep,
};

const FOLDER: &str = "patches/glance/2025.2";

fn offset(bytes: &str, new: &str) -> RefreshedPatch {
    let files = vec![MovedFile {
        path: "a/b.py".to_owned(),
        outcome: FileOutcome::Offset { lines: -12 },
    }];
    RefreshedPatch::new(bytes.as_bytes(), RefreshKind::Offset, files, new.into())
}

#[test]
fn what_upstream_has_goes_and_what_moved_is_made_anew_and_the_rest_stays() {
    let files = MemoryFiles::new([
        ("patches/glance/2025.2/1.patch", "one"),
        ("patches/glance/2025.2/2.patch", "two"),
        ("patches/glance/2025.2/3.patch", "three"),
        ("patches/glance/2025.2/4.patch", "four"),
        ("patches/glance/2025.2/5.patch", "five"),
    ]);
    let glance = facts(
        "glance",
        "2025.2",
        vec![
            moved("1.patch", "one"),
            merged("2.patch", "two", Evidence::Reverse),
            tweaked("3.patch", "three", Some("-a\n+b")),
            broken("4.patch", "four"),
            patch("5.patch", "five", PatchState::Clean),
        ],
    );
    let refreshes = Refreshes::default().with("glance-2025.2", "1.patch", offset("one", "new one"));
    let all = [glance];
    let plan = planned_with(&files, &all, &refreshes, &WithheldChanges::default());
    assert_eq!(
        edits(&plan),
        [
            "patches/glance/2025.2/2.patch goes",
            "--",
            "patches/glance/2025.2/3.patch goes",
            "--",
            "patches/glance/2025.2/1.patch = new one",
            "--"
        ]
    );
    assert!(plan.left_alone.is_empty(), "{:?}", left(&plan));
    // The same facts give the same plan at any later time.
    let later = at(SEEN + 20 * DAY);
    let withheld = WithheldChanges::default();
    let again = plan_upkeep("ours", &files, &all, (&refreshes, &withheld), later).unwrap();
    assert_eq!(again, plan);
}

#[test]
fn messages_say_what_why_and_how_that_is_known() {
    let files = MemoryFiles::new([
        ("patches/glance/2025.2/0001-fix.patch", "one"),
        ("patches/glance/2025.2/0002-move.patch", "two"),
        ("patches/glance/2025.1/0007-fix.patch", "old"),
    ]);
    let all = [
        facts(
            "glance",
            "2025.2",
            vec![
                tweaked("0001-fix.patch", "one", Some("-    old()\n+    new()\n")),
                moved("0002-move.patch", "two"),
            ],
        ),
        facts(
            "glance",
            "2025.1",
            vec![patch("0007-fix.patch", "old", PatchState::Clean)],
        ),
    ];
    let refreshes = Refreshes::default().with("glance-2025.2", "0002-move.patch", offset("two", "two"));
    let refreshes = {
        let mut refreshes = refreshes;
        for made in refreshes.0.values_mut() {
            made.bytes = b"two anew".to_vec();
        }
        refreshes
    };
    let plan = planned_with(&files, &all, &refreshes, &WithheldChanges::default());
    let [drop, refresh] = &plan.commits[..] else {
        panic!("{:?}", edits(&plan))
    };
    assert_eq!(
        drop.message,
        format!(
            "\
glance 2025.2: drop 0001-fix.patch

The patch is \"Subject of 0001-fix.patch\".

Upstream at stable/2025.2@1f0c2d3 has it as {} \"Fix the scrubber\", 5 May 2025.
https://opendev.org/openstack/glance/commit/3f3f3f3f

Known by its Change-Id; upstream's change differs from the patch's.

From the patch to upstream's change:

    -    old()
    +    new()

It stays in 2025.1 as 0007-fix.patch (the same name): upstream has not merged it there.

Patchset-Upkeep: ours {} {}
",
            "3f".repeat(20),
            drop.change.id,
            drop.content
        )
    );
    assert_eq!(
        refresh.message,
        format!(
            "\
glance 2025.2: refresh 0002-move.patch

The patch is \"Subject of 0002-move.patch\".

It applies, some lines away from where it says.

- a/b.py: moved up by 12 lines at most

Nothing but line numbers changes in the patch.

Patchset-Upkeep: ours {} {}
",
            refresh.change.id, refresh.content
        )
    );
    let mark = CommitMark::read(&drop.message).unwrap();
    assert_eq!(
        (mark.namespace.as_str(), &mark.change, mark.content.as_str()),
        ("ours", &drop.change.id, drop.content.as_str())
    );
}

#[test]
fn nothing_is_proposed_before_it_was_so_for_long_enough() {
    let files = MemoryFiles::new([("patches/glance/2025.2/1.patch", "one")]);
    let all = [facts(
        "glance",
        "2025.2",
        vec![merged("1.patch", "one", Evidence::ChangeId)],
    )];
    for (second, commits, due) in [
        (SEEN, 0, Some(SEEN + DAY)),
        (SEEN + DAY - 1, 0, Some(SEEN + DAY)),
        (SEEN + DAY, 1, None),
    ] {
        let withheld = WithheldChanges::default();
        let plan = plan_upkeep(
            "ours",
            &files,
            &all,
            (&Refreshes::default(), &withheld),
            at(second),
        );
        let plan = plan.unwrap();
        assert_eq!(
            (plan.commits.len(), plan.next_due),
            (commits, due.map(at)),
            "{second}"
        );
    }
}

#[test]
fn it_has_to_be_known_well_enough() {
    let files = MemoryFiles::new([("patches/glance/2025.2/1.patch", "one")]);
    let by = |by, differs, interdiff: Option<&str>| {
        let mut patch = merged("1.patch", "one", by);
        let merged = patch.merged.as_mut().unwrap();
        merged.differs = differs;
        merged.interdiff = interdiff.map(ToOwned::to_owned);
        patch
    };
    let mut taken_back = by(Evidence::ChangeId, false, None);
    taken_back.reverted = Some(RevertedStatus {
        merged: UpstreamCommitStatus::default(),
        by: UpstreamCommitStatus::default(),
    });
    let mut untold = by(Evidence::ChangeId, false, None);
    untold.merged = None;
    let mut unseen = by(Evidence::ChangeId, false, None);
    unseen.since = None;
    let mut unknown = by(Evidence::ChangeId, false, None);
    unknown.blob = None;
    for (patch, expected) in [
        (by(Evidence::Reverse, false, None), None),
        (by(Evidence::Commit, true, None), None),
        (by(Evidence::CherryPick, true, None), None),
        (by(Evidence::ChangeId, true, None), None),
        (by(Evidence::PatchId, false, None), None),
        (by(Evidence::Authorship, false, None), None),
        (by(Evidence::Authorship, true, Some("-a\n+b")), None),
        (
            by(Evidence::Authorship, true, None),
            Some("could not be compared"),
        ),
        (taken_back, Some("reverted it")),
        (untold, Some("")),
        (unseen, Some("not tried by this version")),
        (unknown, Some("not tried by this version")),
    ] {
        let plan = planned(&files, &[facts("glance", "2025.2", vec![patch.clone()])]);
        match expected {
            None => assert_eq!(
                edits(&plan),
                [format!("{FOLDER}/1.patch goes"), "--".to_owned()],
                "{patch:?}"
            ),
            Some(why) => {
                assert!(plan.is_empty(), "{patch:?}");
                assert!(left(&plan).concat().contains(why), "{:?}", left(&plan));
            }
        }
    }
}

#[test]
fn what_a_person_moved_changed_or_commented_out_is_not_fought_over() {
    let one = || vec![merged("1.patch", "one", Evidence::ChangeId)];
    for (files, expected) in [
        (
            vec![("patches/glance/2025.2/1.patch", "other")],
            "was changed since",
        ),
        (vec![("patches/glance/2025.2/2.patch", "one")], "no longer among"),
        (
            vec![
                ("patches/glance/2025.2/1.patch", "one"),
                ("patches/glance/2025.2/series", "# 1.patch\n"),
            ],
            "no longer among",
        ),
        (
            vec![("patches/glance/old/1.patch", "one")],
            "folder does not exist",
        ),
        (vec![("patches/glance/2025.2", "a file")], "folder does not exist"),
        (
            vec![
                ("patches/glance/2025.2/1.patch", "one"),
                ("patches/glance/2025.2/series", "1.patch\n2.patch\n"),
            ],
            "are not known",
        ),
    ] {
        let plan = planned(&MemoryFiles::new(files), &[facts("glance", "2025.2", one())]);
        assert!(plan.is_empty(), "{:?}", edits(&plan));
        let [told] = &left(&plan)[..] else {
            panic!("{:?}", left(&plan))
        };
        assert!(told.contains(expected), "{told}");
    }
    // Files beside the patches are no reason to wait.
    let files = MemoryFiles::new([
        ("patches/glance/2025.2/1.patch", "one"),
        ("patches/glance/2025.2/2.patch", "two"),
        ("patches/glance/2025.2/series", "# why\n1.patch\n# 2.patch\n"),
    ]);
    let plan = planned(&files, &[facts("glance", "2025.2", one())]);
    assert_eq!(
        edits(&plan),
        [
            "patches/glance/2025.2/1.patch goes",
            "patches/glance/2025.2/series = # why\n# 2.patch",
            "--"
        ]
    );
}

#[test]
fn a_folder_that_several_read_changes_only_where_that_is_right_for_all() {
    let files =
        MemoryFiles::new([("patches/glance/2025.1/1.patch", "one")]).link("patches/glance/2025.2", "2025.1");
    let one = || vec![merged("1.patch", "one", Evidence::ChangeId)];
    let old = facts("glance", "2025.1", one());
    let new = |patches: Vec<PatchStatus>| facts("glance", "2025.2", patches);

    let plan = planned(&files, &[old.clone(), new(one())]);
    assert_eq!(edits(&plan), ["patches/glance/2025.1/1.patch goes", "--"]);
    assert_eq!(
        plan.commits[0].change.patch_sets,
        ["glance-2025.1", "glance-2025.2"]
    );
    assert!(
        plan.commits[0]
            .message
            .starts_with("glance 2025.1, 2025.2: drop 1.patch\n")
    );

    let mut reports = new(one());
    reports.policy.drop = UpkeepAction::Report;
    let mut untried = new(one());
    untried.is_current = false;
    let mut fresh = new(one());
    fresh.patches[0].since = Some(seconds(now()));
    for (other, expected) in [
        (
            new(vec![patch("1.patch", "one", PatchState::Clean)]),
            "needs it as it is",
        ),
        (
            new(vec![patch("1.patch", "one", PatchState::Conflict)]),
            "needs it as it is",
        ),
        (new(vec![moved("1.patch", "one")]), "needs it as it is"),
        (reports, "does not allow it"),
        (untried, "was not tried yet"),
        (fresh, "is proposed after"),
        (new(Vec::new()), "was not tried yet"),
    ] {
        let plan = planned(&files, &[old.clone(), other.clone()]);
        assert!(plan.is_empty(), "{other:?}");
        let told = left(&plan);
        assert!(
            told.iter().any(|told| told.starts_with("glance-2025.1 1.patch:")),
            "{told:?}"
        );
        assert!(told.iter().all(|told| told.contains(expected)), "{told:?}");
    }
    // One that proposes nothing gets no message.
    let mut silent = old;
    silent.policy.drop = UpkeepAction::Report;
    let plan = planned(&files, &[silent]);
    assert!(plan.is_empty() && plan.left_alone.is_empty());
}

#[test]
fn a_file_that_another_folder_links_to_stays_there() {
    let files = MemoryFiles::new([("patches/glance/2025.1/1.patch", "one")])
        .link("patches/glance/2025.2/1.patch", "../2025.1/1.patch");
    let all = [
        facts(
            "glance",
            "2025.1",
            vec![merged("1.patch", "one", Evidence::ChangeId)],
        ),
        facts(
            "glance",
            "2025.2",
            vec![patch("1.patch", "one", PatchState::Clean)],
        ),
    ];
    let plan = planned(&files, &all);
    assert_eq!(
        edits(&plan),
        [
            "patches/glance/2025.1/1.patch goes",
            "patches/glance/2025.2/1.patch = one",
            "--"
        ]
    );
    let message = &plan.commits[0].message;
    assert!(
        message.contains("It stays in 2025.2 as 1.patch (the same file)"),
        "{message}"
    );
}

#[test]
fn a_refresh_is_made_only_where_all_that_read_the_file_get_the_same() {
    let files =
        MemoryFiles::new([("patches/glance/2025.1/1.patch", "one")]).link("patches/glance/2025.2", "2025.1");
    let all = [
        facts("glance", "2025.1", vec![moved("1.patch", "one")]),
        facts("glance", "2025.2", vec![moved("1.patch", "one")]),
    ];
    let made = |new: &str, other: &str| {
        Refreshes::default()
            .with("glance-2025.1", "1.patch", offset("one", new))
            .with("glance-2025.2", "1.patch", offset(other, "anew"))
    };
    let withheld = WithheldChanges::default();
    let plan = planned_with(&files, &all, &made("anew", "one"), &withheld);
    assert_eq!(edits(&plan), ["patches/glance/2025.1/1.patch = anew", "--"]);
    for (refreshes, expected) in [
        (made("otherwise", "one"), "needs it as it is"),
        (made("anew", "other bytes"), "was changed since"),
        (Refreshes::default(), "could not be refreshed"),
    ] {
        let plan = planned_with(&files, &all, &refreshes, &withheld);
        assert!(plan.is_empty());
        assert!(left(&plan).concat().contains(expected), "{:?}", left(&plan));
    }
}

#[test]
fn numbers_close_up_in_the_commit_of_each_drop() {
    let files = MemoryFiles::new([
        ("patches/glance/2025.2/0001-a.patch", "a"),
        ("patches/glance/2025.2/0002-b.patch", "b"),
        ("patches/glance/2025.2/0003-c.patch", "c"),
        ("patches/glance/2025.2/0004-d.patch", "d"),
    ]);
    let mut glance = facts(
        "glance",
        "2025.2",
        vec![
            merged("0001-a.patch", "a", Evidence::ChangeId),
            patch("0002-b.patch", "b", PatchState::Clean),
            merged("0003-c.patch", "c", Evidence::ChangeId),
            moved("0004-d.patch", "d"),
        ],
    );
    glance.policy.renumber = Renumbering::OnDrop;
    let refreshes = Refreshes::default().with("glance-2025.2", "0004-d.patch", offset("d", "D"));
    let plan = planned_with(&files, &[glance.clone()], &refreshes, &WithheldChanges::default());
    assert_eq!(
        edits(&plan),
        [
            "patches/glance/2025.2/0001-a.patch goes",
            "patches/glance/2025.2/0001-b.patch = b",
            "patches/glance/2025.2/0002-b.patch goes",
            "patches/glance/2025.2/0002-c.patch = c",
            "patches/glance/2025.2/0003-c.patch goes",
            "patches/glance/2025.2/0003-d.patch = d",
            "patches/glance/2025.2/0004-d.patch goes",
            "--",
            "patches/glance/2025.2/0002-c.patch goes",
            "patches/glance/2025.2/0002-d.patch = d",
            "patches/glance/2025.2/0003-d.patch goes",
            "--",
            "patches/glance/2025.2/0002-d.patch = D",
            "--"
        ]
    );
    let message = &plan.commits[0].message;
    let numbered = "Renumbered: 0002-b.patch is 0001-b.patch, 0003-c.patch is 0002-c.patch";
    assert!(message.contains(numbered), "{message}");
    assert!(
        plan.commits[1]
            .message
            .starts_with("glance 2025.2: drop 0002-c.patch\n")
    );
    assert_eq!(plan.commits[1].change.name, "0003-c.patch");

    glance.policy.renumber = Renumbering::Never;
    let plan = planned_with(&files, &[glance], &refreshes, &WithheldChanges::default());
    assert_eq!(plan.whole_edit().edits().count(), 3);
}

#[test]
fn what_was_declined_is_not_proposed_until_its_facts_change() {
    let files = MemoryFiles::new([
        ("patches/glance/2025.2/1.patch", "one"),
        ("patches/glance/2025.2/2.patch", "two"),
    ]);
    let two = || {
        vec![
            merged("1.patch", "one", Evidence::ChangeId),
            merged("2.patch", "two", Evidence::ChangeId),
        ]
    };
    let first = planned(&files, &[facts("glance", "2025.2", two())]);
    let withheld = WithheldChanges {
        declined: [first.commits[0].change.id.clone()].into(),
        ..WithheldChanges::default()
    };
    let plan = planned_with(
        &files,
        &[facts("glance", "2025.2", two())],
        &Refreshes::default(),
        &withheld,
    );
    assert_eq!(plan.changes(), [first.commits[1].change.id.clone()]);
    assert!(left(&plan)[0].contains("closed without being merged"));
    // A status remembers it as well.
    let mut remembered = facts("glance", "2025.2", two());
    remembered.declined = BTreeSet::from_iter(first.changes());
    assert!(planned(&files, &[remembered.clone()]).is_empty());
    // Another commit upstream is another fact.
    remembered.patches[0].merged.as_mut().unwrap().commit = Some("1".repeat(40).into());
    assert_eq!(planned(&files, &[remembered]).commits.len(), 1);
}

#[test]
fn what_makes_a_series_worse_is_withheld_refreshes_first() {
    let files = MemoryFiles::new([
        ("patches/glance/2025.2/1.patch", "one"),
        ("patches/glance/2025.2/2.patch", "two"),
        ("patches/nova/2025.2/1.patch", "other"),
    ]);
    let all = [
        facts(
            "glance",
            "2025.2",
            vec![
                merged("1.patch", "one", Evidence::ChangeId),
                moved("2.patch", "two"),
            ],
        ),
        facts(
            "nova",
            "2025.2",
            vec![merged("1.patch", "other", Evidence::ChangeId)],
        ),
    ];
    let refreshes = Refreshes::default().with("glance-2025.2", "2.patch", offset("two", "bad"));
    let mut withheld = WithheldChanges::default();
    let good = proof("nova-2025.2", result(0, 1, 1), result(0, 0, 1));
    let bad = proof("glance-2025.2", result(2, 2, 1), result(1, 2, 2));
    let plan = planned_with(&files, &all, &refreshes, &withheld);
    assert_eq!(plan.commits.len(), 3);
    assert!(withheld.withhold_harmful(&plan, &[good.clone(), bad.clone()]));
    let plan = planned_with(&files, &all, &refreshes, &withheld);
    assert_eq!(plan.commits.len(), 2);
    assert!(left(&plan)[0].contains("1 of 2 patches would apply, and 2 of 2 do without it"));
    assert!(withheld.withhold_harmful(&plan, &[good.clone(), bad]));
    let plan = planned_with(&files, &all, &refreshes, &withheld);
    assert_eq!(plan.patch_sets(), BTreeSet::from(["nova-2025.2"]));
    assert!(!withheld.withhold_harmful(&plan, &[good]));
    // What is not tried is not proposed.
    assert!(withheld.withhold_harmful(&plan, &[]));
    let nova = (WithheldPart::All, Harm::Untried);
    assert_eq!(withheld.harmful["nova-2025.2"], nova);
    assert!(planned_with(&files, &all, &refreshes, &withheld).is_empty());
}

#[test]
fn a_proof_asks_for_no_less_and_for_the_same_tree() {
    for (before, after, harm) in [
        (result(2, 3, 1), result(2, 2, 1), false),
        (result(2, 3, 1), result(3, 3, 2), false),
        (result(2, 3, 1), result(2, 3, 1), false),
        (result(2, 3, 1), result(2, 3, 2), true),
        (result(2, 3, 1), result(1, 2, 1), true),
        (result(2, 2, 1), result(2, 3, 1), true),
    ] {
        let proof = proof("x", before, after);
        assert_eq!(proof.harm().is_some(), harm, "{proof:?}");
    }
}

#[test]
fn a_branch_is_up_to_date_by_what_it_changes_and_what_was_there() {
    let plan = |second: &str| {
        let files = MemoryFiles::new([
            ("patches/glance/2025.2/1.patch", "one"),
            ("patches/glance/2025.2/series", second),
            ("README", second),
        ]);
        planned(
            &files,
            &[facts(
                "glance",
                "2025.2",
                vec![merged("1.patch", "one", Evidence::ChangeId)],
            )],
        )
    };
    let one = plan("1.patch\n");
    assert_eq!(one.content(), plan("1.patch\n").content());
    assert_ne!(one.content(), plan("# a\n1.patch\n").content());
    assert_eq!(one.changes(), plan("# a\n1.patch\n").changes());
}

#[test]
fn what_is_in_the_request_stays_there_while_it_is_tried_anew() {
    let files = MemoryFiles::new([("patches/glance/2025.2/1.patch", "one")]);
    let mut glance = facts(
        "glance",
        "2025.2",
        vec![merged("1.patch", "one", Evidence::ChangeId)],
    );
    glance.is_current = false;
    assert!(planned(&files, &[glance.clone()]).pending.is_empty());
    glance.status = Some(proposed("1.patch"));
    let plan = planned(&files, &[glance]);
    assert_eq!(plan.pending, BTreeSet::from(["glance-2025.2".to_owned()]));
    assert!(plan.is_empty());
}

/// A person who edits a proposed patch changes neither that upstream has it nor the request.
#[test]
fn what_is_in_the_request_stays_there_though_its_file_is_edited() {
    let files = MemoryFiles::new([("patches/glance/2025.2/1.patch", "one, edited")]);
    let status = |bytes, since| {
        let mut patch = merged("1.patch", bytes, Evidence::ChangeId);
        patch.since = Some(seconds(since));
        facts("glance", "2025.2", vec![patch])
    };
    // First it has to be tried.
    let mut untried = status("one", at(SEEN));
    let plan = planned(&files, &[untried.clone()]);
    assert!(plan.pending.is_empty() && plan.is_empty());
    untried.status = Some(proposed("1.patch"));
    let plan = planned(&files, &[untried.clone()]);
    assert!(plan.pending.contains("glance-2025.2") && plan.is_empty());
    assert!(plan.concerns("glance-2025.2"));
    untried.status = Some(proposed("2.patch"));
    assert!(planned(&files, &[untried]).pending.is_empty());
    // Once tried, it stays in the request without a wait.
    let mut tried = status("one, edited", now());
    assert!(planned(&files, &[tried.clone()]).is_empty());
    tried.status = Some(proposed("1.patch"));
    assert_eq!(planned(&files, &[tried.clone()]).commits.len(), 1);
    tried.status = Some(UpkeepStatus {
        state: UpkeepState::Closed,
        ..proposed("1.patch")
    });
    assert!(planned(&files, &[tried]).is_empty());
}

/// The status of a patch in an open pull request.
fn proposed(drop: &str) -> UpkeepStatus {
    UpkeepStatus {
        state: UpkeepState::Proposed,
        since: seconds(now()),
        pull_request: Some("https://gitea.example.org/acme/gitops/pulls/1".to_owned()),
        branch: None,
        commit: None,
        message: None,
        drops: vec![UpkeepDrop {
            name: drop.to_owned(),
            by: Evidence::ChangeId,
            differs: false,
            commit: None,
        }],
        refreshes: Vec::new(),
        left_alone: Vec::new(),
        omitted: None,
        declined: Vec::new(),
    }
}

#[test]
fn the_same_patch_is_known_in_other_releases_and_told_where_it_stays() {
    let text = mail("x");
    let files = MemoryFiles::new([
        ("patches/glance/2025.2/1.patch", text.as_str()),
        ("patches/glance/2025.1/9.patch", text.as_str()),
        (
            "patches/glance/2024.2/8.patch",
            &text.replace("@@ -1 +1 @@", "@@ -7 +7 @@"),
        ),
        ("patches/glance/2024.1/7.patch", text.as_str()),
        ("patches/nova/2025.1/1.patch", text.as_str()),
    ]);
    let mut report = facts(
        "glance",
        "2024.1",
        vec![merged("7.patch", &text, Evidence::ChangeId)],
    );
    report.policy.drop = UpkeepAction::Report;
    let all = [
        facts(
            "glance",
            "2025.2",
            vec![merged("1.patch", &text, Evidence::ChangeId)],
        ),
        facts(
            "glance",
            "2025.1",
            vec![merged("9.patch", &text, Evidence::ChangeId)],
        ),
        facts("glance", "2024.2", Vec::new()),
        report,
        facts("nova", "2025.1", vec![patch("1.patch", &text, PatchState::Clean)]),
    ];
    let plan = planned(&files, &all);
    let message = &plan.commits[1].message;
    assert!(message.starts_with("glance 2025.2: drop 1.patch"), "{message}");
    let stays: Vec<&str> = message
        .lines()
        .filter(|line| line.starts_with("It stays"))
        .collect();
    assert_eq!(
        stays,
        [
            "It stays in 2024.1 as 7.patch (the same file): upstream has it there too, and it is left alone for now.",
            "It stays in 2024.2 as 8.patch (the same change): it was not tried there yet.",
        ]
    );
}
