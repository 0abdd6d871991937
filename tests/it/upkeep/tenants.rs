//! Two namespaces with the same repository: each has its own request, with its own login, and
//! neither touches the other's.

use kube::Api;
use kube::api::{Patch, PatchParams};
use patchset_api::PatchSet;
use patchset_api::upkeep::UpkeepState;
use serde_json::{Value, json};

use super::{BRANCH, FAST, Team, name, until};
use crate::controller::{BASE, PATIENCE, Stage};
use crate::support::api_server::ApiServer;
use crate::support::git_server::GitServer;

const LABEL: (&str, &str) = ("patching.c5c3.io/test", "upkeep");

async fn apply(team: &Team, namespace: &str, kind: &str, object: &Value) {
    let mut object = object.clone();
    object["metadata"]["namespace"] = json!(namespace);
    object["metadata"]["labels"] = json!({ LABEL.0: LABEL.1 });
    let object_name = object["metadata"]["name"].as_str().unwrap().to_owned();
    let parameters = PatchParams::apply("test").force();
    if kind == "Secret" {
        let api: Api<k8s_openapi::api::core::v1::Secret> =
            Api::namespaced(team.stage.client.clone(), namespace);
        api.patch(&object_name, &parameters, &Patch::Apply(&object))
            .await
            .unwrap();
    } else {
        let api: Api<PatchSet> = Api::namespaced(team.stage.client.clone(), namespace);
        api.patch(&object_name, &parameters, &Patch::Apply(&object))
            .await
            .unwrap();
    }
}

fn patch_set(spec: &Value) -> Value {
    json!({
        "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet",
        "metadata": { "name": name("heat", "master") }, "spec": spec
    })
}

async fn until_upkeep(team: &Team, namespace: &str, state: UpkeepState) -> PatchSet {
    let api: Api<PatchSet> = Api::namespaced(team.stage.client.clone(), namespace);
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let object = api.get(&name("heat", "master")).await.unwrap();
        let found = super::upkeep(&object).map(|upkeep| upkeep.state);
        if found == Some(state) {
            return object;
        }
        assert!(
            std::time::Instant::now() < end,
            "{namespace}: {found:?} is not {state:?}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_namespace_shares_neither_request_nor_login() {
    let selector = format!("--watch-label-selector={}={}", LABEL.0, LABEL.1);
    let options = [FAST[0], FAST[1], "--watch-all-namespaces=true", &selector];
    let team = Team::with(
        Stage::with("upkeepours", &options, GitServer::http).await,
        &["heat"],
        1,
    )
    .await;
    let theirs = ApiServer::get().await.namespace("upkeeptheirs").await;
    let spec = team.spec("heat", "master");
    apply(
        &team,
        &team.stage.namespace.clone(),
        "PatchSet",
        &patch_set(&spec),
    )
    .await;
    // The other one has no such Secret: ours is not used for it.
    apply(&team, &theirs, "PatchSet", &patch_set(&spec)).await;
    team.stage
        .ready(&name("heat", "master"), "True", "Succeeded")
        .await;
    team.upstream_merges("heat", "master", &BASE.replace("five", "FIVE"));
    let ours = until_upkeep(&team, &team.stage.namespace.clone(), UpkeepState::Proposed).await;
    let object = until_upkeep(&team, &theirs, UpkeepState::Failed).await;
    let upkeep = super::upkeep(&object).unwrap();
    assert!(upkeep.message.as_ref().unwrap().contains("Secret"), "{upkeep:?}");
    assert_eq!((team.pulls().len(), team.proposed().len()), (1, 1));
    let tip = team.repository.git(&["rev-parse", BRANCH]);

    // With its own login and the same branch it stands back.
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token" },
        "stringData": { "token": crate::support::forge::TOKEN }
    });
    apply(&team, &theirs, "Secret", &secret).await;
    let object = until_upkeep(&team, &theirs, UpkeepState::StandsBack).await;
    let message = super::upkeep(&object).unwrap().message.clone().unwrap();
    assert!(message.contains("another"), "{message}");
    assert_eq!(team.repository.git(&["rev-parse", BRANCH]), tip);

    // With its own branch it has its own request.
    let mut own = spec.clone();
    own["upkeep"]["branch"] = json!("theirs/upkeep");
    team.forge.state().branches.push("theirs/upkeep".to_owned());
    apply(&team, &theirs, "PatchSet", &patch_set(&own)).await;
    until_upkeep(&team, &theirs, UpkeepState::Proposed).await;
    until("each has its own", || team.pulls().len() == 2).await;
    assert_eq!(team.repository.git(&["rev-parse", BRANCH]), tip);
    let body = &team.pulls()[1].body;
    assert!(
        body.contains(&theirs) && !body.contains(&team.stage.namespace),
        "{body}"
    );
    assert!(super::upkeep(&ours).unwrap().pull_request.is_some());
}
