//! What is installed in an image decides whether it counts, and the document on its patches is
//! attached to it.

use kube::ResourceExt;
use patchset_api::build::{BuildStatus, ImageStatus, InstalledStatus, Origin};
use patchset_api::{ConstraintOverride, PatchSet};
use serde_json::{Value, json};

use super::build::{build_of, spec, stage};
use super::{GOOD, Stage, assert_well_formed, condition, inline, shown};
use crate::support::crafted::{MANIFEST, Repository, distribution, layer};
use crate::support::registry::Registry;

/// A stage whose upstream is the source of the distribution `openstack-demo`.
async fn python_stage(name: &str, registry: &Registry) -> Stage {
    let stage = stage(name, registry).await;
    stage
        .upstream
        .commit(&[("setup.cfg", "[metadata]\nname = openstack-demo\n")], "python");
    stage.upstream.git(&["tag", "--force", "1.0.0"]);
    stage
}

fn image_of(object: &PatchSet) -> ImageStatus {
    *object.status.as_ref().unwrap().image.clone().unwrap()
}

fn tag_of(build: &BuildStatus) -> &str {
    build.target.as_deref().unwrap().rsplit_once(':').unwrap().1
}

fn message_of(object: &PatchSet) -> &str {
    &condition(object, "Ready").unwrap().message
}

/// Lets the object be looked at again, and checks that nothing asks the API server or the registry.
async fn assert_quiet(stage: &Stage, registry: &Registry, object: &PatchSet) {
    let before = (object.resource_version(), registry.log().lines().count());
    stage.looks(3).await;
    let later = stage.api::<PatchSet>().get(&object.name_any()).await.unwrap();
    assert_eq!((later.resource_version(), registry.log().lines().count()), before);
}

