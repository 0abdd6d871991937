//! The status of a `PatchSet` after all kinds of attempts.

use git_apply_engine::Oid;
use std::time::Duration;

use image_references::{Digest, ImageReference};
use jiff::Timestamp;
use patchset_api::build::{BuildStatus, ImageStatus, RejectedImage, Rejection};
use patchset_api::conditions::find;
use patchset_api::delivery::{CommitStatus, DeliveryStatus, ProposalStatus};
use patchset_api::image_test::ImageTestsStatus;
use patchset_api::patch_set::MergedPatches;
use patchset_api::reason::{self, condition};
use patchset_api::status::{
    ConflictStatus, OmittedPatches, PatchSetStatus, PatchState, PatchStatus, UpstreamStatus,
};
use patchset_api::upstream_history::{
    Evidence, FuzzyFit, MergedStatus, RevertedStatus, UpstreamCommitStatus,
};

use super::image_history::{RECORDED_BYTES, RECORDED_DIGITS, recorded_patches};
use super::settle_build::record_build;
use super::*;
use crate::plan::conditions::seconds;
use crate::plan::failure::{Failure, Step};
use crate::plan::lifecycle::{
    AskedFor, Next, Outcome, SignaturePolicy, Streak, begin_generation, has_verified_results_of, is_verified,
    wait_before_next,
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const POLICY: Policy<'_> = Policy {
    patches_location: None,
    merged_patches: MergedPatches::Fail,
    builds: false,
    tests: false,
    delivers: false,
    signatures: SignaturePolicy::NotRequired,
    list_bytes: 1 << 18,
};

fn sources(digest: &str) -> Sources {
    Sources {
        upstream: UpstreamStatus {
            revision: format!("main@sha1:{digest}").as_str().into(),
            short_revision: None,
            commit: digest.into(),
        },
        patches_revision: None,
        inputs_digest: digest.into(),
        signatures: None,
    }
}

fn patch(state: PatchState) -> PatchStatus {
    PatchStatus {
        message: Some("why".into()),
        ..PatchStatus::new("0001.patch", state)
    }
}

fn checked(states: &[PatchState]) -> PatchSetProgress {
    let patches = states.iter().map(|state| patch(*state)).collect();
    PatchSetProgress {
        delivered: DeliveryOutcome::Nothing,
        merged_delivery: None,
        checked: Some(ApplyResult {
            patches,
            tree: Oid::from_bytes([7; 20]),
            history_failure: None,
            note: None,
            history_cut: None,
        }),
        candidates: Some(Vec::new()),
        built: BuildOutcome::Nothing,
    }
}

fn asked(generation: i64) -> AskedFor<'static> {
    AskedFor {
        generation,
        requested_at: None,
    }
}

fn after(previous: &PatchSetStatus, outcome: Outcome<Sources, PatchSetProgress>) -> (PatchSetStatus, Next) {
    settle(previous, asked(1), POLICY, NOW, outcome)
}

fn shown(status: &PatchSetStatus) -> Vec<String> {
    status
        .conditions
        .iter()
        .map(|c| format!("{}={}/{}", c.type_, c.status, c.reason))
        .collect()
}

#[test]
fn a_new_generation_is_announced_once() {
    let begun = begin_generation(&PatchSetStatus::default(), 1, NOW).unwrap();
    assert_eq!(
        shown(&begun),
        ["Ready=Unknown/Progressing", "Reconciling=True/Progressing"]
    );
    assert_eq!(begun.observed_generation, -1);
    assert_eq!(begin_generation(&begun, 1, NOW), None);
    assert!(begin_generation(&begun, 2, NOW).is_some());
}

#[test]
fn the_same_outcome_again_changes_nothing() {
    let outcome = || Outcome::Done(sources("a"), checked(&[PatchState::Clean, PatchState::Offset]));
    let (status, next) = after(&PatchSetStatus::default(), outcome());
    assert_eq!(next, Next::Interval);
    let later = Timestamp::from_second(1_000_000).unwrap();
    assert_eq!(settle(&status, asked(1), POLICY, later, outcome()).0, status);
    assert!(results_are_current(&status, &"a".into()) && !results_are_current(&status, &"b".into()));
    assert_eq!(
        settle(&status, asked(1), POLICY, later, Outcome::Unchanged(sources("a"))).0,
        status
    );
}

