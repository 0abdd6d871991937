//! Places hunks as GNU patch does: if a hunk fits nowhere, lines of context at its ends are
//! skipped.
//!
//! Stricter than GNU patch in one respect: a hunk of which no line would be compared fits nowhere.

use std::collections::HashMap;

use super::compare::lines;
use super::work::{Exceeded, Work, units};

/// A hunk, as a patch has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FuzzyHunk<'a> {
    /// The first line of the preimage, from 1, as its header says.
    pub(crate) old_start: u64,
    /// Its lines without the marker, each with what the hunk does to it.
    pub(crate) lines: Vec<(LineKind, &'a [u8])>,
}

/// What a hunk does to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineKind {
    /// It keeps the line.
    Context,
    /// It removes the line.
    Removed,
    /// It adds the line.
    Added,
}

/// A file with the hunks in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fuzzed {
    /// The file.
    pub(crate) contents: Vec<u8>,
    /// The most lines of context that were skipped at an end of a hunk.
    pub(crate) fuzz: usize,
    /// The line of the file, from 1, where the first hunk went that needed this fuzz.
    pub(crate) line: usize,
}

/// Puts hunks into a file; `None` where one fits nowhere.
pub(crate) fn apply(
    file: &[u8],
    hunks: &[FuzzyHunk<'_>],
    most: usize,
    work: &Work,
) -> Result<Option<Fuzzed>, Exceeded> {
    work.read(file)?;
    let file_lines = lines(file);
    let mut search = Search {
        tokens: Tokens::default(),
        file: Vec::new(),
        frozen: 0,
        offset: 0,
        work,
    };
    search.file = file_lines.iter().map(|line| search.tokens.token(line)).collect();
    let mut fuzzed = Fuzzed {
        contents: Vec::with_capacity(file.len()),
        fuzz: 0,
        line: 0,
    };
    let mut done = 0;
    for hunk in hunks {
        let pattern = Pattern::new(hunk, &mut search.tokens);
        work.spend(units(hunk.lines.len()))?;
        let Some((place, fuzz)) = search.find(&pattern, most)? else {
            return Ok(None);
        };
        if fuzz > fuzzed.fuzz {
            (fuzzed.fuzz, fuzzed.line) = (fuzz, place + 1);
        }
        let mut at = place;
        for (kind, line) in &hunk.lines {
            match kind {
                LineKind::Context => at += 1,
                LineKind::Removed => {
                    copy(&mut fuzzed.contents, &file_lines, done..at);
                    at += 1;
                    done = at;
                }
                LineKind::Added => {
                    copy(&mut fuzzed.contents, &file_lines, done..at);
                    done = at.max(done);
                    push(&mut fuzzed.contents, line);
                }
            }
        }
        search.frozen = done;
    }
    copy(&mut fuzzed.contents, &file_lines, done..file_lines.len());
    Ok(Some(fuzzed))
}

fn copy(into: &mut Vec<u8>, lines: &[&[u8]], range: std::ops::Range<usize>) {
    for line in lines.get(range).unwrap_or_default() {
        push(into, line);
    }
}

/// Adds a line; a line before it that has no line feed gets one, as with GNU patch.
fn push(into: &mut Vec<u8>, line: &[u8]) {
    if into.last().is_some_and(|last| *last != b'\n') {
        into.push(b'\n');
    }
    into.extend_from_slice(line);
}

/// Numbers for lines, so that they are compared fast.
#[derive(Default)]
struct Tokens<'a>(HashMap<&'a [u8], u32>);

impl<'a> Tokens<'a> {
    fn token(&mut self, line: &'a [u8]) -> u32 {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(line).or_insert(next)
    }
}

/// What a hunk expects.
struct Pattern {
    lines: Vec<u32>,
    /// The line, from 1, where it belongs according to its header.
    first: i64,
    /// How many lines of context it begins with.
    prefix: usize,
    /// How many lines of context it ends with.
    suffix: usize,
}

impl Pattern {
    fn new<'a>(hunk: &FuzzyHunk<'a>, tokens: &mut Tokens<'a>) -> Self {
        let is_context = |line: &&(LineKind, &[u8])| line.0 == LineKind::Context;
        let old = hunk.lines.iter().filter(|(kind, _)| *kind != LineKind::Added);
        let lines: Vec<u32> = old.map(|(_, line)| tokens.token(line)).collect();
        // A header names an empty place by the line before it.
        let appended = u64::from(lines.is_empty());
        Self {
            first: i64::try_from(hunk.old_start.saturating_add(appended)).unwrap_or(i64::MAX),
            prefix: hunk.lines.iter().take_while(is_context).count(),
            suffix: hunk.lines.iter().rev().take_while(is_context).count(),
            lines,
        }
    }
}

