//! The lines of a file: where each starts, and where a given one occurs.

use std::cell::OnceCell;
use std::ops::Range;

use bytes::Bytes;

use super::budget::{Budget, Exceeded, bytes};

/// The most leading bits of a hash by which lines are grouped.
const MOST_GROUP_BITS: u32 = 16;

/// What finding a line of the index costs besides its bytes, in units of effort.
const LOOK_UP: u64 = 64;

/// The lines of a file; the last may lack its line feed. Takes four bytes a line, and twelve once
/// lines are looked up.
#[derive(Debug)]
pub(super) struct Lines {
    contents: Bytes,
    /// Where each line starts, and after them where the last one ends.
    starts: Vec<u32>,
    index: OnceCell<LineIndex>,
}

impl Lines {
    /// Finds the lines. The caller counts the memory, as [`Lines::held_bytes`].
    pub(super) fn new(contents: Bytes, budget: &Budget) -> Result<Self, Exceeded> {
        budget.spend(bytes(contents.len()))?;
        let feeds = count(&contents, b'\n');
        budget.may_hold(bytes_of_places(feeds + 2))?;
        let mut starts = Vec::with_capacity(feeds + 2);
        starts.push(0);
        for_each_feed(&contents, |at| starts.push(place(at + 1)));
        if !contents.is_empty() && !contents.ends_with(b"\n") {
            starts.push(place(contents.len()));
        }
        Ok(Self {
            contents,
            starts,
            index: OnceCell::new(),
        })
    }

    /// The file.
    pub(super) fn contents(&self) -> &Bytes {
        &self.contents
    }

    /// Bytes that the places of the lines take.
    pub(super) fn held_bytes(&self) -> u64 {
        bytes_of_places(self.starts.len())
    }

    /// Bytes that the index takes where there is one.
    pub(super) fn index_bytes(&self) -> u64 {
        bytes(self.len() * size_of::<u64>())
    }

    /// Bytes that the file and all that is known of its lines may take.
    pub(super) fn most_bytes(&self) -> u64 {
        bytes(self.contents.len()) + self.held_bytes() + self.index_bytes()
    }

    /// Whether the index has been built.
    pub(super) fn has_index(&self) -> bool {
        self.index.get().is_some()
    }

    /// The index of the lines, built on first use. The caller counts the memory, as
    /// [`Lines::index_bytes`].
    pub(super) fn index(&self, budget: &Budget) -> Result<&LineIndex, Exceeded> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = LineIndex::new(self, budget)?;
        Ok(self.index.get_or_init(|| index))
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The bytes of some lines; none past the end.
    pub(super) fn slice(&self, lines: Range<usize>) -> &[u8] {
        self.contents.get(self.span(lines)).unwrap_or_default()
    }

    /// Where some lines stand in the file; nowhere past the end.
    pub(super) fn span(&self, lines: Range<usize>) -> Range<usize> {
        let place = |line: usize| self.starts.get(line).and_then(|at| usize::try_from(*at).ok());
        match (place(lines.start), place(lines.end)) {
            (Some(start), Some(end)) => start..end,
            _ => 0..0,
        }
    }

    /// A line; empty past the end.
    pub(super) fn get(&self, line: usize) -> &[u8] {
        self.slice(line..line + 1)
    }
}

/// Which lines are where, sorted. Eight bytes a line: its hash in the upper half, its number in the
/// lower.
#[derive(Debug)]
pub(super) struct LineIndex(Vec<u64>);

impl LineIndex {
    fn new(lines: &Lines, budget: &Budget) -> Result<Self, Exceeded> {
        budget
            .spend(bytes(lines.contents.len()).saturating_add(bytes(lines.len()).saturating_mul(LOOK_UP)))?;
        // Twice as much again is held while it is made.
        budget.may_hold(lines.index_bytes().saturating_mul(3))?;
        let hashes: Vec<u32> = (0..lines.len()).map(|line| hash(lines.get(line))).collect();
        Ok(Self(in_order(&hashes)))
    }

