//! What is reported about a conflict.

use jiff::Timestamp;
use patch_refresh::FileVersion;
use serde::Serialize;
use upstream_history::{Commits, UpstreamCommit, commit_url};

use crate::cli::team::ComponentCommit;
use crate::rework::ConflictFile;

/// A conflict, with all that is needed to solve it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConflictReport {
    pub(super) component: String,
    pub(super) release: String,
    pub(super) folder: String,
    /// What the component is built from, and its commit.
    #[serde(rename = "ref")]
    pub(super) reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<String>,
    pub(super) patch: String,
    pub(super) subject: String,
    pub(super) state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) broken_by: Option<BreakingCommit>,
    pub(super) files: Vec<FileReportFields>,
    /// The same patch at other releases.
    pub(super) elsewhere: Vec<ElsewhereReport>,
}

/// The commit of upstream that broke a patch.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BreakingCommit {
    pub(super) commit: String,
    pub(super) subject: String,
    pub(super) author: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    /// Its whole message; its subject alone for a server's repository, whose history is not kept.
    pub(super) message: String,
}

impl BreakingCommit {
    pub(super) fn new(found: &UpstreamCommit, upstream: &ComponentCommit<'_>) -> Self {
        let whole = match upstream {
            ComponentCommit::Cloned(cloned) => cloned.repository.commit(found.commit).ok().flatten(),
            ComponentCommit::Served(_) => None,
        };
        let date = Timestamp::from_second(found.date).ok();
        Self {
            commit: found.commit.to_string(),
            subject: found.subject.clone(),
            author: found.author.clone(),
            date: date.map(|date| date.to_string()),
            url: upstream.url().and_then(|url| commit_url(&url, found, None)),
            message: whole.map_or_else(|| found.subject.clone(), |commit| commit.text()),
        }
    }
}

/// A file of the patch.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileReportFields {
    pub(super) path: String,
    /// Why the patch's diff of it does not apply; nothing where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// Where the base comes from.
    pub(super) base_from: &'static str,
    /// How many conflicts are in `merged`.
    pub(super) conflicts: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) base: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ours: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) theirs: Option<String>,
    /// `ours` with the patch merged into it, and conflicts marked as `git merge-file --diff3` does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) merged: Option<String>,
    /// The same as bytes.
    #[serde(skip)]
    pub(super) file: ConflictFile,
}

impl From<ConflictFile> for FileReportFields {
    fn from(file: ConflictFile) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let side = |version: &Option<FileVersion>| version.as_ref().map(|version| text(&version.contents));
        Self {
            path: file.path.clone(),
            error: file.error.clone(),
            base_from: file.source.as_str(),
            conflicts: file.conflicts,
            base: side(&file.base),
            ours: side(&file.ours),
            theirs: side(&file.theirs),
            merged: file.merged.as_deref().map(text),
            file,
        }
    }
}

/// The same patch at another release.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ElsewhereReport {
    pub(super) release: String,
    pub(super) patch: String,
    /// What becomes of it there; nothing where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<String>,
    /// How it looks there: a diff from this one to that, without line numbers; absent if both are
    /// the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) difference: Option<String>,
}
