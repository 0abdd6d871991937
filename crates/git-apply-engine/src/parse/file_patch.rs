//! What a patch says of one file.

use std::rc::Rc;

use bstr::ByteSlice;

use super::binary::BinaryHunk;
use super::hunk::Hunk;
use crate::report::FileChange;

/// What Git thinks of "new" or "deleted": a traditional diff does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tri {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// The header does not say.
    Unknown,
}

/// The diff of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePatch<'a> {
    pub(crate) old_name: Option<Vec<u8>>,
    pub(crate) new_name: Option<Vec<u8>>,
    pub(crate) old_mode: u32,
    pub(crate) new_mode: u32,
    pub(crate) is_new: Tri,
    pub(crate) is_delete: Tri,
    pub(crate) is_rename: bool,
    pub(crate) is_copy: bool,
    pub(crate) old_id: &'a [u8],
    pub(crate) new_id: &'a [u8],
    /// Shared, because a patch that does not apply is tried in reverse too.
    pub(crate) content: Rc<Content<'a>>,
    /// The line of its header in the patch, from 1.
    pub(crate) line: usize,
    /// The header as it stands in the patch.
    pub(crate) header: &'a [u8],
}

/// The changes to a file's contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// Lines; none where only names or modes change.
    Text(Vec<Hunk<'a>>),
    /// Bytes: the hunk, and the one that takes it back. Neither where the patch only says that
    /// files differ.
    Binary(Option<BinaryHunk>, Option<BinaryHunk>),
}

impl FilePatch<'_> {
    /// Whether it changes lines, and not bytes, a name or a mode alone.
    pub(crate) fn has_lines(&self) -> bool {
        matches!(&*self.content, Content::Text(hunks) if !hunks.is_empty())
    }

    pub(super) fn new(line: usize) -> Self {
        Self {
            old_name: None,
            new_name: None,
            old_mode: 0,
            new_mode: 0,
            is_new: Tri::Unknown,
            is_delete: Tri::Unknown,
            is_rename: false,
            is_copy: false,
            old_id: b"",
            new_id: b"",
            content: Rc::new(Content::Text(Vec::new())),
            line,
            header: b"",
        }
    }

    /// What to do about a traditional header whose epoch time stamp says that a file does not
    /// exist.
    pub(crate) fn epoch_note(&self) -> Option<&'static str> {
        let mut lines = self.header.split(|byte| *byte == b'\n');
        let says = lines.any(|line| {
            let line = line.to_str_lossy();
            line.starts_with("--- ") && ["1970-01-01", "1969-12-31"].iter().any(|day| line.contains(day))
        });
        (says && self.is_new == Tri::Yes).then_some(
            "; the time stamp of 1970 in the line --- says that the file is new: remove it if it is not",
        )
    }

    /// The file's names under other values of `-p`, with these values, from a traditional or a git
    /// header.
    pub(crate) fn names_by_strip(&self) -> Vec<(usize, Vec<u8>)> {
        const MOST: usize = 4;
        let mut lines = self.header.split(|byte| *byte == b'\n');
        let Some(raw) = lines.find_map(|line| line.strip_prefix(b"--- ")) else {
            return Vec::new();
        };
        let raw = raw.split(|byte| *byte == b'\t').next().unwrap_or_default();
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        let starts = raw.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let starts = std::iter::once(0).chain(starts.map(|(at, _)| at + 1));
        let names = starts.filter_map(|start| raw.get(start..));
        names.map(<[u8]>::to_vec).enumerate().take(MOST + 1).collect()
    }

    /// The file's name in messages.
    pub(crate) fn name(&self) -> &[u8] {
        self.old_name
            .as_deref()
            .or(self.new_name.as_deref())
            .unwrap_or_default()
    }

    /// What is done to the file.
    pub(crate) fn change(&self) -> FileChange {
        match self {
            _ if self.is_new == Tri::Yes => FileChange::Create,
            _ if self.is_delete == Tri::Yes => FileChange::Delete,
            _ if self.is_copy => FileChange::Copy,
            _ if self.is_rename => FileChange::Rename,
            _ => FileChange::Modify,
        }
    }

    pub(super) fn changes_metadata(&self) -> bool {
        self.is_rename
            || self.is_copy
            || self.is_new == Tri::Yes
            || self.is_delete != Tri::No
            || (self.old_mode != 0 && self.new_mode != 0 && self.old_mode != self.new_mode)
    }

    /// Swaps the old and the new side of the file (`reverse_patches` in Git's apply.c); hunks are
    /// read in a [`Direction`](super::hunk::Direction) instead.
    fn reverse(&mut self) {
        std::mem::swap(&mut self.old_name, &mut self.new_name);
        if self.new_mode != 0 || self.is_delete == Tri::Yes {
            std::mem::swap(&mut self.old_mode, &mut self.new_mode);
        }
        std::mem::swap(&mut self.is_new, &mut self.is_delete);
        std::mem::swap(&mut self.old_id, &mut self.new_id);
    }
}

/// The diffs of a patch in reverse: each is reversed, and so is their order, as in `git apply -R`
/// since Git 2.30.
pub(crate) fn reversed<'a>(patches: &[FilePatch<'a>]) -> Vec<FilePatch<'a>> {
    let mut patches: Vec<FilePatch<'_>> = patches.iter().rev().cloned().collect();
    patches.iter_mut().for_each(FilePatch::reverse);
    patches
}
