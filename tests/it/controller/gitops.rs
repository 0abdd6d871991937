//! The built image, in commits to a repository that Flux follows.

use std::path::Path;
use std::time::{Duration, Instant};

use forges::ForgeKind;
use patchset_api::PatchSet;
use reqwest::Method;
use serde_json::{Value, json};

use super::build::{build_as_told, build_of, spec, stage};
use super::{BASE, Controller, GOOD, PATIENCE, Stage, assert_well_formed, condition, inline, shown};
use crate::support::api_server::ApiServer;
use crate::support::forge::{self, Forge, TOKEN, path};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::Fault;
use crate::support::registry::Registry;
use crate::support::ssh_server::{GitProtocol, SshServer};

/// A deployment as people write them, with comments and odd spacing.
const MANIFEST: &str = "# what runs
spec:   {replicas: 1}
---
image:
    repository: old/demo  # {\"$patchset\": \"NAMESPACE:demo:repository\"}
    tag: 'v0'   # {\"$patchset\": \"NAMESPACE:demo:tag\"}

    pull: |
      always # no comment
other: old/other:v0 # {\"$patchset\": \"NAMESPACE:other\"}
third: old/third:v0 # {\"$patchset\": \"NAMESPACE:third\"}
flux: x:1 # {\"$imagepolicy\": \"NAMESPACE:demo\"}
";

/// A repository that Flux could follow, beside the upstream.
fn gitops(stage: &Stage) -> GitRepo {
    gitops_at(stage, "gitops")
}

fn gitops_at(stage: &Stage, path: &str) -> GitRepo {
    let repo = GitRepo::create(stage.root.path(), path);
    repo.git(&["config", "http.receivepack", "true"]);
    let manifest = MANIFEST.replace("NAMESPACE", &stage.namespace);
    repo.commit(&[("apps/demo.yaml", &manifest), ("README", "text\n")], "base");
    repo
}

fn deliver(stage: &Stage, registry: &Registry, git: &Value) -> Value {
    let mut spec = spec(stage, registry);
    spec["delivery"] = json!({ "git": { "url": stage.server.url("gitops") } });
    for (key, value) in git.as_object().unwrap() {
        spec["delivery"]["git"][key] = value.clone();
    }
    spec
}

/// Builds the image that a `PatchSet` asks for; returns its tag.
async fn build(stage: &Stage, name: &str) -> String {
    let build = build_of(&stage.ready(name, "Unknown", "AwaitingImage").await);
    build_as_told(&build, build.inputs_digest.as_str());
    build.target.unwrap().rsplit_once(':').unwrap().1.to_owned()
}

fn commits(repo: &GitRepo, branch: &str) -> usize {
    repo.git(&["rev-list", "--count", branch]).parse().unwrap()
}

