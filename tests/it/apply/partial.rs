//! On clones made without all their objects.

use std::path::{Path, PathBuf};
use std::process::Command as Process;

use assert_cmd::Command;

use crate::support::git_repo::GitRepo;
use crate::support::git_server::{Fault, GitServer};

const PATCH: &str = "--- a/dir/f\n+++ b/dir/f\n@@ -1,3 +1,3 @@\n 1\n-2\n+zwei\n 3\n";

struct Case {
    root: tempfile::TempDir,
    server: GitServer,
}

impl Case {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let repo = GitRepo::create(root.path(), "repo");
        repo.commit(&[("dir/f", "1\n2\n3\n"), ("dir/other", "other\n")], "one");
        repo.git(&["config", "uploadpack.allowFilter", "true"]);
        std::fs::write(root.path().join("p.patch"), PATCH).unwrap();
        Self {
            server: GitServer::http(root.path()).start(),
            root,
        }
    }

    fn clone(&self, url: &str, filter: &str) -> PathBuf {
        let clone = self.root.path().join("a clone");
        let made = git()
            .args(["clone", "--quiet", "--depth", "1", "--no-checkout", "--no-local"])
            .arg(format!("--filter={filter}"))
            .arg(url)
            .arg(&clone)
            .status()
            .unwrap();
        assert!(made.success());
        clone
    }

    fn apply(&self, clone: &Path, options: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_patchset"))
            .current_dir(self.root.path())
            .args(["apply", "--ref", "HEAD", "--repo"])
            .arg(clone)
            .args(options)
            .arg("p.patch")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), said)
    }
}

fn git() -> Process {
    let mut git = Process::new("git");
    git.env("GIT_CONFIG_GLOBAL", "/dev/null");
    git
}

/// The number of objects that the clone lacks.
fn lacking(clone: &Path) -> usize {
    let arguments = ["rev-list", "--objects", "--missing=print", "HEAD"];
    let output = git().arg("-C").arg(clone).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| line.starts_with('?')).count()
}

#[test]
fn the_command_that_is_named_gets_what_was_filtered() {
    for filter in ["blob:none", "tree:0"] {
        let case = Case::new();
        let clone = case.clone(&case.server.url("repo"), filter);
        let (status, said) = case.apply(&clone, &[]);
        assert_eq!(status, 2, "{said}");
        assert!(
            said.contains("was filtered out when ") && said.contains("give --fetch"),
            "{said}"
        );
        let (_, command) = said
            .split_once("fetch what is missing with: ")
            .expect("a command");
        let (command, _) = command.split_once("; or").unwrap();
        let done = Process::new("sh").args(["-c", command]).status().unwrap();
        assert!(done.success(), "{command}");
        assert_eq!(lacking(&clone), 0);
        assert_eq!(case.apply(&clone, &[]).0, 0);
    }
}

#[test]
fn what_was_filtered_is_fetched_where_that_is_asked_for() {
    let file = |case: &Case| format!("file://{}", case.root.path().join("repo.git").display());
    let http = |case: &Case| case.server.url("repo");
    let remotes: [fn(&Case) -> String; 2] = [http, file];
    for (remote, requests) in remotes.into_iter().zip([1, 0]) {
        for (filter, trees) in [("blob:none", 0), ("tree:0", 1)] {
            let case = Case::new();
            let clone = case.clone(&remote(&case), filter);
            let packs = case.server.packs();
            let (status, said) = case.apply(&clone, &["--fetch"]);
            assert_eq!(status, 0, "{said}");
            assert_eq!(
                case.server.packs() - packs,
                requests * (1 + trees),
                "one for all trees, one for all files"
            );
            assert_eq!(lacking(&clone), 1, "the other file is not fetched");
            let fsck = git()
                .arg("-C")
                .arg(&clone)
                .args(["fsck", "--connectivity-only"])
                .output()
                .unwrap();
            assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stderr));
            // After that it is there.
            assert_eq!(case.apply(&clone, &[]).0, 0);
            assert_eq!(case.apply(&clone, &["--fetch"]).0, 0);
            assert_eq!(case.server.packs() - packs, requests * (1 + trees));
        }
    }
}

#[test]
fn a_remote_that_does_not_keep_its_promise_is_told_of() {
    let case = Case::new();
    let clone = case.clone(&case.server.url("repo"), "blob:none");
    for fault in [
        Fault::Decline {
            times: 1,
            status: 200,
            words: "ERR upload-pack: not our ref OID",
        },
        Fault::Status(503),
    ] {
        case.server.fail(fault);
        let (status, said) = case.apply(&clone, &["--fetch"]);
        assert_eq!(status, 2, "{said}");
        assert!(said.contains(&case.server.url("repo")), "{said}");
    }
}

#[test]
fn what_a_whole_clone_lacks_is_damage() {
    let case = Case::new();
    let whole = case.root.path().join("repo.git");
    let blob = git()
        .arg("-C")
        .arg(&whole)
        .args(["rev-parse", "HEAD:dir/f"])
        .output()
        .unwrap();
    let blob = String::from_utf8(blob.stdout).unwrap();
    std::fs::remove_file(whole.join("objects").join(&blob[..2]).join(blob[2..].trim())).unwrap();
    for options in [&[][..], &["--fetch"]] {
        let (status, said) = case.apply(&whole, options);
        assert_eq!(status, 2, "{said}");
        assert!(
            said.contains("is not in the repository") && !said.contains("filtered"),
            "{said}"
        );
    }
}
