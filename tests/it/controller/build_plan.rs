//! The plan of the command line is that of the controller.

use std::path::Path;
use std::process::Command as Program;

use assert_cmd::Command;
use patchset_api::{ConstraintOverride, PatchSet};
use serde_json::{Value, json};

use super::build::{build_of, spec, stage};
use super::{GOOD, Stage, inline};
use crate::source_images::source;
use crate::support::git_repo::GitRepo;
use crate::support::registry::Registry;

const EXTRA: &str = "demo:\n  pip_extras: [ldap]\n  pip_packages: [lhafile]\n";
const DOCKERFILE: &str =
    "FROM scratch AS one\nARG GREETING\nLABEL greeting=$GREETING\nCOPY --from=demo file.txt /file.txt\n";

/// What the team keeps beside its patches.
fn ours(stage: &Stage) -> GitRepo {
    let ours = GitRepo::create(stage.root.path(), "ours");
    let upper = "alpha===1.0\nDemo===1.0\nmy_lib===2.0\n";
    ours.commit(
        &[
            ("patches/demo/0001-five.patch", GOOD),
            ("patches/demo/README.md", "why\n"),
            ("releases/source-refs.yaml", "demo: 1.0.0\n"),
            ("releases/extra-packages.yaml", EXTRA),
            ("releases/upper-constraints.txt", upper),
            ("overrides/constraints.txt", "alpha===1.1\nbeta===2\n"),
            ("images/demo/Containerfile", DOCKERFILE),
            ("images/demo/entrypoint.sh", "true\n"),
        ],
        "ours",
    );
    ours
}

/// A service with everything that can go into an image, a library, and constraints: kinds, names
/// and specs.
fn objects(stage: &Stage, registry: &Registry) -> Vec<(&'static str, &'static str, Value)> {
    let ours = stage.server.url("ours");
    let at = |path: &str| json!({ "git": { "url": ours, "path": path } });
    let mut service = spec(stage, registry);
    service["upstream"]["ref"] = Value::Null;
    service["upstream"]["refFrom"] = json!({ "path": "releases/source-refs.yaml" });
    service["patches"] = at("patches/demo");
    service["libraries"] = json!([{ "name": "lib" }]);
    service["constraints"] = json!({ "name": "co" });
    let build = &mut service["build"];
    build["image"]["tag"] = json!("{version}-p{patches}-{ref}-{sha}-{inputs}");
    build["image"]["movingTags"] = json!(["{version}", "{release}"]);
    build["dockerfile"] = at("images/demo");
    build["dockerfile"]["file"] = json!("Containerfile");
    build["dockerfile"]["stage"] = json!("one");
    build["contexts"] = json!({ "base": format!("docker-image://{}/base:1", registry.host) });
    build["extraPackagesFrom"] = json!({ "path": "releases/extra-packages.yaml" });
    build["platforms"] = json!(["linux/amd64"]);

    // On a branch, so that the library has no version; and with a patch that upstream has already.
    let has_already = GOOD.replace("-five", "-eleven").replace("+FIVE", "+five");
    let mut library = stage.spec_with(&inline(&[
        ("0002-five.patch", GOOD),
        ("0001-has.patch", &has_already),
    ]));
    library["component"] = json!("my-lib");
    library["level"] = json!("Library");
    library["mergedPatches"] = json!("Skip");
    library["build"] = json!({ "engine": "External", "source": {
        "repository": format!("{}/team/source", registry.host)
    } });

    let mut constraints = json!({ "release": "2025.2", "interval": "1s" });
    constraints["upperConstraints"] = at("releases/upper-constraints.txt");
    constraints["overrides"] = at("overrides/constraints.txt");
    vec![
        ("PatchSet", "demo", service),
        ("PatchSet", "lib", library),
        ("ConstraintOverride", "co", constraints),
    ]
}

/// The same objects as documents of one file.
fn manifest(objects: &[(&str, &str, Value)]) -> String {
    let documents = objects.iter().map(|(kind, name, spec)| {
        let object = json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": kind,
            "metadata": { "name": name, "namespace": "anywhere" }, "spec": spec
        });
        serde_saphyr::to_string(&object).unwrap()
    });
    documents.collect::<Vec<_>>().join("---\n")
}

