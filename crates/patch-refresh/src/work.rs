//! How much work and memory a series has left. Both are counted, not measured, so that the verdict
//! on a patch is the same on every machine.

use std::cell::Cell;

use bstr::ByteSlice;

use super::options::RefreshLimits;

/// What a series has used of its limits.
#[derive(Debug)]
pub(crate) struct Work {
    limits: RefreshLimits,
    effort: Cell<u64>,
    /// What is left of the effort for applying patches.
    applying: Cell<u64>,
    held: Cell<u64>,
}

/// Why work on a patch stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exceeded {
    #[error("this takes more work than is allowed for a series: carry fewer or smaller patches in it")]
    Effort,
    #[error("this needs more memory than the {0} bytes that a series may use")]
    Memory(u64),
    #[error("the file has {bytes} bytes and {lines} lines, more than are compared")]
    File { bytes: usize, lines: usize },
    /// The library that compares files failed on them.
    #[error("the files cannot be compared")]
    Library,
}

impl Work {
    /// Nothing done yet, where applying patches may take `applying` units.
    pub(crate) fn new(limits: RefreshLimits, applying: u64) -> Self {
        Self {
            limits,
            effort: Cell::new(limits.effort),
            applying: Cell::new(applying),
            held: Cell::default(),
        }
    }

    pub(crate) fn limits(&self) -> &RefreshLimits {
        &self.limits
    }

    /// How much work applying patches may still take.
    pub(crate) fn left_for_applying(&self) -> u64 {
        self.applying.get()
    }

    /// Counts work that applying patches took.
    pub(crate) fn note_applying(&self, units: u64) {
        self.applying.set(self.applying.get().saturating_sub(units));
    }

    /// Counts work that is about to be done. A unit is about one byte looked at.
    pub(crate) fn spend(&self, units: u64) -> Result<(), Exceeded> {
        let left = self.effort.get().checked_sub(units);
        self.effort.set(left.unwrap_or(0));
        left.map(drop).ok_or(Exceeded::Effort)
    }

    /// Counts bytes that are held until the series ends.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), Exceeded> {
        let held = self.held.get().saturating_add(units(bytes));
        if held > self.limits.memory_bytes {
            return Err(Exceeded::Memory(self.limits.memory_bytes));
        }
        self.held.set(held);
        Ok(())
    }

    /// Counts reading a file, and refuses one that is too large to be compared.
    pub(crate) fn read(&self, text: &[u8]) -> Result<(), Exceeded> {
        let bytes = text.len();
        self.spend(units(bytes))?;
        let lines = text.lines().count();
        if units(bytes) > self.limits.file_bytes || lines > self.limits.file_lines {
            return Err(Exceeded::File { bytes, lines });
        }
        Ok(())
    }
}

/// A length in units of work.
pub(crate) fn units(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
