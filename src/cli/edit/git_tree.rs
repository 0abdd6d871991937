//! A working tree, which the installed `git` keeps: a person goes on there with `git`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use git_apply_engine::{EntryMode, Oid};
use git_mirrors::local::LocalRepository;

use crate::cli::error::Error;

/// How often to check whether a clone is done.
const LOOK: Duration = Duration::from_millis(50);

/// Keeps the user's hooks, signatures and editors out of our commands: they would prompt, or make
/// other commits. `command` also removes what a surrounding `git` sets.
const SETTINGS: [&str; 5] = [
    "core.hooksPath=/dev/null",
    "commit.gpgSign=false",
    "core.editor=true",
    "advice.detachedHead=false",
    "rerere.enabled=true",
];

/// A working tree with its Git folder.
#[derive(Clone, Debug)]
pub(in crate::cli) struct GitTree {
    folder: PathBuf,
    git_folder: PathBuf,
}

/// A file of a tree that is written.
pub(super) struct TreeFile<'a> {
    pub(super) path: &'a [u8],
    /// `None` where it is not there.
    pub(super) file: Option<(EntryMode, Oid)>,
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder);
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command
        .args(arguments)
        .env("LC_ALL", "C")
        // Our commits are written whole; those by git itself only last until then.
        .env("GIT_COMMITTER_NAME", "patchset")
        .env("GIT_COMMITTER_EMAIL", "patchset@localhost");
    for name in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_COMMON_DIR",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
    ] {
        command.env_remove(name);
    }
    command
}

fn started(error: std::io::Error) -> Error {
    Error::Io {
        path: "git, which the working tree needs".to_owned(),
        source: error,
    }
}

fn refused(arguments: &[&str], output: &Output) -> Error {
    let said = String::from_utf8_lossy(&output.stderr);
    let name = arguments.first().copied().unwrap_or_default();
    Error::Usage(format!("git {name}: {}", said.trim()))
}

