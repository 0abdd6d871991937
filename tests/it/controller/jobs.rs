//! Jobs as objects: nothing here runs them.

use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use patchset_api::PatchSet;
use rstest::rstest;
use serde_json::{Value, json};

use super::{PATIENCE, Stage, build, condition, shown};
use crate::support::api_server::ApiServer;
use crate::support::git_server::GitServer;
use crate::support::registry::Registry;

/// A stage, and a spec whose image a Job builds.
pub async fn scene(name: &str, registry: &Registry, options: &[&str]) -> (Stage, Value) {
    let plain_http = format!("--plain-http-registry={}", registry.host);
    let options = [&[plain_http.as_str()], options].concat();
    let stage = Stage::with(name, &options, GitServer::http).await;
    let mut spec = build::spec(&stage, registry);
    spec["build"]["engine"] = json!("Job");
    spec["build"]["dockerfile"] = json!({ "inline": "FROM scratch\n" });
    (stage, spec)
}

/// A Job with the controller's labels, forged as one of a `PatchSet` with this name and uid.
async fn forge(stage: &Stage, name: &str, owner: Option<(&str, &str)>) {
    let owners: Vec<Value> = owner
        .into_iter()
        .map(|(name, uid)| {
            json!({ "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet", "name": name, "uid": uid,
                "controller": true })
        })
        .collect();
    let uid = owner.map_or("0", |(_, uid)| uid);
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": name, "ownerReferences": owners, "labels": {
            "app.kubernetes.io/managed-by": "patchset-controller", "patching.c5c3.io/patchset-uid": uid,
        } },
        "spec": { "template": { "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "build", "image": "none" }],
        } } },
    });
    let job: Job = serde_json::from_value(job).unwrap();
    stage
        .api::<Job>()
        .create(&PostParams::default(), &job)
        .await
        .unwrap();
}

pub async fn jobs(stage: &Stage) -> Vec<Job> {
    stage
        .api::<Job>()
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
}

