//! What goes wrong while an image is built, and what is told of it.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::{DeleteParams, EvictParams, ListParams};
use patchset::api::PatchSet;
use patchset::api::build::Attempt;
use serde_json::{Value, json};

use super::{Node, Site, newest, pod_template};
use crate::controller::{BASE, GOOD, assert_well_formed, condition, inline, shown};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;

/// A namespace with an upstream.
pub struct Stage {
    pub site: Site,
    pub upstream: GitRepo,
    server: GitServer,
    root: tempfile::TempDir,
}

impl Stage {
    pub async fn new(name: &str) -> Self {
        let site = Node::get().await.site(name);
        let root = tempfile::tempdir().unwrap();
        let upstream = GitRepo::create(root.path(), "upstream");
        upstream.commit(&[("file.txt", BASE)], "base");
        upstream.git(&["tag", "1.0.0"]);
        let server = GitServer::http(root.path().to_path_buf()).start();
        Self {
            site,
            upstream,
            server,
            root,
        }
    }

    /// Where its server's repositories are.
    pub fn root(&self) -> &std::path::Path {
        self.root.path()
    }

    /// The address of one of them.
    pub fn url(&self, name: &str) -> String {
        self.server.url(name)
    }

    /// A spec whose Dockerfile is small, and quick where it does not wait.
    pub fn spec(&self, dockerfile: &str) -> Value {
        let repository = format!("{}/{}", self.site.node.registry, self.site.namespace);
        json!({
            "component": "demo", "release": "2025.2",
            "upstream": { "url": self.server.url("upstream"), "ref": { "tag": "1.0.0" } },
            "patches": inline(&[("0001-five.patch", GOOD)]),
            "build": {
                "engine": "Job", "retries": 1,
                "image": { "repository": repository, "tag": "{version}-{inputs}" },
                "source": { "repository": format!("{repository}-source") },
                "dockerfile": { "inline": dockerfile },
                "contexts": { "base": format!("docker-image://{}/python:3", self.site.node.registry) },
                "job": { "podTemplate": pod_template() },
            },
        })
    }

    pub async fn apply(&self, spec: &Value) {
        self.site
            .apply::<PatchSet>("demo", &json!({ "spec": spec }))
            .await;
    }

    pub async fn ready(&self, status: &str, reason: &str) -> PatchSet {
        self.site.ready("demo", status, reason).await
    }

    async fn jobs(&self) -> BTreeSet<String> {
        let jobs = self.site.api::<Job>().list(&ListParams::default()).await.unwrap();
        jobs.iter().map(ResourceExt::name_any).collect()
    }

