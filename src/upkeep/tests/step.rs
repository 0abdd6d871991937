//! How a request is opened, updated and closed.

use std::collections::BTreeSet;
use std::time::Duration;

use patchset_api::upstream_history::Evidence;
use rstest::rstest;

use super::world::{DAY, SEEN, at, facts, merged, now, planned, proof, result};
use crate::layout::tests::MemoryFiles;
use crate::upkeep::{
    BranchCommit, ChangeId, ObservedBranch, ObservedRequest, ObservedUpkeep, RequestState, RequestText,
    StandBackReason, UpkeepMarker, UpkeepPlan, UpkeepRates, UpkeepStep, declined_changes, next_step,
    request_text,
};

const RATES: UpkeepRates = UpkeepRates {
    between_updates: Duration::from_secs(3600),
    between_requests: Duration::from_secs(6 * 3600),
};

/// A plan of one or more dropped patches, with its text.
fn plan(patches: &[&str]) -> (UpkeepPlan, RequestText) {
    let paths: Vec<String> = patches
        .iter()
        .map(|name| format!("patches/glance/2025.2/{name}"))
        .collect();
    let files = MemoryFiles::new(paths.iter().map(|path| (path.as_str(), "one")));
    let told = patches.iter().map(|name| merged(name, "one", Evidence::ChangeId));
    let all = [facts("glance", "2025.2", told.collect())];
    let plan = planned(&files, &all);
    let proofs = [proof("glance-2025.2", result(0, 1, 1), result(0, 0, 1))];
    let text = request_text(&plan, &all, &proofs, now());
    (plan, text)
}

fn none() -> (UpkeepPlan, RequestText) {
    let plan = UpkeepPlan {
        namespace: "ours".to_owned(),
        ..UpkeepPlan::default()
    };
    let text = request_text(&plan, &[], &[], now());
    (plan, text)
}

fn branch(plan: &UpkeepPlan) -> ObservedBranch {
    let commits: Vec<BranchCommit> = plan
        .commits
        .iter()
        .enumerate()
        .map(|(number, commit)| BranchCommit {
            id: format!("{number:040}"),
            author: "bot@example.org".to_owned(),
            committer: "bot@example.org".to_owned(),
            message: commit.message.clone(),
        })
        .collect();
    ObservedBranch {
        tip: commits.last().map(|commit| commit.id.clone()),
        commits,
    }
}

fn request(text: &RequestText, state: RequestState) -> ObservedRequest {
    ObservedRequest {
        state,
        title: text.title.clone(),
        body: text.body.clone(),
        labels: vec!["patches".to_owned()],
    }
}

fn observed(branch: ObservedBranch, request: Option<ObservedRequest>) -> ObservedUpkeep {
    ObservedUpkeep {
        branch,
        request,
        committer: "bot@example.org".to_owned(),
        pushed: None,
    }
}

/// The next step, a day after the existing content was written.
fn step(observed: &ObservedUpkeep, plan: &(UpkeepPlan, RequestText)) -> UpkeepStep {
    next_step(observed, &plan.0, &plan.1, RATES, at(SEEN + 3 * DAY))
}

fn open(plan: &(UpkeepPlan, RequestText)) -> UpkeepStep {
    UpkeepStep::Open {
        title: plan.1.title.clone(),
        body: plan.1.body.clone(),
    }
}

fn update(plan: &(UpkeepPlan, RequestText)) -> UpkeepStep {
    UpkeepStep::Update {
        title: plan.1.title.clone(),
        body: plan.1.body.clone(),
    }
}

#[test]
fn a_request_is_pushed_opened_kept_up_to_date_and_left_once_it_is_merged() {
    let one = plan(&["1.patch"]);
    let two = plan(&["1.patch", "2.patch"]);
    let push = |replaces: Option<&ObservedBranch>| UpkeepStep::Push {
        replaces: replaces.and_then(|branch| branch.tip.clone()),
    };
    let (none_there, first, second) = (ObservedBranch::default(), branch(&one.0), branch(&two.0));
    assert_eq!(step(&observed(none_there.clone(), None), &one), push(None));
    // Killed after the push, it opens the request; killed after that, there is nothing to do.
    assert_eq!(step(&observed(first.clone(), None), &one), open(&one));
    let opened = Some(request(&one.1, RequestState::Open));
    assert_eq!(
        step(&observed(first.clone(), opened.clone()), &one),
        UpkeepStep::Nothing
    );
    // More to do: first the branch, and then the text.
    assert_eq!(
        step(&observed(first.clone(), opened.clone()), &two),
        push(Some(&first))
    );
    assert_eq!(step(&observed(second.clone(), opened), &two), update(&two));
    let opened = Some(request(&two.1, RequestState::Open));
    assert_eq!(step(&observed(second, opened.clone()), &two), UpkeepStep::Nothing);
    // The branch was deleted.
    assert_eq!(step(&observed(none_there.clone(), opened), &two), push(None));
    // It was merged: new changes make a new request, on a rewritten branch.
    let merged = Some(request(&one.1, RequestState::Merged));
    assert_eq!(
        step(&observed(none_there.clone(), merged.clone()), &none()),
        UpkeepStep::Nothing
    );
    assert_eq!(step(&observed(first.clone(), merged), &two), push(Some(&first)));
    assert_eq!(step(&observed(none_there, None), &none()), UpkeepStep::Nothing);
}