/// Waits for a Job other than these, and returns its name.
pub async fn next_job(stage: &Stage, known: &[String]) -> String {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let jobs = stage.api::<Job>().list(&ListParams::default()).await.unwrap();
        let names = jobs.iter().map(ResourceExt::name_any);
        if let Some(name) = names.into_iter().find(|name| !known.contains(name)) {
            return name;
        }
        assert!(std::time::Instant::now() < end, "no Job but {known:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_gone_takes_no_place() {
    let registry = Registry::open();
    let (stage, mut spec) = scene("places", &registry, &["--max-builds-per-namespace=1"]).await;
    let mut known = Vec::new();
    for round in 0..3 {
        spec["build"]["args"] = json!({ "ROUND": round.to_string() });
        stage.apply("demo", &spec).await;
        let job = next_job(&stage, &known).await;
        // As when it is finished and its TTL has passed.
        stage
            .api::<Job>()
            .delete(&job, &DeleteParams::background())
            .await
            .unwrap();
        known.push(job);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_nobody_take_no_place() {
    let registry = Registry::open();
    let (stage, spec) = scene(
        "foreign",
        &registry,
        &["--max-builds=2", "--max-builds-per-namespace=2"],
    )
    .await;
    forge(&stage, "without-owner", None).await;
    forge(
        &stage,
        "of-nobody",
        Some(("gone", "11111111-2222-3333-4444-555555555555")),
    )
    .await;
    // The name of an existing owner, with the uid of none.
    forge(
        &stage,
        "of-another",
        Some(("demo", "11111111-2222-3333-4444-555555555555")),
    )
    .await;
    stage.apply("demo", &spec).await;
    let known = ["without-owner", "of-nobody", "of-another"].map(ToOwned::to_owned);
    let job = next_job(&stage, &known).await;
    stage.ready("demo", "Unknown", "Building").await;
    // What is not ours is not touched either.
    let mut spec = spec;
    spec["build"]["args"]["GREETING"] = json!("other");
    stage.apply("demo", &spec).await;
    next_job(&stage, &[&known[..], &[job]].concat()).await;
    let left: Vec<String> = jobs(&stage).await.iter().map(ResourceExt::name_any).collect();
    assert!(known.iter().all(|name| left.contains(name)), "{left:?}");
}

/// A namespace that asks for as many builds as it can leaves slots for another one that comes
/// later.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_never_has_all_places() {
    let registry = Registry::open();
    let label = "sharding.fluxcd.io/key=fair";
    let selector = format!("--watch-label-selector={label}");
    let options = ["--watch-all-namespaces=true", &selector, "--max-builds=4"];
    let (stage, spec) = scene("greedy", &registry, &options).await;
    let honest = ApiServer::get().await.namespace("honest").await;
    let apply = async |namespace: &str, name: &str| {
        let mut spec = spec.clone();
        spec["build"]["args"]["NAME"] = json!(name);
        let object = json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet", "spec": spec,
            "metadata": { "name": name, "labels": { "sharding.fluxcd.io/key": "fair" } },
        });
        let api: Api<PatchSet> = Api::namespaced(stage.client.clone(), namespace);
        api.patch(name, &PatchParams::apply("test"), &Patch::Apply(&object))
            .await
            .unwrap();
    };
    let greedy = ["a", "b", "c", "d", "e", "f"];
    for name in greedy {
        apply(&stage.namespace, name).await;
    }
    let mut queued = 0;
    for name in greedy {
        let object = stage
            .wait(name, "begun or queued", |object| {
                ["Building", "BuildQueued"]
                    .iter()
                    .any(|reason| condition(object, "Ready").is_some_and(|ready| ready.reason == *reason))
            })
            .await;
        queued += usize::from(shown(&object, "Ready") == "Unknown/BuildQueued");
    }
    assert_eq!(queued, 4, "half of the places is the share of a namespace");
    for name in ["g", "h"] {
        apply(&honest, name).await;
    }
    let theirs: Api<Job> = Api::namespaced(stage.client.clone(), &honest);
    let end = std::time::Instant::now() + PATIENCE;
    while theirs.list(&ListParams::default()).await.unwrap().items.len() < 2 {
        assert!(
            std::time::Instant::now() < end,
            "the other namespace gets no place"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(jobs(&stage).await.len(), 2);
}

/// Waiting builds are looked at when their turn comes, and not whenever something happens to some
/// Job.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_waits_is_woken_when_its_turn_comes() {
    let registry = Registry::open();
    let (stage, mut spec) = scene("woken", &registry, &["--max-builds=1"]).await;
    spec["interval"] = json!("1h");
    stage.apply("first", &spec).await;
    let first = next_job(&stage, &[]).await;
    let waiting = ["a", "b", "c", "d", "e", "f"];
    for name in waiting {
        spec["build"]["args"]["NAME"] = json!(name);
        stage.apply(name, &spec).await;
        stage.ready(name, "Unknown", "BuildQueued").await;
    }
    let before = stage.controller.reconciliations("PatchSet", "");
    forge(
        &stage,
        "noise",
        Some(("gone", "11111111-2222-3333-4444-555555555555")),
    )
    .await;
    let api = stage.api::<Job>();
    for number in 0..30 {
        let patch = json!({ "metadata": { "annotations": { "number": number.to_string() } } });
        api.patch("noise", &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }
    for gone in ["noise", &first] {
        api.delete(gone, &DeleteParams::background()).await.unwrap();
    }
    // Its turn comes before that of later ones.
    let next = next_job(&stage, &[first, "noise".to_owned()]).await;
    assert!(next.starts_with("first-") || next.starts_with("a-"), "{next}");
    let after = stage.controller.reconciliations("PatchSet", "");
    assert!(after - before < 20, "{before} reconciliations, then {after}");
}

#[rstest]
#[case(json!({ "spec": { "hostPID": true } }), "spec.hostPID")]
#[case(json!({ "spec": { "hostNetwork": true } }), "spec.hostNetwork")]
#[case(json!({ "spec": { "serviceAccountName": "admin" } }), "set build.job.serviceAccountName")]
#[case(json!({ "spec": { "automountServiceAccountToken": null } }), "spec.automountServiceAccountToken")]
#[case(json!({ "spec": { "automountServiceAccountToken": true } }), "spec.automountServiceAccountToken")]
#[case(json!({ "spec": { "volumes": [{ "name": "host", "hostPath": { "path": "/" } }] } }), "spec.volumes[0].hostPath")]
#[case(json!({ "spec": { "volumes": [{ "name": "s", "secret": { "secretName": "any" } }] } }), "spec.volumes[0].secret")]
#[case(json!({ "spec": { "initContainers": [{ "name": "i", "image": "x" }] } }), "spec.initContainers")]
#[case(
    json!({ "spec": { "containers": [{ "name": "build", "securityContext": { "privileged": true } }] } }),
    "spec.containers[0].securityContext.privileged"
)]
#[case(
    json!({ "spec": { "containers": [{ "name": "build", "env": [{ "name": "A", "valueFrom": {
        "secretKeyRef": { "name": "any", "key": "a" } } }] }] } }),
    "spec.containers[0].env[0].valueFrom"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_template_gives_no_right(#[case] template: Value, #[case] field: &str) {
    let registry = Registry::open();
    let (stage, mut spec) = scene("template", &registry, &[]).await;
    spec["build"]["job"] = json!({ "podTemplate": template });
    stage.apply("demo", &spec).await;
    let refused = stage.ready("demo", "False", "AccessDenied").await;
    super::assert_well_formed(&refused);
    assert_eq!(shown(&refused, "Stalled"), "True/AccessDenied");
    let message = &condition(&refused, "Ready").unwrap().message;
    assert!(message.contains(field), "{message}");
    assert!(message.contains("--job-pod-template=Restricted"), "{message}");
    assert_eq!(jobs(&stage).await.len(), 0);
}

