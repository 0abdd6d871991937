//! `patchset build-plan` without a cluster; `controller::build_plan` compares it with the
//! controller.

use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::controller::{BASE, GOOD, inline};
use crate::source_images::unpacked;
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;
use crate::support::registry::Registry;

struct Case {
    root: tempfile::TempDir,
    upstream: GitRepo,
}

impl Case {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let upstream = GitRepo::create(root.path(), "demo");
        upstream.commit(&[("file.txt", BASE)], "base");
        upstream.git(&["tag", "--annotate", "--message", "1", "1.0.0"]);
        Self { root, upstream }
    }

    /// Runs with a manifest of these documents; returns the output.
    fn run(&self, arguments: &[&str], documents: &[Value], status: i32) -> (String, String) {
        let text: Vec<String> = documents
            .iter()
            .map(|document| serde_saphyr::to_string(document).unwrap())
            .collect();
        self.run_text(arguments, &text.join("---\n"), status)
    }

    fn run_text(&self, arguments: &[&str], text: &str, status: i32) -> (String, String) {
        let path = self.root.path().join("manifest.yaml");
        std::fs::write(&path, text).unwrap();
        let assert = Command::new(env!("CARGO_BIN_EXE_patchset"))
            .args(["build-plan", "--upstream"])
            .arg(self.root.path())
            .args(arguments)
            .arg(&path)
            .env("DOCKER_CONFIG", "/nonexistent")
            .assert()
            .code(status);
        let output = assert.get_output();
        (
            String::from_utf8(output.stdout.clone()).unwrap(),
            String::from_utf8(output.stderr.clone()).unwrap(),
        )
    }

    fn json(&self, arguments: &[&str], documents: &[Value], status: i32) -> Value {
        let (out, _) = self.run(&[&["--output", "json"], arguments].concat(), documents, status);
        serde_json::from_str(&out).unwrap()
    }

    /// Runs on documents that cannot be planned; returns the error output.
    fn refused(&self, arguments: &[&str], documents: &[Value]) -> String {
        let (out, error) = self.run(arguments, documents, 2);
        assert_eq!(out, "");
        error
    }
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "patching.c5c3.io/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

fn spec(host: &str) -> Value {
    json!({
        "component": "demo", "release": "2025.2",
        "upstream": { "url": "https://git.example.org/team/demo", "ref": { "tag": "1.0.0" } },
        "patches": inline(&[("0001-five.patch", GOOD)]),
        "build": {
            "engine": "External",
            "image": { "repository": format!("{host}/demo"), "tag": "{version}-p{patches}" },
            "source": { "repository": format!("{host}/demo-source") },
            "dockerfile": { "configMap": { "name": "files" } },
            "args": { "GREETING": "it's me" }
        }
    })
}

fn files() -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "files" },
        "data": { "Dockerfile": "FROM scratch\n" }, "binaryData": { "blob": "AAE=" } })
}

#[test]
fn patches_that_do_not_apply_are_told_and_nothing_is_planned() {
    let case = Case::new();
    let mut wrong = spec("registry.invalid");
    wrong["patches"] = inline(&[
        ("0001-five.patch", GOOD),
        (
            "0002-again.patch",
            &GOOD.replace("-five", "-fünf").replace("+FIVE", "+V"),
        ),
    ]);
    let documents = [object("PatchSet", "demo", &wrong), files()];
    let planned = case.json(&["--offline"], &documents, 1);
    assert_eq!(planned["applies"], false);
    assert_eq!(planned["build"], Value::Null);
    let states: Vec<&str> = planned["patches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|patch| patch["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["Clean", "Conflict"]);
    let (text, _) = case.run(&["--offline"], &documents, 1);
    assert!(text.contains("not built"), "{text}");
    let (nothing, said) = case.run(&["--offline", "--output", "buildah"], &documents, 1);
    assert_eq!(nothing, "");
    assert!(said.contains("0002-again.patch"), "{said}");
    // The same if the patches of a library do not apply.
    let mut library = wrong.clone();
    library["level"] = json!("Library");
    library["component"] = json!("lib");
    let mut service = spec("registry.invalid");
    service["libraries"] = json!([{ "name": "lib" }]);
    let documents = [
        object("PatchSet", "demo", &service),
        object("PatchSet", "lib", &library),
        files(),
    ];
    let planned = case.json(&["--offline"], &documents, 1);
    assert_eq!(planned["patches"][0]["state"], "Clean");
    assert_eq!(planned["libraries"][0]["patches"][1]["state"], "Conflict");
}

