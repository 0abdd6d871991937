//! A commit as its object has it, byte for byte.

use bstr::ByteSlice;
use encoding_rs::Encoding;
use git_apply_engine::Oid;

use super::error::FormatError;
use super::store::RawCommits;

/// The most parents of a commit that are read.
const MOST_PARENTS: usize = 1024;

/// A commit, with its texts in UTF-8 if it names another encoding that is known.
#[derive(Clone, Debug)]
pub(crate) struct RawCommit {
    pub(crate) id: Oid,
    pub(crate) tree: Oid,
    pub(crate) parents: Vec<Oid>,
    /// What follows `author `.
    pub(crate) author: Vec<u8>,
    /// The message, which ends before a NUL as it does for Git.
    pub(crate) message: Vec<u8>,
}

impl RawCommit {
    pub(crate) fn read(commits: &dyn RawCommits, id: Oid) -> Result<Option<Self>, FormatError> {
        let raw = commits.raw_commit(id)?;
        raw.map(|raw| Self::parse(id, &raw)).transpose()
    }

    fn parse(id: Oid, raw: &[u8]) -> Result<Self, FormatError> {
        let wrong = |problem| FormatError::Commit { commit: id, problem };
        let (headers, message) = match raw.find(b"\n\n") {
            Some(end) => (raw.get(..end), raw.get(end + 2..)),
            None => (Some(raw), None),
        };
        let headers: Vec<&[u8]> = headers.unwrap_or_default().split(|byte| *byte == b'\n').collect();
        let values = |name: &'static [u8]| headers.iter().filter_map(move |line| line.strip_prefix(name));
        let tree = values(b"tree ").next().and_then(Oid::from_hex);
        let parents: Option<Vec<Oid>> = values(b"parent ").map(Oid::from_hex).collect();
        let parents = parents.ok_or_else(|| wrong("a parent's id cannot be read"))?;
        if parents.len() > MOST_PARENTS {
            return Err(wrong("it has more than 1024 parents"));
        }
        let decode = decoder(values(b"encoding ").next());
        let message = message.unwrap_or_default();
        let end = message.find_byte(0).unwrap_or(message.len());
        Ok(Self {
            id,
            tree: tree.ok_or_else(|| wrong("its tree's id cannot be read"))?,
            parents,
            author: decode(values(b"author ").next().unwrap_or_default()),
            message: decode(message.get(..end).unwrap_or_default()),
        })
    }

    /// The first paragraph of the message in one line.
    pub(crate) fn subject(&self) -> Vec<u8> {
        title(skip_blank_lines(&self.message)).0
    }
}

/// Returns what converts a commit's texts to UTF-8; texts that it cannot read stay unchanged
/// (`logmsg_reencode` in Git's pretty.c).
fn decoder(label: Option<&[u8]>) -> impl Fn(&[u8]) -> Vec<u8> {
    let label = label.map(<[u8]>::to_ascii_lowercase);
    // For encoding_rs, as for browsers, this is another name for Windows-1252.
    let is_latin1 = label
        .as_deref()
        .is_some_and(|label| [&b"iso-8859-1"[..], b"iso8859-1", b"latin1", b"latin-1"].contains(&label));
    let encoding = label.and_then(|label| Encoding::for_label(&label));
    move |text| {
        if is_latin1 {
            return encoding_rs::mem::decode_latin1(text).into_owned().into_bytes();
        }
        let decoded =
            encoding.and_then(|encoding| encoding.decode_without_bom_handling_and_without_replacement(text));
        decoded.map_or_else(|| text.to_vec(), |text| text.into_owned().into_bytes())
    }
}

/// Whether Git treats a byte as white space (`isspace` in its ctype.c).
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The first line of a text without the white space at its end, and the rest.
pub(crate) fn first_line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.find_byte(b'\n').map_or(text.len(), |end| end + 1);
    let (line, rest) = text.split_at(end);
    (line.trim_end_with(|c| u8::try_from(c).is_ok_and(is_space)), rest)
}

/// A text from its first line that is not blank.
pub(crate) fn skip_blank_lines(mut text: &[u8]) -> &[u8] {
    while !text.is_empty() {
        let (line, rest) = first_line(text);
        if !line.is_empty() {
            break;
        }
        text = rest;
    }
    text
}

/// The lines of the first paragraph, joined, and what follows it (`format_subject` in Git's
/// pretty.c).
pub(crate) fn title(mut text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut lines = Vec::new();
    while !text.is_empty() {
        let (line, rest) = first_line(text);
        text = rest;
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    (lines.join(&b' '), text)
}
