//! Images that GitHub Actions workflows build, with a test server for GitHub and a real registry.

use std::collections::HashSet;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use patchset_api::PatchSet;
use patchset_api::build::{Attempt, BuildStatus};
use serde_json::{Value, json};

use super::build::{build_as_told, build_of, spec, stage_with};
use super::{PATIENCE, Stage, assert_well_formed, condition, shown};
use crate::support::github::{Details, Fault, GitHub, Run, TOKEN};
use crate::support::registry::Registry;

const DISPATCHES: &str = "/dispatches";
const RUN: &str = "/actions/runs/1000";

/// A stage, and a spec whose image is built by a workflow.
async fn scene(name: &str, github: &GitHub, registry: &Registry) -> (Stage, Value) {
    scene_with(name, github, registry, &[]).await
}

async fn scene_with(name: &str, github: &GitHub, registry: &Registry, options: &[&str]) -> (Stage, Value) {
    let stage = stage_with(name, registry, options).await;
    stage.secret("github", &[("token", TOKEN)]).await;
    let mut spec = spec(&stage, registry);
    spec["build"]["engine"] = json!("GitHubActions");
    spec["build"]["githubActions"] = json!({
        "repository": "acme/images", "workflow": "build.yaml", "apiUrl": github.base,
        "secretRef": { "name": "github" },
    });
    (stage, spec)
}

fn attempt(object: &PatchSet) -> Attempt {
    build_of(object).attempt.unwrap()
}

fn ready_message(object: &PatchSet) -> String {
    condition(object, "Ready").map_or(String::new(), |ready| ready.message.clone())
}

