//! `patchset refresh` as people and other tools call it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const MAIL: &str = "From 1111111111111111111111111111111111111111 Mon Sep 17 00:00:00 2001\n\
    From: A U Thor <author@example.org>\nDate: Tue, 14 Nov 2023 23:13:20 +0100\n\
    Subject: [PATCH] Change it\n\n---\n";

/// A repository with two commits, `old` and `new`, and patches for the older one.
struct Case {
    folder: tempfile::TempDir,
}

/// Numbered lines, some of them replaced.
fn numbered(replaced: &[(usize, &str)]) -> String {
    let line = |number: usize| match replaced.iter().find(|(at, _)| *at == number) {
        Some((_, text)) => (*text).to_owned(),
        None => format!("{number}\n"),
    };
    (1..=40).map(line).collect()
}

impl Case {
    fn new() -> Self {
        let case = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir_all(case.path("patches")).unwrap();
        case.git(&["init", "--quiet", "."]);
        case.commit("old", &numbered(&[]));
        case.patch("1-merge.patch", &numbered(&[(10, "ten\n")]));
        case.patch("2-conflict.patch", &numbered(&[(20, "twenty\n")]));
        case.patch("3-merged.patch", &numbered(&[(30, "thirty\n")]));
        case.commit(
            "new",
            &numbered(&[(8, "eight\n"), (20, "20!\n"), (30, "thirty\n")]),
        );
        case
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=n", "-c", "user.email=e@example.org"])
            .args(arguments)
            .current_dir(self.folder.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn commit(&self, tag: &str, contents: &str) {
        std::fs::write(self.path("f"), contents).unwrap();
        self.git(&["add", "f"]);
        self.git(&["commit", "--quiet", "-m", tag]);
        self.git(&["tag", tag]);
    }

    /// Writes a patch that turns the current file into `contents`.
    fn patch(&self, name: &str, contents: &str) {
        std::fs::write(self.path("f"), contents).unwrap();
        let diff = self.git(&["diff", "f"]);
        self.git(&["checkout", "--quiet", "f"]);
        std::fs::write(self.path("patches").join(name), format!("{MAIL}{diff}")).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path("patches").join(name)).unwrap()
    }

    fn refresh(&self, arguments: &[&str], status: i32) -> (String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_patchset"))
            .args(["refresh", "--repo", ".", "--ref", "new"])
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let [out, said] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(output.status.code(), Some(status), "{out}{said}");
        (out, said)
    }
}

#[test]
fn files_are_refreshed_in_place() {
    let case = Case::new();
    let before = ["1-merge.patch", "2-conflict.patch", "3-merged.patch"].map(|name| case.read(name));
    let (told, _) = case.refresh(&["patches"], 1);
    assert!(
        told.contains("refreshed by a merge  patches/1-merge.patch"),
        "{told}"
    );
    assert!(
        told.contains("f: merged, from the file that its index line names"),
        "{told}"
    );
    assert!(
        told.contains("to be mended by hand  patches/2-conflict.patch"),
        "{told}"
    );
    assert!(told.contains("conflict at line 20 of the file"), "{told}");
    assert!(told.contains("already there  patches/3-merged.patch"), "{told}");
    assert!(
        told.contains("1 of 3 patches were refreshed, 1 to drop, 1 to mend by hand"),
        "{told}"
    );
    let new = case.read("1-merge.patch");
    assert_eq!(
        new.split_once("\n---\n").unwrap().0,
        before[0].split_once("\n---\n").unwrap().0
    );
    assert!(new.contains("\n eight\n"), "{new}");
    assert_eq!(
        [case.read("2-conflict.patch"), case.read("3-merged.patch")],
        before[1..]
    );
    case.git(&["checkout", "--quiet", "--force", "new"]);
    case.git(&["am", "--quiet", "patches/1-merge.patch"]);
    // No other files are left behind, and a second run changes nothing.
    let files = std::fs::read_dir(case.path("patches")).unwrap().count();
    assert_eq!(files, 3);
    let (told, _) = case.refresh(&["patches/1-merge.patch"], 0);
    assert!(told.contains("up to date  patches/1-merge.patch"), "{told}");
    assert_eq!(case.read("1-merge.patch"), new);
}

#[test]
fn a_dry_run_prints_a_diff_that_git_applies() {
    let case = Case::new();
    let before = case.read("1-merge.patch");
    let (diff, told) = case.refresh(&["--dry-run", "patches/1-merge.patch"], 0);
    assert!(told.contains("1 of 1 patches would be refreshed"), "{told}");
    assert_eq!(case.read("1-merge.patch"), before);
    let absolute = case.path("patches/1-merge.patch");
    for spelling in ["./patches/../patches/1-merge.patch", absolute.to_str().unwrap()] {
        let (same, _) = case.refresh(&["--dry-run", spelling], 0);
        assert_eq!(same, diff, "{spelling}");
    }
    std::fs::write(case.path("change.diff"), diff).unwrap();
    case.git(&["apply", "change.diff"]);
    let (told, _) = case.refresh(&["patches/1-merge.patch"], 0);
    assert!(told.contains("up to date"), "{told}");
}

#[test]
fn json_has_the_promised_fields() {
    let case = Case::new();
    let (out, _) = case.refresh(&["--dry-run", "--output", "json", "patches"], 1);
    let lines: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["patch"], "patches/1-merge.patch");
    assert_eq!(
        (&lines[0]["outcome"], &lines[0]["by"]),
        (&"Refreshed".into(), &"ThreeWay".into())
    );
    let file = serde_json::json!({ "path": "f", "outcome": "ThreeWay", "base": "IndexLine" });
    assert_eq!(lines[0]["files"], serde_json::json!([file]));
    assert_eq!(lines[1]["outcome"], "Impossible");
    assert!(
        lines[1]["reason"]
            .as_str()
            .unwrap()
            .contains("conflict at line 20")
    );
    assert_eq!(lines[2]["outcome"], "Merged");
    assert_eq!(lines[1]["tree"], lines[0]["tree"]);
}

