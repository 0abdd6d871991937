//! Options of `patchset refresh`, and when nothing is left to be done.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use patch_refresh::{PatchRefresh, RefreshOutcome};

use crate::cli::partial_clone::PartialCloneOptions;
use crate::cli::team::TeamOptions;
use crate::cli::upstream_history::HistoryOptions;

/// Options of `patchset refresh`.
#[derive(Debug, Args)]
pub struct RefreshOptions {
    /// The repository that files of patches are for: a Git folder or a working tree
    #[arg(long, value_name = "GITDIR", requires = "revision")]
    pub(super) repo: Option<PathBuf>,
    /// The revision that files of patches are for, as `git rev-parse` reads it
    #[arg(long = "ref", value_name = "REV", requires = "repo")]
    pub(super) revision: Option<String>,
    #[command(flatten)]
    pub(super) team: TeamOptions,
    #[command(flatten)]
    pub(super) history: HistoryOptions,
    #[command(flatten)]
    pub(super) partial_clone: PartialCloneOptions,
    /// How many lines of context at the ends of a hunk may differ, as with GNU patch
    #[arg(long, value_name = "LINES", default_value_t = 2)]
    pub(super) fuzz: usize,
    /// Leave the files alone, and print what would change in them as a diff
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How to report the result for each patch
    #[arg(long, value_enum, default_value = "text")]
    pub(super) output: RefreshOutput,
    /// Which patches of a team's repository: those of COMPONENT/RELEASE, or all; with --repo and
    /// --ref, patches or folders of them
    #[arg(required = true, value_name = "COMPONENT/RELEASE|all|PATCH|DIR")]
    pub(super) patches: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RefreshOutput {
    /// Human-readable.
    Text,
    /// One JSON object per patch, each on one line.
    Json,
}

/// Whether nothing is left to be done with a patch.
pub(super) fn needs_nobody(patch: &PatchRefresh) -> bool {
    matches!(
        patch.outcome,
        RefreshOutcome::UpToDate | RefreshOutcome::Refreshed { .. }
    )
}
