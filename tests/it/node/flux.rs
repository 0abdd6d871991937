//! From `kubectl apply` to the pod that runs the patched program, by Flux's own
//! kustomize-controller.

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, LogParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use patchset_api::PatchSet;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::faults::Stage;
use super::{Site, until};
use crate::controller::{GOOD, assert_well_formed, inline};
use crate::support::git_repo::GitRepo;

/// The team's file in the repository that Flux reads.
const MANIFEST: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: demo
spec:
  strategy:
    type: Recreate
  selector:
    matchLabels: { app: demo }
  template:
    metadata:
      labels: { app: demo }
    spec:
      hostNetwork: true
      terminationGracePeriodSeconds: 1
      containers:
      - name: demo
        image: IMAGE
        command: [sh, -c, 'cat /file.txt; exec sleep 3600']
";

const DOCKERFILE: &str = "FROM base\nCOPY --from=demo file.txt /file.txt\n";

/// The part of source-controller for a GitRepository: it serves a folder as an artifact, and
/// reports that in the status.
struct Source {
    address: String,
    served: Arc<Mutex<Vec<u8>>>,
}

impl Source {
    /// A GitRepository, without an artifact.
    async fn new(site: &Site) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/app.tar.gz", listener.local_addr().unwrap());
        let served = Arc::new(Mutex::new(Vec::new()));
        let given = Arc::clone(&served);
        let bytes = move || std::future::ready(given.lock().unwrap().clone());
        let router = Router::new().route("/app.tar.gz", get(bytes));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let source = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": { "name": "app" },
            "spec": { "interval": "1h", "url": "https://git.invalid/app" }
        });
        let parameters = PatchParams::apply("test").force();
        sources(site)
            .patch("app", &parameters, &Patch::Apply(&source))
            .await
            .unwrap();
        Self { address, served }
    }

    /// Serves a file as the content of a commit.
    async fn publish(&self, site: &Site, manifest: &str, commit: &str) {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(manifest.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "deployment.yaml", manifest.as_bytes())
            .unwrap();
        let bytes = tar.into_inner().unwrap().finish().unwrap();
        let digest = Sha256::digest(&bytes)
            .iter()
            .fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").unwrap();
                text
            });
        *self.served.lock().unwrap() = bytes;
        let status = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": { "name": "app" },
            "status": {
                "observedGeneration": 1,
                "artifact": { "path": "app.tar.gz", "url": self.address, "revision": format!("main@sha1:{commit}"),
                    "digest": format!("sha256:{digest}"), "lastUpdateTime": "2026-01-01T00:00:00Z", "size": 1 },
                "conditions": [{ "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored",
                    "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1 }]
            }
        });
        sources(site)
            .patch_status("app", &PatchParams::apply("test").force(), &Patch::Apply(&status))
            .await
            .unwrap();
    }
}

fn sources(site: &Site) -> Api<DynamicObject> {
    api_of(
        site,
        "source.toolkit.fluxcd.io",
        "GitRepository",
        "gitrepositories",
    )
}

fn api_of(site: &Site, group: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk(group, "v1", kind);
    Api::namespaced_with(
        site.client.clone(),
        &site.namespace,
        &ApiResource::from_gvk_with_plural(&gvk, plural),
    )
}

/// A Kustomization on the GitRepository.
async fn kustomization(site: &Site, post_build: &Value) {
    let kustomization = json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": { "name": "app" },
        "spec": {
            "interval": "1h", "path": "./", "prune": true, "targetNamespace": site.namespace,
            "sourceRef": { "kind": "GitRepository", "name": "app" },
            "postBuild": post_build
        }
    });
    api_of(
        site,
        "kustomize.toolkit.fluxcd.io",
        "Kustomization",
        "kustomizations",
    )
    .patch(
        "app",
        &PatchParams::apply("test").force(),
        &Patch::Apply(&kustomization),
    )
    .await
    .unwrap();
}

/// Waits until a pod that prints `expected` runs, and prints how long each step took since
/// `started`.
async fn rolled_out(site: &Site, before: &str, expected: &str, started: Instant) -> String {
    let maps = site.api::<ConfigMap>();
    let reference = until("a new image in the ConfigMap", || async {
        let data = maps.get_opt("images").await.unwrap()?.data?;
        data.get("demo_reference")
            .filter(|reference| *reference != before)
            .cloned()
    })
    .await;
    runs(site, &reference, expected, started).await;
    reference
}