/// The templates of docs/operations.md, read from there.
fn documented_templates() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let templates: Vec<Value> = blocks
        .filter(|block| block.contains("podTemplate:"))
        .map(|block| serde_saphyr::from_str::<Value>(block).unwrap()["job"]["podTemplate"].clone())
        .collect();
    assert!(!templates.is_empty());
    templates
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_template_says_where_and_with_how_much_a_build_runs() {
    let registry = Registry::open();
    let (stage, mut spec) = scene("restricted", &registry, &[]).await;
    let template = json!({ "spec": {
        "nodeSelector": { "disk": "ssd" }, "priorityClassName": "low", "imagePullSecrets": [{ "name": "pull" }],
        "tolerations": [{ "key": "build", "operator": "Exists" }],
        "volumes": [{ "name": "state", "emptyDir": null, "persistentVolumeClaim": { "claimName": "cache" } }],
        "containers": [{ "name": "build", "resources": { "limits": { "memory": "4Gi", "cpu": 2 } } }],
    } });
    spec["build"]["job"] = json!({ "podTemplate": template, "serviceAccountName": "builder" });
    stage.apply("demo", &spec).await;
    let name = next_job(&stage, &[]).await;
    let job = stage.api::<Job>().get(&name).await.unwrap();
    let pod = job.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.service_account_name.as_deref(), Some("builder"));
    assert_eq!(pod.automount_service_account_token, Some(false));
    assert_eq!(pod.node_selector.unwrap()["disk"], "ssd");
    let volumes = pod.volumes.unwrap();
    let state = volumes.iter().find(|volume| volume.name == "state").unwrap();
    assert_eq!(
        state.persistent_volume_claim.as_ref().unwrap().claim_name,
        "cache"
    );
    assert!(state.empty_dir.is_none());
    let limits = pod.containers[0]
        .resources
        .as_ref()
        .unwrap()
        .limits
        .as_ref()
        .unwrap();
    assert_eq!(
        (limits["memory"].0.as_str(), limits["cpu"].0.as_str()),
        ("4Gi", "2")
    );

    // The manual's examples work, and remove what they set to null.
    let mut known = vec![name];
    for template in documented_templates() {
        spec["build"]["args"]["NAME"] = json!(known.len().to_string());
        spec["build"]["job"] = json!({ "podTemplate": template });
        stage.apply("demo", &spec).await;
        let name = next_job(&stage, &known).await;
        let job = stage.api::<Job>().get(&name).await.unwrap();
        let pod = job.spec.unwrap().template.spec.unwrap();
        assert_eq!(pod.host_users, Some(false));
        let context = pod.containers[0].security_context.clone().unwrap();
        assert_eq!(context.privileged, Some(true));
        assert!(context.seccomp_profile.is_none() && context.app_armor_profile.is_none());
        known.push(name);
    }
}

/// Both mount and make namespaces, which `AppArmor`'s and seccomp's default profiles forbid.
#[tokio::test(flavor = "multi_thread")]
async fn builders_run_without_profiles_unless_a_template_sets_them() {
    let registry = Registry::open();
    let (stage, mut spec) = scene("profiles", &registry, &[]).await;
    let own = json!({ "spec": { "containers": [{ "name": "build", "securityContext": {
        "seccompProfile": { "type": "RuntimeDefault" }, "appArmorProfile": null } }] } });
    let mut known = Vec::new();
    for (builder, template, expected) in [
        ("BuildKit", Value::Null, ["Unconfined", "Unconfined"]),
        ("Buildah", Value::Null, ["Unconfined", "Unconfined"]),
        ("Buildah", own, ["RuntimeDefault", ""]),
    ] {
        spec["build"]["args"]["NAME"] = json!(known.len().to_string());
        spec["build"]["job"] = json!({ "builder": builder });
        if !template.is_null() {
            spec["build"]["job"]["podTemplate"] = template;
        }
        stage.apply("demo", &spec).await;
        let name = next_job(&stage, &known).await;
        let job = stage.api::<Job>().get(&name).await.unwrap();
        let pod = job.spec.unwrap().template.spec.unwrap();
        let context = pod.containers[0].security_context.clone().unwrap();
        let seccomp = context.seccomp_profile.map(|profile| profile.type_);
        let app_armor = context.app_armor_profile.map(|profile| profile.type_);
        let profiles = [seccomp, app_armor].map(Option::unwrap_or_default);
        assert_eq!(profiles, expected, "{builder}");
        known.push(name);
    }
}