/// The search for the places of a file's hunks.
struct Search<'a, 'w> {
    tokens: Tokens<'a>,
    file: Vec<u32>,
    /// How many lines of the file earlier hunks have changed or passed.
    frozen: usize,
    /// How far the previous hunk went from where it said.
    offset: i64,
    work: &'w Work,
}

impl Search<'_, '_> {
    /// Where a hunk goes, as a line from 0, and with which fuzz.
    fn find(&mut self, pattern: &Pattern, most: usize) -> Result<Option<(usize, usize)>, Exceeded> {
        let context = pattern.prefix.max(pattern.suffix);
        for fuzz in 0..=most.min(context) {
            let compared = pattern.lines.len();
            let skipped = |side: usize| (fuzz + side).saturating_sub(context);
            if compared <= skipped(pattern.prefix) + skipped(pattern.suffix) {
                return Ok(None);
            }
            if let Some(offset) = self.locate(pattern, fuzz, context)? {
                self.offset += offset;
                let line = pattern.first.saturating_add(self.offset).saturating_sub(1);
                return Ok(usize::try_from(line).ok().map(|line| (line, fuzz)));
            }
        }
        Ok(None)
    }

    /// How far from its expected place a hunk fits (`locate_hunk` of GNU patch).
    fn locate(&self, pattern: &Pattern, fuzz: usize, context: usize) -> Result<Option<i64>, Exceeded> {
        let signed = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let skip = |side: usize| signed(fuzz) + signed(side) - signed(context);
        let (mut before, after) = (skip(pattern.prefix), skip(pattern.suffix));
        let (file, lines) = (signed(self.file.len()), signed(pattern.lines.len()));
        let guess = pattern.first.saturating_add(self.offset);
        let (last, first) = (file - (lines - after) + 1, signed(self.frozen) + 1);
        let most_down = last.saturating_sub(guess);
        let most_up = guess.saturating_sub(first).min(guess.saturating_sub(1));
        let fits = |offset: i64, before: i64, after: i64| {
            self.fits(pattern, guess.saturating_add(offset), before.max(0), after.max(0))
        };
        if before < 0 && pattern.first <= 1 {
            // It belongs to the start of the file.
            let is_whole = lines == file && pattern.prefix >= self.frozen;
            if after < 0 && !is_whole {
                return Ok(None);
            }
            let offset = 1_i64.saturating_sub(guess);
            let may = self.frozen <= pattern.prefix && offset <= most_down;
            return Ok((may && fits(offset, 0, after)?).then_some(offset));
        }
        before = before.max(0);
        if after < 0 {
            // It belongs to the end of the file.
            let up = guess.saturating_sub(file - lines + 1);
            return Ok((up <= most_up && fits(-up, before, 0)?).then_some(-up));
        }
        let nearest = if most_down < 0 {
            guess.saturating_sub(last)
        } else if guess < first {
            first.saturating_sub(guess)
        } else {
            0
        };
        for distance in nearest..=most_down.max(most_up) {
            if distance <= most_down && fits(distance, before, after)? {
                return Ok(Some(distance));
            }
            if 0 < distance && distance <= most_up && fits(-distance, before, after)? {
                return Ok(Some(-distance));
            }
        }
        Ok(None)
    }

    /// Whether a hunk fits at a line, from 1, without its first `before` and last `after` lines.
    fn fits(&self, pattern: &Pattern, line: i64, before: i64, after: i64) -> Result<bool, Exceeded> {
        self.work.spend(1)?;
        let number = |signed: i64| usize::try_from(signed).ok();
        let Some(((start, before), after)) = number(line - 1).zip(number(before)).zip(number(after)) else {
            return Ok(false);
        };
        let end = pattern.lines.len().saturating_sub(after);
        let (Some(expected), Some(found)) = (
            pattern.lines.get(before..end),
            self.file.get(start + before..start + end),
        ) else {
            return Ok(false);
        };
        if expected.first() != found.first() {
            return Ok(false);
        }
        self.work.spend(units(expected.len()))?;
        Ok(expected == found)
    }
}
