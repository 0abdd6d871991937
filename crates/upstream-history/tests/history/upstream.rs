//! A repository that a test makes with git.

use std::cell::Cell;
use std::io::{Seek, Write};
use std::path::Path;

use git_apply_engine::{Oid, Options, PatchInput, PatchReport, Sequence, apply};
use test_repositories::{WorkingRepository, objects_of_field, succeeded, text};
use upstream_history::{
    Bounds, Commit, Commits, Finding, HistoryError, Judged, Range, UpstreamCommit, find_breaker, find_merged,
};

/// A repository with a working tree.
pub struct Upstream {
    working: WorkingRepository,
    clock: Cell<i64>,
}

impl Upstream {
    pub fn new() -> Self {
        Self {
            working: WorkingRepository::new(),
            clock: Cell::new(1_700_000_000),
        }
    }

    /// Runs git, a minute later than the time before, and returns its output.
    pub fn git(&self, args: &[&str]) -> String {
        self.git_with(args, None)
    }

    pub fn git_with(&self, args: &[&str], input: Option<&[u8]>) -> String {
        self.clock.set(self.clock.get() + 60);
        let date = format!("{} +0100", self.clock.get());
        let mut command = self.working.command(args);
        command
            .envs([
                ("GIT_AUTHOR_NAME", "Ann"),
                ("GIT_AUTHOR_EMAIL", "ann@example.org"),
            ])
            .envs([
                ("GIT_COMMITTER_NAME", "Bob"),
                ("GIT_COMMITTER_EMAIL", "bob@example.org"),
            ])
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_DATE", &date);
        // A picked commit keeps its author.
        if ["cherry-pick", "am", "rebase"].contains(&args[0]) {
            command.env_remove("GIT_AUTHOR_DATE");
        }
        if let Some(input) = input {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(input).unwrap();
            file.rewind().unwrap();
            command.stdin(file);
        }
        text(&succeeded(command))
    }

    pub fn write(&self, path: &str, contents: &str) {
        self.working.write(path, contents);
    }

    /// Commits files as given; returns the commit.
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
        let command = self.working.command(&["format-patch", "--stdout", "-1", commit]);
        PatchInput::new(commit, succeeded(command))
    }

    /// The engine's reports on a series at a revision.
    pub fn reports(&self, revision: &str, patches: &[PatchInput]) -> Vec<PatchReport> {
        let (tree, options) = (self.working.tree_of(revision), Options::default());
        let series = apply(self, tree, patches, Sequence::Stacked, &options);
        series.unwrap().patches().to_vec()
    }

    /// What upstream did with a series, up to a revision.
    pub fn find(&self, revision: &str, patches: &[PatchInput]) -> Vec<Finding> {
        self.find_within(revision, patches, &Bounds::default())
    }

    pub fn find_within(&self, revision: &str, patches: &[PatchInput], bounds: &Bounds) -> Vec<Finding> {
        let reports = self.reports(revision, patches);
        let options = Options::default();
        let series = Judged::series(patches, &reports, &options);
        find_merged(self, self, self.id(revision), &series, bounds).unwrap()
    }

    /// The commit that broke the last patch of a series.
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
        self.working.id(&format!("{revision}^{{commit}}"))
    }

    pub fn path(&self) -> &Path {
        self.working.path()
    }
}

objects_of_field!(Upstream, working);

impl Commits for Upstream {
    fn commit(&self, id: Oid) -> Result<Option<Commit>, HistoryError> {
        let parsed = self
            .working
            .commit_bytes(id)
            .map(|bytes| Commit::parse(id, &bytes));
        parsed
            .transpose()
            .map_err(|error| HistoryError::Commit { id, error })
    }
}
