//! The lines of a file: where each starts, and which stand where.

use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;

use bstr::ByteSlice;

use super::budget::{Budget, Exceeded, bytes};

/// What finding a line of the index costs besides its bytes, in units of effort.
const LOOK_UP: u64 = 64;

/// The lines of a file; the last may lack its line feed. Four bytes a line.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    contents: &'a [u8],
    /// Where each line starts, and after them where the last one ends.
    starts: Vec<u32>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(contents: &'a [u8], budget: &Budget) -> Result<Self, Exceeded> {
        budget.spend(bytes(contents.len()))?;
        let feeds = count(contents, b'\n');
        budget.hold_all::<u32>(feeds + 2)?;
        let mut starts = Vec::with_capacity(feeds + 2);
        let mut place = 0;
        while place < contents.len() {
            // A file is smaller than 4 GiB by `Limits::file_bytes`.
            starts.push(u32::try_from(place).unwrap_or(u32::MAX));
            let rest = contents.get(place..).unwrap_or_default();
            place += rest.find_byte(b'\n').map_or(rest.len(), |at| at + 1);
        }
        starts.push(u32::try_from(place).unwrap_or(u32::MAX));
        Ok(Self { contents, starts })
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The bytes of some lines; none past the end.
    pub(super) fn slice(&self, lines: Range<usize>) -> &'a [u8] {
        let place = |line: usize| self.starts.get(line).and_then(|at| usize::try_from(*at).ok());
        match (place(lines.start), place(lines.end)) {
            (Some(start), Some(end)) => self.contents.get(start..end).unwrap_or_default(),
            _ => b"",
        }
    }

    /// A line; empty past the end.
    pub(super) fn get(&self, line: usize) -> &'a [u8] {
        self.slice(line..line + 1)
    }
}

/// Which lines stand where. Eight bytes a line: its hash in the upper half, its number in the
/// lower, in order.
#[derive(Debug)]
pub(super) struct LineIndex(Vec<u64>);

impl LineIndex {
    pub(super) fn new(lines: &Lines<'_>, budget: &Budget) -> Result<Self, Exceeded> {
        budget
            .spend(bytes(lines.contents.len()).saturating_add(bytes(lines.len()).saturating_mul(LOOK_UP)))?;
        budget.hold_all::<u64>(lines.len())?;
        let mut entries: Vec<u64> = (0_u32..)
            .take(lines.len())
            .zip(0..)
            .map(|(number, line)| u64::from(hash(lines.get(line))) << 32 | u64::from(number))
            .collect();
        entries.sort_unstable();
        Ok(Self(entries))
    }

    /// The lines that may be the given one, in order: those with its hash. They are still to be
    /// compared.
    pub(super) fn candidates(&self, line: &[u8]) -> Candidates<'_> {
        let wanted = hash(line);
        let start = self.0.partition_point(|entry| upper(*entry) < wanted);
        let rest = self.0.get(start..).unwrap_or_default();
        let count = rest.partition_point(|entry| upper(*entry) == wanted);
        Candidates(rest.get(..count).unwrap_or_default())
    }

    /// What [`LineIndex::candidates`] costs, in units of effort.
    pub(super) fn cost(line: &[u8]) -> u64 {
        bytes(line.len()).saturating_add(LOOK_UP)
    }
}

/// Numbers of lines, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidates<'i>(&'i [u64]);

impl<'i> Candidates<'i> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(self) -> impl DoubleEndedIterator<Item = usize> + use<'i> {
        self.0.iter().map(|entry| line_number(*entry))
    }

    /// Those before a line, and the others.
    pub(super) fn split_at_line(self, line: usize) -> (Self, Self) {
        let count = self.0.partition_point(|entry| line_number(*entry) < line);
        let (before, after) = self.0.split_at(count);
        (Self(before), Self(after))
    }
}

/// How often a byte stands in a text.
pub(super) fn count(text: &[u8], byte: u8) -> usize {
    text.iter().map(|found| usize::from(*found == byte)).sum()
}

fn upper(entry: u64) -> u32 {
    u32::try_from(entry >> 32).unwrap_or(u32::MAX)
}

fn line_number(entry: u64) -> usize {
    usize::try_from(entry & u64::from(u32::MAX)).unwrap_or(usize::MAX)
}

fn hash(line: &[u8]) -> u32 {
    let mut hasher = DefaultHasher::new();
    hasher.write(line);
    upper(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Limits;

    #[test]
    fn lines_stand_where_they_start() {
        let budget = Budget::new(&Limits::default());
        let lines = Lines::new(b"a\n\nb", &budget).unwrap();
        assert_eq!(lines.len(), 3);
        assert_eq!(
            (lines.get(0), lines.get(1), lines.get(2), lines.get(3)),
            (&b"a\n"[..], &b"\n"[..], &b"b"[..], &b""[..])
        );
        assert_eq!(lines.slice(0..2), b"a\n\n");
        assert_eq!(Lines::new(b"", &budget).unwrap().len(), 0);
    }

    #[test]
    fn the_index_has_each_line_where_it_stands() {
        let budget = Budget::new(&Limits::default());
        let lines = Lines::new(b"x\ny\nx\nx\n", &budget).unwrap();
        let index = LineIndex::new(&lines, &budget).unwrap();
        let found = index.candidates(b"x\n");
        assert_eq!(found.iter().collect::<Vec<_>>(), [0, 2, 3]);
        let (before, after) = found.split_at_line(2);
        assert_eq!((before.len(), after.len()), (1, 2));
        assert_eq!(index.candidates(b"z\n").len(), 0);
    }

    #[test]
    fn lines_that_may_not_be_held_are_refused_before_they_are() {
        let limits = Limits {
            memory_bytes: 1000,
            ..Limits::default()
        };
        let budget = Budget::new(&limits);
        assert_eq!(
            Lines::new(&[b'\n'; 300], &budget).err(),
            Some(Exceeded::Memory(1000))
        );
        let lines = Lines::new(&[b'\n'; 100], &budget).unwrap();
        assert_eq!(
            LineIndex::new(&lines, &budget).err(),
            Some(Exceeded::Memory(1000))
        );
    }
}
