//! The content of statuses and conditions.

use git_apply_engine::Oid;
use patchset_api::common::{GitPath, GitRef};
use patchset_api::conditions::Truth;
use patchset_api::delivery::{ForgeProvider, PullRequestOptions};
use patchset_api::patch_set::{PatchSetSpec, Patches};
use patchset_api::status::PatchState;
use patchset_api::upkeep::{Upkeep, UpkeepAction, UpkeepState};
use patchset_api::upstream_history::Evidence;
use patchset_api::{PatchSet, reason};

use super::world::{
    Refreshes, SEEN, at, broken, facts, merged, moved, now, patch, planned, planned_with, tweaked,
};
use crate::layout::tests::MemoryFiles;
use crate::plan::conditions::seconds;
use crate::upkeep::{
    PlaceError, SeriesFacts, UpkeepOutcome, UpkeepPlace, WithheldChanges, upkeep_status, upkeep_verdict,
};

fn files() -> MemoryFiles {
    MemoryFiles::new([
        ("patches/glance/2025.2/1.patch", "one"),
        ("patches/glance/2025.2/2.patch", "two"),
    ])
}

fn outcome(state: UpkeepState) -> UpkeepOutcome {
    UpkeepOutcome {
        state,
        pull_request: Some("https://forge/o/r/pulls/1".to_owned()),
        branch: Some("patchset/upkeep".to_owned()),
        commit: Some(Oid::from_bytes([1; 20])),
        message: Some("why".to_owned()),
    }
}

#[test]
fn a_report_says_what_is_to_be_done_and_proposes_nothing() {
    let mut glance = facts(
        "glance",
        "2025.2",
        vec![
            merged("1.patch", "one", Evidence::Reverse),
            tweaked("2.patch", "two", None),
            moved("3.patch", "three"),
            broken("4.patch", "four"),
        ],
    );
    (glance.policy.drop, glance.policy.refresh) = (UpkeepAction::Report, UpkeepAction::Report);
    let status = upkeep_status(&glance, None, now()).unwrap();
    let drops: Vec<_> = status
        .drops
        .iter()
        .map(|drop| (drop.name.as_str(), drop.differs))
        .collect();
    assert_eq!(drops, [("1.patch", false), ("2.patch", true)]);
    assert_eq!(status.refreshes.len(), 1);
    assert_eq!(
        (status.state, &status.pull_request),
        (UpkeepState::Reported, &None)
    );
    assert_eq!(upkeep_verdict(&glance, &status), None);
    // Where there never was a request, nothing is reported.
    let quiet = facts(
        "glance",
        "2025.2",
        vec![patch("1.patch", "one", PatchState::Clean)],
    );
    assert_eq!(upkeep_status(&quiet, None, now()), None);
}

#[test]
fn a_status_has_the_request_and_since_when_it_is_so() {
    let mut glance = facts(
        "glance",
        "2025.2",
        vec![merged("1.patch", "one", Evidence::ChangeId)],
    );
    let plan = planned(&files(), &[glance.clone()]);
    let status = |glance: &SeriesFacts, state, second| {
        let outcome = outcome(state);
        upkeep_status(glance, Some((&plan, &outcome)), at(second)).unwrap()
    };
    let first = status(&glance, UpkeepState::Proposed, SEEN);
    assert_eq!(first.pull_request.as_deref(), Some("https://forge/o/r/pulls/1"));
    assert_eq!(
        first.commit.as_ref().map(|commit| commit.as_str().len()),
        Some(40)
    );
    glance.status = Some(first.clone());
    assert_eq!(status(&glance, UpkeepState::Proposed, SEEN + 5), first);
    let other = status(&glance, UpkeepState::StandsBack, SEEN + 9);
    assert_eq!(other.since, seconds(at(SEEN + 9)));
    for (state, truth, reason) in [
        (UpkeepState::Proposed, Truth::True, reason::SUCCEEDED),
        (UpkeepState::Merged, Truth::True, reason::SUCCEEDED),
        (UpkeepState::Waiting, Truth::Unknown, reason::UPKEEP_WAITS),
        (UpkeepState::StandsBack, Truth::False, reason::HANDS_OFF),
        (UpkeepState::Closed, Truth::False, reason::PULL_REQUEST_CLOSED),
        (UpkeepState::Failed, Truth::False, reason::PROGRESSING_WITH_RETRY),
    ] {
        let status = status(&glance, state, SEEN);
        let verdict = upkeep_verdict(&glance, &status).unwrap();
        assert_eq!((verdict.truth, verdict.reason), (truth, reason), "{state:?}");
    }
}

