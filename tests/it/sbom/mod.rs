//! `patchset sbom`: valid by the schema, merged into another tool's document, attached to an image.
//! `patchset vex`: valid, about one image, attached to it as scanners look for it.

use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::support::program::python;
use crate::support::registry::Registry;

const BACKPORT: &str = "From 1f0c000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\nFrom: Ann <ann@example.org>\n\
Subject: [PATCH] Check redirects\n\nFixes CVE-2024-32498.\n\nCloses-Bug: #2059809\n\
Change-Id: I0123456789abcdef0123456789abcdef01234567\n\
(cherry picked from commit 867d1dd8b6e4f5b5fbb6b8a0b2a4c8d1e2f3a4b5)\n---\n\
diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n";
const OWN: &str =
    "Subject: [PATCH] Our own log level\n\ndiff --git a/g b/g\n--- a/g\n+++ b/g\n@@ -1 +1 @@\n-a\n+b\n";

struct Case(tempfile::TempDir);

impl Case {
    fn new() -> Self {
        let case = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(case.path().join("patches")).unwrap();
        case.write("patches/0001-redirects.patch", BACKPORT);
        case.write("patches/0002-log.patch", OWN);
        case.write(
            "uc.txt",
            "oslo.messaging===17.1.0\nsix===1.17.0\nhorizon===25.5.1\n",
        );
        case.write(
            "overrides.txt",
            "Oslo.Messaging===17.1.1\nlhafile===0.3.1\n-horizon\nsix===1.17.0\n",
        );
        case
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchset"));
        command
            .current_dir(self.path())
            .env("DOCKER_CONFIG", "/nonexistent")
            .args([
                "sbom",
                "--component",
                "glance",
                "--component-version",
                "31.0.0",
                "--release",
                "2025.2",
            ])
            .args([
                "--revision",
                "31.0.0@sha1:1f0c",
                "--upper-constraints",
                "uc.txt",
                "--overrides",
                "overrides.txt",
            ])
            .args(more)
            .arg("patches");
        command
    }

    /// A document that is valid by the schema.
    fn document(&self, more: &[&str]) -> Value {
        valid(self.path(), "validate.py", &mut self.command(more))
    }

    fn vex_command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchset"));
        command
            .current_dir(self.path())
            .env("DOCKER_CONFIG", "/nonexistent")
            .args([
                "vex",
                "--component",
                "glance",
                "--component-version",
                "31.0.0",
                "--timestamp",
                "2026-05-04T12:00:00Z",
            ])
            .args(more)
            .arg("patches");
        command
    }
}

/// A command's output, without the trailing newline.
fn printed(assert: &assert_cmd::assert::Assert) -> String {
    let text = String::from_utf8_lossy(&assert.get_output().stdout);
    text.trim_end().to_owned()
}

/// A command's output, which a validator accepts.
fn valid(folder: &Path, validator: &str, command: &mut Command) -> Value {
    let assert = command.assert().success();
    let text = &assert.get_output().stdout;
    let file = folder.join("document.json");
    std::fs::write(&file, text).unwrap();
    let validated = python("python")
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/it/sbom")
                .join(validator),
        )
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        validated.status.success(),
        "{}{}",
        String::from_utf8_lossy(&validated.stdout),
        String::from_utf8_lossy(&validated.stderr)
    );
    serde_json::from_slice(text).unwrap()
}

