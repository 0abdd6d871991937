//! What is found out about an upstream's commits, and the traits and bounds for that.

use std::fmt;

use bstr::BString;
use git_apply_engine::{ObjectError, Oid, Options, PatchInput, PatchReport};

use super::commit::{Commit, CommitError, UpstreamCommit};

/// The known commits of an upstream. Trees and blobs come from the engine's
/// [`Objects`](git_apply_engine::Objects).
pub trait Commits {
    /// Returns a commit; `None` if it was not fetched, as beyond the end of a shallow clone.
    ///
    /// # Errors
    ///
    /// If it exists and cannot be read.
    fn commit(&self, id: Oid) -> Result<Option<Commit>, HistoryError>;

    /// Announces which objects are about to be read, so that a store that fetches on demand can get
    /// all of them in one request. What is still missing then is [`ObjectError::NotFound`].
    ///
    /// # Errors
    ///
    /// If they cannot be fetched.
    fn expect(&self, _upcoming: &Upcoming<'_>) -> Result<(), HistoryError> {
        Ok(())
    }
}

/// Objects that are about to be read.
#[derive(Clone, Copy, Debug)]
pub enum Upcoming<'a> {
    /// The trees of these commits along paths, each from the root to the folder of a file.
    Trees {
        /// The commits, newest first.
        commits: &'a [Oid],
        /// The paths of the files.
        paths: &'a [BString],
    },
    /// These blobs.
    Blobs(&'a [Oid]),
}

/// Why an upstream's commits could not be searched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A tree or a blob cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A commit is damaged.
    #[error("commit {id} cannot be read: {error}")]
    Commit {
        /// The commit.
        id: Oid,
        /// What is wrong with it.
        error: CommitError,
    },
    /// The store of the commits failed.
    #[error("commits of the upstream cannot be read: {message}")]
    Failed {
        /// What it said.
        message: String,
    },
}

/// How it is known that upstream has a patch, from the most certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum Evidence {
    /// The patch applies in reverse.
    Reverse,
    /// The commit that the patch was made of (`From <id>`) is in upstream's history.
    Commit,
    /// The one was cherry-picked from the other, or both from the same commit.
    CherryPick,
    /// Both have the same `Change-Id`.
    ChangeId,
    /// Both have the same stable patch-id.
    PatchId,
    /// Both have the same author, date and subject.
    Authorship,
}

impl Evidence {
    /// All kinds, from the most certain.
    pub const ALL: [Self; 6] = [
        Self::Reverse,
        Self::Commit,
        Self::CherryPick,
        Self::ChangeId,
        Self::PatchId,
        Self::Authorship,
    ];

    /// Returns its name, such as `ChangeId`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reverse => "Reverse",
            Self::Commit => "Commit",
            Self::CherryPick => "CherryPick",
            Self::ChangeId => "ChangeId",
            Self::PatchId => "PatchId",
            Self::Authorship => "Authorship",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether upstream's change differs from the patch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
pub enum Difference {
    /// Both remove and add the same lines of the same files.
    Same,
    /// They do not.
    Differs {
        /// What only upstream's change has (`+`) and only the patch has (`-`): a diff of files if
        /// the patch applies to the commit's parent, a diff of both changes otherwise.
        interdiff: String,
        /// Whether the interdiff was cut, by [`Bounds::interdiff_bytes`].
        shortened: bool,
    },
    /// It could not be found out.
    Unknown {
        /// Why, in a sentence.
        why: String,
    },
}

impl Difference {
    /// Whether upstream's change is not known to be the same.
    #[must_use]
    pub fn differs(&self) -> bool {
        !matches!(self, Self::Same)
    }
}

/// A patch that upstream has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
pub struct Merged {
    /// Upstream's commit, the newest of several; `None` if the patch applies in reverse and its
    /// commit is not known.
    pub commit: Option<UpstreamCommit>,
    /// How that is known.
    pub by: Evidence,
    /// Whether upstream's change differs.
    pub difference: Difference,
}

/// What upstream did with a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
pub enum Finding {
    /// Upstream has it.
    Merged(Merged),
    /// Upstream had it, and reverted it.
    #[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
    Reverted {
        /// Upstream's commit with the patch.
        merged: UpstreamCommit,
        /// The commit that reverted it.
        reverted_by: UpstreamCommit,
    },
    /// No upstream commit is the patch's.
    Absent,
}

/// How much of a history is searched. Real ones should not exhaust it; a minor version may add
/// fields: end with `..Bounds::default()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Commits whose messages are read.
    pub commits: usize,
    /// The time before which no commit is looked for, in seconds since the epoch; `None` for all.
    pub since: Option<i64>,
    /// Commits whose trees are looked at, for patch-ids and to find what broke a patch.
    pub trees: usize,
    /// Commits whose whole change is computed and compared.
    pub changes: usize,
    /// Bytes of a file, before or after, that are compared line by line.
    pub file_bytes: u64,
    /// Bytes of an interdiff.
    pub interdiff_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            commits: 200_000,
            since: None,
            trees: 20_000,
            changes: 1000,
            file_bytes: 4 << 20,
            interdiff_bytes: 16 << 10,
        }
    }
}

/// A patch, with its report at the ref that is searched.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The patch.
    pub patch: &'a PatchInput,
    /// Its report.
    pub report: &'a PatchReport,
    /// How it was applied.
    pub options: &'a Options,
}

impl<'a> Judged<'a> {
    /// Returns the patches of a series with their reports.
    #[must_use]
    pub fn series(patches: &'a [PatchInput], reports: &'a [PatchReport], options: &'a Options) -> Vec<Self> {
        let pairs = patches.iter().zip(reports);
        pairs
            .map(|(patch, report)| Self {
                patch,
                report,
                options,
            })
            .collect()
    }
}
