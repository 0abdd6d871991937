//! Tags that name branch and commit of the patches' repository.

use kube::ResourceExt;
use patchset_api::build::BuildReason;
use serde_json::json;

use super::build::{build_of, spec, stage, target_of};
use super::{GOOD, condition, inline};
use crate::support::git_repo::GitRepo;
use crate::support::registry::Registry;

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_names_the_commit_at_which_its_inputs_were_first_seen() {
    let registry = Registry::open();
    let stage = stage("patches-commit", &registry).await;
    let ours = GitRepo::create(stage.root.path(), "ours");
    let first = ours.commit(&[("patches/0001-five.patch", GOOD)], "patches");
    let mut spec = spec(&stage, &registry);
    spec["interval"] = json!("1s");
    spec["patches"] = json!({ "git": {
        "url": stage.server.url("ours"), "ref": { "branch": "main" }, "path": "patches"
    } });
    let image = &mut spec["build"]["image"];
    image["tag"] = json!("{version}-p{patches}-{patchesBranch}-{patchesSha}");
    image["movingTags"] = json!(["{version}", "{release}"]);
    image["movingTagsFrom"] = json!(["main"]);
    stage.apply("demo", &spec).await;
    let waiting = stage.ready("demo", "Unknown", "AwaitingImage").await;
    let build = build_of(&waiting);
    let tag = |commit: &str| format!("{}/demo:1.0.0-p1-main-{}", registry.host, &commit[..7]);
    assert_eq!(target_of(&build), tag(&first));
    assert_eq!(build.moving_tags, ["1.0.0", "2025.2"]);
    let revision = build.patches_revision.as_ref().unwrap();
    assert_eq!(revision.as_str(), format!("main@sha1:{first}"));

    // A push that changes nothing relevant.
    ours.commit(&[("README", "read me\n")], "why");
    let ended = stage.controller.reconciliations("PatchSet", "");
    stage.controller.until_reconciled("PatchSet", "", ended + 4).await;
    let same = stage.ready("demo", "Unknown", "AwaitingImage").await;
    assert_eq!(build_of(&same), build);
    assert_eq!(same.resource_version(), waiting.resource_version());

    // One that changes a patch.
    let louder = GOOD.replace("+FIVE", "+FIVE!");
    let third = ours.commit(&[("patches/0001-five.patch", &louder)], "louder");
    let is_third = |object: &patchset_api::PatchSet| {
        let status = object.status.as_ref().unwrap();
        let build = status.build.as_ref();
        build.is_some_and(|build| target_of(build) == tag(&third))
    };
    let built = stage.wait("demo", "at the third commit", is_third).await;
    assert_eq!(build_of(&built).reasons, [BuildReason::Patches]);

    // Patches that are in no repository have no commit to name.
    spec["patches"] = inline(&[("0001-five.patch", GOOD)]);
    stage.apply("demo", &spec).await;
    let refused = stage.ready("demo", "False", "InvalidSpec").await;
    let message = &condition(&refused, "Ready").unwrap().message;
    assert!(
        message.contains("of the patches' repository") && message.contains("set patches.git"),
        "{message}"
    );
}
