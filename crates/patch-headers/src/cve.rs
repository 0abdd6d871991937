//! CVE numbers.

use std::fmt;
use std::str::FromStr;

/// A CVE number: `CVE-`, a year, and four or more digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cve(String);

/// A text is not a CVE number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotACve;

impl fmt::Display for NotACve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not a CVE number such as CVE-2024-32498")
    }
}

impl std::error::Error for NotACve {}

impl Cve {
    /// The number in its usual form, for instance `CVE-2024-32498`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Cve {
    type Err = NotACve;

    /// In any case, with any of the hyphens that word processors make.
    fn from_str(text: &str) -> Result<Self, NotACve> {
        match leading(text) {
            Some((cve, "")) => Ok(cve),
            _ => Err(NotACve),
        }
    }
}

/// The number that a text begins with, and what follows it.
pub(crate) fn leading(text: &str) -> Option<(Cve, &str)> {
    let (name, rest) = text.split_at_checked(3)?;
    if !name.eq_ignore_ascii_case("CVE") {
        return None;
    }
    let hyphen = |text: &'_ str| -> Option<usize> {
        let first = text.chars().next()?;
        matches!(
            first,
            '-' | '_' | '\u{2010}' | '\u{2011}' | '\u{2012}' | '\u{2013}'
        )
        .then(|| first.len_utf8())
    };
    let rest = rest.get(hyphen(rest)?..)?;
    let (year, rest) = rest.split_at(digits(rest));
    let rest = rest.get(hyphen(rest)?..)?;
    let (number, rest) = rest.split_at(digits(rest));
    let is_one = year.len() == 4 && (4..=19).contains(&number.len());
    is_one.then(|| (Cve(format!("CVE-{year}-{number}")), rest))
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Parts of a file's name that say that it does something other than resolve the vulnerability.
const OTHERWISE: &[&str] = &[
    "regress",
    "depend",
    "prereq",
    "require",
    "need",
    "revert",
    "undo",
    "drop",
    "remove",
    "follow",
    "partial",
    "incomplete",
    "mitigat",
    "workaround",
    "related",
    "unrelated",
    "test",
    "prepar",
];

/// The same, as whole words.
const OTHERWISE_WORDS: &[&str] = &["pre", "post", "not", "no", "doc", "docs", "pre1", "pre2"];

/// The numbers in a file's name such as `CVE-2024-32498-2.patch` or
/// `0001-fix-cve-2024-32498.patch`.
pub(crate) fn claimed_by_file_name(name: &str) -> Vec<Cve> {
    let base = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let lower = base.to_ascii_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let is_otherwise =
        |word: &str| OTHERWISE_WORDS.contains(&word) || OTHERWISE.iter().any(|begin| word.starts_with(begin));
    if words.any(is_otherwise) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, _) in lower.match_indices("cve") {
        let before = lower.get(..at).and_then(|before| before.chars().next_back());
        if before.is_some_and(|c| c.is_ascii_alphanumeric()) {
            continue;
        }
        found.extend(lower.get(at..).and_then(leading).map(|(cve, _)| cve));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names() {
        for (name, told) in [
            ("CVE-2024-32498.patch", &["CVE-2024-32498"][..]),
            ("CVE-2024-32498-0002.patch", &["CVE-2024-32498"]),
            ("CVE-2019-13232_p1.patch", &["CVE-2019-13232"]),
            (
                "series/0001-unzip-fix-CVE-2018-1000035.patch",
                &["CVE-2018-1000035"],
            ),
            ("09-cve-2014-8139-crc-overflow.diff", &["CVE-2014-8139"]),
            (
                "CVE-2023-1111-CVE-2023-2222.patch",
                &["CVE-2023-1111", "CVE-2023-2222"],
            ),
            ("CVE_2021_44228.patch", &["CVE-2021-44228"]),
            ("CVE-2024-32498-regression.patch", &[]),
            ("CVE-2024-32498-dependent_p1.patch", &[]),
            ("CVE-2024-32498-pre1.patch", &[]),
            ("0003-revert-fix-for-CVE-2024-32498.patch", &[]),
            ("0003-tests-for-cve-2024-32498.patch", &[]),
            ("notcve-2024-32498.patch", &[]),
            ("CVE-2024-1.patch", &[]),
        ] {
            let found = claimed_by_file_name(name);
            let found: Vec<&str> = found.iter().map(Cve::as_str).collect();
            assert_eq!(found, told, "{name}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(
            "cve-2024-32498".parse::<Cve>().unwrap().as_str(),
            "CVE-2024-32498"
        );
        assert_eq!(
            "CVE\u{2011}2024\u{2011}32498".parse::<Cve>().unwrap().as_str(),
            "CVE-2024-32498"
        );
        for text in [
            "CVE-24-32498",
            "CVE-2024-324",
            "CVE-2024-32498a",
            "CVE",
            "ÄCVE-2024-1234",
            "",
        ] {
            assert_eq!(text.parse::<Cve>(), Err(NotACve), "{text}");
        }
    }
}
