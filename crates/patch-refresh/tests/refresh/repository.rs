//! A repository with a working tree, and git's results for patches in it.

use std::process::Command;

use git_apply_engine::{ObjectError, Oid, PatchInput};
use patch_refresh::{FindBlob, PatchHint, PatchRefresh, RefreshHints, RefreshOptions, refresh_series};
use test_repositories::{WorkingRepository, extends_repository};

/// A file as a test writes it: mode, path and contents; without contents it is deleted.
pub type File<'a> = (u32, &'a str, Option<&'a [u8]>);

/// A repository with a working tree.
pub struct Repository {
    working: WorkingRepository,
}

impl Repository {
    pub fn new() -> Self {
        Self {
            working: WorkingRepository::new(),
        }
    }

    /// Commits files on top of what is checked out; returns the commit.
    pub fn commit(&self, message: &str, files: &[File<'_>]) -> String {
        for (mode, path, contents) in files {
            let Some(contents) = contents else {
                let _ = std::fs::remove_file(self.path().join(path));
                continue;
            };
            self.write(path, contents);
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode & 0o777);
            std::fs::set_permissions(self.path().join(path), permissions).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn checkout(&self, commit: &str) {
        self.git(&["checkout", "--quiet", "--force", "--detach", commit]);
    }

    /// The patch of a commit, as a mail.
    pub fn format_patch(&self, commit: &str, arguments: &[&str]) -> Vec<u8> {
        let given = ["format-patch", "--stdout", "-1", "--binary"];
        let all = [&given[..], arguments, &[commit]].concat();
        self.output(&all).stdout
    }

    /// Applies a patch to a commit with `git am`; returns the tree, or nothing if it does not
    /// apply.
    pub fn am(&self, commit: &str, patch: &[u8], arguments: &[&str]) -> Option<Oid> {
        self.checkout(commit);
        let file = self.path().join(".git/patch");
        std::fs::write(&file, patch).unwrap();
        let all = [
            &["am", "--quiet", "--keep-cr"],
            arguments,
            &[file.to_str().unwrap()],
        ]
        .concat();
        let done = self.output(&all).status.success();
        if !done {
            let _ = self.output(&["am", "--abort"]);
        }
        done.then(|| self.tree_of("HEAD"))
    }

    /// Applies a patch to a commit with GNU patch and its default fuzz.
    pub fn gnu_patch(&self, commit: &str, patch: &[u8]) -> Option<Oid> {
        self.checkout(commit);
        let file = self.path().join(".git/patch");
        std::fs::write(&file, patch).unwrap();
        let arguments = ["-p1", "-f", "-s", "--no-backup-if-mismatch", "-r", "-", "-i"];
        let output = Command::new("patch")
            .args(arguments)
            .arg(file)
            .current_dir(self.path())
            .output()
            .unwrap();
        self.git(&["add", "--all"]);
        let tree = self.git(&["write-tree"]).parse().unwrap();
        output.status.success().then_some(tree)
    }

    /// The output of GNU patch for a patch on a commit.
    pub fn gnu_patch_report(&self, commit: &str, patch: &[u8]) -> String {
        self.checkout(commit);
        let file = self.path().join(".git/patch");
        std::fs::write(&file, patch).unwrap();
        let output = Command::new("patch")
            .args(["-p1", "-f", "--dry-run", "-i"])
            .arg(file)
            .current_dir(self.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Refreshes a series for a commit with the blobs of the repository.
    pub fn refresh(&self, commit: &str, patches: &[Vec<u8>]) -> Vec<PatchRefresh> {
        self.refresh_with(commit, patches, Some(self), &[])
    }

    /// Refreshes a series for a commit with what is known.
    pub fn refresh_with(
        &self,
        commit: &str,
        patches: &[Vec<u8>],
        blobs: Option<&dyn FindBlob>,
        hints: &[PatchHint],
    ) -> Vec<PatchRefresh> {
        let inputs: Vec<PatchInput> = patches
            .iter()
            .enumerate()
            .map(|(at, patch)| PatchInput::new(format!("{:04}.patch", at + 1), patch.clone()))
            .collect();
        let hints = RefreshHints {
            blobs,
            patches: hints,
        };
        refresh_series(
            self,
            self.tree_of(commit),
            &inputs,
            &hints,
            &RefreshOptions::default(),
        )
        .unwrap()
    }
}

extends_repository!(Repository);

impl FindBlob for Repository {
    fn find_blob(&self, prefix: &str) -> Result<Option<Oid>, ObjectError> {
        let output = self.output(&["rev-parse", "--verify", "--quiet", &format!("{prefix}^{{blob}}")]);
        Ok(Oid::from_hex(output.stdout.trim_ascii()).filter(|_| output.status.success()))
    }
}
