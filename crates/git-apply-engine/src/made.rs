//! The contents of a file that a patch made: whole, or as changes to a blob that can be read again.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::budget::bytes;
use super::object::Oid;

/// What a patch left of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct MadeFile {
    pub(super) contents: Bytes,
    /// The blob that its hunks changed, and how; `None` if there is no such blob, or the changes
    /// are not small.
    pub(super) changes: Option<(Oid, Changes)>,
}

impl MadeFile {
    /// How many bytes it takes.
    pub(super) fn held_bytes(&self) -> u64 {
        let changes = self.changes.as_ref();
        bytes(self.contents.len()) + changes.map_or(0, |(_, changes)| changes.held_bytes())
    }
}

impl From<Bytes> for MadeFile {
    fn from(contents: Bytes) -> Self {
        Self {
            contents,
            changes: None,
        }
    }
}

/// Contents that a patch made, as kept for later patches and for writing.
#[derive(Clone, Debug)]
pub(super) enum MadeContents {
    /// As they are.
    Whole(Bytes),
    /// As changes to a blob of the store.
    Changed { base: Oid, changes: Arc<Changes> },
}

impl MadeContents {
    /// The contents, if they take no additional memory.
    pub(super) fn whole(&self) -> Option<&Bytes> {
        match self {
            Self::Whole(contents) => Some(contents),
            Self::Changed { .. } => None,
        }
    }

    /// How many bytes there are.
    pub(super) fn size(&self) -> u64 {
        bytes(match self {
            Self::Whole(contents) => contents.len(),
            Self::Changed { changes, .. } => changes.size(),
        })
    }

    /// How many bytes are kept.
    pub(super) fn held_bytes(&self) -> u64 {
        match self {
            Self::Whole(contents) => bytes(contents.len()),
            Self::Changed { changes, .. } => changes.held_bytes(),
        }
    }
}

/// What changed in a text.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    size_before: usize,
    size: usize,
    /// In the order of the text.
    replacements: Vec<Replacement>,
    /// All bytes that were put in, one replacement after the other.
    put: Vec<u8>,
}

/// Bytes that are replaced.
#[derive(Clone, Debug)]
struct Replacement {
    gone: Range<usize>,
    /// Where the bytes in their place end in `put`. They start where the previous ones end.
    put_end: usize,
}

impl Changes {
    /// No changes to a text of a given size.
    pub(super) fn none(size: usize) -> Self {
        Self {
            size_before: size,
            size,
            replacements: Vec::new(),
            put: Vec::new(),
        }
    }

    /// Replaces bytes with lines. The bytes come after all those that are already gone.
    pub(super) fn replace<'a>(&mut self, gone: Range<usize>, lines: impl Iterator<Item = &'a [u8]>) {
        let start = self.put.len();
        lines.for_each(|line| self.put.extend_from_slice(line));
        let put_end = self.put.len();
        self.size = self.size - gone.len() + (put_end - start);
        self.replacements.push(Replacement { gone, put_end });
    }

    /// How many bytes the text has after the changes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// How many bytes the changes take.
    pub(super) fn held_bytes(&self) -> u64 {
        bytes(self.put.len() + self.replacements.len() * size_of::<Replacement>())
    }

    /// Whether they take far less than the text, which is not far smaller than before.
    pub(super) fn are_small(&self) -> bool {
        self.held_bytes() <= bytes(self.size / 4) && self.size_before / 2 <= self.size
    }

    /// How many bytes are held while the text is rebuilt from one in a store, which reads an object
    /// and copies it.
    pub(super) fn held_by_reading(&self) -> u64 {
        bytes(self.size_before).saturating_mul(2) + bytes(self.size)
    }

    /// The text after the changes.
    pub(super) fn apply(&self, before: &[u8]) -> Bytes {
        let mut text = Vec::with_capacity(self.size);
        let (mut read, mut start) = (0, 0);
        for Replacement { gone, put_end } in &self.replacements {
            text.extend_from_slice(before.get(read..gone.start).unwrap_or_default());
            text.extend_from_slice(self.put.get(start..*put_end).unwrap_or_default());
            (read, start) = (gone.end, *put_end);
        }
        text.extend_from_slice(before.get(read..).unwrap_or_default());
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn changes_give_what_replacing_gives(
            before in prop::collection::vec(any::<u8>(), 0..200),
            edits in prop::collection::vec((0..9_usize, 0..9_usize, prop::collection::vec(any::<u8>(), 0..9)), 0..9),
        ) {
            let mut changes = Changes::none(before.len());
            let (mut expected, mut read) = (Vec::new(), 0);
            for (skipped, gone, put) in &edits {
                let start = before.len().min(read + skipped);
                let end = before.len().min(start + gone);
                changes.replace(start..end, put.chunks(2));
                expected.extend_from_slice(&before[read..start]);
                expected.extend_from_slice(put);
                read = end;
            }
            expected.extend_from_slice(&before[read..]);
            prop_assert_eq!(changes.size(), expected.len());
            prop_assert_eq!(changes.apply(&before), expected);
        }
    }

    #[test]
    fn changes_are_small_that_take_less_than_a_quarter() {
        let changed = |size: usize, gone: usize, put: usize| {
            let mut changes = Changes::none(size);
            changes.replace(0..gone, std::iter::once(vec![b'x'; put].as_slice()));
            changes
        };
        assert!(changed(1000, 10, 10).are_small());
        assert!(!changed(1000, 10, 300).are_small());
        assert!(!changed(20, 1, 1).are_small());
        // A file of which little remains is cheaper to keep than to rebuild.
        assert!(changed(1000, 500, 50).are_small());
        assert!(!changed(1000, 800, 10).are_small());
        let changes = changed(1000, 100, 50);
        assert_eq!((changes.held_by_reading(), changes.size()), (2950, 950));
    }
}