    /// The lines that may be the given one, in order: those with its hash. The caller has to
    /// compare them.
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

/// The entries of an index of lines with these hashes.
///
/// Hashes are spread evenly, so their leading bits put each entry close to its final place.
fn in_order(hashes: &[u32]) -> Vec<u64> {
    let bits = hashes.len().checked_ilog2().unwrap_or(0).min(MOST_GROUP_BITS);
    let group = |hash: u32| usize::try_from(u64::from(hash) << bits >> 32).unwrap_or(usize::MAX);
    // First the size of each group, then where its next entry goes.
    let mut places = vec![0; 1 << bits];
    for hash in hashes {
        places
            .get_mut(group(*hash))
            .into_iter()
            .for_each(|count| *count += 1);
    }
    let mut start = 0;
    for place in &mut places {
        start += std::mem::replace(place, start);
    }
    let mut entries = vec![0; hashes.len()];
    for (number, hash) in (0_u32..).zip(hashes) {
        if let Some(place) = places.get_mut(group(*hash))
            && let Some(entry) = entries.get_mut(*place)
        {
            *entry = u64::from(*hash) << 32 | u64::from(number);
            *place += 1;
        }
    }
    let groups = entries.chunk_by_mut(|one, other| group(upper(*one)) == group(upper(*other)));
    groups.for_each(<[u64]>::sort_unstable);
    entries
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

    /// The lines before the given one, and the others.
    pub(super) fn split_at_line(self, line: usize) -> (Self, Self) {
        let count = self.0.partition_point(|entry| line_number(*entry) < line);
        let (before, after) = self.0.split_at(count);
        (Self(before), Self(after))
    }
}

/// Bytes that so many places of lines take.
fn bytes_of_places(places: usize) -> u64 {
    bytes(places * size_of::<u32>())
}

/// A position in a file; `Limits::file_bytes` keeps files below 4 GiB.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// How often a byte occurs in a text.
///
/// Counts in chunks as long as a byte can count to, so that the sums fit into lanes of a byte.
pub(super) fn count(text: &[u8], byte: u8) -> usize {
    let in_chunk = |chunk: &[u8]| {
        chunk
            .iter()
            .fold(0, |count, other| count + u8::from(*other == byte))
    };
    let counts = text.chunks(u8::MAX.into()).map(in_chunk);
    counts.map(usize::from).sum()
}

/// Calls `found` with the place of each line feed, in order.
///
/// Lines are short, so looking at eight bytes at once beats a search that restarts after each line
/// feed.
fn for_each_feed(text: &[u8], mut found: impl FnMut(usize)) {
    const FEEDS: u64 = u64::from_le_bytes([b'\n'; 8]);
    const LOWER: u64 = u64::from_le_bytes([0x7f; 8]);
    let (words, rest) = text.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        // The highest bit of each byte, set if the byte is a line feed.
        let differing = u64::from_le_bytes(*word) ^ FEEDS;
        let mut feeds = !(((differing & LOWER) + LOWER) | differing | LOWER);
        while feeds != 0 {
            let at = usize::try_from(feeds.trailing_zeros() / u8::BITS).unwrap_or(0);
            found(8 * number + at);
            feeds &= feeds - 1;
        }
    }
    let read = text.len() - rest.len();
    let feeds = (read..).zip(rest).filter(|(_, byte)| **byte == b'\n');
    feeds.for_each(|(at, _)| found(at));
}

fn upper(entry: u64) -> u32 {
    u32::try_from(entry >> 32).unwrap_or(u32::MAX)
}

fn line_number(entry: u64) -> usize {
    usize::try_from(entry & u64::from(u32::MAX)).unwrap_or(usize::MAX)
}