#[test]
fn each_state_has_its_reason() {
    use PatchState::{Blocked, Clean, Conflict, Malformed, Merged};
    for (states, reason) in [
        (&[Clean, Conflict, Blocked][..], "PatchConflict"),
        (&[Malformed, Merged], "PatchMalformed"),
        (&[Merged, Clean], "PatchMerged"),
        (&[Blocked], "PatchConflict"),
    ] {
        let (status, next) = after(
            &PatchSetStatus::default(),
            Outcome::Done(sources("a"), checked(states)),
        );
        let expected = [
            format!("PatchesApplicable=False/{reason}"),
            format!("Ready=False/{reason}"),
            "SourceResolved=True/Succeeded".to_owned(),
            format!("Stalled=True/{reason}"),
        ];
        assert_eq!((shown(&status), next), (expected.to_vec(), Next::Interval));
        assert_eq!(status.patched_tree, None);
    }
}

fn merged(name: &str, differs: bool) -> PatchStatus {
    PatchStatus {
        name: name.into(),
        merged: Some(MergedStatus {
            commit: Some(("3f2a1bc".repeat(5) + "00000").into()),
            by: Evidence::ChangeId,
            subject: Some("Refactor the manager".into()),
            author: None,
            date: Some(seconds(Timestamp::from_second(1_746_403_200).unwrap())),
            url: None,
            differs,
            interdiff: None,
        }),
        ..patch(PatchState::Merged)
    }
}

#[test]
fn a_policy_says_which_of_the_merged_patches_are_left_out() {
    use MergedPatches::{Fail, Skip, SkipDiffering};
    let same = "same.patch was merged upstream as 3f2a1bc 'Refactor the manager' (5 May 2025): remove it";
    let other = "other.patch was merged upstream in another form as 3f2a1bc 'Refactor the manager' \
                 (5 May 2025): ";
    // The verdict is the same whether all patches are listed or not.
    for room in [1 << 18, 200] {
        for (policy, applied, message) in [
            (Fail, "1/3", Some(same.to_owned())),
            (Skip, "2/3", Some(format!("{other}look at the difference"))),
            (SkipDiffering, "3/3", None),
        ] {
            let mut progress = checked(&[PatchState::Clean]);
            let list = &mut progress.checked.as_mut().unwrap().patches;
            list.extend([merged("same.patch", false), merged("other.patch", true)]);
            let policy = Policy {
                merged_patches: policy,
                list_bytes: room,
                ..POLICY
            };
            let outcome = Outcome::Done(sources("a"), progress);
            let (status, _) = settle(&PatchSetStatus::default(), asked(1), policy, NOW, outcome);
            assert_eq!(status.applied.as_deref(), Some(applied), "{policy:?}");
            assert_eq!(status.patched_tree.is_some(), message.is_none(), "{policy:?}");
            let ready = find(&status.conditions, condition::READY).unwrap();
            match message {
                None => assert_eq!(ready.status, "True"),
                Some(_) if room < 1000 => assert_eq!(ready.reason, "PatchMerged"),
                Some(message) => assert!(ready.message.contains(&message), "{}", ready.message),
            }
        }
    }
}

#[test]
fn where_a_patch_applied_last_is_remembered_while_it_does_not() {
    let at = |previous: &PatchSetStatus, commit: &str, state| {
        after(previous, Outcome::Done(sources(commit), checked(&[state]))).0
    };
    let last = |status: &PatchSetStatus| status.patches[0].last_applied.clone();
    let a = at(&PatchSetStatus::default(), "a", PatchState::Clean);
    assert_eq!(last(&a), None);
    let b = at(&a, "b", PatchState::Offset);
    let c = at(&b, "c", PatchState::Conflict);
    assert_eq!(last(&c).as_deref(), Some("main@sha1:b"));
    let d = at(&c, "d", PatchState::Merged);
    assert_eq!(last(&d).as_deref(), Some("main@sha1:b"));
    // Settling again at the same revision changes nothing.
    assert_eq!(at(&d, "d", PatchState::Merged), d);
    assert_eq!(last(&at(&d, "e", PatchState::Clean)), None);
    let never = at(&PatchSetStatus::default(), "a", PatchState::Conflict);
    assert_eq!(last(&never), None);
}

#[test]
fn a_patch_is_as_it_is_since_it_was_first_seen_so() {
    let after = |previous: &PatchSetStatus, second, state| {
        let mut progress = checked(&[state]);
        if let Some(checked) = &mut progress.checked {
            checked.patches[0].blob = Some("1".repeat(40).into());
        }
        let now = Timestamp::from_second(second).unwrap();
        settle(
            previous,
            asked(1),
            POLICY,
            now,
            Outcome::Done(sources("a"), progress),
        )
        .0
    };
    let since = |status: &PatchSetStatus| status.patches[0].since.as_ref().unwrap().0.as_second();
    let first = after(&PatchSetStatus::default(), 100, PatchState::Merged);
    assert_eq!(since(&first), 100);
    let second = after(&first, 200, PatchState::Merged);
    assert_eq!(since(&second), 100);
    assert_eq!(since(&after(&second, 300, PatchState::Clean)), 300);
}

