//! `patchset check` on a repository laid out like the first users'.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use crate::constraints::corpus;
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;

const BASE: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n";

/// A patch that turns one line of [`BASE`] into another.
fn patch(line: &str, into: &str) -> String {
    let lines: Vec<&str> = BASE.lines().collect();
    let at = lines.iter().position(|l| *l == line).unwrap();
    format!(
        "Subject: [PATCH] Say {into}\n\n--- a/f\n+++ b/f\n@@ -{at},3 +{at},3 @@\n {}\n-{line}\n+{into}\n {}\n",
        lines[at - 1],
        lines[at + 1]
    )
}

struct Case {
    root: tempfile::TempDir,
    upstreams: tempfile::TempDir,
    glance: GitRepo,
}

impl Case {
    /// A good repository: two releases, a service with patches for one of them, overrides.
    fn new() -> Self {
        let upstreams = tempfile::tempdir().unwrap();
        let glance = GitRepo::create(upstreams.path(), "glance");
        glance.commit(&[("f", BASE)], "one");
        glance.git(&["tag", "31.1.0"]);
        glance.commit(&[("f", &BASE.replace("five", "FIVE"))], "two");
        glance.git(&["tag", "--annotate", "--message", "two", "32.0.0"]);
        glance.git(&["branch", "stable/2026.1"]);
        let case = Self {
            root: tempfile::tempdir().unwrap(),
            upstreams,
            glance,
        };
        for release in ["2025.2", "2026.1"] {
            for file in [
                "releases/RELEASE/upper-constraints.txt",
                "releases/RELEASE/extra-packages.yaml",
                "releases/RELEASE/test-refs.yaml",
                "releases/RELEASE/source-refs.yaml",
                "overrides/RELEASE/constraints.txt",
            ] {
                let file = file.replace("RELEASE", release);
                case.write(&file, &corpus(&file));
            }
        }
        case.write("patches/glance/2025.2/0001-five.patch", &patch("five", "FIVE"));
        case.write("patches/glance/2025.2/0002-seven.patch", &patch("seven", "SEVEN"));
        case.write("patches/glance/2025.2/README.md", "why\n");
        case.write("patches/glance/2026.1/.gitkeep", "");
        case.write("patches/glance/2025.2/0002-seven.patch.license", "Apache-2.0\n");
        case
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchset"));
        command
            .arg("check")
            .arg(self.root.path())
            .args(args)
            .env("XDG_CACHE_HOME", self.upstreams.path().join("cache"));
        command
    }

    fn run(&self, args: &[&str], status: i32) -> (String, String) {
        let upstreams = self.upstreams.path().to_str().unwrap();
        let assert = self
            .command(&[&["--upstream", upstreams], args].concat())
            .assert()
            .code(status);
        let output = assert.get_output();
        (
            String::from_utf8(output.stdout.clone()).unwrap(),
            String::from_utf8(output.stderr.clone()).unwrap(),
        )
    }

    fn json(&self, args: &[&str], status: i32) -> Value {
        let (out, _) = self.run(&[&["--output", "json"], args].concat(), status);
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["ok"], status == 0);
        report
    }
}

/// Kinds, paths and lines of the faults.
fn faults(report: &Value) -> Vec<String> {
    let faults = report["faults"].as_array().unwrap().iter();
    faults
        .map(|fault| {
            let line = fault["line"]
                .as_u64()
                .map_or(String::new(), |line| format!(":{line}"));
            format!(
                "{} {}{line}",
                fault["kind"].as_str().unwrap(),
                fault["path"].as_str().unwrap()
            )
        })
        .collect()
}