/// Waits until a condition holds on the server.
async fn until(github: &GitHub, what: &str, holds: impl Fn(&[Run]) -> bool) {
    let begun = std::time::Instant::now();
    while !holds(&github.state().runs) {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn end(github: &GitHub, index: usize, conclusion: &'static str) {
    let run = &mut github.state().runs[index];
    (run.status, run.conclusion) = ("completed", Some(conclusion));
}

/// What a workflow is asked to build, as far as the plan in the status has it too.
fn told(run: &Run) -> BuildStatus {
    let document: Value = serde_json::from_str(run.inputs["build"].as_str().unwrap()).unwrap();
    let inputs = &document["labels"]["patching.c5c3.io/inputs"];
    assert_eq!(*inputs, document["inputsDigest"]);
    serde_json::from_value(json!({
        "inputsDigest": inputs, "target": document["target"], "contexts": document["contexts"], "args": document["args"],
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_builds_the_image_and_is_followed_to_its_end() {
    let (registry, github) = (Registry::open(), GitHub::start().await);
    let (mut stage, mut spec) = scene("actions", &github, &registry).await;
    stage.apply("demo", &spec).await;
    until(&github, "the run", |runs| runs.len() == 1).await;
    let building = stage.ready("demo", "Unknown", "Building").await;
    assert_well_formed(&building);
    let run = github.state().runs[0].clone();
    assert!(run.title.ends_with(&attempt(&building).name), "{}", run.title);

    // A restarted controller finds its run.
    stage.controller.kill();
    stage.controller.restart();
    github.state().runs[0].status = "in_progress";
    let followed = stage
        .wait("demo", "the run", |object| {
            ready_message(object).starts_with("run 1000 of acme/images builds")
        })
        .await;
    assert_eq!(attempt(&followed).run, Some(1000));
    assert!(
        attempt(&followed)
            .url
            .unwrap()
            .ends_with("/acme/images/actions/runs/1000")
    );

    let build = told(&run);
    build_as_told(&build, build.inputs_digest.as_str());
    end(&github, 0, "success");
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_well_formed(&ready);
    assert!(attempt(&ready).finished_at.is_some());
    assert_eq!(github.count(DISPATCHES), 1, "it was asked for once");
    let log = stage.controller.log();
    assert!(!log.contains(TOKEN), "a credential in the log");

    // Without changes, neither GitHub nor the API server gets a request.
    let (version, asked) = (ready.resource_version(), github.state().requests.len());
    stage.looks(3).await;
    let later = stage.api::<PatchSet>().get("demo").await.unwrap();
    assert_eq!(
        (later.resource_version(), github.state().requests.len()),
        (version, asked)
    );

    // A superseded run is cancelled, and the next requested.
    for (index, word) in ["hi", "hallo"].into_iter().enumerate() {
        spec["build"]["args"]["GREETING"] = json!(word);
        stage.apply("demo", &spec).await;
        until(&github, "the next run", |runs| runs.len() == index + 2).await;
    }
    assert_eq!(github.state().runs[1].conclusion, Some("cancelled"));
    let next = stage.ready("demo", "Unknown", "Building").await;
    assert_eq!(
        told(&github.state().runs[2]).inputs_digest,
        build_of(&next).inputs_digest
    );

    // Back to an existing image: that is reported at once, and the run that is not needed is
    // cancelled.
    spec["build"]["args"]["GREETING"] = json!("hello");
    stage.apply("demo", &spec).await;
    stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(github.state().runs[2].conclusion, Some("cancelled"));
    assert_eq!(github.count(DISPATCHES), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_is_told_with_its_log_and_followed_by_another() {
    let (registry, github) = (Registry::open(), GitHub::start().await);
    let (stage, mut spec) = scene("actions-fail", &github, &registry).await;
    spec["build"]["retries"] = json!(1);
    stage.apply("demo", &spec).await;
    until(&github, "the run", |runs| runs.len() == 1).await;
    github.state().runs[0].jobs = json!([{
        "id": 3, "run_id": 1000, "name": "image", "status": "completed", "conclusion": "failure",
        "html_url": "https://github.example.org/acme/images/actions/runs/1000/job/3",
        "steps": [{ "name": "Build it", "status": "completed", "conclusion": "failure", "number": 2 }],
    }]);
    let line = "2026-02-03T04:05:06.1234567Z \u{1b}[31m##[error]no space left\u{1b}[0m\n";
    github.state().logs.insert(3, line.to_owned());
    end(&github, 0, "failure");
    let failed = stage.ready("demo", "False", "BuildFailed").await;
    assert_well_formed(&failed);
    let message = ready_message(&failed);
    assert!(
        message.contains("run 1000 of acme/images failed in job image, step Build it"),
        "{message}"
    );
    assert!(message.starts_with("attempt 1 of 2 at"), "{message}");
    assert_eq!(
        attempt(&failed).log_tail.as_deref(),
        Some("##[error]no space left")
    );

    // A run that succeeds without an image has failed too, and was the last.
    until(&github, "the second run", |runs| runs.len() == 2).await;
    end(&github, 1, "success");
    let stalled = stage
        .wait("demo", "the end", |object| {
            shown(object, "Stalled") == "True/BuildFailed"
        })
        .await;
    let message = ready_message(&stalled);
    assert!(
        message.contains("succeeded, but the registry has no"),
        "{message}"
    );
    assert_eq!(github.count(DISPATCHES), 2);
    stage
        .annotate("demo", "reconcile.fluxcd.io/requestedAt", "now")
        .await;
    until(&github, "the run that was asked for", |runs| runs.len() == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_asked_for_once_whatever_the_answer() {
    let (registry, github) = (Registry::open(), GitHub::start().await);
    let (stage, spec) = scene("actions-once", &github, &registry).await;
    // An older Enterprise Server does not return the run, and here its answer is lost as well.
    github.state().details = Details::Ignored;
    github.fault(DISPATCHES, Fault::Cut);
    stage.apply("demo", &spec).await;
    until(&github, "the run", |runs| runs.len() == 1).await;
    stage
        .wait("demo", "the run", |object| {
            let build = object.status.as_ref().and_then(|status| status.build.clone());
            build.and_then(|build| build.attempt?.run) == Some(1000)
        })
        .await;
    assert_eq!(github.state().runs.len(), 1, "it was asked for twice");

    // A deleted run is followed by another.
    github.state().runs[0].id = 7;
    github.state().runs[0].title = "something else".to_owned();
    until(&github, "the second run", |runs| runs.len() == 2).await;
    assert!(github.count(RUN) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_refuses_is_told_and_what_it_limits_is_waited_for() {
    let (registry, github) = (Registry::open(), GitHub::start().await);
    let (stage, mut spec) = scene("actions-refused", &github, &registry).await;
    spec["build"]["githubActions"]["workflow"] = json!("other.yaml");
    stage.apply("demo", &spec).await;
    let lost = stage.ready("demo", "False", "ReferenceNotFound").await;
    assert_well_formed(&lost);
    assert!(
        ready_message(&lost).contains("other.yaml of acme/images"),
        "{}",
        ready_message(&lost)
    );

    stage.secret("github", &[("token", "ghp_wronghidden")]).await;
    let refused = stage.ready("demo", "False", "AuthenticationFailed").await;
    assert!(
        !serde_json::to_string(&refused).unwrap().contains("ghp_"),
        "{}",
        ready_message(&refused)
    );

    let limits = vec![("retry-after", "3".to_owned())];
    let body = r#"{"message": "You have exceeded a secondary rate limit"}"#;
    github.fault(DISPATCHES, Fault::Instead(403, limits, body.to_owned()));
    stage.secret("github", &[("token", TOKEN)]).await;
    spec["build"]["githubActions"]["workflow"] = json!("build.yaml");
    stage.apply("demo", &spec).await;
    let limited = stage.ready("demo", "False", "RateLimited").await;
    assert_well_formed(&limited);
    until(&github, "the run", |runs| runs.len() == 1).await;
    stage.ready("demo", "Unknown", "Building").await;
    assert_eq!(github.state().runs.len(), 1);

    // A run that takes too long is cancelled, and reported.
    spec["build"]["timeout"] = json!("1s");
    spec["build"]["retries"] = json!(0);
    stage.apply("demo", &spec).await;
    let late = stage.ready("demo", "False", "BuildFailed").await;
    let message = ready_message(&late);
    assert!(message.contains("took longer than build.timeout"), "{message}");
    assert_eq!(github.state().runs[0].conclusion, Some("cancelled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_what_was_asked_for_before_never_counts() {
    let (registry, github) = (Registry::open(), GitHub::start().await);
    let (stage, mut spec) = scene("actions-late", &github, &registry).await;
    // One tag for all images, and a run that goes on.
    spec["build"]["image"]["tag"] = json!("fixed");
    stage.apply("demo", &spec).await;
    until(&github, "the run", |runs| runs.len() == 1).await;
    github.state().runs[0].status = "in_progress";
    github.state().cancels_late = true;
    stage
        .wait("demo", "the run", |object| {
            ready_message(object).starts_with("run 1000 of acme/images builds")
        })
        .await;
    let former = told(&github.state().runs[0]);
    spec["build"]["args"]["GREETING"] = json!("two");
    stage.apply("demo", &spec).await;
    let waiting = stage.ready("demo", "Unknown", "BuildCancelling").await;
    assert_well_formed(&waiting);
    stage.looks(1).await;
    stage.ready("demo", "Unknown", "BuildCancelling").await;
    // It pushes the image requested before, which takes the tag; once it ends, the next one starts.
    build_as_told(&former, former.inputs_digest.as_str());
    end(&github, 0, "success");
    let taken = stage.ready("demo", "False", "TagTaken").await;
    assert_ne!(build_of(&taken).inputs_digest, former.inputs_digest);
    assert_eq!(taken.status.unwrap().image, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_may_be_changed_while_one_builds() {
    let (registry, github) = (Registry::open(), GitHub::start().await);
    let (stage, mut spec) = scene("actions-engine", &github, &registry).await;
    let workflow = spec["build"]
        .as_object_mut()
        .unwrap()
        .remove("githubActions")
        .unwrap();
    spec["build"]["engine"] = json!("Job");
    spec["build"]["dockerfile"] = json!({ "inline": "FROM scratch\n" });
    stage.apply("demo-1.0", &spec).await;
    stage.ready("demo-1.0", "Unknown", "Building").await;
    let jobs = || async {
        stage
            .api::<Job>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
    };
    assert_eq!(jobs().await.len(), 1);
    // Nothing runs the Job; it is deleted, and a run requested.
    spec["build"]["engine"] = json!("GitHubActions");
    spec["build"]["githubActions"] = workflow;
    stage.apply("demo-1.0", &spec).await;
    until(&github, "the run", |runs| runs.len() == 1).await;
    let building = stage.ready("demo-1.0", "Unknown", "Building").await;
    assert!(github.state().runs[0].title.ends_with(&attempt(&building).name));
    assert!(
        jobs()
            .await
            .iter()
            .all(|job| job.metadata.deletion_timestamp.is_some())
    );
    // And back: the run is left alone, because the spec does not name its login.
    spec["build"].as_object_mut().unwrap().remove("githubActions");
    spec["build"]["engine"] = json!("Job");
    stage.apply("demo-1.0", &spec).await;
    stage
        .wait("demo-1.0", "a Job", |object| {
            ready_message(object).starts_with("Job demo-1.0-")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_to_what_was_cancelled_is_no_failure() {
    let (registry, github) = (Registry::open(), GitHub::start().await);
    let (stage, mut spec) = scene("actions-back", &github, &registry).await;
    spec["build"]["retries"] = json!(0);
    for (index, word) in ["hello", "two", "hello"].into_iter().enumerate() {
        spec["build"]["args"]["GREETING"] = json!(word);
        stage.apply("demo", &spec).await;
        until(&github, "the next run", |runs| runs.len() == index + 1).await;
    }
    let building = stage.ready("demo", "Unknown", "Building").await;
    let names: HashSet<String> = github.state().runs.iter().map(|run| run.title.clone()).collect();
    assert_eq!(names.len(), 3);
    assert_eq!(attempt(&building).failures, 0);
    let events = stage.events("demo").await;
    assert!(
        events.iter().all(|(reason, _)| reason != "BuildFailed"),
        "{events:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_free_again_and_who_asks_while_none_is_gets_the_next() {
    let (registry, github) = (Registry::open(), GitHub::start().await);
    let (stage, mut spec) = scene_with(
        "actions-places",
        &github,
        &registry,
        &["--max-builds-per-namespace=1"],
    )
    .await;
    spec["build"]["retries"] = json!(0);
    stage.apply("one", &spec).await;
    until(&github, "the run", |runs| runs.len() == 1).await;
    end(&github, 0, "failure");
    stage.ready("one", "False", "BuildFailed").await;
    let mut other = spec.clone();
    other["build"]["args"]["GREETING"] = json!("other");
    stage.apply("two", &other).await;
    until(&github, "the second run", |runs| runs.len() == 2).await;
    stage
        .annotate("one", "reconcile.fluxcd.io/requestedAt", "now")
        .await;
    stage.ready("one", "Unknown", "BuildQueued").await;
    // A suspended object's run is not followed; its slot goes to an object that waits.
    other["suspend"] = json!(true);
    stage.apply("two", &other).await;
    until(&github, "the run that was asked for", |runs| runs.len() == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_cannot_be_told_apart_are_not_asked_for_again_and_again() {
    let (registry, github) = (Registry::open(), GitHub::start().await);
    let (stage, mut spec) = scene("actions-title", &github, &registry).await;
    spec["build"]["retries"] = json!(0);
    github.state().details = Details::Ignored;
    stage.apply("demo", &spec).await;
    until(&github, "the run", |runs| {
        runs.first().is_some_and(|run| !run.title.is_empty())
    })
    .await;
    github.state().runs[0].title = "CI".to_owned();
    let failed = stage.ready("demo", "False", "BuildFailed").await;
    let message = ready_message(&failed);
    assert!(
        message.contains("set its run-name to ${{ inputs.request_id }}"),
        "{message}"
    );
    assert_eq!(github.state().runs.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_of_what_is_deleted_is_cancelled() {
    let (registry, github) = (Registry::open(), GitHub::start().await);
    let (stage, mut spec) = scene("actions-deleted", &github, &registry).await;
    for (index, name) in ["one", "two"].into_iter().enumerate() {
        spec["build"]["args"]["NAME"] = json!(name);
        stage.apply(name, &spec).await;
        until(&github, "the run", |runs| runs.len() == index + 1).await;
        github.state().runs[index].status = "in_progress";
        stage
            .wait(name, "the run", |object| {
                ready_message(object).contains("of acme/images builds")
            })
            .await;
    }
    // Along with all that it needs, as when a folder of manifests is deleted.
    let (objects, secrets) = (stage.api::<PatchSet>(), stage.api::<Secret>());
    secrets.delete("github", &DeleteParams::default()).await.unwrap();
    objects.delete("one", &DeleteParams::default()).await.unwrap();
    until(&github, "the end of the run", |runs| {
        runs[0].conclusion == Some("cancelled")
    })
    .await;
    assert_eq!(
        github.state().runs[1].conclusion,
        None,
        "another's run was cancelled"
    );

    // If the server does not permit it, the object is deleted all the same, and the refusal
    // reported.
    let body = r#"{"message": "Resource not accessible by personal access token"}"#;
    github.fault("/cancel", Fault::Instead(403, Vec::new(), body.to_owned()));
    objects.delete("two", &DeleteParams::default()).await.unwrap();
    assert!(
        objects.get_opt("two").await.unwrap().is_none(),
        "something holds it"
    );
    let begun = std::time::Instant::now();
    loop {
        let events = stage.events("two").await;
        let told = events.iter().find(|(reason, _)| reason == "BuildNotCancelled");
        if let Some((_, note)) = told {
            assert!(
                note.contains("could not be cancelled after the PatchSet was deleted"),
                "{note}"
            );
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing is told: {events:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_may_take_no_longer_than_is_allowed() {
    let (registry, github) = (Registry::open(), GitHub::start().await);
    let options = ["--max-build-timeout=30m"];
    let (stage, mut spec) = scene_with("actions-timeout", &github, &registry, &options).await;
    spec["build"]["timeout"] = json!("31m");
    stage.apply("demo", &spec).await;
    let refused = stage.ready("demo", "False", "AccessDenied").await;
    assert!(
        ready_message(&refused).contains("--max-build-timeout"),
        "{}",
        ready_message(&refused)
    );
    assert_eq!(github.count(DISPATCHES), 0);
}

/// If the workflow's result is the image's test, an image that it pushed before failing does not
/// count, and the previous one stays.
#[tokio::test(flavor = "multi_thread")]
async fn the_workflows_own_result_is_the_test() {
    let (registry, github) = (Registry::open(), GitHub::start().await);
    let (stage, mut spec) = scene("actions-test", &github, &registry).await;
    spec["build"]["githubActions"]["conclusion"] = json!("Test");
    spec["build"]["retries"] = json!(0);
    stage.apply("demo", &spec).await;
    until(&github, "the run", |runs| runs.len() == 1).await;
    let build = told(&github.state().runs[0].clone());
    build_as_told(&build, build.inputs_digest.as_str());
    end(&github, 0, "success");
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(shown(&ready, "ImageTested"), "True/Succeeded");
    let before = ready.status.unwrap().image.unwrap();

    spec["build"]["args"]["GREETING"] = json!("broken");
    stage.apply("demo", &spec).await;
    until(&github, "the next run", |runs| runs.len() == 2).await;
    let build = told(&github.state().runs[1].clone());
    build_as_told(&build, build.inputs_digest.as_str());
    end(&github, 1, "failure");
    let failed = stage.ready("demo", "False", "TestFailed").await;
    assert_well_formed(&failed);
    assert_eq!(shown(&failed, "ImageBuilt"), "True/Succeeded");
    assert_eq!(shown(&failed, "ImageTested"), "False/TestFailed");
    assert_eq!(failed.status.unwrap().image, Some(before));

    // Another run that succeeds makes the image count.
    stage
        .annotate("demo", "reconcile.fluxcd.io/requestedAt", "again")
        .await;
    until(&github, "another run", |runs| runs.len() == 3).await;
    end(&github, 2, "success");
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(
        ready.status.unwrap().image.unwrap().inputs_digest,
        build.inputs_digest
    );
}
