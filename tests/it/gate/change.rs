//! `--base`: what a change makes worse or better, and nothing else.

use std::fs;

use serde_json::Value;

use super::{Team, patch};

const REFS: &str = "releases/2025.2/source-refs.yaml";
const FIVE: &str = "patches/glance/2025.2/0001-five.patch";
const THREE: &str = "patches/glance/2025.2/0002-three.patch";

/// A patch on top of the one before it.
fn nine(into: &str) -> String {
    patch("nine", into).replace(" eight\n", " ACHT\n")
}

fn paths(report: &Value, list: &str) -> Vec<String> {
    let rows = report[list].as_array().into_iter().flatten();
    rows.map(|row| row["path"].as_str().unwrap().to_owned()).collect()
}

fn verdicts(report: &Value) -> Vec<String> {
    let rows = report["patches"].as_array().unwrap().iter();
    rows.map(|row| {
        let change = &row["change"];
        let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {} {} -> {}",
            word(&row["name"]),
            word(&change["edit"]),
            word(&change["verdict"]),
            word(&change["before"]),
            word(&row["state"])
        )
    })
    .collect()
}

#[test]
fn a_moved_ref_is_told_with_what_it_breaks() {
    let team = Team::new();
    team.git(&["switch", "--quiet", "--create", "move"]);
    team.move_glance();
    // Even before it is committed.
    for message in ["", "Move glance"] {
        if !message.is_empty() {
            team.commit(message);
        }
        let report = team.json(&["--base", "main"], 1);
        assert_eq!(
            verdicts(&report),
            [
                "0001-five.patch Unchanged Worse Clean -> Merged",
                "0002-three.patch Unchanged Worse Clean -> Conflict",
                "0003-eight.patch Unchanged Same Clean -> Offset",
            ]
        );
        let (change, base) = (&report["changes"][0], &report["base"]);
        assert_eq!((&change["from"], &change["to"]), (&"1.0".into(), &"1.1".into()));
        assert_eq!(base["revision"], "main");
        assert_eq!(report["changes"].as_array().unwrap().len(), 1, "keystone stayed");
    }
    let table = team.run(&["--base", "main"], 1);
    let commit = &team.breaks[..7];
    let moves = format!(
        "moves glance 1.0 → 1.1 (2025.2): 1 applies, 1 is upstream, 1 breaks: by {commit} 'Say TWO in"
    );
    assert!(table.starts_with(&moves), "{table}");
    assert!(
        table.contains("the change makes it worse") && !table.contains("keystone"),
        "{table}"
    );

    // Annotations are on the line of the ref.
    let commands = team.run(&["--base", "main", "--output", "github"], 1);
    assert_eq!(
        commands
            .matches("::error file=releases/2025.2/source-refs.yaml,line=2,title=")
            .count(),
        2,
        "{commands}"
    );
    // With the patch fixed, nothing got worse.
    fs::remove_file(team.root().join(FIVE)).unwrap();
    let mended = patch("three", "DREI").replace(" two\n", " TWO\n");
    team.write(THREE, &mended.replace("@@ -2,3 +2,3", "@@ -3,3 +3,3"));
    let table = team.run(&["--base", "main"], 0);
    assert!(
        table.starts_with(
            "moves glance 1.0 → 1.1 (2025.2): 2 apply; changed: 0002-three.patch; removed: 0001-five.patch\n"
        ),
        "{table}"
    );
    assert!(table.ends_with("nothing got worse\n"), "{table}");
}

#[test]
fn what_breaks_a_patch_is_after_the_base_whenever_the_patch_was_written() {
    let team = Team::new();
    // Refreshed after upstream's next release.
    for (path, text) in [(FIVE, patch("five", "FIVE")), (THREE, patch("three", "DREI"))] {
        let late = format!("Date: Fri, 1 Jan 2038 00:00:00 +0000\n{text}");
        team.write(path, &late);
    }
    team.commit("Refresh");
    team.move_glance();
    let alone = team.json(&[], 1);
    assert!(
        alone["patches"][1]["conflict"].get("brokenBy").is_none(),
        "{alone}"
    );
    let local = team.json(&["--base", "HEAD"], 1);
    assert_eq!(local["patches"][1]["conflict"]["brokenBy"]["commit"], team.breaks);
    let server = crate::support::git_server::GitServer::http(team.upstreams.path()).start();
    let url = format!("http://{}", server.host());
    let output = team
        .command(&["--upstream", &url, "--base", "HEAD", "--output", "json"])
        .output()
        .unwrap();
    let served: Value = serde_json::from_str(&super::printed(&output, 1)).unwrap();
    assert_eq!(
        served["patches"][1]["conflict"]["brokenBy"]["commit"],
        team.breaks
    );
}

