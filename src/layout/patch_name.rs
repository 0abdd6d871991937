//! Names of patches' files, and their numbers.

use std::fmt;
use std::str::FromStr;

use foreign_text::printable;
use git_format_patch::patch_file_name;

use super::fault::FaultKind;
use super::series::{Series, SeriesOrder, is_patch_name};

/// How many digits a number has if there is no other one: as `git format-patch` writes it.
const DIGITS: usize = 4;

/// The name of a patch's file, without a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PatchFileName(String);

/// A text that is no name of a patch's file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a patch name: {problem}", printable(.name, 200))]
pub struct PatchNameError {
    name: String,
    problem: &'static str,
}

impl PatchFileName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PatchFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PatchFileName {
    type Err = PatchNameError;

    fn from_str(text: &str) -> Result<Self, PatchNameError> {
        let problem = if text.contains('/') {
            "it contains a folder"
        } else if text.chars().any(|c| c.is_control() || c == '\\') {
            "it has a character that a list of patches cannot have"
        } else if text.len() > 255 {
            "it has more than 255 bytes"
        } else if !is_patch_name(text) {
            "it does not end in .patch or .diff, or begins with a dot"
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(PatchNameError {
            name: text.to_owned(),
            problem,
        })
    }
}

/// The number that a name begins with, before `-` or `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeadingNumber<'a> {
    pub(super) number: usize,
    pub(super) digits: usize,
    /// What follows, from `-` or `_` on.
    pub(super) rest: &'a str,
}

impl<'a> LeadingNumber<'a> {
    /// Reads it from a name without a folder; `None` if it begins with no number.
    pub(super) fn read(name: &'a str) -> Option<Self> {
        let rest = name.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = name.len() - rest.len();
        // More digits are a date, or an id.
        let is_number = (1..=6).contains(&digits) && rest.starts_with(['-', '_']);
        let number = name.get(..digits)?.parse().ok()?;
        is_number.then_some(Self { number, digits, rest })
    }
}

/// The names of patches that are added to a series: `NNNN-subject.patch`, as `git format-patch`
/// writes it, with numbers that follow the existing ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextNames {
    /// `None` if a list sets the order, and its patches have no numbers.
    number: Option<usize>,
    digits: usize,
}

impl NextNames {
    /// Names that follow the patches of a series, and those beside it that a list leaves out.
    #[must_use]
    pub fn after(series: &Series) -> Self {
        let beside = series.faults.iter();
        let beside = beside.filter(|fault| fault.kind == FaultKind::NotInSeries);
        let names = series.patches.iter().map(|patch| patch.name.as_str());
        let names = names.chain(beside.map(|fault| fault.path.as_str()));
        let base_names = names.map(|name| name.rsplit('/').next().unwrap_or(name));
        let numbers: Vec<_> = base_names.filter_map(LeadingNumber::read).collect();
        let has_no_numbers = numbers.is_empty()
            && !series.patches.is_empty()
            && matches!(series.order, SeriesOrder::Listed { .. });
        Self {
            number: (!has_no_numbers).then(|| {
                let last = numbers.iter().map(|found| found.number).max();
                last.map_or(1, |last| last + 1)
            }),
            digits: numbers.iter().map(|found| found.digits).max().unwrap_or(DIGITS),
        }
    }

    /// The name of the next patch, by the first line of its message.
    pub fn next_for(&mut self, subject: &str) -> PatchFileName {
        let prefix = self.number.map_or(String::new(), |number| {
            format!("{number:0width$}-", width = self.digits)
        });
        self.number = self.number.map(|number| number + 1);
        let name = patch_file_name(&prefix, subject.as_bytes());
        // Without a number, a subject without a letter leaves nothing before the ending.
        PatchFileName(if is_patch_name(&name) {
            name
        } else {
            format!("patch{name}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{LayoutFault, SeriesPatch};

    fn series(order: SeriesOrder, names: &[&str]) -> Series {
        let patch = |name: &&str| SeriesPatch {
            name: (*name).to_owned(),
            path: format!("p/{name}"),
            strip: None,
        };
        Series {
            order,
            patches: names.iter().map(patch).collect(),
            faults: Vec::new(),
        }
    }

    fn next(series: &Series) -> String {
        NextNames::after(series).next_for("Fix it: now!").to_string()
    }

    #[test]
    fn numbers_follow_those_that_are_there() {
        let listed = SeriesOrder::Listed {
            file: "p/series".to_owned(),
        };
        for (names, by_name, by_list) in [
            (&[][..], "0001-Fix-it-now.patch", "0001-Fix-it-now.patch"),
            (
                &["0001-a.patch", "0003-b.patch"],
                "0004-Fix-it-now.patch",
                "0004-Fix-it-now.patch",
            ),
            (
                &["01-a.patch", "sub/09_b.diff"],
                "10-Fix-it-now.patch",
                "10-Fix-it-now.patch",
            ),
            (
                &["CVE-2025-1.patch", "20250101120000-x.patch"],
                "0001-Fix-it-now.patch",
                "Fix-it-now.patch",
            ),
        ] {
            assert_eq!(next(&series(SeriesOrder::ByName, names)), by_name, "{names:?}");
            assert_eq!(next(&series(listed.clone(), names)), by_list, "{names:?}");
        }
        let mut commented_out = series(listed.clone(), &["0001-a.patch"]);
        let fault = LayoutFault::new(FaultKind::NotInSeries, "p/0002-b.patch", "");
        commented_out.faults.push(fault);
        assert_eq!(next(&commented_out), "0003-Fix-it-now.patch");
        let mut names = NextNames::after(&series(listed, &["a.patch"]));
        assert_eq!(names.next_for("…").as_str(), "patch.patch");
        let mut names = NextNames::after(&series(SeriesOrder::ByName, &[]));
        let long = "A subject that is far too long to be the name of any file at all";
        assert_eq!(names.next_for("x").as_str(), "0001-x.patch");
        assert_eq!(
            names.next_for(long).as_str(),
            "0002-A-subject-that-is-far-too-long-to-be-the-name-of-any.patch"
        );
    }

    #[test]
    fn names_are_read() {
        for name in ["0001-x.patch", "a b.diff", "ä.patch"] {
            assert_eq!(name.parse::<PatchFileName>().unwrap().as_str(), name);
        }
        for name in ["a/b.patch", "a.txt", ".a.patch", "a\n.patch", "a\\b.patch", ""] {
            let error = name.parse::<PatchFileName>().unwrap_err().to_string();
            assert!(error.contains("is not a patch name"), "{error}");
        }
    }
}
