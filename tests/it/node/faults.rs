//! Faults while an image is built, and how they are reported.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{DeleteParams, EvictParams, ListParams};
use patchset_api::PatchSet;
use patchset_api::build::Attempt;
use serde_json::{Value, json};

use super::{Node, Site, newest, pod_template};
use crate::controller::{BASE, GOOD, assert_well_formed, condition, inline, shown};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;
use crate::support::program::program;
use crate::support::registry::Registry;

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

    /// The folder with its server's repositories.
    pub fn root(&self) -> &std::path::Path {
        self.root.path()
    }

    /// The address of one of them.
    pub fn url(&self, name: &str) -> String {
        self.server.url(name)
    }

    /// A spec with a small Dockerfile, which builds fast unless it waits.
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
    stage
        .site
        .wait_for_event("the failed build, with its log", |event| {
            let note = event.note.as_deref();
            note.is_some_and(|note| note.contains("RUN echo out of luck"))
        })
        .await;

    // There is no further attempt, except on request.
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
    // A pod that is deleted by hand is one.
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

    // The tag keeps its image.
    spec["build"]["args"] = json!({ "A": "b" });
    stage.apply(&spec).await;
    let taken = stage.ready("False", "TagTaken").await;
    assert_eq!(taken.status.unwrap().image, ready.status.unwrap().image);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pod_template_gets_wrong_is_told() {
    let stage = Stage::new("template").await;
    let mut spec = stage.spec(QUICK);
    spec["build"]["job"]["podTemplate"]["spec"]["nodeSelector"] = json!({ "no label": "b" });
    stage.apply(&spec).await;
    let invalid = stage.ready("False", "InvalidSpec").await;
    let message = &condition(&invalid, "Ready").unwrap().message;
    assert!(message.contains("nodeSelector"), "{message}");

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

    // Missing credentials are named; existing ones reach the builder only as a file.
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

/// Moves the images that a spec names to another registry; its base images stay where they are.
fn to_registry(spec: &mut Value, host: &str) {
    spec["build"]["image"]["repository"] = json!(format!("{host}/demo"));
    spec["build"]["source"]["repository"] = json!(format!("{host}/demo-source"));
}

/// The digest of a tag; nothing if the tag does not exist.
fn digest(reference: &str) -> Option<String> {
    let inspected = program("skopeo")
        .args(["inspect", "--tls-verify=false", "--format={{.Digest}}"])
        .arg(format!("docker://{reference}"))
        .output()
        .unwrap();
    let text = String::from_utf8(inspected.stdout).unwrap();
    inspected.status.success().then(|| text.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_goes_away_in_the_middle_of_a_build_is_waited_for() {
    let stage = Stage::new("away").await;
    let mut registry = Registry::open_at(&stage.site.node.spare_host());
    let mut spec = stage.spec(SLOW);
    to_registry(&mut spec, &registry.host);
    stage.apply(&spec).await;
    stage.running().await;
    // The pod runs before the builder has fetched its inputs.
    let dockerfile = |log: &str| log.matches("\"GET /v2/demo-source/blobs/").count() > 2;
    while !dockerfile(&registry.log()) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    registry.pause();
    let away = stage.ready("False", "Unreachable").await;
    assert_well_formed(&away);
    assert_eq!(shown(&away, "PatchesApplicable"), "True/Succeeded");
    assert_eq!(shown(&away, "Reconciling"), "True/ProgressingWithRetry");
    let message = &condition(&away, "Ready").unwrap().message;
    assert!(message.contains(&registry.host), "{message}");
    registry.resume();
    let ready = stage.ready("True", "Succeeded").await;
    assert_well_formed(&ready);
    assert!(attempt(&ready).number <= 2, "{:?}", attempt(&ready));
    let image = ready.status.unwrap().image.unwrap();
    let (tagged, _) = image.reference.split_once('@').unwrap();
    assert_eq!(digest(tagged).as_deref(), Some(image.digest.as_str()));
    let pushed = format!("\"PUT /v2/demo/manifests/{} ", image.tag);
    let pushes = registry.log().matches(&pushed).count();
    assert_eq!(pushes, 1, "the image was pushed twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_told_and_once_mended_the_build_goes_on() {
    let stage = Stage::new("credentials").await;
    let registry = Registry::with_password_at(&stage.site.node.spare_host());
    let mut spec = stage.spec(QUICK);
    to_registry(&mut spec, &registry.host);
    spec["build"]["secretRef"] = json!({ "name": "push" });
    let secret = |password: &str| {
        use base64::Engine;
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("ann:{password}"));
        json!({ "type": "kubernetes.io/dockerconfigjson", "stringData": {
            ".dockerconfigjson": json!({ "auths": { (registry.host.as_str()): { "auth": auth } } }).to_string() } })
    };
    stage.site.apply::<Secret>("push", &secret("wrong")).await;
    stage.apply(&spec).await;
    let refused = stage.ready("False", "AuthenticationFailed").await;
    assert_well_formed(&refused);
    let message = &condition(&refused, "Ready").unwrap().message;
    assert!(message.contains("refuses the credentials"), "{message}");
    assert!(message.contains(&registry.host), "{message}");
    assert!(
        stage.jobs().await.is_empty(),
        "something is built that cannot be pushed"
    );

    // Only the Secret changes: that is taken up, and the builder pushes with it.
    stage.site.apply::<Secret>("push", &secret("secret")).await;
    let ready = stage.ready("True", "Succeeded").await;
    assert_eq!(attempt(&ready).number, 1);
    assert_eq!(stage.jobs().await.len(), 1);
    assert!(!serde_json::to_string(&ready).unwrap().contains("YW5uOnNlY3JldA"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_something_else_has_is_neither_built_nor_pushed_over() {
    let stage = Stage::new("taken").await;
    let mut spec = stage.spec(QUICK);
    spec["build"]["image"]["tag"] = json!("release");
    let repository = spec["build"]["image"]["repository"].as_str().unwrap().to_owned();
    let copied = program("skopeo")
        .args([
            "copy",
            "--quiet",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
        ])
        .arg(format!("docker://{}/python:3", stage.site.node.registry))
        .arg(format!("docker://{repository}:release"))
        .status()
        .unwrap();
    assert!(copied.success());
    let foreign = digest(&format!("{repository}:release"));
    stage.apply(&spec).await;
    let taken = stage.ready("False", "TagTaken").await;
    assert_well_formed(&taken);
    let message = &condition(&taken, "Ready").unwrap().message;
    assert!(
        message.contains("has no label patching.c5c3.io/inputs"),
        "{message}"
    );
    assert!(
        stage.jobs().await.is_empty(),
        "something is built that may not be pushed"
    );
    assert_eq!(digest(&format!("{repository}:release")), foreign);
    spec["build"]["image"]["tag"] = json!("{version}-{inputs}");
    stage.apply(&spec).await;
    stage.ready("True", "Succeeded").await;
    assert_eq!(digest(&format!("{repository}:release")), foreign);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_dies_between_push_and_status_builds_nothing_twice() {
    let stage = Stage::new("between").await;
    stage.apply(&stage.spec(SLOW)).await;
    stage.running().await;
    let build = stage.site.patch_set("demo").await.status.unwrap().build.unwrap();
    let absence = stage.site.node.without_controller();
    let target = build.target.unwrap();
    let end = std::time::Instant::now() + super::PATIENCE;
    while digest(&target).is_none() {
        assert!(std::time::Instant::now() < end, "the build does not end");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let pushed = digest(&target);
    let meanwhile = stage.site.patch_set("demo").await;
    assert_eq!(shown(&meanwhile, "ImageBuilt"), "Unknown/Building");
    drop(absence);
    let ready = stage.ready("True", "Succeeded").await;
    assert_well_formed(&ready);
    assert_eq!(attempt(&ready).number, 1);
    assert!(attempt(&ready).finished_at.is_some());
    assert_eq!(stage.jobs().await.len(), 1, "something was built twice");
    assert_eq!(
        Some(ready.status.unwrap().image.unwrap().digest.to_string()),
        pushed
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_the_kubelet_evicts_is_told_with_what_it_took_too_much_of() {
    let stage = Stage::new("evicted").await;
    // The kubelet looks at volumes once a minute: the build still runs then.
    let mut spec = stage.spec(&SLOW.replace("15", "900"));
    let template = &mut spec["build"]["job"]["podTemplate"]["spec"];
    template["volumes"] = json!([{ "name": "state", "emptyDir": { "sizeLimit": "1Mi" } }]);
    stage.apply(&spec).await;
    let evicted = stage.ready("False", "BuildFailed").await;
    assert_well_formed(&evicted);
    let message = attempt(&evicted).message.unwrap();
    assert!(
        message.contains("was removed from its node (Evicted)"),
        "{message}"
    );
    assert!(message.contains("exceeds the limit"), "{message}");
    let shown = &condition(&evicted, "Ready").unwrap().message;
    assert!(shown.contains("Evicted"), "{shown}");
    stage.apply(&stage.spec(QUICK)).await;
    stage.ready("True", "Succeeded").await;
}
