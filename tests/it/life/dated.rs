//! A repository whose commits have dates, and its upstream.

use std::path::{Path, PathBuf};

use assert_cmd::Command;

use crate::support::git_repo::GitRepo;

/// The file that the upstream has.
pub const BASE: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n";

/// The hunk that turns one line of [`BASE`] into another.
pub fn hunk(line: &str, into: &str) -> String {
    let lines: Vec<&str> = BASE.lines().collect();
    let at = lines.iter().position(|one| *one == line).unwrap();
    format!(
        "--- a/f\n+++ b/f\n@@ -{at},3 +{at},3 @@\n {}\n-{line}\n+{into}\n {}\n",
        lines[at - 1],
        lines[at + 1]
    )
}

/// A team's repository in the first users' layout, and its upstreams.
pub struct DatedTeam {
    pub root: tempfile::TempDir,
    pub repository: GitRepo,
}

impl DatedTeam {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let upstreams = root.path().join("upstreams");
        std::fs::create_dir(&upstreams).unwrap();
        let glance = GitRepo::create(&upstreams, "glance");
        glance.commit(&[("f", BASE)], "one");
        glance.git(&["tag", "31.1.0"]);
        glance.commit(&[("f", &BASE.replace("five", "FIVE"))], "two");
        glance.git(&["tag", "32.0.0"]);
        let repository = GitRepo::create(root.path(), "team");
        let team = Self { root, repository };
        team.write("releases/2025.2/source-refs.yaml", "glance: 31.1.0\n");
        team.write("releases/2026.1/source-refs.yaml", "glance: 32.0.0\n");
        team
    }

    /// The folder of the upstreams.
    pub fn upstreams(&self) -> PathBuf {
        self.root.path().join("upstreams")
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.repository.work().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.repository.work().join(path)).unwrap();
    }

    /// Commits the working tree at a time, in seconds since the epoch.
    pub fn commit(&self, time: i64, message: &str) {
        self.repository.commit_at(Some(time), &[], message);
    }

    /// Checks it out into a folder of this name.
    pub fn checkout(&self, name: &str, arguments: &[&str]) -> PathBuf {
        checkout(&self.repository.dir, &self.root.path().join(name), arguments)
    }
}

/// Clones a repository.
pub fn checkout(from: &Path, to: &Path, arguments: &[&str]) -> PathBuf {
    let cloned = std::process::Command::new("git")
        .args(["clone", "--quiet"])
        .args(arguments)
        .arg(format!("file://{}", from.display()))
        .arg(to)
        .status();
    assert!(cloned.unwrap().success());
    to.to_owned()
}

/// Runs the program in a folder; returns its output.
pub fn patchset(folder: &Path, arguments: &[&str], status: i32) -> (String, String) {
    let assert = Command::new(env!("CARGO_BIN_EXE_patchset"))
        .args(arguments)
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("../cache"))
        .assert()
        .code(status);
    let output = assert.get_output();
    (
        String::from_utf8(output.stdout.clone()).unwrap(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}