#[test]
fn what_was_so_before_does_not_fail() {
    let team = Team::new();
    team.move_glance();
    team.commit("Move glance, whatever breaks");
    team.run(&[], 1);
    team.git(&["switch", "--quiet", "--create", "more"]);
    let nothing = team.run(&["--base", "main"], 0);
    assert!(nothing.ends_with("nothing got worse\n"), "{nothing}");

    // One more patch, which applies; what is broken stays broken.
    team.write("patches/glance/2025.2/0004-nine.patch", &nine("NEUN"));
    let report = team.json(&["--base", "main"], 0);
    assert_eq!(
        verdicts(&report),
        [
            "0001-five.patch Unchanged Same Merged -> Merged",
            "0002-three.patch Unchanged Same Conflict -> Conflict",
            "0003-eight.patch Unchanged Same Offset -> Offset",
            "0004-nine.patch Added Same - -> Offset",
        ]
    );
    let table = team.run(&["--base", "main"], 0);
    assert!(
        table
            .starts_with("changes the patches of glance at 1.1 (2025.2): 2 apply, 2 do not apply, as before"),
        "{table}"
    );
    assert!(table.contains("; new: 0004-nine.patch\n"), "{table}");

    // One that does not apply makes it worse, even if others did not apply either.
    team.write(
        "patches/glance/2025.2/0004-nine.patch",
        &nine("X").replace("-nine", "-n"),
    );
    let report = team.json(&["--base", "main"], 1);
    assert!(verdicts(&report)[3].starts_with("0004-nine.patch Added Worse"));
    let commands = team.run(&["--base", "main", "--output", "github"], 1);
    let at = "::error file=patches/glance/2025.2/0004-nine.patch,line=5,";
    assert!(
        commands.starts_with(at) && commands.lines().count() == 1,
        "{commands}"
    );
}

#[test]
fn upstreams_of_what_stays_are_not_looked_at() {
    let team = Team::new();
    fs::remove_dir_all(team.upstreams.path().join("keystone.git")).unwrap();
    team.git(&["switch", "--quiet", "--create", "move"]);
    team.move_glance();
    let report = team.json(&["--base", "main"], 1);
    assert_eq!(report["faults"].as_array().unwrap().len(), 0, "{report}");
    // Without changes no upstream is needed.
    team.git(&["checkout", "--quiet", "."]);
    fs::remove_dir_all(team.upstreams.path().join("glance.git")).unwrap();
    team.run(&["--base", "main"], 0);
}

#[test]
fn others_changes_on_the_base_are_not_this_changes() {
    let team = Team::new();
    team.git(&["switch", "--quiet", "--create", "move"]);
    team.write("patches/glance/2025.2/0004-nine.patch", &nine("NEUN"));
    team.commit("Carry one more");
    team.git(&["switch", "--quiet", "main"]);
    team.write("patches/keystone/2025.2/0001-five.patch", &patch("five", "FIVE"));
    team.write("patches/glance/2025.2/0005-ten.patch", &patch("three", "III"));
    team.commit("What others did");
    team.git(&["switch", "--quiet", "move"]);
    let report = team.json(&["--base", "main"], 0);
    let changes = report["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1, "{report}");
    assert!(changes[0].get("removed").is_none(), "{report}");

    // If the clone's history is too short, the revision itself is the base, and the report says so.
    let shallow = tempfile::tempdir().unwrap();
    let url = format!("file://{}", team.root().display());
    let clone = |args: &[&str]| {
        let status = std::process::Command::new("git")
            .args(args)
            .current_dir(shallow.path())
            .status();
        assert!(status.unwrap().success(), "{args:?}");
    };
    clone(&["clone", "--quiet", "--depth=1", "--branch=move", &url, "."]);
    clone(&["fetch", "--quiet", "--depth=1", "origin", "main:main"]);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_patchset"))
        .args(["check", "--base", "main", "--upstream"])
        .arg(team.upstreams.path())
        .arg(shallow.path())
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("compared to main itself"), "{err}");
}

#[test]
fn components_come_and_go() {
    let team = Team::new();
    fs::remove_dir_all(team.root().join("patches/keystone")).unwrap();
    team.write("patches/glance/2026.1/0001-five.patch", &patch("five", "V"));
    team.write("releases/2026.1/source-refs.yaml", "glance: \"1.0\"\n");
    let table = team.run(&["--base", "HEAD"], 0);
    let lines: Vec<&str> = table.lines().take(2).collect();
    assert_eq!(
        lines,
        [
            "removes keystone (2025.2); removed: 0001-five.patch",
            "adds glance at 1.0 (2026.1): 1 applies; new: 0001-five.patch",
        ]
    );
    let one = team.json(
        &["--base", "HEAD", "--component", "glance", "--release", "2026.1"],
        0,
    );
    assert_eq!(one["changes"].as_array().unwrap().len(), 1, "{one}");
}