/// Waits until a condition holds in a repository.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Installs a hook in a repository.
fn hook(repo: &GitRepo, name: &str, script: &str) -> std::path::PathBuf {
    let file = repo.dir.join("hooks").join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, script).unwrap();
    let mut permissions = std::fs::metadata(&file).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(&file, permissions).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_changes_the_marked_values_alone() {
    let registry = Registry::open();
    let stage = stage("gitops", &registry).await;
    let repo = gitops(&stage);
    let git = json!({
        "branch": "main", "paths": ["apps"], "author": { "name": "Robot", "email": "robot@example.org" },
        "message": "apps: {images}\n\n{files}"
    });
    let mut spec = deliver(&stage, &registry, &git);
    stage.apply("demo", &spec).await;
    let tag = build(&stage, "demo").await;
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_well_formed(&ready);
    assert_eq!(shown(&ready, "Delivered"), "True/Succeeded");
    let status = ready.status.clone().unwrap();
    let (image, delivered) = (status.image.unwrap(), status.delivered.unwrap());
    let commit = repo.git(&["rev-parse", "main"]);
    let git = delivered.git.unwrap();
    assert_eq!((git.branch.as_str(), &git.commit), ("main", &commit));
    assert_eq!(git.repository, stage.server.url("gitops"));
    let message = &condition(&ready, "Delivered").unwrap().message;
    assert!(message.contains(&format!("main@sha1:{commit}")), "{message}");
    let before = MANIFEST.replace("NAMESPACE", &stage.namespace);
    let after = before
        .replace("old/demo  #", &format!("{}  #", image.repository))
        .replace("'v0'", &format!("'{tag}'"));
    assert_eq!(repo.git(&["show", "main:apps/demo.yaml"]) + "\n", after);
    assert_eq!(commits(&repo, "main"), 2);
    let said = repo.git(&["show", "--no-patch", "--format=%an <%ae>%n%B", "main"]);
    assert_eq!(
        said.trim_end(),
        format!(
            "Robot <robot@example.org>\napps: demo {tag}\n\napps/demo.yaml\n\nPatchset: {}/demo {}",
            stage.namespace, image.reference
        )
    );

    // Without changes there is no commit and no write.
    let version = ready.metadata.resource_version;
    stage.looks(3).await;
    let later = stage.api::<PatchSet>().get("demo").await.unwrap();
    assert_eq!(
        (&later.metadata.resource_version, commits(&repo, "main")),
        (&version, 2)
    );

    // A commit by another author changes nothing; one that removes the image is followed by
    // another.
    repo.git(&["checkout", "--force", "--quiet", "main"]);
    repo.commit(&[("README", "other\n")], "other");
    stage.looks(3).await;
    assert_eq!(commits(&repo, "main"), 3);
    let later = stage.api::<PatchSet>().get("demo").await.unwrap();
    assert_eq!(later.metadata.resource_version, version);
    repo.commit(&[("apps/demo.yaml", &before)], "revert");
    until("it is put back", || commits(&repo, "main") == 5).await;
    assert_eq!(repo.git(&["show", "main:apps/demo.yaml"]) + "\n", after);

    // A patch that conflicts leaves the image; the next image replaces it; reverting the patch
    // brings the earlier image back without a build.
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("-five", "-fünf"))]);
    stage.apply("demo", &spec).await;
    stage.ready("demo", "False", "PatchConflict").await;
    assert_eq!(commits(&repo, "main"), 5);
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("FIVE", "Five"))]);
    stage.apply("demo", &spec).await;
    let second = build(&stage, "demo").await;
    stage.ready("demo", "True", "Succeeded").await;
    assert!(
        repo.git(&["show", "main:apps/demo.yaml"])
            .contains(&format!("'{second}'"))
    );
    spec["patches"] = inline(&[("0001-five.patch", GOOD)]);
    stage.apply("demo", &spec).await;
    stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(repo.git(&["show", "main:apps/demo.yaml"]) + "\n", after);
    assert_eq!(commits(&repo, "main"), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_come_together_are_one_commit() {
    let registry = Registry::open();
    let stage = stage("together", &registry).await;
    let repo = gitops(&stage);
    let mut spec = deliver(&stage, &registry, &json!({}));
    spec["delivery"]["approval"] = json!("Manual");
    for name in ["demo", "other", "third"] {
        spec["build"]["image"] = json!({ "repository": format!("{}/{name}", registry.host), "tag": "v1" });
        stage.apply(name, &spec).await;
        build(&stage, name).await;
        stage.ready(name, "Unknown", "AwaitingApproval").await;
    }
    assert_eq!(commits(&repo, "main"), 1);
    // While the first is being pushed, the two others wait for their turn.
    let started = stage.root.path().join("started");
    hook(
        &repo,
        "pre-receive",
        &format!("#!/bin/sh\ntouch '{}'\nsleep 4\n", started.display()),
    );
    stage.annotate("demo", "patching.c5c3.io/approved", "v1").await;
    until("a push is under way", || started.exists()).await;
    for name in ["other", "third"] {
        stage.annotate(name, "patching.c5c3.io/approved", "v1").await;
    }
    let mut found = Vec::new();
    for name in ["demo", "other", "third"] {
        let object = stage.ready(name, "True", "Succeeded").await;
        found.push(object.status.unwrap().delivered.unwrap().git.unwrap().commit);
    }
    assert_eq!(found[1], found[2]);
    assert_eq!(commits(&repo, "main"), 3);
    let subjects = repo.git(&["log", "--format=%s", "main"]);
    let subjects: Vec<_> = subjects.lines().collect();
    assert!(
        ["Deliver other v1 and third v1", "Deliver third v1 and other v1"].contains(&subjects[0]),
        "{subjects:?}"
    );
    assert_eq!(subjects[1], "Deliver demo v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_race_is_run_again_and_keeps_what_others_did() {
    let registry = Registry::open();
    let stage = stage("races", &registry).await;
    let repo = gitops(&stage);
    // Another writer is faster the first two times: a commit arrives between the read and the push.
    let script = "#!/bin/sh
count=$(cat races 2>/dev/null || echo 0)
[ \"$count\" -lt 2 ] || exit 0
echo $((count + 1)) >races
unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
tree=$(git rev-parse main^{tree})
commit=$(git -c user.name=x -c user.email=x@example.org commit-tree -p main -m faster $tree)
git update-ref refs/heads/main $commit
";
    hook(&repo, "pre-receive", script);
    stage.apply("demo", &deliver(&stage, &registry, &json!({}))).await;
    let tag = build(&stage, "demo").await;
    stage.ready("demo", "True", "Succeeded").await;
    assert!(repo.git(&["show", "main:apps/demo.yaml"]).contains(&tag));
    let log = repo.git(&["log", "--format=%s", "main"]);
    assert_eq!(
        log.lines().collect::<Vec<_>>(),
        [&format!("Deliver demo {tag}"), "faster", "faster", "base"]
    );
    repo.git(&["fsck", "--strict"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_commit_from_the_branch_is_told_and_tried_again() {
    let registry = Registry::open();
    let stage = stage("gitfaults", &registry).await;
    let repo = gitops(&stage);
    let refusal = hook(
        &repo,
        "update",
        "#!/bin/sh\necho 'main is protected: open a pull request' >&2\nexit 1\n",
    );
    stage.apply("demo", &deliver(&stage, &registry, &json!({}))).await;
    let tag = build(&stage, "demo").await;
    let refused = stage.ready("demo", "False", "PushRejected").await;
    assert_well_formed(&refused);
    assert_eq!(shown(&refused, "ImageBuilt"), "True/Succeeded");
    let message = &condition(&refused, "Ready").unwrap().message;
    assert!(
        message.contains("main is protected: open a pull request"),
        "{message}"
    );
    assert_eq!(commits(&repo, "main"), 1);
    std::fs::remove_file(refusal).unwrap();
    stage.ready("demo", "True", "Succeeded").await;
    assert!(repo.git(&["show", "main:apps/demo.yaml"]).contains(&tag));

    // The server goes away and returns: the delivery stays in the status.
    let mut spec = deliver(&stage, &registry, &json!({}));
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("FIVE", "Five"))]);
    spec["upstream"]["ref"] = json!({ "commit": stage.upstream.git(&["rev-parse", "main"]) });
    spec["build"]["source"]["version"] = json!("1.0.0");
    stage.apply("demo", &spec).await;
    let built = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    stage.server.fail(Fault::Status(503));
    build_as_told(&built, built.inputs_digest.as_str());
    let away = stage.ready("demo", "False", "Unreachable").await;
    assert_eq!(shown(&away, "Delivered"), "False/Unreachable");
    assert!(away.status.unwrap().delivered.unwrap().reference.contains(&tag));
    stage.server.fail(Fault::None);
    stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(commits(&repo, "main"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_that_are_missing_or_wrong_are_told() {
    let registry = Registry::open();
    let stage = stage("markers", &registry).await;
    let repo = gitops(&stage);
    let manifest = repo.git(&["show", "main:apps/demo.yaml"]) + "\n";
    repo.commit(&[("apps/demo.yaml", "a: 1\n")], "without");
    stage.apply("demo", &deliver(&stage, &registry, &json!({}))).await;
    build(&stage, "demo").await;
    let missing = stage.ready("demo", "False", "MarkerNotFound").await;
    assert_well_formed(&missing);
    let message = &condition(&missing, "Ready").unwrap().message;
    let marker = format!("{{\"$patchset\": \"{}:demo\"}}", stage.namespace);
    assert!(message.contains(&marker), "{message}");
    let wrong = format!(
        "a: |\n  text\nb: [x,\n  y] # {{\"$patchset\": \"{}:demo:nope\"}}\n",
        stage.namespace
    );
    repo.commit(&[("apps/demo.yaml", &wrong)], "wrong");
    let wrong = stage.ready("demo", "False", "InvalidMarker").await;
    let message = &condition(&wrong, "Ready").unwrap().message;
    assert!(message.contains("apps/demo.yaml, line 4: "), "{message}");
    repo.commit(&[("apps/demo.yaml", &manifest)], "right");
    stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(commits(&repo, "main"), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_was_not_recorded_is_recognised_and_two_controllers_deliver_once() {
    let registry = Registry::open();
    let mut stage = stage("crash", &registry).await;
    let repo = gitops(&stage);
    // The controller is killed as soon as the server has the commit.
    let pid = stage.controller.pid();
    let kill = hook(&repo, "post-receive", &format!("#!/bin/sh\nkill -9 {pid}\n"));
    stage.apply("demo", &deliver(&stage, &registry, &json!({}))).await;
    let tag = build(&stage, "demo").await;
    until("the commit is there", || commits(&repo, "main") == 2).await;
    stage.controller.kill();
    std::fs::remove_file(kill).unwrap();
    let before = stage.api::<PatchSet>().get("demo").await.unwrap();
    assert!(before.status.unwrap().delivered.is_none());
    stage.controller.restart();
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(commits(&repo, "main"), 2);
    assert_eq!(
        ready.status.unwrap().delivered.unwrap().git.unwrap().commit,
        repo.git(&["rev-parse", "main"])
    );
    assert!(repo.git(&["show", "main:apps/demo.yaml"]).contains(&tag));

    // A second controller works on the same objects.
    let option = format!("--plain-http-registry={}", registry.host);
    let _second = Controller::start(ApiServer::get().await, &stage.namespace, &[&option]);
    let mut spec = deliver(&stage, &registry, &json!({}));
    for (count, word) in [(3, "Five"), (4, "FÜNF"), (5, "cinq")] {
        spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("FIVE", word))]);
        stage.apply("demo", &spec).await;
        let tag = build(&stage, "demo").await;
        stage
            .wait("demo", "delivered", |object| {
                shown(object, "Ready") == "True/Succeeded"
                    && object.status.as_ref().is_some_and(|status| {
                        status
                            .delivered
                            .as_ref()
                            .is_some_and(|delivered| delivered.reference.contains(&tag))
                    })
            })
            .await;
        assert!(
            repo.git(&["show", "main:apps/demo.yaml"])
                .contains(&format!("'{tag}'"))
        );
        assert_eq!(commits(&repo, "main"), count, "delivered twice");
    }
}

/// Merges what waits as one commit, as people do on a forge.
fn squash(repo: &GitRepo, message: &str) {
    repo.git(&["checkout", "--force", "--quiet", "main"]);
    repo.git(&["merge", "--quiet", "--squash", "patchset/images"]);
    repo.git(&["commit", "--quiet", "--message", message]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_of_its_own_waits_to_be_merged() {
    let registry = Registry::open();
    let stage = stage("propose", &registry).await;
    let repo = gitops(&stage);
    let mut spec = deliver(
        &stage,
        &registry,
        &json!({ "branch": "main", "push": { "branch": "patchset/images" } }),
    );
    stage.apply("demo", &spec).await;
    let first = build(&stage, "demo").await;
    let waiting = stage.ready("demo", "Unknown", "AwaitingMerge").await;
    assert_well_formed(&waiting);
    let proposed = waiting.status.unwrap().proposed.unwrap();
    assert_eq!(proposed.git.branch, "patchset/images");
    assert_eq!(proposed.git.commit, repo.git(&["rev-parse", "patchset/images"]));
    assert_eq!(
        (commits(&repo, "main"), commits(&repo, "patchset/images")),
        (1, 2)
    );

    // The commit is not made again while it waits, and the next image goes on top.
    stage.looks(3).await;
    assert_eq!(proposed.git.commit, repo.git(&["rev-parse", "patchset/images"]));
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("FIVE", "Five"))]);
    stage.apply("demo", &spec).await;
    let second = build(&stage, "demo").await;
    let shows = |branch: &str, tag: &str| {
        repo.git(&["show", &format!("{branch}:apps/demo.yaml")])
            .contains(tag)
    };
    until("the branch has the next image", || {
        shows("patchset/images", &second)
    })
    .await;
    assert_eq!(commits(&repo, "patchset/images"), 3);

    // Merged as one commit with another on top, it is delivered.
    squash(&repo, "merged");
    repo.commit(&[("README", "more\n")], "more");
    let ready = stage.ready("demo", "True", "Succeeded").await;
    let status = ready.status.unwrap();
    assert_eq!(status.proposed, None);
    let delivered = status.delivered.unwrap();
    assert!(delivered.reference.contains(&second));

    // The merged branch is recreated for the next image, and if that is reverted, it proposes
    // nothing.
    spec["patches"] = inline(&[("0001-five.patch", GOOD)]);
    stage.apply("demo", &spec).await;
    until("the branch has the former image", || {
        shows("patchset/images", &first)
    })
    .await;
    stage.ready("demo", "Unknown", "AwaitingMerge").await;
    assert_eq!(
        repo.git(&["rev-parse", "patchset/images^"]),
        repo.git(&["rev-parse", "main"])
    );
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("FIVE", "Five"))]);
    stage.apply("demo", &spec).await;
    stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(repo.git(&["diff", "main", "patchset/images"]), "");

    // What people did on the branch stays, through all further images.
    spec["patches"] = inline(&[("0001-five.patch", GOOD)]);
    stage.apply("demo", &spec).await;
    stage.ready("demo", "Unknown", "AwaitingMerge").await;
    repo.git(&["checkout", "--force", "--quiet", "patchset/images"]);
    let theirs = repo.commit(&[("NOTES", "by hand\n")], "by hand");
    for word in ["cinq", "fem"] {
        spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("FIVE", word))]);
        stage.apply("demo", &spec).await;
        let tag = build(&stage, "demo").await;
        until("the branch has the image", || shows("patchset/images", &tag)).await;
        repo.git(&["merge-base", "--is-ancestor", &theirs, "patchset/images"]);
        stage.ready("demo", "Unknown", "AwaitingMerge").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_is_told_where_it_is_certain() {
    let registry = Registry::open();
    let stage = stage("merged", &registry).await;
    let repo = gitops(&stage);
    let git = json!({ "branch": "main", "push": { "branch": "patchset/images" } });
    let mut spec = deliver(&stage, &registry, &git);
    stage.apply("demo", &spec).await;
    let first = build(&stage, "demo").await;
    stage.ready("demo", "Unknown", "AwaitingMerge").await;

    // A merge is reported even if the next image does not come.
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("-five", "-fünf"))]);
    stage.apply("demo", &spec).await;
    let waiting = stage.ready("demo", "False", "PatchConflict").await;
    assert!(waiting.status.unwrap().proposed.is_some());
    squash(&repo, "merged while a patch conflicts");
    let is_told = |object: &PatchSet| object.status.as_ref().unwrap().proposed.is_none();
    let told = stage.wait("demo", "told as merged", is_told).await;
    assert_well_formed(&told);
    assert_eq!(
        (shown(&told, "Ready"), shown(&told, "Delivered")),
        ("False/PatchConflict".into(), "True/Succeeded".into())
    );
    let delivered = told.status.unwrap().delivered.unwrap();
    assert!(delivered.reference.contains(&first));
    assert_eq!(delivered.git.unwrap().commit, repo.git(&["rev-parse", "main"]));

    // A merge that is uncertain is not reported: another file has a marker that cannot be followed.
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("FIVE", "Five"))]);
    stage.apply("demo", &spec).await;
    build(&stage, "demo").await;
    stage.ready("demo", "Unknown", "AwaitingMerge").await;
    repo.git(&["checkout", "--force", "--quiet", "main"]);
    let broken = format!("a: [\n# {{\"$patchset\": \"{}:demo\"}}\n", stage.namespace);
    repo.commit(&[("apps/broken.yaml", &broken)], "broken");
    squash(&repo, "merged with a broken file beside");
    stage.ready("demo", "False", "InvalidMarker").await;
    stage.looks(3).await;
    let failing = stage.ready("demo", "False", "InvalidMarker").await;
    assert!(failing.status.unwrap().proposed.is_some());
    repo.git(&["rm", "--quiet", "--force", "apps/broken.yaml"]);
    repo.git(&["commit", "--quiet", "--message", "mended"]);
    stage.ready("demo", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_wait_on_one_branch_and_folders_may_change() {
    let registry = Registry::open();
    let stage = stage("several", &registry).await;
    let repo = gitops(&stage);
    let other = format!("tag: v0 # {{\"$patchset\": \"{}:demo:tag\"}}\n", stage.namespace);
    repo.commit(&[("staging/demo.yaml", &other)], "staging");
    // Two that ask the same branch for different changes.
    for (name, author) in [("demo", "ann@example.org"), ("other", "bob@example.org")] {
        let push =
            json!({ "push": { "branch": "images" }, "paths": ["apps"], "author": { "email": author } });
        let mut spec = deliver(&stage, &registry, &push);
        spec["build"]["image"] = json!({ "repository": format!("{}/{name}", registry.host), "tag": "v1" });
        spec["delivery"]["configMap"] = json!({ "name": "images", "prefix": name });
        stage.apply(name, &spec).await;
        build(&stage, name).await;
        stage.ready(name, "Unknown", "AwaitingMerge").await;
    }
    stage.looks(6).await;
    let shown = repo.git(&["show", "images:apps/demo.yaml"]);
    assert!(
        shown.contains("'v1'") && shown.contains("/other:v1@sha256:"),
        "{shown}"
    );
    assert_eq!(commits(&repo, "images"), 4);
    // The ConfigMap already delivers them.
    let told = stage
        .ready("demo", "Unknown", "AwaitingMerge")
        .await
        .status
        .unwrap();
    assert_eq!(told.delivered.unwrap().config_map.as_deref(), Some("images"));
    repo.git(&["update-ref", "refs/heads/main", "refs/heads/images"]);
    for name in ["demo", "other"] {
        stage.ready(name, "True", "Succeeded").await;
    }

    // The next merge is reported with its own commit, although the ConfigMap had it before.
    let mut spec = deliver(
        &stage,
        &registry,
        &json!({ "push": { "branch": "images" }, "paths": ["apps"] }),
    );
    spec["build"]["image"] = json!({ "repository": format!("{}/other", registry.host), "tag": "v2" });
    spec["delivery"]["configMap"] = json!({ "name": "images", "prefix": "other" });
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("FIVE", "Five"))]);
    stage.apply("other", &spec).await;
    build(&stage, "other").await;
    stage.ready("other", "Unknown", "AwaitingMerge").await;
    repo.git(&["update-ref", "refs/heads/main", "refs/heads/images"]);
    let merged = stage.ready("other", "True", "Succeeded").await;
    let commit = merged.status.unwrap().delivered.unwrap().git.unwrap().commit;
    assert_eq!(commit, repo.git(&["rev-parse", "main"]));

    // Another folder is another place.
    let paths = json!({ "push": { "branch": "images" }, "paths": ["staging"], "author": { "email": "ann@example.org" } });
    let mut spec = deliver(&stage, &registry, &paths);
    spec["build"]["image"] = json!({ "repository": format!("{}/demo", registry.host), "tag": "v1" });
    stage.apply("demo", &spec).await;
    stage.ready("demo", "Unknown", "AwaitingMerge").await;
    assert!(
        repo.git(&["show", "images:staging/demo.yaml"])
            .starts_with("tag: v1 #")
    );
    // Removing the approval changes nothing when nothing waits.
    repo.git(&["update-ref", "refs/heads/main", "refs/heads/images"]);
    stage.ready("demo", "True", "Succeeded").await;
    spec["delivery"]["approval"] = json!("Manual");
    stage.apply("demo", &spec).await;
    stage.ready("demo", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_delivered_holds_up_no_other() {
    let registry = Registry::open();
    let stage = stage("apart", &registry).await;
    let repo = gitops(&stage);
    let of = |name: &str| {
        let git = json!({ "branch": "main", "push": { "branch": "images" } });
        let mut spec = deliver(&stage, &registry, &git);
        spec["build"]["image"] = json!({ "repository": format!("{}/{name}", registry.host), "tag": "v1" });
        spec
    };
    stage.apply("other", &of("other")).await;
    build(&stage, "other").await;
    stage.ready("other", "Unknown", "AwaitingMerge").await;
    // The followed branch gets a marker that the waiting branch lacks.
    repo.git(&["checkout", "--force", "--quiet", "main"]);
    let added = format!("tag: v0 # {{\"$patchset\": \"{}:late:tag\"}}\n", stage.namespace);
    repo.commit(&[("apps/late.yaml", &added)], "late");
    stage.apply("late", &of("late")).await;
    build(&stage, "late").await;
    let late = stage.ready("late", "False", "MarkerNotFound").await;
    let message = &condition(&late, "Ready").unwrap().message;
    assert!(
        message.contains("images lacks a marker in apps/late.yaml"),
        "{message}"
    );
    // Both are reconciled together, with different results.
    for look in 0..10 {
        let before = stage.controller.reconciliations("PatchSet", "");
        for name in ["late", "other"] {
            stage.annotate(name, "example.org/look", &look.to_string()).await;
        }
        stage
            .controller
            .until_reconciled("PatchSet", "", before + 2)
            .await;
        let other: PatchSet = stage.api().get("other").await.unwrap();
        assert_eq!(shown(&other, "Ready"), "Unknown/AwaitingMerge");
    }
    // Once merged, one is delivered, even while the server rejects everything of the other.
    repo.git(&["merge", "--quiet", "images"]);
    stage.ready("other", "True", "Succeeded").await;
    repo.git(&["branch", "--delete", "--force", "images"]);
    let refusal = hook(&repo, "pre-receive", "#!/bin/sh\necho 'not today' >&2\nexit 1\n");
    stage.ready("late", "False", "PushRejected").await;
    for look in 0..10 {
        repo.commit(&[("README", &format!("{look}\n"))], "by hand");
        let before = stage.controller.reconciliations("PatchSet", "");
        for name in ["late", "other"] {
            stage
                .annotate(name, "example.org/look", &format!("{look} again"))
                .await;
        }
        stage
            .controller
            .until_reconciled("PatchSet", "", before + 2)
            .await;
        let other: PatchSet = stage.api().get("other").await.unwrap();
        assert_eq!(shown(&other, "Ready"), "True/Succeeded");
    }
    std::fs::remove_file(refusal).unwrap();
    stage.ready("late", "Unknown", "AwaitingMerge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_config_map_has_is_told_where_git_fails() {
    let registry = Registry::open();
    let stage = stage("halfway", &registry).await;
    let repo = gitops(&stage);
    let mut spec = deliver(&stage, &registry, &json!({}));
    spec["delivery"]["configMap"] = json!({ "name": "images" });
    stage.apply("demo", &spec).await;
    build(&stage, "demo").await;
    let both = stage.ready("demo", "True", "Succeeded").await;
    let first = both.status.unwrap().delivered.unwrap();
    assert!(first.git.is_some());

    let refusal = hook(&repo, "pre-receive", "#!/bin/sh\necho 'not today' >&2\nexit 1\n");
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("FIVE", "Five"))]);
    stage.apply("demo", &spec).await;
    build(&stage, "demo").await;
    let half = stage.ready("demo", "False", "PushRejected").await;
    assert_well_formed(&half);
    let status = half.status.unwrap();
    let told = status.delivered.unwrap();
    assert_eq!(
        (told.reference.as_str(), told.config_map.as_deref(), &told.git),
        (status.image.unwrap().reference.as_str(), Some("images"), &None)
    );
    std::fs::remove_file(refusal).unwrap();
    let done = stage.ready("demo", "True", "Succeeded").await.status.unwrap();
    let delivered = done.delivered.unwrap();
    assert_eq!(
        (delivered.reference, delivered.delivered_at),
        (told.reference, told.delivered_at)
    );
    assert_eq!(delivered.git.unwrap().commit, repo.git(&["rev-parse", "main"]));
}

