//! How often lines occur.

use std::collections::HashMap;

/// Lines with how often they occur.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LineCount<'a> {
    counts: HashMap<&'a [u8], usize>,
    total: usize,
}

impl<'a> LineCount<'a> {
    pub(super) fn add(&mut self, line: &'a [u8]) {
        *self.counts.entry(line).or_default() += 1;
        self.total += 1;
    }

    /// How many lines both have.
    pub(super) fn common(&self, other: &Self) -> usize {
        let common = self.counts.iter().map(|(line, count)| {
            let there = other.counts.get(line).copied().unwrap_or(0);
            (*count).min(there)
        });
        common.sum()
    }

    /// How many lines there are.
    pub(super) fn total(&self) -> usize {
        self.total
    }
}

/// Counts the lines of a text.
impl<'a> FromIterator<&'a [u8]> for LineCount<'a> {
    fn from_iter<T: IntoIterator<Item = &'a [u8]>>(lines: T) -> Self {
        let mut count = Self::default();
        for line in lines {
            count.add(line);
        }
        count
    }
}