#[test]
fn files_of_where_the_patches_applied_are_taken_from_there() {
    let case = Case::new();
    // The index line names a blob that the repository does not have.
    let patch = case.read("1-merge.patch");
    let index = patch.lines().find(|line| line.starts_with("index ")).unwrap();
    let other = patch.replace(index, "index 1234567..7654321 100644");
    std::fs::write(case.path("patches/1-merge.patch"), other).unwrap();
    let (told, _) = case.refresh(&["--fuzz", "0", "--dry-run", "patches/1-merge.patch"], 1);
    assert_eq!(told, "");
    let arguments = ["--fuzz", "0", "--since", "old", "patches/1-merge.patch"];
    let (told, _) = case.refresh(&arguments, 0);
    assert!(
        told.contains("merged, from the file on which it last applied"),
        "{told}"
    );
    // With GNU patch's fuzz, no blob has to be known.
    std::fs::write(
        case.path("patches/1-merge.patch"),
        patch.replace(index, "index 1234567..7654321 100644"),
    )
    .unwrap();
    let (told, _) = case.refresh(&["patches/1-merge.patch"], 0);
    assert!(
        told.contains("placed with a fuzz of 2 lines: look at it"),
        "{told}"
    );
}

#[test]
fn apply_says_what_a_refresh_would_mend() {
    let case = Case::new();
    // The same hunk, two lines off.
    let offset = case.read("1-merge.patch").replace(" 8\n", " eight\n");
    let offset = offset.replace("@@ -7,7 +7,7 @@", "@@ -5,7 +5,7 @@");
    std::fs::write(case.path("patches/0-offset.patch"), offset).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_patchset"))
            .args(["apply", "--repo", ".", "--ref", "new", "--independent"])
            .args(arguments)
            .current_dir(case.folder.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let out = run(&["--output", "json", "patches"]);
    let found = out.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let refresh = line.get("refresh").map(ToString::to_string).unwrap_or_default();
        format!("{} {refresh}", line["state"].as_str().unwrap())
    });
    assert_eq!(
        found.collect::<Vec<_>>(),
        [
            r#"Offset {"by":"Offset","state":"Available"}"#,
            r#"Conflict {"by":"ThreeWay","state":"Needed"}"#,
            r#"Conflict {"state":"Impossible"}"#,
            "Merged ",
        ]
    );
    let told = run(&["patches"]);
    assert!(told.contains("patchset refresh mends it by a merge"), "{told}");
    // The verdicts are there without it.
    let quick = run(&["--no-refresh", "--output", "json", "patches"]);
    assert_eq!(quick.lines().count(), 4, "{quick}");
    assert!(!quick.contains(r#""refresh""#), "{quick}");
}

#[test]
fn what_upstream_has_in_another_form_is_not_refreshed() {
    let case = Case::new();
    let patch = case.read("1-merge.patch");
    let with_id = patch.replace(
        "\n---\n",
        "\nChange-Id: I0123456789012345678901234567890123456789\n---\n",
    );
    std::fs::write(case.path("patches/1-merge.patch"), &with_id).unwrap();
    let contents = numbered(&[(8, "eight\n"), (10, "Ten\n"), (20, "20!\n"), (30, "thirty\n")]);
    std::fs::write(case.path("f"), contents).unwrap();
    let message = "Change it\n\nChange-Id: I0123456789012345678901234567890123456789";
    case.git(&["commit", "--quiet", "-a", "-m", message]);
    case.git(&["tag", "--force", "new"]);
    let (told, _) = case.refresh(&["patches/1-merge.patch"], 1);
    assert!(told.contains("already there  patches/1-merge.patch"), "{told}");
    assert!(
        told.contains("by its Change-Id, and upstream's differs"),
        "{told}"
    );
    assert_eq!(case.read("1-merge.patch"), with_id);
    let (told, _) = case.refresh(&["--no-history", "patches/1-merge.patch"], 1);
    assert!(told.contains("to be mended by hand"), "{told}");
}

#[test]
fn what_cannot_be_written_in_place_is_refused() {
    let case = Case::new();
    let (_, told) = case.refresh(&["-"], 2);
    assert!(told.contains("standard input cannot be refreshed"), "{told}");
    let (_, told) = case.refresh(&["patches", "patches/1-merge.patch"], 2);
    assert!(told.contains("is given twice"), "{told}");
    let (_, told) = case.refresh(&["absent.patch"], 2);
    assert!(told.contains("absent.patch"), "{told}");
}

#[test]
fn the_file_behind_a_link_is_written_with_its_permissions() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let case = Case::new();
    let target = case.path("target.patch");
    std::fs::rename(case.path("patches/1-merge.patch"), &target).unwrap();
    std::fs::set_permissions(&target, PermissionsExt::from_mode(0o640)).unwrap();
    symlink(&target, case.path("patches/1-merge.patch")).unwrap();
    case.refresh(&["patches/1-merge.patch"], 0);
    assert!(is_link(&case.path("patches/1-merge.patch")));
    assert!(std::fs::read_to_string(&target).unwrap().contains("\n eight\n"));
    assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o777, 0o640);
}

/// The code blocks of a language in a document.
fn blocks(document: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    let parts = document.split(&fence).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_documented_example_runs_as_it_says() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/refresh.md");
    let document = std::fs::read_to_string(document).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_patchset"))
        .parent()
        .unwrap()
        .to_owned();
    let mut path = vec![bin];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &blocks(&document, "sh").concat()])
        .current_dir(folder.path())
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let told = String::from_utf8(output.stdout).unwrap();
    let without_tree = |text: &str| text.split("; tree ").next().unwrap().to_owned();
    assert_eq!(without_tree(&told), without_tree(&blocks(&document, "text")[0]));
}

fn is_link(path: &Path) -> bool {
    std::fs::symlink_metadata(path).unwrap().is_symlink()
}
