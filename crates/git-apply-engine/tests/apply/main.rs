//! The engine against the installed `git`: the same verdict and the same tree, always.

#![allow(clippy::unwrap_used, clippy::panic)]

mod generated;
mod kept;
mod limits;
mod real;
mod reports;
mod shapes;
mod unwound;

use std::ops::Deref;
use std::path::Path;

use git_apply_engine::{Options, PatchInput, PatchReport, Sequence, apply};

use test_repositories::{Oracle, RepositoryStore, Verdict};

/// git and the engine, on one repository.
struct Comparison {
    git: Oracle,
    store: RepositoryStore,
}

impl Deref for Comparison {
    type Target = Oracle;

    fn deref(&self) -> &Oracle {
        &self.git
    }
}

impl Comparison {
    /// Compares on a new repository.
    fn new() -> Self {
        let git = Oracle::new();
        Self {
            store: RepositoryStore::open(&git.dir),
            git,
        }
    }

    /// Compares on an existing repository.
    fn on(dir: &Path) -> Self {
        Self {
            git: Oracle::on(dir),
            store: RepositoryStore::open(dir),
        }
    }

    /// The engine's report of a patch on a tree.
    fn ours(&self, tree: &str, patch: &[u8], options: &Options) -> PatchReport {
        let inputs = [PatchInput::new("patch", patch)];
        let series = apply(
            &self.store,
            tree.parse().unwrap(),
            &inputs,
            Sequence::Stacked,
            options,
        );
        series.unwrap().patches()[0].clone()
    }

    /// Compares both, and returns the verdict.
    fn check(&self, tree: &str, patch: &[u8], args: &[&str], options: &Options) -> Verdict {
        let theirs = self.git.apply(tree, patch, args);
        let report = self.ours(tree, patch, options);
        let ours = report.tree.map(|tree| tree.to_string());
        assert_eq!(ours.is_some(), report.applies());
        assert_eq!(
            ours,
            theirs,
            "git and the engine differ with {args:?}\n{report:#?}\ngit: {}\nthe patch:\n{}",
            self.said.borrow(),
            patch.escape_ascii()
        );
        theirs
    }
}