    /// The pod of the build, once it runs.
    async fn running(&self) -> String {
        for _ in 0..600 {
            let pods = self.site.build_pods().await;
            let runs =
                |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
            let running: Vec<Pod> = pods.into_iter().filter(runs).collect();
            if let Some(name) = newest(&running) {
                return name;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let namespace = &self.site.namespace;
        panic!(
            "no build runs: {}",
            self.site
                .node
                .kubectl(&["get", "pods,jobs", "--namespace", namespace, "-o", "yaml"])
        );
    }
}

fn attempt(object: &PatchSet) -> Attempt {
    let build = object.status.as_ref().unwrap().build.as_ref().unwrap();
    build.attempt.clone().unwrap()
}

const QUICK: &str = "FROM scratch\nCOPY --from=demo file.txt /file.txt\n";
const SLOW: &str = "FROM base\nRUN sleep 15\nCOPY --from=demo file.txt /file.txt\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_that_fails_is_told_with_its_log_and_tried_again_until_it_is_changed() {
    let stage = Stage::new("fails").await;
    stage
        .apply(&stage.spec("FROM base\nRUN echo out of luck && false\n"))
        .await;
    let failed = stage
        .site
        .wait("demo", "stalled", |object: &PatchSet| {
            shown(object, "Stalled") == "True/BuildFailed"
        })
        .await;
    assert_well_formed(&failed);
    let message = &condition(&failed, "Ready").unwrap().message;
    assert!(message.contains("attempt 2 of 2"), "{message}");
    assert!(
        message.contains("did not complete successfully: exit code: 1"),
        "{message}"
    );
    let last = attempt(&failed);
    assert_eq!((last.number, last.failures), (2, 2));
    assert!(last.log_tail.unwrap().contains("out of luck"));
    let events = stage
        .site
        .api::<Event>()
        .list(&ListParams::default())
        .await
        .unwrap();
    let told: Vec<_> = events.iter().filter_map(|event| event.note.as_deref()).collect();
    assert!(
        told.iter().any(|note| note.contains("RUN echo out of luck")),
        "{told:?}"
    );

    // Nothing more is tried by itself; asked for, it is.
    assert_eq!(stage.jobs().await.len(), 2);
    let asked = json!({ "metadata": { "name": "demo", "annotations": { "reconcile.fluxcd.io/requestedAt": "now" } },
        "spec": stage.spec("FROM base\nRUN echo out of luck && false\n") });
    stage.site.apply::<PatchSet>("demo", &asked).await;
    stage
        .site
        .wait("demo", "tried again", |object: &PatchSet| {
            attempt(object).number >= 3
        })
        .await;

    stage.apply(&stage.spec(QUICK)).await;
    let ready = stage.ready("True", "Succeeded").await;
    assert_eq!(ready.status.unwrap().history.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_evicted_or_killed_costs_no_image_and_builds_nothing_twice() {
    let stage = Stage::new("killed").await;
    stage.apply(&stage.spec(SLOW)).await;
    let pod = stage.running().await;
    let pods = stage.site.api::<Pod>();
    pods.evict(&pod, &EvictParams::default()).await.unwrap();
    // An eviction is no failure of the build: the Job itself starts another pod.
    let mut second = stage.running().await;
    while second == pod {
        tokio::time::sleep(Duration::from_millis(200)).await;
        second = stage.running().await;
    }
    assert_eq!(attempt(&stage.site.patch_set("demo").await).number, 1);
    // A pod that is removed by hand is one.
    let at_once = DeleteParams::default().grace_period(0);
    pods.delete(&second, &at_once).await.unwrap();
    let ready = stage.ready("True", "Succeeded").await;
    assert_well_formed(&ready);
    assert!(attempt(&ready).number <= 2, "{:?}", attempt(&ready));
    assert!(attempt(&ready).finished_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_finds_its_builds_again_after_it_was_killed() {
    let stage = Stage::new("restart").await;
    stage.apply(&stage.spec(SLOW)).await;
    stage.running().await;
    stage.site.node.kill_controller();
    let ready = stage.ready("True", "Succeeded").await;
    assert_eq!(stage.jobs().await.len(), 1, "something was built twice");
    assert_eq!(attempt(&ready).number, 1);

    // Without all of its state it finds the image in the registry.
    let api = stage.site.api::<PatchSet>();
    let image = ready.status.unwrap().image.unwrap();
    api.delete("demo", &DeleteParams::background()).await.unwrap();
    while api.get_opt("demo").await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stage.apply(&stage.spec(SLOW)).await;
    let again = stage.ready("True", "Succeeded").await;
    let status = again.status.unwrap();
    assert_eq!(status.image.unwrap(), image);
    assert_eq!(status.build.unwrap().attempt, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_build_takes_the_place_of_one_that_runs() {
    let stage = Stage::new("supersede").await;
    let mut spec = stage.spec(&SLOW.replace("15", "600"));
    spec["build"]["image"]["tag"] = json!("fixed");
    stage.apply(&spec).await;
    stage.running().await;
    let superseded = attempt(&stage.site.patch_set("demo").await).name;
    spec["build"]["dockerfile"]["inline"] = json!(QUICK);
    stage.apply(&spec).await;
    let ready = stage.ready("True", "Succeeded").await;
    assert!(!stage.jobs().await.contains(&superseded), "it was not cancelled");
    assert_eq!(attempt(&ready).failures, 0);

    // The tag stays with what it has.
    spec["build"]["args"] = json!({ "A": "b" });
    stage.apply(&spec).await;
    let taken = stage.ready("False", "TagTaken").await;
    assert_eq!(taken.status.unwrap().image, ready.status.unwrap().image);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pod_template_gets_wrong_is_told() {
    let stage = Stage::new("template").await;
    let mut spec = stage.spec(QUICK);
    spec["build"]["job"]["podTemplate"]["spec"]["nodeSelektor"] = json!({ "a": "b" });
    stage.apply(&spec).await;
    let invalid = stage.ready("False", "InvalidSpec").await;
    let message = &condition(&invalid, "Ready").unwrap().message;
    assert!(message.contains("nodeSelektor"), "{message}");

    // A pod that cannot start says why.
    let mut spec = stage.spec(QUICK);
    spec["build"]["job"]["podTemplate"]["spec"]["nodeSelector"] = json!({ "no": "such" });
    stage.apply(&spec).await;
    let held = stage
        .site
        .wait("demo", "held up", |object: &PatchSet| {
            condition(object, "Ready").is_some_and(|ready| ready.message.contains("cannot be scheduled"))
        })
        .await;
    assert_eq!(shown(&held, "ImageBuilt"), "Unknown/Building");

    // Credentials that are not there are named; those that are there reach the builder as a file alone.
    let mut spec = stage.spec(QUICK);
    spec["build"]["secretRef"] = json!({ "name": "push" });
    stage.apply(&spec).await;
    stage.ready("False", "ReferenceNotFound").await;
    let secret = json!({ "type": "kubernetes.io/dockerconfigjson", "stringData": {
        ".dockerconfigjson": r#"{"auths":{"registry.invalid":{"auth":"YW5uOnNlY3JldA=="}}}"# } });
    stage.site.apply::<Secret>("push", &secret).await;
    stage.ready("True", "Succeeded").await;
    let jobs = stage
        .site
        .api::<Job>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(
        !serde_json::to_string(&jobs.items)
            .unwrap()
            .contains("YW5uOnNlY3JldA")
    );
}
