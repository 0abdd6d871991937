//! Tests of images as Jobs: nothing here runs them, and the tests say how they end.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use patchset_api::PatchSet;
use patchset_api::image_test::{ImageTestsStatus, TestOutcome};
use serde_json::{Value, json};

use super::build::{build_as_told, build_of, stage_with, target_of};
use super::{GOOD, PATIENCE, Stage, assert_well_formed, build, condition, inline, shown};
use crate::support::git_repo::GitRepo;
use crate::support::registry::Registry;

/// A stage, and a spec whose image another CI builds and that is tested and delivered.
async fn scene(name: &str, registry: &Registry, options: &[&str]) -> (Stage, Value) {
    let stage = stage_with(name, registry, options).await;
    let mut spec = build::spec(&stage, registry);
    spec["build"]["image"]["movingTags"] = json!(["latest"]);
    spec["build"]["tests"] =
        json!([{ "name": "unit", "from": "Image", "command": ["run-tests"], "retries": 0 }]);
    spec["delivery"] = json!({ "configMap": { "name": "images" } });
    (stage, spec)
}

/// Applies a spec, and builds the image that it asks for.
async fn built(stage: &Stage, spec: &Value) -> String {
    stage.apply("demo", spec).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    build_as_told(&build, build.inputs_digest.as_str());
    target_of(&build).to_owned()
}

async fn tests(stage: &Stage) -> Vec<Job> {
    let of_tests = ListParams::default().labels("app.kubernetes.io/component=test");
    stage.api::<Job>().list(&of_tests).await.unwrap().items
}

/// Waits for a test's Job other than these.
async fn next_test(stage: &Stage, known: &[String]) -> Job {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let jobs = tests(stage).await;
        if let Some(job) = jobs.into_iter().find(|job| !known.contains(&job.name_any())) {
            return job;
        }
        assert!(std::time::Instant::now() < end, "no test but {known:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Says how a Job ended, as the cluster does.
async fn end(stage: &Stage, job: &Job, ending: &str, reason: &str) {
    let now = "2030-01-01T00:00:00Z";
    let condition = |type_: &str| {
        json!({ "type": type_, "status": "True", "reason": reason, "message": "as the test has it",
            "lastTransitionTime": now, "lastProbeTime": now })
    };
    let mut status = json!({ "startTime": now });
    status["conditions"] = if ending == "Complete" {
        status["completionTime"] = json!(now);
        status["succeeded"] = json!(1);
        json!([condition("SuccessCriteriaMet"), condition("Complete")])
    } else {
        status["failed"] = json!(1);
        json!([condition("FailureTarget"), condition("Failed")])
    };
    let patch = Patch::Merge(json!({ "status": status }));
    let api = stage.api::<Job>();
    api.patch_status(&job.name_any(), &PatchParams::default(), &patch)
        .await
        .unwrap();
}

fn tests_of(object: &PatchSet) -> ImageTestsStatus {
    build_of(object).tests.unwrap()
}

fn image_of(object: &PatchSet) -> Option<String> {
    let image = object.status.as_ref()?.image.as_ref()?;
    Some(image.reference.to_string())
}

/// The delivered image.
async fn delivered(stage: &Stage) -> Option<String> {
    let map = stage.api::<ConfigMap>().get_opt("images").await.unwrap()?;
    map.data?.get("demo_reference").cloned()
}

/// The digest that the registry has for a tag.
fn digest_of(registry: &Registry, tag: &str) -> Option<String> {
    let output = crate::support::program::program("skopeo")
        .args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}"])
        .arg(format!("docker://{}/demo:{tag}", registry.host))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| text.trim().to_owned())
}

/// Asserts that the Job of the test runs its command in an image, without a token, and belongs to
/// the object.
fn assert_runs_in(job: &Job, image: &str) {
    let pod = job.spec.clone().unwrap().template.spec.unwrap();
    assert_eq!(pod.containers[0].image.as_deref(), Some(image));
    assert_eq!(
        pod.containers[0].command.as_deref(),
        Some(&["run-tests".to_owned()][..])
    );
    assert_eq!(pod.automount_service_account_token, Some(false));
    assert!(
        job.owner_references()
            .iter()
            .any(|owner| owner.kind == "PatchSet")
    );
}