#[test]
fn one_that_has_nothing_in_the_request_says_so() {
    let glance = facts(
        "glance",
        "2025.2",
        vec![merged("1.patch", "one", Evidence::ChangeId)],
    );
    let mut all = [glance, facts("nova", "2025.2", Vec::new())];
    let plan = planned(&files(), &all);
    let outcome = outcome(UpkeepState::Proposed);
    let status = upkeep_status(&all[1], Some((&plan, &outcome)), now()).unwrap();
    assert_eq!(
        (status.state, &status.pull_request),
        (UpkeepState::Reported, &None)
    );
    let verdict = upkeep_verdict(&all[1], &status).unwrap();
    assert_eq!(
        (verdict.truth, verdict.reason),
        (Truth::True, reason::NOTHING_TO_PROPOSE)
    );

    // What is left alone is reported, and what is too recent is waited for.
    all[0].patches[0].since = Some(seconds(now()));
    let plan = planned(&files(), &all);
    let status = upkeep_status(&all[0], Some((&plan, &outcome)), now()).unwrap();
    assert_eq!(status.state, UpkeepState::Waiting);
    assert!(
        status
            .message
            .as_ref()
            .unwrap()
            .starts_with("1.patch: it is proposed after")
    );
    all[0].patches[0].since = None;
    let plan = planned(&files(), &all);
    let status = upkeep_status(&all[0], Some((&plan, &outcome)), now()).unwrap();
    let verdict = upkeep_verdict(&all[0], &status).unwrap();
    assert_eq!(
        (verdict.truth, verdict.reason),
        (Truth::False, reason::LEFT_ALONE)
    );
    assert!(
        verdict.message.contains("1.patch: it was not tried"),
        "{}",
        verdict.message
    );
}

#[test]
fn declined_changes_are_remembered_and_bounded() {
    let mut glance = facts(
        "glance",
        "2025.2",
        vec![
            merged("1.patch", "one", Evidence::ChangeId),
            merged("2.patch", "two", Evidence::ChangeId),
        ],
    );
    let first = planned(&files(), &[glance.clone()]);
    let withheld = WithheldChanges {
        declined: first.changes().into_iter().collect(),
        ..WithheldChanges::default()
    };
    let plan = planned_with(&files(), &[glance.clone()], &Refreshes::default(), &withheld);
    let outcome = outcome(UpkeepState::Closed);
    let status = upkeep_status(&glance, Some((&plan, &outcome)), now()).unwrap();
    let mut ids: Vec<String> = first.changes().iter().map(ToString::to_string).collect();
    ids.sort();
    assert_eq!(status.declined, ids);
    let old = (0..500).map(|number| crate::upkeep::ChangeId::recorded(&format!("{number:016}")));
    glance.declined = old.collect();
    let status = upkeep_status(&glance, Some((&plan, &outcome)), now()).unwrap();
    assert_eq!(status.declined.len(), 64);
    assert!(ids.iter().all(|id| status.declined.contains(id)));
}

#[test]
fn a_status_stays_small() {
    let patches = (0..3000).map(|number| tweaked(&format!("{number}.patch"), "one", None));
    let glance = facts("glance", "2025.2", patches.collect());
    let plan = planned(&files(), std::slice::from_ref(&glance));
    let outcome = outcome(UpkeepState::Proposed);
    let status = upkeep_status(&glance, Some((&plan, &outcome)), now()).unwrap();
    assert_eq!((status.drops.len(), status.left_alone.len()), (50, 50));
    assert!(status.omitted.is_some());
    assert!(serde_json::to_vec(&status).unwrap().len() < 32 << 10);
}

fn spec(reference: Option<GitRef>, upkeep: Option<Upkeep>) -> PatchSetSpec {
    let spec = serde_json::json!({
        "component": "glance", "release": "2025.2",
        "upstream": { "url": "https://x/glance", "ref": { "branch": "main" } },
    });
    let spec: PatchSetSpec = serde_json::from_value(spec).unwrap();
    PatchSetSpec {
        patches: Some(Patches {
            git: Some(GitPath {
                url: "https://x/patches".to_owned(),
                ref_: reference,
                path: "/patches/glance/2025.2/".to_owned(),
                verify: None,
                secret_ref: None,
                proxy_secret_ref: None,
            }),
            ..Patches::default()
        }),
        upkeep: upkeep.map(Box::new),
        ..spec
    }
}

