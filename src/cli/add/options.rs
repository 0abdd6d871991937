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
    /// Whose patch it is
    #[arg(long, value_name = "NAME")]
    pub(super) component: String,
    /// The release that it is for, or all at which the component is built; may be repeated
    #[arg(long, value_name = "RELEASE|all", required = true)]
    pub(super) release: Vec<String>,
    /// The Gerrit of changes that are named by their number or Change-Id [default: that of the
    /// upstream's .gitreview]
    #[arg(long, value_name = "URL")]
    pub(super) gerrit: Option<String>,
    /// The repository of a revision, where that is not the upstream's: a folder or a URL
    #[arg(long, value_name = "REPOSITORY")]
    pub(super) from: Option<String>,
    /// In which form the patch says where it comes from [default: that of the repository's patches]
    #[arg(long, value_enum)]
    pub(super) headers: Option<HeaderStyle>,
    /// Leave the files as they are, and print what would change in them as a diff
    #[arg(long)]
    pub(super) dry_run: bool,
    /// What is taken: the page of a commit (GitHub, GitLab, Gitea, cgit, gitiles), of a pull or
    /// merge request, or of a change at Gerrit; the number or Change-Id of such a change; a
    /// revision, or a range A..B, of the upstream; a patch's file, or - for standard input
    #[arg(value_name = "SOURCE")]
    pub(super) source: String,
}
