//! The installed `git` as the oracle.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A bare repository, and the installed `git` as the oracle.
pub struct Oracle {
    /// Where the repository is.
    pub dir: PathBuf,
    work: tempfile::TempDir,
    /// What git said when it last refused a patch.
    pub said: RefCell<String>,
}

/// The files that `git apply --cached` is run on.
pub struct Prepared {
    index: PathBuf,
    patch: PathBuf,
}

/// What both sides say of a patch: the tree after it, or nothing where it does not apply.
pub type Verdict = Option<String>;

impl Oracle {
    /// A repository of the oracle's own.
    #[allow(clippy::new_without_default)] // It makes a folder.
    pub fn new() -> Self {
        let work = tempfile::tempdir().unwrap();
        let dir = work.path().join("repo.git");
        let made = Command::new("git")
            .args(["init", "--quiet", "--bare"])
            .arg(&dir)
            .status()
            .unwrap();
        assert!(made.success());
        Self {
            dir,
            work,
            said: RefCell::default(),
        }
    }

    /// A repository that is there already. Objects that the oracle makes go elsewhere, so that it
    /// stays as it is.
    pub fn on(dir: &Path) -> Self {
        let work = tempfile::tempdir().unwrap();
        std::fs::create_dir(work.path().join("objects")).unwrap();
        Self {
            dir: dir.to_path_buf(),
            work,
            said: RefCell::default(),
        }
    }

    fn git(&self, index: &Path) -> Command {
        let mut command = Command::new("git");
        command
            .arg("--git-dir")
            .arg(&self.dir)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_INDEX_FILE", index)
            .stdin(Stdio::null());
        if self.work.path().join("objects").is_dir() {
            command
                .env("GIT_OBJECT_DIRECTORY", self.work.path().join("objects"))
                .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", self.dir.join("objects"));
        }
        command
    }

    /// What a command prints, without the end of its last line.
    pub fn run(&self, args: &[&str]) -> String {
        self.run_with(args, None)
    }

    fn run_with(&self, args: &[&str], input: Option<&[u8]>) -> String {
        String::from_utf8(self.bytes_with(args, input))
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// What a command prints, byte for byte.
    pub fn bytes(&self, args: &[&str]) -> Vec<u8> {
        self.bytes_with(args, None)
    }

    fn bytes_with(&self, args: &[&str], input: Option<&[u8]>) -> Vec<u8> {
        let mut command = self.git(&self.work.path().join("index"));
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(input) = input {
            let file = self.work.path().join("input");
            std::fs::write(&file, input).unwrap();
            command.stdin(std::fs::File::open(file).unwrap());
        }
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Stores files given as mode, path and contents, and gives their tree.
    pub fn tree(&self, files: &[(&str, &[u8], &[u8])]) -> String {
        let _ = std::fs::remove_file(self.work.path().join("index"));
        for (mode, path, contents) in files {
            let id = self.run_with(&["hash-object", "-w", "--stdin"], Some(contents));
            let mut entry = format!("{mode} {id}\t").into_bytes();
            entry.extend_from_slice(path);
            entry.push(0);
            self.run_with(&["update-index", "-z", "--index-info"], Some(&entry));
        }
        if files.is_empty() {
            self.run(&["read-tree", "--empty"]);
        }
        self.run(&["write-tree"])
    }

    /// The index of a tree, to be copied for each patch.
    pub fn index(&self, tree: &str) -> PathBuf {
        let index = self.work.path().join(format!("index-{tree}"));
        if !index.exists() {
            assert!(
                self.git(&index)
                    .args(["read-tree", tree])
                    .status()
                    .unwrap()
                    .success()
            );
        }
        index
    }

    /// What `git apply --cached` makes of a patch on a tree.
    pub fn apply(&self, tree: &str, patch: &[u8], args: &[&str]) -> Verdict {
        let prepared = self.prepare(tree, patch);
        self.apply_prepared(&prepared, args)
            .then(|| self.tree_of_index(&prepared))
    }

    /// Puts a patch and the index of a tree into files.
    pub fn prepare(&self, tree: &str, patch: &[u8]) -> Prepared {
        let prepared = Prepared {
            index: self.work.path().join("index-work"),
            patch: self.work.path().join("patch"),
        };
        // Git 2.39 crashes on some patches, and leaves its lock.
        let _ = std::fs::remove_file(self.work.path().join("index-work.lock"));
        std::fs::copy(self.index(tree), &prepared.index).unwrap();
        std::fs::write(&prepared.patch, patch).unwrap();
        prepared
    }

    /// Runs `git apply --cached`, and tells whether the patch applies.
    pub fn apply_prepared(&self, prepared: &Prepared, args: &[&str]) -> bool {
        let output = self
            .git(&prepared.index)
            .args(["apply", "--cached"])
            .args(args)
            .arg(&prepared.patch)
            .output()
            .unwrap();
        if !output.status.success() {
            *self.said.borrow_mut() = String::from_utf8_lossy(&output.stderr).into_owned();
        }
        output.status.success()
    }

    /// The tree of an index that a patch was applied to.
    pub fn tree_of_index(&self, prepared: &Prepared) -> String {
        let output = self.git(&prepared.index).arg("write-tree").output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}
