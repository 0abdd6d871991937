//! How much memory and work a series has left. Both are counted, not measured, so that the verdict
//! on a patch is the same on every machine.

use std::cell::Cell;
use std::fmt;

use super::options::Limits;

/// The share of a series' effort that one patch may use, as a divisor: a patch that is too costly
/// leaves some to the patches after it.
const PATCH_SHARE: u64 = 4;

/// The share of a series' effort that may go into describing conflicts, as a divisor. It is counted
/// apart, so that no verdict depends on how many hunks are described.
const REPORT_SHARE: u64 = 8;

/// What a series has used of its limits.
#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    held: Cell<u64>,
    spent: Cell<u64>,
    /// What `spent` may rise to in the patch at hand.
    spendable: Cell<u64>,
    described: Cell<u64>,
    description_bytes: Cell<u64>,
}

/// Which limit a patch would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    /// [`Limits::memory_bytes`].
    Memory(u64),
    /// [`Limits::effort`].
    Effort,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(limit) => write!(
                f,
                "this needs more memory than the {limit} bytes that a series may use: \
                 carry fewer or smaller files in it"
            ),
            Self::Effort => f.write_str(
                "this takes more work than is allowed: there are too many hunks for files of this size, \
                 split the patch or recreate it against this revision",
            ),
        }
    }
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            held: Cell::default(),
            spent: Cell::default(),
            spendable: Cell::new(limits.effort),
            described: Cell::default(),
            description_bytes: Cell::default(),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How much work was done.
    pub(super) fn spent(&self) -> u64 {
        self.spent.get()
    }

    /// Begins a patch; the series already holds `held` bytes.
    pub(super) fn begin_patch(&self, held: u64) {
        self.held.set(held);
        let share = self.limits.effort / PATCH_SHARE;
        self.spendable
            .set(self.spent.get().saturating_add(share).min(self.limits.effort));
    }

    /// How many bytes are held.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held.get()
    }

    /// Releases all that is held beyond `held` bytes.
    pub(super) fn fall_back_to(&self, held: u64) {
        self.held.set(held.min(self.held.get()));
    }

    /// Counts bytes that are about to be held.
    pub(super) fn hold(&self, bytes: u64) -> Result<(), Exceeded> {
        self.may_hold(bytes)?;
        self.held.set(self.held.get().saturating_add(bytes));
        Ok(())
    }

    /// Checks that more bytes may be held, without counting them.
    pub(super) fn may_hold(&self, bytes: u64) -> Result<(), Exceeded> {
        if self.held.get().saturating_add(bytes) > self.limits.memory_bytes {
            return Err(Exceeded::Memory(self.limits.memory_bytes));
        }
        Ok(())
    }

    /// Counts `count` values of a type that are about to be held.
    pub(super) fn hold_all<T>(&self, count: usize) -> Result<(), Exceeded> {
        self.hold(bytes(count.saturating_mul(size_of::<T>())))
    }

    /// Releases bytes that were held.
    pub(super) fn release(&self, bytes: u64) {
        self.held.set(self.held.get().saturating_sub(bytes));
    }

    /// Counts work that is about to be done. A unit is about one byte looked at.
    pub(super) fn spend(&self, units: u64) -> Result<(), Exceeded> {
        self.count(units);
        if self.spent.get() > self.spendable.get() {
            return Err(Exceeded::Effort);
        }
        Ok(())
    }

    /// Counts work that has to be done in any case; later work may then be refused.
    pub(super) fn count(&self, units: u64) {
        self.spent.set(self.spent.get().saturating_add(units));
    }

    /// Counts work on describing a conflict, and returns whether it may be done.
    pub(super) fn may_describe(&self, units: u64) -> bool {
        let described = self.described.get().saturating_add(units);
        let allowed = described <= self.limits.effort / REPORT_SHARE;
        if allowed {
            self.described.set(described);
        }
        allowed
    }

    /// How much work descriptions took.
    #[cfg(test)]
    pub(super) fn described(&self) -> u64 {
        self.described.get()
    }

    /// Counts bytes of lines that a report is about to show, and returns whether it may show them.
    pub(super) fn may_show(&self, bytes: u64) -> bool {
        let shown = self.description_bytes.get().saturating_add(bytes);
        let allowed = shown <= self.limits.report_bytes;
        if allowed {
            self.description_bytes.set(shown);
        }
        allowed
    }

    /// Like `may_show`, for the lines around a conflict: they may take half of what reports may
    /// show, so that the rest is left to the conflicts themselves.
    pub(super) fn may_show_surroundings(&self, bytes: u64) -> bool {
        let shown = self.description_bytes.get().saturating_add(bytes);
        shown <= self.limits.report_bytes / 2 && self.may_show(bytes)
    }
}

/// A length as the budget counts it.
pub(super) fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_has_a_share_of_the_effort_and_the_series_an_end() {
        let limits = Limits {
            effort: 100,
            ..Limits::default()
        };
        let budget = Budget::new(&limits);
        for _ in 0..4 {
            budget.begin_patch(0);
            assert_eq!(budget.spend(25), Ok(()));
            assert_eq!(budget.spend(1), Err(Exceeded::Effort));
            budget.spent.set(budget.spent.get() - 1);
        }
        budget.begin_patch(0);
        assert_eq!(budget.spend(1), Err(Exceeded::Effort));
        assert!(budget.may_describe(12) && !budget.may_describe(1));
    }

    #[test]
    fn memory_comes_back() {
        let limits = Limits {
            memory_bytes: 100,
            ..Limits::default()
        };
        let budget = Budget::new(&limits);
        assert_eq!(budget.hold(100), Ok(()));
        assert_eq!(budget.hold(1), Err(Exceeded::Memory(100)));
        budget.release(50);
        assert_eq!(budget.hold_all::<u32>(12), Ok(()));
        budget.begin_patch(90);
        assert_eq!(budget.hold(11), Err(Exceeded::Memory(100)));
    }
}
