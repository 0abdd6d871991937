//! Where patches come from.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{GOOD, Stage, assert_well_formed, condition, inline, shown};
use crate::support::git_repo::GitRepo;

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_is_read_and_its_change_taken_up_at_once() {
    let stage = Stage::new("configmap").await;
    stage
        .config_map("patches", &[("0001-five.patch", GOOD), ("README", "no patch")])
        .await;
    let mut spec = stage.spec_with(&json!({ "configMap": { "name": "patches" } }));
    spec["interval"] = json!("1h");
    stage.apply("configmap", &spec).await;
    let object = stage.ready("configmap", "True", "Succeeded").await;
    assert_eq!(object.status.unwrap().applied.as_deref(), Some("1/1"));
    stage
        .config_map("patches", &[("0001-five.patch", &GOOD.replace(" four", " vier"))])
        .await;
    stage.ready("configmap", "False", "PatchConflict").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_gives_patches_and_the_ref() {
    let stage = Stage::new("git").await;
    let ours = GitRepo::create(stage.root.path(), "ours");
    ours.commit(
        &[
            ("patches/demo/2025.2/0001-five.patch", GOOD),
            ("patches/demo/2025.2/notes.txt", "no patch"),
            (
                "releases/2025.2/source-refs.yaml",
                "# refs\ndemo: \"1.0.0\"\nother: main\n",
            ),
        ],
        "patches",
    );
    let spec = json!({
        "component": "demo", "release": "2025.2", "interval": "1s",
        "upstream": {
            "url": stage.server.url("upstream"), "refFrom": { "path": "releases/2025.2/source-refs.yaml" }
        },
        "patches": { "git": {
            "url": stage.server.url("ours"), "ref": { "branch": "main" }, "path": "patches/demo/2025.2"
        } }
    });
    stage.apply("git", &spec).await;
    let object = stage.ready("git", "True", "Succeeded").await;
    assert_well_formed(&object);
    let status = object.status.unwrap();
    assert!(status.upstream.unwrap().revision.starts_with("1.0.0@sha1:"));
    let commit = ours.git(&["rev-parse", "main"]);
    assert_eq!(status.patches_revision, Some(format!("main@sha1:{commit}")));
    assert_eq!(status.applied.as_deref(), Some("1/1"));

    ours.commit(&[("releases/2025.2/source-refs.yaml", "demo: 1.0\n")], "a number");
    let object = stage.ready("git", "False", "InvalidReference").await;
    assert!(
        condition(&object, "Ready")
            .unwrap()
            .message
            .contains("put it in quotes")
    );
    ours.git(&["rm", "--quiet", "-r", "--cached", "patches"]);
    std::fs::remove_dir_all(ours.work().join("patches")).unwrap();
    ours.commit(
        &[("releases/2025.2/source-refs.yaml", "demo: main\n")],
        "no patches any more",
    );
    let object = stage.ready("git", "True", "Succeeded").await;
    assert_eq!(shown(&object, "PatchesApplicable"), "True/NoPatches");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_of_a_flux_source_is_read_and_followed() {
    let stage = Stage::new("artifact").await;
    install_git_repository_kind(&stage.client).await;
    let spec = stage.spec_with(&json!({
        "sourceRef": { "kind": "GitRepository", "name": "deploy" }, "path": "patches/demo/2025.2"
    }));
    let mut spec = spec;
    spec["interval"] = json!("1h");
    stage.apply("artifact", &spec).await;
    let object = stage.ready("artifact", "False", "ReferenceNotFound").await;
    assert_eq!(shown(&object, "Stalled"), "-");

    publish(
        &stage,
        "one",
        &[
            ("patches/demo/2025.2/0001-five.patch", GOOD),
            ("other/x.patch", "no"),
        ],
    )
    .await;
    let object = stage.ready("artifact", "True", "Succeeded").await;
    let status = object.status.unwrap();
    assert_eq!(status.applied.as_deref(), Some("1/1"));
    assert_eq!(status.patches_revision.as_deref(), Some("main@sha1:one"));

    publish(
        &stage,
        "two",
        &[("patches/demo/2025.2/0001-five.patch", "nothing\n")],
    )
    .await;
    let object = stage.ready("artifact", "False", "PatchMalformed").await;
    assert_eq!(
        object.status.unwrap().patches_revision.as_deref(),
        Some("main@sha1:two")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_namespace_is_refused() {
    let stage = Stage::new("tenant").await;
    let spec = stage.spec_with(&json!({
        "sourceRef": { "kind": "GitRepository", "name": "deploy", "namespace": "flux-system" }
    }));
    stage.apply("tenant", &spec).await;
    let object = stage.ready("tenant", "False", "AccessDenied").await;
    assert_eq!(shown(&object, "Stalled"), "True/AccessDenied");
}

#[tokio::test(flavor = "multi_thread")]
async fn inline_patches_apply_in_the_order_of_their_names() {
    let stage = Stage::new("order").await;
    let second = GOOD.replace("-five", "-FIVE").replace("+FIVE", "+5");
    stage
        .apply(
            "order",
            &stage.spec_with(&inline(&[("0002-b.patch", &second), ("0001-a.patch", GOOD)])),
        )
        .await;
    let object = stage.ready("order", "True", "Succeeded").await;
    let names: Vec<String> = object
        .status
        .unwrap()
        .patches
        .into_iter()
        .map(|patch| patch.name)
        .collect();
    assert_eq!(names, ["0001-a.patch", "0002-b.patch"]);
}

/// Serves `GitRepository` objects; Flux's own controller is not needed, the test writes their
/// status.
pub async fn install_git_repository_kind(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "gitrepositories.source.toolkit.fluxcd.io" },
        "spec": {
            "group": "source.toolkit.fluxcd.io", "scope": "Namespaced",
            "names": { "kind": "GitRepository", "plural": "gitrepositories", "singular": "gitrepository" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": open, "status": open } } }
            }]
        }
    });
    let name = "gitrepositories.source.toolkit.fluxcd.io";
    api.patch(
        name,
        &PatchParams::apply("test").force(),
        &Patch::Apply(&definition),
    )
    .await
    .unwrap();
    await_condition(api, name, conditions::is_crd_established())
        .await
        .unwrap();
}

