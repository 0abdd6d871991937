//! What a patch says, for comparing it with another change.

use super::budget::Budget;
use super::options::Options;
use super::parse::{Content, FilePatch, Tri, parse};
use super::report::FileChange;

/// The diff of one file, as a patch has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileDiff<'a> {
    /// The file before, without what `-p` strips; `None` if the patch creates it.
    pub old_path: Option<Vec<u8>>,
    /// The file after; `None` where the patch deletes it.
    pub new_path: Option<Vec<u8>>,
    /// What is done to it.
    pub change: FileChange,
    /// Its mode before as Git stores it; 0 where the patch does not say.
    pub old_mode: u32,
    /// Its mode after; 0 where the patch does not say.
    pub new_mode: u32,
    /// The id of the blob before, as far as the `index` line spells it.
    pub old_id: &'a [u8],
    /// The id of the blob after, as far as the `index` line spells it.
    pub new_id: &'a [u8],
    /// The header as it stands in the patch, up to the first hunk.
    pub header: &'a [u8],
    /// The hunks; none where only names or modes change, and where the contents are binary.
    pub hunks: Vec<HunkDiff<'a>>,
    /// Whether the contents are binary.
    pub is_binary: bool,
}

/// One hunk, as a patch has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HunkDiff<'a> {
    /// The line where its preimage starts, as its header says; from 1.
    pub old_start: u64,
    /// The hunk with its header, as it stands in the patch.
    pub text: &'a [u8],
}

impl<'a> HunkDiff<'a> {
    /// Returns the lines after the header with their line feeds, each with ` `, `-`, `+` or `\` in
    /// front.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.text.split_inclusive(|byte| *byte == b'\n').skip(1)
    }
}

/// Reads the diffs of a patch, by the same rules as for applying it.
///
/// # Errors
///
/// If it cannot be read: why, in a sentence.
pub fn read_diffs<'a>(patch: &'a [u8], options: &Options) -> Result<Vec<FileDiff<'a>>, String> {
    let budget = Budget::new(&options.limits);
    let files = parse(patch, options, &budget).map_err(|malformed| malformed.to_string())?;
    Ok(files.into_iter().map(described).collect())
}

fn described(file: FilePatch<'_>) -> FileDiff<'_> {
    let change = file.change();
    let (hunks, is_binary) = match &*file.content {
        Content::Text(hunks) => {
            let hunks = hunks.iter().map(|hunk| HunkDiff {
                old_start: hunk.old_start,
                text: hunk.text,
            });
            (hunks.collect(), false)
        }
        Content::Binary(..) => (Vec::new(), true),
    };
    FileDiff {
        old_path: file.old_name.filter(|_| file.is_new != Tri::Yes),
        new_path: file.new_name.filter(|_| file.is_delete != Tri::Yes),
        change,
        old_mode: file.old_mode,
        new_mode: file.new_mode,
        old_id: file.old_id,
        new_id: file.new_id,
        header: file.header,
        hunks,
        is_binary,
    }
}
