//! Patches that are the commits of a fork's branch.

use std::sync::atomic::Ordering;

use patchset_api::PatchSet;
use patchset_api::status::PatchState;
use patchset_api::upstream_history::Evidence;
use serde_json::{Value, json};

use super::{BASE, Stage, assert_well_formed, condition, shown};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;
use crate::support::signing::SshKey;
use crate::support::ssh_server::{GitProtocol, SshServer};

/// A text with a line of [`BASE`] in capitals.
fn loud(text: &str, line: &str) -> String {
    text.replace(line, &line.to_uppercase())
}

/// A fork on the stage's server, with two commits on `team`.
fn fork(stage: &Stage) -> GitRepo {
    let fork = GitRepo::create(stage.root.path(), "fork");
    for repo in [&stage.upstream, &fork] {
        repo.git(&["config", "uploadpack.allowFilter", "true"]);
    }
    follow(stage, &fork);
    fork.git(&["checkout", "--quiet", "-b", "team", "main"]);
    let first = loud(BASE, "two");
    fork.commit(&[("file.txt", &first)], "Say two louder");
    fork.commit(
        &[("file.txt", &loud(&first, "nine"))],
        &format!("Say nine louder\n\nChange-Id: I{}", "9".repeat(40)),
    );
    fork
}

/// Brings the upstream's branch into the fork.
fn follow(stage: &Stage, fork: &GitRepo) {
    let dir = fork.dir.display().to_string();
    stage.upstream.git(&["push", "--quiet", "--force", &dir, "main"]);
}

fn spec(stage: &Stage, branch: &Value) -> Value {
    stage.spec_with(&json!({ "branch": branch }))
}

fn of_fork(stage: &Stage) -> Value {
    json!({ "url": stage.server.url("fork"), "branch": "team" })
}

fn names(object: &PatchSet) -> Vec<&str> {
    let status = object.status.as_ref().unwrap();
    status.patches.iter().map(|patch| patch.name.as_str()).collect()
}

fn message(object: &PatchSet) -> &str {
    &condition(object, "Ready").unwrap().message
}

