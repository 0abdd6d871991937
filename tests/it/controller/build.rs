//! Patched source in a registry, and the image that another builder makes from it.

use std::process::Command as Program;

use kube::ResourceExt;
use patchset_api::build::{BuildReason, BuildStatus};
use patchset_api::built_image::ImageStatus;
use patchset_api::{ConstraintOverride, PatchSet};
use serde_json::{Value, json};

use super::{BASE, GOOD, Stage, assert_well_formed, condition, inline, shown};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;
use crate::support::program::program;
use crate::support::registry::Registry;

/// A stage whose controller may push to a registry without TLS.
pub(super) async fn stage(name: &str, registry: &Registry) -> Stage {
    stage_with(name, registry, &[]).await
}

/// The same, with further options of the controller.
pub(super) async fn stage_with(name: &str, registry: &Registry, options: &[&str]) -> Stage {
    let option = format!("--plain-http-registry={}", registry.host);
    let options = [&[option.as_str()], options].concat();
    Stage::with(name, &options, GitServer::http).await
}

/// A spec with one patch, and a build by another CI.
pub fn spec(stage: &Stage, registry: &Registry) -> Value {
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

/// Does what a CI does: builds from the named contexts in the status with a real builder, and
/// pushes.
pub fn build_as_told(build: &BuildStatus, inputs: &str) {
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
        target_of(build).to_owned(),
        root.path().display().to_string(),
    ]);
    buildah(&arguments);
    buildah(&["push", "--quiet", "--tls-verify=false", target_of(build)].map(ToOwned::to_owned));
}

pub(super) fn target_of(build: &BuildStatus) -> &str {
    build.target.as_deref().unwrap()
}

pub fn build_of(object: &PatchSet) -> BuildStatus {
    *object.status.as_ref().unwrap().build.clone().unwrap()
}