/// Waits until Flux has applied a newly delivered image, and its pod prints `expected`; prints how
/// long each took.
async fn runs(site: &Site, reference: &str, expected: &str, started: Instant) {
    let delivered = started.elapsed();
    let deployments = site.api::<Deployment>();
    until("Flux's apply", || async {
        let deployment = deployments.get_opt("demo").await.unwrap()?;
        let containers = deployment.spec?.template.spec?.containers;
        (containers[0].image.as_deref() == Some(reference)).then_some(())
    })
    .await;
    let applied = started.elapsed();
    let pods = site.api::<Pod>();
    until("the pod", || async {
        let all = pods
            .list(&ListParams::default().labels("app=demo"))
            .await
            .unwrap();
        let is_new =
            |pod: &&Pod| pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some(reference);
        let pod = all.iter().find(is_new)?.name_any();
        let log = pods.logs(&pod, &LogParams::default()).await.ok()?;
        log.contains(expected).then_some(())
    })
    .await;
    let built = build_time(site).await;
    told(&format!(
        "{reference}: delivered after {delivered:.1?}, applied by Flux {:.2?} later, running after {:.1?}; the last Job took {built}",
        applied.checked_sub(delivered).unwrap(),
        started.elapsed()
    ));
}

/// Prints how long something took, even in the log of a run that passes.
fn told(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// How long the newest Job took, in seconds from the API server.
async fn build_time(site: &Site) -> String {
    let jobs = site.api::<Job>().list(&ListParams::default()).await.unwrap();
    let last = jobs.iter().max_by_key(|job| job.creation_timestamp());
    let took = last.and_then(|job| {
        let status = job.status.as_ref()?;
        Some(
            status
                .completion_time
                .as_ref()?
                .0
                .duration_since(status.start_time.as_ref()?.0),
        )
    });
    took.map_or_else(
        || "an unknown time".to_owned(),
        |took| format!("{} s", took.as_secs()),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_reaches_a_running_pod_and_each_change_rolls_out() {
    let stage = Stage::new("flux").await;
    let source = Source::new(&stage.site).await;
    let variable = MANIFEST.replace("IMAGE", "${demo_reference}");
    source.publish(&stage.site, &variable, &"0".repeat(40)).await;
    let substitute = json!({ "substituteFrom": [{ "kind": "ConfigMap", "name": "images" }] });
    kustomization(&stage.site, &substitute).await;
    let mut spec: Value = stage.spec(DOCKERFILE);
    spec["delivery"] = json!({ "configMap": { "name": "images" } });
    spec["interval"] = json!("2s");
    spec["upstream"]["ref"] = json!({ "branch": "main" });
    spec["build"]["image"]["tag"] = json!("p{patches}-{inputs}");

    let started = Instant::now();
    stage.apply(&spec).await;
    let first = rolled_out(&stage.site, "", "FIVE", started).await;
    assert_well_formed(&stage.ready("True", "Succeeded").await);

    // A changed patch.
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("+FIVE", "+Fife"))]);
    let started = Instant::now();
    stage.apply(&spec).await;
    let second = rolled_out(&stage.site, &first, "Fife", started).await;

    // A patch that conflicts does not disturb what runs.
    let mut broken = spec.clone();
    broken["patches"] = inline(&[("0001-five.patch", &GOOD.replace("-five", "-fünf"))]);
    stage.apply(&broken).await;
    stage.ready("False", "PatchConflict").await;
    let data = stage
        .site
        .api::<ConfigMap>()
        .get("images")
        .await
        .unwrap()
        .data
        .unwrap();
    assert_eq!(data["demo_reference"], second);

    // The upstream moves, and the patch still applies.
    stage.apply(&spec).await;
    stage.ready("True", "Succeeded").await;
    let moved = crate::controller::BASE.replace("one\n", "zero\none\n");
    let started = Instant::now();
    stage.upstream.commit(&[("file.txt", &moved)], "zero");
    let third = rolled_out(&stage.site, &second, "zero", started).await;
    let object: PatchSet = stage.ready("True", "Succeeded").await;
    assert_eq!(object.status.unwrap().image.unwrap().reference.as_str(), third);

    // The patch is dropped.
    spec["patches"] = Value::Null;
    let started = Instant::now();
    stage.apply(&spec).await;
    let fourth = rolled_out(&stage.site, &third, "five", started).await;
    assert!(fourth.contains(":p0-"), "{fourth}");
}

