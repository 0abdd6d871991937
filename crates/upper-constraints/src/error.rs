//! What is wrong with a file, line by line.

use std::fmt;

/// The most lines that a message lists.
const LISTED: usize = 10;

/// What is wrong with one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Problem {
    /// The line, from 1; of a list of entries the entry's place.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

/// What a place is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Lines of a file.
    Line,
    /// Entries of a list.
    Entry,
}

impl Unit {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Entry => "entry",
        }
    }
}

/// All that is wrong with a file or list, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    unit: Unit,
    list: Vec<Problem>,
}

impl Problems {
    /// Returns the problems, at least one.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Problem { line, message }) in self.list.iter().take(LISTED).enumerate() {
            let between = if at == 0 { "" } else { "; " };
            write!(f, "{between}{} {line}: {message}", self.unit.as_str())?;
        }
        match self.list.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Why constraints could not be merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The constraints cannot be read.
    #[error("upper constraints: {0}")]
    Constraints(Problems),
    /// The overrides cannot be read, or contradict each other or the constraints.
    #[error("overrides: {0}")]
    Overrides(Problems),
}

impl Error {
    /// Returns what is wrong, line by line.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Constraints(problems) | Self::Overrides(problems) => problems.list(),
        }
    }
}

/// Collects problems, so that all are reported at once.
pub(super) struct Collector(Problems);

impl Collector {
    pub(super) fn new(unit: Unit) -> Self {
        Self(Problems {
            unit,
            list: Vec::new(),
        })
    }

    pub(super) fn add(&mut self, line: usize, message: impl Into<String>) {
        self.0.list.push(Problem {
            line,
            message: message.into(),
        });
    }

    /// Returns the value if nothing was wrong.
    pub(super) fn finish<T>(mut self, value: T) -> Result<T, Problems> {
        if self.0.list.is_empty() {
            return Ok(value);
        }
        self.0.list.sort_by_key(|problem| problem.line);
        Err(self.0)
    }
}

/// A piece of a file for a message: at most 60 characters, without control characters.
pub(super) fn shown(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(61).collect();
    if clean.chars().count() > 60 {
        clean.chars().take(60).chain(['…']).collect()
    } else {
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_file_is_cut_behind_60_characters() {
        assert_eq!(shown(&"\u{e4}".repeat(60)), "\u{e4}".repeat(60));
        for length in [61, 62, 1000] {
            let cut = format!("{}…", "\u{e4}".repeat(60));
            assert_eq!(shown(&"\u{e4}".repeat(length)), cut, "{length}");
        }
        assert_eq!(shown("a\tb\u{1b}[1m"), "ab[1m");
    }
}