/// Publishes files as source-controller does: a tar.gz over HTTP, its digest in the status. Counts
/// how often it is fetched.
pub async fn publish(stage: &Stage, revision: &str, files: &[(&str, &str)]) -> Arc<AtomicUsize> {
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::default(),
    ));
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, name, content.as_bytes())
            .unwrap();
    }
    let bytes = archive.into_inner().unwrap().finish().unwrap();
    let digest = Sha256::digest(&bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            use std::fmt::Write;
            write!(text, "{byte:02x}").unwrap();
            text
        });
    let (url, fetched) = serve_once_and_again(bytes);
    let gvk = GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", "GitRepository");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "gitrepositories");
    let api: Api<DynamicObject> = Api::namespaced_with(stage.client.clone(), &stage.namespace, &resource);
    let object = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": { "name": "deploy" },
        "spec": {}, "status": { "artifact": {
            "url": url, "digest": format!("sha256:{digest}"), "revision": format!("main@sha1:{revision}")
        } }
    });
    api.patch(
        "deploy",
        &PatchParams::apply("test").force(),
        &Patch::Apply(&object),
    )
    .await
    .unwrap();
    fetched
}

/// A plain HTTP server for one file, for the lifetime of the test process.
fn serve_once_and_again(bytes: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let fetched = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fetched);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let _ = std::io::Read::read(&mut connection, &mut request);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                bytes.len()
            );
            let _ = connection.write_all(head.as_bytes());
            let _ = connection.write_all(&bytes);
        }
    });
    (format!("http://{address}/artifact.tar.gz"), fetched)
}
