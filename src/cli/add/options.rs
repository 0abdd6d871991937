//! Options of `patchset add`.

use clap::Args;

use super::dialect::HeaderStyle;
use crate::cli::team::TeamOptions;
use crate::cli::upstream_history::HistoryOptions;

/// Options of `patchset add`.
#[derive(Debug, Args)]
pub struct AddOptions {
    #[command(flatten)]
    pub(super) team: TeamOptions,
    #[command(flatten)]
    pub(super) history: HistoryOptions,
    /// The component that the patch is for
    #[arg(long, value_name = "NAME")]
    pub(super) component: String,
    /// The release that the patch is for, or all at which the component is built; may be repeated
    #[arg(long, value_name = "RELEASE|all", required = true)]
    pub(super) release: Vec<String>,
    /// The Gerrit server of changes that are given by number or Change-Id [default: the one in the
    /// upstream's .gitreview]
    #[arg(long, value_name = "URL")]
    pub(super) gerrit: Option<String>,
    /// The repository of a revision, if it is not the upstream's: a folder or a URL
    #[arg(long, value_name = "REPOSITORY")]
    pub(super) from: Option<String>,
    /// How the patch says where it comes from [default: as the repository's patches do]
    #[arg(long, value_enum)]
    pub(super) headers: Option<HeaderStyle>,
    /// Leave the files alone, and print what would change in them as a diff
    #[arg(long)]
    pub(super) dry_run: bool,
    /// What to add: the page of a commit (GitHub, GitLab, Gitea, cgit, gitiles), of a pull or merge
    /// request, or of a Gerrit change; the number or Change-Id of such a change; a revision, or a
    /// range A..B, of the upstream; a patch file, or - for standard input
    #[arg(value_name = "SOURCE")]
    pub(super) source: String,
}
