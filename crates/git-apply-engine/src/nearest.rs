//! What a report shows of a hunk that does not fit: what it expects, what is there, and the place
//! that resembles it most.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::budget::bytes;
use super::lines::{Candidates, LineIndex};
use super::parse::{Hunk, Side};
use super::patched_file::{PatchedFile, Preimage, visible};
use super::place::expected_place;
use super::report::{NEIGHBOURS, NearestMatch, Rejection, readable};

/// The most lines that a report shows of each side of a conflict.
const SHOWN_LINES: usize = 60;

/// The most bytes that it shows of a line.
const SHOWN_BYTES: usize = 4096;

/// The most places of expected lines that are compared for the nearest match.
const MOST_PLACES: usize = 4_000_000;

/// How many places are counted before the first check whether one of them has won.
const FIRST_LOOK: usize = 16;

/// What it costs to count one such place, in units of effort.
const COUNTED: u64 = 32;

/// Describes a hunk that does not fit.
pub(super) fn rejection(image: &PatchedFile<'_>, hunk: &Hunk<'_>, old: &Preimage<'_>) -> Rejection {
    let count = image.len();
    let direction = old.direction();
    let line = match hunk.start(Side::Old, direction) {
        0 | 1 => 0,
        _ => usize::try_from(expected_place(hunk.start(Side::New, direction)))
            .map_or(count, |place| place.min(count)),
    };
    let (expected, found) = (shown(old.each(), old.lines), shown(image.lines(line), old.lines));
    let sizes = [&expected, &found]
        .into_iter()
        .flatten()
        .map(|line| bytes_of_line(line));
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
fn bytes_of_line(line: &str) -> u64 {
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

/// The place where most of the expected lines are, in their order; among equals, the one closest to
/// where the hunk was expected.
fn nearest(image: &PatchedFile<'_>, old: &Preimage<'_>, expected: usize) -> Option<NearestMatch> {
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
    if !budget.may_show(found.iter().map(|line| bytes_of_line(line)).sum()) {
        return None;
    }
    let first = place.saturating_sub(NEIGHBOURS);
    let mut before = shown(image.lines(first), place - first);
    let mut after = shown(image.lines(place + found.len()), NEIGHBOURS);
    let around = before.iter().chain(&after).map(|line| bytes_of_line(line)).sum();
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

/// An expected line that is not blank.
struct Wanted<'a, 'i> {
    /// Its position among the lines that the hunk expects.
    at: usize,
    line: &'a [u8],
    /// The original lines that may be it.
    candidates: Candidates<'i>,
}

/// The place where most of the expected lines that are not blank are, each in its position.
///
/// Each line that is found votes for where the hunk would then start, the rarest lines first. As
/// soon as the remaining lines are too few to put another place first, the places with votes are
/// compared, so that lines that occur everywhere are mostly not counted.
fn resembling(image: &PatchedFile<'_>, old: &Preimage<'_>, expected: usize) -> Option<usize> {
    let mut wanted = lines_to_find(image, old)?;
    wanted.sort_by_key(|line| line.candidates.len());
    let mut places = votes_of_left(image, &wanted)?;
    let mut next_look = FIRST_LOOK;
    let mut left = wanted.as_slice();
    while let Some((line, others)) = left.split_first() {
        let count = line.candidates.len();
        if places.len() + count > next_look {
            next_look = 2 * (places.len() + count);
            places.sort_unstable();
            if let Some(likely) = likely(&places, left.len())
                && likely.len().saturating_mul(old.lines)
                    <= left.iter().map(|line| line.candidates.len()).sum()
            {
                return compared(image, old, &likely, expected);
            }
        }
        let work = count.saturating_mul(line.line.len() / 64 + 2);
        if !image.budget.may_describe(bytes(work).saturating_mul(COUNTED)) {
            return None;
        }
        let found = line
            .candidates
            .iter()
            .filter(|found| image.is_line(*found, line.line));
        let found = found.filter_map(|found| image.place_of(found));
        vote(&mut places, found, line.at)?;
        left = others;
    }
    places.sort_unstable();
    let runs = places.chunk_by(|one, other| one == other);
    closest(runs.filter_map(|run| Some((start_of(run)?, run.len()))), expected)
}

/// The expected lines that are not blank, and where they may be.
fn lines_to_find<'a, 'i>(image: &'i PatchedFile<'_>, old: &Preimage<'a>) -> Option<Vec<Wanted<'a, 'i>>> {
    let index = image.index().ok()?;
    let mut wanted = Vec::new();
    for (at, line) in old.each().enumerate() {
        if !image.budget.may_describe(LineIndex::cost(line)) {
            return None;
        }
        if visible(line).next().is_some() {
            let candidates = index.candidates(line);
            wanted.push(Wanted { at, line, candidates });
        }
    }
    Some(wanted)
}

/// The votes of the lines that hunks left.
fn votes_of_left(image: &PatchedFile<'_>, wanted: &[Wanted<'_, '_>]) -> Option<Vec<u32>> {
    let mut places = Vec::new();
    if image.replaced() == 0 {
        return Some(places);
    }
    let mut positions: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for line in wanted {
        positions.entry(line.line).or_default().push(line.at);
    }
    for (place, line) in image.left() {
        if !image.budget.may_describe(LineIndex::cost(line)) {
            return None;
        }
        for at in positions.get(line).into_iter().flatten() {
            vote(&mut places, std::iter::once(place), *at)?;
        }
    }
    Some(places)
}

/// Adds where the hunk would start for each place where its line `at` was found; `None` if there
/// are too many.
fn vote(places: &mut Vec<u32>, found: impl Iterator<Item = usize>, at: usize) -> Option<()> {
    let starts = found.filter_map(|found| u32::try_from(found.checked_sub(at)?).ok());
    places.extend(starts.take(MOST_PLACES + 1 - places.len()));
    (places.len() <= MOST_PLACES).then_some(())
}

/// The places that can still win if `left` lines have not voted; `None` if one without votes can.
/// `places` is sorted.
fn likely(places: &[u32], left: usize) -> Option<Vec<usize>> {
    let runs = || places.chunk_by(|one, other| one == other);
    let most = runs().map(<[u32]>::len).max().unwrap_or(0);
    let may_win = runs().filter(|run| run.len() + left >= most);
    (left < most).then(|| may_win.filter_map(start_of).collect())
}

/// The place that wins among some, by comparing each.
fn compared(image: &PatchedFile<'_>, old: &Preimage<'_>, places: &[usize], expected: usize) -> Option<usize> {
    let work = bytes(places.len().saturating_mul(old.lines)).saturating_mul(COUNTED);
    let size: usize = old.each().map(<[u8]>::len).sum();
    let work = work.saturating_add(bytes(places.len().saturating_mul(size)));
    if !image.budget.may_describe(work) {
        return None;
    }
    let matching = |place: usize| {
        let both = old.each().zip(image.lines(place));
        both.filter(|(line, here)| line == here && visible(line).next().is_some())
            .count()
    };
    closest(places.iter().map(|place| (*place, matching(*place))), expected)
}

/// The place with the most matching lines, of places and their counts; among equals, the one
/// closest to where the hunk was expected.
fn closest(places: impl Iterator<Item = (usize, usize)>, expected: usize) -> Option<usize> {
    let ranked = places.map(|(place, count)| (count, Reverse(place.abs_diff(expected)), place));
    ranked.max().map(|(.., place)| place)
}

fn start_of(run: &[u32]) -> Option<usize> {
    usize::try_from(*run.first()?).ok()
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::budget::Budget;
    use crate::lines::Lines;
    use crate::options::{Limits, Options};
    use crate::parse::{Content, Direction, parse};

    /// The place reported for a hunk that expects these lines; nothing if it takes too much work.
    fn told(file: &str, expected: &[&str], at: usize, effort: u64) -> Option<usize> {
        told_with_work(file, expected, at, effort).0
    }

    /// The same, and the work that it took.
    fn told_with_work(file: &str, expected: &[&str], at: usize, effort: u64) -> (Option<usize>, u64) {
        let context: String = expected.iter().flat_map(|line| [" ", line]).collect();
        let count = expected.len();
        let text = format!(
            "--- a/f\n+++ b/f\n@@ -9,{count} +9,{} @@\n{context}+new\n",
            count + 1
        );
        let limits = Limits {
            effort,
            ..Limits::default()
        };
        let budget = Budget::new(&limits);
        let patches = parse(text.as_bytes(), &Options::default(), &budget).unwrap();
        let Content::Text(hunks) = &*patches[0].content else {
            panic!("text")
        };
        let lines = Lines::new(file.to_owned().into(), &budget).unwrap();
        let image = PatchedFile::new(Rc::new(lines), &budget).unwrap();
        let old = Preimage::new(&hunks[0], Direction::Forward, &budget).unwrap();
        (resembling(&image, &old, at), budget.described())
    }

    /// The same, found by checking each place.
    fn by_looking(file: &str, expected: &[&str], at: usize) -> Option<usize> {
        let lines: Vec<&str> = file.split_inclusive('\n').collect();
        let matching = |place: usize| {
            let both = lines.iter().skip(place).zip(expected);
            both.filter(|(here, line)| here == line && !line.trim().is_empty())
                .count()
        };
        let places = (0..lines.len()).map(|place| (matching(place), Reverse(place.abs_diff(at)), place));
        places
            .max()
            .filter(|(count, ..)| *count > 0)
            .map(|(.., place)| place)
    }

    /// Pseudorandom numbers, the same in each run.
    struct Draws(u64);

    impl Draws {
        fn below(&mut self, most: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(self.0 >> 33).unwrap() % most
        }

        /// Some lines of a file, some of them changed, removed, or taken from elsewhere.
        fn resembling<'l>(&mut self, lines: &[&'l str]) -> Vec<&'l str> {
            let (start, size) = (self.below(lines.len()), 1 + self.below(40));
            let (often, mut expected) = (1 + self.below(12), Vec::new());
            for line in lines.iter().skip(start).take(size) {
                match self.below(often) {
                    0 => expected.push("stands nowhere\n"),
                    1 => expected.push(lines[self.below(lines.len())]),
                    2 => {}
                    3 => expected.extend([*line, *line]),
                    _ => expected.push(line),
                }
            }
            expected
        }
    }

    #[test]
    fn what_is_told_is_what_a_look_at_each_place_finds() {
        const SOURCES: [&str; 4] = [
            include_str!("place.rs"),
            include_str!("parse/header.rs"),
            include_str!("report.rs"),
            include_str!("../tests/apply/reports.rs"),
        ];
        let mut draw = Draws(3);
        let (mut found, mut total) = (0, 0);
        for round in 0..200 {
            let made: String;
            let file = if round % 2 == 0 {
                SOURCES[draw.below(SOURCES.len())]
            } else {
                // Some lines are everywhere, and others occur once.
                let mut line = || match draw.below(4) {
                    0 => "}\n".to_owned(),
                    1 => format!("{}\n", draw.below(3)),
                    _ => format!("line {}\n", draw.below(900)),
                };
                made = (0..600).map(|_| line()).collect();
                &made
            };
            let lines: Vec<&str> = file.split_inclusive('\n').collect();
            let expected = draw.resembling(&lines);
            let at = draw.below(lines.len() + 9);
            let nearest = by_looking(file, &expected, at);
            assert_eq!(
                told(file, &expected, at, u64::MAX),
                nearest,
                "{expected:?} at {at}"
            );
            found += usize::from(nearest.is_some());
            total += 1;
        }
        assert!(found > 150, "{found} of {total}");
    }

    #[test]
    fn lines_that_stand_everywhere_are_counted_only_where_the_rare_ones_leave_it_open() {
        let common = "    )\n".repeat(50_000);
        let rare: Vec<String> = (0..9).map(|line| format!("line {line}\n")).collect();
        let file = format!("{common}{}{common}", rare.concat());
        let mut expected: Vec<&str> = rare.iter().map(String::as_str).collect();
        let effort = 16 << 20;
        assert_eq!(told(&file, &expected, 0, effort), Some(50_000));
        // With seven of these the hunk says little more than with two.
        expected.extend(["    )\n"; 7]);
        assert_eq!(told(&file, &expected, 0, effort), Some(50_000));
        let common = ["    )\n"; 7];
        assert_eq!(told(&file, &common, 0, effort), None);
        assert_eq!(told(&file, &common, 9, u64::MAX), Some(9));
    }

    /// The work to look up expected lines, to count this many places, and to compare one.
    fn work(expected: &[&str], counted: u64) -> u64 {
        let size: usize = expected.iter().map(|line| line.len()).sum();
        let looked_up = expected
            .iter()
            .map(|line| LineIndex::cost(line.as_bytes()))
            .sum::<u64>();
        looked_up + counted * 2 * COUNTED + bytes(expected.len()) * COUNTED + bytes(size)
    }

    #[test]
    fn lines_are_counted_until_those_left_are_too_few() {
        const COMMON: &str = "    )\n";
        let rare: Vec<String> = (0..9).map(|line| format!("line {line}\n")).collect();
        // The number of rare lines, how often the common one occurs in the file, and how many
        // places are counted: the nine, before a look at sixteen; those and the seven that make
        // sixteen; the seven, after the first look was inconclusive, and two more lines until the
        // next one.
        for (rares, times, counted) in [(9, 100, 9), (9, 7, 16), (7, 100, 207)] {
            let rare = &rare[..rares];
            let above = COMMON.repeat(3);
            let file = format!("{above}{}{}", rare.concat(), COMMON.repeat(times - 3));
            let mut expected: Vec<&str> = rare.iter().map(String::as_str).collect();
            expected.extend([COMMON; 7]);
            let (place, spent) = told_with_work(&file, &expected, 0, u64::MAX);
            assert_eq!(
                (place, spent),
                (Some(3), work(&expected, counted)),
                "{rares} {times}"
            );
        }
    }

    #[test]
    fn long_lines_take_more_work() {
        let line = format!("{}\n", "x".repeat(640));
        let (place, spent) = told_with_work(&line, &[&line], 0, u64::MAX);
        assert_eq!(
            (place, spent),
            (Some(0), LineIndex::cost(line.as_bytes()) + 12 * COUNTED)
        );
    }

    #[test]
    fn places_that_may_win_are_those_that_the_lines_left_may_put_first() {
        let votes = [3, 3, 3, 3, 5, 7, 7, 7, 9, 9];
        assert_eq!(likely(&votes, 0), Some(vec![3]));
        assert_eq!(likely(&votes, 1), Some(vec![3, 7]));
        assert_eq!(likely(&votes, 2), Some(vec![3, 7, 9]));
        assert_eq!(likely(&votes, 3), Some(vec![3, 5, 7, 9]));
        // A place without a vote may have as many.
        assert_eq!(likely(&votes, 4), None);
        assert_eq!(likely(&[], 0), None);
    }

    #[test]
    fn votes_are_for_where_the_hunk_would_start() {
        let mut places = vec![1];
        assert_eq!(vote(&mut places, [2, 3, 9].into_iter(), 3), Some(()));
        assert_eq!(places, [1, 0, 6]);
        let mut many = vec![0; MOST_PLACES - 1];
        assert_eq!(vote(&mut many, [5].into_iter(), 0), Some(()));
        assert_eq!(many.len(), MOST_PLACES);
        // No more are taken than needed to show that they are too many.
        assert_eq!(vote(&mut many, 5..500, 0), None);
        assert_eq!(many.len(), MOST_PLACES + 1);
    }
}