#[test]
fn an_image_of_the_history_has_the_patches_that_are_in_it_as_far_as_there_is_room() {
    let series = |states: &[PatchState]| {
        let mut patches = checked(states).checked.unwrap().patches;
        for (number, patch) in patches.iter_mut().enumerate() {
            patch.name = format!("{number:04}.patch");
            patch.blob = Some(format!("{number:040x}").into());
        }
        PatchSetStatus {
            patches,
            ..PatchSetStatus::default()
        }
    };
    let status = series(&[PatchState::Clean, PatchState::Merged, PatchState::Offset]);
    let (recorded, omitted) = recorded_patches(&status);
    let names: Vec<&str> = recorded.iter().map(|patch| patch.name.as_str()).collect();
    assert_eq!((names, omitted), (vec!["0000.patch", "0002.patch"], None));
    assert_eq!(recorded[1].blob, "0".repeat(RECORDED_DIGITS));

    let mut status = series(&[PatchState::Clean; 1000]);
    status.omitted_patches = Some(OmittedPatches {
        offset: 7,
        conflict: 9,
        ..OmittedPatches::default()
    });
    let (recorded, omitted) = recorded_patches(&status);
    let bytes: usize = recorded
        .iter()
        .map(|patch| patch.name.len() + patch.blob.len())
        .sum();
    assert!(bytes <= RECORDED_BYTES && bytes > RECORDED_BYTES / 2, "{bytes}");
    assert_eq!(
        omitted.map(|omitted| omitted as usize + recorded.len()),
        Some(1007)
    );
    // A patch whose blob is unknown ends the recorded list, and counts as omitted.
    let mut status = series(&[PatchState::Clean; 3]);
    status.patches[1].blob = None;
    let (recorded, omitted) = recorded_patches(&status);
    assert_eq!((recorded.len(), omitted), (1, Some(2)));
}

#[test]
fn patches_without_room_in_the_list_count() {
    let states = [vec![PatchState::Clean; 900], vec![PatchState::Conflict; 600]].concat();
    let policy = Policy {
        list_bytes: 20_000,
        ..POLICY
    };
    let settled = |previous: &PatchSetStatus, outcome| settle(previous, asked(1), policy, NOW, outcome).0;
    let status = settled(
        &PatchSetStatus::default(),
        Outcome::Done(sources("a"), checked(&states)),
    );
    assert!(serde_json::to_vec(&status.patches).unwrap().len() <= policy.list_bytes);
    assert!(
        status
            .patches
            .iter()
            .all(|patch| patch.state == PatchState::Conflict)
    );
    assert_eq!(status.applied.as_deref(), Some("900/1500"));
    assert_eq!(
        status.count(PatchState::Clean) + status.count(PatchState::Conflict),
        1500
    );
    let ready = find(&status.conditions, condition::READY).unwrap();
    assert!(
        ready.message.starts_with("900 of 1500 patches apply"),
        "{}",
        ready.message
    );
    let omitted = 1500 - status.patches.len();
    assert!(
        ready.message.ends_with(&format!("no room for {omitted} more")),
        "{}",
        ready.message
    );
    // The content of the status is enough to report it again.
    assert_eq!(settled(&status, Outcome::Unchanged(sources("a"))), status);
}

#[test]
fn a_failure_keeps_the_last_result_whole() {
    let (good, _) = after(
        &PatchSetStatus::default(),
        Outcome::Done(sources("a"), checked(&[PatchState::Clean])),
    );
    let failure = Failure::retried(Step::Patches, reason::STORAGE_FAILED, "disk");
    let (status, next) = after(&good, Outcome::Failed(failure, Some(sources("b"))));
    assert_eq!(next, Next::Backoff);
    assert_eq!(
        (
            &status.upstream,
            &status.patches,
            &status.patched_tree,
            &status.inputs_digest
        ),
        (
            &good.upstream,
            &good.patches,
            &good.patched_tree,
            &good.inputs_digest
        )
    );
    assert_eq!(
        shown(&status)[1..3],
        [
            "Ready=False/StorageFailed",
            "Reconciling=True/ProgressingWithRetry"
        ]
    );
}