/// Asserts that the conditions report a built image whose test failed.
fn assert_failure_is_told(failed: &PatchSet) {
    assert_well_formed(failed);
    assert_eq!(shown(failed, "ImageBuilt"), "True/Succeeded");
    assert_eq!(shown(failed, "ImageTested"), "False/TestFailed");
    assert_eq!(shown(failed, "Stalled"), "True/TestFailed");
    let message = &condition(failed, "Ready").unwrap().message;
    assert!(
        message.contains("test unit of ") && message.contains("the previous image stays"),
        "{message}"
    );
}

/// The whole course: a test runs in the image before it counts, a failing one holds it back along
/// with its tags, and the next patch goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_counts_when_its_test_passed() {
    let registry = Registry::open();
    let (stage, mut spec) = scene("tested", &registry, &[]).await;
    let target = built(&stage, &spec).await;
    let first = next_test(&stage, &[]).await;
    let testing = stage.ready("demo", "Unknown", "Testing").await;
    assert_well_formed(&testing);
    assert_eq!(shown(&testing, "ImageBuilt"), "True/Succeeded");
    assert_eq!(shown(&testing, "ImageTested"), "Unknown/Testing");
    assert_eq!((image_of(&testing), delivered(&stage).await), (None, None));
    assert_eq!(
        digest_of(&registry, "latest"),
        None,
        "a tag moved to what is not tested"
    );
    let status = tests_of(&testing);
    let awaiting = status.awaiting.unwrap().reference.to_string();
    assert!(awaiting.starts_with(&format!("{target}@sha256:")), "{awaiting}");
    assert_runs_in(&first, &awaiting);

    end(&stage, &first, "Complete", "CompletionsReached").await;
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_well_formed(&ready);
    assert_eq!(shown(&ready, "ImageTested"), "True/Succeeded");
    assert_eq!(image_of(&ready).as_ref(), Some(&awaiting));
    assert_eq!(delivered(&stage).await.as_ref(), Some(&awaiting));
    let moved = digest_of(&registry, "latest").unwrap();
    assert!(awaiting.ends_with(&moved), "{moved}");
    let status = tests_of(&ready);
    assert_eq!(
        (status.awaiting, status.results[0].outcome),
        (None, TestOutcome::Passed)
    );

    // The next image fails: the previous one stays, and stays delivered.
    spec["build"]["args"]["GREETING"] = json!("broken");
    built(&stage, &spec).await;
    let second = next_test(&stage, &[first.name_any()]).await;
    end(&stage, &second, "Failed", "BackoffLimitExceeded").await;
    let failed = stage.ready("demo", "False", "TestFailed").await;
    assert_failure_is_told(&failed);
    assert_eq!(image_of(&failed).as_ref(), Some(&awaiting));
    assert_eq!(delivered(&stage).await.as_ref(), Some(&awaiting));
    assert_eq!(digest_of(&registry, "latest"), Some(moved.clone()));
    // No requests are made while nothing changes.
    let asked = registry.log().lines().count();
    stage.looks(3).await;
    assert_eq!(registry.log().lines().count(), asked);
    assert_eq!(tests(&stage).await.len(), 2);

    // Fixed by going back to an image that was built and tested: it is neither built nor tested
    // again.
    spec["build"]["args"]["GREETING"] = json!("hello");
    stage.apply("demo", &spec).await;
    let mended = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(shown(&mended, "ImageTested"), "True/Succeeded");
    assert_eq!(image_of(&mended).as_ref(), Some(&awaiting));
    assert_eq!(tests(&stage).await.len(), 2);
    // Nor is the one that failed: that result is remembered as well.
    spec["build"]["args"]["GREETING"] = json!("broken");
    stage.apply("demo", &spec).await;
    stage.ready("demo", "False", "TestFailed").await;
    assert_eq!(tests(&stage).await.len(), 2);
    assert_eq!(delivered(&stage).await.as_ref(), Some(&awaiting));

    // Another attempt, which passes.
    stage
        .annotate("demo", "reconcile.fluxcd.io/requestedAt", "again")
        .await;
    let known = [first.name_any(), second.name_any()];
    let third = next_test(&stage, &known).await;
    assert!(third.name_any().ends_with("-2"), "{}", third.name_any());
    end(&stage, &third, "Complete", "CompletionsReached").await;
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_ne!(image_of(&ready).as_ref(), Some(&awaiting));
    assert_eq!(delivered(&stage).await, image_of(&ready));
}

