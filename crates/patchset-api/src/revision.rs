//! A commit and where it was found, in Flux's form.

use std::fmt;
use std::str::FromStr;

use git_apply_engine::Oid;

/// The prefix of a commit's digits.
const ALGORITHM: &str = "sha1:";

/// A commit and where it was found: `stable/2025.2@sha1:…`, or `sha1:…` for a commit that was named
/// by itself (Flux's RFC-0005).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision {
    /// The branch or tag; `None` for a commit that was named by itself.
    pub name: Option<String>,
    /// The commit.
    pub commit: Oid,
}

/// The error for a text that is not a revision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a revision: write REF@sha1:COMMIT, or sha1:COMMIT")]
pub struct RevisionError(String);

/// The number of digits of an abbreviated commit.
const SHORT_COMMIT: usize = 7;

impl Revision {
    /// The name and the first digits of the commit, for people: `stable/2025.2@1f0c2d3`.
    #[must_use]
    pub fn short(&self) -> String {
        let digits: String = self.commit.to_string().chars().take(SHORT_COMMIT).collect();
        match &self.name {
            Some(name) => format!("{name}@{digits}"),
            None => digits,
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}@")?;
        }
        write!(f, "{ALGORITHM}{}", self.commit)
    }
}

impl FromStr for Revision {
    type Err = RevisionError;

    fn from_str(text: &str) -> Result<Self, RevisionError> {
        let (name, commit) = match text.rsplit_once('@') {
            Some((name, commit)) => (Some(name), commit),
            None => (None, text),
        };
        let commit = commit
            .strip_prefix(ALGORITHM)
            .and_then(|digits| digits.parse().ok());
        match commit {
            Some(commit) if name != Some("") => Ok(Self {
                name: name.map(ToOwned::to_owned),
                commit,
            }),
            _ => Err(RevisionError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_read_as_it_is_written() {
        let digits = "1f".repeat(20);
        for (text, name) in [
            (format!("stable/2025.2@sha1:{digits}"), Some("stable/2025.2")),
            (format!("a@b@sha1:{digits}"), Some("a@b")),
            (format!("sha1:{digits}"), None),
        ] {
            let revision: Revision = text.parse().unwrap();
            assert_eq!(revision.name.as_deref(), name);
            assert_eq!(revision.commit.to_string(), digits);
            assert_eq!(revision.to_string(), text);
        }
    }

    #[test]
    fn what_names_no_commit_is_no_revision() {
        let digits = "1f".repeat(20);
        for text in [
            String::new(),
            digits.clone(),
            format!("main@{digits}"),
            format!("@sha1:{digits}"),
            format!("latest@sha256:{digits}"),
            "main@sha1:1f0c".to_owned(),
        ] {
            assert_eq!(text.parse::<Revision>(), Err(RevisionError(text.clone())));
        }
    }
}