#[test]
fn what_is_not_signed_leaves_the_last_result_until_it_is() {
    let policy = Policy {
        signatures: SignaturePolicy::Required,
        ..POLICY
    };
    let after = |previous: &PatchSetStatus, policy, outcome| settle(previous, asked(1), policy, NOW, outcome);
    let signed = Sources {
        signatures: Some("commit a is signed by k".to_owned()),
        ..sources("a")
    };
    let done = Outcome::Done(signed, checked(&[PatchState::Clean]));
    let (good, _) = after(&PatchSetStatus::default(), policy, done);
    assert_eq!(shown(&good)[3], "SourceVerified=True/Succeeded");
    assert!(is_verified(&good, SignaturePolicy::Required));
    let has_results =
        |digest: &str| has_verified_results_of(&good, &digest.into(), SignaturePolicy::Required);
    assert!(has_results("a") && !has_results("b"));
    let failure = Failure::stalled(Step::Verification, reason::SIGNATURE_MISSING, "no");
    let (refused, next) = after(&good, policy, Outcome::Failed(failure, Some(sources("b"))));
    assert_eq!(next, Next::Interval);
    assert_eq!(
        shown(&refused),
        [
            "PatchesApplicable=True/Succeeded",
            "Ready=False/SignatureMissing",
            "SourceResolved=True/Succeeded",
            "SourceVerified=False/SignatureMissing",
            "Stalled=True/SignatureMissing"
        ]
    );
    assert_eq!(
        (&refused.upstream, &refused.patched_tree, &refused.inputs_digest),
        (&good.upstream, &good.patched_tree, &good.inputs_digest)
    );
    // Back at the good inputs, they have to be verified again before they count.
    assert!(results_are_current(&refused, &"a".into()) && !is_verified(&refused, SignaturePolicy::Required));
    let (plain, _) = after(&refused, POLICY, Outcome::Unchanged(sources("a")));
    assert!(is_verified(&plain, SignaturePolicy::NotRequired));
    assert!(find(&plain.conditions, condition::SOURCE_VERIFIED).is_none());
}

const DELIVERED: Policy<'_> = Policy {
    builds: true,
    delivers: true,
    ..POLICY
};

/// A build of `r:5000/glance:1`, and its image.
fn built() -> (BuildStatus, ImageStatus) {
    let build = BuildStatus {
        inputs_digest: "inputs".into(),
        target: Some("r:5000/glance:1".into()),
        ..BuildStatus::default()
    };
    let target: ImageReference = "r:5000/glance:1".parse().unwrap();
    let digest = Digest::sha256(b"image");
    let image = crate::plan::build::image(&build, &target, &digest, &"main@sha1:a".into());
    (build, image)
}

/// The status of a series that applies.
fn with(policy: Policy<'_>, built: BuildOutcome, delivered: DeliveryOutcome) -> (PatchSetStatus, Next) {
    let progress = PatchSetProgress {
        built,
        delivered,
        ..checked(&[PatchState::Clean])
    };
    let outcome = Outcome::Done(sources("a"), progress);
    settle(&PatchSetStatus::default(), asked(1), policy, NOW, outcome)
}

fn told<'a>(status: &'a PatchSetStatus, condition: &str) -> (&'a str, &'a str, &'a str) {
    let told = find(&status.conditions, condition).unwrap();
    (&told.status, &told.reason, &told.message)
}

#[test]
fn an_image_that_is_tested_is_built_and_does_not_count() {
    let (mut plan, image) = built();
    plan.tests = Some(ImageTestsStatus {
        awaiting: Some(Box::new(image.clone())),
        ..ImageTestsStatus::default()
    });
    let pending = Pending::new(reason::TESTING, "unit runs", Next::Soon);
    let policy = Policy {
        tests: true,
        ..DELIVERED
    };
    let testing = BuildOutcome::Testing { plan, pending };
    let (status, next) = with(policy, testing, DeliveryOutcome::Nothing);
    let series = "1 patch applies to main@sha1:a";
    let message = format!("{series}; built: {}", image.reference.as_str());
    assert_eq!(
        told(&status, condition::IMAGE_BUILT),
        ("True", "Succeeded", message.as_str())
    );
    let tested = told(&status, condition::IMAGE_TESTED);
    assert_eq!(tested, ("Unknown", "Testing", "unit runs"));
    assert_eq!((status.image, next), (None, Next::Soon));
}

#[test]
fn an_image_without_its_document_needs_attention() {
    let (plan, mut image) = built();
    image.sbom_failure = Some("the registry refused it".to_owned());
    let reference = image.reference.as_str().to_owned();
    let found = BuildOutcome::Image(plan, Box::new(image));
    let policy = Policy {
        delivers: false,
        ..DELIVERED
    };
    let (status, _) = with(policy, found, DeliveryOutcome::Nothing);
    let message = format!(
        "1 patch applies to main@sha1:a; the image is {reference}; the document on its patches could \
         not be attached, and will be tried again: the registry refused it"
    );
    assert_eq!(
        told(&status, condition::READY),
        ("True", "NeedsAttention", message.as_str())
    );
    let built = told(&status, condition::IMAGE_BUILT);
    assert_eq!((built.0, built.1), ("True", "Succeeded"));
}

