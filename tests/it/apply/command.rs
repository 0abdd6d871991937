//! `patchset apply` as other tools and people call it.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use super::Oracle;

const GOOD: &str = "Subject: [PATCH] Good\n\n--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-2\n+zwei\n 3\n";
const BAD: &str = "--- a/f\n+++ b/f\n@@ -2,3 +2,3 @@\n 2\n-drei\n+3\n 4\n";
const SECOND: &str = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-zwei\n+two\n 3\n";

struct Case {
    oracle: Oracle,
    tree: String,
    folder: tempfile::TempDir,
}

impl Case {
    fn new(patches: &[(&str, &str)]) -> Self {
        let oracle = Oracle::new();
        let tree = oracle.tree(&[("100644", b"f", b"1\n2\n3\n4\n5\n")]);
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in patches {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self { oracle, tree, folder }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchset"));
        command
            .current_dir(self.folder.path())
            .args(["apply", "--repo"])
            .arg(&self.oracle.dir)
            .args(["--ref", &self.tree])
            .args(args);
        command
    }

    fn json(&self, args: &[&str], status: i32) -> Vec<Value> {
        let output = self
            .command(&[&["--output", "json"], args].concat())
            .assert()
            .code(status);
        let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

#[test]
fn json_has_the_promised_fields() {
    let case = Case::new(&[
        ("1.patch", GOOD),
        ("2.patch", SECOND),
        ("3.patch", BAD),
        ("notes.txt", "no patch"),
    ]);
    let lines = case.json(&["."], 1);
    let short: Vec<(&str, bool, &str)> = lines
        .iter()
        .map(|l| {
            (
                l["patch"].as_str().unwrap(),
                l["applies"].as_bool().unwrap(),
                l["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        short,
        [
            ("./1.patch", true, "Clean"),
            ("./2.patch", true, "Clean"),
            ("./3.patch", false, "Conflict")
        ]
    );
    let one = case.oracle.apply(&case.tree, GOOD.as_bytes(), &[]).unwrap();
    assert_eq!(lines[0]["tree"], one.as_str());
    assert!(lines[0]["error"].is_null() && lines[2]["tree"].is_null());
    assert!(lines[2]["error"].as_str().unwrap().contains("hunk 1"));
    assert_eq!(lines[0]["files"][0]["path"], "f");
    assert_eq!(lines[0]["subject"], "Good");
}

#[test]
fn patches_stack_unless_they_are_independent() {
    let case = Case::new(&[("1.patch", GOOD), ("2.patch", SECOND)]);
    assert_eq!(case.json(&["1.patch", "2.patch"], 0).len(), 2);
    let lines = case.json(&["--independent", "1.patch", "2.patch"], 1);
    assert_eq!(
        (&lines[0]["applies"], &lines[1]["applies"]),
        (&Value::Bool(true), &Value::Bool(false))
    );
}

#[test]
fn objects_are_written_only_when_asked() {
    let case = Case::new(&[("1.patch", GOOD)]);
    let tree = case.json(&["1.patch"], 0)[0]["tree"].as_str().unwrap().to_owned();
    let there = |tree: &str| {
        let path = format!("objects/{}/{}", &tree[..2], &tree[2..]);
        Path::new(&case.oracle.dir).join(path).exists()
    };
    assert!(!there(&tree));
    case.json(&["--write", "--independent", "1.patch"], 0);
    assert!(there(&tree));
    assert_eq!(
        case.oracle.run(&["show", &format!("{tree}:f")]),
        "1\nzwei\n3\n4\n5"
    );
}

#[test]
fn a_merged_patch_is_told_as_such() {
    let case = Case::new(&[("1.patch", GOOD)]);
    let lines = case.json(&["1.patch", "1.patch"], 1);
    assert_eq!(lines[1]["state"], "Merged");
}

#[test]
fn people_see_the_conflict_with_its_surroundings() {
    let case = Case::new(&[("1.patch", GOOD), ("2.patch", BAD)]);
    let output = case.command(&["1.patch", "2.patch"]).assert().code(1);
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    insta::assert_snapshot!(text);
}

#[test]
fn wrong_use_and_faults_end_with_two() {
    let case = Case::new(&[("1.patch", GOOD)]);
    case.command(&["absent.patch"]).assert().code(2);
    case.command(&[]).assert().code(2);
    let said = |repository: &str, revision: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchset"));
        let output = command
            .current_dir(case.folder.path())
            .args(["apply", "--repo", repository, "--ref", revision, "1.patch"])
            .assert()
            .code(2);
        String::from_utf8(output.get_output().stderr.clone()).unwrap()
    };
    assert!(said("absent", "main").contains("absent: no Git repository can be opened there"));
    assert!(
        said(case.oracle.dir.to_str().unwrap(), "nothing").contains("\"nothing\" names no commit or tree")
    );
}
