//! Several controllers, each with a shard of the objects (`--watch-label-selector`).

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use patchset::ops::leader::lease_name;
use patchset_api::{PatchSet, PatchSetStatus};
use serde_json::{Value, json};

use super::jobs::{jobs, next_job, scene};

use super::{Controller, GOOD, Stage, inline};
use crate::support::git_server::GitServer;
use crate::support::registry::Registry;

const KEY: &str = "sharding.fluxcd.io/key";
const SHARDS: [&str; 3] = ["one", "two", "three"];
/// How many objects each shard has.
const EACH: u64 = 12;

fn selector(shard: &str) -> String {
    format!("{KEY}={shard}")
}

/// The options of a shard's controller.
fn options(shard: &str) -> [String; 2] {
    let selector = format!("--watch-label-selector={}", selector(shard));
    [selector, "--enable-leader-election".to_owned()]
}

/// An option that prevents a second look at an upstream during a test.
const ONE_LOOK: &str = "--min-interval=1h";

fn as_texts(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

/// The same, with [`ONE_LOOK`].
fn with_one_look(options: &[String]) -> Vec<&str> {
    [as_texts(options), vec![ONE_LOOK]].concat()
}

/// Creates or changes an object of a shard.
async fn apply(stage: &Stage, name: &str, shard: &str, spec: &Value) {
    let object = json!({
        "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet", "spec": spec,
        "metadata": { "name": name, "labels": { KEY: shard } },
    });
    let parameters = PatchParams::apply("test").force();
    let api = stage.api::<PatchSet>();
    api.patch(name, &parameters, &Patch::Apply(&object))
        .await
        .unwrap();
}

async fn relabel(stage: &Stage, name: &str, shard: &str) {
    let label = json!({ "metadata": { "labels": { KEY: shard } } });
    let api = stage.api::<PatchSet>();
    api.patch(name, &PatchParams::default(), &Patch::Merge(&label))
        .await
        .unwrap();
}

async fn statuses(stage: &Stage) -> BTreeMap<String, Option<PatchSetStatus>> {
    let objects = stage
        .api::<PatchSet>()
        .list(&ListParams::default())
        .await
        .unwrap();
    let pairs = objects
        .into_iter()
        .map(|object| (object.name_any(), object.status));
    pairs.collect()
}

fn turns(controller: &Controller, outcome: &str) -> u64 {
    controller.reconciliations("PatchSet", outcome)
}

/// Waits until a controller has looked at its objects, including those that moved to it finished.
async fn settled(controller: &Controller, changed: u64, unchanged: u64) {
    controller.until_reconciled("PatchSet", "Changed", changed).await;
    controller
        .until_reconciled("PatchSet", "Unchanged", unchanged)
        .await;
    assert_eq!(turns(controller, "Changed"), changed, "work was done twice");
    assert_eq!(turns(controller, "Failed"), 0, "{}", controller.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_object_is_one_controllers_and_one_that_moves_is_neither_lost_nor_done_twice() {
    let [first, second, third] = SHARDS.map(options);
    let stage = Stage::with("shards", &with_one_look(&first), GitServer::http).await;
    let second = stage.another_controller(&with_one_look(&second)).await;
    let third = stage.another_controller(&with_one_look(&third)).await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["interval"] = json!("1h");
    let named = |shard: &str| (0..EACH).map(|n| format!("{shard}-{n}")).collect::<Vec<_>>();
    for shard in SHARDS {
        for name in named(shard) {
            apply(&stage, &name, shard, &spec).await;
        }
    }
    for name in SHARDS.map(named).concat() {
        stage.ready(&name, "True", "Succeeded").await;
        assert_eq!(stage.events(&name).await, [], "{name} is told");
    }
    for controller in [&stage.controller, &second, &third] {
        settled(controller, EACH, 0).await;
    }
    // All lead, each its own shard.
    for shard in SHARDS {
        let lease = lease_name(Some(&selector(shard)));
        stage.api::<Lease>().get(&lease).await.unwrap();
    }

    let (before, of_first) = (statuses(&stage).await, turns(&stage.controller, ""));
    for name in named("one") {
        relabel(&stage, &name, "two").await;
    }
    settled(&second, EACH, EACH).await;
    assert_eq!(statuses(&stage).await, before, "a move is no news");

    // One that moves and changes at once, and all those that are moved by a push.
    spec["patches"] = inline(&[("0002-five.patch", GOOD)]);
    apply(&stage, "two-0", "three", &spec).await;
    stage
        .wait("two-0", "of its new spec", |object| {
            let status = object.status.as_ref().unwrap();
            status.patches[0].name == "0002-five.patch"
        })
        .await;
    stage.upstream.commit(&[("other.txt", "new\n")], "move");
    let commit = stage.upstream.git(&["rev-parse", "main"]);
    for name in named("one") {
        stage
            .annotate(&name, "reconcile.fluxcd.io/requestedAt", "now")
            .await;
    }
    for name in named("one") {
        stage
            .wait(&name, "at the new commit", |object| {
                let upstream = object.status.as_ref().unwrap().upstream.as_ref().unwrap();
                upstream.commit.as_str() == commit
            })
            .await;
    }
    settled(&third, EACH + 1, 0).await;
    assert_eq!(turns(&second, "Changed"), 2 * EACH);
    assert_eq!(
        turns(&stage.controller, ""),
        of_first,
        "who has no objects has nothing to do"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_under_way_moves_with_its_object() {
    let registry = Registry::open();
    let [first, second, _] = SHARDS.map(options);
    let (stage, mut spec) = scene("shard-build", &registry, &as_texts(&first)).await;
    let plain_http = format!("--plain-http-registry={}", registry.host);
    let second = [as_texts(&second), vec![plain_http.as_str()]].concat();
    let second = stage.another_controller(&second).await;
    spec["interval"] = json!("1s");
    apply(&stage, "demo", "one", &spec).await;
    let job = next_job(&stage, &[]).await;
    stage.ready("demo", "Unknown", "Building").await;
    let attempt = |statuses: &BTreeMap<String, Option<PatchSetStatus>>| {
        let status = statuses["demo"].clone().unwrap();
        status.build.unwrap().attempt.unwrap()
    };
    let before = attempt(&statuses(&stage).await);
    relabel(&stage, "demo", "two").await;
    second.until_reconciled("PatchSet", "", 3).await;
    let names: Vec<String> = jobs(&stage).await.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, [job]);
    assert_eq!(attempt(&statuses(&stage).await), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_has_to_be_in_the_same_shard_and_that_is_said() {
    let registry = Registry::open();
    let (stage, mut spec) = scene("shard-names", &registry, &as_texts(&options("one"))).await;
    spec["libraries"] = json!([{ "name": "lib" }]);
    let mut library = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    library["level"] = json!("Library");
    apply(&stage, "lib", "two", &library).await;
    apply(&stage, "demo", "one", &spec).await;
    let demo = stage.ready("demo", "False", "ReferenceNotFound").await;
    let message = &super::condition(&demo, "Ready").unwrap().message;
    assert!(
        message.contains("(sharding.fluxcd.io/key=one): it has to be in the same shard"),
        "{message}"
    );
    relabel(&stage, "lib", "one").await;
    stage
        .wait("demo", "past the name", |object| {
            super::shown(object, "Ready") != "False/ReferenceNotFound"
        })
        .await;
}