/// Retries are counted, a lost one included, and a failure that is only reported lets the image
/// count.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_only_reports_holds_nothing_back() {
    let registry = Registry::open();
    let (stage, mut spec) = scene("reported", &registry, &[]).await;
    spec["build"]["tests"][0]["onFailure"] = json!("Report");
    spec["build"]["tests"][0]["retries"] = json!(1);
    let lint = json!({ "name": "lint", "from": "Image", "command": ["lint"] });
    spec["build"]["tests"].as_array_mut().unwrap().push(lint);
    built(&stage, &spec).await;
    let first = next_test(&stage, &[]).await;
    let background = DeleteParams::background();
    stage
        .api::<Job>()
        .delete(&first.name_any(), &background)
        .await
        .unwrap();
    let retried = stage.ready("demo", "False", "TestFailed").await;
    assert_eq!(shown(&retried, "Reconciling"), "True/ProgressingWithRetry");
    let message = &condition(&retried, "Ready").unwrap().message;
    assert!(
        message.contains("(attempt 1 of 2)") && message.contains("was deleted before it ended"),
        "{message}"
    );
    let second = next_test(&stage, &[first.name_any()]).await;
    assert!(second.name_any().ends_with("-2"), "{}", second.name_any());
    end(&stage, &second, "Failed", "DeadlineExceeded").await;
    let known = [first.name_any(), second.name_any()];
    let lint = next_test(&stage, &known).await;
    end(&stage, &lint, "Complete", "CompletionsReached").await;
    let ready = stage.ready("demo", "True", "NeedsAttention").await;
    assert_well_formed(&ready);
    assert_eq!(shown(&ready, "ImageTested"), "False/TestFailed");
    let message = &condition(&ready, "ImageTested").unwrap().message;
    assert!(
        message.contains("took longer than") && message.contains("lint: passed"),
        "{message}"
    );
    assert_eq!(delivered(&stage).await, image_of(&ready));
}

/// A controller that is killed while a test runs finds it again, also if it ended in the meantime.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_controller_goes_on_with_the_test() {
    let registry = Registry::open();
    let (mut stage, spec) = scene("killed", &registry, &[]).await;
    built(&stage, &spec).await;
    // It may be killed before the attempt is in the status.
    let job = next_test(&stage, &[]).await;
    stage.controller.kill();
    end(&stage, &job, "Complete", "CompletionsReached").await;
    stage.controller.restart();
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(shown(&ready, "ImageTested"), "True/Succeeded");
    assert_eq!(tests(&stage).await.len(), 1, "it ran twice");
}

