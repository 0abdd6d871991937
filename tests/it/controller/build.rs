//! Patched source in a registry, and the image that another builder makes of it.

use std::process::Command as Program;
use std::time::Duration;

use kube::ResourceExt;
use patchset::api::PatchSet;
use patchset::api::build::BuildStatus;
use serde_json::{Value, json};

use super::{BASE, GOOD, Stage, assert_well_formed, condition, inline, shown};
use crate::support::git_server::GitServer;
use crate::support::program::program;
use crate::support::registry::Registry;

/// A stage whose controller may push to a registry without TLS.
async fn stage(name: &str, registry: &Registry) -> Stage {
    let option = format!("--plain-http-registry={}", registry.host);
    Stage::with(name, &[&option], GitServer::http).await
}

/// A spec with one patch, and a build by another CI.
fn spec(stage: &Stage, registry: &Registry) -> Value {
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["upstream"]["ref"] = json!({ "tag": "1.0.0" });
    spec["build"] = json!({
        "engine": "External",
        "image": { "repository": format!("{}/demo", registry.host), "tag": "{version}-p{patches}-{inputs}" },
        "source": { "repository": format!("{}/demo-source", registry.host) },
        "args": { "GREETING": "hello" }
    });
    spec
}

/// What a CI does: builds from the named contexts of the status with a real builder, and pushes.
fn build_as_told(build: &BuildStatus, inputs: &str) {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(
        root.path().join("Dockerfile"),
        "FROM scratch\nARG GREETING\nLABEL greeting=$GREETING\nCOPY --from=demo file.txt /file.txt\n",
    )
    .unwrap();
    let storage = root.path().join("storage");
    let buildah = |arguments: &[String]| {
        let output = program("buildah")
            .args(["--storage-driver", "vfs", "--root"])
            .arg(storage.join("root"))
            .arg("--runroot")
            .arg(storage.join("run"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let mut arguments: Vec<String> = [
        "build",
        "--quiet",
        "--isolation",
        "chroot",
        "--tls-verify=false",
        "--label",
    ]
    .map(ToOwned::to_owned)
    .to_vec();
    arguments.push(format!("patching.c5c3.io/inputs={inputs}"));
    for (name, reference) in &build.contexts {
        arguments.push(format!("--build-context={name}=docker://{reference}"));
    }
    for (name, value) in &build.args {
        arguments.push(format!("--build-arg={name}={value}"));
    }
    arguments.extend([
        "--tag".to_owned(),
        build.target.clone(),
        root.path().display().to_string(),
    ]);
    buildah(&arguments);
    buildah(&["push", "--quiet", "--tls-verify=false", &build.target].map(ToOwned::to_owned));
}

fn build_of(object: &PatchSet) -> BuildStatus {
    object.status.as_ref().unwrap().build.clone().unwrap()
}

/// The file in an image's only layer, as tar prints it.
fn file_in(reference: &str) -> String {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("image");
    // skopeo takes a tag or a digest, not both.
    let (tagged, digest) = reference.split_once('@').unwrap();
    let (repository, _) = tagged.rsplit_once(':').unwrap();
    let copied = program("skopeo")
        .args(["copy", "--quiet", "--src-tls-verify=false"])
        .arg(format!("docker://{repository}@{digest}"))
        .arg(format!("dir:{}", folder.display()))
        .output()
        .unwrap();
    assert!(
        copied.status.success(),
        "{}",
        String::from_utf8_lossy(&copied.stderr)
    );
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let printed = Program::new("tar")
        .args(["--extract", "--to-stdout", "--file"])
        .arg(folder.join(layer.strip_prefix("sha256:").unwrap()))
        .arg("file.txt")
        .output()
        .unwrap();
    String::from_utf8(printed.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ci_builds_from_the_published_source() {
    let registry = Registry::open();
    let stage = stage("external", &registry).await;
    let mut spec = spec(&stage, &registry);
    stage.apply("demo", &spec).await;
    let waiting = stage.ready("demo", "Unknown", "AwaitingImage").await;
    assert_well_formed(&waiting);
    assert_eq!(shown(&waiting, "PatchesApplicable"), "True/Succeeded");
    assert_eq!(shown(&waiting, "ImageBuilt"), "Unknown/AwaitingImage");
    assert_eq!(shown(&waiting, "Reconciling"), "True/Progressing");
    let build = build_of(&waiting);
    assert!(
        build
            .target
            .starts_with(&format!("{}/demo:1.0.0-p1-", registry.host)),
        "{}",
        build.target
    );
    let source = &build.contexts["demo"];
    assert!(
        source.starts_with(&format!("{}/demo-source@sha256:", registry.host)),
        "{source}"
    );

    build_as_told(&build, &build.inputs_digest);
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_well_formed(&ready);
    assert_eq!(shown(&ready, "ImageBuilt"), "True/Succeeded");
    let image = ready.status.as_ref().unwrap().image.clone().unwrap();
    assert_eq!(image.reference, format!("{}@{}", build.target, image.digest));
    assert_eq!(image.inputs_digest, build.inputs_digest);
    assert!(image.revision.starts_with("1.0.0@sha1:"), "{}", image.revision);
    assert_eq!(file_in(&image.reference), BASE.replace("five", "FIVE"));
    let message = &condition(&ready, "Ready").unwrap().message;
    assert!(
        message.ends_with(&format!("the image is {}", image.reference)),
        "{message}"
    );

    // Nothing new asks neither the API server nor the registry.
    let (version, asked) = (ready.resource_version(), registry.log().lines().count());
    tokio::time::sleep(Duration::from_secs(4)).await;
    let later = stage.api::<PatchSet>().get("demo").await.unwrap();
    assert_eq!(
        (later.resource_version(), registry.log().lines().count()),
        (version, asked)
    );

    // Another argument makes another image; the one before stays told until the new one is there.
    spec["build"]["args"]["GREETING"] = json!("hi");
    stage.apply("demo", &spec).await;
    let waiting = stage.ready("demo", "Unknown", "AwaitingImage").await;
    let second = build_of(&waiting);
    assert_ne!(second.inputs_digest, build.inputs_digest);
    assert_eq!(
        second.contexts, build.contexts,
        "the same source was published again"
    );
    assert_eq!(waiting.status.unwrap().image.unwrap(), image);

    // And back: that image is there already, and nothing is built.
    spec["build"]["args"]["GREETING"] = json!("hello");
    stage.apply("demo", &spec).await;
    let back = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(back.status.unwrap().image.unwrap(), image);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_conflicts_leaves_the_image_as_it_is() {
    let registry = Registry::open();
    let stage = stage("held", &registry).await;
    let mut spec = spec(&stage, &registry);
    stage.apply("demo", &spec).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    build_as_told(&build, &build.inputs_digest);
    let image = stage
        .ready("demo", "True", "Succeeded")
        .await
        .status
        .unwrap()
        .image;
    let uploads = registry.uploads();
    spec["patches"] = inline(&[("0001-five.patch", &GOOD.replace("-five", "-fünf"))]);
    stage.apply("demo", &spec).await;
    let held = stage.ready("demo", "False", "PatchConflict").await;
    assert_well_formed(&held);
    assert_eq!(held.status.unwrap().image, image);
    assert_eq!(registry.uploads(), uploads, "a broken source was published");

    // Without a build nothing is told of one.
    spec["build"] = Value::Null;
    spec["patches"] = inline(&[("0001-five.patch", GOOD)]);
    stage.apply("demo", &spec).await;
    let plain = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(shown(&plain, "ImageBuilt"), "-");
    let status = plain.status.unwrap();
    assert_eq!((status.build, status.image), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_was_built_from_something_else_does_not_count() {
    let registry = Registry::open();
    let stage = stage("label", &registry).await;
    let mut spec = spec(&stage, &registry);
    spec["build"]["image"]["tag"] = json!("fixed");
    stage.apply("demo", &spec).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    build_as_told(&build, "sha256:other");
    let taken = stage.ready("demo", "False", "TagTaken").await;
    assert_well_formed(&taken);
    let message = &condition(&taken, "Ready").unwrap().message;
    assert!(message.contains("is built from sha256:other"), "{message}");
    assert_eq!(taken.status.unwrap().image, None);
    build_as_told(&build, &build.inputs_digest);
    stage.ready("demo", "True", "Succeeded").await;

    spec["build"]["image"]["tag"] = json!("{nope}");
    stage.apply("demo", &spec).await;
    let invalid = stage.ready("demo", "False", "InvalidSpec").await;
    let message = &condition(&invalid, "Ready").unwrap().message;
    assert!(message.contains("{nope} is unknown"), "{message}");
    assert_eq!(shown(&invalid, "Stalled"), "True/InvalidSpec");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_or_refuses_is_tried_again() {
    let mut registry = Registry::with_password();
    let stage = stage("registry", &registry).await;
    let mut spec = spec(&stage, &registry);
    spec["build"]["secretRef"] = json!({ "name": "push" });
    registry.pause();
    stage.apply("demo", &spec).await;
    stage.ready("demo", "False", "ReferenceNotFound").await;
    let secret = |password: &str| {
        use base64::Engine;
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("ann:{password}"));
        format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, registry.host)
    };
    let (wrong, right) = (secret("wrong"), secret("secret"));
    stage.secret("push", &[("other", "x")]).await;
    stage.ready("demo", "False", "InvalidReference").await;
    stage.secret("push", &[(".dockerconfigjson", &wrong)]).await;
    let away = stage.ready("demo", "False", "Unreachable").await;
    assert_well_formed(&away);
    assert_eq!(shown(&away, "PatchesApplicable"), "True/Succeeded");
    assert_eq!(shown(&away, "Reconciling"), "True/ProgressingWithRetry");
    registry.resume();
    let refused = stage.ready("demo", "False", "AuthenticationFailed").await;
    assert!(!serde_json::to_string(&refused).unwrap().contains("wrong"));
    stage.secret("push", &[(".dockerconfigjson", &right)]).await;
    stage.ready("demo", "Unknown", "AwaitingImage").await;
    assert!(!stage.controller.log().contains("ann:secret"));
}
