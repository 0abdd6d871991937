//! A controller that is killed, faster writers, and servers that fail or lie.

use std::path::{Path, PathBuf};

use axum::http::Method;
use patchset_api::upkeep::UpkeepState;

use super::{BRANCH, FAST, Team, until};
use crate::controller::{BASE, shown};
use crate::support::forge::{Fault, TOKEN};
use crate::support::ssh_server::{GitProtocol, SshServer};

const NAME: &str = "heat-master";

/// Installs a hook in the team's repository.
fn hook(team: &Team, name: &str, script: &str) -> PathBuf {
    let file = team.repository.dir.join("hooks").join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, script).unwrap();
    let mut permissions = std::fs::metadata(&file).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(&file, permissions).unwrap();
    file
}

fn upstream_merges(team: &Team) {
    team.upstream_merges("heat", "master", &BASE.replace("five", "FIVE"));
}

/// Checks that everything is proposed once.
async fn assert_proposed_once(team: &Team) {
    let upkeep = team.in_state(NAME, UpkeepState::Proposed).await;
    assert!(upkeep.pull_request.unwrap().ends_with("/pulls/1"));
    team.stage.looks(4).await;
    assert_eq!(team.proposed().len(), 1);
    let pulls = team.pulls();
    assert_eq!((pulls.len(), pulls[0].state), (1, "open"), "{pulls:#?}");
    assert_eq!(pulls[0].labels, ["patches"]);
    assert_eq!(pulls[0].reviewers, ["ann"]);
    team.repository.git(&["fsck", "--strict"]);
}

#[rstest::rstest]
#[case::before_the_push("pre-receive")]
#[case::after_the_push("post-receive")]
#[tokio::test(flavor = "multi_thread")]
async fn who_is_killed_at_a_push_goes_on(#[case] moment: &str) {
    let mut team = Team::small("upkeepkill").await;
    team.apply().await;
    let pid = team.stage.controller.pid();
    let mark = team.stage.root.path().join("killed");
    let kill = hook(
        &team,
        moment,
        &format!("#!/bin/sh\ntouch '{}'\nkill -9 {pid}\n", mark.display()),
    );
    upstream_merges(&team);
    until("it was killed", || mark.exists()).await;
    team.stage.controller.kill();
    std::fs::remove_file(kill).unwrap();
    assert_eq!(team.pulls(), []);
    team.stage.controller.restart();
    assert_proposed_once(&team).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_killed_at_the_forge_goes_on() {
    let mut team = Team::small("upkeepkillopen").await;
    team.apply().await;
    // The request is open, but the answer never comes.
    team.forge.fault(Method::POST, Fault::Silence);
    upstream_merges(&team);
    until("it is open", || team.pulls().len() == 1).await;
    team.stage.controller.kill();
    team.stage.controller.restart();
    team.in_state(NAME, UpkeepState::Proposed).await;
    assert_eq!(team.pulls().len(), 1);

    // The same when it is closed: the comment is made, but the answer never comes.
    team.forge.fault(Method::POST, Fault::Silence);
    team.commit_to_base(&[(&super::file("heat", "master"), None)], "dropped by hand");
    until("the word is said", || team.pulls()[0].comments.len() == 1).await;
    team.stage.controller.kill();
    team.stage.controller.restart();
    until("it is closed", || team.pulls()[0].state == "closed").await;
    assert_eq!(team.pulls()[0].comments.len(), 1);
    team.in_state(NAME, UpkeepState::Reported).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_race_is_run_again() {
    let team = Team::small("upkeeprace").await;
    team.apply().await;
    // The same branch is created from the base in the meantime, once.
    let script = format!(
        "#!/bin/sh\n[ ! -e raced ] || exit 0\ntouch raced\n\
         unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES\n\
         git update-ref refs/heads/{BRANCH} refs/heads/main\n"
    );
    hook(&team, "pre-receive", &script);
    upstream_merges(&team);
    assert_proposed_once(&team).await;
    assert!(team.repository.dir.join("raced").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_over_ssh() {
    let team = Team::small("upkeepssh").await;
    // Repositories are where they are on a forge: below the root.
    let root = team.stage.root.path().display();
    let command = format!("echo \"$SSH_ORIGINAL_COMMAND\" | sed \"s#'/#'{root}/#\"");
    let settings = format!("ForceCommand exec sh -c \"$({command})\"");
    let server = SshServer::with(GitProtocol::Accepted, &settings);
    let key = server.user_key("ed25519", "");
    let data = [
        ("identity", key.as_str()),
        ("known_hosts", &server.known_hosts("ed25519")),
    ];
    team.stage.secret("ssh", &data).await;
    let mut spec = team.spec("heat", "master");
    let git = &mut spec["patches"]["git"];
    git["url"] = serde_json::json!(server.url(Path::new("/acme/gitops.git")));
    git["secretRef"] = serde_json::json!({ "name": "ssh" });
    team.stage.apply(NAME, &spec).await;
    team.stage.ready(NAME, "True", "Succeeded").await;
    upstream_merges(&team);
    assert_proposed_once(&team).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_or_lies_holds_up_nothing_else() {
    let team = Team::small("upkeepfaults").await;
    team.apply().await;
    let answers = [
        Fault::Instead(500, Vec::new(), "{}".to_owned()),
        Fault::Instead(401, Vec::new(), format!("{{\"message\": \"bad token {TOKEN}\"}}")),
        Fault::Instead(200, Vec::new(), "<html>".to_owned()),
        Fault::Instead(200, Vec::new(), "[{\"number\": -1}]".to_owned()),
        Fault::Flood(64 << 20),
    ];
    for answer in answers {
        // Each look retries, and gets it again.
        for _ in 0..4 {
            team.forge.fault(Method::GET, answer.clone());
        }
    }
    upstream_merges(&team);
    let upkeep = team.in_state(NAME, UpkeepState::Failed).await;
    assert!(!upkeep.message.unwrap().contains(TOKEN));
    let object = team.stage.ready(NAME, "False", "PatchMerged").await;
    assert_eq!(shown(&object, "UpkeepProposed"), "False/ProgressingWithRetry");
    team.forge.state().faults.clear();
    assert_proposed_once(&team).await;
    assert!(
        !team.stage.controller.log().contains(TOKEN),
        "a token is in the log"
    );

    // The Git server refuses the push: that is reported, and retried.
    let refusal = hook(&team, "update", "#!/bin/sh\necho 'not today' >&2\nexit 1\n");
    let other = super::patch("heat").replace("louder in heat", "louder");
    team.commit_to_base(
        &[(&super::file("heat", "master"), Some(&other))],
        "another message",
    );
    let failed = team.in_state(NAME, UpkeepState::Failed).await;
    assert!(failed.message.unwrap().contains("not today"));
    assert!(failed.pull_request.unwrap().ends_with("/pulls/1"));
    std::fs::remove_file(refusal).unwrap();
    team.in_state(NAME, UpkeepState::Proposed).await;
    assert_eq!(team.pulls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_controllers_at_work_propose_once() {
    let team = Team::small("upkeeptwo").await;
    let second = team.stage.second_controller(&FAST).await;
    team.apply().await;
    upstream_merges(&team);
    assert_proposed_once(&team).await;
    drop(second);
}
