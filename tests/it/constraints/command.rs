//! `patchset constraints` as other tools and people call it.

use std::path::PathBuf;

use assert_cmd::Command;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::program::program;

struct Case(tempfile::TempDir);

impl Case {
    fn new(base: &str, overrides: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("uc.txt"), base).unwrap();
        std::fs::write(folder.path().join("overrides.txt"), overrides).unwrap();
        Self(folder)
    }

    fn run(&self, extra: &[&str], status: i32) -> (String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchset"));
        let assert = command
            .current_dir(self.0.path())
            .args([
                "constraints",
                "--upper-constraints",
                "uc.txt",
                "--overrides",
                "overrides.txt",
            ])
            .args(extra)
            .assert()
            .code(status);
        let output = assert.get_output();
        (
            String::from_utf8(output.stdout.clone()).unwrap(),
            String::from_utf8(output.stderr.clone()).unwrap(),
        )
    }
}

#[test]
fn the_merged_file_is_on_standard_output_and_the_report_on_standard_error() {
    let case = Case::new("a===1\nb===1\nc===1\n", "a===2\n-b\n");
    let (out, err) = case.run(&["--remove", "C"], 0);
    assert_eq!(out, "a===2\n");
    insta::assert_snapshot!(err.replace(&digest(&out), "DIGEST"), @r"
    Updated   a  1 → 2 (upgrade)  line 1
    Removed   b  1 is no longer pinned  line 2
    Removed   c  1 is no longer pinned, because the package is built from source
    2 overrides, 0 need attention; 1 entries, DIGEST
    ");
}

/// uv is the oracle.
#[test]
fn an_entry_over_which_uv_refuses_the_merged_file_is_told() {
    let case = Case::new("a===1\npytz===2004d\n", "a===2\n");
    let (out, err) = case.run(&[], 0);
    assert!(
        err.contains("line 2 of the merged file, pytz===2004d, is not a PEP 440 version: uv refuses"),
        "{err}"
    );
    case.run(&["--strict"], 1);
    let (json, _) = case.run(&["--output", "json"], 0);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["refusedByUv"],
        json!([{"line": 2, "package": "pytz", "version": "2004d"}])
    );
    let uv_reads = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("c.txt"), text).unwrap();
        std::fs::write(folder.path().join("r.in"), "").unwrap();
        program("uv")
            .args([
                "pip",
                "compile",
                "--offline",
                "--no-index",
                "--quiet",
                "--constraint",
                "c.txt",
                "r.in",
            ])
            .current_dir(folder.path())
            .status()
            .unwrap()
            .success()
    };
    assert!(!uv_reads(&out));
    // One that the overrides take away is not in the file that uv reads.
    let case = Case::new("a===1\npytz===2004d\n", "-pytz\n");
    let (out, err) = case.run(&["--strict"], 0);
    assert!(!err.contains("uv refuses"), "{err}");
    assert!(uv_reads(&out));
}

fn digest(text: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(text)
        .iter()
        .fold("sha256:".to_owned(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
}

#[test]
fn json_is_one_object_with_the_promised_fields() {
    let case = Case::new("a===1;python_version<'4'\n", "A===1\n-b\n");
    let (out, err) = case.run(&["--output", "json"], 0);
    assert_eq!(err, "");
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["merged"], "a===1\n");
    assert_eq!(document["digest"], digest("a===1\n"));
    assert_eq!(
        (&document["entries"], &document["needAttention"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        document["results"],
        json!([
            { "line": 1, "package": "A", "state": "Updated", "cause": "Override",
              "from": [{ "version": "1", "marker": "python_version<'4'", "line": 1 }],
              "to": "1", "marker": null, "change": null, "attention": false,
              "message": "1 (python_version<'4') → 1" },
            { "line": 2, "package": "b", "state": "Absent", "cause": "Override", "from": [],
              "to": null, "marker": null, "change": null, "attention": true,
              "message": "upstream has no such pin: drop the override" }
        ])
    );
}

#[test]
fn strict_fails_where_something_needs_attention() {
    let useless = Case::new("a===1\n", "a===1\n");
    assert_eq!(useless.run(&[], 0).0, "a===1\n");
    assert_eq!(useless.run(&["--strict"], 1).0, "a===1\n");
    Case::new("a===1\n", "a===2\n").run(&["--strict"], 0);
    let (_, warned) = Case::new("-c more.txt\n", "a===2\n").run(&["--strict"], 1);
    assert!(
        warned.contains("line 1 of the upper constraints reads another file (-c more.txt)"),
        "{warned}"
    );
}

#[test]
fn what_is_wrong_is_told_with_all_its_lines() {
    let (out, err) = Case::new("a===1\n", "a===1\n\nb==2\nwhat is this\nA===3\n").run(&[], 2);
    assert_eq!(out, "");
    for part in [
        "overrides: line 3: ",
        "write b===2",
        "line 4: ",
        "line 5: A is overridden twice, first at line 1",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
    let (_, err) = Case::new("a===1\n-horizon\n", "").run(&[], 2);
    assert!(
        err.contains("upper constraints: line 2: \"-horizon\" is not an option"),
        "{err}"
    );
    let (_, err) = Case::new("", "").run(&["--remove", "a b"], 2);
    assert!(err.contains("a b"), "{err}");
    let case = Case::new("", "");
    std::fs::remove_file(case.0.path().join("overrides.txt")).unwrap();
    let (_, err) = case.run(&[], 2);
    assert!(err.contains("overrides.txt: No such file"), "{err}");
}

#[test]
fn a_list_of_packages_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("uc.txt");
    std::fs::write(&file, "a===1\nb===1\n").unwrap();
    Command::new(env!("CARGO_BIN_EXE_patchset"))
        .args([
            "constraints",
            "--remove",
            "a",
            "--remove",
            "nothere",
            "--strict",
            "--upper-constraints",
        ])
        .arg(&file)
        .assert()
        .code(0)
        .stdout("b===1\n");
    Command::new(env!("CARGO_BIN_EXE_patchset"))
        .args(["constraints", "--upper-constraints", "-"])
        .assert()
        .code(2);
}

#[test]
fn the_merged_file_is_pushed_as_an_image_once() {
    let registry = crate::support::registry::Registry::open();
    let case = Case::new("a===1\n", "a===2\n");
    let image = format!("{}/constraints:2025.2", registry.host);
    let push = [
        "--push",
        &image,
        "--release",
        "2025.2",
        "--plain-http",
        &registry.host,
    ];
    let (first, report) = case.run(&push, 0);
    assert!(
        first.starts_with(&format!("{}/constraints@sha256:", registry.host)),
        "{first}"
    );
    assert!(report.contains("1 → 2 (upgrade)"), "{report}");
    let root = tempfile::tempdir().unwrap();
    let tree = crate::source_images::unpacked(&registry, first.trim_end(), root.path());
    assert_eq!(
        std::fs::read_to_string(tree.join("upper-constraints.txt")).unwrap(),
        "a===2\n"
    );
    let uploads = registry.uploads();
    let (json, _) = case.run(&[&push[..], &["--output", "json"]].concat(), 0);
    let document: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["reference"], first.trim_end());
    assert_eq!(registry.uploads(), uploads);
}