/// Runs `git` in a folder, and returns its output without the final newline.
fn run(folder: &Path, arguments: &[&str]) -> Result<String, Error> {
    let output = command(folder, arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(started)?;
    if !output.status.success() {
        return Err(refused(arguments, &output));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.trim_end_matches('\n').to_owned())
}

/// Runs a `git` command that may take long or ask for a password, and shows its progress.
fn run_long(folder: &Path, arguments: &[&str], time: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + time;
    let mut child = command(folder, arguments)
        .stdout(Stdio::null())
        .spawn()
        .map_err(started)?;
    let name = arguments.first().copied().unwrap_or_default();
    loop {
        match child.try_wait().map_err(started)? {
            Some(status) if status.success() => return Ok(()),
            Some(_) => {
                return Err(Error::Usage(format!("git {name} failed: see its message above")));
            }
            None if Instant::now() >= deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::Usage(format!(
                    "git {name} did not finish within {} s: give it more time with --timeout",
                    time.as_secs()
                )));
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

/// Where a working tree comes from.
pub(super) enum TreeOrigin<'a> {
    /// A clone on this machine, of which it becomes a clone.
    Clone(&'a Path),
    /// A clone on this machine, of which it becomes a worktree.
    Worktree(&'a Path),
    /// A server.
    Url(&'a str),
}

impl GitTree {
    /// Makes a working tree without files in a folder that does not exist yet, and returns the
    /// commit of a ref. Leaves nothing behind on failure.
    pub(super) fn make(
        folder: &Path,
        origin: &TreeOrigin<'_>,
        reference: &str,
        time: Duration,
    ) -> Result<(Self, Oid), Error> {
        let made = Self::try_to_make(folder, origin, reference, time);
        if made.is_err() {
            Self::remove_folder(folder, origin);
        }
        made
    }

    fn try_to_make(
        folder: &Path,
        origin: &TreeOrigin<'_>,
        reference: &str,
        time: Duration,
    ) -> Result<(Self, Oid), Error> {
        let shown = folder
            .to_str()
            .ok_or_else(|| Error::Usage(format!("{}: the folder's path is not UTF-8", folder.display())))?;
        let here = Path::new(".");
        let no_commit =
            |what: &dyn std::fmt::Display| Error::Usage(format!("{what} has no commit {reference}"));
        if let TreeOrigin::Url(url) = origin {
            run_long(here, &["clone", "--no-checkout", "--", url, shown], time)?;
            let tree = Self::open(folder)?;
            let found = tree.repository()?.commit_of_ref(reference);
            let commit = if let Some(commit) = found {
                commit
            } else {
                run_long(folder, &["fetch", "--", "origin", reference], time).map_err(|_| no_commit(url))?;
                tree.commit("FETCH_HEAD")?
            };
            tree.settle()?;
            return Ok((tree, commit));
        }
        let (TreeOrigin::Clone(clone) | TreeOrigin::Worktree(clone)) = origin else {
            return Err(no_commit(&shown));
        };
        let source = LocalRepository::open(clone)?;
        // If there is no such ref, this error says what there is instead.
        source.tree_of_ref(reference)?;
        let commit = source
            .commit_of_ref(reference)
            .ok_or_else(|| no_commit(&clone.display()))?;
        let id = commit.to_string();
        if let TreeOrigin::Worktree(clone) = origin {
            let whole = std::path::absolute(folder).map_err(|source| Error::Io {
                path: shown.to_owned(),
                source,
            })?;
            let whole = whole.to_string_lossy().into_owned();
            run(
                clone,
                &[
                    "worktree",
                    "add",
                    "--quiet",
                    "--no-checkout",
                    "--detach",
                    &whole,
                    &id,
                ],
            )?;
            return Ok((Self::open(folder)?, commit));
        }
        let path = clone.to_string_lossy().into_owned();
        run_long(
            here,
            &["clone", "--quiet", "--no-checkout", "--local", "--", &path, shown],
            time,
        )?;
        let tree = Self::open(folder)?;
        if tree.git(&["cat-file", "-e", &id]).is_err() {
            let whole = source.git_folder().to_string_lossy().into_owned();
            run_long(folder, &["fetch", "--quiet", "--", &whole, &id], time)?;
        }
        tree.settle()?;
        Ok((tree, commit))
    }

    /// Opens the working tree that a folder is in.
    pub(in crate::cli) fn open(folder: &Path) -> Result<Self, Error> {
        let top = run(folder, &["rev-parse", "--show-toplevel"])?;
        let git_folder = run(folder, &["rev-parse", "--absolute-git-dir"])?;
        Ok(Self {
            folder: PathBuf::from(top),
            git_folder: PathBuf::from(git_folder),
        })
    }

    /// Has `git` remember how conflicts were solved, and take `#` at the start of a message's line
    /// literally.
    fn settle(&self) -> Result<(), Error> {
        self.git(&["config", "rerere.enabled", "true"])?;
        self.git(&["config", "core.commentChar", "auto"]).map(drop)
    }

    fn remove_folder(folder: &Path, origin: &TreeOrigin<'_>) {
        if let TreeOrigin::Worktree(clone) = origin {
            let shown = folder.to_string_lossy();
            let _ = run(clone, &["worktree", "remove", "--force", &shown]);
        }
        let _ = std::fs::remove_dir_all(folder);
    }

    /// Removes the working tree, with what is in it.
    pub(super) fn remove(&self) -> Result<(), Error> {
        if self.folder.join(".git").is_file() {
            let folder = self.folder.to_string_lossy().into_owned();
            let common = self.git(&["rev-parse", "--path-format=absolute", "--git-common-dir"])?;
            return run(Path::new(&common), &["worktree", "remove", "--force", &folder]).map(drop);
        }
        std::fs::remove_dir_all(&self.folder).map_err(|source| Error::Io {
            path: self.folder.display().to_string(),
            source,
        })
    }

    pub(in crate::cli) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(in crate::cli) fn git_folder(&self) -> &Path {
        &self.git_folder
    }

    /// Its objects.
    pub(in crate::cli) fn repository(&self) -> Result<LocalRepository, Error> {
        Ok(LocalRepository::open(&self.folder)?)
    }

    /// Runs `git` there.
    pub(in crate::cli) fn git(&self, arguments: &[&str]) -> Result<String, Error> {
        run(&self.folder, arguments)
    }

    /// Runs `git` there, and returns its output even if it fails.
    pub(super) fn try_git(&self, arguments: &[&str]) -> Result<Output, Error> {
        command(&self.folder, arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(started)
    }

    /// The commit that a revision names.
    pub(in crate::cli) fn commit(&self, revision: &str) -> Result<Oid, Error> {
        let name = format!("{revision}^{{commit}}");
        self.git(&["rev-parse", "--verify", "--quiet", &name])?
            .parse()
            .map_err(|_| {
                Error::Usage(format!(
                    "{}: there is no commit {revision}",
                    self.folder.display()
                ))
            })
    }

    /// Whether a cherry-pick waits for the user.
    pub(in crate::cli) fn is_picking(&self) -> bool {
        self.git_folder.join("CHERRY_PICK_HEAD").exists()
    }

    /// The operation of `git` in progress that has to be finished first.
    pub(in crate::cli) fn under_way(&self) -> Option<&'static str> {
        [
            ("rebase-merge", "a rebase"),
            ("rebase-apply", "a rebase or git am"),
            ("MERGE_HEAD", "a merge"),
            ("CHERRY_PICK_HEAD", "a cherry-pick"),
            ("REVERT_HEAD", "a revert"),
        ]
        .into_iter()
        .find(|(file, _)| self.git_folder.join(file).exists())
        .map(|(_, what)| what)
    }

    fn with_input(&self, arguments: &[&str], index: Option<&Path>, input: &[u8]) -> Result<String, Error> {
        let mut command = command(&self.folder, arguments);
        if let Some(index) = index {
            command.env("GIT_INDEX_FILE", index);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(started)?;
        if let Some(mut stdin) = child.stdin.take() {
            // Where git ends early, it says why.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(started)?;
        if !output.status.success() {
            return Err(refused(arguments, &output));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.trim_end().to_owned())
    }

    /// Writes a commit's object.
    pub(super) fn write_commit(&self, object: &[u8]) -> Result<Oid, Error> {
        let id = self.with_input(&["hash-object", "-t", "commit", "-w", "--stdin"], None, object)?;
        id.parse()
            .map_err(|_| Error::Usage(format!("git hash-object: {id:?} is not an id")))
    }

    /// Writes a blob.
    pub(super) fn write_blob(&self, contents: &[u8]) -> Result<Oid, Error> {
        let id = self.with_input(&["hash-object", "-w", "--stdin"], None, contents)?;
        id.parse()
            .map_err(|_| Error::Usage(format!("git hash-object: {id:?} is not an id")))
    }

    /// Writes a tree with some files as they are given.
    pub(super) fn write_tree_with(&self, tree: Oid, files: &[TreeFile<'_>]) -> Result<Oid, Error> {
        let index = self
            .git_folder
            .join(format!("patchset-index.{}", std::process::id()));
        let written = self.tree_by_index(&index, tree, files);
        let _ = std::fs::remove_file(&index);
        written
    }

    fn tree_by_index(&self, index: &Path, tree: Oid, files: &[TreeFile<'_>]) -> Result<Oid, Error> {
        self.with_input(&["read-tree", &tree.to_string()], Some(index), b"")?;
        let mut lines = Vec::new();
        for TreeFile { path, file } in files {
            let (mode, id) = match file {
                Some((mode, id)) => (format!("{:o}", mode.bits()), id.to_string()),
                None => ("0".to_owned(), "0".repeat(40)),
            };
            lines.extend([format!("{mode} {id}\t").as_bytes(), path, b"\0"].concat());
        }
        self.with_input(&["update-index", "-z", "--index-info"], Some(index), &lines)?;
        let id = self.with_input(&["write-tree"], Some(index), b"")?;
        id.parse()
            .map_err(|_| Error::Usage(format!("git write-tree: {id:?} is not an id")))
    }
}
