//! Three-way merges of texts, with the verdict and the result of `git merge-file`.

use std::ops::Range;

use super::compare::{Change, Sliders, changes, lines};
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
/// Changes that touch in the base are a conflict but where both sides come to the same lines: the
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
        let their_part = their_lines.get(their_side).unwrap_or_default();
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

/// The lines of a side that stand for lines of the base, where the given changes are all that touch
/// these.
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
    use crate::options::RefreshLimits;

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
