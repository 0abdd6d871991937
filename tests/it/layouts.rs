//! A repository of each shape gives the same result to every command and to the controller.

use std::path::Path;

use assert_cmd::Command;
use kube::ResourceExt;
use patchset_api::{PatchRepository, PatchSet};
use serde_json::{Value, json};

use crate::controller::patches::{install_git_repository_kind, publish};
use crate::controller::{GOOD, Stage, condition, shown};
use crate::support::git_repo::GitRepo;
use crate::support::team_repository::{RELEASE, Shape, TeamRepository, expected, make_upstreams, patch};

fn program(arguments: &[&str], status: i32) -> (Vec<u8>, String) {
    let assert = Command::new(env!("CARGO_BIN_EXE_patchset"))
        .args(arguments)
        .env("DOCKER_CONFIG", "/nonexistent")
        .assert()
        .code(status);
    let output = assert.get_output();
    (
        output.stdout.clone(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}

/// Names and states of rows.
fn results<'a>(rows: impl IntoIterator<Item = &'a Value>) -> Vec<(String, String)> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let rows = rows.into_iter();
    rows.map(|row| (text(row, "name"), text(row, "state"))).collect()
}

fn check(folder: &Path, root: &Path, shape: Shape) -> Value {
    let mut arguments = vec![
        "check",
        folder.to_str().unwrap(),
        "--upstream",
        root.to_str().unwrap(),
        "--ref-template",
        "stable/{release}",
        "--output",
        "json",
    ];
    if shape.components().len() == 1 {
        arguments.extend(["--component", "nova"]);
    }
    serde_json::from_slice(&program(&arguments, 0).0).unwrap()
}

fn spec(component: &str, upstream: &str, git: &Value) -> Value {
    json!({
        "component": component, "release": RELEASE, "interval": "1s",
        "upstream": { "url": upstream, "ref": { "branch": "stable/2025.2" } },
        "patches": { "git": git }
    })
}

/// Names and states by `build-plan`.
fn planned(root: &Path, spec: &Value) -> Vec<(String, String)> {
    let mut spec = spec.clone();
    spec["build"] = json!({
        "engine": "External",
        "image": { "repository": "registry.invalid/x", "tag": "one" },
        "source": { "repository": "registry.invalid/x-source" }
    });
    let manifest = root.join("manifest.json");
    let object = json!({
        "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet",
        "metadata": { "name": "x" }, "spec": spec
    });
    std::fs::write(&manifest, object.to_string()).unwrap();
    let arguments = [
        "build-plan",
        "--upstream",
        root.to_str().unwrap(),
        "--offline",
        "--output",
        "json",
        manifest.to_str().unwrap(),
    ];
    let plan: Value = serde_json::from_slice(&program(&arguments, 0).0).unwrap();
    results(plan["patches"].as_array().unwrap())
}

