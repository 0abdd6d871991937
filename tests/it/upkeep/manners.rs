//! What people do to the branch and the request, and the reaction to it.

use patchset_api::upkeep::UpkeepState;

use super::{BRANCH, Team, file, patch, until};
use crate::controller::{BASE, condition, shown};

const NAME: &str = "heat-master";

/// A team whose only patch upstream has taken, with the request open.
async fn proposed(name: &str) -> Team {
    let team = Team::small(name).await;
    team.apply().await;
    team.upstream_merges("heat", "master", &BASE.replace("five", "FIVE"));
    team.in_state(NAME, UpkeepState::Proposed).await;
    assert_eq!(team.pulls().len(), 1);
    team
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_changes_is_left_to_the_person() {
    let team = proposed("upkeephands").await;
    let ours = team.pulls()[0].clone();
    let tip = team.repository.git(&["rev-parse", BRANCH]);

    team.forge.state().pulls[0].title = "Please wait".to_owned();
    let upkeep = team.in_state(NAME, UpkeepState::StandsBack).await;
    assert!(upkeep.message.unwrap().contains("title"));
    team.forge.state().pulls[0].title = format!("WIP: {}", ours.title);
    team.in_state(NAME, UpkeepState::Proposed).await;

    team.forge.state().pulls[0]
        .labels
        .push("patchset/hands-off".to_owned());
    let upkeep = team.in_state(NAME, UpkeepState::StandsBack).await;
    assert!(upkeep.message.unwrap().contains("patchset/hands-off"));
    let object = team.stage.wait(NAME, "told", |object| {
        shown(object, "UpkeepProposed") == "False/HandsOff"
    });
    assert_eq!(shown(&object.await, "Ready"), "False/PatchMerged");
    team.forge.state().pulls[0].labels = ours.labels.clone();
    team.in_state(NAME, UpkeepState::Proposed).await;

    let theirs = team.commit_to(BRANCH, &[("NOTES", Some("by hand\n"))], "by hand");
    let upkeep = team.in_state(NAME, UpkeepState::StandsBack).await;
    assert!(upkeep.message.unwrap().contains("tester@example.org"));
    // Upstream moves on, and the person's commit stays.
    team.upstream_commits(
        "heat",
        "master",
        (&BASE.replace("five", "FIVE").replace("six", "sechs"), "more"),
    );
    team.stage.looks(5).await;
    assert_eq!(team.repository.git(&["rev-parse", BRANCH]), theirs);
    team.repository
        .git(&["update-ref", &format!("refs/heads/{BRANCH}"), &tip]);
    team.in_state(NAME, UpkeepState::Proposed).await;
    assert_eq!(team.pulls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_means_no_until_there_is_something_new() {
    let team = proposed("upkeepclosed").await;
    team.forge.state().pulls[0].state = "closed";
    team.in_state(NAME, UpkeepState::Closed).await;
    let object = team.stage.wait(NAME, "told", |object| {
        shown(object, "UpkeepProposed") == "False/PullRequestClosed"
    });
    object.await;
    team.stage.looks(5).await;
    assert_eq!(team.pulls().len(), 1);
    team.stage
        .annotate(NAME, "reconcile.fluxcd.io/requestedAt", "now")
        .await;
    team.stage.looks(3).await;
    assert_eq!(team.pulls().len(), 1, "asking changes no facts");

    // The patch changed: that is something new.
    let other = patch("heat").replace("Say five louder in heat", "Say five louder in heat, please");
    team.commit_to_base(&[(&file("heat", "master"), Some(&other))], "another message");
    until("it is proposed anew", || team.pulls().len() == 2).await;
    team.in_state(NAME, UpkeepState::Proposed).await;
    assert_eq!(team.pulls()[1].state, "open");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_did_first_is_closed_with_a_word_and_no_more_is_declined() {
    let team = proposed("upkeepfirst").await;
    team.commit_to_base(&[(&file("heat", "master"), None)], "dropped by hand");
    until("it is closed", || team.pulls()[0].state == "closed").await;
    let pull = team.pulls()[0].clone();
    assert_eq!(pull.comments.len(), 1, "{:?}", pull.comments);
    assert!(
        pull.comments[0].contains("Nothing is left to do here"),
        "{:?}",
        pull.comments
    );
    team.in_state(NAME, UpkeepState::Reported).await;
    team.stage.ready(NAME, "True", "Succeeded").await;

    // It returns, and is proposed again: nobody had declined it.
    team.commit_to_base(&[(&file("heat", "master"), Some(&patch("heat")))], "back");
    until("it is proposed again", || team.pulls().len() == 2).await;
    assert_eq!(team.pulls()[1].state, "open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_brought_up_to_date_and_not_opened_twice() {
    let team = proposed("upkeepupdate").await;
    let tip = team.repository.git(&["rev-parse", BRANCH]);
    // A second patch, which upstream has as well.
    let second = patch("heat").replace("-five\n+FIVE", "-FIVE\n+Five");
    let second = second
        .replace("Say five louder in heat", "Say five again")
        .replace("Change-Id: I", "Change-Id: I9");
    team.commit_to_base(
        &[("patches/heat/master/0002-again.patch", Some(&second))],
        "another",
    );
    team.upstream_commits(
        "heat",
        "master",
        (&BASE.replace("five", "Five"), "Say five again"),
    );
    until("both are proposed", || team.proposed().len() == 2).await;
    until("the text tells of both", || {
        team.pulls()[0].body.contains("0002-again.patch")
    })
    .await;
    assert_eq!(team.pulls().len(), 1);
    assert_ne!(team.repository.git(&["rev-parse", BRANCH]), tip);
    // A merge of the earlier branch leaves the base's other changes alone.
    team.commit_to_base(&[("README", Some("more\n"))], "something else");
    team.stage.looks(5).await;
    assert_eq!(team.pulls().len(), 1);
    team.merge();
    team.stage.ready(NAME, "True", "Succeeded").await;
    team.in_state(NAME, UpkeepState::Merged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forged_is_not_taken_for_ours() {
    let team = Team::small("upkeepforged").await;
    team.apply().await;
    // Another author's request from the same branch, with our words and no marker of ours.
    team.repository.git(&["branch", BRANCH, "main"]);
    let mark = format!("Patchset-Upkeep: {} 0123456789abcdef aa", team.stage.namespace);
    let message = format!("Drop everything\n\n{mark}");
    let theirs = team.commit_to(BRANCH, &[(&file("heat", "master"), None)], &message);
    team.upstream_merges("heat", "master", &BASE.replace("five", "FIVE"));
    let upkeep = team.in_state(NAME, UpkeepState::StandsBack).await;
    assert!(upkeep.message.unwrap().contains("tester@example.org"));
    team.repository
        .git(&["update-ref", &format!("refs/heads/{BRANCH}"), "main"]);
    team.in_state(NAME, UpkeepState::Proposed).await;
    assert_ne!(team.repository.git(&["rev-parse", BRANCH]), theirs);

    // The marker of another namespace, and one that proposes what was never planned.
    let ours = team.pulls()[0].body.clone();
    let forged = ours.replace(&format!("of={}", team.stage.namespace), "of=kube-system");
    team.forge.state().pulls[0].body = forged;
    let upkeep = team.in_state(NAME, UpkeepState::StandsBack).await;
    assert!(upkeep.message.unwrap().contains("kube-system"));
    team.forge.state().pulls[0].body = "<!-- patchset-upkeep v1 of= -->".to_owned();
    let told = |upkeep: &patchset_api::upkeep::UpkeepStatus| {
        let message = upkeep.message.as_deref().unwrap_or_default();
        message.contains("text")
    };
    team.upkeep_of(NAME, "left to the person for its text", told)
        .await;
    team.forge.state().pulls[0].body = ours;
    team.in_state(NAME, UpkeepState::Proposed).await;
    assert_eq!(team.pulls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_until_it_has_been_so_for_long_enough() {
    let team = Team::small("upkeepafter").await;
    let mut spec = team.spec("heat", "master");
    spec["upkeep"]["after"] = serde_json::json!("1h");
    team.stage.apply(NAME, &spec).await;
    team.stage.ready(NAME, "True", "Succeeded").await;
    team.upstream_merges("heat", "master", &BASE.replace("five", "FIVE"));
    let upkeep = team.in_state(NAME, UpkeepState::Waiting).await;
    assert_eq!(upkeep.drops.len(), 1);
    team.stage.looks(3).await;
    assert_eq!((team.pulls().len(), team.forge.writes()), (0, 0));
    spec["upkeep"]["after"] = serde_json::json!("1s");
    team.stage.apply(NAME, &spec).await;
    team.in_state(NAME, UpkeepState::Proposed).await;

    // With reports only, it is reported.
    spec["upkeep"] = serde_json::json!({});
    team.stage.apply(NAME, &spec).await;
    let upkeep = team.in_state(NAME, UpkeepState::Reported).await;
    assert_eq!(upkeep.drops.len(), 1);
    let object = team.stage.wait(NAME, "without the condition", |object| {
        condition(object, "UpkeepProposed").is_none()
    });
    object.await;
}