/// A spec that asks for a pull request on Gitea.
fn asking(stage: &Stage, registry: &Registry, forge: &Forge) -> Value {
    let git = json!({
        "branch": "main", "url": stage.server.url(path(ForgeKind::Gitea)),
        "push": { "branch": "patchset/prod", "pullRequest": {
            "provider": "Gitea", "secretRef": { "name": "token" }, "apiUrl": format!("http://{}/api/v1", forge.host), "labels": ["Images"], "reviewers": ["ann", "nobody"]
        } }
    });
    deliver(stage, registry, &git)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_is_opened_once_and_closed_where_nothing_is_left() {
    let registry = Registry::open();
    let stage = stage("pull", &registry).await;
    let forge = Forge::start(ForgeKind::Gitea).await;
    let repo = gitops_at(&stage, path(ForgeKind::Gitea));
    stage.secret("token", &[("token", TOKEN)]).await;
    let mut spec = asking(&stage, &registry, &forge);
    stage.apply("demo", &spec).await;
    let first = build(&stage, "demo").await;
    let waiting = stage.ready("demo", "Unknown", "AwaitingMerge").await;
    assert_well_formed(&waiting);
    let address = waiting.status.unwrap().proposed.unwrap().pull_request.unwrap();
    assert!(
        condition(&stage.ready("demo", "Unknown", "AwaitingMerge").await, "Ready")
            .unwrap()
            .message
            .contains(&address)
    );
    let pull = forge.state().pulls[0].clone();
    assert_eq!(
        (pull.head.as_str(), pull.base.as_str(), pull.state),
        ("patchset/prod", "main", "open")
    );
    assert_eq!(
        (pull.title, pull.labels),
        (format!("Deliver demo {first}"), vec!["Images".to_owned()])
    );
    // A reviewer who cannot be asked holds up nothing.
    assert_eq!(pull.reviewers, ["ann"]);
    let writes = forge.writes();
    stage.looks(3).await;
    assert_eq!(forge.writes(), writes);
    assert_eq!(forge.state().pulls.len(), 1);

    // A request closed by a person stays closed until it is asked for or another image comes.
    forge.state().pulls[0].state = "closed";
    stage.annotate("demo", "example.org/look", "now").await;
    let closed = stage.ready("demo", "False", "PullRequestClosed").await;
    assert_well_formed(&closed);
    assert_eq!(forge.state().pulls.len(), 1);
    stage
        .annotate("demo", "reconcile.fluxcd.io/requestedAt", "now")
        .await;
    stage.ready("demo", "Unknown", "AwaitingMerge").await;
    assert_eq!(forge.state().pulls.len(), 2);

    // The next image replaces the one that waits.
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("FIVE", "Five"))]);
    stage.apply("demo", &spec).await;
    let second = build(&stage, "demo").await;
    until("the title is that of the next image", || {
        forge.state().pulls[1].title == format!("Deliver demo {second}")
    })
    .await;
    // Once merged, it is delivered; an image delivered another way needs no request.
    forge.state().pulls[1].state = "merged";
    repo.git(&["update-ref", "refs/heads/main", "refs/heads/patchset/prod"]);
    stage.ready("demo", "True", "Succeeded").await;
    spec["patches"] = inline(&[("0001-five.patch", GOOD)]);
    stage.apply("demo", &spec).await;
    stage.ready("demo", "Unknown", "AwaitingMerge").await;
    assert_eq!(forge.state().pulls[2].state, "open");
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("FIVE", "Five"))]);
    // A server that does not close it is asked again.
    for _ in 0..4 {
        forge.fault(
            Method::PATCH,
            forge::Fault::Instead(500, Vec::new(), "broken".to_owned()),
        );
    }
    stage.apply("demo", &spec).await;
    stage.ready("demo", "True", "Succeeded").await;
    until("it is closed", || forge.state().pulls[2].state == "closed").await;
    assert!(!stage.controller.log().contains(TOKEN));

    // A login without permission is reported, and what was pushed waits.
    stage.secret("token", &[("token", "wrong")]).await;
    spec["patches"] = inline(&[("0001-five.patch", GOOD)]);
    stage.apply("demo", &spec).await;
    let refused = stage.ready("demo", "False", "AuthenticationFailed").await;
    assert_eq!(shown(&refused, "Delivered"), "False/AuthenticationFailed");
    stage.secret("token", &[("token", TOKEN)]).await;
    stage.ready("demo", "Unknown", "AwaitingMerge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_cannot_be_made_holds_up_nothing_and_comes_later() {
    let registry = Registry::open();
    let stage = stage("labels", &registry).await;
    let forge = Forge::start(ForgeKind::GitHub).await;
    forge.state().may_make_labels = false;
    gitops_at(&stage, path(ForgeKind::GitHub));
    stage.secret("token", &[("token", TOKEN)]).await;
    let mut spec = asking(&stage, &registry, &forge);
    let request = &mut spec["delivery"]["git"]["push"]["pullRequest"];
    request["provider"] = json!("GitHub");
    request["apiUrl"] = json!(format!("http://{}/api/v3", forge.host));
    request["labels"] = json!(["Images", "deploy"]);
    stage.apply("demo", &spec).await;
    build(&stage, "demo").await;
    let waiting = stage.ready("demo", "Unknown", "AwaitingMerge").await;
    assert_well_formed(&waiting);
    let message = condition(&waiting, "Ready").unwrap().message.clone();
    assert!(message.contains("without the label deploy"), "{message}");
    assert!(message.contains("Issues: read and write"), "{message}");
    let proposed = waiting.status.unwrap().proposed.unwrap();
    assert_eq!(proposed.missing_labels, ["deploy"]);
    assert_eq!(forge.state().pulls[0].labels, ["Images"]);

    // Another look checks the request, but not the label.
    let (writes, looks) = (forge.writes(), forge.state().requests.len());
    stage.annotate("demo", "example.org/look", "now").await;
    until("it is looked at", || forge.state().requests.len() > looks).await;
    assert_eq!(forge.writes(), writes);

    forge.state().labels.push((9, "deploy".to_owned()));
    stage
        .annotate("demo", "reconcile.fluxcd.io/requestedAt", "now")
        .await;
    let complete = stage
        .wait("demo", "without missing labels", |object| {
            let proposed = object.status.as_ref().and_then(|status| status.proposed.as_ref());
            proposed.is_some_and(|proposed| proposed.missing_labels.is_empty())
        })
        .await;
    assert_eq!(forge.state().pulls[0].labels, ["Images", "deploy"]);
    let message = &condition(&complete, "Ready").unwrap().message;
    assert!(!message.contains("label"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_make_of_a_pull_request_stays() {
    let registry = Registry::open();
    let stage = stage("people", &registry).await;
    let forge = Forge::start(ForgeKind::Gitea).await;
    let repo = gitops_at(&stage, path(ForgeKind::Gitea));
    stage.secret("token", &[("token", TOKEN)]).await;
    stage.apply("demo", &asking(&stage, &registry, &forge)).await;
    build(&stage, "demo").await;
    let waiting = stage.ready("demo", "Unknown", "AwaitingMerge").await;
    let address = waiting.status.unwrap().proposed.unwrap().pull_request;
    let writes = forge.writes();

    forge.state().pulls[0].title = "Ours".to_owned();
    repo.git(&["checkout", "--force", "--quiet", "patchset/prod"]);
    let theirs = repo.commit(&[("NOTES", "by hand\n")], "by hand");
    let seen = |object: &PatchSet| {
        let proposed = object.status.as_ref().and_then(|status| status.proposed.as_ref());
        proposed.is_some_and(|proposed| proposed.git.commit == theirs)
    };
    let theirs_told = stage.wait("demo", "told with the commit by hand", seen).await;
    assert_eq!(
        theirs_told.status.unwrap().proposed.unwrap().pull_request,
        address
    );
    stage
        .annotate("demo", "reconcile.fluxcd.io/requestedAt", "again")
        .await;
    stage
        .wait("demo", "looked at again", |object| {
            let status = object.status.as_ref().unwrap();
            status.last_handled_reconcile_at.as_deref() == Some("again")
        })
        .await;
    assert_eq!(forge.writes(), writes);
    assert_eq!(forge.state().pulls[0].title, "Ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_signed_and_go_over_ssh() {
    let registry = Registry::open();
    let stage = stage("signed", &registry).await;
    let repo = gitops(&stage);
    let server = SshServer::start(GitProtocol::Accepted);
    let key = server.user_key("ed25519", "");
    let (signing, public) = server.stranger_key("ed25519", "");
    stage
        .secret(
            "write",
            &[
                ("identity", &key),
                ("known_hosts", &server.known_hosts("ed25519")),
            ],
        )
        .await;
    let mut spec = deliver(
        &stage,
        &registry,
        &json!({ "secretRef": { "name": "write" }, "signing": { "secretRef": { "name": "sign" } } }),
    );
    spec["delivery"]["git"]["url"] = json!(server.url(Path::new(&repo.dir)));
    stage.apply("demo", &spec).await;
    build(&stage, "demo").await;
    let missing = stage.ready("demo", "False", "ReferenceNotFound").await;
    assert!(condition(&missing, "Ready").unwrap().message.contains("sign"));
    stage.secret("sign", &[("identity", "no key")]).await;
    let wrong = stage.ready("demo", "False", "InvalidReference").await;
    assert_eq!(shown(&wrong, "Delivered"), "False/InvalidReference");
    assert_eq!(commits(&repo, "main"), 1);
    stage.secret("sign", &[("identity", &signing)]).await;
    stage.ready("demo", "True", "Succeeded").await;
    let allowed = stage.root.path().join("allowed");
    std::fs::write(&allowed, format!("noreply@patching.c5c3.io {public}")).unwrap();
    let setting = format!("gpg.ssh.allowedSignersFile={}", allowed.display());
    assert_eq!(
        repo.git(&["-c", &setting, "log", "-1", "--format=%G? %an", "main"]),
        "G patchset"
    );
    let log = stage.controller.log();
    for secret in [&key, &signing] {
        assert!(!log.contains(secret.lines().nth(1).unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_writer_at_a_time_and_no_older_image_over_a_newer_one() {
    let registry = Registry::open();
    let stage = stage("newest", &registry).await;
    let repo = gitops(&stage);
    // Pushes take a while, and another image is requested during one.
    let started = stage.root.path().join("started");
    hook(
        &repo,
        "pre-receive",
        &format!("#!/bin/sh\necho >>'{}'\nsleep 3\n", started.display()),
    );
    let pushes = || std::fs::read(&started).map_or(0, |lines| lines.len());
    let mut spec = deliver(&stage, &registry, &json!({}));
    spec["delivery"]["configMap"] = json!({ "name": "images" });
    let mut tags = Vec::new();
    for (number, word) in ["FIVE", "Five", "cinq"].into_iter().enumerate() {
        spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("FIVE", word))]);
        stage.apply("demo", &spec).await;
        tags.push(build(&stage, "demo").await);
        until("the push is under way", || pushes() > number).await;
    }
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert!(
        ready
            .status
            .unwrap()
            .delivered
            .unwrap()
            .reference
            .contains(&tags[2])
    );
    // The branch's history has the images in order, each once.
    let log = repo.git(&["log", "--reverse", "--format=%s", "main"]);
    let delivered: Vec<_> = log
        .lines()
        .filter_map(|line| line.strip_prefix("Deliver demo "))
        .collect();
    let positions: Vec<_> = delivered
        .iter()
        .map(|tag| tags.iter().position(|known| known == tag).unwrap())
        .collect();
    assert!(positions.len() > 1, "{log}");
    assert!(
        positions.windows(2).all(|pair| pair[0] < pair[1]),
        "{positions:?}"
    );
    assert_eq!(positions.last(), Some(&2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_looked_long_ago_brings_nothing_back() {
    let registry = Registry::open();
    let mut stage = stage("stale", &registry).await;
    let repo = gitops(&stage);
    let option = format!("--plain-http-registry={}", registry.host);
    let second = Controller::start(ApiServer::get().await, &stage.namespace, &[&option]);
    let mut spec = deliver(&stage, &registry, &json!({}));
    spec["upstream"]["ref"] = json!({ "branch": "main" });
    spec["build"]["source"]["version"] = json!("1.0.0");
    spec["interval"] = json!("10m");
    spec["timeout"] = json!("30s");
    stage.apply("demo", &spec).await;
    build(&stage, "demo").await;
    stage.ready("demo", "True", "Succeeded").await;
    // The upstream moves, and one is held up while it fetches that.
    stage.controller.kill();
    let moved = BASE.replace("ten\n", "ten\neleven\n");
    stage.upstream.commit(&[("file.txt", &moved)], "eleven");
    stage.server.fail(Fault::StallPack(20));
    let packs = stage.server.packs();
    stage
        .annotate("demo", "reconcile.fluxcd.io/requestedAt", "now")
        .await;
    until("it fetches", || stage.server.packs() > packs).await;
    let signal = |name: &str| {
        let pid = second.pid().to_string();
        let sent = std::process::Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    };
    signal("-STOP");
    // The other one builds and delivers in the meantime.
    stage.server.fail(Fault::None);
    stage.controller.restart();
    let next = stage.ready("demo", "Unknown", "AwaitingImage").await;
    let planned = build_of(&next);
    build_as_told(&planned, planned.inputs_digest.as_str());
    let wanted = planned.target.unwrap();
    let is_delivered = |object: &PatchSet| {
        let delivered = object
            .status
            .as_ref()
            .and_then(|status| status.delivered.as_ref());
        delivered.is_some_and(|delivered| delivered.reference.starts_with(wanted.as_str()))
    };
    stage.wait("demo", "delivered", is_delivered).await;
    let count = commits(&repo, "main");
    let anew = || second.log().matches("starting over").count();
    let (before, ended) = (anew(), second.reconciliations("PatchSet", ""));
    signal("-CONT");
    // Its old results go nowhere, and what it does next follows from the current status.
    until("it begins anew", || anew() > before).await;
    let tag = wanted.rsplit_once(':').unwrap().1;
    let end = Instant::now() + PATIENCE;
    let mut is_done = false;
    while !is_done {
        assert!(Instant::now() < end, "it does not come to an end");
        is_done = second.reconciliations("PatchSet", "") > ended;
        assert_eq!(commits(&repo, "main"), count);
        assert!(repo.git(&["show", "main:apps/demo.yaml"]).contains(tag));
        let now = stage.api::<PatchSet>().get("demo").await.unwrap();
        assert!(is_delivered(&now), "{:?}", now.status);
    }
    stage.ready("demo", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_delivery_can_be_is_refused() {
    let registry = Registry::open();
    let stage = stage("gitspec", &registry).await;
    let with = |delivery: Value| {
        let mut spec = spec(&stage, &registry);
        spec["delivery"] = delivery;
        spec
    };
    for (delivery, expected) in [
        (json!({}), "set configMap, git or both"),
        (json!({ "git": { "url": "nowhere" } }), "write an address such as"),
        (
            json!({ "git": { "url": "https://ann:pw@example.org/x" } }),
            "a password must not be",
        ),
        (
            json!({ "git": { "url": "https://example.org/x", "paths": ["../x"] } }),
            "without '..'",
        ),
        (
            json!({ "git": { "url": "https://example.org/x", "paths": ["/x"] } }),
            "without '..'",
        ),
        (
            json!({ "git": { "url": "https://example.org/x", "branch": "refs/heads/main" } }),
            "without refs/heads/",
        ),
        (
            json!({ "git": { "url": "https://example.org/x", "branch": "-x" } }),
            "branch",
        ),
        (
            json!({ "git": { "url": "https://example.org/x", "author": { "email": "a b" } } }),
            "email",
        ),
    ] {
        let error = stage
            .try_apply("demo", &with(delivery.clone()))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{delivery}: {error}");
    }
}
