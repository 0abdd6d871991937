//! What identifies a patch, as a search compares it.

use git_apply_engine::{Oid, PatchInput};
use patch_headers::PatchIdentity;

use super::message::CommitName;

/// What a patch says about where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PatchOrigin {
    /// The commit that it was made from.
    pub(super) commit: Option<Oid>,
    /// What it was picked from, in groups that are one change each.
    pub(super) picks: Vec<Vec<CommitName>>,
    /// The `Change-Id`s, all of which have to be found.
    pub(super) change_ids: Vec<String>,
    /// Author's address, date and subject.
    pub(super) authorship: Option<Authorship>,
}

/// Who wrote something and when, and its subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Authorship {
    /// The address alone, in lower case.
    pub(super) email: String,
    pub(super) seconds: i64,
    pub(super) subject: String,
}

/// Reads what stands in front of the diff.
pub(super) fn origin(patch: &[u8]) -> PatchOrigin {
    let identity = PatchIdentity::read(patch);
    let names = |commits: Vec<String>| commits.iter().filter_map(|id| CommitName::parse(id)).collect();
    PatchOrigin {
        commit: identity
            .commit
            .and_then(|id| Oid::from_hex(id.as_bytes()))
            .filter(|id| !id.is_null()),
        picks: identity.picks.into_iter().map(names).collect(),
        change_ids: identity.change_ids,
        authorship: match (identity.author_address, identity.date, identity.subject) {
            (Some(email), Some(seconds), Some(subject)) if !subject.is_empty() => Some(Authorship {
                email,
                seconds,
                subject,
            }),
            _ => None,
        },
    }
}

/// Returns when a patch was written, by its own headers, in seconds since the epoch.
#[must_use]
pub fn date_written(patch: &PatchInput) -> Option<i64> {
    PatchIdentity::read(&patch.bytes).date
}

/// Returns the oldest of the dates at which patches were written, in seconds since the epoch: what
/// upstream has of them came after it. `None` if one has no date.
#[must_use]
pub fn oldest_date(patches: &[PatchInput]) -> Option<i64> {
    let dates: Option<Vec<i64>> = patches.iter().map(date_written).collect();
    dates?.into_iter().min()
}