#[test]
fn what_is_proposed_leaves_the_commit_that_was_delivered() {
    let (plan, image) = built();
    let commit = |commit: &str| CommitStatus {
        repository: "https://example.org/fleet".to_owned(),
        branch: "main".to_owned(),
        commit: commit.to_owned(),
        paths: Vec::new(),
    };
    let delivered = |git, config_map: Option<&str>| DeliveryStatus {
        reference: image.reference.clone(),
        delivered_at: seconds(NOW),
        config_map: config_map.map(ToOwned::to_owned),
        prefix: None,
        git,
    };
    let merged = delivered(Some(commit("aa")), None);
    let found = BuildOutcome::Image(plan, Box::new(image.clone()));
    let proposal = ProposalStatus {
        reference: image.reference.clone(),
        git: commit("bb"),
        pull_request: None,
        missing_labels: Vec::new(),
    };
    let progress = PatchSetProgress {
        built: found.clone(),
        merged_delivery: Some(merged.clone()),
        delivered: DeliveryOutcome::Proposed {
            proposal: proposal.clone(),
            besides: Some(delivered(None, Some("images"))),
            message: "it waits".to_owned(),
        },
        ..checked(&[PatchState::Clean])
    };
    let outcome = Outcome::Done(sources("a"), progress);
    let (status, next) = settle(&PatchSetStatus::default(), asked(1), DELIVERED, NOW, outcome);
    assert_eq!(status.proposed.as_deref(), Some(&proposal));
    assert_eq!(
        status.delivered.as_deref(),
        Some(&delivered(Some(commit("aa")), Some("images")))
    );
    assert_eq!(
        told(&status, condition::DELIVERED),
        ("Unknown", "AwaitingMerge", "it waits")
    );
    assert_eq!(next, Next::Interval);

    let progress = PatchSetProgress {
        built: found,
        merged_delivery: Some(merged.clone()),
        ..checked(&[PatchState::Clean])
    };
    let outcome = Outcome::Done(sources("a"), progress);
    let (status, _) = settle(&status, asked(1), DELIVERED, NOW, outcome);
    assert_eq!(
        (status.delivered.as_deref(), status.proposed.as_deref()),
        (Some(&merged), None)
    );
    let place = "delivered as main@sha1:aa of https://example.org/fleet";
    let message = told(&status, condition::DELIVERED).2;
    assert!(message.ends_with(place), "{message}");
}

#[test]
fn what_only_a_person_can_mend_is_stalled() {
    let failure = Failure::stalled(Step::Source, reason::ACCESS_DENIED, "no");
    let (status, next) = after(&PatchSetStatus::default(), Outcome::Failed(failure, None));
    assert_eq!(next, Next::Change);
    assert_eq!(
        shown(&status),
        [
            "Ready=False/AccessDenied",
            "SourceResolved=False/AccessDenied",
            "Stalled=True/AccessDenied"
        ]
    );
}

#[test]
fn no_interval_is_a_busy_loop() {
    assert_eq!(
        wait_before_next(Next::Interval, Duration::ZERO, Streak::default()),
        Some(Duration::from_secs(1))
    );
    assert_eq!(
        wait_before_next(Next::Change, Duration::ZERO, Streak::default()),
        None
    );
}

#[test]
fn an_image_is_current_while_it_is_the_planned_one_and_was_found() {
    let (plan, image) = built();
    let policy = Policy {
        delivers: false,
        ..DELIVERED
    };
    let found = BuildOutcome::Image(plan.clone(), Box::new(image));
    let (status, _) = with(policy, found, DeliveryOutcome::Nothing);
    assert!(image_is_current(&status, &plan) && is_planned(&status));
    let other = BuildStatus {
        inputs_digest: "other".into(),
        ..plan.clone()
    };
    assert!(!image_is_current(&status, &other));
    let failure = Failure::retried(Step::Build, reason::UNREACHABLE, "no answer");
    let outcome = Outcome::Failed(failure, Some(sources("a")));
    let (unknown, _) = settle(&status, asked(1), policy, NOW, outcome);
    assert!(!image_is_current(&unknown, &plan) && !is_planned(&unknown));
    assert!(!is_planned(&PatchSetStatus::default()));
}