fn plan(registry: &Registry, arguments: &[&str], manifest: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchset"));
    command
        .args(["build-plan", "--plain-http", &registry.host])
        .args(arguments)
        .arg("-")
        .env("DOCKER_CONFIG", "/nonexistent")
        .write_stdin(manifest);
    command
}

fn document(registry: &Registry, arguments: &[&str], manifest: &str) -> Value {
    let mut command = plan(registry, &[&["--output", "json"], arguments].concat(), manifest);
    let assert = command.assert().success();
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

/// Clones what the controller reads over HTTP, as a person has it.
fn clones(stage: &Stage, folder: &Path) {
    for name in ["upstream", "ours"] {
        let cloned = Program::new("git")
            .args(["clone", "--quiet", &stage.server.url(name)])
            .arg(folder.join(name))
            .status()
            .unwrap();
        assert!(cloned.success());
    }
    // It does not matter what is checked out.
    let checkout = Program::new("git")
        .arg("-C")
        .arg(folder.join("ours"))
        .args(["checkout", "--quiet", "-b", "work"])
        .status()
        .unwrap();
    assert!(checkout.success());
}

/// Runs the printed commands with the real builder, in the folder with the Dockerfile.
fn run(commands: &str, folder: &Path, registry: &Registry) {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().display();
    std::fs::write(
        home.path().join("registries.conf"),
        format!(
            "[[registry]]\nlocation = \"{}\"\ninsecure = true\n",
            registry.host
        ),
    )
    .unwrap();
    std::fs::write(
        home.path().join("storage.conf"),
        format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{root}/root\"\nrunroot = \"{root}/run\"\n"),
    )
    .unwrap();
    let output = Program::new("sh")
        .args(["-e", "-c", commands])
        .current_dir(folder)
        .env("CONTAINERS_REGISTRIES_CONF", home.path().join("registries.conf"))
        .env("CONTAINERS_STORAGE_CONF", home.path().join("storage.conf"))
        .env("BUILDAH_ISOLATION", "chroot")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{commands}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Pushes an image for a context.
fn push_base(registry: &Registry, content: &str, tag: &str) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("base"), content).unwrap();
    let reference = format!("{}/base:{tag}", registry.host);
    let from = folder.path().to_str().unwrap();
    source(&[from, "--plain-http", &registry.host, "--push", &reference])
        .assert()
        .success();
}

/// Objects as kubectl prints them know what was built before.
async fn objects_of_the_cluster_tell_what_is_different(
    stage: &Stage,
    registry: &Registry,
    here: &str,
    of_controller: &Value,
) {
    let list = json!({ "kind": "List", "apiVersion": "v1", "items": [
        stage.api::<PatchSet>().get("demo").await.unwrap(), stage.api::<PatchSet>().get("lib").await.unwrap(),
        stage.api::<ConstraintOverride>().get("co").await.unwrap(),
    ] });
    let planned = document(registry, &["--upstream", here], &list.to_string());
    assert_eq!(planned["build"]["reasons"], json!(["First"]));
    let mut changed = list.clone();
    changed["items"][0]["spec"]["build"]["args"]["GREETING"] = json!("it's me");
    let planned = document(registry, &["--upstream", here], &changed.to_string());
    assert_eq!(planned["build"]["reasons"], json!(["Config"]));
    assert_ne!(planned["build"]["inputsDigest"], of_controller["inputsDigest"]);
}

/// The image behind the base is unknown, and so is everything that follows from it.
fn without_a_registry_the_inputs_are_not_known(
    registry: &Registry,
    here: &str,
    text: &str,
    of_controller: &Value,
) {
    let offline = document(registry, &["--offline", "--upstream", here], text);
    assert_eq!(offline["unpinned"], json!(["base"]));
    for field in ["inputsDigest", "target", "movingTags"] {
        assert_eq!(offline["build"][field], Value::Null, "{field}");
    }
    assert_eq!(
        offline["build"]["contexts"]["demo"],
        of_controller["contexts"]["demo"]
    );
    let mut command = plan(registry, &["--offline", "--upstream", here], text);
    let said = String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap();
    assert!(
        said.contains("the inputs digest and the tag: base is named by tag"),
        "{said}"
    );
}

