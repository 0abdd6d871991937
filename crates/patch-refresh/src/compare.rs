//! Which lines of two texts differ.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bstr::ByteSlice;
use gix_imara_diff::sources::byte_lines;
use gix_imara_diff::{Algorithm, Diff, InternedInput};

use super::work::{Exceeded, Work, units};

/// Lines that others replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Lines of the first text, from 0.
    pub(crate) before: Range<usize>,
    /// The lines of the second text in their place.
    pub(crate) after: Range<usize>,
}

/// Where to put changes that could just as well be some lines further up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sliders {
    /// Where the indentation suggests it, as in `git diff`.
    ByIndentation,
    /// As far down as they go, as in `git merge-file`.
    Down,
}

/// The lines of a text, with their line feeds.
pub(crate) fn lines(text: &[u8]) -> Vec<&[u8]> {
    byte_lines(text).collect()
}

/// The changes from one text to another, in order, by Git's default algorithm.
pub(crate) fn changes(
    before: &[u8],
    after: &[u8],
    sliders: Sliders,
    work: &Work,
) -> Result<Vec<Change>, Exceeded> {
    work.read(before)?;
    work.read(after)?;
    work.spend(search_cost(before, after))?;
    let compared = catch_unwind(AssertUnwindSafe(|| {
        let input = InternedInput::new(byte_lines(before), byte_lines(after));
        let mut diff = Diff::compute(Algorithm::Myers, &input);
        match sliders {
            Sliders::ByIndentation => diff.postprocess_lines(&input),
            Sliders::Down => diff.postprocess_no_heuristic(&input),
        }
        let range = |range: Range<u32>| -> Option<Range<usize>> {
            Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
        };
        let change = |hunk: gix_imara_diff::Hunk| {
            Some(Change {
                before: range(hunk.before)?,
                after: range(hunk.after)?,
            })
        };
        diff.hunks().map(change).collect::<Option<Vec<_>>>()
    }));
    compared.ok().flatten().ok_or(Exceeded::Library)
}

/// What the search between the first and the last difference costs at worst: it looks at all lines
/// there as often as Git's heuristics allow.
fn search_cost(before: &[u8], after: &[u8]) -> u64 {
    const LEAST_LOOKS: u64 = 256;
    /// What a look costs on texts with few distinct lines, which are the worst.
    const LOOK: u64 = 8;
    let same = |(one, other): &(&u8, &u8)| one == other;
    let head = before.iter().zip(after).take_while(same).count();
    let rest = |text: &[u8]| text.len().saturating_sub(head);
    let tail = before
        .iter()
        .rev()
        .zip(after.iter().rev())
        .take(rest(before).min(rest(after)))
        .take_while(same)
        .count();
    let middle = |text: &[u8]| {
        let middle = text.get(head..text.len() - tail).unwrap_or_default();
        units(middle.lines().count() + 1)
    };
    let lines = middle(before) + middle(after);
    let looks = lines.isqrt().max(LEAST_LOOKS).min(lines);
    lines.saturating_mul(looks).saturating_mul(LOOK)
}
