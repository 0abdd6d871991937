//! A push to the patches' repository causes work only for objects whose files it changes.

use kube::ResourceExt;
use patchset_api::{ConstraintOverride, PatchSet};
use serde_json::{Value, json};

use super::{versions, written};
use crate::controller::{GOOD, Stage, condition, shown};
use crate::support::git_repo::GitRepo;
use crate::support::signing::SshKey;

/// The number of objects that read from the repository.
const COMPONENTS: usize = 12;

/// The log message for an application of patches.
const APPLIED: &str = "a series is applied";

fn name(number: usize) -> String {
    format!("c{number:02}")
}

fn patches_of(stage: &Stage, component: &str) -> Value {
    json!({ "git": {
        "url": stage.server.url("ours"), "ref": { "branch": "main" },
        "path": format!("patches/{component}/2025.2")
    } })
}

/// Waits until each object was looked at again.
async fn all_looked_at(stage: &Stage) {
    for (kind, count) in [("PatchSet", COMPONENTS), ("ConstraintOverride", 1)] {
        let count = 3 * u64::try_from(count).unwrap();
        let ended = stage.controller.reconciliations(kind, "");
        stage.controller.until_reconciled(kind, "", ended + count).await;
    }
}

/// The path of a component's patch.
fn patch_path(number: usize) -> String {
    format!("patches/{}/2025.2/0001-five.patch", name(number))
}

/// The file of all components' refs.
fn source_refs() -> String {
    let refs = (0..COMPONENTS).map(|number| format!("{}: \"1.0.0\"\n", name(number)));
    refs.collect::<Vec<String>>().concat()
}

/// Commits a patch and a ref of each component, and the constraints with their overrides; returns
/// the commit.
fn commit_all(ours: &GitRepo) -> String {
    let patches: Vec<String> = (0..COMPONENTS).map(patch_path).collect();
    let refs = source_refs();
    let mut files: Vec<(&str, &str)> = patches.iter().map(|path| (path.as_str(), GOOD)).collect();
    files.push(("releases/2025.2/source-refs.yaml", &refs));
    files.push(("releases/2025.2/upper-constraints.txt", "alpha===1.0\n"));
    files.push(("overrides/2025.2/constraints.txt", "alpha===2.0\n"));
    ours.commit(&files, "patches")
}

/// Applies an object for each component, and one for the constraints.
async fn apply_all(stage: &Stage) {
    for number in 0..COMPONENTS {
        let component = name(number);
        let spec = json!({
            "component": component, "release": "2025.2", "interval": "1s",
            "upstream": {
                "url": stage.server.url("upstream"), "refFrom": { "path": "releases/2025.2/source-refs.yaml" }
            },
            "patches": patches_of(stage, &component)
        });
        stage.apply(&component, &spec).await;
    }
    let file = |path: &str| {
        json!({ "git": {
        "url": stage.server.url("ours"), "ref": { "branch": "main" }, "path": path
    } })
    };
    let spec = json!({
        "release": "2025.2", "interval": "1s",
        "upperConstraints": file("releases/2025.2/upper-constraints.txt"),
        "overrides": file("overrides/2025.2/constraints.txt")
    });
    stage
        .try_apply_kind::<ConstraintOverride>("constraints", &spec)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_one_fetch_and_work_for_those_whose_files_it_changes() {
    let stage = Stage::new("push").await;
    let ours = GitRepo::create(stage.root.path(), "ours");
    let first = commit_all(&ours);
    apply_all(&stage).await;
    for number in 0..COMPONENTS {
        let object = stage.ready(&name(number), "True", "Succeeded").await;
        assert_eq!(
            object.status.unwrap().patches_revision,
            Some(format!("main@sha1:{first}"))
        );
    }
    stage
        .ready_kind::<ConstraintOverride>("constraints", "True", "Succeeded")
        .await;
    all_looked_at(&stage).await;

    let applied = || stage.controller.log().matches(APPLIED).count();
    let (before, packs, applications) = (versions(&stage).await, stage.server.packs(), applied());
    let other = GOOD.replace("Say five louder", "Say five twice as loud");
    let second = ours.commit(&[(&patch_path(3), &other)], "one folder");
    let is_told = |object: &PatchSet| {
        object.status.as_ref().unwrap().patches_revision == Some(format!("main@sha1:{second}"))
    };
    stage.wait("c03", "at the second commit", is_told).await;
    all_looked_at(&stage).await;
    let after = versions(&stage).await;
    assert_eq!(written(&before, &after), ["c03"], "writes");
    assert_eq!(stage.server.packs(), packs + 1, "fetches");
    assert_eq!(applied(), applications + 1, "applications");

    // A ref that moves, and a file that no object reads.
    stage.upstream.commit(&[("other.txt", "x\n")], "more");
    stage.upstream.git(&["tag", "1.0.1"]);
    let moved = source_refs().replace("c05: \"1.0.0\"", "c05: \"1.0.1\"");
    ours.commit(
        &[
            ("releases/2025.2/source-refs.yaml", &moved),
            ("README", "read me\n"),
        ],
        "one ref",
    );
    let is_moved = |object: &PatchSet| {
        let upstream = object.status.as_ref().unwrap().upstream.as_ref().unwrap();
        upstream.revision.starts_with("1.0.1@sha1:")
    };
    stage.wait("c05", "at the moved ref", is_moved).await;
    all_looked_at(&stage).await;
    let last = versions(&stage).await;
    assert_eq!(written(&after, &last), ["c05"], "writes");
    // Upstream's second commit is fetched, in part.
    assert!(
        stage.server.packs() <= packs + 4,
        "{} fetches",
        stage.server.packs() - packs
    );
    assert_eq!(applied(), applications + 2, "applications");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_files_in_a_commit_without_a_signature_are_refused() {
    let stage = Stage::new("push-signed").await;
    let key = SshKey::new("ed25519", None);
    stage.secret("keys", &[("ann.pub", &key.public())]).await;
    let ours = GitRepo::create(stage.root.path(), "ours");
    ours.commit(&[("patches/demo/2025.2/0001-five.patch", GOOD)], "patches");
    ours.signed_commit(&key.settings(), "signed");
    let mut spec = stage.spec_with(&patches_of(&stage, "demo"));
    spec["patches"]["git"]["verify"] = json!({ "secretRef": { "name": "keys" } });
    stage.apply("demo", &spec).await;
    let good = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(shown(&good, "SourceVerified"), "True/Succeeded");
    let unsigned = ours.commit(&[], "the same files");
    let refused = stage.ready("demo", "False", "SignatureMissing").await;
    assert_eq!(shown(&refused, "SourceVerified"), "False/SignatureMissing");
    let told = &condition(&refused, "SourceVerified").unwrap().message;
    assert!(
        told.contains(&format!("commit {unsigned} has no signature")),
        "{told}"
    );
    assert_eq!(
        refused.status.unwrap().patches_revision,
        good.status.unwrap().patches_revision
    );
    ours.signed_commit(&key.settings(), "signed again");
    let good = stage.ready("demo", "True", "Succeeded").await;
    // Another signed commit of the same files is valid, and causes no write.
    let version = good.resource_version();
    ours.signed_commit(&key.settings(), "signed once more");
    let ended = stage.controller.reconciliations("PatchSet", "");
    stage.controller.until_reconciled("PatchSet", "", ended + 4).await;
    let same = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(same.resource_version(), version);
}