#[test]
fn an_image_whose_test_fails_is_built() {
    let (plan, _) = built();
    let failed = |step| {
        let failure = Failure::stalled(step, reason::BUILD_FAILED, "no");
        let failed = BuildOutcome::Failed(failure, Some(plan.clone()));
        with(DELIVERED, failed, DeliveryOutcome::Nothing).0
    };
    let status = failed(Step::Test);
    let message = "1 patch applies to main@sha1:a; built: r:5000/glance:1";
    assert_eq!(
        told(&status, condition::IMAGE_BUILT),
        ("True", "Succeeded", message)
    );
    assert_eq!(
        told(&status, condition::IMAGE_TESTED),
        ("False", "BuildFailed", "no")
    );
    let status = failed(Step::Build);
    assert_eq!(
        told(&status, condition::IMAGE_BUILT),
        ("False", "BuildFailed", "no")
    );
    assert!(find(&status.conditions, condition::IMAGE_TESTED).is_none());
}

#[test]
fn an_image_of_a_source_without_patches_is_built_as_any_other() {
    let (plan, image) = built();
    let pending = Pending::new(reason::TESTING, "it runs", Next::Soon);
    let is_built = BuildOutcome::Image(plan.clone(), Box::new(image));
    for built in [is_built, BuildOutcome::Testing { plan, pending }] {
        let progress = PatchSetProgress {
            built,
            ..checked(&[])
        };
        let outcome = Outcome::Done(sources("a"), progress);
        let (status, _) = settle(&PatchSetStatus::default(), asked(1), DELIVERED, NOW, outcome);
        assert_eq!(told(&status, condition::PATCHES_APPLICABLE).1, "NoPatches");
        assert_eq!(told(&status, condition::IMAGE_BUILT).1, "Succeeded");
    }
}

#[test]
fn those_that_apply_are_counted_with_those_that_are_skipped() {
    use PatchState::{Clean, Conflict, Merged, Offset};
    let patches = [Clean, Offset, Merged, Conflict].map(patch);
    assert!(all_allow_ready(&patches[..3], MergedPatches::Skip));
    assert!(!all_allow_ready(&patches[..3], MergedPatches::Fail));
    assert!(!all_allow_ready(&patches, MergedPatches::Skip));
    let policy = Policy {
        merged_patches: MergedPatches::Skip,
        ..POLICY
    };
    let outcome = Outcome::Done(sources("a"), checked(&[Clean, Offset, Offset, Merged, Conflict]));
    let (status, _) = settle(&PatchSetStatus::default(), asked(1), policy, NOW, outcome);
    let message = told(&status, condition::READY).2;
    assert!(
        message.starts_with("4 of 5 patches apply to main@sha1:a: "),
        "{message}"
    );
}

#[test]
fn what_applies_is_told_with_its_exceptions() {
    use PatchState::{Clean, Merged, Offset};
    let policy = Policy {
        patches_location: Some("patches/glance"),
        merged_patches: MergedPatches::Skip,
        ..POLICY
    };
    for (states, note, expected) in [
        (&[Clean][..], None, "1 patch applies to main@sha1:a"),
        (&[Clean, Clean], None, "2 of 2 patches apply to main@sha1:a"),
        (
            &[Clean, Offset, Merged],
            Some("1 more"),
            "3 of 3 patches apply to main@sha1:a (1 with an offset, 1 already upstream and skipped); \
             in their folder: 1 more",
        ),
        (
            &[],
            Some("1 more"),
            "no patches are carried on main@sha1:a: patches/glance has no *.patch or *.diff; \
             in their folder: 1 more",
        ),
    ] {
        let mut progress = checked(states);
        progress.checked.as_mut().unwrap().note = note.map(ToOwned::to_owned);
        let outcome = Outcome::Done(sources("a"), progress);
        let (status, _) = settle(&PatchSetStatus::default(), asked(1), policy, NOW, outcome);
        assert_eq!(told(&status, condition::READY).2, expected);
    }
}

