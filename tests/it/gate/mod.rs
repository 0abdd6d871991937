//! `patchset check` as a gate in CI: what it reports to GitHub and GitLab, what a change makes
//! worse, what fixes patches, and how it gets access to private upstreams.

mod action;
mod change;
mod document;
mod forms;
mod logins;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::git_repo::GitRepo;

/// The file of ten lines that each component has; a folder `sub` has the same, and there are two
/// releases.
pub const BASE: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n";

/// A patch that turns one line of [`BASE`] into another.
pub fn patch(line: &str, into: &str) -> String {
    let lines: Vec<&str> = BASE.lines().collect();
    let at = lines.iter().position(|l| *l == line).unwrap();
    format!(
        "Subject: [PATCH] Say {into}\n\n--- a/f\n+++ b/f\n@@ -{at},3 +{at},3 @@\n {}\n-{line}\n+{into}\n {}\n",
        lines[at - 1],
        lines[at + 1]
    )
}

/// A team's repository, and its upstreams.
///
/// `glance` 1.0 is [`BASE`]. 1.1 has `FIVE` for `five`, which is a patch's change; `TWO` for `two`,
/// which breaks patches on the lines beside it; and a new first line.
pub struct Team {
    pub folder: tempfile::TempDir,
    pub upstreams: tempfile::TempDir,
    pub glance: GitRepo,
    /// The commit that breaks patches.
    pub breaks: String,
}

impl Team {
    pub fn new() -> Self {
        let upstreams = tempfile::tempdir().unwrap();
        let glance = GitRepo::create(upstreams.path(), "glance");
        glance.commit(&[("f", BASE), ("sub/f", BASE)], "one");
        glance.git(&["tag", "1.0"]);
        let five = BASE.replace("five", "FIVE");
        glance.commit(&[("f", &five)], "Say FIVE");
        let two = five.replace("two", "TWO");
        let breaks = glance.commit(&[("f", &two)], "Say TWO in place of @everyone's `two`");
        glance.commit(&[("f", &format!("zero\n{two}"))], "Begin at zero");
        glance.git(&["tag", "1.1"]);
        let keystone = GitRepo::create(upstreams.path(), "keystone");
        keystone.commit(&[("f", BASE)], "one");
        keystone.git(&["tag", "7.0"]);
        let team = Self {
            folder: tempfile::tempdir().unwrap(),
            upstreams,
            glance,
            breaks,
        };
        team.write(
            "releases/2025.2/source-refs.yaml",
            "# what is built\nglance: \"1.0\"\nkeystone: \"7.0\"\n",
        );
        team.write("patches/glance/2025.2/0001-five.patch", &patch("five", "FIVE"));
        team.write("patches/glance/2025.2/0002-three.patch", &patch("three", "DREI"));
        team.write("patches/glance/2025.2/0003-eight.patch", &patch("eight", "ACHT"));
        team.write("patches/keystone/2025.2/0001-five.patch", &patch("five", "V"));
        team.git(&["init", "--quiet", "--initial-branch=main"]);
        team.commit("Patches for 1.0");
        team
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Tester", "-c", "user.email=tester@example.org"])
            .args(args)
            .current_dir(self.root())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {err}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Moves `glance` to its next version.
    pub fn move_glance(&self) {
        self.write(
            "releases/2025.2/source-refs.yaml",
            "# what is built\nglance: \"1.1\"\nkeystone: \"7.0\"\n",
        );
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchset"));
        command
            .arg("check")
            .arg(self.root())
            .args(args)
            .env("XDG_CACHE_HOME", self.upstreams.path().join("cache"))
            .env_remove("GITHUB_STEP_SUMMARY")
            .env_remove("GITHUB_SERVER_URL")
            .env_remove("CI_PROJECT_URL");
        command
    }

    /// Runs a check of the local clones; returns its output.
    pub fn run(&self, args: &[&str], status: i32) -> String {
        let upstreams = self.upstreams.path().to_str().unwrap();
        let output = self
            .command(&[&["--upstream", upstreams], args].concat())
            .output()
            .unwrap();
        printed(&output, status)
    }

    pub fn json(&self, args: &[&str], status: i32) -> Value {
        let text = self.run(&[&["--output", "json"], args].concat(), status);
        serde_json::from_str(&text).unwrap()
    }
}

/// The standard output of a command that ends with this status.
pub fn printed(output: &Output, status: i32) -> String {
    let (out, err) = (
        String::from_utf8(output.stdout.clone()).unwrap(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(status), "{out}\n{err}");
    out
}
