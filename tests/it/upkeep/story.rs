//! A team's repository of four components and three releases, from upstream's commits to the merge.

use std::path::Path;
use std::process::Command;

use kube::ResourceExt;
use kube::api::ListParams;
use patchset_api::PatchSet;
use patchset_api::upkeep::UpkeepState;

use super::{BRANCH, FAST, Team, file, name, until, upkeep};
use crate::controller::{BASE, Stage, assert_well_formed, condition, shown};
use crate::support::git_server::GitServer;

/// The components: one patch is merged as it is, one in another form, one moves, one breaks.
const COMPONENTS: [&str; 4] = ["barbican", "designate", "heat", "manila"];

/// Upstream moves. Returns the commit that breaks a patch.
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

/// A request's title and text without what differs between runs.
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

/// Runs a command in a folder; returns its exit status and output.
fn run(folder: &Path, command: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(command[0])
        .args(&command[1..])
        .current_dir(folder)
        .envs([("GIT_AUTHOR_NAME", "Ann"), ("GIT_COMMITTER_NAME", "Ann")])
        .envs(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"].map(|name| (name, "ann@example.org")))
        .envs(["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"].map(|name| (name, "/dev/null")))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Rebases manila's patch onto upstream, as a person does in a clone, and pushes it.
fn rework_manila(team: &Team) {
    let folder = tempfile::tempdir().unwrap();
    let patchset = env!("CARGO_BIN_EXE_patchset");
    let origin = team.repository.dir.display().to_string();
    let upstreams = team.stage.root.path().display().to_string();
    let succeed = |at: &Path, command: &[&str]| {
        let (code, said) = run(at, command);
        assert_eq!(code, Some(0), "{command:?}: {said}");
        said
    };
    succeed(folder.path(), &["git", "clone", "--quiet", &origin, "deployment"]);
    let (clone, tree) = (folder.path().join("deployment"), folder.path().join("tree"));
    let tree_name = tree.display().to_string();
    let upstream = ["--upstream", &upstreams];
    let edit = [
        patchset,
        "edit",
        "manila/master",
        "--ref",
        "main",
        "--into",
        &tree_name,
    ];
    let (code, said) = run(&clone, &[&edit[..], &upstream].concat());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("unmerged: manila.py"), "{said}");
    std::fs::write(tree.join("manila.py"), BASE.replace("five", "FÜNF")).unwrap();
    succeed(&tree, &["git", "add", "manila.py"]);
    succeed(&tree, &[patchset, "edit", "--continue"]);
    succeed(
        &clone,
        &[patchset, "export", "manila/master", "--from", &tree_name],
    );
    let verify = [
        patchset,
        "verify",
        "manila/master",
        "--ref-template",
        "main",
        "--against",
        "HEAD",
    ];
    let told = succeed(&clone, &[&verify[..], &upstream].concat());
    assert!(told.contains("nothing is lost"), "{told}");
    succeed(
        &clone,
        &[
            "git",
            "commit",
            "--quiet",
            "--all",
            "--message",
            "Say fünf louder",
        ],
    );
    succeed(&clone, &["git", "push", "--quiet", "origin", "HEAD:main"]);
}

/// Checks that there is one pull request, what it says, and what its branch changes.
fn assert_one_request_with_three_commits(team: &Team) {
    let pulls = team.pulls();
    assert_eq!(pulls.len(), 1, "{pulls:#?}");
    assert_eq!((pulls[0].head.as_str(), pulls[0].base.as_str()), (BRANCH, "main"));
    assert_eq!(
        (&pulls[0].labels[..], &pulls[0].reviewers[..]),
        (&["patches".to_owned()][..], &["ann".to_owned()][..])
    );
    insta::assert_snapshot!("request", readable(team, (&pulls[0].title, &pulls[0].body)));
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
}

/// Checks that without changes there is no status write, no writing request to the forge, and no
/// commit.
async fn assert_nothing_new_is_written(team: &Team, names: [&str; 3]) {
    for name in names {
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
    let (before, writes) = (versions(team).await, team.forge.writes());
    team.stage.looks(30).await;
    assert_eq!((versions(team).await, team.forge.writes()), (before, writes));
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
    // The first one may have been proposed alone, and the request updated afterwards.
    until("all is proposed", || team.proposed().len() == 3).await;
    until("the text tells of all", || {
        let pulls = team.pulls();
        ["barbican", "designate", "heat"]
            .iter()
            .all(|component| pulls[0].body.contains(component))
    })
    .await;
    assert_one_request_with_three_commits(&team);
    assert_nothing_new_is_written(&team, all).await;

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

    rework_manila(&team);
    team.stage
        .ready(&name("manila", "master"), "True", "Succeeded")
        .await;
    let log = team.stage.controller.log();
    assert!(
        !log.contains(crate::support::forge::TOKEN),
        "a token is in the log"
    );
}
