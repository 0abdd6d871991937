//! A repository with a working tree.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use git_apply_engine::Oid;

use super::store::RepositoryStore;

/// A repository with a working tree on the branch `main`, and what `git` makes of it.
pub struct WorkingRepository {
    folder: tempfile::TempDir,
    store: RepositoryStore,
}

impl WorkingRepository {
    /// An empty one, in a folder of its own.
    #[allow(clippy::new_without_default)] // It makes a folder.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = git2::RepositoryInitOptions::new();
        let options = options.initial_head("main");
        let repository = git2::Repository::init_opts(folder.path(), options).unwrap();
        Self {
            folder,
            store: RepositoryStore(repository),
        }
    }

    /// Where its working tree is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A command of git in the working tree, with a name and a time of its own for what it commits.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let settings = ["core.autocrlf=false", "gc.auto=0", "maintenance.auto=false"];
        let mut command = Command::new("git");
        command
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_EDITOR", "true")
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

    /// What became of a command of git.
    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command of git prints, without the end of its last line.
    pub fn git(&self, arguments: &[&str]) -> String {
        text(&succeeded(self.command(arguments)))
    }

    /// Writes a file of the working tree, in place of what is there.
    pub fn write(&self, path: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) {
        let path = self.path().join(OsStr::from_bytes(path.as_ref()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        fs::write(&path, contents).unwrap();
    }

    /// The tree of a revision.
    pub fn tree_of(&self, revision: &str) -> Oid {
        self.id(&format!("{revision}^{{tree}}"))
    }

    /// The object that a revision names.
    pub fn id(&self, revision: &str) -> Oid {
        self.git(&["rev-parse", revision]).parse().unwrap()
    }

    /// The bytes of a commit; `None` where it is not there.
    pub fn commit_bytes(&self, id: Oid) -> Option<Vec<u8>> {
        let odb = self.store.0.odb().unwrap();
        let object = odb.read(git2::Oid::from_bytes(id.as_bytes()).unwrap());
        object.ok().map(|object| object.data().to_vec())
    }
}

/// What a command prints, which has to succeed.
pub fn succeeded(mut command: Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// What was printed, without the end of its last line.
pub fn text(printed: &[u8]) -> String {
    String::from_utf8_lossy(printed).trim_end().to_owned()
}

crate::objects_of_field!(WorkingRepository, store);
