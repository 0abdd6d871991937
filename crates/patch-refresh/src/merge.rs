//! Three-way merges of texts, with the verdict and the result of `git merge-file`.

use std::ops::Range;

use super::compare::{Change, Sliders, changes, lines};
use super::options::RefreshLimits;
use super::work::{Exceeded, Work, units};

/// A merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    /// It has no conflict.
    Clean(Vec<u8>),
    /// Both sides changed lines that touch, in different ways.
    Conflict {
        /// The first such line of ours, from 1.
        line: usize,
    },
}

/// How much of the start of a file Git looks at to tell whether it is binary.
const BINARY_LOOK: usize = 8000;

/// Whether Git takes a file for binary (`buffer_is_binary` in its xdiff-interface.c).
pub(crate) fn is_binary(contents: &[u8]) -> bool {
    contents.iter().take(BINARY_LOOK).any(|byte| *byte == 0)
}

/// Merges the changes from `base` to `theirs` into `ours`.
///
/// Changes that touch in the base are a conflict unless both sides result in the same lines: the
/// rule of `git merge-file` and `git apply --3way` (`XDL_MERGE_ZEALOUS`).
pub(crate) fn merge(base: &[u8], ours: &[u8], theirs: &[u8], work: &Work) -> Result<Merge, Exceeded> {
    let our_changes = changes(base, ours, Sliders::Down, work)?;
    let their_changes = changes(base, theirs, Sliders::Down, work)?;
    work.spend(units(ours.len()))?;
    let (our_lines, their_lines) = (lines(ours), lines(theirs));
    let mut merged = Vec::with_capacity(ours.len());
    // How many lines of ours are in the result, or replaced in it.
    let mut done = 0;
    for region in regions(&our_changes, &their_changes) {
        let our_side = side(&our_changes, &region.ours, &region.base);
        let their_side = side(&their_changes, &region.theirs, &region.base);
        let our_part = our_lines.get(our_side.clone()).unwrap_or_default();
        let their_part = their_lines.get(their_side.clone()).unwrap_or_default();
        if region.ours.is_empty() {
            let kept = our_lines.get(done..our_side.start).unwrap_or_default();
            merged.extend(kept.iter().chain(their_part).copied().flatten());
            done = our_side.end;
        } else if !region.theirs.is_empty() && our_part != their_part {
            return Ok(Merge::Conflict {
                line: our_side.start + 1,
            });
        }
    }
    let rest = our_lines.get(done..).unwrap_or_default();
    merged.extend(rest.iter().copied().flatten());
    Ok(Merge::Clean(merged))
}

/// A merge with its conflicts marked in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedMerge {
    /// The text, with `<<<<<<<`, `|||||||`, `=======` and `>>>>>>>` around each conflict.
    pub text: Vec<u8>,
    /// How many conflicts it has.
    pub conflicts: usize,
}

/// What follows the markers of a conflict.
#[derive(Clone, Copy, Debug)]
pub struct MergeLabels<'a> {
    /// The existing file.
    pub ours: &'a str,
    /// The file for which the change was made.
    pub base: &'a str,
    /// That file after the change.
    pub theirs: &'a str,
}

/// Merges the changes from `base` to `theirs` into `ours`, with conflicts as `git merge-file
/// --diff3` marks them; `None` where they are binary or too large to be merged.
#[must_use]
pub fn marked_merge(
    base: &[u8],
    ours: &[u8],
    theirs: &[u8],
    labels: &MergeLabels<'_>,
) -> Option<MarkedMerge> {
    if [base, ours, theirs].into_iter().any(is_binary) {
        return None;
    }
    let work = Work::new(RefreshLimits::default(), 0);
    let our_changes = changes(base, ours, Sliders::Down, &work).ok()?;
    let their_changes = changes(base, theirs, Sliders::Down, &work).ok()?;
    let (base_lines, our_lines, their_lines) = (lines(base), lines(ours), lines(theirs));
    let mut merged = MarkedMerge {
        text: Vec::with_capacity(ours.len()),
        conflicts: 0,
    };
    let mut done = 0;
    for region in regions(&our_changes, &their_changes) {
        let our_side = side(&our_changes, &region.ours, &region.base);
        let their_side = side(&their_changes, &region.theirs, &region.base);
        let our_part = our_lines.get(our_side.clone()).unwrap_or_default();
        let their_part = their_lines.get(their_side.clone()).unwrap_or_default();
        let kept = our_lines.get(done..our_side.start).unwrap_or_default();
        merged.text.extend(kept.iter().copied().flatten());
        done = our_side.end;
        if region.ours.is_empty() {
            merged.text.extend(their_part.iter().copied().flatten());
        } else if region.theirs.is_empty() || our_part == their_part {
            merged.text.extend(our_part.iter().copied().flatten());
        } else {
            let base_part = base_lines.get(region.base.clone()).unwrap_or_default();
            let has_crlf = marker_ends_in_crlf(
                (&our_lines, our_side.start),
                (&their_lines, their_side.start),
                &base_lines,
            );
            let line_end: &[u8] = if has_crlf { b"\r\n" } else { b"\n" };
            let parts = [
                ("<<<<<<<", labels.ours, our_part),
                ("|||||||", labels.base, base_part),
                ("=======", "", their_part),
            ];
            for (marker, label, part) in parts {
                push_marker(&mut merged.text, marker, label, line_end);
                push_lines(&mut merged.text, part, line_end);
            }
            push_marker(&mut merged.text, ">>>>>>>", labels.theirs, line_end);
            merged.conflicts += 1;
        }
    }
    let rest = our_lines.get(done..).unwrap_or_default();
    merged.text.extend(rest.iter().copied().flatten());
    Some(merged)
}

