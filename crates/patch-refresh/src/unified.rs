//! Writes hunks as `git diff` does.

use std::ops::Range;

use super::compare::{Change, Sliders, changes, lines};
use super::options::RefreshLimits;
use super::work::{Exceeded, Work};

/// How hunks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HunkStyle {
    /// How many unchanged lines stand around changes.
    pub(crate) context: usize,
    /// What follows a hunk's line numbers.
    pub(crate) heading: Heading,
}

/// What follows a hunk's line numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heading {
    /// The last line before it that looks like the start of a function.
    Function,
    /// Nothing.
    None,
}

/// Returns the difference of two texts as a diff of a file, as `git diff` writes it; `None` if they
/// are too large to be compared.
#[must_use]
pub fn unified_diff(path: &str, before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
    let hunks = unified_hunks(before, after)?;
    let header = format!("--- a/{path}\n+++ b/{path}\n");
    Some(if hunks.is_empty() {
        hunks
    } else {
        [header.as_bytes(), &hunks].concat()
    })
}

/// Returns the hunks that turn one text into another, as `git diff` writes them, and nothing if
/// they are the same; `None` if they are too large to be compared.
#[must_use]
pub fn unified_hunks(before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
    let style = HunkStyle {
        context: 3,
        heading: Heading::Function,
    };
    let work = Work::new(RefreshLimits::default(), 0);
    hunks(before, after, style, &work).ok()
}

/// The hunks that turn one text into another; nothing if they are the same.
pub(crate) fn hunks(before: &[u8], after: &[u8], style: HunkStyle, work: &Work) -> Result<Vec<u8>, Exceeded> {
    let changes = changes(before, after, Sliders::ByIndentation, work)?;
    let (old, new) = (lines(before), lines(after));
    let mut text = Vec::new();
    let mut searched = Function::default();
    for group in groups(&changes, style.context) {
        let Some(ranges) = ranges(group, old.len(), new.len(), style.context) else {
            continue;
        };
        let heading = match style.heading {
            Heading::Function => searched.before(&old, ranges.0.start),
            Heading::None => b"",
        };
        text.extend_from_slice(header(&ranges.0, &ranges.1).as_bytes());
        if !heading.is_empty() {
            text.push(b' ');
            text.extend_from_slice(heading);
        }
        text.push(b'\n');
        let mut at = ranges.0.start;
        for change in group {
            write(&mut text, b' ', &old, at..change.before.start);
            write(&mut text, b'-', &old, change.before.clone());
            write(&mut text, b'+', &new, change.after.clone());
            at = change.before.end;
        }
        write(&mut text, b' ', &old, at..ranges.0.end);
    }
    Ok(text)
}

/// Changes whose context touches or overlaps.
fn groups(changes: &[Change], context: usize) -> impl Iterator<Item = &[Change]> {
    changes.chunk_by(move |one, next| {
        next.before.start.saturating_sub(one.before.end) <= context.saturating_mul(2)
    })
}

/// The lines of both sides that a hunk shows.
fn ranges(group: &[Change], old: usize, new: usize, context: usize) -> Option<(Range<usize>, Range<usize>)> {
    let (first, last) = (group.first()?, group.last()?);
    let above = context.min(first.before.start);
    let below = context.min(old.saturating_sub(last.before.end));
    Some((
        first.before.start - above..last.before.end + below,
        first.after.start.saturating_sub(above)..(last.after.end + below).min(new),
    ))
}

/// `@@ -1,3 +1,4 @@`
fn header(old: &Range<usize>, new: &Range<usize>) -> String {
    let numbers = |range: &Range<usize>| match range.len() {
        0 => format!("{},0", range.start),
        1 => (range.start + 1).to_string(),
        count => format!("{},{count}", range.start + 1),
    };
    format!("@@ -{} +{} @@", numbers(old), numbers(new))
}

fn write(text: &mut Vec<u8>, marker: u8, lines: &[&[u8]], range: Range<usize>) {
    for line in lines.get(range).unwrap_or_default() {
        text.push(marker);
        text.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            text.extend_from_slice(b"\n\\ No newline at end of file\n");
        }
    }
}

/// The last line that looks like the start of a function, as `def_ff` of Git's xdiff knows it.
#[derive(Default)]
struct Function {
    searched: usize,
    found: Option<usize>,
}

impl Function {
    fn before<'a>(&mut self, lines: &[&'a [u8]], place: usize) -> &'a [u8] {
        const MOST_SHOWN: usize = 80;
        let starts = |line: &[u8]| {
            let first = line.first();
            first.is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$'))
        };
        let new = lines.get(self.searched..place).unwrap_or_default();
        if let Some(at) = new.iter().rposition(|line| starts(line)) {
            self.found = Some(self.searched + at);
        }
        self.searched = place;
        let line = self
            .found
            .and_then(|at| lines.get(at))
            .copied()
            .unwrap_or_default();
        let shown = line.get(..MOST_SHOWN).unwrap_or(line);
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let end = shown
            .iter()
            .rposition(|byte| !blank(byte))
            .map_or(0, |last| last + 1);
        shown.get(..end).unwrap_or_default()
    }
}