async fn ask(stage: &Stage, at: &str) {
    stage
        .annotate("demo", "reconcile.fluxcd.io/requestedAt", at)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_wheel_keeps_an_image_from_counting() {
    let registry = Registry::open();
    let mut stage = python_stage("stock", &registry).await;
    let mut spec = spec(&stage, &registry);
    spec["build"]["image"]["movingTags"] = json!(["latest"]);
    spec["constraints"] = json!({ "name": "co" });
    let overrides = json!({
        "release": "2025.2", "interval": "1s",
        "upperConstraints": { "inline": "alpha===1.0\nOpenstack_Demo===0.9\n" },
        "overrides": { "entries": [{ "name": "alpha", "version": "1.1" }] }
    });
    stage
        .try_apply_kind::<ConstraintOverride>("co", &overrides)
        .await
        .unwrap();
    stage.apply("demo", &spec).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    assert_eq!(build.distributions["demo"], "openstack-demo");
    let root = tempfile::tempdir().unwrap();
    let tree = crate::source_images::unpacked(&registry, &build.contexts["upper-constraints"], root.path());
    let text = std::fs::read_to_string(tree.join("upper-constraints.txt")).unwrap();
    assert_eq!(text, "alpha===1.1\n", "the distribution stayed pinned");

    let repository = Repository::new(&registry, "demo");
    let stock = vec![
        distribution("alpha", "1.1", false),
        distribution("openstack_demo", "0.9", false),
    ];
    let bad = repository
        .image(Some(tag_of(&build)), build.inputs_digest.as_str(), stock)
        .await;
    let refused = stage.ready("demo", "False", "StockInstalled").await;
    assert_well_formed(&refused);
    assert_eq!(shown(&refused, "Stalled"), "True/StockInstalled");
    assert_eq!(shown(&refused, "ImageBuilt"), "False/StockInstalled");
    let message = message_of(&refused);
    assert!(
        message.contains(&bad) && message.contains("openstack-demo 0.9 is installed from a package index"),
        "{message}"
    );
    assert_eq!(refused.status.as_ref().unwrap().image, None);
    let rejected = build_of(&refused).rejected.unwrap();
    assert_eq!(rejected.digest.as_str(), bad);
    assert_eq!(rejected.installed.len(), 1);
    assert_eq!(repository.get("latest").await, None, "a tag was moved to it");
    assert_eq!(repository.attached(&bad).await, None);
    assert_quiet(&stage, &registry, &refused).await;

    // Another image under the tag is inspected on request.
    let fixed = vec![distribution("openstack_demo", "1.0.0", true)];
    let good = repository
        .image(Some(tag_of(&build)), build.inputs_digest.as_str(), fixed)
        .await;
    ask(&stage, "one").await;
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_well_formed(&ready);
    let image = image_of(&ready);
    assert_eq!(image.digest.as_str(), good);
    assert_eq!(build_of(&ready).rejected, None);
    let installed = InstalledStatus {
        name: "openstack-demo".into(),
        version: Some("1.0.0".into()),
        origin: Origin::Source,
        platforms: Vec::new(),
    };
    assert_eq!(image.installed.as_deref(), Some([installed].as_slice()));
    assert!(repository.get("latest").await.is_some());

    // The document on its patches exists, with the override.
    let (digest, document) = repository.attached(&good).await.unwrap();
    assert_eq!(image.sbom.as_deref(), Some(digest.as_str()));
    let main = &document["metadata"]["component"];
    assert_eq!(main["purl"], "pkg:pypi/openstack-demo@1.0.0");
    assert_eq!(main["pedigree"]["patches"].as_array().unwrap().len(), 1);
    assert_eq!(document["components"][0]["purl"], "pkg:pypi/alpha@1.1");
    assert_quiet(&stage, &registry, &ready).await;

    // What the status records is trusted after a restart.
    let asked = registry.log().lines().count();
    stage.controller.kill();
    stage.controller.restart();
    stage.looks(3).await;
    let later = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(later.resource_version(), ready.resource_version());
    assert_eq!(registry.log().lines().count(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_patches_resolve_is_attached_for_scanners() {
    let registry = Registry::open();
    let stage = python_stage("vex", &registry).await;
    let mut spec = spec(&stage, &registry);
    let patch = GOOD.replace(
        "\n\n---\n",
        "\n\nFixes CVE-2024-32498, which is worse than CVE-2023-11111.\n\n---\n",
    );
    spec["patches"] = inline(&[("0001-five.patch", &patch)]);
    stage.apply("demo", &spec).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    let repository = Repository::new(&registry, "demo");
    let layers = || vec![distribution("openstack_demo", "1.0.0", true)];
    let image = repository
        .image(Some(tag_of(&build)), build.inputs_digest.as_str(), layers())
        .await;
    let ready = stage.ready("demo", "True", "Succeeded").await;
    let attached = repository.all_attached(&image).await;
    let [statements, document] = attached.as_slice() else {
        panic!("{attached:?}");
    };
    assert_eq!(image_of(&ready).sbom.as_deref(), Some(document.digest.as_str()));
    assert_eq!(document.kind, "application/vnd.cyclonedx+json");
    assert_eq!(statements.kind, "application/vnd.in-toto+json");
    let predicate = &statements.document["predicate"];
    let stated = predicate["statements"].as_array().unwrap();
    assert_eq!(stated.len(), 1, "{predicate}");
    assert_eq!(stated[0]["vulnerability"]["name"], "CVE-2024-32498");
    assert_eq!(stated[0]["status"], "fixed");
    let product = &stated[0]["products"][0];
    assert!(
        product["@id"]
            .as_str()
            .unwrap()
            .starts_with("pkg:oci/demo@sha256"),
        "{product}"
    );
    assert_eq!(
        product["subcomponents"][0]["@id"],
        "pkg:pypi/openstack-demo@1.0.0"
    );
    assert_quiet(&stage, &registry, &ready).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_look_and_the_document_can_be_turned_off() {
    let registry = Registry::open();
    let stage = python_stage("skip", &registry).await;
    let mut spec = spec(&stage, &registry);
    stage.apply("demo", &spec).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    let repository = Repository::new(&registry, "demo");
    let image = repository
        .image(
            Some(tag_of(&build)),
            build.inputs_digest.as_str(),
            vec![b"this is no layer".repeat(100)],
        )
        .await;
    let refused = stage.ready("demo", "False", "ImageUnreadable").await;
    assert_well_formed(&refused);
    assert!(
        message_of(&refused).contains("set build.check to Skip"),
        "{}",
        message_of(&refused)
    );
    assert_quiet(&stage, &registry, &refused).await;
    spec["build"]["check"] = json!("Skip");
    spec["build"]["sbom"] = json!("Skip");
    stage.apply("demo", &spec).await;
    let ready = stage.ready("demo", "True", "Succeeded").await;
    let told = image_of(&ready);
    assert_eq!(
        (told.digest.as_str(), told.installed, told.sbom),
        (image.as_str(), None, None)
    );
    assert_eq!(repository.attached(&image).await, None);
    assert_quiet(&stage, &registry, &ready).await;

    // When the check is turned on again, the image that counted does not count.
    spec["build"]["check"] = json!("Installed");
    stage.apply("demo", &spec).await;
    let refused = stage.ready("demo", "False", "ImageUnreadable").await;
    assert_eq!(refused.status.unwrap().image, None);
}

/// The controller's peak memory, in KiB.
fn peak(stage: &Stage) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", stage.controller.child.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_image() {
    let registry = Registry::open();
    let stage = python_stage("large", &registry).await;
    let spec = spec(&stage, &registry);
    stage.apply("demo", &spec).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    let before = peak(&stage);
    let large = "what an image is full of\n".repeat(8 << 20);
    let layers = vec![
        layer(&[("large", &large)]),
        distribution("openstack_demo", "1.0.0", true),
    ];
    assert!(layers[0].len() > 200_000_000);
    Repository::new(&registry, "demo")
        .image(Some(tag_of(&build)), build.inputs_digest.as_str(), layers)
        .await;
    stage.ready("demo", "True", "Succeeded").await;
    let grown = peak(&stage) - before;
    assert!(grown < 32 << 10, "{grown} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_refused_is_told_and_tried_again() {
    let registry = Registry::open();
    let stage = python_stage("refusal", &registry).await;
    let spec = spec(&stage, &registry);
    stage.apply("demo", &spec).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    let repository = Repository::new(&registry, "demo");
    let image = repository
        .image(
            None,
            build.inputs_digest.as_str(),
            vec![distribution("x", "1", false)],
        )
        .await;
    // Something else has the tag for the list of attached documents.
    let manifest = repository.get(&image).await.unwrap();
    let list = image.replace(':', "-");
    let mut other = manifest.clone();
    other["annotations"] = json!({ "in": "the way" });
    let other = repository.manifest(Some(&list), MANIFEST, &other).await;
    repository
        .manifest(Some(tag_of(&build)), MANIFEST, &manifest)
        .await;
    let ready = stage.ready("demo", "True", "NeedsAttention").await;
    assert_well_formed(&ready);
    assert_eq!(shown(&ready, "ImageBuilt"), "True/Succeeded");
    assert_eq!(image_of(&ready).digest.as_str(), image);
    // A package that is not found is reported, and is no reason to refuse the image.
    assert_eq!(image_of(&ready).installed.unwrap()[0].origin, Origin::NotFound);
    assert!(message_of(&ready).contains("could not be attached"));
    repository.delete(&other).await;
    let mended = stage.ready("demo", "True", "Succeeded").await;
    let (digest, _) = repository.attached(&image).await.unwrap();
    assert_eq!(image_of(&mended).sbom.as_deref(), Some(digest.as_str()));
    assert!(!message_of(&mended).contains("attached"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_vanished_is_missed_when_somebody_asks() {
    let registry = Registry::open();
    let stage = python_stage("vanished", &registry).await;
    let spec = spec(&stage, &registry);
    stage.apply("demo", &spec).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    let repository = Repository::new(&registry, "demo");
    let layers = || vec![distribution("openstack_demo", "1.0.0", true)];
    let image = repository
        .image(Some(tag_of(&build)), build.inputs_digest.as_str(), layers())
        .await;
    let ready = stage.ready("demo", "True", "Succeeded").await;
    ask(&stage, "there").await;
    let still = stage
        .wait("demo", "looked at", |object| {
            let status = object.status.as_ref().unwrap();
            status.last_handled_reconcile_at.as_deref() == Some("there")
        })
        .await;
    assert_eq!(image_of(&still), image_of(&ready));
    repository.delete(&image).await;
    assert_quiet(&stage, &registry, &still).await;
    ask(&stage, "gone").await;
    let missed = stage.ready("demo", "Unknown", "AwaitingImage").await;
    assert_eq!(missed.status.as_ref().unwrap().image, None);
    assert_eq!(build_of(&missed).inputs_digest, build.inputs_digest);
    repository
        .image(Some(tag_of(&build)), build.inputs_digest.as_str(), layers())
        .await;
    let again = stage.ready("demo", "True", "Succeeded").await;
    assert_eq!(image_of(&again), image_of(&ready));
    assert_eq!(again.status.unwrap().history.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_stay_pinned_is_not_built() {
    let registry = Registry::open();
    let stage = python_stage("pinned", &registry).await;
    let mut spec = spec(&stage, &registry);
    spec["build"]["args"]["PIP_PACKAGES"] = json!("lhafile OpenStack.Demo==0.9");
    stage.apply("demo", &spec).await;
    let refused = stage.ready("demo", "False", "StillPinned").await;
    assert_well_formed(&refused);
    assert!(
        message_of(&refused).contains("PIP_PACKAGES has OpenStack.Demo==0.9"),
        "{}",
        message_of(&refused)
    );
    spec["build"]["args"]["PIP_PACKAGES"] = json!("lhafile");
    stage.apply("demo", &spec).await;
    stage.ready("demo", "Unknown", "AwaitingImage").await;
}

/// A library with libraries of its own.
fn library(stage: &Stage, registry: &Registry, component: &str, needs: &[&str]) -> Value {
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["component"] = json!(component);
    spec["level"] = json!("Library");
    spec["build"] = json!({ "engine": "External", "source": {
        "repository": format!("{}/{component}-source", registry.host)
    } });
    let needs: Vec<Value> = needs.iter().map(|name| json!({ "name": name })).collect();
    spec["libraries"] = json!(needs);
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_of_libraries_come_along_and_circles_are_named() {
    let registry = Registry::open();
    let stage = stage("circle", &registry).await;
    let mut service = spec(&stage, &registry);
    service["libraries"] = json!([{ "name": "a" }]);
    stage.apply("demo", &service).await;
    stage
        .apply("a", &library(&stage, &registry, "lib-a", &["b"]))
        .await;
    let missing = stage.ready("a", "False", "ReferenceNotFound").await;
    assert!(
        message_of(&missing).contains("/b does not exist"),
        "{}",
        message_of(&missing)
    );
    stage
        .apply("b", &library(&stage, &registry, "lib-b", &["a"]))
        .await;
    for (name, circle) in [("a", "a → b → a"), ("b", "b → a → b"), ("demo", "a → b → a")] {
        let told = stage.ready(name, "False", "DependencyCycle").await;
        assert_well_formed(&told);
        assert_eq!(shown(&told, "Stalled"), "True/DependencyCycle");
        assert!(message_of(&told).contains(circle), "{}", message_of(&told));
    }
    stage.apply("b", &library(&stage, &registry, "lib-b", &[])).await;
    stage.ready("b", "True", "Succeeded").await;
    stage.ready("a", "True", "Succeeded").await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    assert_eq!(
        build.contexts.keys().collect::<Vec<_>>(),
        ["demo", "lib-a", "lib-b"]
    );
    // Each of them is in the document on the patches.
    let repository = Repository::new(&registry, "demo");
    let image = repository
        .image(Some(tag_of(&build)), build.inputs_digest.as_str(), vec![])
        .await;
    stage.ready("demo", "True", "Succeeded").await;
    let (_, document) = repository.attached(&image).await.unwrap();
    let components = document["components"].as_array().unwrap();
    let named: Vec<(&str, usize)> = components
        .iter()
        .map(|one| {
            let patches = one["pedigree"]["patches"].as_array().unwrap();
            (one["name"].as_str().unwrap(), patches.len())
        })
        .collect();
    assert_eq!(named, [("lib-a", 1), ("lib-b", 1)]);
    assert_eq!(
        document["metadata"]["component"]["purl"],
        "pkg:generic/demo@1.0.0"
    );
}

/// Runs `patchset sbom` on these files.
fn by_the_command_line(files: &[(&str, &str)], arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let assert = assert_cmd::Command::new(env!("CARGO_BIN_EXE_patchset"))
        .current_dir(folder.path())
        .arg("sbom")
        .args(arguments)
        .args(["--upper-constraints", "upper.txt", "--overrides", "overrides.txt"])
        .args(["--component-version", "1.0.0", "--release", "2025.2"])
        .arg("0001-five.patch")
        .assert()
        .success();
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_that_of_the_command_line_whatever_upstream_pins() {
    let registry = Registry::open();
    let stage = python_stage("document", &registry).await;
    // Nearly as long as a marker may be.
    let machines: Vec<String> = (0..8)
        .map(|number| format!("platform_machine!='machine-{number},{}'", "x".repeat(22)))
        .collect();
    let upper = format!(
        "alpha===1.0;sys_platform in 'linux, darwin'\nbeta @ https://example.org/beta-1,2.whl\n\
         gamma>=1,<2\ndelta===1.0;{}\nepsilon\n",
        machines.join(" and ")
    );
    let overrides = "alpha===1.1\nbeta===2.0\ngamma===1.5\ndelta===3\nepsilon===4\nzeta===5\n";
    let constraints = json!({
        "release": "2025.2", "interval": "1s",
        "upperConstraints": { "inline": upper }, "overrides": { "inline": overrides }
    });
    stage
        .try_apply_kind::<ConstraintOverride>("co", &constraints)
        .await
        .unwrap();
    let mut spec = spec(&stage, &registry);
    spec["constraints"] = json!({ "name": "co" });
    stage.apply("demo", &spec).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    let repository = Repository::new(&registry, "demo");
    let installed = vec![distribution("openstack_demo", "1.0.0", true)];
    let image = repository
        .image(Some(tag_of(&build)), build.inputs_digest.as_str(), installed)
        .await;
    let ready = stage.ready("demo", "True", "Succeeded").await;
    let (_, document) = repository.attached(&image).await.unwrap();
    let revision = ready.status.unwrap().upstream.unwrap().revision;
    let files = [
        ("upper.txt", upper.as_str()),
        ("overrides.txt", overrides),
        ("0001-five.patch", GOOD),
    ];
    let told = by_the_command_line(
        &files,
        &["--component", "openstack-demo", "--revision", &revision],
    );
    assert_eq!(document, told);
    let ancestors = |at: usize| document["components"][at]["pedigree"]["ancestors"].clone();
    assert_eq!(ancestors(0)[0]["version"], "1.0");
    assert_eq!(ancestors(1)[0]["version"], "an address");
    assert_eq!(ancestors(2)[0]["version"], ">=1,<2");
}