#[test]
fn the_first_patch_that_does_not_apply_is_told_with_its_place_and_its_cause() {
    let commit = |digit: &str, subject: &str| UpstreamCommitStatus {
        commit: digit.repeat(40).into(),
        subject: subject.into(),
        author: None,
        date: None,
        change_id: None,
        url: None,
    };
    let somewhere = ConflictStatus {
        file: "f".into(),
        ..ConflictStatus::default()
    };
    let there = ConflictStatus {
        hunk: Some(2),
        line: Some(7),
        ..somewhere.clone()
    };
    let caused = ConflictStatus {
        broken_by: Some(commit("1", "Break it")),
        fuzz: Some(FuzzyFit { lines: 1, line: 9 }),
        ..there.clone()
    };
    let reverted = RevertedStatus {
        merged: commit("2", "Take it"),
        by: commit("3", "Revert it"),
    };
    let place = "0001.patch conflicts in f, hunk 2 at line 7";
    let conflict = PatchState::Conflict;
    for (state, conflict, message, reverted, expected) in [
        (conflict, Some(there), Some("why"), None, place),
        (
            conflict,
            Some(somewhere.clone()),
            Some("why"),
            None,
            "0001.patch conflicts: why",
        ),
        (conflict, Some(somewhere), None, None, "0001.patch conflicts in f"),
        (
            conflict,
            Some(caused),
            None,
            Some(reverted),
            &format!(
                "{place}, broken by 1111111 'Break it'; it applies with fuzz 1 at line 9: refresh it; upstream \
                 had merged it as 2222222 'Take it', and reverted it in 3333333 'Revert it'"
            ),
        ),
        (PatchState::Blocked, None, Some("why"), None, "0001.patch: why"),
        (PatchState::Malformed, None, None, None, "0001.patch: Malformed"),
    ] {
        let mut progress = checked(&[state]);
        let patch = &mut progress.checked.as_mut().unwrap().patches[0];
        patch.message = message.map(ToOwned::to_owned);
        (patch.conflict, patch.reverted) = (conflict, reverted);
        let (status, _) = after(&PatchSetStatus::default(), Outcome::Done(sources("a"), progress));
        let expected = format!("0 of 1 patches apply to main@sha1:a: {expected}");
        assert_eq!(told(&status, condition::READY).2, expected);
    }
}

#[test]
fn a_history_that_was_not_searched_is_told() {
    let told_of = |failure: Option<&str>, cut: Option<&str>| {
        let mut progress = checked(&[PatchState::Conflict]);
        let found = progress.checked.as_mut().unwrap();
        found.history_failure = failure.map(ToOwned::to_owned);
        found.history_cut = cut.map(ToOwned::to_owned);
        let (status, _) = after(&PatchSetStatus::default(), Outcome::Done(sources("a"), progress));
        let message = told(&status, condition::READY).2;
        let (_, rest) = message.split_once("0001.patch: why").unwrap();
        rest.to_owned()
    };
    assert_eq!(told_of(None, None), "");
    let failed = "; upstream's history could not be searched: no answer";
    assert_eq!(told_of(Some("no answer"), Some("a part")), failed);
    assert_eq!(
        told_of(None, Some("a part was seen")),
        "; of upstream's history a part was seen"
    );
}

#[test]
fn an_image_tells_its_tests_where_there_are_any() {
    let (plan, image) = built();
    let found = BuildOutcome::Image(plan.clone(), Box::new(image));
    let settled = |tests, built| {
        let policy = Policy {
            tests,
            delivers: false,
            ..DELIVERED
        };
        let (status, _) = with(policy, built, DeliveryOutcome::Nothing);
        assert_eq!(told(&status, condition::READY).1, "Succeeded");
        let tested = find(&status.conditions, condition::IMAGE_TESTED);
        tested.map(|tested| tested.message.clone())
    };
    let by_run = Some("the workflow's run is its test".to_owned());
    assert_eq!(settled(true, found.clone()), by_run);
    assert_eq!(settled(false, found), None);
    assert_eq!(settled(true, BuildOutcome::Published(plan)), None);
}

#[test]
fn an_image_that_is_rejected_counts_no_more() {
    let (plan, image) = built();
    let rejected = |digest: &[u8]| {
        let found = BuildOutcome::Image(plan.clone(), Box::new(image.clone()));
        let (before, _) = with(DELIVERED, found, DeliveryOutcome::Nothing);
        let planned = BuildStatus {
            rejected: Some(RejectedImage {
                digest: Digest::sha256(digest).to_string().as_str().into(),
                reason: Rejection::StockInstalled,
                message: "it is the stock one".to_owned(),
                installed: Vec::new(),
            }),
            ..plan.clone()
        };
        let failure = Failure::stalled(Step::Build, reason::STOCK_INSTALLED, "it is the stock one");
        let progress = PatchSetProgress {
            built: BuildOutcome::Failed(failure, Some(planned.clone())),
            ..checked(&[PatchState::Clean])
        };
        let outcome = Outcome::Done(sources("a"), progress);
        let (status, _) = settle(&before, asked(1), DELIVERED, NOW, outcome);
        assert_eq!(status.build.as_deref(), Some(&planned));
        status.image.map(|image| *image)
    };
    assert_eq!(rejected(b"image"), None);
    assert_eq!(rejected(b"another"), Some(image.clone()));
}

#[test]
fn what_was_resolved_is_told_with_the_patches_where_they_have_a_revision() {
    for (patches, expected) in [
        (None, "upstream at main@sha1:a"),
        (
            Some("ours@sha1:b"),
            "upstream at main@sha1:a, patches at ours@sha1:b",
        ),
    ] {
        let sources = Sources {
            patches_revision: patches.map(ToOwned::to_owned),
            ..sources("a")
        };
        let outcome = Outcome::Done(sources, checked(&[PatchState::Clean]));
        let (status, _) = after(&PatchSetStatus::default(), outcome);
        assert_eq!(told(&status, condition::SOURCE_RESOLVED).2, expected);
    }
}