/// A hash for short inputs, as used in compilers. Lines made to collide are only as many candidates
/// as so many equal lines, and comparing them counts as work, which is bounded.
fn hash(line: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |state: u64, word: u64| (state.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = line.as_chunks::<8>();
    let state = words.iter().fold(bytes(line.len()), |state, word| {
        mix(state, u64::from_le_bytes(*word))
    });
    let last = match line.last_chunk::<8>() {
        Some(end) => {
            let read_before = 8 * (end.len() - rest.len());
            u64::from_le_bytes(*end).unbounded_shr(u32::try_from(read_before).unwrap_or(u64::BITS))
        }
        None => rest
            .iter()
            .rev()
            .fold(0, |last, byte| last << 8 | u64::from(*byte)),
    };
    let state = mix(state, last);
    upper(mix(state ^ state >> 32, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Limits;

    #[test]
    fn lines_stand_where_they_start() {
        let budget = Budget::new(&Limits::default());
        let lines = Lines::new(Bytes::from_static(b"a\n\nb"), &budget).unwrap();
        assert_eq!(lines.len(), 3);
        assert_eq!(
            (lines.get(0), lines.get(1), lines.get(2), lines.get(3)),
            (&b"a\n"[..], &b"\n"[..], &b"b"[..], &b""[..])
        );
        assert_eq!(lines.slice(0..2), b"a\n\n");
        assert_eq!(Lines::new(Bytes::new(), &budget).unwrap().len(), 0);
    }

    #[test]
    fn the_index_has_each_line_where_it_stands() {
        let budget = Budget::new(&Limits::default());
        let lines = Lines::new(Bytes::from_static(b"x\ny\nx\nx\n"), &budget).unwrap();
        let index = lines.index(&budget).unwrap();
        let found = index.candidates(b"x\n");
        assert_eq!(found.iter().collect::<Vec<_>>(), [0, 2, 3]);
        let (before, after) = found.split_at_line(2);
        assert_eq!((before.len(), after.len()), (1, 2));
        assert_eq!(index.candidates(b"z\n").len(), 0);
    }

    #[test]
    fn entries_are_in_the_order_of_hashes_and_lines() {
        let spread = |size: u32| (0..size).map(|line| line.wrapping_mul(0x9e37_79b9)).collect();
        let few = (0..3000).map(|line| line % 7).collect();
        let hashes: [Vec<u32>; 6] = [
            Vec::new(),
            vec![7],
            vec![u32::MAX; 300],
            few,
            spread(1000),
            spread(200_000),
        ];
        for hashes in hashes {
            let entries = hashes.iter().zip(0_u64..);
            let mut sorted: Vec<u64> = entries
                .map(|(hash, line)| u64::from(*hash) << 32 | line)
                .collect();
            sorted.sort_unstable();
            assert_eq!(in_order(&hashes), sorted);
        }
    }

    #[test]
    fn lines_that_may_not_be_held_are_refused_before_they_are() {
        let limits = Limits {
            memory_bytes: 1000,
            ..Limits::default()
        };
        let budget = Budget::new(&limits);
        assert_eq!(
            Lines::new(Bytes::from_static(&[b'\n'; 300]), &budget).err(),
            Some(Exceeded::Memory(1000))
        );
        let lines = Lines::new(Bytes::from_static(&[b'\n'; 100]), &budget).unwrap();
        budget.hold(lines.held_bytes()).unwrap();
        assert_eq!(lines.index(&budget).err(), Some(Exceeded::Memory(1000)));
    }

    #[test]
    fn bytes_are_counted_beyond_what_a_byte_counts() {
        for size in [0, 1, 254, 255, 256, 1000] {
            assert_eq!(count(&vec![b'x'; size], b'x'), size);
            assert_eq!(count(&vec![b'x'; size], b'y'), 0);
        }
        assert_eq!(count(b"axbxc", b'x'), 2);
    }

    #[test]
    fn each_line_feed_is_found_wherever_it_stands() {
        let near = [b'\n', 0x0b, 0x09, 0x8a, 0, 0xff, b'x'];
        let mut random = 3_u64;
        for size in 0..200 {
            let next = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                near[usize::try_from(random >> 33).unwrap() % near.len()]
            };
            let text: Vec<u8> = std::iter::repeat_with(next).take(size).collect();
            let mut found = Vec::new();
            for_each_feed(&text, |at| found.push(at));
            let feeds = (0..size).filter(|at| text[*at] == b'\n');
            assert_eq!(found, feeds.collect::<Vec<_>>(), "{text:?}");
        }
    }

    #[test]
    fn hashes_tell_lines_apart() {
        let mut lines: Vec<Vec<u8>> = (0..40).map(|size| vec![0; size]).collect();
        lines.extend((1..=255).map(|byte| vec![byte; 9]));
        lines.extend((0..5000).map(|number| format!("    line {number}\n").into_bytes()));
        // Each position of a byte counts.
        lines.extend((0..24).map(|place| {
            let mut line = vec![b'-'; 24];
            line[place] = b'+';
            line
        }));
        let hashes: std::collections::HashSet<u32> = lines.iter().map(|line| hash(line)).collect();
        assert_eq!(hashes.len(), lines.len());
        // The same on every machine, because the counted work depends on them.
        for (line, expected) in [
            (&b""[..], 0x0000_0000),
            (&b"a line\n"[..], 0x2905_b2a9),
            (&b"    return a longer line\n"[..], 0x0513_917b),
        ] {
            assert_eq!(hash(line), expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn what_lines_hold_is_told() {
        let budget = Budget::new(&Limits::default());
        let lines = Lines::new(Bytes::from_static(b"x\ny\nz"), &budget).unwrap();
        assert_eq!(
            (lines.held_bytes(), lines.index_bytes(), lines.most_bytes()),
            (16, 24, 45)
        );
        assert_eq!(budget.held_bytes(), 0);
        assert!(!lines.has_index());
        lines.index(&budget).unwrap();
        assert!(lines.has_index());
        assert_eq!(lines.contents(), "x\ny\nz");
    }
}
