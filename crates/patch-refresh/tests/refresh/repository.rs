//! A repository with a working tree, and what `git` makes of patches in it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use bytes::Bytes;
use git_apply_engine::{EntryMode, ObjectError, Objects, Oid, PatchInput, TreeEntry};
use patch_refresh::{FindBlob, PatchHint, PatchRefresh, RefreshHints, RefreshOptions, refresh_series};

/// A file as a test writes it: mode, path and contents; no contents delete it.
pub type File<'a> = (u32, &'a str, Option<&'a [u8]>);

/// A repository with a working tree.
pub struct Repository {
    folder: tempfile::TempDir,
    git2: git2::Repository,
}

impl Repository {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let git2 = git2::Repository::init(folder.path()).unwrap();
        Self { folder, git2 }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args([
                "-c",
                "core.autocrlf=false",
                "-c",
                "gc.auto=0",
                "-c",
                "maintenance.auto=false",
            ])
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_AUTHOR_NAME", "A U Thor")
            .env("GIT_AUTHOR_EMAIL", "author@example.org")
            .env("GIT_AUTHOR_DATE", "1700000000 +0100")
            .env("GIT_COMMITTER_NAME", "C O Mitter")
            .env("GIT_COMMITTER_EMAIL", "committer@example.org")
            .env("GIT_COMMITTER_DATE", "1700000000 +0000")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Commits files on what is checked out, and gives the commit.
    pub fn commit(&self, message: &str, files: &[File<'_>]) -> String {
        for (mode, path, contents) in files {
            let path = self.path().join(path);
            let _ = std::fs::remove_file(&path);
            let Some(contents) = contents else { continue };
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, contents).unwrap();
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode & 0o777);
            std::fs::set_permissions(&path, permissions).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn checkout(&self, commit: &str) {
        self.git(&["checkout", "--quiet", "--force", "--detach", commit]);
    }

    pub fn tree(&self, commit: &str) -> Oid {
        self.git(&["rev-parse", &format!("{commit}^{{tree}}")])
            .parse()
            .unwrap()
    }

    /// The patch of a commit, as a mail.
    pub fn format_patch(&self, commit: &str, arguments: &[&str]) -> Vec<u8> {
        let given = ["format-patch", "--stdout", "-1", "--binary"];
        let all = [&given[..], arguments, &[commit]].concat();
        self.output(&all).stdout
    }

    /// What `git am` makes of a patch on a commit: the tree, or nothing where it does not apply.
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
        done.then(|| self.tree("HEAD"))
    }

    /// What GNU patch makes of a patch on a commit, with the fuzz that it has by default.
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

    /// What GNU patch says of a patch on a commit.
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
            self.tree(commit),
            &inputs,
            &hints,
            &RefreshOptions::default(),
        )
        .unwrap()
    }

    fn odb<T>(
        &self,
        id: Oid,
        read: impl FnOnce(git2::Odb<'_>) -> Result<T, git2::Error>,
    ) -> Result<T, ObjectError> {
        let found = self.git2.odb().and_then(read);
        found.map_err(|error| match error.code() {
            git2::ErrorCode::NotFound => ObjectError::NotFound(id),
            _ => ObjectError::Failed {
                id,
                message: error.message().to_owned(),
            },
        })
    }
}

fn to_git2(id: Oid) -> git2::Oid {
    git2::Oid::from_bytes(id.as_bytes()).unwrap()
}

fn from_git2(id: git2::Oid) -> Oid {
    Oid::from_hex(id.to_string().as_bytes()).unwrap()
}

impl Objects for Repository {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        if id == Oid::of_tree(b"") {
            return Ok(Vec::new());
        }
        let tree = self
            .git2
            .find_tree(to_git2(id))
            .map_err(|_| ObjectError::NotFound(id))?;
        let entries = tree.iter().map(|entry| TreeEntry {
            mode: EntryMode::from_bits(u32::try_from(entry.filemode_raw()).unwrap()),
            name: entry.name_bytes().into(),
            id: from_git2(entry.id()),
        });
        Ok(entries.collect())
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        self.odb(id, |odb| {
            Ok(Bytes::copy_from_slice(odb.read(to_git2(id))?.data()))
        })
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        self.odb(id, |odb| Ok(odb.read_header(to_git2(id))?.0 as u64))
    }
}

impl FindBlob for Repository {
    fn find_blob(&self, prefix: &str) -> Result<Option<Oid>, ObjectError> {
        let output = self.output(&["rev-parse", "--verify", "--quiet", &format!("{prefix}^{{blob}}")]);
        Ok(Oid::from_hex(output.stdout.trim_ascii()).filter(|_| output.status.success()))
    }
}
