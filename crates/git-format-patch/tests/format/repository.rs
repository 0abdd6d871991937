//! A repository with a working tree, and what `git` makes of its commits.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bytes::Bytes;
use git_apply_engine::{EntryMode, ObjectError, Objects, Oid, TreeEntry};
use git_format_patch::{
    BranchRange, CommitStore, FormatError, FormatLimits, FormattedPatch, RawCommits, SubjectPolicy,
    first_parent_range, format_series,
};

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

    pub fn write(&self, path: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) {
        let path = self
            .path()
            .join(Path::new(std::ffi::OsStr::from_bytes(path.as_ref())));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        fs::write(&path, contents).unwrap();
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

    /// Commits what is there; gives the commit.
    pub fn commit(&self, message: &str) -> Oid {
        self.commit_with(message.as_bytes(), &[])
    }

    /// Commits what is there with variables and a message as bytes.
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
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.head()
    }

    pub fn head(&self) -> Oid {
        self.git(&["rev-parse", "HEAD"]).parse().unwrap()
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

    /// What `git format-patch` makes of the commits since one; commits that change nothing are
    /// empty files to it.
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

    /// Holds the patches of the commits since one against `git format-patch`, and what `git am`
    /// makes of them against the branch.
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

/// A patch with what is in its binary parts left out: there, deltas and the depth of compression
/// are free.
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

fn failed(id: Oid, error: &git2::Error) -> ObjectError {
    match error.code() {
        git2::ErrorCode::NotFound => ObjectError::NotFound(id),
        _ => ObjectError::Failed {
            id,
            message: error.message().to_owned(),
        },
    }
}

fn git2_id(id: Oid) -> git2::Oid {
    git2::Oid::from_bytes(id.as_bytes()).unwrap()
}

fn own_id(id: git2::Oid) -> Oid {
    id.to_string().parse().unwrap()
}

impl Objects for Repository {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        let tree = self
            .git2
            .find_tree(git2_id(id))
            .map_err(|error| failed(id, &error))?;
        let entries = tree.iter().map(|entry| TreeEntry {
            mode: EntryMode::from_bits(u32::try_from(entry.filemode_raw()).unwrap()),
            name: entry.name_bytes().into(),
            id: own_id(entry.id()),
        });
        Ok(entries.collect())
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        let blob = self
            .git2
            .find_blob(git2_id(id))
            .map_err(|error| failed(id, &error))?;
        Ok(Bytes::copy_from_slice(blob.content()))
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        self.blob(id).map(|blob| blob.len() as u64)
    }
}

impl CommitStore for Repository {}

impl RawCommits for Repository {
    fn raw_commit(&self, id: Oid) -> Result<Option<Vec<u8>>, ObjectError> {
        let odb = self.git2.odb().unwrap();
        match odb.read(git2_id(id)) {
            Ok(object) => Ok(Some(object.data().to_vec())),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(failed(id, &error)),
        }
    }
}
