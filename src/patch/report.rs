//! What became of patches, in enough detail to mend them without a checkout.

use bstr::ByteSlice;
use serde::Serialize;

use super::object::Oid;

/// What became of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum State {
    /// It applies where it says.
    Clean,
    /// It applies, some lines away from where it says.
    Offset,
    /// It does not apply, but in reverse it does: upstream has it already.
    Merged,
    /// It does not apply.
    Conflict,
    /// It cannot be read, or asks for what is refused.
    Malformed,
    /// It does not apply, and touches what an earlier patch that does not apply touches.
    Blocked,
}

/// What became of one patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatchReport {
    /// Its name, as it was given.
    pub name: String,
    /// The first line of its message.
    pub subject: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// What became of it.
    pub state: State,
    /// The tree after it, where it applies.
    pub tree: Option<Oid>,
    /// The files that it touches.
    pub files: Vec<FileReport>,
    /// Why it does not apply, in a sentence.
    pub error: Option<String>,
}

impl PatchReport {
    /// Whether `git apply` accepts it.
    #[must_use]
    pub fn applies(&self) -> bool {
        matches!(self.state, State::Clean | State::Offset)
    }

    /// The largest distance at which a hunk applies; 0 where all apply where they say.
    #[must_use]
    pub fn largest_offset(&self) -> i64 {
        let offsets = self
            .files
            .iter()
            .flat_map(|file| &file.hunks)
            .filter_map(|hunk| match hunk.fate {
                Fate::Placed { offset, .. } => Some(offset),
                Fate::Rejected(_) => None,
            });
        offsets.max_by_key(|offset| offset.unsigned_abs()).unwrap_or(0)
    }

    /// The first hunk that does not fit, and its file.
    #[must_use]
    pub fn first_rejected(&self) -> Option<(&FileReport, &HunkReport, &Rejection)> {
        self.files.iter().find_map(|file| {
            file.hunks.iter().find_map(|hunk| match &hunk.fate {
                Fate::Rejected(rejection) => Some((file, hunk, &**rejection)),
                Fate::Placed { .. } => None,
            })
        })
    }
}

/// What a patch does to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Other contents or mode.
    Modify,
    /// A new file.
    Create,
    /// No file any more.
    Delete,
    /// Another name.
    Rename,
    /// A second file with these contents.
    Copy,
}

/// What became of the diff of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// The file after the patch; before it, where it is deleted. Bytes that are not UTF-8 are replaced.
    pub path: String,
    /// The file before the patch, where it has another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_path: Option<String>,
    /// What the patch does to it.
    pub change: Change,
    /// Why the diff does not apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its hunks; none for binary contents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hunks: Vec<HunkReport>,
}

/// What became of one hunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HunkReport {
    /// Its number in the file's diff, from 1.
    pub number: usize,
    /// The line where its header stands in the patch, from 1.
    pub patch_line: usize,
    /// The line where its preimage starts, as its header says; from 1.
    pub old_start: u64,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// Where a hunk went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// Into the file.
    Placed {
        /// The line where it went, from 1.
        line: usize,
        /// How many lines that is below where it was expected.
        offset: i64,
    },
    /// Nowhere.
    Rejected(Box<Rejection>),
}

/// A hunk that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// The line of the file where the hunk was expected, from 1.
    pub line: usize,
    /// The lines that the hunk expects, without line feeds; the first some dozen, and of each the first 4096 bytes.
    pub expected: Vec<String>,
    /// The lines that stand there.
    pub found: Vec<String>,
    /// The place that resembles most what the hunk expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Nearest>,
    /// Whether neither lines nor the nearest place are told, because the series' reports have shown as many as they may.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lines_left_out: bool,
}

impl Rejection {
    /// What to do where the hunk and the file differ in how their lines end, if they do so in all that is shown.
    #[must_use]
    pub fn line_ends(&self) -> Option<&'static str> {
        let found = self
            .nearest
            .as_ref()
            .map_or(&self.found, |nearest| &nearest.found);
        if self.expected.is_empty() || found.is_empty() {
            return None;
        }
        let all = |lines: &[String]| lines.iter().all(|line| line.ends_with('\r'));
        let none = |lines: &[String]| !lines.iter().any(|line| line.ends_with('\r'));
        if all(&self.expected) && none(found) {
            Some(
                "the patch's lines end in CRLF and the file's in LF: convert the patch, for instance with dos2unix",
            )
        } else if none(&self.expected) && all(found) {
            Some(
                "the file's lines end in CRLF and the patch's in LF: make the patch anew with git format-patch, and let nothing convert it",
            )
        } else {
            None
        }
    }
}

/// The place of a file that resembles most what a hunk expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Nearest {
    /// Its first line, from 1.
    pub line: usize,
    /// How many of the expected lines stand there, each in its place.
    pub matching: usize,
    /// The first expected line that does not stand there, counted from 1 in the hunk's preimage.
    pub differs_at: usize,
    /// The lines that stand there.
    pub found: Vec<String>,
}

/// Why a patch cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct Malformed {
    line: Option<usize>,
    message: String,
}

impl Malformed {
    pub(crate) fn at(line: usize, message: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            message: message.into(),
        }
    }

    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self {
            line: None,
            message: message.into(),
        }
    }
}

/// Bytes as text for people: what is not UTF-8 is replaced, and the line feed goes.
pub(crate) fn readable(bytes: &[u8]) -> String {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    line.to_str_lossy().into_owned()
}
