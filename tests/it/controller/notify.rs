//! Events for Flux's notification controller, posted to a test endpoint and read by Flux's own
//! type.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use patchset_api::{ConstraintOverride, PatchSet};
use serde_json::{Value, json};

use super::{Controller, GOOD, Stage, condition, get, inline};
use crate::support::events::{EventServer, Reply};
use crate::support::git_server::{GitServer, free_port};

async fn stage(name: &str, server: &EventServer) -> Stage {
    let option = format!("--events-addr={}", server.address);
    Stage::with(name, &[&option], GitServer::http).await
}

fn is(reason: &str, name: &str) -> impl Fn(&Value) -> bool {
    move |event| event["reason"] == reason && event["involvedObject"]["name"] == name
}

/// The controller's count of events with an outcome.
async fn notifications(controller: &Controller, outcome: &str) -> u64 {
    let address = controller.metrics.clone();
    let (_, text) = tokio::task::spawn_blocking(move || get(&address, "/metrics"))
        .await
        .unwrap();
    let start = format!("patchset_notifications_total{{outcome=\"{outcome}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap().parse().unwrap()
}

async fn until_counted(controller: &Controller, outcome: &str, wanted: u64) {
    let begun = Instant::now();
    while notifications(controller, outcome).await < wanted {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{outcome} stays below {wanted}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// All posted events, as JSON.
fn posted_events(server: &EventServer) -> Vec<Value> {
    server
        .posted()
        .iter()
        .map(|posted| serde_json::from_slice(&posted.body).unwrap())
        .collect()
}

/// Asserts that an event reports an object's success with all that Flux makes use of.
fn assert_tells_success(stage: &Stage, read: &Value, object: &PatchSet) {
    let status = object.status.as_ref().unwrap();
    let revision = &status.upstream.as_ref().unwrap().revision;
    let of_patches = status.patches_revision.as_ref().unwrap();
    let mut event = read["event"].clone();
    let told = |event: &Value, name: &str| event["metadata"][name].clone();
    assert_eq!(told(&event, "revision"), json!(revision));
    assert_eq!(told(&event, "originRevision"), json!(of_patches));
    assert_eq!(told(&event, "component"), "demo");
    assert_eq!(told(&event, "release"), "2025.2");
    assert_eq!(told(&event, "patches"), "1/1");
    // The commit status goes to the repository that the team owns.
    assert_eq!(read["commitStatusRevision"], json!(of_patches));
    event.as_object_mut().unwrap().remove("metadata");
    assert_eq!(
        event["involvedObject"],
        json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet", "name": "demo",
            "namespace": stage.namespace, "uid": object.uid().unwrap(),
            "resourceVersion": object.resource_version().unwrap(),
        })
    );
    assert_eq!(event["severity"], "info");
    assert_eq!(
        event["message"],
        json!(condition(object, "Ready").unwrap().message)
    );
    assert_eq!(event["reportingController"], "patchset-controller");
}

/// Asserts that everything was posted as Flux accepts it: to the root, without a login, and with
/// metadata of this group.
fn assert_posted_as_flux_takes_it(server: &EventServer) {
    for posted in server.posted() {
        assert_eq!((posted.method.as_str(), posted.uri.path()), ("POST", "/"));
        assert_eq!(posted.headers["content-type"], "application/json");
        assert!(!posted.headers.contains_key("authorization"));
        let raw: Value = serde_json::from_slice(&posted.body).unwrap();
        let keys = raw["metadata"].as_object().unwrap();
        assert!(
            keys.keys().all(|key| key.starts_with("patching.c5c3.io/")),
            "{keys:?}"
        );
    }
}

/// Asserts that Flux and Kubernetes got the same events, each once, except that a good first
/// verdict goes to Flux alone.
async fn assert_kubernetes_is_told_the_same(stage: &Stage, server: &EventServer) {
    let mut posted: Vec<(String, String)> = posted_events(server)
        .iter()
        .map(|event| {
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            (text("reason"), text("message"))
        })
        .collect();
    assert_eq!(posted.remove(0).0, "Succeeded");
    let mut written = stage.events_once("demo", posted.len()).await;
    posted.sort();
    written.sort();
    assert_eq!(posted, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_what_flux_reads() {
    let server = EventServer::start(&[]).await;
    let stage = stage("notify", &server).await;
    let patches = crate::support::git_repo::GitRepo::create(stage.root.path(), "patches");
    patches.commit(&[("demo/0001-five.patch", GOOD)], "a patch");
    let begun = Timestamp::now().as_second();
    let mut spec = stage.spec_with(&json!({ "git": {
        "url": stage.server.url("patches"), "ref": { "branch": "main" }, "path": "demo"
    } }));
    stage.apply("demo", &spec).await;
    let object = stage.ready("demo", "True", "Succeeded").await;
    let read = server.event("of success", is("Succeeded", "demo")).await;
    let of_patches = object.status.as_ref().unwrap().patches_revision.as_ref();
    assert_eq!(
        *of_patches.unwrap(),
        format!("main@sha1:{}", patches.git(&["rev-parse", "main"]))
    );
    assert_tells_success(&stage, &read, &object);
    let at = read["unix"].as_i64().unwrap();
    assert!((begun..=Timestamp::now().as_second()).contains(&at), "{at}");
    assert_posted_as_flux_takes_it(&server);

    // A patch that conflicts is an error, at the commit that introduced it; Flux's annotations for
    // events are included.
    stage
        .annotate("demo", "event.toolkit.fluxcd.io/env", "production")
        .await;
    let broken = GOOD.replace("-five", "-fünf");
    patches.commit(&[("demo/0001-five.patch", &broken)], "break it");
    let read = server.event("of a conflict", is("PatchConflict", "demo")).await;
    assert_eq!(read["event"]["severity"], "error");
    let commit = patches.git(&["rev-parse", "main"]);
    assert_eq!(read["commitStatusRevision"], json!(format!("main@sha1:{commit}")));
    let raw = posted_events(&server);
    let conflict = raw
        .iter()
        .find(|event| event["reason"] == "PatchConflict")
        .unwrap();
    assert_eq!(conflict["metadata"]["event.toolkit.fluxcd.io/env"], "production");

    // The events equal those of Kubernetes.
    spec["patches"] = Value::Null;
    stage.apply("demo", &spec).await;
    server
        .event("of no patches", |event| {
            event["message"]
                .as_str()
                .unwrap()
                .contains("no patches are carried")
        })
        .await;
    assert_kubernetes_is_told_the_same(&stage, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overrides_are_told_too() {
    let server = EventServer::start(&[]).await;
    let stage = stage("notify-overrides", &server).await;
    let spec = json!({
        "release": "2025.2", "upperConstraints": { "inline": "a===2\n" }, "overrides": { "inline": "a===1\n" }
    });
    let object: ConstraintOverride = stage.try_apply_kind("co", &spec).await.unwrap();
    let read = server.event("of overrides", is("NeedsAttention", "co")).await;
    let event = &read["event"];
    assert_eq!(event["severity"], "error");
    assert_eq!(event["involvedObject"]["kind"], "ConstraintOverride");
    assert_eq!(event["involvedObject"]["uid"], json!(object.meta().uid));
    assert_eq!(event["metadata"]["release"], "2025.2");
    assert_eq!(event["metadata"].get("originRevision"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_is_asked_again_and_holds_nothing_up() {
    use Reply::{After, Status};
    let slow = After(Duration::from_secs(20));
    let server = EventServer::start(&[Status(500), Status(503), slow]).await;
    server.refuse(503);
    let stage = stage("notify-faults", &server).await;
    stage
        .apply("one", &stage.spec_with(&inline(&[("1.patch", GOOD)])))
        .await;
    stage.ready("one", "True", "Succeeded").await;
    stage.apply("two", &stage.spec()).await;
    stage.ready("two", "True", "Succeeded").await;
    stage.apply("three", &stage.spec()).await;
    stage.ready("three", "True", "Succeeded").await;
    // All three are ready while the first event is still being posted. It is taken now; the second
    // is known already, and the third is refused.
    server.answer(&[Status(202), Status(429), Status(400)]);
    server
        .event("that was posted again", is("Succeeded", "one"))
        .await;
    until_counted(&stage.controller, "Dropped", 1).await;
    assert_eq!(notifications(&stage.controller, "Delivered").await, 1);
    assert_eq!(notifications(&stage.controller, "Duplicate").await, 1);
    let posted = server.posted();
    let taken = posted.iter().position(|posted| posted.taken).unwrap();
    assert!(taken >= 3, "{posted:#?}");
    assert_eq!(posted.len(), taken + 3, "{posted:#?}");
    assert!(
        posted[1..=taken].iter().all(|again| again.body == posted[0].body),
        "it changed on the way"
    );
    assert!(
        posted[1].at - posted[0].at > Duration::from_millis(900),
        "no wait"
    );
    assert!(
        posted[3].at - posted[2].at > Duration::from_secs(5),
        "no patience"
    );
    let log = stage.controller.log();
    let complaints = log.matches("did not reach the notification controller").count();
    assert_eq!(complaints, 1, "{log}");
    assert!(log.contains("it answered 400 Bad Request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_server_is_no_fault_of_an_object() {
    let option = format!("--events-addr=http://127.0.0.1:{}/", free_port());
    let stage = Stage::with("notify-absent", &[&option], GitServer::http).await;
    stage.apply("demo", &stage.spec()).await;
    let object: PatchSet = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(stage.events("demo").await, []);
    stage.looks(3).await;
    let later = stage.api::<PatchSet>().get("demo").await.unwrap();
    assert_eq!(later.resource_version(), object.resource_version());
}

#[test]
fn an_address_with_credentials_is_refused_and_not_repeated() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_patchset"))
        .args(["controller", "--events-addr=http://ann:hidden@127.0.0.1/"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("credentials do not belong in an address"), "{text}");
}
