//! Why something is not proposed though it could be done.

use std::fmt;

use jiff::Timestamp;

use super::change_id::ChangeId;
use super::harm::Harm;

/// A patch or folder that is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftAlone {
    /// The `PatchSet` that this concerns.
    pub patch_set: String,
    /// The patch; the folder if all of it is left alone.
    pub name: String,
    /// Why.
    pub reason: LeftAloneReason,
}

/// Why a patch or folder is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftAloneReason {
    /// It has not been in its state for long enough.
    TooFresh {
        /// When it will have been.
        until: Timestamp,
    },
    /// A person closed the request that proposed it.
    Declined {
        /// The change.
        change: ChangeId,
    },
    /// Another `PatchSet` reads the same folder, and does not allow it.
    NotAllowedBy {
        /// Its name.
        patch_set: String,
    },
    /// Another `PatchSet` reads the same folder, and needs the patch as it is.
    NeededBy {
        /// Its name.
        patch_set: String,
    },
    /// Another `PatchSet` reads the same folder, and its series was not tried yet.
    WaitsFor {
        /// Its name.
        patch_set: String,
    },
    /// The status does not say yet which bytes were tried, or since when their state has held.
    NotTried,
    /// The patch has other bytes than those that were tried.
    ChangedSince,
    /// The series has no such patch: it was moved, commented out or removed.
    GoneSince,
    /// There is no such folder.
    FolderGone,
    /// The folder's patches are not known.
    FolderFaulty {
        /// Why.
        why: String,
    },
    /// The same author, date and subject is all that is known, and the changes could not be
    /// compared.
    Uncertain,
    /// Upstream took it back.
    TakenBack,
    /// It was not refreshed.
    NotRefreshed,
    /// The change would make the series worse.
    Harmful(Harm),
    /// Its folder cannot be edited this way.
    NotEditable {
        /// Why.
        why: String,
    },
    /// A request holds no more changes.
    TooMany {
        /// How many it holds.
        most: usize,
    },
    /// The status has no room for it.
    NotListed {
        /// How many patches that is.
        count: usize,
    },
}

impl LeftAloneReason {
    /// Whether a person may have to do something.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        match self {
            Self::TooFresh { .. }
            | Self::Declined { .. }
            | Self::WaitsFor { .. }
            | Self::NotTried
            | Self::ChangedSince
            | Self::GoneSince
            | Self::FolderGone
            | Self::TooMany { .. } => false,
            Self::NotAllowedBy { .. }
            | Self::NeededBy { .. }
            | Self::FolderFaulty { .. }
            | Self::Uncertain
            | Self::TakenBack
            | Self::NotRefreshed
            | Self::Harmful(_)
            | Self::NotEditable { .. }
            | Self::NotListed { .. } => true,
        }
    }
}

impl fmt::Display for LeftAloneReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFresh { until } => {
                write!(f, "it is proposed after {}", until.strftime("%-d %b %Y %H:%M UTC"))
            }
            Self::Declined { .. } => f.write_str("the pull request that proposed it was closed without being merged"),
            Self::NotAllowedBy { patch_set } => write!(
                f,
                "PatchSet {patch_set} reads the same folder and does not allow it: set its upkeep as well"
            ),
            Self::NeededBy { patch_set } => write!(
                f,
                "PatchSet {patch_set} reads the same folder and needs it as it is: give each a folder of its own"
            ),
            Self::WaitsFor { patch_set } => {
                write!(f, "PatchSet {patch_set} reads the same folder and was not tried yet")
            }
            Self::NotTried => f.write_str("it was not tried by this version yet: ask for it with requestedAt"),
            Self::ChangedSince => f.write_str("the file was changed since it was tried"),
            Self::GoneSince => f.write_str("it is no longer among the patches of its folder"),
            Self::FolderGone => f.write_str("the folder does not exist"),
            Self::FolderFaulty { why } => write!(f, "the patches of the folder are not known: {why}"),
            Self::Uncertain => f.write_str(
                "upstream has a commit of the same author, date and subject, and the changes could not be compared: look at both",
            ),
            Self::TakenBack => f.write_str("upstream had it and reverted it"),
            Self::NotRefreshed => f.write_str("it could not be refreshed: run patchset refresh"),
            Self::Harmful(harm) => write!(f, "{harm}"),
            Self::NotEditable { why } => write!(f, "the folder cannot be changed that way: {why}"),
            Self::TooMany { most } => {
                write!(f, "one request holds at most {most} changes: it will be in the next")
            }
            Self::NotListed { count } => write!(
                f,
                "{count} patches are beyond what a status lists, and are not looked after"
            ),
        }
    }
}
