//! A file being patched: its original lines, and the places where hunks put others.
//!
//! What a hunk left is never matched again, so each hunk replaces original lines. They are kept as
//! they are, with a list of what replaces which. Hunks mostly come in the order of the file, so the
//! list has a gap at the last change, and the numbers after the gap count from the file's end.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;

use super::budget::{Budget, Exceeded, bytes};
use super::lines::{LineIndex, Lines};
use super::made::Changes;
use super::parse::{Direction, Hunk, Side};

/// What a look at a place costs besides the bytes, in units of effort.
const LOOK: u64 = 32;

/// A file being patched.
#[derive(Debug)]
pub(super) struct PatchedFile<'a> {
    pub(super) budget: &'a Budget,
    base: Rc<Lines>,
    /// Whether the index of the original lines is counted as held.
    holds_index: Cell<bool>,
    /// What hunks left before the gap, in the order of the file.
    before: Vec<Replaced<'a>>,
    /// What hunks left after the gap, in reverse order.
    after: Vec<Replaced<'a>>,
    len: usize,
    held: u64,
}

/// Lines that a hunk left in place of others.
#[derive(Clone, Copy, Debug)]
struct Replaced<'a> {
    /// The original lines that are gone.
    base: (usize, usize),
    /// How many lines are before it; after the gap, how many there are from its start to the end of
    /// the file.
    at: usize,
    left: Left<'a>,
}

/// Some of the lines that a hunk leaves.
#[derive(Clone, Copy, Debug)]
struct Left<'a> {
    hunk: &'a Hunk<'a>,
    direction: Direction,
    skip: usize,
    count: usize,
}

impl<'a> Left<'a> {
    fn lines(self) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.hunk.lines(Side::New, self.direction);
        lines.skip(self.skip).take(self.count)
    }
}

/// Where in the file a preimage has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// Anywhere.
    None,
    /// At the end of the file.
    End,
}

/// Consecutive lines of an image that are of one kind.
enum LineRun<'a> {
    /// Original lines.
    Base(Range<usize>),
    /// Lines that a hunk left.
    Left(Left<'a>),
}

/// What a hunk expects, as one text.
#[derive(Debug)]
pub(super) struct Preimage<'a> {
    budget: &'a Budget,
    hunk: &'a Hunk<'a>,
    direction: Direction,
    bytes: Vec<u8>,
    /// How many lines it has.
    pub(super) lines: usize,
    /// How many of them come before the first that lacks its line feed.
    complete: usize,
}

impl<'a> Preimage<'a> {
    pub(super) fn new(
        hunk: &'a Hunk<'a>,
        direction: Direction,
        budget: &'a Budget,
    ) -> Result<Self, Exceeded> {
        let size = bytes(hunk.text.len());
        budget.spend(size.saturating_mul(2))?;
        budget.hold(size)?;
        let mut preimage = Self {
            budget,
            hunk,
            direction,
            bytes: Vec::with_capacity(hunk.text.len()),
            lines: 0,
            complete: 0,
        };
        for line in hunk.lines(Side::Old, direction) {
            preimage.bytes.extend_from_slice(line);
            if preimage.complete == preimage.lines && line.ends_with(b"\n") {
                preimage.complete += 1;
            }
            preimage.lines += 1;
        }
        Ok(preimage)
    }

    /// Which way the hunk is applied.
    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    /// The lines, one by one.
    pub(super) fn each(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.hunk.lines(Side::Old, self.direction)
    }

    /// The lines before the first that lacks its line feed: wherever the hunk fits, the file has
    /// exactly these.
    pub(super) fn exact(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.each().take(self.complete)
    }
}

impl Drop for Preimage<'_> {
    fn drop(&mut self) {
        self.budget.release(bytes(self.hunk.text.len()));
    }
}

