//! A team's repository of four components and three releases, from upstream's commits to the merge.

use kube::ResourceExt;
use kube::api::ListParams;
use patchset::api::PatchSet;
use patchset::api::upkeep::UpkeepState;

use super::{BRANCH, FAST, Team, file, name, until, upkeep};
use crate::controller::{BASE, Stage, assert_well_formed, condition, shown};
use crate::support::git_server::GitServer;

/// The components: one patch is merged as it is, one in another form, one moves, one breaks.
const COMPONENTS: [&str; 4] = ["barbican", "designate", "heat", "manila"];

/// Upstream moves. Gives the commit that breaks a patch.
fn move_on(team: &Team) -> String {
    let loud = BASE.replace("five", "FIVE");
    team.upstream_merges("barbican", "2025.1", &loud);
    team.upstream_commits(
        "barbican",
        "2025.1",
        (&loud.replace("six", "sechs"), "Say six in German"),
    );
    team.upstream_merges("designate", "2025.2", &BASE.replace("five", "Five!"));
    team.upstream_commits(
        "heat",
        "2025.2",
        (&format!("zero\nzero and a half\n{BASE}"), "Begin earlier"),
    );
    team.upstream_commits(
        "manila",
        "master",
        (&BASE.replace("five", "fünf"), "Refactor the manager"),
    )
}

/// A request's title and text without what differs from run to run.
fn readable(team: &Team, (title, body): (&str, &str)) -> String {
    let body = body.replace(&team.stage.namespace, "NAMESPACE");
    let body = body.replace(&team.stage.server.host(), "HOST");
    let digits = regex::Regex::new(r"( at=)\d+").unwrap();
    let digests = regex::Regex::new(r"(title|text)=[0-9a-f]+").unwrap();
    let body = digits.replace_all(&body, "${1}TIME");
    let body = digests.replace_all(&body, "${1}=DIGEST");
    format!("{title}\n\n{body}\n")
}

async fn versions(team: &Team) -> Vec<(String, Option<String>)> {
    let all = team
        .stage
        .api::<PatchSet>()
        .list(&ListParams::default())
        .await
        .unwrap();
    all.iter()
        .map(|one| (one.name_any(), one.resource_version()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_drops_two_patches_and_makes_one_anew() {
    let stage = Stage::with("upkeepstory", &FAST, GitServer::http).await;
    let team = Team::with(stage, &COMPONENTS, 3).await;
    team.apply().await;
    assert_eq!(team.pulls(), [], "there is nothing to do");

    let breaks = move_on(&team);
    let all = ["barbican-2025.1", "designate-2025.2", "heat-2025.2"];
    for name in all {
        team.upkeep_of(name, "proposed", |upkeep| upkeep.state == UpkeepState::Proposed)
            .await;
    }
    // What came first may have been proposed alone, and the request was brought up to date then.
    until("all is proposed", || team.proposed().len() == 3).await;
    until("the text tells of all", || {
        let pulls = team.pulls();
        ["barbican", "designate", "heat"]
            .iter()
            .all(|component| pulls[0].body.contains(component))
    })
    .await;
    let pulls = team.pulls();
    assert_eq!(pulls.len(), 1, "{pulls:#?}");
    assert_eq!((pulls[0].head.as_str(), pulls[0].base.as_str()), (BRANCH, "main"));
    assert_eq!(
        (&pulls[0].labels[..], &pulls[0].reviewers[..]),
        (&["patches".to_owned()][..], &["ann".to_owned()][..])
    );
    insta::assert_snapshot!("request", readable(&team, (&pulls[0].title, &pulls[0].body)));
    let changed = team
        .repository
        .git(&["diff", "--name-status", &format!("main...{BRANCH}")]);
    assert_eq!(
        changed.lines().collect::<Vec<_>>(),
        [
            format!("D\t{}", file("barbican", "2025.1")),
            format!("D\t{}", file("designate", "2025.2")),
            format!("M\t{}", file("heat", "2025.2")),
        ]
    );
    let authors = team
        .repository
        .git(&["log", "--format=%ae %ce", &format!("main..{BRANCH}")]);
    assert!(
        authors
            .lines()
            .all(|line| line == "robot@example.org robot@example.org"),
        "{authors}"
    );
    team.repository.git(&["fsck", "--strict"]);

    // Nothing new costs no write, no request of the forge that changes something, and no commit.
    for name in all {
        let object = team.stage.wait(name, "told of the last commit", |object| {
            let commit = upkeep(object).and_then(|upkeep| upkeep.commit.clone());
            commit.is_some_and(|commit| commit.as_str() == team.repository.git(&["rev-parse", BRANCH]))
        });
        let object = object.await;
        assert_eq!(shown(&object, "UpkeepProposed"), "True/Succeeded");
        assert_well_formed(&object);
    }
    let events = team.stage.events("heat-2025.2").await;
    assert!(
        events
            .iter()
            .any(|(_, note)| note.contains("UpkeepProposed") && note.contains("/pulls/1")),
        "{events:?}"
    );
    let (before, writes) = (versions(&team).await, team.forge.writes());
    team.stage.looks(30).await;
    assert_eq!((versions(&team).await, team.forge.writes()), (before, writes));

    team.merge();
    for name in team.names().iter().filter(|name| *name != "manila-master") {
        team.stage.ready(name, "True", "Succeeded").await;
    }
    let broken = team
        .stage
        .ready(&name("manila", "master"), "False", "PatchConflict")
        .await;
    let message = &condition(&broken, "Ready").unwrap().message;
    assert!(message.contains(&breaks[..7]), "{message} does not name {breaks}");
    let merged = team.in_state("heat-2025.2", UpkeepState::Merged).await;
    assert!(merged.pull_request.unwrap().ends_with("/pulls/1"));
    assert_eq!(team.pulls().len(), 1);
    let log = team.stage.controller.log();
    assert!(
        !log.contains(crate::support::forge::TOKEN),
        "a token is in the log"
    );
}
