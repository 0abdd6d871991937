//! Repositories made by the installed `git`, to be served.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A bare repository, and a work tree to commit from.
pub struct GitRepo {
    /// The bare repository.
    pub dir: PathBuf,
    work: tempfile::TempDir,
}

impl GitRepo {
    /// Makes an empty bare repository `ROOT/NAME.git` with `main` as its default branch.
    pub fn create(root: &Path, name: &str) -> Self {
        let dir = root.join(format!("{name}.git"));
        let made = Command::new("git")
            .args(["init", "--quiet", "--bare", "--initial-branch=main"])
            .arg(&dir)
            .status()
            .expect("git runs");
        assert!(made.success());
        Self {
            dir,
            work: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// Runs git on the repository; returns its output without the trailing newline.
    pub fn git(&self, args: &[&str]) -> String {
        self.git_at(None, args)
    }

    /// The same at a given time, in seconds since the epoch.
    pub fn git_at(&self, time: Option<i64>, args: &[&str]) -> String {
        let time = time.map(|seconds| format!("{seconds} +0000"));
        let times = ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"].map(|name| (name, time.clone()));
        let times = times.into_iter().filter_map(|(name, time)| Some((name, time?)));
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(&self.dir)
            .arg("--work-tree")
            .arg(self.work.path())
            .args(["-c", "user.name=Tester", "-c", "user.email=tester@example.org"])
            .args(["-c", "commit.gpgsign=false", "-c", "gc.auto=0"])
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .envs(times)
            .output()
            .expect("git runs");
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout)
            .expect("UTF-8")
            .trim_end()
            .to_owned()
    }

    /// Writes files and commits them on the current branch; returns the commit.
    pub fn commit(&self, files: &[(&str, &str)], message: &str) -> String {
        self.commit_at(None, files, message)
    }

    /// The same at a given time, in seconds since the epoch.
    pub fn commit_at(&self, time: Option<i64>, files: &[(&str, &str)], message: &str) -> String {
        for (name, content) in files {
            let path = self.work.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, content).expect("a file");
        }
        self.git(&["add", "--all", "--force"]);
        self.git_at(
            time,
            &["commit", "--quiet", "--allow-empty", "--message", message],
        );
        self.git(&["rev-parse", "HEAD"])
    }

    /// The folder that commits are made from.
    pub fn work(&self) -> &Path {
        self.work.path()
    }
}