/// The file in an image's only layer, as tar prints it.
pub fn file_in(reference: &str) -> String {
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
    let target = target_of(&build);
    assert!(
        target.starts_with(&format!("{}/demo:1.0.0-p1-", registry.host)),
        "{target}"
    );
    assert_eq!(build.reasons, [BuildReason::First]);
    let source = &build.contexts["demo"];
    assert!(
        source.starts_with(&format!("{}/demo-source@sha256:", registry.host)),
        "{source}"
    );

    build_as_told(&build, build.inputs_digest.as_str());
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_well_formed(&ready);
    assert_eq!(shown(&ready, "ImageBuilt"), "True/Succeeded");
    let image = ready.status.as_ref().unwrap().image.clone().unwrap();
    assert_eq!(image.reference.as_str(), format!("{target}@{}", image.digest));
    assert_eq!(image.inputs_digest, build.inputs_digest);
    assert!(image.revision.starts_with("1.0.0@sha1:"), "{}", image.revision);
    assert_eq!(file_in(&image.reference), BASE.replace("five", "FIVE"));
    let message = &condition(&ready, "Ready").unwrap().message;
    assert!(
        message.ends_with(&format!("the image is {}", image.reference)),
        "{message}"
    );

    // Without changes, neither the API server nor the registry gets a request.
    let (version, asked) = (ready.resource_version(), registry.log().lines().count());
    stage.looks(3).await;
    let later = stage.api::<PatchSet>().get("demo").await.unwrap();
    assert_eq!(
        (later.resource_version(), registry.log().lines().count()),
        (version, asked)
    );

    // Another argument makes another image; the previous one stays in the status until the new one
    // exists.
    spec["build"]["args"]["GREETING"] = json!("hi");
    stage.apply("demo", &spec).await;
    let waiting = stage.ready("demo", "Unknown", "AwaitingImage").await;
    let second = build_of(&waiting);
    assert_ne!(second.inputs_digest, build.inputs_digest);
    assert_eq!(second.reasons, [BuildReason::Config]);
    assert_eq!(
        second.contexts, build.contexts,
        "the same source was published again"
    );
    assert_eq!(waiting.status.unwrap().image.unwrap(), image);

    // And back: that image exists, and nothing is built.
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
    build_as_told(&build, build.inputs_digest.as_str());
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

    // Without a build, the status has none.
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
    build_as_told(&build, build.inputs_digest.as_str());
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

/// A library with one patch.
fn library_that_says(stage: &Stage, word: &str) -> Value {
    let mut library = stage.spec_with(&inline(&[(
        "0001-five.patch",
        &GOOD.replace("+FIVE", &format!("+{word}")),
    )]));
    library["component"] = json!("my-lib");
    library["level"] = json!("Library");
    library
}

/// Constraints that pin a package, the service and the library.
fn overrides_to(version: &str) -> Value {
    json!({
        "release": "2025.2", "interval": "1s",
        "upperConstraints": { "inline": "alpha===1.0\nDemo===1.0\nmy_lib===2.0\n" },
        "overrides": { "entries": [{ "name": "alpha", "version": version }] }
    })
}

/// Applies the constraints that the service names.
async fn apply_overrides(stage: &Stage, overrides: &Value) {
    stage
        .try_apply_kind::<ConstraintOverride>("co", overrides)
        .await
        .unwrap();
}

/// The file of merged constraints that a build gets.
fn merged_constraints(registry: &Registry, build: &BuildStatus) -> String {
    let root = tempfile::tempdir().unwrap();
    let tree = crate::source_images::unpacked(registry, &build.contexts["upper-constraints"], root.path());
    std::fs::read_to_string(tree.join("upper-constraints.txt")).unwrap()
}

/// Waits until the service asks for another image, by a build that satisfies the condition.
async fn asks_for_another_image(stage: &Stage, wanted: impl Fn(&BuildStatus) -> bool) -> PatchSet {
    stage
        .wait("demo", "asking for another image", |object| {
            let status = object.status.as_ref();
            status
                .and_then(|status| status.build.as_deref())
                .is_some_and(&wanted)
        })
        .await
}

/// Asserts that a library which breaks holds its service at an image, however often both are looked
/// at.
async fn assert_broken_library_holds_service(stage: &Stage, library: &Value, image: &ImageStatus) {
    let mut broken = library.clone();
    broken["patches"] = inline(&[("0001-five.patch", &GOOD.replace("-five", "-fünf"))]);
    stage.apply("lib", &broken).await;
    let held = stage
        .wait("demo", "held by its library", |object| {
            condition(object, "Ready").is_some_and(|ready| {
                ready.reason == "DependencyNotReady" && ready.message.contains("0001-five.patch conflicts")
            })
        })
        .await;
    assert_eq!(*held.status.unwrap().image.unwrap(), *image);
    stage.looks(4).await;
    let still = stage.api::<PatchSet>().get("demo").await.unwrap();
    assert_eq!(shown(&still, "Ready"), "False/DependencyNotReady");
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_and_constraints_go_into_the_build_that_names_them() {
    let registry = Registry::open();
    let stage = stage("libraries", &registry).await;
    let overrides = overrides_to("1.1");

    // The service comes first: it waits for objects that do not exist yet.
    let mut service = spec(&stage, &registry);
    service["libraries"] = json!([{ "name": "lib" }]);
    service["constraints"] = json!({ "name": "co" });
    stage.apply("demo", &service).await;
    let missing = stage.ready("demo", "False", "ReferenceNotFound").await;
    assert_eq!(shown(&missing, "PatchesApplicable"), "True/Succeeded");
    assert!(condition(&missing, "Ready").unwrap().message.contains("PatchSet"));

    let mut library = library_that_says(&stage, "library");
    stage.apply("lib", &library).await;
    let waiting = stage.ready("demo", "False", "DependencyNotReady").await;
    assert!(
        condition(&waiting, "Ready")
            .unwrap()
            .message
            .contains("no build.source")
    );
    library["build"] = json!({ "engine": "External", "source": {
        "repository": format!("{}/source", registry.host)
    } });
    stage.apply("lib", &library).await;
    let published = stage.ready("lib", "True", "Succeeded").await;
    let library_source = build_of(&published).contexts["my-lib"].clone();
    assert_eq!(build_of(&published).target, None);
    stage.ready("demo", "False", "ReferenceNotFound").await;
    apply_overrides(&stage, &overrides).await;
    let ready = stage.ready("demo", "Unknown", "AwaitingImage").await;
    assert_well_formed(&ready);
    let build = build_of(&ready);
    assert_eq!(
        build.contexts.keys().collect::<Vec<_>>(),
        ["demo", "my-lib", "upper-constraints"]
    );
    assert_eq!(build.contexts["my-lib"], library_source);
    // The pins of what is built from source are gone, however they are spelled.
    assert_eq!(merged_constraints(&registry, &build), "alpha===1.1\n");
    build_as_told(&build, build.inputs_digest.as_str());
    let first = stage
        .ready("demo", "True", "Succeeded")
        .await
        .status
        .unwrap()
        .image
        .unwrap();

    // A change in the library requires another image of the service.
    library["patches"] = library_that_says(&stage, "other")["patches"].clone();
    stage.apply("lib", &library).await;
    let is_of_the_library = |now: &BuildStatus| {
        now.inputs_digest != build.inputs_digest && now.reasons == [BuildReason::Libraries]
    };
    let again = asks_for_another_image(&stage, is_of_the_library).await;
    assert_eq!(again.status.as_ref().unwrap().image.as_ref(), Some(&first));

    // So does one in the constraints; going back to earlier inputs builds nothing.
    apply_overrides(&stage, &overrides_to("1.2")).await;
    asks_for_another_image(&stage, |now| now.reasons == [BuildReason::Constraints]).await;
    apply_overrides(&stage, &overrides).await;
    library["patches"] = library_that_says(&stage, "library")["patches"].clone();
    stage.apply("lib", &library).await;
    let back = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(back.status.unwrap().image.unwrap(), first);
    assert_broken_library_holds_service(&stage, &library, &first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_image_can_be_built_with_is_refused() {
    let registry = Registry::open();
    let stage = stage("refused", &registry).await;
    let good = spec(&stage, &registry);
    let mut beside = good["build"].clone();
    beside["extraPackagesFrom"] = json!({ "path": "extra.yaml" });
    let cases: [(Value, &str); 4] = [
        (json!({ "build": beside }), "set patches.git or patches.sourceRef"),
        (
            json!({ "build": null, "libraries": [{ "name": "x" }] }),
            "set build",
        ),
        (
            json!({ "build": { "engine": "Magic", "source": good["build"]["source"] } }),
            "Unsupported value",
        ),
        (
            json!({ "build": { "engine": "External", "source": { "repository": "No/Slashes:tag" } } }),
            "should match",
        ),
    ];
    for (change, sentence) in cases {
        let mut spec = good.clone();
        for (key, value) in change.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let error = stage.try_apply("refused", &spec).await.unwrap_err().to_string();
        assert!(error.contains(sentence), "{sentence}: {error}");
    }
    // A service cannot serve as a library.
    stage.apply("service", &good).await;
    let mut spec = good.clone();
    spec["libraries"] = json!([{ "name": "service" }]);
    stage.apply("refused", &spec).await;
    let refused = stage.ready("refused", "False", "InvalidSpec").await;
    assert!(
        condition(&refused, "Ready")
            .unwrap()
            .message
            .contains("is not a library")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_come_from_the_repository_of_the_patches() {
    let registry = Registry::open();
    let stage = stage("arguments", &registry).await;
    let ours = GitRepo::create(stage.root.path(), "ours");
    let extra = "demo:\n  pip_extras: [ldap, s3]\n  pip_packages: [\"store[s3]\", lhafile]\n  apt_packages: [qemu-utils]\n";
    ours.commit(
        &[("patches/0001-five.patch", GOOD), ("extra.yaml", extra)],
        "ours",
    );
    let mut spec = spec(&stage, &registry);
    spec["patches"] = json!({ "git": { "url": stage.server.url("ours"), "path": "patches" } });
    spec["build"]["extraPackagesFrom"] = json!({ "path": "extra.yaml" });
    spec["build"]["args"]["PIP_PACKAGES"] = json!("mine");
    stage.apply("demo", &spec).await;
    let first = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    let args: Vec<[&str; 2]> = first
        .args
        .iter()
        .map(|(name, value)| [name.as_str(), value.as_str()])
        .collect();
    assert_eq!(
        args,
        [
            ["EXTRA_APT_PACKAGES", "qemu-utils"],
            ["GREETING", "hello"],
            ["PIP_EXTRAS", "ldap,s3"],
            ["PIP_PACKAGES", "mine"]
        ]
    );

    ours.commit(&[("extra.yaml", "demo: { pip_extras: ldap }\n")], "broken");
    let broken = stage.ready("demo", "False", "InvalidReference").await;
    let message = &condition(&broken, "Ready").unwrap().message;
    assert!(message.starts_with("extra.yaml is not a mapping"), "{message}");
    ours.commit(&[("extra.yaml", "other: {}\n")], "without");
    let without = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    assert_eq!(without.args["PIP_EXTRAS"], "");
    assert_eq!(without.reasons, [BuildReason::Config]);
}