/// Applies objects of both kinds.
async fn apply_all(stage: &Stage, objects: &[(&str, &str, Value)]) {
    for (kind, name, spec) in objects {
        match *kind {
            "PatchSet" => drop(stage.apply(name, spec).await),
            _ => drop(
                stage
                    .try_apply_kind::<ConstraintOverride>(name, spec)
                    .await
                    .unwrap(),
            ),
        }
    }
}

/// The patches of a status as a plan shows them: the status also remembers for which bytes a patch
/// has its state, and since when.
fn patches_as_planned(object: &PatchSet) -> Value {
    let mut patches = json!(object.status.as_ref().unwrap().patches);
    for patch in patches.as_array_mut().unwrap() {
        for field in ["blob", "since"] {
            assert!(patch.as_object_mut().unwrap().remove(field).is_some());
        }
    }
    patches
}

/// Moves the tag of the base image to another image.
fn move_base(registry: &Registry) {
    push_base(registry, "other\n", "2");
    let at = |tag: &str| format!("docker://{}/base:{tag}", registry.host);
    let moved = Program::new("skopeo")
        .args([
            "copy",
            "--quiet",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
        ])
        .args([at("2"), at("1")])
        .status()
        .unwrap();
    assert!(moved.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_plans_as_the_controller_does() {
    let registry = Registry::open();
    let stage = stage("plan", &registry).await;
    let ours = ours(&stage);
    push_base(&registry, "base\n", "1");
    let objects = objects(&stage, &registry);
    apply_all(&stage, &objects).await;
    let waiting = stage.ready("demo", "Unknown", "AwaitingImage").await;
    let mut of_controller = json!(build_of(&waiting));
    let fields = of_controller.as_object_mut().unwrap();
    assert_eq!(fields.remove("reasons").unwrap(), json!(["First"]));
    assert_eq!(
        fields["contexts"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["base", "demo", "my-lib", "upper-constraints"]
    );

    // From clones of what the controller reads, and from the servers themselves.
    let folder = tempfile::tempdir().unwrap();
    clones(&stage, folder.path());
    let here = folder.path().to_str().unwrap();
    let text = manifest(&objects);
    let planned = document(&registry, &["--look", "--upstream", here], &text);
    assert_eq!(planned["build"], of_controller);
    assert_eq!(planned["name"], "demo");
    assert_eq!(planned["image"], json!({ "state": "Absent" }));
    assert_eq!(planned["patches"], patches_as_planned(&waiting));
    assert_eq!(planned["libraries"][0]["patches"][0]["state"], "Merged");
    let uploads = registry.uploads();
    let cache = tempfile::tempdir().unwrap();
    let fetched = document(&registry, &["--cache-dir", cache.path().to_str().unwrap()], &text);
    assert_eq!(fetched["build"], of_controller);
    let named = format!("upstream={here}/upstream");
    let as_it_is = format!("ours={here}/ours");
    let from_folder = document(&registry, &["--repo", &named, "--folder", &as_it_is], &text);
    assert_eq!(from_folder["build"], of_controller);
    assert_eq!(registry.uploads(), uploads, "planning pushed something");

    objects_of_the_cluster_tell_what_is_different(&stage, &registry, here, &of_controller).await;
    without_a_registry_the_inputs_are_not_known(&registry, here, &text, &of_controller);

    // The printed command builds the image that the controller waits for.
    let mut command = plan(&registry, &["--output", "buildah", "--upstream", here], &text);
    let commands = String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap();
    // buildah's `manifest push` ignores registries.conf.
    let commands = commands.replace("  push \\\n", "  push --tls-verify=false \\\n");
    run(&commands, &ours.work().join("images/demo"), &registry);
    let ready = stage.ready("demo", "True", "Succeeded").await;
    let image = ready.status.unwrap().image.unwrap();
    let planned = document(&registry, &["--look", "--upstream", here], &text);
    assert_eq!(
        planned["image"],
        json!({ "state": "Built", "digest": image.digest })
    );

    // A base that moved is another input, for both.
    move_base(&registry);
    let again = stage.ready("demo", "Unknown", "AwaitingImage").await;
    let planned = document(&registry, &["--upstream", here], &text);
    assert_eq!(
        planned["build"]["inputsDigest"],
        build_of(&again).inputs_digest.as_str()
    );
}