fn branch(name: &str) -> GitRef {
    GitRef {
        branch: Some(name.to_owned()),
        ..GitRef::default()
    }
}

fn proposing() -> Upkeep {
    Upkeep {
        drop: UpkeepAction::PullRequest,
        pull_request: Some(PullRequestOptions {
            provider: ForgeProvider::Gitea,
            secret_ref: patchset_api::common::LocalReference { name: "s".to_owned() },
            api_url: None,
            labels: Vec::new(),
            reviewers: Vec::new(),
            draft: false,
        }),
        ..Upkeep::default()
    }
}

#[test]
fn a_place_is_a_branch_that_can_be_changed() {
    let place = |reference, upkeep| UpkeepPlace::from_spec(&spec(reference, upkeep));
    assert_eq!(place(None, None), Ok(None));
    assert_eq!(place(None, Some(Upkeep::default())), Ok(None));
    let found = place(Some(branch("main")), Some(proposing())).unwrap().unwrap();
    assert_eq!(
        (found.base.as_deref(), found.branch.as_str()),
        (Some("main"), "patchset/upkeep")
    );
    assert_eq!(place(None, Some(proposing())).unwrap().unwrap().base, None);
    let tag = Some(GitRef {
        tag: Some("v1".to_owned()),
        ..GitRef::default()
    });
    assert_eq!(place(tag.clone(), Some(proposing())), Err(PlaceError::NoBranch));
    let based = Upkeep {
        base: Some("main".to_owned()),
        ..proposing()
    };
    assert_eq!(place(tag.clone(), Some(based)), Ok(Some(found.clone())));
    let same = Upkeep {
        branch: Some("main".to_owned()),
        ..proposing()
    };
    assert!(matches!(
        place(Some(branch("main")), Some(same)),
        Err(PlaceError::SameBranch(_))
    ));
    let bare = Upkeep {
        pull_request: None,
        ..proposing()
    };
    assert_eq!(place(None, Some(bare)), Err(PlaceError::NoRequest));
    let mut elsewhere = spec(None, Some(proposing()));
    elsewhere.patches = None;
    assert_eq!(UpkeepPlace::from_spec(&elsewhere), Err(PlaceError::NotInGit));

    for (reference, reads) in [
        (Some(branch("main")), true),
        (Some(branch("other")), false),
        (None, true),
        (tag, true),
    ] {
        assert_eq!(
            found.is_read_by(&spec(reference.clone(), None)),
            reads,
            "{reference:?}"
        );
    }
    assert!(!found.is_read_by(&elsewhere));
}

#[test]
fn facts_are_of_the_spec_as_it_is() {
    let mut object = PatchSet::new("glance-2025.2", spec(Some(branch("main")), Some(proposing())));
    object.metadata.generation = Some(2);
    let facts = SeriesFacts::read(&object).unwrap();
    assert_eq!(
        (facts.folder.as_str(), facts.is_current),
        ("patches/glance/2025.2", false)
    );
    let status = serde_json::json!({
        "observedGeneration": 2,
        "conditions": [{
            "type": "PatchesApplicable", "status": "False", "reason": "PatchMerged", "message": "",
            "lastTransitionTime": "2025-05-05T00:00:00Z",
        }],
        "patches": [{ "name": "1.patch", "state": "Merged" }],
        "omittedPatches": { "clean": 3 },
        "upkeep": { "state": "Closed", "since": "2025-05-05T00:00:00Z", "declined": ["ab"] },
    });
    object.status = Some(serde_json::from_value(status).unwrap());
    let facts = SeriesFacts::read(&object).unwrap();
    assert!(facts.is_current);
    assert_eq!(
        (facts.patches.len(), facts.omitted, facts.declined.len()),
        (1, 3, 1)
    );
    object.metadata.generation = Some(3);
    assert!(!SeriesFacts::read(&object).unwrap().is_current);
    object.spec.patches = None;
    assert_eq!(SeriesFacts::read(&object), None);
}
