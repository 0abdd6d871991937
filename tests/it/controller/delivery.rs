//! The built image, in a ConfigMap for Flux.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use patchset_api::PatchSet;
use serde_json::{Value, json};

use super::build::{build_as_told, build_of, spec, stage, stage_with};
use super::{GOOD, PATIENCE, Stage, assert_well_formed, condition, inline, shown};
use crate::support::registry::Registry;

/// The ConfigMap's data, once it satisfies the condition.
async fn data(
    stage: &Stage,
    name: &str,
    wanted: impl Fn(&BTreeMap<String, String>) -> bool,
) -> BTreeMap<String, String> {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let map = stage.api::<ConfigMap>().get_opt(name).await.unwrap();
        let data = map.and_then(|map| map.data).unwrap_or_default();
        if wanted(&data) {
            return data;
        }
        assert!(std::time::Instant::now() < end, "{name} has {data:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Builds the image that a `PatchSet` asks for.
async fn build(stage: &Stage, name: &str) -> String {
    let build = build_of(&stage.ready(name, "Unknown", "AwaitingImage").await);
    build_as_told(&build, build.inputs_digest.as_str());
    build.target.unwrap().to_string()
}

fn with_delivery(mut spec: Value, delivery: Value) -> Value {
    spec["delivery"] = delivery;
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_reaches_a_config_map_and_stays_there() {
    let registry = Registry::open();
    let stage = stage("deliver", &registry).await;
    stage.config_map("images", &[("theirs", "kept")]).await;
    let mut spec = with_delivery(
        spec(&stage, &registry),
        json!({ "configMap": { "name": "images" } }),
    );
    stage.apply("demo", &spec).await;
    build(&stage, "demo").await;
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_well_formed(&ready);
    assert_eq!(shown(&ready, "Delivered"), "True/Succeeded");
    let status = ready.status.unwrap();
    let image = status.image.unwrap();
    let expected = BTreeMap::from(
        [
            ("demo_repository", image.repository.as_str()),
            ("demo_tag", &image.tag),
            ("demo_digest", &image.digest),
            ("demo_reference", &image.reference),
            ("theirs", "kept"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    assert_eq!(data(&stage, "images", |_| true).await, expected);
    let map = stage.api::<ConfigMap>().get("images").await.unwrap();
    assert_eq!(map.labels()["reconcile.fluxcd.io/watch"], "Enabled");
    assert_eq!(status.delivered.unwrap().reference, image.reference);

    // What is changed or removed by hand is restored, and nothing is written if nothing changed.
    let by_hand = json!({ "data": { "demo_tag": "wrong" }, "metadata": { "labels": null } });
    let maps = stage.api::<ConfigMap>();
    maps.patch("images", &PatchParams::default(), &Patch::Merge(&by_hand))
        .await
        .unwrap();
    data(&stage, "images", |data| *data == expected).await;
    maps.delete("images", &DeleteParams::default()).await.unwrap();
    data(&stage, "images", |data| {
        data.len() == 4 && data["demo_tag"] == image.tag
    })
    .await;
    let version = maps.get("images").await.unwrap().resource_version();
    stage.looks(3).await;
    assert_eq!(maps.get("images").await.unwrap().resource_version(), version);

    // A patch that conflicts does not change what was delivered.
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("-five", "-fünf"))]);
    stage.apply("demo", &spec).await;
    let held = stage.ready("demo", "False", "PatchConflict").await;
    assert_eq!(held.status.unwrap().delivered.unwrap().reference, image.reference);
    maps.delete("images", &DeleteParams::default()).await.unwrap();
    data(&stage, "images", |data| {
        data.len() == 4 && data["demo_reference"] == image.reference.as_str()
    })
    .await;
    stage.ready("demo", "False", "PatchConflict").await;
    // The next image replaces it, and the earlier patches bring back the earlier image without a
    // build.
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("FIVE", "Five"))]);
    stage.apply("demo", &spec).await;
    build(&stage, "demo").await;
    data(&stage, "images", |data| data["demo_tag"] != image.tag).await;
    spec["patches"] = inline(&[("0001-five.patch", GOOD)]);
    stage.apply("demo", &spec).await;
    data(&stage, "images", |data| {
        data["demo_reference"] == image.reference.as_str()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patch_sets_share_a_config_map_and_take_no_key_from_each_other() {
    let registry = Registry::open();
    let stage = stage("shared", &registry).await;
    let to = |prefix: &str| json!({ "configMap": { "name": "images", "prefix": prefix } });
    let plain = spec(&stage, &registry);
    stage.apply("one", &with_delivery(plain.clone(), to("a"))).await;
    build(&stage, "one").await;
    let one = stage.ready("one", "True", "Succeeded").await;
    let mut other = plain.clone();
    other["patches"] = inline(&[]);
    other["build"]["image"]["repository"] = json!(format!("{}/other", registry.host));
    stage.apply("two", &with_delivery(other.clone(), to("b"))).await;
    build(&stage, "two").await;
    stage.ready("two", "True", "Succeeded").await;
    let both = data(&stage, "images", |data| data.len() == 8).await;

    stage.apply("two", &with_delivery(other, to("a"))).await;
    let refused = stage.ready("two", "False", "NameTaken").await;
    assert_well_formed(&refused);
    assert_eq!(shown(&refused, "ImageBuilt"), "True/Succeeded");
    let message = &condition(&refused, "Ready").unwrap().message;
    assert!(message.contains("delivery.configMap.prefix"), "{message}");
    assert_eq!(data(&stage, "images", |_| true).await["a_tag"], both["a_tag"]);
    assert_eq!(one.status.unwrap().image.unwrap().tag, both["a_tag"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_may_wait_for_approval() {
    let registry = Registry::open();
    let stage = stage("approval", &registry).await;
    let delivery = json!({ "configMap": { "name": "images" }, "approval": "Manual" });
    let mut spec = with_delivery(spec(&stage, &registry), delivery);
    stage.apply("demo", &spec).await;
    build(&stage, "demo").await;
    let held: PatchSet = stage.ready("demo", "Unknown", "AwaitingApproval").await;
    assert_well_formed(&held);
    assert_eq!(shown(&held, "ImageBuilt"), "True/Succeeded");
    assert!(
        stage
            .api::<ConfigMap>()
            .get_opt("images")
            .await
            .unwrap()
            .is_none()
    );
    stage
        .annotate("demo", "patching.c5c3.io/approved", "another")
        .await;
    stage.ready("demo", "Unknown", "AwaitingApproval").await;
    let tag = held.status.unwrap().image.unwrap().tag;
    stage.annotate("demo", "patching.c5c3.io/approved", &tag).await;
    stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(
        data(&stage, "images", |data| !data.is_empty()).await["demo_tag"],
        tag
    );

    // While the next one waits, what was delivered is restored.
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("FIVE", "Five"))]);
    stage.apply("demo", &spec).await;
    build(&stage, "demo").await;
    let held = stage.ready("demo", "Unknown", "AwaitingApproval").await;
    let next = held.status.unwrap().image.unwrap().tag;
    let maps = stage.api::<ConfigMap>();
    maps.delete("images", &DeleteParams::default()).await.unwrap();
    data(&stage, "images", |data| data.get("demo_tag") == Some(&tag)).await;
    stage.annotate("demo", "patching.c5c3.io/approved", &next).await;
    data(&stage, "images", |data| data["demo_tag"] == next).await;
    stage.ready("demo", "True", "Succeeded").await;
}

/// Allows a service account to write ConfigMaps.
async fn let_write(stage: &Stage, account: &str) {
    let role: Role = serde_json::from_value(json!({
        "metadata": { "name": account },
        "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch"] }],
    }))
    .unwrap();
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": { "name": account },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account },
        "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": stage.namespace }],
    }))
    .unwrap();
    let parameters = PostParams::default();
    stage.api::<Role>().create(&parameters, &role).await.unwrap();
    stage
        .api::<RoleBinding>()
        .create(&parameters, &binding)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_is_written_with_the_rights_of_the_tenant() {
    let registry = Registry::open();
    let stage = stage_with("rights", &registry, &["--default-service-account=tenant"]).await;
    let mut spec = with_delivery(
        spec(&stage, &registry),
        json!({ "configMap": { "name": "images" } }),
    );
    stage.apply("demo", &spec).await;
    build(&stage, "demo").await;
    let refused = stage.ready("demo", "False", "WriteFailed").await;
    assert_well_formed(&refused);
    let message = &condition(&refused, "Ready").unwrap().message;
    let user = format!("system:serviceaccount:{}:tenant", stage.namespace);
    for part in [
        "the service account tenant lacks a permission",
        &user,
        "cannot create resource",
        "create and patch",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(
        stage
            .api::<ConfigMap>()
            .get_opt("images")
            .await
            .unwrap()
            .is_none()
    );

    let_write(&stage, "tenant").await;
    stage.ready("demo", "True", "Succeeded").await;
    let delivered = data(&stage, "images", |data| data.len() == 4).await;

    // The spec's own account takes precedence, and existing data is not touched without its rights.
    spec["serviceAccountName"] = json!("other");
    spec["delivery"]["configMap"]["prefix"] = json!("next");
    stage.apply("demo", &spec).await;
    let refused = stage.ready("demo", "False", "WriteFailed").await;
    let message = &condition(&refused, "Ready").unwrap().message;
    assert!(
        message.contains("the service account other lacks a permission") && message.contains("cannot patch"),
        "{message}"
    );
    assert_eq!(data(&stage, "images", |_| true).await, delivered);
    let_write(&stage, "other").await;
    stage.ready("demo", "True", "Succeeded").await;
    data(&stage, "images", |data| data.contains_key("next_tag")).await;
}
