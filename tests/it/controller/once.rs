//! What one reconciliation does, and how often: its steps need no second reconciliation.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kube::api::DeleteParams;
use patchset_api::PatchSet;
use serde_json::json;

use super::build::{build_as_told, build_of, spec, stage};
use super::patches::{install_git_repository_kind, publish};
use super::{GOOD, PATIENCE, Stage, assert_well_formed, get, shown};
use crate::support::crafted::{Repository, distribution};
use crate::support::git_repo::GitRepo;
use crate::support::registry::Registry;

/// How many reconciliations of `PatchSet`s changed a status, once none is under way.
async fn changes(stage: &Stage) -> u64 {
    let end = Instant::now() + PATIENCE;
    loop {
        let (_, metrics) = tokio::task::block_in_place(|| get(&stage.controller.metrics, "/metrics"));
        let value = |name: &str, label: &str| -> u64 {
            let lines = metrics.lines().filter(|line| line.starts_with(name));
            let mut lines = lines.filter(|line| line.contains("kind=\"PatchSet\"") && line.contains(label));
            lines
                .next()
                .and_then(|line| line.rsplit_once(' ')?.1.parse().ok())
                .unwrap_or_default()
        };
        if value("patchset_reconciliations_active", "") == 0 {
            return value("patchset_reconciliations_total", "outcome=\"Changed\"");
        }
        assert!(Instant::now() < end, "{metrics}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_found_is_tagged_and_delivered_in_the_same_reconciliation() {
    let registry = Registry::open();
    let stage = stage("at-once", &registry).await;
    let gitops = GitRepo::create(stage.root.path(), "gitops");
    gitops.git(&["config", "http.receivepack", "true"]);
    let marker = format!("tag: old # {{\"$patchset\": \"{}:demo:tag\"}}\n", stage.namespace);
    gitops.commit(&[("demo.yaml", &marker)], "base");
    let mut spec = spec(&stage, &registry);
    spec["interval"] = json!("1h");
    spec["build"]["image"]["sortableTag"] = json!("{version}-{time}");
    spec["delivery"] = json!({ "git": { "url": stage.server.url("gitops"), "branch": "main" } });
    stage.apply("demo", &spec).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    let before = changes(&stage).await;
    build_as_told(&build, build.inputs_digest.as_str());
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_well_formed(&ready);
    assert_eq!(shown(&ready, "Delivered"), "True/Succeeded");
    assert_eq!(changes(&stage).await, before + 1);
    let delivered = ready.status.unwrap().delivered.unwrap().git.unwrap();
    assert_eq!(delivered.commit, gitops.git(&["rev-parse", "main"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_are_read_and_applied_once_also_for_an_image_and_its_document() {
    let registry = Registry::open();
    let stage = stage("read-once", &registry).await;
    install_git_repository_kind(&stage.client).await;
    let mut spec = spec(&stage, &registry);
    spec["interval"] = json!("1h");
    spec["patches"] = json!({
        "sourceRef": { "kind": "GitRepository", "name": "deploy" }, "path": "patches"
    });
    let fetched = publish(&stage, "one", &[("patches/0001-five.patch", GOOD)]).await;
    stage.apply("demo", &spec).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    let tag = build.target.as_deref().unwrap().rsplit_once(':').unwrap().1;
    let installed = vec![distribution("openstack_demo", "1.0.0", true)];
    let repository = Repository::new(&registry, "demo");
    repository
        .image(Some(tag), build.inputs_digest.as_str(), installed)
        .await;
    stage.ready("demo", "True", "Succeeded").await;

    // Created again, the same object does everything in one reconciliation: the image exists.
    let objects = stage.api::<PatchSet>();
    objects.delete("demo", &DeleteParams::default()).await.unwrap();
    let is_gone = |object: Option<&PatchSet>| object.is_none();
    Box::pin(kube::runtime::wait::await_condition(objects, "demo", is_gone))
        .await
        .unwrap();
    let (read, log) = (fetched.load(Ordering::SeqCst), stage.controller.log().len());
    stage.apply("demo", &spec).await;
    let ready = stage.ready("demo", "True", "Succeeded").await;
    let status = ready.status.unwrap();
    assert!(status.image.unwrap().sbom.is_some());
    assert_eq!(fetched.load(Ordering::SeqCst) - read, 1);
    let log = stage.controller.log().split_off(log);
    assert_eq!(log.matches("a series is applied").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_comes_and_goes_leaves_the_series_and_its_image_alone() {
    let registry = Registry::open();
    let stage = stage("flapping", &registry).await;
    stage.upstream.git(&["branch", "next"]);
    let mut spec = spec(&stage, &registry);
    spec["candidates"] = json!([{ "branch": "next" }]);
    stage.apply("demo", &spec).await;
    let waiting = stage
        .ready("demo", "Unknown", "AwaitingImage")
        .await
        .status
        .unwrap();
    assert_eq!(waiting.candidates[0].applied.as_deref(), Some("1/1"));
    let published = || registry.log().matches("/v2/demo-source/").count();
    let (log, before) = (stage.controller.log().len(), published());
    let is_tried = |object: &PatchSet| {
        let candidates = &object.status.as_ref().unwrap().candidates;
        candidates[0].applied.is_some()
    };
    stage.upstream.git(&["branch", "--delete", "--force", "next"]);
    let gone = stage
        .wait("demo", "no candidate", |object| !is_tried(object))
        .await;
    let gone = gone.status.unwrap();
    let message = gone.candidates[0].message.as_deref().unwrap();
    assert!(message.contains("no branch next"), "{message}");
    stage.upstream.git(&["branch", "next"]);
    let back = stage.wait("demo", "a candidate", is_tried).await.status.unwrap();
    assert_eq!(back.candidates, waiting.candidates);
    for status in [&gone, &back] {
        assert_eq!(status.inputs_digest, waiting.inputs_digest);
        assert_eq!(status.build, waiting.build);
    }
    assert_eq!(published(), before, "the source was published again");
    let log = stage.controller.log().split_off(log);
    // The one application is that to the candidate.
    assert_eq!(log.matches("a series is applied").count(), 1, "{log}");
}