fn rows(report: &Value, list: &str, keys: [&str; 3]) -> Vec<[String; 3]> {
    let rows = report[list].as_array().unwrap().iter();
    rows.map(|row| keys.map(|key| row[key].as_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn a_good_repository_is_good() {
    let case = Case::new();
    let (out, err) = case.run(&["--strict"], 0);
    assert_eq!(err, "");
    insta::assert_snapshot!(out, @r"
    PATCH                                   RESULT  DETAIL
    patches/glance/2025.2/0001-five.patch   Clean   Say FIVE
    patches/glance/2025.2/0002-seven.patch  Clean   Say SEVEN

    OVERRIDE                  RESULT   DETAIL
    overrides/2025.2 horizon  Removed  25.5.1 is no longer pinned
    overrides/2025.2 lhafile  Added    0.3.1, which upstream does not pin
    overrides/2026.1 horizon  Removed  25.7.0 is no longer pinned
    overrides/2026.1 lhafile  Added    0.3.1, which upstream does not pin

    2 of 2 patches apply; 4 overrides, 0 need attention; 0 faults; good
    ");
}

/// Puts one fault of each kind into a good repository.
fn add_faults(case: &Case) {
    // Patches: one that the next release of upstream has, one that conflicts, one cut short, one
    // behind a conflict.
    case.write("patches/glance/2026.1/0001-five.patch", &patch("five", "FIVE"));
    case.write(
        "patches/glance/2026.1/0002-eight.patch",
        &patch("eight", "ACHT").replace("-eight", "-acht"),
    );
    case.write(
        "patches/glance/2026.1/0003-cut.patch",
        "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n one\n",
    );
    case.write(
        "patches/glance/2026.1/0004-moved.patch",
        &patch("three", "DREI").replace("@@ -2,3 +2,3", "@@ -4,3 +4,3"),
    );
    // The folder.
    case.write("patches/glance/2025.2/0003-typo.pacth", "");
    case.write("patches/glance/notes.txt", "");
    case.write("patches/stray.patch", "");
    case.write("overrides/constraints.txt", "");
    case.write("overrides/2025.2/more.txt", "");
    case.write("patches/swift/2025.2/0001.patch", &patch("five", "V"));
    case.write("patches/glance/2024.1/0001.patch", &patch("five", "V"));
    case.write("patches/keystone/2025.2/0001.patch", &patch("five", "V"));
    case.write("overrides/2024.1/constraints.txt", "a===1\n");
    case.write("releases/2027.1/source-refs.yaml", "glance: 2.10\n");
    case.write("releases/2027.2/source-refs.yaml", "- glance\n");
    case.write("releases/2027.1/upper-constraints.txt", "a===1\nwhat is this\n");
    case.write("releases/2025.2/extra-packages.yaml", "cinder: {}\n");
    case.write("releases/2026.1/extra-packages.yaml", "glance: { pip: [a] }\n");
    // Overrides: all that need attention, and some that cannot be read.
    case.write(
        "overrides/2025.2/constraints.txt",
        "requests===2.32.4\nscipy===1.0\n-nothere\n",
    );
    case.write("overrides/2026.1/constraints.txt", "-horizon\nb==1\n-horizon\n");
}

#[test]
fn one_fault_of_each_kind_is_found() {
    let case = Case::new();
    add_faults(&case);
    let report = case.json(&[], 1);
    assert_eq!(
        faults(&report),
        [
            "OverridesWithoutConstraints overrides/2024.1/constraints.txt",
            "StillPinned overrides/2025.2/constraints.txt",
            "StrayFile overrides/2025.2/more.txt",
            "InvalidOverrides overrides/2026.1/constraints.txt:2",
            "InvalidOverrides overrides/2026.1/constraints.txt:3",
            "StrayFile overrides/constraints.txt",
            "ReleaseWithoutRefs patches/glance/2024.1",
            "StrayFile patches/glance/2025.2/0003-typo.pacth",
            "StrayFile patches/glance/notes.txt",
            "UpstreamUnavailable patches/keystone/2025.2",
            "StrayFile patches/stray.patch",
            "UnknownComponent patches/swift/2025.2",
            "UnknownComponent releases/2025.2/extra-packages.yaml",
            "InvalidExtraPackages releases/2026.1/extra-packages.yaml",
            "InvalidRefs releases/2027.1/source-refs.yaml:1",
            "InvalidConstraints releases/2027.1/upper-constraints.txt:2",
            "InvalidRefs releases/2027.2/source-refs.yaml",
        ]
    );
    assert_eq!(
        rows(&report, "patches", ["release", "name", "state"]),
        [
            ["2025.2", "0001-five.patch", "Clean"],
            ["2025.2", "0002-seven.patch", "Clean"],
            ["2026.1", "0001-five.patch", "Merged"],
            ["2026.1", "0002-eight.patch", "Conflict"],
            ["2026.1", "0003-cut.patch", "Malformed"],
            ["2026.1", "0004-moved.patch", "Offset"],
        ]
    );
    assert_eq!(
        rows(&report, "overrides", ["release", "package", "state"]),
        [
            ["2025.2", "requests", "Redundant"],
            ["2025.2", "scipy", "Outdated"],
            ["2025.2", "nothere", "Absent"],
        ]
    );
    let (table, _) = case.run(&[], 1);
    for part in [
        "f:7 hunk 1",
        "upstream has it: remove the patch",
        "put it in quotes",
        "not good",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
}

#[test]
fn attention_fails_only_where_that_is_asked_for() {
    let case = Case::new();
    case.write(
        "overrides/2025.2/constraints.txt",
        "-horizon\nrequests===2.32.4\n",
    );
    let report = case.json(&[], 0);
    assert_eq!(report["overrides"][1]["attention"], true);
    case.json(&["--strict"], 1);

    // A service that is built from source and stays pinned.
    case.write("overrides/2025.2/constraints.txt", "");
    let report = case.json(&[], 0);
    assert_eq!(faults(&report), ["StillPinned overrides/2025.2/constraints.txt"]);
    assert!(report["faults"][0]["message"].as_str().unwrap().contains(
        "horizon is built from source and pinned to 25.5.1, which pip and uv refuse: add -horizon"
    ));
    case.json(&["--strict"], 1);

    // What pip accepts and uv does not.
    case.write("overrides/2025.2/constraints.txt", "-horizon\n");
    let upper = "releases/2025.2/upper-constraints.txt";
    case.write(upper, &format!("{}pytz===2004d\n", corpus(upper)));
    let report = case.json(&[], 0);
    assert_eq!(
        faults(&report),
        ["RefusedByUv releases/2025.2/upper-constraints.txt"]
    );
    let message = report["faults"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("pytz===2004d, is not a PEP 440 version: uv refuses the file"),
        "{message}"
    );
    case.json(&["--strict"], 1);
}

#[test]
fn a_part_can_be_asked_for() {
    let case = Case::new();
    case.write("patches/glance/2026.1/0001-five.patch", &patch("five", "FIVE"));
    case.write("patches/stray", "");
    let one = case.json(&["--component", "Glance", "--release", "2025.2"], 0);
    assert_eq!(one["patches"].as_array().unwrap().len(), 2);
    assert_eq!(one["overrides"].as_array().unwrap().len(), 0);
    let package = case.json(&["--component", "LHAfile"], 0);
    assert_eq!(package["overrides"].as_array().unwrap().len(), 2);
    let release = case.json(&["--release", "2026.1"], 1);
    assert_eq!(release["patches"].as_array().unwrap().len(), 1);
    let (_, err) = case.run(&["--component", "glanec"], 2);
    assert!(err.contains("--component glanec: no such name"), "{err}");
    let (_, err) = case.run(&["--release", "2099.1"], 2);
    assert!(err.contains("there is 2025.2, 2026.1"), "{err}");
}

#[test]
fn repositories_may_be_on_a_server() {
    let case = Case::new();
    let server = GitServer::http(case.upstreams.path().to_path_buf()).start();
    let url = server.url("glance");
    let base = url
        .strip_suffix("/glance.git")
        .or(url.strip_suffix("/glance"))
        .unwrap();
    for (refs, states) in [
        ("31.1.0", ["Clean", "Clean"]),
        ("stable/2026.1", ["Merged", "Clean"]),
    ] {
        case.write(
            "releases/2025.2/source-refs.yaml",
            &format!("glance: \"{refs}\"\n"),
        );
        let output = case
            .command(&["--upstream", base, "--output", "json"])
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let found: Vec<_> = report["patches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["state"].clone())
            .collect();
        assert_eq!(found, states, "{report}");
    }
    assert!(case.upstreams.path().join("cache/patchset/mirrors").is_dir());
    case.write("releases/2025.2/source-refs.yaml", "glance: \"99\"\n");
    let output = case.command(&["--upstream", base]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("glance at 99: ") && text.contains("UpstreamUnavailable"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_asked_is_told() {
    let case = Case::new();
    let told = |args: &[&str], root: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_patchset"))
            .arg("check")
            .arg(root)
            .args(args)
            .assert()
            .code(2);
        String::from_utf8(output.get_output().stderr.clone()).unwrap()
    };
    let err = told(&[], case.root.path());
    assert!(err.contains("say with --upstream"), "{err}");
    let err = told(&["--upstream", "nowhere"], case.root.path());
    assert!(
        err.contains("--upstream nowhere: there is no such folder"),
        "{err}"
    );
    let err = told(&["--upstream", "ftp://example.org/x"], case.root.path());
    assert!(err.contains("ftp"), "{err}");
    let err = told(&[], case.upstreams.path());
    assert!(err.contains("no folder patches, overrides or releases"), "{err}");
    std::fs::remove_dir_all(case.root.path().join("patches")).unwrap();
    case.command(&[]).assert().code(0);
}

#[test]
fn what_upstream_did_with_patches_is_told() {
    let case = Case::new();
    let id = "Change-Id: Iaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let proposed = patch("eight", "ACHT").replacen("\n\n", &format!("\n\n{id}\n---\n"), 1);
    case.write("patches/glance/2026.1/0001-eight.patch", &proposed);
    case.write("patches/glance/2026.1/0002-three.patch", &patch("three", "DREI"));
    case.write("releases/2026.1/source-refs.yaml", "glance: \"stable/2026.1\"\n");
    case.glance.git(&["checkout", "--quiet", "stable/2026.1"]);
    let (tweaked, refactored) = (
        BASE.replace("eight", "ACHT!"),
        BASE.replace("eight", "ACHT!").replace("two", "ZWEI"),
    );
    let merged = case
        .glance
        .commit(&[("f", &tweaked)], &format!("Say ACHT\n\n{id}"));
    let breaks = case.glance.commit(&[("f", &refactored)], "Refactor it");
    let check = |report: &Value| {
        let [first, second] = [&report["patches"][0], &report["patches"][1]];
        assert_eq!(
            (&first["state"], &second["state"]),
            (&"Merged".into(), &"Conflict".into())
        );
        assert_eq!(first["merged"]["commit"], merged);
        assert_eq!(first["merged"]["by"], "ChangeId");
        assert_eq!(first["merged"]["differs"], true);
        assert_eq!(second["conflict"]["brokenBy"]["commit"], breaks);
        assert_eq!(second["conflict"]["brokenBy"]["subject"], "Refactor it");
    };
    check(&case.json(&["--release", "2026.1"], 1));
    let (table, _) = case.run(&["--release", "2026.1"], 1);
    let told = format!("broken by {} 'Refactor it' (", &breaks[..7]);
    for part in [
        &told,
        &merged[..7],
        "look at the difference, then remove the patch",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let without = case.json(&["--release", "2026.1", "--no-history"], 1);
    assert_eq!(without["patches"][0]["state"], "Conflict");
    assert!(without["patches"][1]["conflict"].get("brokenBy").is_none());

    // The same from a server.
    let server = GitServer::http(case.upstreams.path().to_path_buf()).start();
    let url = server.url("glance");
    let base = url
        .strip_suffix("/glance.git")
        .or(url.strip_suffix("/glance"))
        .unwrap();
    let args = ["--upstream", base, "--release", "2026.1", "--output", "json"];
    let output = case.command(&args).assert().code(1);
    check(&serde_json::from_slice(&output.get_output().stdout).unwrap());
}

#[test]
fn a_patch_that_fits_with_fuzz_alone_is_told() {
    let case = Case::new();
    let hunk = "@@ -2,7 +2,7 @@\n two\n three\n four\n-FIVE\n+V\n six\n seven\n eight\n";
    case.write(
        "patches/glance/2026.1/0001-five.patch",
        &format!(
            "Subject: [PATCH] Five\n\n--- a/f\n+++ b/f\n{}",
            hunk.replace(" two", " zwei")
        ),
    );
    let told = "applies with fuzz 1 at line 2: refresh it";
    let (table, _) = case.run(&["--release", "2026.1"], 1);
    assert!(table.contains(told), "{table}");
    let report = case.json(&["--release", "2026.1"], 1);
    assert_eq!(report["patches"][0]["conflict"]["fuzz"]["lines"], 1);
}
