//! A team's repository, and an upstream whose releases diverged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::git_repo::GitRepo;

/// The releases, and their branches' versions of the file.
pub const RELEASES: [&str; 5] = ["2024.2", "2025.1", "2025.2", "2026.1", "main"];

/// Numbered lines, some of them replaced.
pub fn numbered(replaced: &[(usize, &str)]) -> String {
    let line = |number: usize| match replaced.iter().find(|(at, _)| *at == number) {
        Some((_, text)) => format!("{text}\n"),
        None => format!("line {number}\n"),
    };
    (1..=40).map(line).collect()
}

/// A team's repository with the component glance.
pub struct Team {
    pub root: tempfile::TempDir,
    pub upstream: GitRepo,
    /// The commit of `main` to take.
    pub fix: String,
}

/// What a command printed, and how it ended.
pub struct Outcome {
    pub out: String,
    pub err: String,
    pub status: i32,
}

impl Outcome {
    /// The output, if the command ended like this.
    #[track_caller]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{}{}", self.out, self.err);
        self
    }
}

impl Team {
    /// `main` has the fix; 2025.1 is unchanged, 2025.2 has more lines above it, 2026.1 another line
    /// next to it, and 2024.2 another in its place.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("upstreams")).unwrap();
        let upstream = GitRepo::create(&root.path().join("upstreams"), "glance");
        upstream.commit_at(
            Some(1_700_000_000),
            &[("lib/a.py", &numbered(&[])), ("b.py", "b\n")],
            "base",
        );
        let branch = |release: &str, content: &str| {
            upstream.git(&["checkout", "--quiet", "-B", &format!("stable/{release}"), "main"]);
            upstream.commit_at(Some(1_700_000_100), &[("lib/a.py", content)], "Change the file");
        };
        upstream.git(&["branch", "stable/2025.1"]);
        branch("2024.2", &numbered(&[(20, "an older line 20")]));
        branch("2025.2", &format!("one more\ntwo more\n{}", numbered(&[])));
        branch("2026.1", &numbered(&[(18, "another line 18")]));
        upstream.git(&["checkout", "--quiet", "main"]);
        let fix = upstream.commit_at(
            Some(1_700_000_200),
            &[("lib/a.py", &numbered(&[(20, "fixed line 20")]))],
            "Fix the thing\n\nIt was broken.\n\nChange-Id: I1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c\nSigned-off-by: A <a@example.org>",
        );
        let team = Self { root, upstream, fix };
        for release in RELEASES {
            let branch = match release {
                "main" => "main".to_owned(),
                release => format!("stable/{release}"),
            };
            team.write(
                &format!("releases/{release}/source-refs.yaml"),
                &format!("glance: {branch}\n"),
            );
        }
        team.write(
            "patches/glance/2025.1/0001-own.patch",
            "From: Own <own@example.org>\nDate: Tue, 14 Nov 2023 22:13:20 +0000\nSubject: [PATCH] Own\n\n---\n--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-b\n+B\n",
        );
        team
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join("team").join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// The folder of clones.
    pub fn upstreams(&self) -> String {
        self.root.path().join("upstreams").display().to_string()
    }

    /// All files below `patches`, by their paths.
    pub fn patches(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path("patches")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                    continue;
                }
                let shown = path.strip_prefix(self.path("patches")).unwrap();
                let text = fs::read_to_string(&path).unwrap();
                files.insert(shown.to_str().unwrap().to_owned(), text);
            }
        }
        files
    }

    pub fn names(&self) -> Vec<String> {
        self.patches().into_keys().collect()
    }

    /// Runs the program in the team's repository.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, Command::new(env!("CARGO_BIN_EXE_patchset")), "")
    }

    /// Runs a command of the program with a standard input.
    pub fn run_with(&self, arguments: &[&str], mut command: Command, input: &str) -> Outcome {
        use std::io::Write;
        let mut child = command
            .args(arguments)
            .args(["-C", self.path("").to_str().unwrap()])
            .env("XDG_CACHE_HOME", self.root.path().join("cache"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        Outcome {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            status: output.status.code().unwrap(),
        }
    }

    /// Runs `add` of something for glance, with the folder of clones.
    pub fn add(&self, source: &str, more: &[&str]) -> Outcome {
        let upstreams = self.upstreams();
        let fixed = ["add", source, "--component", "glance", "--upstream", &upstreams];
        self.run(&[&fixed[..], more].concat())
    }

    /// The result of applying a release's patches to its branch with `git am`: the tree, and the
    /// message of the last commit.
    pub fn applied_by_git(&self, release: &str) -> (String, String) {
        let branch = match release {
            "main" => "main".to_owned(),
            release => format!("stable/{release}"),
        };
        self.upstream
            .git(&["checkout", "--quiet", "--force", "-B", "try", &branch]);
        let folder = self.path(&format!("patches/glance/{release}"));
        let mut patches: Vec<PathBuf> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "patch"))
            .collect();
        patches.sort();
        for patch in &patches {
            self.upstream
                .git(&["am", "--quiet", "--keep-non-patch", patch.to_str().unwrap()]);
        }
        self.last()
    }

    /// The result of picking a commit on top of a release's first patches with git.
    pub fn picked_by_git(&self, release: &str, commit: &str, first: &[&Path]) -> (String, String) {
        let branch = format!("stable/{release}");
        self.upstream
            .git(&["checkout", "--quiet", "--force", "-B", "pick", &branch]);
        for patch in first {
            self.upstream.git(&["am", "--quiet", patch.to_str().unwrap()]);
        }
        self.upstream.git(&["cherry-pick", "-x", commit]);
        self.last()
    }

    fn last(&self) -> (String, String) {
        let tree = self.upstream.git(&["rev-parse", "HEAD^{tree}"]);
        let message = self.upstream.git(&["log", "-1", "--format=%an %ae %ad%n%B"]);
        (tree, message)
    }
}