#[test]
fn the_time_in_a_text_is_no_reason_to_write_it() {
    let one = plan(&["1.patch"]);
    let opened = Some(request(&one.1, RequestState::Open));
    let (later, text) = plan(&["1.patch"]);
    let body = text
        .body
        .replace(&format!("at={}", text.marker.at.as_second()), "at=2");
    let later = (later, RequestText { body, ..text });
    assert_eq!(
        step(&observed(branch(&one.0), opened), &later),
        UpkeepStep::Nothing
    );
}

#[test]
fn what_a_person_did_first_closes_the_request_and_is_no_declined_change() {
    let one = plan(&["1.patch"]);
    let opened = request(&one.1, RequestState::Open);
    let first = step(&observed(branch(&one.0), Some(opened.clone())), &none());
    let UpkeepStep::Update { title, body } = first else {
        panic!("{first:?}")
    };
    assert_eq!(title, one.1.title);
    let mut withdrawn = ObservedRequest { body, ..opened };
    let closed = step(&observed(branch(&one.0), Some(withdrawn.clone())), &none());
    let UpkeepStep::Close { word } = closed else {
        panic!("{closed:?}")
    };
    assert!(word.starts_with("Nothing is left to do here"), "{word}");
    // The change is due again before the request was closed: it goes on.
    let again = step(&observed(branch(&one.0), Some(withdrawn.clone())), &one);
    assert_eq!(again, update(&one));
    withdrawn.state = RequestState::Closed;
    assert!(declined_changes(Some(&withdrawn)).is_empty());
}

#[test]
fn closed_means_no_until_there_is_something_new() {
    let one = plan(&["1.patch"]);
    let closed = request(&one.1, RequestState::Closed);
    assert_eq!(
        declined_changes(Some(&closed)),
        BTreeSet::from_iter(one.0.changes())
    );
    for state in [RequestState::Open, RequestState::Merged] {
        assert!(declined_changes(Some(&request(&one.1, state))).is_empty());
    }
    assert!(declined_changes(None).is_empty());
    // The plan is made without them.
    assert_eq!(
        step(&observed(branch(&one.0), Some(closed.clone())), &none()),
        UpkeepStep::Nothing
    );
    let two = plan(&["2.patch"]);
    let there = branch(&one.0);
    let replaces = there.tip.clone();
    assert_eq!(
        step(&observed(there, Some(closed)), &two),
        UpkeepStep::Push { replaces }
    );
}

#[rstest]
#[case::label(|seen: &mut ObservedUpkeep| seen.request.as_mut().unwrap().labels.push("Patchset/Hands-Off".to_owned()), StandBackReason::Label)]
#[case::title(|seen: &mut ObservedUpkeep| seen.request.as_mut().unwrap().title.push_str(", please"), StandBackReason::Title)]
#[case::body(|seen: &mut ObservedUpkeep| seen.request.as_mut().unwrap().body = "mine".to_owned(), StandBackReason::Text)]
#[case::commit(|seen: &mut ObservedUpkeep| seen.branch.commits.push(person("A fix")), foreign())]
#[case::amended(|seen: &mut ObservedUpkeep| {
    let message = seen.branch.commits[0].message.clone();
    seen.branch.commits = vec![BranchCommit { author: "bot@example.org".to_owned(), ..person(&message) }];
}, StandBackReason::ForeignCommit { commit: "p".repeat(40), author: "bot@example.org".to_owned() })]
#[case::other_namespace(|seen: &mut ObservedUpkeep| {
    let message = &mut seen.branch.commits[0].message;
    *message = message.replace("Patchset-Upkeep: ours", "Patchset-Upkeep: theirs");
}, StandBackReason::OtherNamespace { namespace: "theirs".to_owned() })]
#[case::other_request(|seen: &mut ObservedUpkeep| {
    let body = &mut seen.request.as_mut().unwrap().body;
    *body = body.replace("v1 of=ours", "v1 of=theirs");
}, StandBackReason::OtherNamespace { namespace: "theirs".to_owned() })]
fn a_person_who_takes_over_has_it(#[case] change: fn(&mut ObservedUpkeep), #[case] reason: StandBackReason) {
    let (one, two) = (plan(&["1.patch"]), plan(&["1.patch", "2.patch"]));
    let mut seen = observed(branch(&one.0), Some(request(&one.1, RequestState::Open)));
    change(&mut seen);
    for plan in [&one, &two, &none()] {
        assert_eq!(
            step(&seen, plan),
            UpkeepStep::StandBack {
                reason: reason.clone()
            }
        );
    }
    assert!(!reason.to_string().is_empty());
}