async fn applied(stage: &Stage, name: &str, count: &str) -> PatchSet {
    let wanted = |object: &PatchSet| {
        let status = object.status.as_ref();
        status.is_some_and(|status| status.applied.as_deref() == Some(count))
    };
    stage.wait(name, count, wanted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forks_branch_is_followed_through_a_rebase_by_force_and_a_merge_upstream() {
    let stage = Stage::new("branches").await;
    let fork = fork(&stage);
    stage.apply("demo", &spec(&stage, &of_fork(&stage))).await;
    let object = stage.ready("demo", "True", "Succeeded").await;
    assert_well_formed(&object);
    assert_eq!(
        names(&object),
        ["0001-Say-two-louder.patch", "0002-Say-nine-louder.patch"]
    );
    let status = object.status.as_ref().unwrap();
    assert_eq!(status.applied.as_deref(), Some("2/2"));
    let tip = fork.git(&["rev-parse", "team"]);
    assert_eq!(status.patches_revision, Some(format!("team@sha1:{tip}")));
    // Neither moves: nothing is fetched.
    let packs = stage.server.packs();
    stage.looks(3).await;
    assert_eq!(stage.server.packs(), packs);

    // The upstream takes one of them in another form.
    let merged = stage.upstream.commit(
        &[("file.txt", &BASE.replace("nine", "Nine!"))],
        &format!("Say nine louder\n\nReviewed.\n\nChange-Id: I{}", "9".repeat(40)),
    );
    let object = stage.ready("demo", "False", "PatchMerged").await;
    let patches = &object.status.as_ref().unwrap().patches;
    assert_eq!(patches[0].state, PatchState::Clean);
    assert_eq!(patches[1].state, PatchState::Merged);
    let found = patches[1].merged.as_ref().unwrap();
    assert_eq!(
        (found.by, found.commit.as_deref()),
        (Evidence::ChangeId, Some(merged.as_str()))
    );

    // The team rebases, and its commit is gone.
    follow(&stage, &fork);
    fork.git(&["reset", "--quiet", "--hard", "main"]);
    fork.git(&["cherry-pick", &format!("{tip}~1")]);
    let object = applied(&stage, "demo", "1/1").await;
    assert_eq!(names(&object), ["0001-Say-two-louder.patch"]);
    fork.git(&["reset", "--quiet", "--hard", "main"]);
    let object = applied(&stage, "demo", "0/0").await;
    assert!(names(&object).is_empty());
    assert_eq!(shown(&object, "Ready"), "True/Succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_series_is_told_and_mended_by_a_push() {
    let stage = Stage::new("branches-bad").await;
    let fork = fork(&stage);
    fork.git(&["checkout", "--quiet", "-b", "side", "HEAD~1"]);
    fork.commit(&[("side", "side\n")], "Something beside");
    fork.git(&["checkout", "--quiet", "team"]);
    fork.git(&["merge", "--quiet", "--no-edit", "side"]);
    let merge = fork.git(&["rev-parse", "HEAD"]);
    stage.apply("demo", &spec(&stage, &of_fork(&stage))).await;
    let object = stage.ready("demo", "False", "InvalidBranch").await;
    assert_well_formed(&object);
    assert!(
        message(&object).contains(&format!("commit {merge} of the branch merges")),
        "{}",
        message(&object)
    );
    assert!(message(&object).contains("rebase the branch"));

    fork.git(&["checkout", "--quiet", "--orphan", "other"]);
    fork.commit(&[("other", "x\n")], "Another beginning");
    fork.git(&["branch", "--force", "team", "HEAD"]);
    let wanted = |object: &PatchSet| message(object).contains("it has a different history");
    stage.wait("demo", "unrelated", wanted).await;

    fork.git(&[
        "checkout",
        "--quiet",
        "--force",
        "-B",
        "team",
        &format!("{merge}~1"),
    ]);
    fork.git(&["reset", "--quiet", "--hard", &format!("{merge}~1")]);
    let object = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(object.status.unwrap().applied.as_deref(), Some("2/2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_and_the_policy_on_subjects() {
    let stage = Stage::new("branches-base").await;
    let fork = fork(&stage);
    fork.git(&["tag", "from", "HEAD~1"]);
    let mut branch = of_fork(&stage);
    branch["base"] = json!({ "tag": "from" });
    stage.apply("demo", &spec(&stage, &branch)).await;
    let object = applied(&stage, "demo", "1/1").await;
    assert_eq!(names(&object), ["0001-Say-nine-louder.patch"]);

    fork.git(&["reset", "--quiet", "--hard", "main"]);
    fork.commit(&[("a", "a\n")], "UPSTREAM: <carry>: Add a");
    fork.commit(&[("b", "b\n")], "UPSTREAM: <drop>: Add b");
    fork.commit(&[("c", "c\n")], "UPSTREAM: 12: Add c");
    fork.commit(&[("d", "d\n")], "Add d");
    let mut branch = of_fork(&stage);
    branch["subjects"] = json!("Soft");
    stage.apply("soft", &spec(&stage, &branch)).await;
    let object = applied(&stage, "soft", "4/4").await;
    let note = object.status.as_ref().unwrap().patches_note.clone().unwrap();
    assert!(note.contains("\"Add d\""), "{note}");
    branch["subjects"] = json!("Strict");
    stage.apply("strict", &spec(&stage, &branch)).await;
    let object = stage.ready("strict", "False", "InvalidBranch").await;
    assert!(
        message(&object).contains("the policy on subjects is Strict"),
        "{}",
        message(&object)
    );
    // The upstream moves: the result is what a rebase would leave.
    stage.upstream.commit(&[("later", "x\n")], "later");
    let object = applied(&stage, "soft", "3/3").await;
    assert!(
        names(&object).iter().all(|name| !name.contains("Add-b")),
        "{:?}",
        names(&object)
    );
    let note = object.status.as_ref().unwrap().patches_note.clone().unwrap();
    assert!(
        note.contains("left out") && note.contains("<drop>: Add b"),
        "{note}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_of_the_upstream_itself_over_ssh_and_only_with_a_signature() {
    let stage = Stage::new("branches-ssh").await;
    let upstream = &stage.upstream;
    upstream.git(&["checkout", "--quiet", "-b", "team"]);
    upstream.commit(&[("file.txt", &loud(BASE, "two"))], "Say two louder");
    let server = SshServer::start(GitProtocol::Accepted);
    let login = [
        ("identity", server.user_key("ed25519", "")),
        ("known_hosts", server.known_hosts("ed25519")),
    ];
    let login = login.each_ref().map(|(name, value)| (*name, value.as_str()));
    stage.secret("login", &login).await;
    let key = SshKey::new("ed25519", None);
    stage.secret("keys", &[("ann.pub", &key.public())]).await;
    let mut spec = spec(&stage, &json!({ "branch": "team" }));
    spec["upstream"]["url"] = json!(server.url(&upstream.dir));
    spec["upstream"]["secretRef"] = json!({ "name": "login" });
    stage.apply("demo", &spec).await;
    let object = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(names(&object), ["0001-Say-two-louder.patch"]);

    spec["patches"]["branch"]["verify"] = json!({ "secretRef": { "name": "keys" } });
    stage.apply("demo", &spec).await;
    let object = stage.ready("demo", "False", "SignatureMissing").await;
    assert_eq!(shown(&object, "SourceVerified"), "False/SignatureMissing");
    upstream.signed_commit(&key.settings(), "signed, and changes nothing");
    let object = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(object.status.as_ref().unwrap().applied.as_deref(), Some("1/1"));
}

/// What one namespace's login fetched is not available to another.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_forks_commits_are_only_for_who_has_its_login() {
    let serve = |root: std::path::PathBuf| GitServer::http(root).basic("ann", "s3cret");
    let stage = Stage::with("branches-login", &[], serve).await;
    let _fork = fork(&stage);
    let login = [("username", "ann"), ("password", "s3cret")];
    stage.secret("login", &login).await;
    stage
        .secret("wrong", &[("username", "bob"), ("password", "guess")])
        .await;
    let mut good = spec(&stage, &of_fork(&stage));
    good["upstream"]["secretRef"] = json!({ "name": "login" });
    good["patches"]["branch"]["secretRef"] = json!({ "name": "login" });
    stage.apply("good", &good).await;
    let object = stage.ready("good", "True", "Succeeded").await;
    assert_eq!(object.status.unwrap().applied.as_deref(), Some("2/2"));
    for (name, secret) in [("bad", json!({ "name": "wrong" })), ("none", Value::Null)] {
        let mut spec = good.clone();
        spec["patches"]["branch"]["secretRef"] = secret;
        stage.apply(name, &spec).await;
        let object = stage.ready(name, "False", "AuthenticationFailed").await;
        assert!(names(&object).is_empty());
    }
    // A changed Secret is news.
    stage.secret("wrong", &login).await;
    stage.ready("bad", "True", "Succeeded").await;
    assert!(stage.server.counts().with_login.load(Ordering::SeqCst) > 0);
}