#[test]
fn the_tests_of_the_image_are_told() {
    let case = Case::new();
    let mut spec = spec("registry.invalid");
    spec["build"]["tests"] = json!([
        { "name": "unit", "from": "Image", "command": ["stestr", "run"], "args": ["it's"] },
        { "name": "lint", "from": "Source", "image": "r.example/tools:1", "command": ["ruff"], "onFailure": "Report" },
    ]);
    let documents = [object("PatchSet", "demo", &spec), files()];
    let (text, _) = case.run(&["--offline"], &documents, 0);
    for row in [
        r"test        unit in the image: stestr run 'it'\''s'",
        "test        lint in r.example/tools:1, over the patched source: ruff; a failure is only reported",
    ] {
        assert!(text.contains(row), "{text}");
    }
    let planned = case.json(&["--offline"], &documents, 0);
    assert_eq!(planned["tests"], spec["build"]["tests"]);
}

/// What a test changes in a good spec.
type Change = fn(&mut Value);

/// Changes that make a good spec wrong, with the message for each.
fn wrong_specs() -> [(Change, &'static str); 13] {
    [
        (
            |spec| spec["upstream"]["ref"]["branch"] = json!("main"),
            "PatchSet demo: spec.upstream.ref: set exactly one of branch, tag, commit and semver",
        ),
        (
            |spec| spec["build"]["source"]["repository"] = json!("No/Tag:x"),
            "spec.build.source.repository: \"No/Tag:x\" should match",
        ),
        (
            |spec| spec["build"]["arg"] = json!({}),
            "spec.build.arg: is unknown; there are args, check, contexts",
        ),
        (
            |spec| spec["build"]["args"]["N"] = json!(1),
            "spec.build.args.N: must be of type string, but is 1",
        ),
        (
            |spec| spec["build"] = Value::Null,
            "no PatchSet of the manifest has a build",
        ),
        (
            |spec| spec["libraries"] = json!([{ "name": "lib" }]),
            "names PatchSet lib but does not contain it",
        ),
        (
            |spec| spec["constraints"] = json!({ "name": "co" }),
            "names ConstraintOverride co but does not contain it",
        ),
        (
            |spec| spec["build"]["dockerfile"] = json!({ "configMap": { "name": "other" } }),
            "names ConfigMap other",
        ),
        (
            |spec| spec["build"]["dockerfile"]["file"] = json!("Containerfile"),
            "ConfigMap files has no key Containerfile",
        ),
        (
            |spec| spec["upstream"]["ref"] = json!({ "tag": "1.0" }),
            "no tag 1.0; similar: 1.0.0; is the clone up to date?",
        ),
        (
            |spec| spec["upstream"]["url"] = json!("https://git.example.org/other.git"),
            "say with --repo other=PATH",
        ),
        (
            |spec| spec["build"]["image"]["tag"] = json!("{nope}"),
            "{nope} is unknown",
        ),
        (
            |spec| spec["patches"] = json!({ "sourceRef": { "kind": "GitRepository", "name": "ours" } }),
            "say with --folder ours=DIR",
        ),
    ]
}

/// Manifests whose objects are wrong, each with a good spec, and the message for each.
fn wrong_objects(good: &Value) -> [(Vec<Value>, &'static str); 4] {
    [
        (
            vec![object("PatchSet", "demo", good), object("PatchSet", "demo", good)],
            "PatchSet demo occurs twice",
        ),
        (
            vec![object("PatchSet", "one", good), object("PatchSet", "two", good)],
            "say with --name which one to plan: one, two",
        ),
        (
            vec![
                json!({ "apiVersion": "patching.c5c3.io/v1", "kind": "PatchSet", "metadata": { "name": "x" } }),
            ],
            "should be patching.c5c3.io/v1alpha1",
        ),
        (
            vec![json!({ "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet", "spec": good })],
            "a PatchSet has no metadata.name",
        ),
    ]
}

#[test]
fn what_is_wrong_with_a_manifest_is_said_with_its_place() {
    let case = Case::new();
    let good = spec("registry.invalid");
    let mut cases = vec![(vec![files()], "contains no PatchSet")];
    cases.extend(wrong_specs().map(|(change, sentence)| {
        let mut spec = good.clone();
        change(&mut spec);
        (vec![object("PatchSet", "demo", &spec), files()], sentence)
    }));
    cases.extend(wrong_objects(&good));
    for (documents, sentence) in cases {
        let error = case.refused(&["--offline"], &documents);
        assert!(error.contains(sentence), "{sentence}: {error}");
    }
    let (_, error) = case.run_text(&[], "kind: [\n", 2);
    assert!(error.contains("manifest.yaml is not YAML"), "{error}");
    let (_, error) = case.run_text(&["--look", "--offline"], "", 2);
    assert!(error.contains("cannot be used with"), "{error}");
    let (_, error) = case.run_text(&["--repo", "x"], "", 2);
    assert!(error.contains("write NAME=PATH"), "{error}");
}

#[test]
fn what_is_built_from_is_pushed_where_that_is_asked_for() {
    let case = Case::new();
    let registry = Registry::open();
    let documents = [object("PatchSet", "demo", &spec(&registry.host)), files()];
    let options = ["--plain-http", &registry.host];
    let planned = case.json(&options, &documents, 0);
    assert_eq!(
        registry.log().matches("/v2/").count(),
        0,
        "the registry was asked"
    );
    assert_eq!(
        case.json(&["--offline"], &documents, 0),
        planned,
        "nothing is named by tag"
    );
    let build = &planned["build"];
    assert_eq!(build["target"], format!("{}/demo:1.0.0-p1", registry.host));
    let pushed = case.json(&[&options[..], &["--push"]].concat(), &documents, 0);
    assert_eq!(pushed, planned);
    for (reference, file, content) in [
        (
            &build["contexts"]["demo"],
            "file.txt",
            BASE.replace("five", "FIVE"),
        ),
        (&build["dockerfile"], "blob", "\0\u{1}".to_owned()),
    ] {
        let root = tempfile::tempdir().unwrap();
        let tree = unpacked(&registry, reference.as_str().unwrap(), root.path());
        assert_eq!(std::fs::read_to_string(tree.join(file)).unwrap(), content);
    }
    let uploads = registry.uploads();
    case.json(&[&options[..], &["--push"]].concat(), &documents, 0);
    assert_eq!(registry.uploads(), uploads, "something was sent twice");

    let (buildctl, _) = case.run(&["--output", "buildctl"], &documents, 0);
    for word in [
        format!(
            "--opt=context:demo=docker-image://{}",
            build["contexts"]["demo"].as_str().unwrap()
        ),
        r"'--opt=build-arg:GREETING=it'\''s me'".to_owned(),
        format!(
            "label:patching.c5c3.io/inputs={}",
            build["inputsDigest"].as_str().unwrap()
        ),
        format!(
            "--output=type=image,name={},push=true",
            build["target"].as_str().unwrap()
        ),
    ] {
        assert!(buildctl.contains(&word), "{word}: {buildctl}");
    }
    let (text, _) = case.run(&[], &documents, 0);
    assert!(text.contains(build["inputsDigest"].as_str().unwrap()), "{text}");
    // A tag that is used for something else.
    let taken = build["target"].as_str().unwrap();
    crate::source_images::source(&[
        empty(case.root.path()).to_str().unwrap(),
        "--plain-http",
        &registry.host,
        "--push",
        taken,
    ])
    .assert()
    .success();
    let planned = case.json(&[&options[..], &["--look"]].concat(), &documents, 0);
    assert_eq!(planned["image"]["state"], "TagTaken");
    assert_eq!(planned["image"]["inputsDigest"], Value::Null);
}

fn empty(root: &Path) -> std::path::PathBuf {
    let folder = root.join("empty");
    std::fs::create_dir(&folder).unwrap();
    folder
}

#[test]
fn refs_of_a_clone_are_found_as_those_of_a_server() {
    let case = Case::new();
    case.upstream
        .commit(&[("file.txt", BASE), ("more", "x\n")], "more");
    case.upstream.git(&["tag", "1.2.0"]);
    let head = case.upstream.git(&["rev-parse", "main"]);
    for (ref_, revision) in [
        (json!({ "branch": "main" }), format!("main@sha1:{head}")),
        (json!({ "semver": "^1.1" }), format!("1.2.0@sha1:{head}")),
        (json!({ "commit": head }), format!("sha1:{head}")),
        (json!({ "commit": head[..8] }), format!("sha1:{head}")),
    ] {
        let mut spec = spec("registry.invalid");
        spec["upstream"]["ref"] = ref_.clone();
        spec["build"]["source"]["version"] = json!("1.2");
        let planned = case.json(&["--offline"], &[object("PatchSet", "demo", &spec), files()], 0);
        assert_eq!(planned["revision"], revision, "{ref_}");
    }
}

#[test]
fn what_upstream_has_in_another_form_is_left_out_only_where_that_is_asked_for() {
    let case = Case::new();
    let message = "Write five in capitals\n\nChange-Id: I0123456789012345678901234567890123456789";
    let upstream = &case.upstream;
    upstream.git(&["checkout", "--quiet", "-b", "ours"]);
    upstream.commit(&[("file.txt", &BASE.replace("five", "FIVE"))], message);
    let patch = upstream.git(&["format-patch", "-1", "--stdout", "--zero-commit"]) + "\n";
    upstream.git(&["checkout", "--quiet", "main"]);
    let merged = upstream.commit(&[("file.txt", &BASE.replace("five", "Five"))], message);
    let mut spec = spec("registry.invalid");
    spec["upstream"]["ref"] = json!({ "branch": "main" });
    spec["build"]["source"]["version"] = json!("1.1");
    spec["patches"] = inline(&[("0001-five.patch", &patch)]);
    let plan = |policy: &str, arguments: &[&str], status| {
        let mut spec = spec.clone();
        spec["mergedPatches"] = json!(policy);
        let arguments = [&["--offline"], arguments].concat();
        case.json(&arguments, &[object("PatchSet", "demo", &spec), files()], status)
    };
    for policy in ["Fail", "Skip"] {
        let planned = plan(policy, &[], 1);
        assert_eq!(planned["build"], Value::Null);
        let known = &planned["patches"][0]["merged"];
        assert_eq!(
            (&known["commit"], &known["by"], &known["differs"]),
            (&json!(merged), &json!("ChangeId"), &json!(true))
        );
    }
    let planned = plan("SkipDiffering", &[], 0);
    assert!(planned["build"].is_object(), "{planned}");
    let unsearched = plan("SkipDiffering", &["--no-history"], 1);
    assert_eq!(unsearched["patches"][0]["state"], "Conflict");
}

#[test]
fn tags_are_told_as_far_as_they_are_known() {
    let case = Case::new();
    let mut spec = spec("registry.invalid");
    let image = &mut spec["build"]["image"];
    image["tag"] = json!("{version}");
    image["movingTags"] = json!(["{release}", "{release}-{inputs}"]);
    image["sortableTag"] = json!("{time}-{inputs}");
    spec["build"]["contexts"] = json!({ "base": "docker-image://registry.invalid/base:1" });
    let planned = |spec: &Value| {
        let documents = [object("PatchSet", "demo", spec), files()];
        let (text, _) = case.run(&["--offline"], &documents, 0);
        (case.json(&["--offline"], &documents, 0)["build"].clone(), text)
    };
    // Tags that contain the inputs are unknown; the others are known.
    let (build, text) = planned(&spec);
    assert_eq!(build["target"], "registry.invalid/demo:1.0.0");
    assert_eq!(build["movingTags"], json!(["2025.2"]));
    assert_eq!(build["sortableTag"], Value::Null);
    assert_eq!(build["inputsDigest"], Value::Null);
    assert!(text.contains("registry.invalid/demo:1.0.0\n"), "{text}");
    assert!(
        text.contains("the inputs digest and {release}-{inputs} and {time}-{inputs}: base is named by tag"),
        "{text}"
    );
    spec["build"]["image"]["tag"] = json!("x-{inputs}");
    let (build, text) = planned(&spec);
    assert_eq!(build["target"], Value::Null);
    assert_eq!(build["movingTags"], Value::Null);
    assert!(text.contains("registry.invalid/demo\n"), "{text}");
    assert!(!text.contains("0000"), "{text}");

    // The controller gives a sortable tag its time.
    spec["build"].as_object_mut().unwrap().remove("contexts");
    spec["build"]["image"]["sortableTag"] = json!("{release}-{time}");
    let (build, text) = planned(&spec);
    assert_eq!(build["sortableTag"], Value::Null);
    assert!(text.contains("2025.2-YYYYMMDDhhmmss, with the time"), "{text}");
    assert!(!text.contains("{time}"), "{text}");
    // An object from the cluster has it.
    let sortable = json!({ "tag": "2025.2-20250131235959", "time": "2025-01-31T23:59:59Z" });
    let mut demo = object("PatchSet", "demo", &spec);
    demo["status"] = json!({ "build": build });
    demo["status"]["build"]["sortableTag"] = sortable.clone();
    let documents = [demo, files()];
    let planned = case.json(&["--offline"], &documents, 0);
    assert_eq!(planned["build"]["sortableTag"], sortable);
    let (text, _) = case.run(&["--offline"], &documents, 0);
    assert!(text.contains("2025.2-20250131235959\n"), "{text}");
}

#[test]
fn tags_name_the_commit_of_the_clone_that_has_the_patches() {
    let case = Case::new();
    let ours = GitRepo::create(case.root.path(), "deployment");
    let first = ours.commit(&[("patches/0001-five.patch", GOOD)], "patches");
    let mut spec = spec("registry.invalid");
    spec["patches"] = json!({ "git": {
        "url": "https://git.example.org/team/deployment", "ref": { "branch": "main" }, "path": "patches"
    } });
    spec["build"]["image"]["tag"] = json!("{patchesBranch}-{patchesSha}");
    let planned = |status: Option<Value>| {
        let mut object = object("PatchSet", "demo", &spec);
        if let Some(status) = status {
            object["status"] = status;
        }
        case.json(&["--offline"], &[object, files()], 0)["build"].clone()
    };
    let build = planned(None);
    assert_eq!(
        build["target"],
        format!("registry.invalid/demo:main-{}", &first[..7])
    );
    // Nothing in it changed since the commit in the status.
    ours.commit(&[("README", "read me\n")], "why");
    let mut known = build.clone();
    known["patchesRevision"] = json!(format!("main@sha1:{first}"));
    let status = json!({ "build": known });
    assert_eq!(planned(Some(status))["target"], build["target"]);
    assert_ne!(planned(None)["target"], build["target"]);

    let mut inline_patches = spec.clone();
    inline_patches["patches"] = inline(&[("0001-five.patch", GOOD)]);
    let refused = case.refused(
        &["--offline"],
        &[object("PatchSet", "demo", &inline_patches), files()],
    );
    assert!(refused.contains("set patches.git"), "{refused}");
}

#[test]
fn a_branchs_commits_are_planned_as_their_patches_are() {
    let case = Case::new();
    let upstream = &case.upstream;
    upstream.git(&["checkout", "--quiet", "-b", "team"]);
    upstream.commit(&[("file.txt", &BASE.replace("five", "FIVE"))], "Say five louder");
    let patch = upstream.git(&[
        "format-patch",
        "-1",
        "--stdout",
        "--full-index",
        "--no-numbered",
        "--no-signature",
    ]) + "\n";
    upstream.git(&["checkout", "--quiet", "main"]);
    upstream.commit(&[("other", "x\n")], "later");
    upstream.git(&["tag", "1.1.0"]);
    for tag in ["1.0.0", "1.1.0"] {
        let mut by_patch = spec("registry.invalid");
        by_patch["upstream"]["ref"] = json!({ "tag": tag });
        by_patch["patches"] = inline(&[("0001-Say-five-louder.patch", &patch)]);
        let mut by_branch = by_patch.clone();
        by_branch["patches"] = json!({ "branch": { "branch": "team" } });
        let plan = |spec: &Value| {
            let server = case.json(&["--offline"], &[object("PatchSet", "demo", spec), files()], 0);
            (server["patches"].clone(), server["build"].clone())
        };
        assert_eq!(plan(&by_branch), plan(&by_patch), "{tag}");
    }
    // The same of a server.
    let server = GitServer::http(case.root.path()).start();
    let mut spec = spec("registry.invalid");
    spec["upstream"] = json!({ "url": server.url("demo"), "ref": { "tag": "1.1.0" } });
    spec["patches"] = json!({ "branch": { "branch": "team" } });
    let cache = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut options = vec!["--upstream", elsewhere.path().to_str().unwrap()];
    options.extend(["--cache-dir", cache.path().to_str().unwrap()]);
    let manifest = case.root.path().join("fetched.yaml");
    let documents = [object("PatchSet", "demo", &spec), files()];
    let text = documents.map(|document| serde_saphyr::to_string(&document).unwrap());
    std::fs::write(&manifest, text.join("---\n")).unwrap();
    let assert = Command::new(env!("CARGO_BIN_EXE_patchset"))
        .args(["build-plan", "--output", "json"])
        .args(options)
        .arg(&manifest)
        .env("DOCKER_CONFIG", "/nonexistent")
        .assert()
        .code(0);
    let planned: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(planned["patches"][0]["name"], "0001-Say-five-louder.patch");
    assert!(planned["build"].is_object(), "{planned}");
}