fn person(message: &str) -> BranchCommit {
    BranchCommit {
        id: "p".repeat(40),
        author: "p@example.org".to_owned(),
        committer: "p@example.org".to_owned(),
        message: message.to_owned(),
    }
}

fn foreign() -> StandBackReason {
    StandBackReason::ForeignCommit {
        commit: "p".repeat(40),
        author: "p@example.org".to_owned(),
    }
}

#[test]
fn a_branch_of_somebody_else_is_never_written_over() {
    let one = plan(&["1.patch"]);
    let theirs = ObservedBranch {
        tip: Some("p".repeat(40)),
        commits: vec![person("work of mine")],
    };
    let reason = foreign();
    assert_eq!(
        step(&observed(theirs, None), &one),
        UpkeepStep::StandBack { reason }
    );
    // It also recognizes its own branch after a change of address.
    let mut moved = observed(branch(&one.0), None);
    moved.committer = "other@example.org".to_owned();
    assert!(matches!(step(&moved, &one), UpkeepStep::StandBack { .. }));
    moved.pushed.clone_from(&moved.branch.tip);
    assert_eq!(step(&moved, &one), open(&one));
}

#[test]
fn a_draft_is_no_changed_title() {
    let one = plan(&["1.patch"]);
    for prefix in ["Draft: ", "WIP: ", "[Draft] draft:"] {
        let mut opened = request(&one.1, RequestState::Open);
        opened.title = format!("{prefix}{} ", opened.title);
        assert_eq!(
            step(&observed(branch(&one.0), Some(opened)), &one),
            UpkeepStep::Nothing,
            "{prefix}"
        );
    }
}

#[test]
fn requests_and_changes_to_them_come_at_a_bounded_rate() {
    let (one, two) = (plan(&["1.patch"]), plan(&["1.patch", "2.patch"]));
    let written = SEEN + 2 * DAY;
    let at_second = |seen: &ObservedUpkeep, second| next_step(seen, &two.0, &two.1, RATES, at(second));
    let opened = observed(branch(&one.0), Some(request(&one.1, RequestState::Open)));
    let UpkeepStep::Wait { until, .. } = at_second(&opened, written + 3599) else {
        panic!()
    };
    assert_eq!(until, Some(at(written + 3600)));
    assert!(matches!(
        at_second(&opened, written + 3600),
        UpkeepStep::Push { .. }
    ));
    for state in [RequestState::Merged, RequestState::Closed] {
        let over = observed(ObservedBranch::default(), Some(request(&one.1, state)));
        assert!(matches!(
            at_second(&over, written + 6 * 3600 - 1),
            UpkeepStep::Wait { .. }
        ));
        assert!(matches!(
            at_second(&over, written + 6 * 3600),
            UpkeepStep::Push { .. }
        ));
    }
    // A time written into the text by a person does not stop it forever.
    let mut forged = opened;
    let body = &mut forged.request.as_mut().unwrap().body;
    *body = body.replace(&format!("at={written}"), "at=9999999999");
    assert!(matches!(at_second(&forged, written), UpkeepStep::Push { .. }));
}

#[test]
fn what_is_not_known_yet_is_waited_for_while_a_request_is_open() {
    let (mut pending, text) = none();
    pending.pending.insert("glance-2025.2".to_owned());
    let pending = (pending, text);
    let one = plan(&["1.patch"]);
    let opened = observed(branch(&one.0), Some(request(&one.1, RequestState::Open)));
    let UpkeepStep::Wait { until: None, reason } = step(&opened, &pending) else {
        panic!()
    };
    assert!(reason.contains("glance-2025.2"), "{reason}");
    let (mut fresh, text) = none();
    fresh.next_due = Some(at(SEEN + 4 * DAY));
    let waits = step(&observed(ObservedBranch::default(), None), &(fresh, text));
    assert!(
        matches!(waits, UpkeepStep::Wait { until: Some(_), .. }),
        "{waits:?}"
    );
}

#[test]
fn a_hostile_body_is_no_more_than_text() {
    let one = plan(&["1.patch"]);
    let mut closed = request(&one.1, RequestState::Closed);
    let many = vec!["a"; 1 << 20].join(",");
    closed.body = format!("<!-- patchset-upkeep v1 of=ours title=0 text=0 at=0 changes={many} -->");
    assert_eq!(
        declined_changes(Some(&closed)),
        BTreeSet::from([ChangeId::recorded("a")])
    );
    assert!(UpkeepMarker::read(&closed.body).unwrap().changes.len() <= 1000);
}
