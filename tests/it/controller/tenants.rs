//! What a tenant can do that must not affect another one: what it nests, how long it takes, what it
//! leaves behind.

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use http::Request;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use patchset_api::PatchSet;
use serde_json::{Value, json};

use super::{Controller, GOOD, PATIENCE, Stage, condition, get, inline};
use crate::support::api_server::ApiServer;
use crate::support::git_server::{Fault, GitServer};
use crate::support::relay::Relay;

/// Nested JSON objects.
fn nested(name: &str, levels: usize) -> String {
    format!("{{\"{name}\":").repeat(levels) + "{}" + &"}".repeat(levels)
}

/// Creates an object from JSON that is too deep for a client to read back.
async fn create(server: &ApiServer, path: &str, body: String) {
    let request = Request::post(path)
        .header("Content-Type", "application/json")
        .body(body.into_bytes().into())
        .unwrap();
    let answer = server.client().send(request).await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
}

/// Whether what the API server has of an object is nested deeper than parsers go.
async fn is_too_deep(server: &ApiServer, path: &str) -> bool {
    let request = Request::get(path).body(Vec::new()).unwrap();
    let text = server.client().request_text(request).await.unwrap();
    serde_json::from_str::<Value>(&text).is_err()
}

/// A Secret whose `managedFields` are nested 200 levels deep.
async fn deep_secret(server: &ApiServer, namespace: &str, name: &str) {
    let path = format!("/api/v1/namespaces/{namespace}/secrets");
    let body = format!(
        r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"{name}","managedFields":[{{"manager":"m",
        "operation":"Apply","apiVersion":"v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1",
        "fieldsV1":{{"f:data":{}}}}}]}},"data":{{}}}}"#,
        nested("f:a", 200)
    );
    create(server, &path, body).await;
    assert!(
        is_too_deep(server, &format!("{path}/{name}")).await,
        "the API server took the depth out"
    );
}

/// Removes the bounds from a CRD, as it was before it had them.
pub fn without_bounds(definition: &mut CustomResourceDefinition) {
    let schema = definition.spec.versions[0].schema.as_mut().unwrap();
    let mut value = serde_json::to_value(&*schema).unwrap();
    let anything = json!({ "x-kubernetes-preserve-unknown-fields": true });
    let spec = "/openAPIV3Schema/properties/spec/properties";
    for at in ["/build/properties/job/properties/podTemplate", "/level"] {
        if let Some(found) = value.pointer_mut(&format!("{spec}{at}")) {
            *found = anything.clone();
        }
    }
    // Rules may name fields that have no schema after this.
    remove_rules(&mut value);
    *schema = serde_json::from_value(value).unwrap();
}

