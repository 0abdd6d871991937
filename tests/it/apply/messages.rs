//! What `patchset apply` says about a repository or a patch that needs an explanation.

use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::support::git_repo::GitRepo;

const BASE: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n";
const PATCH: &str =
    "--- a/f\n+++ b/f\n@@ -2,7 +2,7 @@\n two\n three\n four\n-five\n+FIVE\n six\n seven\n eight\n";

struct Case {
    root: tempfile::TempDir,
    repo: GitRepo,
}

impl Case {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let repo = GitRepo::create(root.path(), "demo");
        repo.commit(&[("f", BASE)], "base");
        std::fs::write(root.path().join("x.patch"), PATCH).unwrap();
        Self { root, repo }
    }

    /// Writes another patch.
    fn patch(&self, text: &str) {
        std::fs::write(self.root.path().join("x.patch"), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchset"));
        command
            .env("HOME", self.root.path())
            .env_remove("GIT_CONFIG_GLOBAL")
            .current_dir(self.root.path())
            .args(["apply", "--repo"])
            .arg(&self.repo.dir)
            .args(args)
            .arg("x.patch");
        command
    }

    /// Standard output and standard error together.
    fn told(&self, args: &[&str], status: i32) -> String {
        let assert = self.command(args).assert().code(status);
        let output = assert.get_output();
        [output.stdout.as_slice(), &output.stderr]
            .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
            .concat()
    }

    fn json(&self, args: &[&str], status: i32) -> Value {
        let args = [args, &["--output", "json"]].concat();
        let assert = self.command(&args).assert().code(status);
        serde_json::from_slice(&assert.get_output().stdout).unwrap()
    }
}

/// `sudo` users and containers meet this: the clone is owned by another user. Git is the oracle.
#[test]
fn a_repository_of_another_owner_is_opened_where_git_would() {
    let case = Case::new();
    if std::os::unix::fs::chown(&case.repo.dir, Some(12_345), Some(12_345)).is_err() {
        eprintln!("only root may give a folder away");
        return;
    }
    let dir = case.repo.dir.to_str().unwrap().to_owned();
    let settings = case.root.path().join("settings");
    std::fs::write(&settings, format!("[safe]\n\tdirectory = {dir}\n")).unwrap();
    let settings = settings.to_str().unwrap().to_owned();
    let count = |value: &str| {
        vec![
            ("GIT_CONFIG_COUNT", "1".to_owned()),
            ("GIT_CONFIG_KEY_0", "safe.directory".to_owned()),
            ("GIT_CONFIG_VALUE_0", value.to_owned()),
        ]
    };
    for (environment, allowed) in [
        (vec![], false),
        (count(&dir), true),
        (count("*"), true),
        (count("/elsewhere"), false),
        (vec![("GIT_CONFIG_GLOBAL", settings)], true),
    ] {
        let git = std::process::Command::new("git")
            .args(["-C", &dir, "rev-parse", "HEAD"])
            .env("HOME", case.root.path())
            .env_remove("GIT_CONFIG_GLOBAL")
            .envs(environment.clone())
            .output()
            .unwrap();
        assert_eq!(git.status.success(), allowed, "{environment:?}");
        let mut command = case.command(&["--ref", "main"]);
        let assert = command.envs(environment.clone()).assert();
        let error = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        if allowed {
            assert.code(0);
        } else {
            assert.code(2);
            assert!(
                error.contains("safe.directory") && error.contains(&dir),
                "{error}"
            );
        }
    }
}

#[test]
fn a_retired_branch_is_told_with_what_there_is_of_it() {
    let case = Case::new();
    case.repo.git(&["tag", "2024.2-eol", "main"]);
    case.repo.git(&["branch", "unmaintained/2024.1", "main"]);
    for (name, there) in [
        ("stable/2024.2", "there is tag 2024.2-eol"),
        ("stable/2024.1", "there is branch unmaintained/2024.1"),
        ("origin/stable/2024.1", "there is branch unmaintained/2024.1"),
    ] {
        let told = case.told(&["--ref", name], 2);
        assert!(
            told.contains("the branch was retired") && told.contains(there),
            "{told}"
        );
    }
    let told = case.told(&["--ref", "stable/2023.1"], 2);
    assert!(!told.contains("retired"), "{told}");
}

#[test]
fn a_file_of_a_submodule_is_told() {
    let case = Case::new();
    let commit = case.repo.git(&["rev-parse", "main"]);
    let blob = case.repo.git(&["rev-parse", "main:f"]);
    let tree = mktree(
        &case.repo.dir,
        &format!("100644 blob {blob}\tf\n160000 commit {commit}\tlib\n"),
    );
    case.patch(&PATCH.replace("a/f", "a/lib/f").replace("b/f", "b/lib/f"));
    let told = case.told(&["--ref", &tree], 1);
    assert!(
        told.contains("lib/f: does not exist: lib is a submodule"),
        "{told}"
    );
}

fn mktree(dir: &Path, entries: &str) -> String {
    let mut git = assert_cmd::Command::new("git");
    let made = git
        .arg("--git-dir")
        .arg(dir)
        .arg("mktree")
        .write_stdin(entries)
        .assert()
        .success();
    String::from_utf8(made.get_output().stdout.clone())
        .unwrap()
        .trim()
        .to_owned()
}

#[test]
fn one_inserted_line_is_one_difference_in_text_and_json() {
    let case = Case::new();
    let text = BASE.replace("three\n", "three\nthree and a half\n");
    case.repo.commit(&[("f", &text)], "a line more");
    let told = case.told(&["--ref", "main", "--no-history"], 1);
    assert!(
        told.contains("nearest match at line 2: 7 of 7 lines agree, line 4 is the first"),
        "{told}"
    );
    assert!(told.contains("     4 | + three and a half  found"), "{told}");
    assert!(!told.contains("expected\n"), "{told}");

    let line = case.json(&["--ref", "main", "--no-history"], 1);
    let lines = line["differences"][0]["lines"].as_array().unwrap();
    let differing: Vec<&Value> = lines.iter().filter(|line| line["side"] != "both").collect();
    assert_eq!(
        differing,
        [&json!({"side": "found", "line": 4, "text": "three and a half"})]
    );
    assert_eq!(lines.len(), 8);
    // What other tools read does not change.
    let rejected = &line["files"][0]["hunks"][0]["rejected"];
    assert_eq!(rejected["expected"].as_array().unwrap().len(), 7);
    assert_eq!(rejected["nearest"]["found"].as_array().unwrap().len(), 7);
}

#[test]
fn a_patch_that_fits_with_fuzz_alone_is_a_conflict_that_says_so() {
    let case = Case::new();
    case.repo
        .commit(&[("f", &BASE.replace("two\n", "zwei\n"))], "another line");
    let told = case.told(&["--ref", "main"], 1);
    assert!(told.contains("conflicts"), "{told}");
    assert!(
        told.contains("applies with fuzz 1 at line 2: refresh it"),
        "{told}"
    );
    let line = case.json(&["--ref", "main"], 1);
    assert_eq!(
        (&line["state"], &line["fuzz"]),
        (&json!("Conflict"), &json!({"lines": 1, "line": 2}))
    );
    case.repo
        .commit(&[("f", &BASE.replace("five\n", "V\n"))], "the line itself");
    let told = case.told(&["--ref", "main"], 1);
    assert!(!told.contains("fuzz"), "{told}");
}
