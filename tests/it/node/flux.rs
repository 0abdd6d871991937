//! From `kubectl apply` to the pod that runs the patched program, by Flux's own kustomize-controller.

use std::fmt::Write;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, LogParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use patchset::api::PatchSet;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::faults::Stage;
use super::{PATIENCE, Site};
use crate::controller::{GOOD, assert_well_formed, inline};

/// What the team keeps in the repository that Flux reads: the image is a variable.
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
        image: ${demo_reference}
        command: [sh, -c, 'cat /file.txt; exec sleep 3600']
";

const DOCKERFILE: &str = "FROM base\nCOPY --from=demo file.txt /file.txt\n";

/// Serves an artifact as Flux's source-controller does, and gives its address and digest.
async fn artifact() -> (String, String) {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(MANIFEST.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "deployment.yaml", MANIFEST.as_bytes())
        .unwrap();
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    let digest = Sha256::digest(&bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/app.tar.gz", get(move || std::future::ready(bytes.clone())));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (format!("http://{address}/app.tar.gz"), format!("sha256:{digest}"))
}

fn api_of(site: &Site, group: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk(group, "v1", kind);
    Api::namespaced_with(
        site.client.clone(),
        &site.namespace,
        &ApiResource::from_gvk_with_plural(&gvk, plural),
    )
}

/// A GitRepository whose status the test writes in source-controller's place, and a Kustomization on it.
async fn hand_over(site: &Site) {
    let (url, digest) = artifact().await;
    let parameters = PatchParams::apply("test").force();
    let sources = api_of(
        site,
        "source.toolkit.fluxcd.io",
        "GitRepository",
        "gitrepositories",
    );
    let source = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": { "name": "app" },
        "spec": { "interval": "1h", "url": "https://git.invalid/app" }
    });
    sources
        .patch("app", &parameters, &Patch::Apply(&source))
        .await
        .unwrap();
    let status = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": { "name": "app" },
        "status": {
            "observedGeneration": 1,
            "artifact": { "path": "app.tar.gz", "url": url, "revision": "main@sha1:0123456789abcdef0123456789abcdef01234567",
                "digest": digest, "lastUpdateTime": "2026-01-01T00:00:00Z", "size": 1 },
            "conditions": [{ "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1 }]
        }
    });
    sources
        .patch_status("app", &parameters, &Patch::Apply(&status))
        .await
        .unwrap();
    let kustomization = json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": { "name": "app" },
        "spec": {
            "interval": "1h", "path": "./", "prune": true, "targetNamespace": site.namespace,
            "sourceRef": { "kind": "GitRepository", "name": "app" },
            "postBuild": { "substituteFrom": [{ "kind": "ConfigMap", "name": "images" }] }
        }
    });
    api_of(
        site,
        "kustomize.toolkit.fluxcd.io",
        "Kustomization",
        "kustomizations",
    )
    .patch("app", &parameters, &Patch::Apply(&kustomization))
    .await
    .unwrap();
}

/// Polls until there is something.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a pod that says `expected` runs, and prints how long each step took since `started`.
async fn rolled_out(site: &Site, before: &str, expected: &str, started: Instant) -> String {
    let maps = site.api::<ConfigMap>();
    let reference = until("a new image in the ConfigMap", || async {
        let data = maps.get_opt("images").await.unwrap()?.data?;
        data.get("demo_reference")
            .filter(|reference| *reference != before)
            .cloned()
    })
    .await;
    let delivered = started.elapsed();
    let deployments = site.api::<Deployment>();
    until("Flux's apply", || async {
        let deployment = deployments.get_opt("demo").await.unwrap()?;
        let containers = deployment.spec?.template.spec?.containers;
        (containers[0].image.as_deref() == Some(reference.as_str())).then_some(())
    })
    .await;
    let applied = started.elapsed();
    let pods = site.api::<Pod>();
    until("the pod", || async {
        let all = pods
            .list(&ListParams::default().labels("app=demo"))
            .await
            .unwrap();
        let is_new = |pod: &&Pod| {
            pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some(reference.as_str())
        };
        let pod = all.iter().find(is_new)?.name_any();
        let log = pods.logs(&pod, &LogParams::default()).await.ok()?;
        log.contains(expected).then_some(())
    })
    .await;
    let built = build_time(site).await;
    eprintln!(
        "{reference}: delivered after {delivered:.1?}, applied by Flux {:.2?} later, running after {:.1?}; the last Job took {built}",
        applied.checked_sub(delivered).unwrap(),
        started.elapsed()
    );
    reference
}

/// How long the newest Job took, as the API server tells it in seconds.
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
    hand_over(&stage.site).await;
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
    assert_eq!(object.status.unwrap().image.unwrap().reference, third);

    // The patch is dropped.
    spec["patches"] = Value::Null;
    let started = Instant::now();
    stage.apply(&spec).await;
    let fourth = rolled_out(&stage.site, &third, "five", started).await;
    assert!(fourth.contains(":p0-"), "{fourth}");
}