#[test]
fn the_document_tells_each_patch_and_what_it_resolves() {
    use base64::Engine;
    let case = Case::new();
    let document = case.document(&[]);
    let component = &document["metadata"]["component"];
    assert_eq!(component["purl"], "pkg:pypi/glance@31.0.0");
    let pedigree = &component["pedigree"];
    assert_eq!(pedigree["ancestors"][0]["purl"], "pkg:pypi/glance@31.0.0");
    assert_eq!(
        pedigree["commits"][0]["uid"],
        "867d1dd8b6e4f5b5fbb6b8a0b2a4c8d1e2f3a4b5"
    );
    assert_eq!(
        pedigree["notes"],
        "patched with 0001-redirects.patch, 0002-log.patch"
    );
    let patches = pedigree["patches"].as_array().unwrap();
    assert_eq!(
        (&patches[0]["type"], &patches[1]["type"]),
        (&json!("cherry-pick"), &json!("unofficial"))
    );
    let diff = base64::engine::general_purpose::STANDARD
        .decode(patches[0]["diff"]["text"]["content"].as_str().unwrap())
        .unwrap();
    assert_eq!(diff, BACKPORT.as_bytes());
    assert_eq!(
        patches[0]["resolves"],
        json!([
            { "type": "defect", "id": "2059809",
              "source": { "name": "Launchpad", "url": "https://bugs.launchpad.net/bugs/2059809" } },
            { "type": "security", "id": "CVE-2024-32498",
              "source": { "name": "NVD", "url": "https://nvd.nist.gov/vuln/detail/CVE-2024-32498" } }
        ])
    );
    let properties = component["properties"].as_array().unwrap();
    let change_id = json!({
        "name": "patching.c5c3.io:patch:0001-redirects.patch:change-id",
        "value": "I0123456789abcdef0123456789abcdef01234567"
    });
    assert!(properties.contains(&change_id), "{properties:?}");

    let packages: Vec<[&str; 2]> = document["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            [
                one["purl"].as_str().unwrap(),
                one["pedigree"]["notes"].as_str().unwrap(),
            ]
        })
        .collect();
    assert_eq!(
        packages,
        [
            [
                "pkg:pypi/oslo-messaging@17.1.1",
                "pinned by a constraint override: 17.1.0 → 17.1.1"
            ],
            [
                "pkg:pypi/lhafile@0.3.1",
                "pinned by a constraint override: upstream does not pin it"
            ]
        ]
    );
    assert_eq!(
        document["components"][0]["pedigree"]["ancestors"][0]["version"],
        "17.1.0"
    );
    assert_eq!(
        case.document(&[]),
        document,
        "the same input gives another document"
    );
}

#[test]
fn another_tools_document_keeps_all_that_it_has() {
    let case = Case::new();
    let foreign = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 3,
        "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
        "metadata": { "component": { "type": "container", "name": "image", "bom-ref": "image" } },
        "components": [
            { "type": "library", "name": "glance", "version": "31.0.0", "bom-ref": "1",
              "purl": "pkg:pypi/glance@31.0.0?package-id=abc",
              "properties": [{ "name": "syft:package:foundBy", "value": "python" }] },
            { "type": "library", "name": "oslo_messaging", "version": "17.1.1", "bom-ref": "2" },
            { "type": "library", "name": "unrelated", "version": "1", "bom-ref": "3", "licenses": [] }
        ],
        "dependencies": [{ "ref": "1", "dependsOn": ["2", "3"] }]
    });
    case.write("syft.json", &foreign.to_string());
    let merged = case.document(&["--merge", "syft.json"]);
    for key in [
        "specVersion",
        "serialNumber",
        "metadata",
        "dependencies",
        "version",
    ] {
        assert_eq!(merged[key], foreign[key], "{key}");
    }
    let components = merged["components"].as_array().unwrap();
    assert_eq!(components.len(), 4);
    assert_eq!(components[0]["purl"], foreign["components"][0]["purl"]);
    assert_eq!(
        components[0]["properties"][0],
        foreign["components"][0]["properties"][0]
    );
    assert_eq!(components[0]["pedigree"]["patches"].as_array().unwrap().len(), 2);
    assert_eq!(components[1]["pedigree"]["ancestors"][0]["version"], "17.1.0");
    assert_eq!(components[2], foreign["components"][2]);
    assert_eq!(components[3]["name"], "lhafile");

    // Merging again changes nothing.
    case.write("syft.json", &merged.to_string());
    assert_eq!(case.document(&["--merge", "syft.json"]), merged);
}

#[test]
fn components_below_others_get_what_their_pedigree_lacks() {
    let case = Case::new();
    let theirs = json!({ "type": "backport", "diff": { "text": { "content": "theirs" } } });
    let foreign = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": { "component": { "type": "container", "name": "image", "bom-ref": "image" } },
        "components": [{
            "type": "application", "name": "venv", "bom-ref": "pkg:pypi/lhafile@0.3.1",
            "components": [{
                "type": "library", "name": "glance", "version": "31.0.0", "bom-ref": "1",
                "purl": "pkg:pypi/glance@31.0.0",
                "pedigree": {
                    "ancestors": [{ "type": "library", "name": "glance", "version": "30.0.0" }],
                    "patches": [theirs], "notes": "built by somebody"
                }
            }]
        }]
    });
    case.write("syft.json", &foreign.to_string());
    let merged = case.document(&["--merge", "syft.json"]);
    let components = merged["components"].as_array().unwrap();
    let names: Vec<&str> = components
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["venv", "Oslo.Messaging", "lhafile"],
        "it was added a second time"
    );
    let pedigree = &components[0]["components"][0]["pedigree"];
    assert_eq!(pedigree["ancestors"].as_array().unwrap().len(), 2);
    let patches = pedigree["patches"].as_array().unwrap();
    assert_eq!((patches.len(), &patches[0]), (3, &theirs));
    assert_eq!(
        pedigree["notes"],
        "built by somebody; patched with 0001-redirects.patch, 0002-log.patch"
    );
    assert_eq!(pedigree["commits"].as_array().unwrap().len(), 1);
    assert_eq!(components[2].get("bom-ref"), None, "a reference occurs twice");
    case.write("syft.json", &merged.to_string());
    assert_eq!(case.document(&["--merge", "syft.json"]), merged);
}