/// The file from the patches' repository is passed on, and a different file means another test; the
/// contents of the source are mounted.
#[tokio::test(flavor = "multi_thread")]
async fn excludes_are_read_beside_the_patches() {
    let registry = Registry::open();
    let (stage, mut spec) = scene("excludes", &registry, &[]).await;
    let team = GitRepo::create(stage.root.path(), "team");
    team.commit(
        &[
            ("patches/demo/2025.2/0001-five.patch", GOOD),
            ("releases/2025.2/test-excludes/demo.txt", "demo.tests.slow\n"),
        ],
        "patches",
    );
    spec["patches"] = json!({ "git": {
        "url": stage.server.url("team"), "ref": { "branch": "main" }, "path": "patches/demo/2025.2",
    } });
    spec["build"]["tests"][0]["excludes"] = json!({ "path": "releases/2025.2/test-excludes/demo.txt" });
    spec["build"]["tests"][0]["from"] = json!("Source");
    spec["build"]["tests"][0]["image"] = json!("registry.example.org/tools:1");
    built(&stage, &spec).await;
    let first = next_test(&stage, &[]).await;
    let handed = |job: &Job| {
        let template = job.spec.clone().unwrap().template;
        template.metadata.unwrap().annotations.unwrap()["patching.c5c3.io/test-excludes"].clone()
    };
    assert_eq!(handed(&first), "demo.tests.slow\n");
    // The API server accepts all of it: unknown fields would be dropped.
    let pod = first.spec.clone().unwrap().template.spec.unwrap();
    let volumes = serde_json::to_value(pod.volumes.unwrap()).unwrap();
    assert!(
        volumes[0]["downwardAPI"]["items"][0]["fieldRef"].is_object(),
        "{volumes}"
    );
    let source = volumes[1]["image"]["reference"].as_str().unwrap();
    assert!(
        source.starts_with(&format!("{}/demo-source@sha256:", registry.host)),
        "{source}"
    );
    assert_eq!(
        pod.containers[0].image.as_deref(),
        Some("registry.example.org/tools:1")
    );

    team.commit(
        &[("releases/2025.2/test-excludes/demo.txt", "demo.tests.slower\n")],
        "more",
    );
    let second = next_test(&stage, &[first.name_any()]).await;
    assert_eq!(handed(&second), "demo.tests.slower\n");
    // The former one is deleted, and takes no slot.
    let end = std::time::Instant::now() + PATIENCE;
    while tests(&stage)
        .await
        .iter()
        .any(|job| job.name_any() == first.name_any() && job.metadata.deletion_timestamp.is_none())
    {
        assert!(std::time::Instant::now() < end, "the former test goes on");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Tests take slots as builds do, and their templates grant no rights.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_has_the_bounds_of_a_build() {
    let registry = Registry::open();
    let options = ["--max-builds=1", "--max-build-timeout=30m"];
    let (stage, mut spec) = scene("bounds", &registry, &options).await;
    spec["build"]["tests"][0]["podTemplate"] = json!({ "spec": { "hostNetwork": true } });
    built(&stage, &spec).await;
    let refused = stage.ready("demo", "False", "AccessDenied").await;
    let message = &condition(&refused, "ImageTested").unwrap().message;
    assert!(
        message.contains("build.tests[0].podTemplate.spec.hostNetwork is not allowed"),
        "{message}"
    );
    spec["build"]["tests"][0]["podTemplate"] = json!({ "spec": { "nodeSelector": { "disk": "ssd" } } });
    spec["build"]["tests"][0]["timeout"] = json!("31m");
    stage.apply("demo", &spec).await;
    let refused = stage.ready("demo", "False", "AccessDenied").await;
    let message = &condition(&refused, "ImageTested").unwrap().message;
    assert!(
        message.contains("build.tests[0].timeout") && message.contains("1800 seconds"),
        "{message}"
    );
    spec["build"]["tests"][0]
        .as_object_mut()
        .unwrap()
        .remove("timeout");
    stage.apply("demo", &spec).await;
    let job = next_test(&stage, &[]).await;
    assert_eq!(job.spec.as_ref().unwrap().active_deadline_seconds, Some(1800));
    let pod = job.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.node_selector.unwrap()["disk"], "ssd");

    // The only slot is taken.
    spec["build"]["image"]["tag"] = json!("other-{inputs}");
    spec["build"]["args"]["GREETING"] = json!("other");
    stage.apply("other", &spec).await;
    let build = build_of(&stage.ready("other", "Unknown", "AwaitingImage").await);
    build_as_told(&build, build.inputs_digest.as_str());
    let is_queued = |object: &PatchSet| {
        condition(object, "ImageTested").is_some_and(|tested| tested.message.contains("waiting for its turn"))
    };
    stage.wait("other", "queued", is_queued).await;
    assert_eq!(tests(&stage).await.len(), 1);
    // It is woken when the slot is free.
    let first = tests(&stage).await.remove(0);
    end(&stage, &first, "Complete", "CompletionsReached").await;
    next_test(&stage, &[first.name_any()]).await;
}

/// What can never be valid is rejected at admission.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_makes_no_sense_is_refused() {
    let registry = Registry::open();
    let (stage, spec) = scene("admission", &registry, &[]).await;
    for (field, value, expected) in [
        ("from", json!("Source"), "image is the one with the tests' tools"),
        (
            "image",
            json!("tools:1"),
            "image is the one with the tests' tools",
        ),
        ("env", json!({ "A-B": "c" }), "write names of letters"),
        (
            "env",
            json!({ "PATCHSET_SOURCE": "/" }),
            "none that begins with PATCHSET_",
        ),
        ("excludes", json!({ "path": "../secret" }), "without '..'"),
        ("command", json!([]), "should have at least 1 items"),
        ("retries", json!(21), "less than or equal to 20"),
    ] {
        let mut spec = spec.clone();
        spec["build"]["tests"][0][field] = value;
        let object = json!({ "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet",
            "metadata": { "name": "demo" }, "spec": spec });
        let api = stage.api::<PatchSet>();
        let refused = api
            .patch("demo", &PatchParams::apply("test"), &Patch::Apply(&object))
            .await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(expected), "{field}: {refused}");
    }
    let mut library = spec.clone();
    library["build"].as_object_mut().unwrap().remove("image");
    library["patches"] = inline(&[("0001-five.patch", GOOD)]);
    let object = json!({ "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet",
        "metadata": { "name": "demo" }, "spec": library });
    let api = stage.api::<PatchSet>();
    let refused = api
        .patch("demo", &PatchParams::apply("test"), &Patch::Apply(&object))
        .await;
    assert!(refused.unwrap_err().to_string().contains("tests are of an image"));
}