#[test]
fn a_delivery_is_told_as_far_as_it_came() {
    let (plan, image) = built();
    let place = |config_map: Option<&str>, commit: Option<&str>| DeliveryStatus {
        reference: image.reference.clone(),
        delivered_at: seconds(NOW),
        config_map: config_map.map(ToOwned::to_owned),
        prefix: None,
        git: commit.map(|commit| CommitStatus {
            repository: "https://e/fleet".to_owned(),
            branch: "main".to_owned(),
            commit: commit.to_owned(),
            paths: Vec::new(),
        }),
    };
    let told_of = |delivered| {
        let found = BuildOutcome::Image(plan.clone(), Box::new(image.clone()));
        let (status, next) = with(DELIVERED, found, delivered);
        let (truth, reason, message) = told(&status, condition::DELIVERED);
        let told = format!("{truth}/{reason}: {message}");
        (told, status.delivered.map(|delivered| *delivered), next)
    };
    let text = |text: &str| text.to_owned();
    assert_eq!(
        told_of(DeliveryOutcome::Later(text("soon"))),
        (text("Unknown/Progressing: soon"), None, Next::Soon)
    );
    assert_eq!(
        told_of(DeliveryOutcome::Held(text("approve it"))),
        (text("Unknown/AwaitingApproval: approve it"), None, Next::Interval)
    );
    let failure = Failure::retried(Step::Delivery, reason::UNREACHABLE, "no answer");
    let besides = Some(place(Some("images"), None));
    assert_eq!(
        told_of(DeliveryOutcome::Failed(failure, besides.clone())),
        (text("False/Unreachable: no answer"), besides, Next::Backoff)
    );
    let applies = format!("1 patch applies to main@sha1:a; the image is {}", image.reference);
    assert_eq!(
        told_of(DeliveryOutcome::Nothing),
        (format!("True/Succeeded: {applies}"), None, Next::Interval)
    );
    for (config_map, commit, expected) in [
        (Some("images"), None, "to ConfigMap images"),
        (None, Some("bb"), "as main@sha1:bb of https://e/fleet"),
        (
            Some("images"),
            Some("bb"),
            "to ConfigMap images and as main@sha1:bb of https://e/fleet",
        ),
    ] {
        let place = place(config_map, commit);
        assert_eq!(
            told_of(DeliveryOutcome::Done(place.clone(), None)),
            (
                format!("True/Succeeded: {applies}, delivered {expected}"),
                Some(place),
                Next::Interval
            )
        );
    }
}

#[test]
fn the_history_has_the_last_five_images_once_each() {
    let (plan, image) = built();
    let found = |status: &mut PatchSetStatus, name: &str, second| {
        let image = ImageStatus {
            reference: format!("r:5000/glance:1@{}", Digest::sha256(name.as_bytes()))
                .as_str()
                .into(),
            ..image.clone()
        };
        let now = Timestamp::from_second(second).unwrap();
        record_build(
            status,
            BuildOutcome::Image(plan.clone(), Box::new(image.clone())),
            now,
        );
        assert_eq!(status.image.as_deref(), Some(&image));
    };
    let times = |status: &PatchSetStatus| -> Vec<i64> {
        let history = status.history.iter();
        history.map(|record| record.found_at.0.as_second()).collect()
    };
    let mut status = PatchSetStatus::default();
    found(&mut status, "one", 1);
    found(&mut status, "one", 2);
    assert_eq!(times(&status), [1]);
    // One that had vanished exists again.
    let pending = Pending::new(reason::BUILDING, "it builds", Next::Soon);
    let awaited = BuildOutcome::Awaited {
        plan: plan.clone(),
        pending: pending.clone(),
    };
    record_build(&mut status, awaited, NOW);
    assert_eq!(
        (status.image.as_deref(), status.build.as_deref()),
        (None, Some(&plan))
    );
    found(&mut status, "one", 3);
    assert_eq!(times(&status), [1]);
    // For another plan, the previous image stays until the next one exists.
    let other = BuildStatus {
        inputs_digest: "other".into(),
        ..plan.clone()
    };
    record_build(&mut status, BuildOutcome::Awaited { plan: other, pending }, NOW);
    assert!(status.image.is_some());
    for second in 4..9 {
        found(&mut status, &second.to_string(), second);
    }
    assert_eq!(times(&status), [8, 7, 6, 5, 4]);
}