#[rstest]
#[case::all("--job-pod-template=Allowed", json!({ "spec": { "hostPID": true } }), "")]
#[case::nothing("--job-pod-template=Forbidden", json!({ "spec": { "nodeSelector": { "a": "b" } } }), "take it out")]
#[tokio::test(flavor = "multi_thread")]
async fn whoever_runs_the_controller_says_what_a_pod_template_may_hold(
    #[case] option: &str,
    #[case] template: Value,
    #[case] refusal: &str,
) {
    let registry = Registry::open();
    let (stage, mut spec) = scene("policy", &registry, &[option, "--default-service-account=tenant"]).await;
    spec["build"]["job"] = json!({ "podTemplate": template });
    stage.apply("demo", &spec).await;
    if refusal.is_empty() {
        let job = next_job(&stage, &[]).await;
        let job = stage.api::<Job>().get(&job).await.unwrap();
        let pod = job.spec.unwrap().template.spec.unwrap();
        assert_eq!(pod.host_pid, Some(true));
        assert_eq!(pod.service_account_name.as_deref(), Some("tenant"));
    } else {
        let refused = stage.ready("demo", "False", "AccessDenied").await;
        let message = &condition(&refused, "Ready").unwrap().message;
        assert!(message.contains(refusal), "{message}");
        assert_eq!(jobs(&stage).await.len(), 0);
    }
}

/// The API server stores nothing deeper than a pod template, and reports the rest under strict
/// validation.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_template_is_no_deeper_than_one_of_a_pod() {
    let server = ApiServer::get().await;
    server.crds().await;
    let namespace = server.namespace("deep").await;
    let deep = (0..1000).fold(json!(true), |inner, _| json!({ "a": inner }));
    let spec = |affinity: &Value| {
        json!({
            "component": "demo", "release": "2025.2",
            "upstream": { "url": "https://git.example.org/demo", "ref": { "branch": "main" } },
            "build": {
                "engine": "Job", "source": { "repository": "registry.example.org/demo" },
                "job": { "podTemplate": { "spec": {
                    "affinity": affinity, "deep": deep, "nodeSelector": { "a": "b" }, "hostPID": null,
                } } },
            },
        })
    };
    let object = |affinity: &Value| {
        json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet", "metadata": { "name": "demo" },
            "spec": spec(affinity),
        })
    };
    let api: Api<PatchSet> = Api::namespaced(server.client(), &namespace);
    let affinity = json!({ "nodeAffinity": deep });
    // Server-side apply, as used by `kubectl` and Flux.
    let refused = api
        .patch(
            "demo",
            &PatchParams::apply("test"),
            &Patch::Apply(object(&affinity)),
        )
        .await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("podTemplate.spec") && refused.contains("field not declared in schema"),
        "{refused}"
    );
    let create = async |validation: &str| {
        let request = http::Request::post(format!(
            "/apis/patching.c5c3.io/v1alpha1/namespaces/{namespace}/patchsets?fieldValidation={validation}"
        ))
        .header("content-type", "application/json")
        .body(object(&affinity).to_string().into_bytes())
        .unwrap();
        server.client().request::<PatchSet>(request).await
    };
    let refused = create("Strict").await.unwrap_err().to_string();
    assert!(refused.contains("unknown field"), "{refused}");
    let stored = create("Ignore").await.unwrap();
    let stored = stored.spec.build.unwrap().job.unwrap().pod_template.unwrap().0;
    let expected = json!({ "spec": {
        "affinity": { "nodeAffinity": {} }, "nodeSelector": { "a": "b" }, "hostPID": null,
    } });
    assert_eq!(stored, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_asks_for_no_more_time_than_is_allowed() {
    let registry = Registry::open();
    let (stage, mut spec) = scene("timeout", &registry, &["--max-build-timeout=30m"]).await;
    spec["build"]["timeout"] = json!("31m");
    stage.apply("demo", &spec).await;
    let refused = stage.ready("demo", "False", "AccessDenied").await;
    let message = &condition(&refused, "Ready").unwrap().message;
    assert!(
        message.contains("at most 1800 seconds (--max-build-timeout)"),
        "{message}"
    );
    assert_eq!(jobs(&stage).await.len(), 0);
    spec["build"].as_object_mut().unwrap().remove("timeout");
    stage.apply("demo", &spec).await;
    let job = next_job(&stage, &[]).await;
    let job = stage.api::<Job>().get(&job).await.unwrap();
    assert_eq!(job.spec.unwrap().active_deadline_seconds, Some(1800));
}