fn remove_rules(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.remove("x-kubernetes-validations");
            members.values_mut().for_each(remove_rules);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_rules),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_nested_too_deep_or_unreadable_stops_nobody_and_is_told() {
    const PASSWORD: &str = "r1ght-pa55word-of-another";
    let server = ApiServer::separate().await;
    server.crds_changed(without_bounds).await;
    let hostile = server.namespace("hostile").await;
    deep_secret(&server, &hostile, "deep").await;
    let patch_sets = format!("/apis/patching.c5c3.io/v1alpha1/namespaces/{hostile}/patchsets");
    let body = format!(
        r#"{{"apiVersion":"patching.c5c3.io/v1alpha1","kind":"PatchSet","metadata":{{"name":"deep"}},"spec":{{
        "component":"demo","release":"2025.2","upstream":{{"url":"https://127.0.0.1:1/none","ref":{{"branch":"main"}}}},
        "build":{{"engine":"Job","repository":"127.0.0.1:1/a","tag":"b","source":{{"repository":"127.0.0.1:1/s"}},
        "job":{{"podTemplate":{{"spec":{}}}}}}}}}}}"#,
        nested("a", 200)
    );
    create(&server, &patch_sets, body).await;
    assert!(is_too_deep(&server, &format!("{patch_sets}/deep")).await);
    let odd = json!({
        "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet", "metadata": { "name": "odd" },
        "spec": { "component": "demo", "release": "2025.2", "level": { "no": "level" },
            "upstream": { "url": "https://127.0.0.1:1/none", "ref": { "branch": "main" } } }
    });
    create(&server, &patch_sets, odd.to_string()).await;

    let options = ["--watch-all-namespaces=true", "--log-level=trace"];
    let stage = Stage::on(&server, "honest", &options, |root| {
        GitServer::http(root).basic("ann", PASSWORD)
    })
    .await;
    stage
        .secret("login", &[("username", "ann"), ("password", PASSWORD)])
        .await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["upstream"]["secretRef"] = json!({ "name": "login" });
    stage.apply("honest", &spec).await;
    stage.ready("honest", "True", "Succeeded").await;

    // The same while the watches run.
    deep_secret(&server, &hostile, "deeper").await;
    stage
        .secret("login", &[("username", "ann"), ("password", "none")])
        .await;
    stage.ready("honest", "False", "AuthenticationFailed").await;
    stage
        .secret("login", &[("username", "ann"), ("password", PASSWORD)])
        .await;
    stage.ready("honest", "True", "Succeeded").await;

    // Content that cannot be read is reported on its object.
    let end = Instant::now() + PATIENCE;
    loop {
        let request = Request::get(format!("{patch_sets}/odd"))
            .body(Vec::new())
            .unwrap();
        let object: Value = server.client().request(request).await.unwrap();
        let conditions = object.pointer("/status/conditions").cloned().unwrap_or_default();
        let is_told = |one: &Value| one["type"] == "Ready" && one["reason"] == "Unreadable";
        if conditions.as_array().is_some_and(|all| all.iter().any(is_told)) {
            break;
        }
        assert!(Instant::now() < end, "{object}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (health, metrics) = (stage.controller.health.clone(), stage.controller.metrics.clone());
    let answers =
        tokio::task::spawn_blocking(move || (get(&health, "/readyz").0, get(&metrics, "/metrics").1));
    let (ready, metrics) = answers.await.unwrap();
    assert_eq!(ready, 200);
    assert!(
        metrics.contains("patchset_objects_unreadable{kind=\"PatchSet\"} 1"),
        "{metrics}"
    );
    assert!(
        !metrics.contains("patchset_api_values_left_out_total 0"),
        "the deep PatchSet was not noticed"
    );
    let log = stage.controller.log();
    assert!(log.contains("TRACE"), "the log has all levels");
    let encoded = base64::engine::general_purpose::STANDARD.encode(PASSWORD);
    for secret in [PASSWORD, encoded.as_str()] {
        assert!(!log.contains(secret), "a Secret is in the log");
    }
}

/// Options for a controller of one test's namespaces, whose objects have a label.
const ONE_TEST: [&str; 2] = [
    "--watch-all-namespaces=true",
    "--watch-label-selector=patching.c5c3.io/test=places",
];

/// Applies a `PatchSet` with that label in any namespace.
async fn apply_labelled(stage: &Stage, namespace: &str, name: &str, spec: &Value) -> Api<PatchSet> {
    let api: Api<PatchSet> = Api::namespaced(stage.client.clone(), namespace);
    let object = json!({
        "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet",
        "metadata": { "name": name, "labels": { "patching.c5c3.io/test": "places" } }, "spec": spec
    });
    let parameters = PatchParams::apply("test").force();
    api.patch(name, &parameters, &Patch::Apply(&object))
        .await
        .unwrap();
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_takes_all_it_can_leaves_a_place_and_does_not_keep_the_process() {
    let mut stage = Stage::with("places", &ONE_TEST, GitServer::http).await;
    let hostile = ApiServer::get().await.namespace("places-hostile").await;
    let slow = GitServer::http(stage.root.path()).start();
    slow.fail(Fault::StallPack(20));
    let mut spec = stage.spec();
    spec["upstream"]["url"] = json!(slow.url("upstream"));
    spec["timeout"] = json!("8000h");
    for number in 0..8 {
        apply_labelled(&stage, &hostile, &format!("slow-{number}"), &spec).await;
    }
    let end = Instant::now() + PATIENCE;
    while slow.packs() == 0 {
        assert!(Instant::now() < end, "nobody fetched from the slow server");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    for name in ["quick", "quicker"] {
        apply_labelled(&stage, &stage.namespace, name, &spec).await;
        stage.ready(name, "True", "Succeeded").await;
    }

    let pid = stage.controller.pid().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    // The promise is 10 s; the rest is for a busy machine.
    ended(&mut stage.controller, Duration::from_secs(30)).await;
}

/// Waits until the process is gone.
async fn ended(controller: &mut Controller, within: Duration) {
    let began = Instant::now();
    while controller.child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < within, "it is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_reach_the_api_server_leaves() {
    let server = ApiServer::get().await;
    server.crds().await;
    let namespace = server.namespace("cut-leader").await;
    let relay = Relay::start(server.address());
    let options = ["--enable-leader-election"];
    let mut controller = Controller::start_by(server, &namespace, &options, Some(relay.address));
    let end = Instant::now() + PATIENCE;
    while !controller.log().contains("\"watching\"") {
        assert!(Instant::now() < end, "it does not lead");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    relay.cut();
    // It promises to be gone 10 s after its last renewal; another one may start after 15.
    ended(&mut controller, Duration::from_secs(15)).await;
    assert!(controller.log().contains("could not be renewed in time"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_at_the_start_is_waited_for() {
    let server = ApiServer::get().await;
    server.crds().await;
    let namespace = server.namespace("away").await;
    let relay = Relay::start(server.address());
    relay.cut();
    let controller = Controller::start_by(server, &namespace, &[], Some(relay.address));
    let end = Instant::now() + PATIENCE;
    for told in ["does not answer yet", "\"watching\""] {
        while !controller.log().contains(told) {
            assert!(Instant::now() < end, "{}", controller.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        relay.mend();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_beyond_the_bound_is_cut_and_told() {
    let stage = Stage::with("cut", &["--max-timeout=3s"], GitServer::http).await;
    stage.server.fail(Fault::StallPack(20));
    let mut spec = stage.spec();
    spec["timeout"] = json!("8000h");
    stage.apply("cut", &spec).await;
    let object = stage.ready("cut", "False", "TimedOut").await;
    let message = &condition(&object, "Ready").unwrap().message;
    assert!(
        message.contains("--max-timeout") && message.contains("8000h"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_below_the_bound_is_lengthened() {
    let stage = Stage::with("often", &["--min-interval=3s"], GitServer::http).await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["interval"] = json!("1ms");
    stage.apply("often", &spec).await;
    stage.ready("often", "True", "Succeeded").await;
    let begun = Instant::now();
    stage.looks(2).await;
    // The look that follows the status's own change comes at once.
    let waited = begun.elapsed();
    assert!(waited > Duration::from_secs(5), "three looks within {waited:?}");
}

/// The value of a metric without labels.
async fn metric(stage: &Stage, name: &str) -> Option<String> {
    let address = stage.controller.metrics.clone();
    let text = tokio::task::spawn_blocking(move || get(&address, "/metrics").1)
        .await
        .unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")))?;
    line.rsplit(' ').next().map(ToOwned::to_owned)
}

async fn wait_for_metric(stage: &Stage, name: &str, expected: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = metric(stage, name).await;
        if found.as_deref() == Some(expected) {
            return;
        }
        assert!(Instant::now() < end, "{name} is {found:?}, not {expected}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_of_secrets_go_with_the_object_that_named_them() {
    let stage = Stage::with("contents", &[], |root| GitServer::http(root).basic("ann", "pw")).await;
    stage
        .secret("login", &[("username", "ann"), ("password", "pw")])
        .await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["upstream"]["secretRef"] = json!({ "name": "login" });
    stage.apply("contents", &spec).await;
    stage.ready("contents", "True", "Succeeded").await;
    wait_for_metric(&stage, "patchset_contents", "1").await;
    stage
        .api::<PatchSet>()
        .delete("contents", &DeleteParams::default())
        .await
        .unwrap();
    wait_for_metric(&stage, "patchset_contents", "0").await;
    assert!(stage.api::<Secret>().get_opt("login").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_watches() {
    let server = ApiServer::get().await;
    server.crds().await;
    let namespace = server.namespace("watched").await;
    let relay = Relay::start(server.address());
    let controller = Controller::start_by(server, &namespace, &[], Some(relay.address));
    let wait_for = |status: u16| {
        let health = controller.health.clone();
        tokio::task::spawn_blocking(move || {
            let end = Instant::now() + PATIENCE * 2;
            loop {
                let answer = reqwest::blocking::get(format!("http://{health}/readyz"));
                let found = answer.map(|answer| answer.status().as_u16()).unwrap_or_default();
                if found == status {
                    return;
                }
                assert!(Instant::now() < end, "/readyz says {found}, not {status}");
                std::thread::sleep(Duration::from_millis(200));
            }
        })
    };
    wait_for(200).await.unwrap();
    relay.cut();
    wait_for(503).await.unwrap();
    relay.mend();
    wait_for(200).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_conditions_hold_nothing_that_a_terminal_obeys() {
    let stage = Stage::new("terminal").await;
    // Git escapes such a name, and means the characters.
    let patch = GOOD
        .replace("a/file.txt", "\"a/\\033]0;owned\\007.txt\"")
        .replace("b/file.txt", "\"b/\\033]0;owned\\007.txt\"");
    let spec = stage.spec_with(&inline(&[("0001-five.patch", &patch)]));
    stage.apply("terminal", &spec).await;
    let object = stage.ready("terminal", "False", "PatchConflict").await;
    let message = condition(&object, "Ready").unwrap().message.clone();
    let events = stage.events_once("terminal", 1).await;
    let notes = events.into_iter().map(|(_, note)| note);
    for text in notes.chain([message]) {
        assert!(text.contains("]0;owned"), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
    }
}