/// The PatchSets that `generate` prints for a repository of a shape.
fn generated(folder: &Path, name: &str, spec: &Value) -> Vec<PatchSet> {
    let object = json!({
        "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchRepository",
        "metadata": { "name": name }, "spec": spec
    });
    let manifest = folder.with_extension("json");
    std::fs::write(&manifest, object.to_string()).unwrap();
    let arguments = [
        "generate",
        folder.to_str().unwrap(),
        "--repository",
        manifest.to_str().unwrap(),
    ];
    let printed = String::from_utf8(program(&arguments, 0).0).unwrap();
    let documents = printed
        .split("---\n")
        .filter(|document| !document.trim().is_empty());
    let objects = documents.map(|document| serde_saphyr::from_str(document).unwrap());
    objects.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_shape_is_a_patch_repository() {
    let checkouts = tempfile::tempdir().unwrap();
    for shape in Shape::ALL {
        let name = format!("shape-{}", shape.name().to_lowercase());
        let stage = Stage::new(&name).await;
        let root = stage.root.path();
        make_upstreams(root);
        let team = TeamRepository::create(root, shape);
        let url = stage.server.url(&format!("team-{}", shape.name().to_lowercase()));
        let mut spec = json!({
            "source": { "git": { "url": url, "ref": { "branch": shape.branch() } } },
            "upstream": {
                "urlTemplate": stage.server.url("{component}"), "refTemplate": "stable/{release}"
            }
        });
        if shape.components().len() == 1 {
            spec["component"] = json!("nova");
        }
        let printed = generated(&team.checkout(checkouts.path()), &name, &spec);
        stage
            .try_apply_kind::<PatchRepository>(&name, &spec)
            .await
            .unwrap();
        let repository: PatchRepository = stage.ready_kind(&name, "True", "NeedsAttention").await;
        for component in shape.components() {
            let child = format!("{component}-{RELEASE}");
            let object = stage.ready(&child, "True", "Succeeded").await;
            let rows = object.status.as_ref().unwrap().patches.iter();
            let rows: Vec<_> = rows
                .map(|patch| (patch.name.clone(), patch.state.as_str().to_owned()))
                .collect();
            assert_eq!(rows, expected(component), "{component} of {shape:?}");
            let printed = printed.iter().find(|printed| printed.name_any() == child);
            assert_eq!(printed.unwrap().spec, object.spec, "{component} of {shape:?}");
        }
        let status = repository.status.unwrap();
        assert_eq!(format!("{:?}", status.layout.unwrap()), shape.name());
        let kinds: Vec<&str> = status.faults.iter().map(|fault| fault.kind.as_str()).collect();
        assert_eq!(kinds, ["NotInSeries"], "{shape:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_shape_gives_the_same_everywhere() {
    let stage = Stage::new("layouts").await;
    let root = stage.root.path();
    make_upstreams(root);
    let checkouts = tempfile::tempdir().unwrap();
    for shape in Shape::ALL {
        let team = TeamRepository::create(root, shape);
        let folder = team.checkout(checkouts.path());
        let report = check(&folder, root, shape);
        for component in shape.components() {
            let rows = report["patches"].as_array().unwrap().iter();
            let rows = rows.filter(|row| row["component"] == *component && row["release"] == RELEASE);
            assert_eq!(results(rows), expected(component), "check of {shape:?}");

            let url = stage.server.url(&format!("team-{}", shape.name().to_lowercase()));
            let git = json!({
                "url": url, "ref": { "branch": shape.branch() }, "path": shape.folder(component)
            });
            let spec = spec(component, &stage.server.url(component), &git);
            assert_eq!(
                planned(root, &spec),
                expected(component),
                "build-plan of {shape:?}"
            );

            let name = format!("{component}-{}", shape.name().to_lowercase());
            stage.apply(&name, &spec).await;
            let object = stage.ready(&name, "True", "Succeeded").await;
            let status = object.status.unwrap();
            let rows = status.patches.iter();
            let rows: Vec<_> = rows
                .map(|patch| (patch.name.clone(), patch.state.as_str().to_owned()))
                .collect();
            assert_eq!(rows, expected(component), "the controller on {shape:?}");
            // Other files in the folder are reported.
            let note = status.patches_note.unwrap_or_default();
            let left_out = format!("{}/left-out.patch: is not in series", shape.folder("nova"));
            assert_eq!(
                note.contains(&left_out),
                *component == "nova",
                "{shape:?}: {note}"
            );
        }
        let kinds: Vec<&str> = report["faults"]
            .as_array()
            .unwrap()
            .iter()
            .map(|fault| fault["kind"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["NotInSeries"], "{shape:?}");

        // The folder by its path.
        let nova = folder.join(shape.folder("nova"));
        let arguments = [
            "apply",
            "--repo",
            &root.join("nova.git").display().to_string(),
            "--ref",
            "stable/2025.2",
            "--output",
            "json",
            nova.to_str().unwrap(),
        ];
        let (out, told) = program(&arguments, 0);
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 2);
        assert!(told.contains("left-out.patch: is not in series"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_is_followed_and_what_it_names_in_vain_stalls() {
    let stage = Stage::new("series").await;
    let ours = GitRepo::create(stage.root.path(), "ours");
    let back = GOOD.replace("-five", "-FIVE").replace("+FIVE", "+five");
    let series = |names: &str| ours.commit(&[("patches/series", names)], "series");
    ours.commit(
        &[("patches/b.patch", GOOD), ("patches/a.patch", &back)],
        "patches",
    );
    series("b.patch\na.patch\ngone.patch\n");
    let git = json!({ "url": stage.server.url("ours"), "ref": { "branch": "main" }, "path": "patches" });
    let mut spec = stage.spec_with(&json!({ "git": git }));
    spec["interval"] = json!("1s");
    stage.apply("series", &spec).await;
    let object = stage.ready("series", "False", "LayoutInvalid").await;
    assert_eq!(shown(&object, "Stalled"), "True/LayoutInvalid");
    let message = &condition(&object, "Ready").unwrap().message;
    assert!(
        message.contains("patches/series:3: names gone.patch, which does not exist"),
        "{message}"
    );

    series("b.patch\na.patch\n");
    let object = stage.ready("series", "True", "Succeeded").await;
    assert_eq!(shown(&object, "Stalled"), "-");
    let names: Vec<String> = object
        .status
        .unwrap()
        .patches
        .into_iter()
        .map(|patch| patch.name)
        .collect();
    assert_eq!(names, ["b.patch", "a.patch"]);

    // A patch that is left out is reported, and makes nothing fail.
    series("b.patch\n");
    let object = stage
        .wait("series", "with one patch", |object| {
            object.status.as_ref().unwrap().applied.as_deref() == Some("1/1")
        })
        .await;
    let message = &condition(&object, "PatchesApplicable").unwrap().message;
    assert!(
        message.contains("1 patch applies") && message.contains("patches/a.patch: is not in series"),
        "{message}"
    );

    // A link that leads out of the repository is no patch.
    std::os::unix::fs::symlink("/etc/hostname", ours.work().join("patches/out.patch")).unwrap();
    series("b.patch\nout.patch\n");
    let object = stage.ready("series", "False", "LayoutInvalid").await;
    let message = &condition(&object, "Ready").unwrap().message;
    assert!(message.contains("out of the repository"), "{message}");

    // A path one folder too high is reported with what is there.
    std::fs::remove_file(ours.work().join("patches/series")).unwrap();
    ours.git(&["rm", "--quiet", "-r", "--cached", "patches"]);
    std::fs::remove_dir_all(ours.work().join("patches")).unwrap();
    ours.commit(&[("patches/demo/a.patch", GOOD)], "moved");
    let object = stage.ready("series", "True", "Succeeded").await;
    let message = &condition(&object, "PatchesApplicable").unwrap().message;
    assert!(
        message.contains("holds no patch that is applied, but other things: demo"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_and_config_maps_are_read_as_folders_are() {
    let stage = Stage::new("folders").await;
    install_git_repository_kind(&stage.client).await;
    let back = GOOD.replace("-five", "-FIVE").replace("+FIVE", "+five");
    let names = |object: patchset_api::PatchSet| -> Vec<String> {
        let patches = object.status.unwrap().patches.into_iter();
        patches.map(|patch| patch.name).collect()
    };
    publish(
        &stage,
        "one",
        &[
            ("patches/demo/series", "b.diff\na.diff\n"),
            ("patches/demo/a.diff", &back),
            ("patches/demo/b.diff", GOOD),
            ("patches/demo/c.diff", GOOD),
        ],
    )
    .await;
    let spec = stage.spec_with(&json!({
        "sourceRef": { "kind": "GitRepository", "name": "deploy" }, "path": "patches/demo"
    }));
    stage.apply("artifact", &spec).await;
    let object = stage.ready("artifact", "True", "Succeeded").await;
    let note = object.status.as_ref().unwrap().patches_note.clone().unwrap();
    assert!(note.contains("c.diff: is not in series"), "{note}");
    assert_eq!(names(object), ["b.diff", "a.diff"]);

    let keys = [
        ("series", "b.diff\na.diff\n"),
        ("a.diff", back.as_str()),
        ("b.diff", GOOD),
    ];
    stage.config_map("patches", &keys).await;
    let spec = stage.spec_with(&json!({ "configMap": { "name": "patches" } }));
    stage.apply("map", &spec).await;
    assert_eq!(
        names(stage.ready("map", "True", "Succeeded").await),
        ["b.diff", "a.diff"]
    );
    stage
        .config_map("patches", &[("series", "none.diff\n"), ("a.diff", GOOD)])
        .await;
    stage.ready("map", "False", "LayoutInvalid").await;
    stage.config_map("patches", &[("a.diff", GOOD)]).await;
    assert_eq!(names(stage.ready("map", "True", "Succeeded").await), ["a.diff"]);
}

#[test]
fn a_folder_of_diffs_is_the_same_for_apply_and_source() {
    let root = tempfile::tempdir().unwrap();
    make_upstreams(root.path());
    let folder = root.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let text = patch(["a/file.txt", "b/file.txt"], "five", "FIVE");
    std::fs::write(folder.join("1.diff"), &text).unwrap();
    let repo = root.path().join("nova.git").display().to_string();
    let run = |command: &str, folder: &Path, status| {
        let arguments = [
            command,
            "--repo",
            &repo,
            "--ref",
            "stable/2025.2",
            "--output",
            "json",
            folder.to_str().unwrap(),
        ];
        program(&arguments, status)
    };
    let (applied, _) = run("apply", &folder, 0);
    let applied: Value = serde_json::from_slice(&applied).unwrap();
    let (made, _) = run("source", &folder, 0);
    let made: Value = serde_json::from_slice(&made).unwrap();
    assert_eq!(applied["tree"], made["tree"]);
    assert!(made["labels"].to_string().contains("1.diff"), "{made}");
    // A file that is no patch, and a series that names missing files.
    std::fs::write(folder.join("notes.txt"), "").unwrap();
    let (_, told) = run("apply", &folder, 0);
    assert!(told.contains("notes.txt: nothing reads it"), "{told}");
    std::fs::write(folder.join("series"), "2.diff\n").unwrap();
    for command in ["apply", "source"] {
        let (_, told) = run(command, &folder, 2);
        assert!(
            told.contains("series:1: names 2.diff, which does not exist"),
            "{told}"
        );
    }
}

/// The order and the strip of a series by the installed `quilt`.
#[test]
fn a_series_gives_the_tree_that_quilt_makes() {
    if std::process::Command::new("quilt")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("quilt is not installed");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    make_upstreams(root.path());
    let team = TeamRepository::create(root.path(), Shape::DebianPatches);
    let folder = team.checkout(root.path());
    let work = root.path().join("work");
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let repo = root.path().join("nova.git").display().to_string();
    git(&["clone", "--quiet", &repo, work.to_str().unwrap()]);
    std::fs::write(
        folder.join("debian/patches/c.patch"),
        patch(["x/y/file.txt", "x/y/file.txt"], "two", "TWO"),
    )
    .unwrap();
    let series = "# comment\n\n   b-louder.patch\t\nsub/a-quiet.diff -p0 # why\nc.patch -p2\n";
    std::fs::write(folder.join("debian/patches/series"), series).unwrap();
    let pushed = std::process::Command::new("quilt")
        .args(["push", "-a", "--fuzz=0"])
        .current_dir(&work)
        .env("QUILT_PATCHES", folder.join("debian/patches"))
        .output()
        .unwrap();
    assert!(
        pushed.status.success(),
        "{}",
        String::from_utf8_lossy(&pushed.stdout)
    );
    let at = work.to_str().unwrap();
    std::fs::remove_dir_all(work.join(".pc")).unwrap();
    git(&["-C", at, "add", "--all"]);
    let tree = git(&["-C", at, "write-tree"]);
    let arguments = [
        "apply",
        "--repo",
        &repo,
        "--ref",
        "stable/2025.2",
        "--output",
        "json",
        &folder.join("debian/patches").display().to_string(),
    ];
    let (out, _) = program(&arguments, 0);
    let last = String::from_utf8(out).unwrap().lines().last().unwrap().to_owned();
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last["tree"], tree.as_str());
}

#[test]
fn a_patch_of_a_series_is_refreshed_with_its_own_strip() {
    let root = tempfile::tempdir().unwrap();
    let upstreams = make_upstreams(root.path());
    let team = TeamRepository::create(root.path(), Shape::DebianPatches);
    let folder = team.checkout(root.path()).join("debian/patches");
    let louder = "zero\none\ntwo\nthree\nvier\nfive\nsix\nseven\neight\nnine\nten\n";
    upstreams[0].commit(&[("lib/file.txt", louder)], "moved");
    let repo = root.path().join("nova.git").display().to_string();
    let folder = folder.to_str().unwrap();
    let arguments = ["--repo", &repo, "--ref", "main", "--output", "json", folder];
    let states = |status| -> Vec<String> {
        let (out, _) = program(&[&["apply"], &arguments[..]].concat(), status);
        let lines = String::from_utf8(out).unwrap();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|line| line["state"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(states(1), ["Conflict", "Blocked"]);
    program(&[&["refresh", "--fuzz", "1"], &arguments[..]].concat(), 0);
    assert_eq!(states(0), ["Clean", "Clean"]);
    let refreshed = std::fs::read_to_string(format!("{folder}/sub/a-quiet.diff")).unwrap();
    assert!(refreshed.contains("--- lib/file.txt\n"), "{refreshed}");
}

#[test]
fn a_hostile_folder_is_told_by_check() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    let root = tempfile::tempdir().unwrap();
    make_upstreams(root.path());
    let team = TeamRepository::create(root.path(), Shape::ComponentRelease);
    let folder = team.checkout(root.path());
    let glance = folder.join(Shape::ComponentRelease.folder("glance"));
    symlink("round.patch", glance.join("round.patch")).unwrap();
    symlink("../../..", glance.join("up")).unwrap();
    symlink(root.path(), glance.join("away.patch")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"odd-\xff.patch");
    std::fs::write(glance.join(odd), "x").unwrap();
    let deep = format!("deep/{}", "d/".repeat(200));
    std::fs::create_dir_all(glance.join(deep)).unwrap();
    let arguments = [
        "check",
        folder.to_str().unwrap(),
        "--upstream",
        root.path().to_str().unwrap(),
        "--ref-template",
        "stable/{release}",
        "--output",
        "json",
    ];
    let report: Value = serde_json::from_slice(&program(&arguments, 1).0).unwrap();
    let told: Vec<String> = report["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| {
            let path = fault["path"].as_str().unwrap();
            let name = path.rsplit('/').next().unwrap();
            format!("{} {name}", fault["kind"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            "RefusedLink away.patch",
            "StrayFile deep",
            "RefusedLink odd-\u{fffd}.patch",
            "RefusedLink round.patch",
            "StrayFile up",
            "NotInSeries left-out.patch",
        ]
    );
    // No patch of that folder is applied, those of others are.
    let rows = report["patches"].as_array().unwrap();
    assert_eq!(results(rows), expected("nova"));
}
