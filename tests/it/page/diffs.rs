//! Whole patches of repositories on the page of a `PatchSet`.

use std::path::Path;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use patchset_api::PatchSet;
use serde_json::{Value, json};

use super::web::{Served, bearer, viewer};
use crate::controller::GOOD;
use crate::support::api_server::ApiServer;
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;

/// Gives an object patches from another object's status.
async fn take_patches(served: &Served, namespace: &str, name: &str, patches: &Value) {
    let api: Api<PatchSet> = Api::namespaced(served.stage.client.clone(), namespace);
    let status = json!({ "status": { "patches": patches } });
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
}

/// Removes all mirrors of a controller.
fn evict(storage: &Path) {
    let mut removed = 0;
    for entry in std::fs::read_dir(storage).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
            removed += 1;
        }
    }
    assert!(removed > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_patches_are_shown_to_who_may_fetch_them_and_to_no_other_tenant() {
    let served = Served::new("page-diffs", &[]).await;
    let (own, other) = (
        served.stage.namespace.clone(),
        ApiServer::get().await.namespace("page-diffs-b").await,
    );
    let root = tempfile::tempdir().unwrap();
    let repository = GitRepo::create(root.path(), "private");
    let broken = GOOD.replace("-five\n+FIVE", "-funf\n+OURS").replace("five", "it");
    repository.commit(
        &[("p/0001-louder.patch", GOOD), ("p/0002-broken.patch", &broken)],
        "patches",
    );
    let server = GitServer::http(root.path()).basic("reader", "pass").start();
    served
        .stage
        .secret("login", &[("username", "reader"), ("password", "pass")])
        .await;
    let spec = |secret: Option<&str>| {
        let mut git = json!({ "url": server.url("private"), "path": "p" });
        if let Some(secret) = secret {
            git["secretRef"] = json!({ "name": secret });
        }
        let mut spec = served.stage.spec_with(&json!({ "git": git }));
        spec["interval"] = json!("1h");
        spec
    };
    served.patch_set(&own, "app", &spec(Some("login"))).await;
    let api: Api<PatchSet> = Api::namespaced(served.stage.client.clone(), &own);
    let object = api.get("app").await.unwrap();
    let patches = json!(object.status.unwrap().patches);
    let client = &served.stage.client;
    let token = bearer(&viewer(client, &own, "looker").await);
    let path = format!("/patchsets/{own}/app");
    let looks = server.looks();
    let page = served.page_with(&path, &token, "0002-broken.patch").await;
    assert!(
        page.contains("+FIVE") && page.contains("@@ -3,5 +3,5 @@"),
        "{page}"
    );
    assert!(
        page.contains("The patch makes of it") && page.contains("+OURS"),
        "{page}"
    );
    assert!(!page.contains("not shown"), "{page}");
    assert_eq!(server.looks(), looks, "the page asked the server");

    // Naming the same repository without a login, or with another one, gives access to nothing,
    // whatever a status says.
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &other);
    let wrong = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "wrong" },
        "stringData": { "username": "reader", "password": "wrong" }
    });
    let parameters = PatchParams::apply("test").force();
    secrets
        .patch("wrong", &parameters, &Patch::Apply(&wrong))
        .await
        .unwrap();
    let theirs = bearer(&viewer(client, &other, "looker").await);
    for (name, secret) in [("anonymous", None), ("wrong", Some("wrong"))] {
        let mut spec = spec(secret);
        let object = served.patch_set(&other, name, &spec).await;
        assert!(object.status.unwrap().patches.is_empty());
        spec["suspend"] = json!(true);
        served.patch_set(&other, name, &spec).await;
        take_patches(&served, &other, name, &patches).await;
        let path = format!("/patchsets/{other}/{name}");
        let page = served.page_with(&path, &theirs, "0001-louder.patch").await;
        assert!(!page.contains("@@ -3,5") && !page.contains("OURS"), "{page}");
        let note =
            "The diffs of 2 patches are not shown: the controller&#39;s copy of their repository is missing";
        assert!(page.contains(note), "{page}");
    }

    // What was evicted is reported, and nothing is fetched for it.
    let looks = server.looks();
    evict(&served.stage.controller.storage());
    let page = served.page_with(&path, &token, "are not shown").await;
    assert!(!page.contains("@@ -3,5") && !page.contains("OURS"), "{page}");
    assert!(page.contains("the next look at it brings it back"), "{page}");
    assert_eq!(server.looks(), looks, "the page asked the server");
}
