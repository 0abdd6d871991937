//! Commits that a message names, and those that it says it reverts.

use std::fmt;

use git_apply_engine::Oid;

/// The fewest digits of an abbreviated id, as `git` makes them.
pub(super) const FEWEST_DIGITS: usize = 7;

/// The most lines of a message that are read.
const MOST_LINES: usize = 4096;

/// The most commits that a message names.
const MOST_NAMED: usize = 64;

/// A commit's id in a text, whole or abbreviated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum CommitName {
    Whole(Oid),
    /// Hexadecimal digits in lower case, fewer than 40.
    Short(String),
}

impl CommitName {
    pub(super) fn names(&self, id: Oid) -> bool {
        match self {
            Self::Whole(whole) => *whole == id,
            Self::Short(digits) => digits.bytes().eq(hex(id).take(digits.len())),
        }
    }

    /// Whether all ids that it may name sort after one.
    pub(super) fn is_behind(&self, id: Oid) -> bool {
        match self {
            Self::Whole(whole) => *whole > id,
            Self::Short(digits) => hex(id).take(digits.len()).lt(digits.bytes()),
        }
    }

    /// The first digits, which every name has: names that agree have the same ones.
    pub(super) fn first_digits(&self) -> [u8; FEWEST_DIGITS] {
        let mut first = [0; FEWEST_DIGITS];
        match self {
            Self::Whole(id) => first.iter_mut().zip(hex(*id)).for_each(|(to, digit)| *to = digit),
            Self::Short(digits) => first
                .iter_mut()
                .zip(digits.bytes())
                .for_each(|(to, digit)| *to = digit),
        }
        first
    }

    /// Whether both may name the same commit: the same id, or one a prefix of the other.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one == other,
            (Self::Short(_), Self::Whole(id)) => self.names(*id),
            (Self::Whole(id), Self::Short(_)) => other.names(*id),
            (Self::Short(one), Self::Short(other)) => one.starts_with(other) || other.starts_with(one),
        }
    }

    pub(super) fn parse(token: &str) -> Option<Self> {
        let hex = token.bytes().all(|byte| byte.is_ascii_hexdigit());
        match token.len() {
            40 if hex => Oid::from_hex(token.as_bytes())
                .filter(|id| !id.is_null())
                .map(Self::Whole),
            FEWEST_DIGITS..40 if hex => Some(Self::Short(token.to_ascii_lowercase())),
            _ => None,
        }
    }
}

/// The digits of an id.
fn hex(id: Oid) -> impl Iterator<Item = u8> {
    let bytes = *id.as_bytes();
    let digit = |value: u8| {
        if value < 10 {
            b'0' + value
        } else {
            b'a' + value - 10
        }
    };
    bytes
        .into_iter()
        .flat_map(move |byte| [digit(byte >> 4), digit(byte & 15)])
}

impl fmt::Display for CommitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(id) => write!(f, "{id}"),
            Self::Short(digits) => f.write_str(digits),
        }
    }
}

/// A commit that a message says it reverts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RevertTarget {
    pub(super) commit: CommitName,
    /// For the revert of a merge: the parent that it goes back to.
    pub(super) mainline: Option<CommitName>,
}

/// The commits that a message says it reverts, in the words of `git revert`, Gerrit and GitHub.
///
/// Quotations and partial reverts do not count.
pub(super) fn reverts(text: &str) -> Vec<RevertTarget> {
    let lines: Vec<&str> = text.lines().take(MOST_LINES).collect();
    let mut targets = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let lower = line.trim_end().to_ascii_lowercase();
        let starts = [
            "this reverts commit",
            "this reverts commits",
            "reverts commit",
            "reverts commits",
            "reverts:",
            "reverts ",
            "also this reverts commit",
            "this commit reverts commit",
            "this also reverts commit",
        ];
        let Some(start) = starts
            .iter()
            .filter(|start| lower.starts_with(**start))
            .max_by_key(|start| start.len())
        else {
            continue;
        };
        // The note on a merge continues on the next line, and so may a list.
        let next = lines.get(at + 1).filter(|next| !next.trim().is_empty());
        let rest = lower.get(start.len()..).unwrap_or_default();
        let whole = match next {
            Some(next) => format!("{rest} {}", next.trim().to_ascii_lowercase()),
            None => rest.to_owned(),
        };
        let (commits, mainline) = match whole.split_once("reversing changes made to") {
            Some((commits, mainline)) => (commits, reverted_names(mainline).into_iter().next()),
            None => (whole.as_str(), None),
        };
        targets.extend(reverted_names(commits).into_iter().map(|commit| RevertTarget {
            commit,
            mainline: mainline.clone(),
        }));
        if targets.len() >= MOST_NAMED {
            break;
        }
    }
    targets
}

/// The ids at the start of a text, also as GitHub's `owner/name@id`.
fn reverted_names(text: &str) -> Vec<CommitName> {
    let mut names = Vec::new();
    let tokens = text.split(|c: char| c.is_whitespace() || "()[]:,;\"".contains(c));
    for token in tokens.filter(|token| !token.is_empty()) {
        let token = token.trim_end_matches('.');
        let token = token.rsplit(['@', '/']).next().unwrap_or(token);
        match CommitName::parse(token) {
            Some(name) => names.push(name),
            None if ["and", "&", "commit", "commits"].contains(&token) => {}
            None => break,
        }
    }
    names
}

/// The subject that the subject of a revert takes back: `S` of `Revert "S"`.
pub(super) fn reverted_subject(subject: &str) -> Option<&str> {
    let rest = subject.strip_prefix("Revert \"")?;
    rest.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn reverts_are_those_that_name_a_commit() {
        let named = |text: &str| -> Vec<String> {
            let text = text.replace('X', A).replace('Y', B);
            reverts(&format!("Revert \"S\"\n\n{text}\n"))
                .iter()
                .map(|target| match &target.mainline {
                    Some(mainline) => format!("{}..{}", mainline, target.commit),
                    None => target.commit.to_string(),
                })
                .collect()
        };
        assert_eq!(named("This reverts commit X."), [A]);
        assert_eq!(named("This reverts commit X\n\nReason for revert: broke it"), [A]);
        assert_eq!(named("Reverts commit X."), [A]);
        assert_eq!(named("This reverts commits X and Y."), [A, B]);
        assert_eq!(named("This reverts commit X.\nThis reverts commit Y."), [A, B]);
        assert_eq!(
            named("This reverts commit X, reversing\nchanges made to Y."),
            [format!("{B}..{A}")]
        );
        assert_eq!(
            named("This reverts commit 1234567 (\"S\", 2025-01-01)."),
            ["1234567"]
        );
        assert_eq!(named("Reverts openstack/heat@X"), [A]);
        for text in [
            "Reverts #123",
            "Reverts openstack/heat#123",
            "> This reverts commit X.",
            "This partially reverts commit X.",
            "This reverts merge request !12",
            "This reverts the workaround introduced in X.",
        ] {
            assert!(named(text).is_empty(), "{text}");
        }
        assert_eq!(reverted_subject("Revert \"Fix it\""), Some("Fix it"));
    }
}
