//! The writer of status, against a real API server.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use patchset::status::Error;
use patchset::status::writer::{Written, write};
use patchset_api::PatchSet;
use patchset_api::status::PatchSetStatus;
use serde_json::json;

use crate::support::api_server::ApiServer;

/// A status with a distinguishing value.
fn status(applied: &str) -> PatchSetStatus {
    PatchSetStatus {
        applied: Some(applied.to_owned()),
        ..PatchSetStatus::default()
    }
}

/// Writes a new status on top of the one that an object has.
async fn after(object: &PatchSet, applied: &str) -> Result<Written<PatchSet>, Error> {
    let client = ApiServer::get().await.client();
    let version = object.resource_version();
    let is_known = |now: &PatchSet| now.status == object.status;
    write(&client, object, version.as_deref(), &status(applied), is_known).await
}

fn stored(written: Result<Written<PatchSet>, Error>) -> PatchSet {
    match written {
        Ok(Written::Stored(object)) => *object,
        other => panic!("{other:?}"),
    }
}

async fn object(name: &str) -> (Api<PatchSet>, PatchSet) {
    let server = ApiServer::get().await;
    server.crds().await;
    let namespace = server.namespace(name).await;
    let api: Api<PatchSet> = Api::namespaced(server.client(), &namespace);
    let object = api.create(&PostParams::default(), &new()).await.unwrap();
    (api, object)
}

fn new() -> PatchSet {
    let spec = json!({
        "component": "demo", "release": "2025.2",
        "upstream": { "url": "https://example.org/demo", "ref": { "branch": "main" } }
    });
    PatchSet::new("demo", serde_json::from_value(spec).unwrap())
}

#[tokio::test]
async fn of_two_that_knew_the_same_one_writes() {
    let (api, known) = object("overtaken").await;
    let first = stored(after(&known, "first").await);
    assert!(matches!(after(&known, "second").await, Ok(Written::Overtaken)));
    assert_eq!(api.get("demo").await.unwrap().status, Some(status("first")));
    // A writer that knows the current status can go on.
    stored(after(&first, "third").await);
    assert_eq!(api.get("demo").await.unwrap().status, Some(status("third")));
}

#[tokio::test]
async fn changes_of_the_rest_of_the_object_are_in_nobodys_way() {
    let (api, known) = object("labelled").await;
    let known = stored(after(&known, "first").await);
    let change = json!({ "metadata": { "labels": { "team": "images" } }, "spec": { "release": "2026.1" } });
    api.patch("demo", &PatchParams::default(), &Patch::Merge(&change))
        .await
        .unwrap();
    let now = stored(after(&known, "second").await);
    assert_eq!(now.status, Some(status("second")));
    assert_eq!(
        (now.spec.release.0.as_str(), now.labels()["team"].as_str()),
        ("2026.1", "images")
    );
}

#[tokio::test]
async fn an_object_that_is_gone_or_another_gets_none() {
    let (api, known) = object("gone").await;
    api.delete("demo", &DeleteParams::default()).await.unwrap();
    assert!(matches!(after(&known, "first").await, Ok(Written::Gone)));
    api.create(&PostParams::default(), &new()).await.unwrap();
    assert!(matches!(after(&known, "first").await, Ok(Written::Gone)));
    assert_eq!(api.get("demo").await.unwrap().status, None);
}