#[test]
fn faults_and_overrides_are_compared() {
    let team = Team::new();
    team.write("patches/stray", "");
    team.write(
        "releases/2025.2/upper-constraints.txt",
        "requests===2\nurllib3===1\n",
    );
    team.write("overrides/2025.2/constraints.txt", "requests===2\nurllib3===3\n");
    team.commit("With a fault, and an override that is redundant");
    team.run(&[], 1);
    let same = team.json(&["--base", "HEAD", "--strict"], 0);
    assert_eq!(
        (paths(&same, "faults").len(), &same["overrides"]),
        (0, &serde_json::json!([]))
    );

    fs::remove_file(team.root().join("patches/stray")).unwrap();
    team.write("patches/glance/other", "");
    team.write("overrides/2025.2/constraints.txt", "requests===2\nurllib3===1\n");
    let report = team.json(&["--base", "HEAD"], 1);
    assert_eq!(paths(&report, "faults"), ["patches/glance/other"]);
    assert_eq!(paths(&report, "mended"), ["patches/stray"]);
    let overrides = report["overrides"].as_array().unwrap();
    assert_eq!(overrides.len(), 1, "{report}");
    assert_eq!(
        (&overrides[0]["package"], &overrides[0]["verdict"]),
        (&"urllib3".into(), &"Worse".into())
    );
    fs::remove_file(team.root().join("patches/glance/other")).unwrap();
    team.run(&["--base", "HEAD"], 0);
    team.run(&["--base", "HEAD", "--strict"], 1);
}

#[test]
fn the_folder_may_be_below_the_repository() {
    let team = Team::new();
    let inner = team.root().join("deploy");
    fs::create_dir(&inner).unwrap();
    for name in ["patches", "releases"] {
        fs::rename(team.root().join(name), inner.join(name)).unwrap();
    }
    team.commit("Move everything");
    fs::write(
        inner.join("releases/2025.2/source-refs.yaml"),
        "glance: \"1.1\"\nkeystone: \"7.0\"\n",
    )
    .unwrap();
    let upstreams = team.upstreams.path().to_str().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_patchset"))
        .args([
            "check",
            "--base",
            "HEAD",
            "--output",
            "github",
            "--upstream",
            upstreams,
        ])
        .arg(&inner)
        .output()
        .unwrap();
    let text = super::printed(&output, 1);
    assert!(
        text.contains("file=deploy/releases/2025.2/source-refs.yaml,line=1,"),
        "{text}"
    );
}

#[test]
fn a_base_that_is_not_there_is_told() {
    let team = Team::new();
    let told = |args: &[&str]| {
        let output = team.command(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let err = told(&["--base", "nowhere"]);
    assert!(
        err.contains("--base nowhere: the repository has no such commit"),
        "{err}"
    );
    fs::remove_dir_all(team.root().join(".git")).unwrap();
    let err = told(&["--base", "main"]);
    assert!(err.contains("Git repository"), "{err}");
}

#[test]
fn a_ref_that_upstream_lacks_is_told_where_it_stands() {
    let team = Team::new();
    team.write(REFS, "keystone: \"7.0\"\n# moved\nglance: \"9.9\"\n");
    let commands = team.run(&["--base", "HEAD", "--output", "github"], 1);
    assert!(
        commands
            .starts_with("::error file=releases/2025.2/source-refs.yaml,line=3,title=UpstreamUnavailable"),
        "{commands}"
    );
}

#[test]
fn a_change_on_a_server_is_told_as_of_clones() {
    let team = Team::new();
    team.git(&["switch", "--quiet", "--create", "move"]);
    team.move_glance();
    let local = team.json(&["--base", "main"], 1);
    team.glance.git(&["config", "uploadpack.allowFilter", "true"]);
    let server = crate::support::git_server::GitServer::http(team.upstreams.path()).start();
    let url = format!("http://{}", server.host());
    let output = team
        .command(&["--upstream", &url, "--base", "main", "--output", "json"])
        .output()
        .unwrap();
    let mut served: Value = serde_json::from_str(&super::printed(&output, 1)).unwrap();
    // Only verdicts are compared: what is said of a commit by the server's address differs.
    assert_eq!(verdicts(&served), verdicts(&local));
    assert_eq!(
        served["patches"][1]["refresh"].take(),
        local["patches"][1]["refresh"]
    );
    assert_eq!(
        served["patches"][1]["conflict"]["brokenBy"]["commit"],
        team.breaks
    );
}