/// Whether markers end in CRLF: they do if the lines before the conflict on both sides do, and the
/// first line of the base (`is_cr_needed` in Git's xmerge.c).
fn marker_ends_in_crlf(ours: (&[&[u8]], usize), theirs: (&[&[u8]], usize), base: &[&[u8]]) -> bool {
    let before = |(lines, start): (&[&[u8]], usize)| ends_in_crlf(lines, start.saturating_sub(1));
    let mut answer = before(ours);
    if answer != Some(false) {
        answer = before(theirs);
    }
    if answer != Some(false) {
        answer = ends_in_crlf(base, 0);
    }
    answer == Some(true)
}

/// Whether a line ends in CRLF; for a last line without an end, whether the one before does. `None`
/// if nothing tells (`is_eol_crlf` in Git's xmerge.c).
fn ends_in_crlf(lines: &[&[u8]], at: usize) -> Option<bool> {
    let line = lines.get(at)?;
    if line.ends_with(b"\n") {
        return Some(line.ends_with(b"\r\n"));
    }
    let before = lines.get(at.checked_sub(1)?)?;
    Some(before.ends_with(b"\r\n"))
}

fn push_marker(text: &mut Vec<u8>, marker: &str, label: &str, line_end: &[u8]) {
    text.extend_from_slice(marker.as_bytes());
    if !label.is_empty() {
        text.push(b' ');
        text.extend_from_slice(label.as_bytes());
    }
    text.extend_from_slice(line_end);
}

/// Adds lines of a side, and ends the last if it has no end, so that the marker begins a line.
fn push_lines(text: &mut Vec<u8>, part: &[&[u8]], line_end: &[u8]) {
    text.extend(part.iter().copied().flatten());
    if part.last().is_some_and(|line| !line.ends_with(b"\n")) {
        text.extend_from_slice(line_end);
    }
}

/// Changes of both sides that touch each other, or one that touches none.
#[derive(Debug)]
struct Region {
    /// The lines of the base.
    base: Range<usize>,
    /// Which of our changes.
    ours: Range<usize>,
    /// Which of their changes.
    theirs: Range<usize>,
}

fn regions(ours: &[Change], theirs: &[Change]) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    let (mut our_next, mut their_next) = (0, 0);
    loop {
        let (our_change, their_change) = (ours.get(our_next), theirs.get(their_next));
        let is_ours = match (our_change, their_change) {
            (Some(one), Some(other)) => one.before.start <= other.before.start,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return regions,
        };
        let Some(change) = (if is_ours { our_change } else { their_change }) else {
            return regions;
        };
        let touches = |region: &&mut Region| change.before.start <= region.base.end;
        if let Some(region) = regions.last_mut().filter(touches) {
            region.base.end = region.base.end.max(change.before.end);
        } else {
            regions.push(Region {
                base: change.before.clone(),
                ours: our_next..our_next,
                theirs: their_next..their_next,
            });
        }
        if is_ours {
            our_next += 1;
        } else {
            their_next += 1;
        }
        if let Some(region) = regions.last_mut() {
            (region.ours.end, region.theirs.end) = (our_next, their_next);
        }
    }
}

/// The lines of a side that correspond to lines of the base, where the given changes are all that
/// touch them.
fn side(changes: &[Change], inside: &Range<usize>, base: &Range<usize>) -> Range<usize> {
    let behind = |count: usize, line: usize| match count.checked_sub(1).and_then(|last| changes.get(last)) {
        Some(change) => change.after.end + line.saturating_sub(change.before.end),
        None => line,
    };
    behind(inside.start, base.start)..behind(inside.end, base.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(base: &str, ours: &str, theirs: &str) -> Result<String, usize> {
        let work = Work::new(RefreshLimits::default(), 0);
        match merge(base.as_bytes(), ours.as_bytes(), theirs.as_bytes(), &work).unwrap() {
            Merge::Clean(merged) => Ok(String::from_utf8(merged).unwrap()),
            Merge::Conflict { line } => Err(line),
        }
    }

    #[test]
    fn changes_apart_are_merged() {
        assert_eq!(
            merged("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n"),
            Ok("A\nb\nC\n".into())
        );
        assert_eq!(merged("a\nb\nc\n", "b\nc\n", "a\nb\nc"), Ok("b\nc".into()));
        assert_eq!(merged("a\n", "a\n", ""), Ok(String::new()));
    }

    #[test]
    fn changes_that_touch_are_a_conflict_unless_they_are_the_same() {
        assert_eq!(merged("a\nb\n", "A\nb\n", "a\nB\n"), Err(1));
        assert_eq!(merged("a\nb\n", "A\nB\n", "A\nb\n"), Err(1));
        assert_eq!(merged("a\nb\n", "A\nb\n", "A\nb\n"), Ok("A\nb\n".into()));
        assert_eq!(merged("z\na\n", "0\nz\na\nx\n", "z\na\ny\n"), Err(4));
    }
}
