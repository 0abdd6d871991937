//! A repository with a working tree, and what `git` makes of its commits.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use git_apply_engine::{ObjectError, Oid};
use git_format_patch::{
    BranchRange, CommitStore, FormatError, FormatLimits, FormattedPatch, RawCommits, SubjectPolicy,
    first_parent_range, format_series,
};
use test_repositories::{WorkingRepository, extends_repository, succeeded};

pub struct Repository {
    working: WorkingRepository,
}

impl Repository {
    pub fn new() -> Self {
        Self {
            working: WorkingRepository::new(),
        }
    }

    pub fn remove(&self, path: &str) {
        let path = self.path().join(path);
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    pub fn rename(&self, from: &str, to: &str) {
        let to = self.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(self.path().join(from), to).unwrap();
    }

    pub fn link(&self, path: &str, target: &str) {
        let _ = fs::remove_file(self.path().join(path));
        symlink(target, self.path().join(path)).unwrap();
    }

    pub fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Commits the working tree; returns the commit.
    pub fn commit(&self, message: &str) -> Oid {
        self.commit_with(message.as_bytes(), &[])
    }

    /// Commits the working tree with environment variables and a message as bytes.
    pub fn commit_with(&self, message: &[u8], variables: &[(&str, &[u8])]) -> Oid {
        self.git(&["add", "--all"]);
        let file = self.path().join(".git/message");
        fs::write(&file, message).unwrap();
        let encoding = variables.iter().find(|(name, _)| *name == "encoding");
        let encoding = encoding.map_or("UTF-8", |(_, value)| std::str::from_utf8(value).unwrap());
        let encoding = format!("i18n.commitEncoding={encoding}");
        let mut command = self.command(&[
            "-c",
            &encoding,
            "commit",
            "--quiet",
            "--allow-empty",
            "--allow-empty-message",
            "--cleanup=verbatim",
            "-F",
            file.to_str().unwrap(),
        ]);
        for (name, value) in variables {
            command.env(name, std::ffi::OsStr::from_bytes(value));
        }
        succeeded(command);
        self.head()
    }

    pub fn head(&self) -> Oid {
        self.id("HEAD")
    }

    pub fn range(&self, base: Oid) -> Result<BranchRange, FormatError> {
        first_parent_range(self, self.head(), &|commit| commit == base, 1000, "the base")
    }

    pub fn formatted(&self, base: Oid) -> Vec<FormattedPatch> {
        let range = self.range(base).unwrap();
        format_series(self, &range, base, SubjectPolicy::Ignore, FormatLimits::default())
            .unwrap()
            .patches
    }

    /// The output of `git format-patch` for the commits since one; it writes commits that change
    /// nothing as empty files.
    pub fn format_patch(&self, base: Oid) -> Vec<(String, Vec<u8>)> {
        let folder = tempfile::tempdir().unwrap();
        self.git(&[
            "format-patch",
            "--quiet",
            "--full-index",
            "--no-numbered",
            "--no-signature",
            "-o",
            folder.path().to_str().unwrap(),
            &base.to_string(),
        ]);
        let entries = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut patches: Vec<(String, Vec<u8>)> = entries
            .map(|path| {
                (
                    path.file_name().unwrap().to_str().unwrap().to_owned(),
                    fs::read(path).unwrap(),
                )
            })
            .filter(|(_, bytes)| !bytes.is_empty())
            .collect();
        patches.sort();
        patches
    }

    /// Compares the patches of the commits since one with `git format-patch`, and the result of
    /// `git am` with the branch.
    pub fn check(&self, base: Oid) {
        let ours = self.formatted(base);
        let theirs = self.format_patch(base);
        let names =
            |patches: &[(String, Vec<u8>)]| patches.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let ours: Vec<(String, Vec<u8>)> = ours.into_iter().map(|patch| (patch.name, patch.bytes)).collect();
        assert_eq!(names(&ours), names(&theirs));
        for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
            let [ours, theirs] = [ours, theirs].map(|bytes| {
                without_packed(bytes)
                    .escape_ascii()
                    .to_string()
                    .replace("\\n", "\n")
            });
            assert_eq!(ours, theirs, "{name}");
        }
        self.check_am(base, &ours);
    }

    fn check_am(&self, base: Oid, patches: &[(String, Vec<u8>)]) {
        let tree = self.git(&["rev-parse", "HEAD^{tree}"]);
        let folder = tempfile::tempdir().unwrap();
        let worktree = folder.path().join("am");
        let shown = worktree.to_str().unwrap();
        self.git(&["worktree", "add", "--quiet", "--detach", shown, &base.to_string()]);
        for (name, bytes) in patches {
            let file = folder.path().join(name);
            fs::write(&file, bytes).unwrap();
            let file = file.to_str().unwrap();
            self.git(&["-C", shown, "am", "--quiet", "--keep-cr", "--keep", file]);
        }
        assert_eq!(self.git(&["-C", shown, "rev-parse", "HEAD^{tree}"]), tree);
        self.git(&["worktree", "remove", "--force", shown]);
    }
}

/// A patch without the contents of its binary parts: their deltas and compression level are free to
/// differ.
fn without_packed(patch: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut is_packed = false;
    for line in patch.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"diff --git") {
            is_packed = false;
        }
        if !is_packed {
            kept.extend_from_slice(line);
        }
        is_packed |= line == b"GIT binary patch\n";
    }
    kept
}

extends_repository!(Repository);

impl CommitStore for Repository {}

impl RawCommits for Repository {
    fn raw_commit(&self, id: Oid) -> Result<Option<Vec<u8>>, ObjectError> {
        Ok(self.commit_bytes(id))
    }
}
