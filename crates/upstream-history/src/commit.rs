//! Commits, as read from their objects.

use std::fmt;

use bstr::ByteSlice;
use git_apply_engine::Oid;

/// The most parents of a commit that are read; Git itself makes merges of some dozens.
const MOST_PARENTS: usize = 1024;

/// Who made something, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The name as text: bytes that are not text are replaced.
    pub name: String,
    /// The address, without brackets.
    pub email: String,
    /// When, in seconds since the epoch.
    pub seconds: i64,
    /// How many minutes the clock there was ahead of UTC.
    pub offset_minutes: i32,
}

/// A commit, as read from its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: Oid,
    /// The tree that it left.
    pub tree: Oid,
    /// The commits before it: none for the first, several for a merge.
    pub parents: Vec<Oid>,
    /// Who wrote the change.
    pub author: Person,
    /// Who committed it.
    pub committer: Person,
    /// The message, in the encoding that the commit names.
    pub message: Vec<u8>,
    /// Whether the message is in Latin-1, as old commits may be; all else is read as UTF-8.
    pub is_latin1: bool,
}

/// Why bytes are not a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A header is absent or cannot be read.
    #[error("its header {0:?} is absent or cannot be read")]
    Header(&'static str),
    /// It has more parents than are read.
    #[error("it has more than {MOST_PARENTS} parents")]
    TooManyParents,
}

impl Commit {
    /// Reads the raw contents of a commit's object.
    ///
    /// # Errors
    ///
    /// If a header that every commit has is missing.
    pub fn parse(id: Oid, raw: &[u8]) -> Result<Self, CommitError> {
        let (headers, message) = match raw.find(b"\n\n") {
            Some(end) => (
                raw.get(..end).unwrap_or_default(),
                raw.get(end + 2..).unwrap_or_default(),
            ),
            None => (raw, &b""[..]),
        };
        let mut lines = headers.split(|byte| *byte == b'\n').peekable();
        let tree = lines
            .next()
            .and_then(|line| line.strip_prefix(b"tree "))
            .and_then(Oid::from_hex)
            .ok_or(CommitError::Header("tree"))?;
        let mut parents = Vec::new();
        while let Some(parent) = lines.peek().and_then(|line| line.strip_prefix(b"parent ")) {
            if parents.len() >= MOST_PARENTS {
                return Err(CommitError::TooManyParents);
            }
            parents.push(Oid::from_hex(parent).ok_or(CommitError::Header("parent"))?);
            lines.next();
        }
        let rest: Vec<&[u8]> = lines.collect();
        let value = |name: &[u8]| rest.iter().find_map(|line| line.strip_prefix(name));
        let is_latin1 = value(b"encoding ").is_some_and(|encoding| {
            let encoding = encoding.to_ascii_lowercase();
            [&b"iso-8859-1"[..], b"iso8859-1", b"latin1", b"latin-1"].contains(&encoding.as_slice())
        });
        let person = |name: &'static str, key: &[u8]| {
            value(key)
                .and_then(|value| read_person(value, is_latin1))
                .ok_or(CommitError::Header(name))
        };
        Ok(Self {
            id,
            tree,
            parents,
            author: person("author", b"author ")?,
            committer: person("committer", b"committer ")?,
            message: message.to_vec(),
            is_latin1,
        })
    }

    /// The message as text: bytes that are not text are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        decoded(&self.message, self.is_latin1)
    }

    /// The first paragraph of the message in one line, as `git log --format=%s` shows it.
    #[must_use]
    pub fn subject(&self) -> String {
        patch_headers::subject(&self.text())
    }

    /// The `Change-Id`s of its footers, by Gerrit's rules.
    #[must_use]
    pub fn change_ids(&self) -> Vec<String> {
        patch_headers::change_ids(&self.text())
    }

    /// Returns what is reported about it.
    #[must_use]
    pub fn described(&self) -> UpstreamCommit {
        UpstreamCommit {
            commit: self.id,
            subject: self.subject(),
            author: self.author.to_string(),
            date: self.committer.seconds,
            change_id: self.change_ids().into_iter().next_back(),
        }
    }
}