/// The file at the newest commit of the branch, and its id.
fn branch(repo: &GitRepo) -> (String, String) {
    (
        repo.git(&["show", "main:apps/demo.yaml"]) + "\n",
        repo.git(&["rev-parse", "main"]),
    )
}

/// Waits for a commit with another image, hands it to Flux, and returns the image once its pod
/// prints `expected`.
async fn committed(
    stage: &Stage,
    repo: &GitRepo,
    source: &Source,
    (before, expected): (&str, &str),
    started: Instant,
) -> String {
    let (manifest, commit) = until("a commit with a new image", || {
        let found = branch(repo);
        let is_new = !found.0.contains(&format!("image: {before} #"));
        std::future::ready(is_new.then_some(found))
    })
    .await;
    let line = manifest.lines().find(|line| line.contains("$patchset")).unwrap();
    let reference = line.trim().split(' ').nth(1).unwrap().to_owned();
    // The time from here on is Flux's; source-controller's part is the test's.
    let pushed = started.elapsed();
    source.publish(&stage.site, &manifest, &commit).await;
    told(&format!("{reference}: committed after {pushed:.1?}"));
    runs(&stage.site, &reference, expected, started).await;
    reference
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_reaches_a_running_pod_and_each_change_rolls_out() {
    let stage = Stage::new("gitops").await;
    let repo = GitRepo::create(stage.root(), "gitops");
    repo.git(&["config", "http.receivepack", "true"]);
    let marker = format!("none # {{\"$patchset\": \"{}:demo\"}}", stage.site.namespace);
    repo.commit(
        &[("apps/demo.yaml", &MANIFEST.replace("IMAGE", &marker))],
        "what runs",
    );
    let source = Source::new(&stage.site).await;
    kustomization(&stage.site, &json!({})).await;
    let mut spec: Value = stage.spec(DOCKERFILE);
    spec["delivery"] = json!({ "git": { "url": stage.url("gitops"), "branch": "main", "paths": ["apps"] } });
    spec["interval"] = json!("2s");
    spec["upstream"]["ref"] = json!({ "branch": "main" });
    spec["build"]["image"]["tag"] = json!("p{patches}-{inputs}");

    let started = Instant::now();
    stage.apply(&spec).await;
    let first = committed(&stage, &repo, &source, ("none", "FIVE"), started).await;
    assert_well_formed(&stage.ready("True", "Succeeded").await);

    // A changed patch, and the controller is killed once the commit exists: nothing is delivered
    // twice.
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("+FIVE", "+Fife"))]);
    let started = Instant::now();
    stage.apply(&spec).await;
    let second = committed(&stage, &repo, &source, (&first, "Fife"), started).await;
    stage.site.node.kill_controller();
    stage.ready("True", "Succeeded").await;
    assert_eq!(repo.git(&["rev-list", "--count", "main"]), "3");

    // A patch that conflicts does not disturb what runs.
    let mut broken = spec.clone();
    broken["patches"] = inline(&[("0001-five.patch", &GOOD.replace("-five", "-fünf"))]);
    stage.apply(&broken).await;
    stage.ready("False", "PatchConflict").await;
    assert!(branch(&repo).0.contains(&second));

    // The upstream moves, and then the patch is dropped.
    stage.apply(&spec).await;
    stage.ready("True", "Succeeded").await;
    let moved = crate::controller::BASE.replace("one\n", "zero\none\n");
    let started = Instant::now();
    stage.upstream.commit(&[("file.txt", &moved)], "zero");
    let third = committed(&stage, &repo, &source, (&second, "zero"), started).await;
    spec["patches"] = Value::Null;
    let started = Instant::now();
    stage.apply(&spec).await;
    let fourth = committed(&stage, &repo, &source, (&third, "five"), started).await;
    assert!(fourth.contains(":p0-"), "{fourth}");
    stage.ready("True", "Succeeded").await;
    assert_eq!(repo.git(&["rev-list", "--count", "main"]), "5");
}
