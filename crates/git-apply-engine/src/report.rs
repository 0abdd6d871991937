//! Reports on patches, in enough detail to mend them without a checkout.

use std::fmt;

use bstr::ByteSlice;

use super::object::Oid;

/// What became of one patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum PatchState {
    /// It applies where it says.
    Clean,
    /// It applies, some lines away from where it says.
    Offset,
    /// Upstream already has it: it applies in reverse.
    Merged,
    /// It does not apply.
    Conflict,
    /// It cannot be read, or asks for what is refused.
    Malformed,
    /// It does not apply because of an earlier patch that does not.
    Blocked,
}

impl PatchState {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Clean,
        Self::Offset,
        Self::Merged,
        Self::Conflict,
        Self::Malformed,
        Self::Blocked,
    ];

    /// Returns the state's name, such as `Clean`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "Clean",
            Self::Offset => "Offset",
            Self::Merged => "Merged",
            Self::Conflict => "Conflict",
            Self::Malformed => "Malformed",
            Self::Blocked => "Blocked",
        }
    }
}

impl fmt::Display for PatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The report on one patch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PatchReport {
    /// Its name, as it was given.
    pub name: String,
    /// The first line of its message, from the header `Subject` (RFC 5322) or `Description`
    /// (DEP-3).
    pub subject: Option<String>,
    /// Who wrote it, from the header `From` or `Author`.
    pub author: Option<String>,
    /// The verdict on it.
    pub state: PatchState,
    /// The tree after it; `None` if it does not apply.
    pub tree: Option<Oid>,
    /// The files that it touches, in the patch's order; none if it cannot be read. For a patch that
    /// is in the tree already, they come without hunks.
    pub files: Vec<FileReport>,
    /// Why it does not apply, in a sentence; `None` if it does.
    pub error: Option<String>,
}

impl PatchReport {
    /// Returns whether `git apply` accepts it.
    #[must_use]
    pub fn applies(&self) -> bool {
        matches!(self.state, PatchState::Clean | PatchState::Offset)
    }

    /// Returns the largest distance in lines between where a hunk says that it belongs and where it
    /// applies; negative if that is further up, 0 if all apply where they say.
    #[must_use]
    pub fn largest_offset(&self) -> i64 {
        let offsets = self
            .files
            .iter()
            .flat_map(|file| &file.hunks)
            .filter_map(|hunk| match hunk.outcome {
                HunkOutcome::Placed { offset, .. } => Some(offset),
                HunkOutcome::Rejected(_) => None,
            });
        offsets.max_by_key(|offset| offset.unsigned_abs()).unwrap_or(0)
    }

    /// Returns the first hunk that does not fit, with its file.
    #[must_use]
    pub fn first_rejected(&self) -> Option<(&FileReport, &HunkReport, &Rejection)> {
        self.files.iter().find_map(|file| {
            file.hunks.iter().find_map(|hunk| match &hunk.outcome {
                HunkOutcome::Rejected(rejection) => Some((file, hunk, &**rejection)),
                HunkOutcome::Placed { .. } => None,
            })
        })
    }
}

/// What a patch does to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum FileChange {
    /// It changes the contents or the mode.
    Modify,
    /// It creates the file.
    Create,
    /// It deletes the file.
    Delete,
    /// It gives the file another name.
    Rename,
    /// It creates the file from another one, which stays.
    Copy,
}

/// The report on the diff of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FileReport {
    /// The file after the patch; before it, where it is deleted. Bytes that are not UTF-8 are
    /// replaced.
    pub path: String,
    /// The file before the patch, where it has another name.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub old_path: Option<String>,
    /// What the patch does to it.
    pub change: FileChange,
    /// Why the diff does not apply.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub error: Option<String>,
    /// Its hunks; none for binary contents.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
    pub hunks: Vec<HunkReport>,
}

/// The report on one hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HunkReport {
    /// Its number in the file's diff, from 1.
    pub number: usize,
    /// The line of its header in the patch, from 1.
    pub patch_line: usize,
    /// The line where its preimage starts, as its header says; from 1.
    pub old_start: u64,
    /// Where it went.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub outcome: HunkOutcome,
}

/// Where a hunk went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
pub enum HunkOutcome {
    /// It fits, and went into the file.
    Placed {
        /// The line where it went, from 1.
        line: usize,
        /// How many lines that is below where it was expected; negative if it is above.
        offset: i64,
    },
    /// It fits nowhere.
    Rejected(Box<Rejection>),
}

/// A hunk that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
#[non_exhaustive]
pub struct Rejection {
    /// The line of the file where the hunk was expected, from 1.
    pub line: usize,
    /// The lines that the hunk expects, without line feeds: the first 60, and of each the first
    /// 4096 bytes.
    pub expected: Vec<String>,
    /// The lines that are there.
    pub found: Vec<String>,
    /// The place that most resembles what the hunk expects; `None` if none of its lines is anywhere
    /// in the file.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub nearest: Option<NearestMatch>,
    /// Whether the lines and the nearest place are left out, because the series' reports have shown
    /// as much as they may.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "std::ops::Not::not"))]
    pub lines_left_out: bool,
}

impl Rejection {
    /// Returns what to do if the line endings of the hunk and the file differ in all lines that are
    /// shown.
    #[must_use]
    pub fn line_ends(&self) -> Option<&'static str> {
        let found = self.closest();
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
                "the file's lines end in CRLF and the patch's in LF: recreate the patch with git format-patch, and let nothing convert it",
            )
        } else {
            None
        }
    }

    /// The lines where the hunk most likely belongs.
    fn closest(&self) -> &[String] {
        self.nearest
            .as_ref()
            .map_or(&self.found, |nearest| &nearest.found)
    }

    /// Returns what to do if the hunk and the file differ only in white space, in all lines that
    /// are shown.
    #[must_use]
    pub fn white_space(&self) -> Option<&'static str> {
        let found = self.closest();
        let is_same = |(expected, found): (&String, &String)| {
            let visible = |text: &str| text.split_whitespace().collect::<String>();
            expected == found || visible(expected) == visible(found)
        };
        let all = self.expected.len() == found.len() && self.expected.iter().zip(found).all(is_same);
        (all && !self.expected.is_empty() && self.expected != found).then_some(
            "the lines differ only in white space: recreate the patch with git format-patch, and let nothing convert it",
        )
    }
}

/// The place in a file that most resembles what a hunk expects.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
#[non_exhaustive]
pub struct NearestMatch {
    /// Its first line, from 1.
    pub line: usize,
    /// How many of the expected lines are there, each in its position.
    pub matching: usize,
    /// The first expected line that is not there, counted from 1 in the hunk's preimage.
    pub differs_at: usize,
    /// The lines that are there.
    pub found: Vec<String>,
    /// The lines before those, at most eight.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub before: Vec<String>,
    /// The lines after those, at most eight.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub after: Vec<String>,
}

/// How many lines are shown on each side of the nearest match: if the file has more lines than the
/// hunk expects, the rest are there.
pub const NEIGHBOURS: usize = 8;

/// Why a patch cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub(crate) struct Malformed {
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

/// Bytes as readable text: what is not UTF-8 is replaced, and the line feed is dropped.
pub(crate) fn readable(bytes: &[u8]) -> String {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    line.to_str_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_names_of_their_variants() {
        for state in PatchState::ALL {
            assert_eq!(state.to_string(), format!("{state:?}"));
        }
    }
}