impl<'a> PatchedFile<'a> {
    pub(super) fn new(base: Rc<Lines>, budget: &'a Budget) -> Result<Self, Exceeded> {
        budget.hold(base.held_bytes())?;
        Ok(Self {
            budget,
            len: base.len(),
            held: base.held_bytes(),
            base,
            holds_index: Cell::new(false),
            before: Vec::new(),
            after: Vec::new(),
        })
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The index of the original lines, built on first use.
    pub(super) fn index(&self) -> Result<&LineIndex, Exceeded> {
        let index = self.base.index(self.budget)?;
        if !self.holds_index.get() {
            self.budget.hold(self.base.index_bytes())?;
            self.holds_index.set(true);
        }
        Ok(index)
    }

    /// Whether the index has been built.
    pub(super) fn has_index(&self) -> bool {
        self.base.has_index()
    }

    /// How many replacements there are.
    pub(super) fn replaced(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// A replacement, by its number in the order of the file, and where it starts.
    fn replacement(&self, number: usize) -> Option<(&Replaced<'a>, usize)> {
        if let Some(replaced) = self.before.get(number) {
            return Some((replaced, replaced.at));
        }
        let from_end = self.replaced().checked_sub(number + 1)?;
        let replaced = self.after.get(from_end)?;
        Some((replaced, self.len - replaced.at))
    }

    /// How many replacements satisfy a condition that holds for the first ones and for none after
    /// them.
    fn count_first(&self, condition: impl Fn(&Replaced<'a>, usize) -> bool) -> usize {
        let (mut low, mut high) = (0, self.replaced());
        while low < high {
            let middle = low.midpoint(high);
            if self
                .replacement(middle)
                .is_some_and(|(replaced, at)| condition(replaced, at))
            {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Where the lines after the first `count` replacements start: in the image, and in the
    /// original file.
    fn behind(&self, count: usize) -> (usize, usize) {
        match count.checked_sub(1).and_then(|last| self.replacement(last)) {
            Some((replaced, at)) => (at + replaced.left.count, replaced.base.1),
            None => (0, 0),
        }
    }

    /// The runs of lines from a place on.
    fn runs(&self, place: usize) -> impl Iterator<Item = LineRun<'a>> {
        let mut next = self.count_first(|_, at| at <= place);
        let mut place = place;
        std::iter::from_fn(move || {
            loop {
                let (end, base) = self.behind(next);
                if place < end
                    && let Some((replaced, at)) = next.checked_sub(1).and_then(|last| self.replacement(last))
                {
                    let passed = place - at;
                    place = end;
                    return Some(LineRun::Left(Left {
                        skip: replaced.left.skip + passed,
                        count: replaced.left.count - passed,
                        ..replaced.left
                    }));
                }
                let start = base + (place - end);
                let stop = self
                    .replacement(next)
                    .map_or(self.base.len(), |(replaced, _)| replaced.base.0);
                if start < stop {
                    place += stop - start;
                    return Some(LineRun::Base(start..stop));
                }
                if next >= self.replaced() {
                    return None;
                }
                next += 1;
            }
        })
    }

    /// The lines from a place on.
    pub(super) fn lines(&self, place: usize) -> impl Iterator<Item = &[u8]> {
        self.runs(place).flat_map(move |run| {
            let (base, left) = match run {
                LineRun::Base(lines) => (Some(lines), None),
                LineRun::Left(left) => (None, Some(left)),
            };
            let base = base.into_iter().flatten().map(|line| self.base.get(line));
            base.chain(left.into_iter().flat_map(Left::lines))
        })
    }

    /// The lines that hunks left, each with its place.
    pub(super) fn left(&self) -> impl Iterator<Item = (usize, &'a [u8])> {
        (0..self.replaced())
            .filter_map(|number| self.replacement(number))
            .flat_map(|(replaced, at)| (at..).zip(replaced.left.lines()))
    }

    /// Whether an original line is the given one.
    pub(super) fn is_line(&self, number: usize, line: &[u8]) -> bool {
        self.base.get(number) == line
    }

    /// Where an original line is, if it is still there.
    pub(super) fn place_of(&self, line: usize) -> Option<usize> {
        let count = self.count_first(|replaced, _| replaced.base.1 <= line);
        if self
            .replacement(count)
            .is_some_and(|(replaced, _)| replaced.base.0 <= line)
        {
            return None;
        }
        let (end, base) = self.behind(count);
        Some(end + (line - base))
    }

    /// The first original line at or after a place.
    pub(super) fn base_from(&self, place: usize) -> usize {
        let (end, base) = self.behind(self.count_first(|_, at| at <= place));
        base + place.saturating_sub(end)
    }

    /// Whether a preimage matches at a place, in lines that no hunk left.
    pub(super) fn matches(&self, old: &Preimage<'_>, place: usize, anchor: Anchor) -> Result<bool, Exceeded> {
        self.budget.spend(LOOK)?;
        if place + old.lines > self.len || (anchor == Anchor::End && place + old.lines != self.len) {
            return Ok(false);
        }
        if old.complete < old.lines {
            return self.matches_across_lines(old, place, anchor);
        }
        let (mut wanted, mut left) = (old.bytes.as_slice(), old.lines);
        for run in self.runs(place) {
            if left == 0 {
                break;
            }
            let LineRun::Base(lines) = run else {
                return Ok(false);
            };
            let end = lines.end.min(lines.start.saturating_add(left));
            let here = self.base.slice(lines.start..end);
            // Most places differ in their first bytes.
            let alike = here.iter().take(8).eq(wanted.iter().take(here.len().min(8)));
            if !alike {
                return Ok(false);
            }
            self.budget.spend(bytes(here.len().min(wanted.len())))?;
            let Some(rest) = wanted.strip_prefix(here) else {
                return Ok(false);
            };
            wanted = rest;
            left -= end - lines.start;
        }
        Ok(left == 0 && wanted.is_empty())
    }

    /// Matches a preimage that has a line without line feed. Git compares bytes, not lines: it can
    /// match where the bytes agree, and the lines do too except for white space. So a last line
    /// without line feed matches one with it.
    fn matches_across_lines(
        &self,
        old: &Preimage<'_>,
        place: usize,
        anchor: Anchor,
    ) -> Result<bool, Exceeded> {
        let (mut wanted, mut lines) = (old.bytes.as_slice(), old.each());
        let mut left = old.lines;
        for run in self.runs(place) {
            if left == 0 {
                break;
            }
            let LineRun::Base(base) = run else {
                return Ok(false);
            };
            for number in base.take(left) {
                let line = self.base.get(number);
                self.budget.spend(bytes(line.len()).saturating_add(LOOK))?;
                let expected = lines.next().unwrap_or_default();
                if !visible(line).eq(visible(expected)) {
                    return Ok(false);
                }
                match wanted.strip_prefix(line) {
                    Some(rest) => wanted = rest,
                    None if anchor == Anchor::None && line.starts_with(wanted) => wanted = b"",
                    None => return Ok(false),
                }
                left -= 1;
            }
        }
        Ok(left == 0 && wanted.is_empty())
    }

    /// Replaces the lines that a hunk expects, and that are at a place, with those that it leaves.
    pub(super) fn replace(&mut self, place: usize, old: &Preimage<'a>) -> Result<(), Exceeded> {
        let size = bytes(old.hunk.text.len());
        self.budget.spend(size)?;
        let held = bytes(2 * size_of::<Replaced<'_>>());
        self.budget.hold(held)?;
        self.held += held;
        let left = Left {
            hunk: old.hunk,
            direction: old.direction,
            skip: 0,
            count: old.hunk.lines(Side::New, old.direction).count(),
        };
        self.move_gap(place)?;
        let (end, base) = self.behind(self.before.len());
        let start = base + (place - end);
        let mut stop = start + old.lines;
        // Replacements that left nothing can be between lines that another hunk expects.
        while let Some(next) = self.after.last().copied()
            && self.len - next.at < place + old.lines
        {
            stop = next.base.1 + (place + old.lines - (self.len - next.at));
            self.after.pop();
        }
        self.before.push(Replaced {
            base: (start, stop),
            at: place,
            left,
        });
        self.len = self.len - old.lines + left.count;
        Ok(())
    }

    /// Moves the gap to a place. What a hunk left there is split.
    fn move_gap(&mut self, place: usize) -> Result<(), Exceeded> {
        let mut moved = 0;
        while let Some(last) = self.before.last().copied()
            && last.at + last.left.count > place
        {
            self.before.pop();
            moved += 1;
            if last.at < place {
                let kept = place - last.at;
                self.before.push(Replaced {
                    left: Left {
                        count: kept,
                        ..last.left
                    },
                    ..last
                });
                self.after.push(Replaced {
                    base: (last.base.1, last.base.1),
                    at: self.len - place,
                    left: Left {
                        skip: last.left.skip + kept,
                        count: last.left.count - kept,
                        ..last.left
                    },
                });
                break;
            }
            self.after.push(Replaced {
                at: self.len - last.at,
                ..last
            });
        }
        while let Some(next) = self.after.last().copied()
            && self.len - next.at + next.left.count <= place
        {
            self.after.pop();
            moved += 1;
            self.before.push(Replaced {
                at: self.len - next.at,
                ..next
            });
        }
        if let Some(next) = self.after.last().copied()
            && self.len - next.at < place
        {
            let at = self.len - next.at;
            let kept = place - at;
            self.after.pop();
            self.before.push(Replaced {
                at,
                left: Left {
                    count: kept,
                    ..next.left
                },
                ..next
            });
            self.after.push(Replaced {
                base: (next.base.1, next.base.1),
                at: self.len - place,
                left: Left {
                    skip: next.left.skip + kept,
                    count: next.left.count - kept,
                    ..next.left
                },
            });
        }
        self.budget.spend(LOOK.saturating_mul(moved))
    }

    /// What the hunks changed.
    pub(super) fn changes(&self) -> Changes {
        let mut changes = Changes::none(self.base.contents().len());
        for (replaced, _) in (0..self.replaced()).filter_map(|number| self.replacement(number)) {
            let (start, end) = replaced.base;
            changes.replace(self.base.span(start..end), replaced.left.lines());
        }
        changes
    }

    /// The file's contents after its `changes`.
    pub(super) fn contents(&self, changes: &Changes) -> Bytes {
        changes.apply(self.base.contents())
    }
}

impl Drop for PatchedFile<'_> {
    fn drop(&mut self) {
        let index = if self.holds_index.get() {
            self.base.index_bytes()
        } else {
            0
        };
        self.budget.release(self.held + index);
    }
}

/// The bytes of a line that are not white space.
pub(super) fn visible(line: &[u8]) -> impl Iterator<Item = u8> {
    line.iter()
        .copied()
        .filter(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
}
