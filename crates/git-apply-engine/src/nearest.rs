//! What a report shows of a hunk that does not fit: what it expects, what stands there, and the
//! place that resembles it most.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::budget::bytes;
use super::lines::LineIndex;
use super::parse::{Hunk, Side};
use super::patched_file::{PatchedFile, Preimage, visible};
use super::place::expected_place;
use super::report::{NEIGHBOURS, NearestMatch, Rejection, readable};

/// The most lines of a conflict that a report shows of each side.
const SHOWN_LINES: usize = 60;

/// The most bytes that it shows of a line.
const SHOWN_BYTES: usize = 4096;

/// The most places of expected lines that are compared for the nearest match.
const MOST_PLACES: usize = 4_000_000;

/// What it costs to count one such place, in units of effort.
const COUNTED: u64 = 32;

/// Describes a hunk that does not fit.
pub(super) fn rejection<'a>(image: &mut PatchedFile<'a>, hunk: &Hunk<'_>, old: &Preimage<'a>) -> Rejection {
    let count = image.len();
    let direction = old.direction();
    let line = match hunk.start(Side::Old, direction) {
        0 | 1 => 0,
        _ => usize::try_from(expected_place(hunk.start(Side::New, direction)))
            .map_or(count, |place| place.min(count)),
    };
    let (expected, found) = (shown(old.each(), old.lines), shown(image.lines(line), old.lines));
    let sizes = [&expected, &found].into_iter().flatten().map(|line| held(line));
    if !image.budget.may_show(sizes.sum()) {
        return Rejection {
            line: line + 1,
            expected: Vec::new(),
            found: Vec::new(),
            nearest: None,
            lines_left_out: true,
        };
    }
    Rejection {
        line: line + 1,
        expected,
        found,
        nearest: nearest(image, old, line),
        lines_left_out: false,
    }
}

/// Bytes that a shown line takes.
fn held(line: &str) -> u64 {
    bytes(line.len() + size_of::<String>())
}

fn shown<'l>(lines: impl Iterator<Item = &'l [u8]>, count: usize) -> Vec<String> {
    lines
        .take(count.min(SHOWN_LINES))
        .map(|line| match line.get(..SHOWN_BYTES) {
            Some(start) if line.len() > SHOWN_BYTES + 1 => format!("{}…", readable(start)),
            _ => readable(line),
        })
        .collect()
}

/// The place where most of the expected lines stand in their order; the closest to where the hunk
/// was expected of those with as many.
fn nearest(image: &mut PatchedFile<'_>, old: &Preimage<'_>, expected: usize) -> Option<NearestMatch> {
    if old.lines == 0 {
        return None;
    }
    let place = resembling(image, old, expected)?;
    let budget = image.budget;
    let same: Vec<bool> = {
        let mut here = image.lines(place);
        let mut same = Vec::new();
        for line in old.each() {
            if !budget.may_describe(bytes(line.len()).saturating_add(COUNTED)) {
                return None;
            }
            same.push(here.next() == Some(line));
        }
        same
    };
    let found = shown(image.lines(place), old.lines);
    if !budget.may_show(found.iter().map(|line| held(line)).sum()) {
        return None;
    }
    let first = place.saturating_sub(NEIGHBOURS);
    let mut before = shown(image.lines(first), place - first);
    let mut after = shown(image.lines(place + found.len()), NEIGHBOURS);
    let around = before.iter().chain(&after).map(|line| held(line)).sum();
    if !budget.may_show_surroundings(around) {
        before.clear();
        after.clear();
    }
    Some(NearestMatch {
        before,
        after,
        line: place + 1,
        matching: same.iter().filter(|same| **same).count(),
        differs_at: same.iter().position(|same| !same).map_or(old.lines, |at| at + 1),
        found,
    })
}

/// The place where most of the expected lines that are not blank stand, each in its place.
fn resembling(image: &mut PatchedFile<'_>, old: &Preimage<'_>, expected: usize) -> Option<usize> {
    let budget = image.budget;
    // Which lines are expected, and where in the hunk.
    let mut wanted: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (at, line) in old.each().enumerate() {
        if !budget.may_describe(LineIndex::cost(line)) {
            return None;
        }
        if visible(line).next().is_some() {
            wanted.entry(line).or_default().push(at);
        }
    }
    image.index().ok()?;
    let image = &*image;
    let index = image.known_index()?;
    let mut places: Vec<u32> = Vec::new();
    let mut count = |place: usize, at: &[usize]| {
        let starts = at.iter().filter_map(|at| place.checked_sub(*at));
        places.extend(starts.filter_map(|start| u32::try_from(start).ok()));
        places.len() <= MOST_PLACES
    };
    for (line, at) in &wanted {
        let candidates = index.candidates(line);
        let compared = candidates.len().saturating_mul(at.len() + line.len() / 64 + 1);
        if candidates.len().saturating_mul(at.len()) > MOST_PLACES
            || !budget.may_describe(bytes(compared).saturating_mul(COUNTED))
        {
            return None;
        }
        for found in candidates.iter() {
            if image.is_line(found, line)
                && let Some(place) = image.place_of(found)
                && !count(place, at)
            {
                return None;
            }
        }
    }
    for (place, line) in image.left() {
        if !budget.may_describe(LineIndex::cost(line)) {
            return None;
        }
        if let Some(at) = wanted.get(line)
            && !count(place, at)
        {
            return None;
        }
    }
    places.sort_unstable();
    let runs = places.chunk_by(|one, other| one == other);
    let best = runs.filter_map(|run| {
        let place = usize::try_from(*run.first()?).ok()?;
        Some((run.len(), Reverse(place.abs_diff(expected)), place))
    });
    best.max().map(|(.., place)| place)
}