/// What an upstream's commit says about itself, for a status, a table or a document.
///
/// The texts come from an upstream: make them fit for where they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
pub struct UpstreamCommit {
    /// Its id.
    pub commit: Oid,
    /// The first paragraph of its message, in one line.
    pub subject: String,
    /// Who wrote it, as `Name <address>`.
    pub author: String,
    /// When it was committed, in seconds since the epoch.
    pub date: i64,
    /// Its `Change-Id`, the last if it has several.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub change_id: Option<String>,
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <{}>", self.name, self.email)
    }
}

/// Decodes bytes as text.
fn decoded(bytes: &[u8], is_latin1: bool) -> String {
    if is_latin1 && std::str::from_utf8(bytes).is_err() {
        bytes.iter().map(|byte| char::from(*byte)).collect()
    } else {
        bytes.to_str_lossy().into_owned()
    }
}

/// Reads `Name <address> SECONDS +HHMM`.
fn read_person(line: &[u8], is_latin1: bool) -> Option<Person> {
    let open = line.find_byte(b'<')?;
    let close = line.rfind_byte(b'>')?;
    let name = decoded(line.get(..open)?, is_latin1);
    let email = decoded(line.get(open + 1..close)?, is_latin1);
    let mut when = line.get(close + 1..)?.fields();
    // A commit with a broken date is still a commit, as for Git: at the epoch.
    let number = |field: Option<&[u8]>| field.and_then(|field| field.to_str().ok()?.parse::<i64>().ok());
    let seconds = number(when.next()).unwrap_or(0);
    let offset = number(when.next()).unwrap_or(0).clamp(-9959, 9959);
    let minutes = offset / 100 * 60 + offset % 100;
    Some(Person {
        name: name.trim().to_owned(),
        email: email.trim().to_owned(),
        seconds,
        offset_minutes: i32::try_from(minutes).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Commit, CommitError> {
        Commit::parse(Oid::from_bytes([7; 20]), text.as_bytes())
    }

    const TREE: &str = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n";

    #[test]
    fn a_commit_is_read() {
        let commit = parse(&format!(
            "{TREE}parent {one}\nparent {two}\nauthor A B <a@b> 1700000000 +0530\n\
             committer C <c@d> 1700000100 -0100\ngpgsig -----BEGIN\n author X <x@y> 1 +0000\n\nSubject\nmore\n\nBody\n",
            one = "1".repeat(40),
            two = "2".repeat(40),
        ))
        .unwrap();
        assert_eq!(commit.parents.len(), 2);
        assert_eq!(commit.author.to_string(), "A B <a@b>");
        assert_eq!(
            (commit.author.seconds, commit.author.offset_minutes),
            (1_700_000_000, 330)
        );
        assert_eq!(commit.committer.offset_minutes, -60);
        assert_eq!(commit.subject(), "Subject more");
    }

    #[test]
    fn what_is_no_commit_is_refused() {
        assert_eq!(parse(""), Err(CommitError::Header("tree")));
        assert_eq!(parse(TREE), Err(CommitError::Header("author")));
        let broken = format!("{TREE}parent x\n");
        assert_eq!(parse(&broken), Err(CommitError::Header("parent")));
        let many = format!("parent {}\n", "1".repeat(40)).repeat(1025);
        assert_eq!(parse(&format!("{TREE}{many}")), Err(CommitError::TooManyParents));
    }

    #[test]
    fn latin1_is_read_as_such() {
        let mut raw = format!("{TREE}author J").into_bytes();
        raw.extend_from_slice(
            b"\xf6rg <j@x> 1 +0000\ncommitter J <j@x> 1 +0000\nencoding ISO-8859-1\n\nF\xfcr\n",
        );
        let commit = Commit::parse(Oid::from_bytes([7; 20]), &raw).unwrap();
        assert_eq!(
            (commit.author.name.as_str(), commit.subject().as_str()),
            ("J\u{f6}rg", "F\u{fc}r")
        );
    }
}
