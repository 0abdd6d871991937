//! A repository that a test makes with git.

use std::cell::Cell;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use git_apply_engine::{
    EntryMode, ObjectError, Objects, Oid, Options, PatchInput, PatchReport, Sequence, TreeEntry, apply,
};
use upstream_history::{
    Bounds, Commit, Commits, Finding, HistoryError, Judged, Range, UpstreamCommit, find_breaker, find_merged,
};

/// A repository with a working tree.
pub struct Upstream {
    work: tempfile::TempDir,
    repository: git2::Repository,
    clock: Cell<i64>,
}

impl Upstream {
    pub fn new() -> Self {
        let work = tempfile::tempdir().unwrap();
        let path = work.path().to_path_buf();
        run(&path, 0, &["init", "--quiet", "--initial-branch=main", "."], None);
        Self {
            repository: git2::Repository::open(&path).unwrap(),
            work,
            clock: Cell::new(1_700_000_000),
        }
    }

    /// Runs git, a minute later than the time before, and gives what it printed.
    pub fn git(&self, args: &[&str]) -> String {
        self.git_with(args, None)
    }

    pub fn git_with(&self, args: &[&str], input: Option<&[u8]>) -> String {
        self.clock.set(self.clock.get() + 60);
        let out = run(self.work.path(), self.clock.get(), args, input);
        String::from_utf8_lossy(&out).trim_end().to_owned()
    }

    pub fn write(&self, path: &str, contents: &str) {
        let path = self.work.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }

    /// Commits files as they are written, and gives the commit.
    pub fn commit(&self, files: &[(&str, &str)], message: &str) -> String {
        for (path, contents) in files {
            self.write(path, contents);
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.head()
    }

    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// A commit as `git format-patch` writes it.
    pub fn patch(&self, commit: &str) -> PatchInput {
        let args = ["format-patch", "--stdout", "-1", commit];
        let bytes = run(self.work.path(), 0, &args, None);
        PatchInput::new(commit, bytes)
    }

    /// What the engine says of a series at a revision.
    pub fn reports(&self, revision: &str, patches: &[PatchInput]) -> Vec<PatchReport> {
        let tree = self.git(&["rev-parse", &format!("{revision}^{{tree}}")]);
        let options = Options::default();
        let series = apply(self, tree.parse().unwrap(), patches, Sequence::Stacked, &options);
        series.unwrap().patches().to_vec()
    }

    /// What upstream did with a series, as far as a revision has it.
    pub fn find(&self, revision: &str, patches: &[PatchInput]) -> Vec<Finding> {
        self.find_within(revision, patches, &Bounds::default())
    }

    pub fn find_within(&self, revision: &str, patches: &[PatchInput], bounds: &Bounds) -> Vec<Finding> {
        let reports = self.reports(revision, patches);
        let options = Options::default();
        let series = Judged::series(patches, &reports, &options);
        find_merged(self, self, self.id(revision), &series, bounds).unwrap()
    }

    /// Who broke the last patch of a series.
    pub fn breaker(&self, tip: &str, since: Option<&str>, patches: &[PatchInput]) -> Option<UpstreamCommit> {
        let reports = self.reports(tip, patches);
        let options = Options::default();
        let series = Judged::series(patches, &reports, &options);
        let range = Range {
            tip: self.id(tip),
            since: since.map(|since| self.id(since)),
        };
        find_breaker(self, self, range, &series, &Bounds::default()).unwrap()
    }

    pub fn id(&self, revision: &str) -> Oid {
        self.git(&["rev-parse", &format!("{revision}^{{commit}}")])
            .parse()
            .unwrap()
    }

    pub fn path(&self) -> &Path {
        self.work.path()
    }
}

fn run(dir: &Path, seconds: i64, args: &[&str], input: Option<&[u8]>) -> Vec<u8> {
    let date = format!("{seconds} +0100");
    let mut command = Command::new("git");
    command
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_EDITOR", "true")
        .envs([
            ("GIT_AUTHOR_NAME", "Ann"),
            ("GIT_AUTHOR_EMAIL", "ann@example.org"),
        ])
        .envs([
            ("GIT_COMMITTER_NAME", "Bob"),
            ("GIT_COMMITTER_EMAIL", "bob@example.org"),
        ])
        .env("GIT_AUTHOR_DATE", &date)
        .env("GIT_COMMITTER_DATE", &date)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // What is picked keeps its author.
    if ["cherry-pick", "am", "rebase"].contains(&args[0]) {
        command.env_remove("GIT_AUTHOR_DATE");
    }
    let mut file = tempfile::tempfile().unwrap();
    if let Some(input) = input {
        use std::io::{Seek, Write};
        file.write_all(input).unwrap();
        file.rewind().unwrap();
        command.stdin(file);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "git {args:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn absent(id: Oid) -> impl Fn(git2::Error) -> ObjectError {
    move |_| ObjectError::NotFound(id)
}

impl Objects for Upstream {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        let tree = self.repository.find_tree(id.into()).map_err(absent(id))?;
        let entries = tree.iter().map(|entry| TreeEntry {
            mode: EntryMode::from_bits(u32::try_from(entry.filemode()).unwrap()),
            name: entry.name_bytes().into(),
            id: entry.id().try_into().unwrap(),
        });
        Ok(entries.collect())
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        let blob = self.repository.find_blob(id.into()).map_err(absent(id))?;
        Ok(Bytes::copy_from_slice(blob.content()))
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        Ok(self.blob(id)?.len() as u64)
    }
}

impl Commits for Upstream {
    fn commit(&self, id: Oid) -> Result<Option<Commit>, HistoryError> {
        let odb = self.repository.odb().unwrap();
        let Ok(object) = odb.read(id.into()) else {
            return Ok(None);
        };
        Commit::parse(id, object.data())
            .map(Some)
            .map_err(|error| HistoryError::Commit { id, error })
    }
}
