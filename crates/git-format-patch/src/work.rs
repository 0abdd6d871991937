//! What a branch may cost: counted, not measured, so that it is the same on every machine.

use std::cell::Cell;

use git_apply_engine::Oid;

use super::error::FormatError;

/// Bounds on a branch that is written as patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatLimits {
    /// Commits of the branch.
    pub commits: usize,
    /// Bytes of one patch.
    pub patch_bytes: u64,
    /// Bytes of all patches.
    pub series_bytes: u64,
    /// Bytes of one file that is compared.
    pub file_bytes: u64,
    /// Entries of trees that are compared, and spans of files that are compared for renames.
    pub effort: u64,
}

impl Default for FormatLimits {
    /// 1,000 commits, patches of 16 MiB and 64 MiB in all, of files of 64 MiB.
    fn default() -> Self {
        Self {
            commits: 1000,
            patch_bytes: 16 << 20,
            series_bytes: 64 << 20,
            file_bytes: 64 << 20,
            effort: 1 << 28,
        }
    }
}

/// What a branch has used of its limits.
pub(crate) struct Work {
    pub(crate) limits: FormatLimits,
    effort: Cell<u64>,
    bytes: Cell<u64>,
}

impl Work {
    pub(crate) fn new(limits: FormatLimits) -> Self {
        Self {
            limits,
            effort: Cell::new(limits.effort),
            bytes: Cell::new(limits.series_bytes),
        }
    }

    /// Counts entries or spans that are about to be looked at.
    pub(crate) fn spend(&self, commit: Oid, units: usize) -> Result<(), FormatError> {
        let units = u64::try_from(units).unwrap_or(u64::MAX);
        let left = self.effort.get().checked_sub(units);
        self.effort.set(left.unwrap_or(0));
        left.map(drop).ok_or_else(|| FormatError::TooLarge {
            commit,
            what: "comparing its files takes more work than is allowed for a branch".to_owned(),
        })
    }

    /// Counts a patch.
    pub(crate) fn hold(&self, commit: Oid, patch: &[u8]) -> Result<(), FormatError> {
        self.check_size(commit, patch.len())?;
        let bytes = u64::try_from(patch.len()).unwrap_or(u64::MAX);
        let left = self.bytes.get().checked_sub(bytes);
        self.bytes.set(left.unwrap_or(0));
        left.map(drop).ok_or_else(|| FormatError::TooLarge {
            commit,
            what: format!(
                "with it the branch's patches have more than {} bytes",
                self.limits.series_bytes
            ),
        })
    }

    /// Checks the size of a patch as written so far.
    pub(crate) fn check_size(&self, commit: Oid, bytes: usize) -> Result<(), FormatError> {
        if u64::try_from(bytes).is_ok_and(|bytes| bytes <= self.limits.patch_bytes) {
            return Ok(());
        }
        Err(FormatError::TooLarge {
            commit,
            what: format!("its patch has more than {} bytes", self.limits.patch_bytes),
        })
    }
}