#[test]
fn later_versions_of_the_specification_are_written() {
    let case = Case::new();
    let first = case.document(&[]);
    assert_eq!(first["specVersion"], "1.5");
    for version in ["1.6", "1.7"] {
        let mut later = case.document(&["--spec-version", version]);
        assert_eq!(later["specVersion"], version);
        assert_ne!(later["serialNumber"], first["serialNumber"]);
        for key in ["specVersion", "serialNumber"] {
            later[key] = first[key].clone();
        }
        assert_eq!(later, first);
    }
}

#[test]
fn what_is_only_mentioned_is_resolved_nowhere() {
    let case = Case::new();
    case.write(
        "patches/0001-redirects.patch",
        &BACKPORT.replace(
            "Fixes CVE-2024-32498.",
            "Upstream does not intend to backport a fix for CVE-2024-32498.",
        ),
    );
    let document = case.document(&[]);
    let resolves = &document["metadata"]["component"]["pedigree"]["patches"][0]["resolves"];
    assert_eq!(resolves.as_array().unwrap().len(), 1, "{resolves}");
    assert_eq!(resolves[0]["id"], "2059809");
    let image = format!("registry.example.org/glance@sha256:{}", "a".repeat(64));
    let none = case.vex_command(&["--image", &image]).assert().success();
    assert_eq!(String::from_utf8_lossy(&none.get_output().stdout), "");
    let note = String::from_utf8_lossy(&none.get_output().stderr).into_owned();
    assert!(note.contains("nothing to state"), "{note}");
}

#[test]
fn a_statement_is_made_for_each_vulnerability_that_a_patch_resolves() {
    let case = Case::new();
    case.write("patches/CVE-2025-1234-1.patch", OWN);
    case.write("patches/CVE-2025-1234-2.patch", OWN);
    let digest = "a".repeat(64);
    let image = format!("registry.example.org:5000/team/glance:31.0.0-p2@sha256:{digest}");
    let arguments = ["--image", &image, "--author", "The Team"];
    let document = valid(case.path(), "validate_vex.py", &mut case.vex_command(&arguments));
    assert_eq!(
        (
            &document["@context"],
            &document["author"],
            &document["timestamp"],
            &document["version"]
        ),
        (
            &json!("https://openvex.dev/ns/v0.2.0"),
            &json!("The Team"),
            &json!("2026-05-04T12:00:00Z"),
            &json!(1)
        )
    );
    let purl = format!("pkg:oci/glance@sha256:{digest}?repository_url=registry.example.org:5000/team/glance");
    let plain = |text: &Value| text.as_str().unwrap().replace("%3A", ":").replace("%2F", "/");
    let statements = document["statements"].as_array().unwrap();
    let told: Vec<_> = statements
        .iter()
        .map(|one| {
            let product = &one["products"][0];
            assert_eq!(plain(&product["@id"]), purl);
            assert_eq!(plain(&product["identifiers"]["purl"]), purl);
            assert_eq!(product["subcomponents"][0]["@id"], "pkg:pypi/glance@31.0.0");
            assert_eq!(one["status"], "fixed");
            (
                one["vulnerability"]["name"].as_str().unwrap(),
                one["status_notes"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("CVE-2024-32498", "fixed by 0001-redirects.patch"),
            (
                "CVE-2025-1234",
                "fixed by CVE-2025-1234-1.patch, CVE-2025-1234-2.patch"
            )
        ]
    );
    let again = valid(case.path(), "validate_vex.py", &mut case.vex_command(&arguments));
    assert_eq!(again, document, "the same input gives another document");

    let refused = case
        .vex_command(&["--image", "registry.example.org/glance:31.0.0-p2"])
        .assert()
        .code(2);
    let text = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(text.contains("has no digest"), "{text}");
}

#[test]
fn the_help_says_what_scanners_read() {
    let help = |command: &str| {
        let assert = Command::new(env!("CARGO_BIN_EXE_patchset"))
            .args([command, "--help"])
            .assert()
            .success();
        let text = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(
        help("sbom").contains("scanners do not read pedigrees"),
        "{}",
        help("sbom")
    );
    assert!(
        help("vex").contains("OpenVEX document for scanners"),
        "{}",
        help("vex")
    );
}

#[test]
fn what_cannot_be_told_is_refused() {
    let case = Case::new();
    case.write("spdx.json", r#"{"spdxVersion": "SPDX-2.3"}"#);
    case.write("none.json", "nonsense");
    for (more, part) in [
        (
            &["--merge", "spdx.json"][..],
            "spdx.json is not a CycloneDX document",
        ),
        (&["--merge", "none.json"], "none.json is not a CycloneDX document"),
        (&["--purl", "glance"], "\"glance\" is not a package URL"),
    ] {
        let failed = case.command(more).assert().code(2);
        let text = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn the_document_is_attached_to_the_image_in_its_registry() {
    let case = Case::new();
    let registry = Registry::open();
    let image = format!("{}/glance:31.0.0-p2", registry.host);
    std::fs::create_dir(case.path().join("tree")).unwrap();
    case.write("tree/f", "a\n");
    let pushed = crate::source_images::told(&[
        "--plain-http",
        &registry.host,
        "--push",
        &image,
        case.path().join("tree").to_str().unwrap(),
    ]);
    let attach = ["--plain-http", &registry.host, "--attach", &image];
    let attached = case.command(&attach).assert().success();
    let reference = printed(&attached);
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let get = |path: &str| -> Value {
        let url = format!("http://{}/v2/glance/{path}", registry.host);
        let client = reqwest::blocking::Client::new();
        let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
        let answer = client.get(url).header("Accept", accept).send().unwrap();
        serde_json::from_slice(&answer.error_for_status().unwrap().bytes().unwrap()).unwrap()
    };
    let artifact = get(&format!("manifests/{}", reference.rsplit_once('@').unwrap().1));
    assert_eq!(artifact["artifactType"], "application/vnd.cyclonedx+json");
    assert_eq!(artifact["subject"]["digest"], pushed["digest"]);
    let document = get(&format!(
        "blobs/{}",
        artifact["layers"][0]["digest"].as_str().unwrap()
    ));
    assert_eq!(document["bomFormat"], "CycloneDX");

    // This registry has no referrers API: the tag of the distribution-spec lists the artifact,
    // once.
    let tag = pushed["digest"].as_str().unwrap().replace(':', "-");
    case.command(&attach).assert().success();
    let index = get(&format!("manifests/{tag}"));
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(
        index["manifests"][0]["digest"],
        reference.rsplit_once('@').unwrap().1
    );

    // What is resolved is attached next to it, once, and can be distinguished from other
    // attestations without reading them.
    let attach = ["--plain-http", &registry.host, "--image", &image, "--attach"];
    let attached = case.vex_command(&attach).assert().success();
    let reference = printed(&attached);
    case.vex_command(&attach).assert().success();
    let index = get(&format!("manifests/{tag}"));
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    let entry = &index["manifests"][1];
    assert_eq!(entry["digest"], reference.rsplit_once('@').unwrap().1);
    assert_eq!(entry["artifactType"], "application/vnd.in-toto+json");
    let annotations = json!({ "in-toto.io/predicate-type": "https://openvex.dev/ns/v0.2.0" });
    assert_eq!(entry["annotations"], annotations);
    let artifact = get(&format!("manifests/{}", reference.rsplit_once('@').unwrap().1));
    assert_eq!(artifact["annotations"], annotations);
    assert_eq!(artifact["subject"]["digest"], pushed["digest"]);
    let attestation = get(&format!(
        "blobs/{}",
        artifact["layers"][0]["digest"].as_str().unwrap()
    ));
    assert_eq!(attestation["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(attestation["predicateType"], "https://openvex.dev/ns/v0.2.0");
    let digest = pushed["digest"].as_str().unwrap();
    assert_eq!(
        attestation["subject"][0]["digest"]["sha256"],
        digest.trim_start_matches("sha256:")
    );
    let by_digest = format!("{}@{digest}", image.rsplit_once(':').unwrap().0);
    let document = valid(
        case.path(),
        "validate_vex.py",
        &mut case.vex_command(&["--image", &by_digest]),
    );
    assert_eq!(attestation["predicate"], document);

    let missing = image.replace("31.0.0-p2", "other");
    let failed = case
        .command(&["--plain-http", &registry.host, "--attach", &missing])
        .assert()
        .code(2);
    let text = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
    assert!(text.contains("there is no such image"), "{text}");
}
