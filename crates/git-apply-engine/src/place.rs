//! Where hunks go, by the rules of Git's apply.c: first where the hunk says, then further and
//! further away in both directions, at the start or end of the file where its context says so, and
//! without fuzz.

use super::budget::Exceeded;
use super::lines::{Candidates, LineIndex};
use super::parse::{Direction, Hunk, Side};
use super::patched_file::{Anchor, PatchedFile, Preimage};
use super::report::HunkOutcome;

/// How many lines away from the place that a hunk names are tried before the index of all lines is
/// built.
const NEAR: usize = 64;

/// How many lines of a hunk are looked up in the index to find a rare one.
const LOOKED_UP: usize = 256;

/// Applies a hunk and returns where it went, or leaves the file unchanged and returns what the hunk
/// expects.
pub(super) fn place<'a>(
    image: &mut PatchedFile<'a>,
    hunk: &'a Hunk<'a>,
    direction: Direction,
) -> Result<Result<HunkOutcome, Preimage<'a>>, Exceeded> {
    let old = Preimage::new(hunk, direction, image.budget)?;
    let expected = expected_place(hunk.start(Side::New, direction));
    let Some(place) = find(image, hunk, direction, &old)? else {
        return Ok(Err(old));
    };
    image.replace(place, &old)?;
    Ok(Ok(HunkOutcome::Placed {
        line: place + 1,
        offset: distance(place, expected),
    }))
}

/// `find_pos` of Git's apply.c.
fn find(
    image: &PatchedFile<'_>,
    hunk: &Hunk<'_>,
    direction: Direction,
    old: &Preimage<'_>,
) -> Result<Option<usize>, Exceeded> {
    let count = image.len();
    let at_start = hunk.start(Side::Old, direction) <= 1;
    let anchor = if hunk.has_trailing_context {
        Anchor::None
    } else {
        Anchor::End
    };
    if at_start || anchor == Anchor::End {
        // Only the first or the last place can match; a search would find no other.
        let only = if at_start {
            Some(0)
        } else {
            count.checked_sub(old.lines)
        };
        return match only {
            Some(only) if image.matches(old, only, anchor)? => Ok(Some(only)),
            _ => Ok(None),
        };
    }
    let expected = expected_place(hunk.start(Side::New, direction));
    let start = usize::try_from(expected).map_or(count, |place| place.min(count));
    if image.matches(old, start, Anchor::None)? {
        return Ok(Some(start));
    }
    let has_exact = old.exact().next().is_some();
    let furthest = start.max(count - start);
    let looked_at = if !has_exact {
        // Without a line that has to match exactly, there is nothing to look up.
        furthest
    } else if image.has_index() {
        0
    } else {
        furthest.min(NEAR)
    };
    for distance in 1..=looked_at {
        if image.matches(old, start + distance, Anchor::None)? {
            return Ok(Some(start + distance));
        }
        if let Some(above) = start.checked_sub(distance)
            && image.matches(old, above, Anchor::None)?
        {
            return Ok(Some(above));
        }
    }
    if furthest <= looked_at {
        return Ok(None);
    }
    find_by_index(image, old, start)
}

/// The place nearest to `start`, below before above, where a preimage matches.
///
/// It can only match where its rarest line is, and the index has the places of that line.
fn find_by_index(
    image: &PatchedFile<'_>,
    old: &Preimage<'_>,
    start: usize,
) -> Result<Option<usize>, Exceeded> {
    let budget = image.budget;
    let index = image.index()?;
    let mut rarest: Option<(usize, Candidates<'_>)> = None;
    for (at, line) in old.exact().enumerate().take(LOOKED_UP) {
        budget.spend(LineIndex::cost(line))?;
        let found = index.candidates(line);
        if rarest.is_none_or(|(_, fewest)| found.len() < fewest.len()) {
            rarest = Some((at, found));
        }
        if found.len() == 0 {
            return Ok(None);
        }
    }
    let Some((at, found)) = rarest else {
        return Ok(None);
    };
    let (above, below) = found.split_at_line(image.base_from(start + at));
    let place = |line: usize| image.place_of(line).and_then(|place| place.checked_sub(at));
    let mut below = below.iter().filter_map(place).peekable();
    let mut above = above.iter().rev().filter_map(place).peekable();
    loop {
        let next = match (below.peek(), above.peek()) {
            (Some(one), Some(other)) if other.abs_diff(start) < one.abs_diff(start) => above.next(),
            (Some(_), _) => below.next(),
            (None, _) => above.next(),
        };
        match next {
            None => return Ok(None),
            Some(place) if image.matches(old, place, Anchor::None)? => return Ok(Some(place)),
            Some(_) => {}
        }
    }
}

/// The place that a hunk's header names, as Git's `int` holds it.
pub(super) fn expected_place(new_start: u64) -> i64 {
    #[allow(clippy::cast_possible_truncation, reason = "Git keeps the lower 32 bits")]
    #[allow(clippy::cast_possible_wrap, reason = "Git keeps the lower 32 bits")]
    let place = new_start.saturating_sub(1) as i32;
    place.into()
}

fn distance(place: usize, expected: i64) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX).saturating_sub(expected)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::budget::Budget;
    use crate::lines::Lines;
    use crate::nearest;
    use crate::options::{Limits, Options};
    use crate::parse::{Content, parse};
    use crate::report::{HunkOutcome, HunkReport};

    /// Applies the hunks of a diff to one file; the reports alone if one does not fit.
    fn apply(file: &str, hunks: &str) -> Result<(String, Vec<HunkReport>), Vec<HunkReport>> {
        let budget = Budget::new(&Limits::default());
        let reports = apply_within(&budget, file, hunks).unwrap();
        let fits = |report: &HunkReport| matches!(report.outcome, HunkOutcome::Placed { .. });
        if reports.1.iter().all(fits) {
            Ok(reports)
        } else {
            Err(reports.1)
        }
    }

    fn image<'b>(file: &str, budget: &'b Budget) -> Result<PatchedFile<'b>, Exceeded> {
        let lines = Lines::new(file.to_owned().into(), budget)?;
        PatchedFile::new(Rc::new(lines), budget)
    }

    fn apply_within(budget: &Budget, file: &str, hunks: &str) -> Result<(String, Vec<HunkReport>), Exceeded> {
        let text = format!("--- a/f\n+++ b/f\n{hunks}");
        budget.begin_patch(0);
        let patches = parse(text.as_bytes(), &Options::default(), budget).unwrap();
        let Content::Text(hunks) = &*patches[0].content else {
            panic!("text")
        };
        let mut image = image(file, budget)?;
        let mut reports = Vec::new();
        for hunk in hunks {
            let outcome = match place(&mut image, hunk, Direction::Forward)? {
                Ok(placed) => placed,
                Err(old) => HunkOutcome::Rejected(Box::new(nearest::rejection(&image, hunk, &old))),
            };
            reports.push(HunkReport {
                number: 1,
                patch_line: hunk.line,
                old_start: hunk.old_start,
                outcome,
            });
        }
        let contents = image.contents(&image.changes());
        Ok((String::from_utf8(contents.to_vec()).unwrap(), reports))
    }

    #[test]
    fn searches_forwards_before_backwards() {
        let file = "x\na\ny\nq\nx\na\ny\n";
        // Expected at line 3; the same lines are two above and two below.
        let hunk = "@@ -3,3 +3,3 @@\n x\n-a\n+b\n y\n";
        let (result, reports) = apply(file, hunk).unwrap();
        assert_eq!(result, "x\na\ny\nq\nx\nb\ny\n");
        assert_eq!(reports[0].outcome, HunkOutcome::Placed { line: 5, offset: 2 });
    }

    #[test]
    fn no_trailing_context_means_the_end() {
        assert!(apply("a\nb\nc\n", "@@ -2,1 +2,2 @@\n b\n+x\n").is_err());
        assert_eq!(
            apply("a\nb\n", "@@ -2,1 +2,2 @@\n b\n+x\n").unwrap().0,
            "a\nb\nx\n"
        );
    }

    #[test]
    fn the_first_line_means_the_start() {
        assert!(apply("z\na\nb\n", "@@ -1,2 +1,3 @@\n+x\n a\n b\n").is_err());
        assert_eq!(
            apply("z\na\nb\nc\n", "@@ -2,2 +2,3 @@\n+x\n a\n b\n").unwrap().0,
            "z\nx\na\nb\nc\n"
        );
    }

    #[test]
    fn a_hunk_does_not_match_what_another_left() {
        let hunk = "@@ -2,1 +2,1 @@\n-a\n+a\n";
        let both = format!("@@ -1,3 +1,3 @@\n x\n-a\n+a\n y\n{hunk}");
        assert!(apply("x\na\ny\n", &both).is_err());
    }

    #[test]
    fn a_conflict_names_the_nearest_place() {
        let file = "one\ntwo\nthree\nfour\nfive\nsix\n";
        let reports = apply(file, "@@ -1,4 +1,4 @@\n three\n-vier\n+4\n five\n six\n").unwrap_err();
        let HunkOutcome::Rejected(rejection) = &reports[0].outcome else {
            panic!("rejected")
        };
        assert_eq!((rejection.line, rejection.expected.len()), (1, 4));
        let nearest = rejection.nearest.as_ref().unwrap();
        assert_eq!((nearest.line, nearest.matching, nearest.differs_at), (3, 3, 2));
    }

    /// The place with most of the expected lines, found by checking each place.
    fn nearest_by_looking(file: &[&str], old: &[&str], expected: usize) -> Option<usize> {
        let matching = |place: usize| {
            let here = file.iter().skip(place).zip(old);
            here.filter(|(line, old)| line == old && !old.trim().is_empty())
                .count()
        };
        let places = (0..file.len()).map(|place| {
            let distance = std::cmp::Reverse(place.abs_diff(expected));
            (matching(place), distance, place)
        });
        places
            .max()
            .filter(|(count, ..)| *count > 0)
            .map(|(.., place)| place)
    }

    #[test]
    fn the_index_finds_the_nearest_place_that_looking_finds() {
        const LINES: [&str; 6] = ["\n", "a\n", "b\n", "c\n", "  }\n", "d\n"];
        let mut random = 7_u64;
        let mut next = |most: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(random >> 33).unwrap() % most
        };
        let mut found = 0;
        for _ in 0..400 {
            let file: Vec<&str> = (0..=next(300)).map(|_| LINES[next(6)]).collect();
            let old: Vec<&str> = (0..2 + next(8)).map(|_| LINES[next(6)]).collect();
            let expected = 1 + next(file.len() + 5);
            let context: String = old.iter().flat_map(|line| [" ", line]).collect();
            let (start, count) = (expected + 1, old.len() + 1);
            // The line to be removed is nowhere, so that the hunk fits nowhere.
            let hunk = format!("@@ -{start},{count} +{start},{count} @@\n-gone\n+x\n{context}");
            let reports = apply(&file.concat(), &hunk).unwrap_err();
            let HunkOutcome::Rejected(rejection) = &reports[0].outcome else {
                panic!("rejected")
            };
            let all = [vec!["gone\n"], old].concat();
            let looked = nearest_by_looking(&file, &all, expected.min(file.len()));
            let nearest = rejection.nearest.as_ref();
            assert_eq!(
                nearest.map(|nearest| nearest.line),
                looked.map(|place| place + 1),
                "{file:?} {hunk}"
            );
            found += usize::from(looked.is_some());
        }
        assert!(found > 300, "{found}");
    }

    /// A hunk as its parts.
    #[derive(Clone, Debug)]
    struct RandomHunk<'w> {
        old_start: usize,
        new_start: usize,
        before: Vec<&'w str>,
        removed: Vec<&'w str>,
        added: Vec<&'w str>,
        behind: Vec<&'w str>,
        /// A blank line of context that loses its line feed is the last: it counts as trailing
        /// context, and is no line.
        ends_open: bool,
    }

    impl<'w> RandomHunk<'w> {
        fn text(&self) -> String {
            let open = usize::from(self.ends_open);
            let context = self.before.len() + self.behind.len() + open;
            let (old, new) = (context + self.removed.len(), context + self.added.len());
            let lines = |mark: &str, lines: &[&str]| -> String {
                lines.iter().flat_map(|line| [mark, *line]).collect()
            };
            let end = if self.ends_open {
                "\n\\ No newline at end of file\n"
            } else {
                ""
            };
            format!(
                "@@ -{},{old} +{},{new} @@\n{}{}{}{}{end}",
                self.old_start,
                self.new_start,
                lines(" ", &self.before),
                lines("-", &self.removed),
                lines("+", &self.added),
                lines(" ", &self.behind)
            )
        }

        fn preimage(&self) -> Vec<&'w str> {
            [&self.before[..], &self.removed, &self.behind].concat()
        }

        fn postimage(&self) -> Vec<&'w str> {
            [&self.before[..], &self.added, &self.behind].concat()
        }
    }

    /// `find_pos` of Git's apply.c, as written there: `lines` are those of the file, each with
    /// whether a hunk left it.
    fn find_by_looking(lines: &[(&str, bool)], hunk: &RandomHunk<'_>) -> Option<usize> {
        let old = hunk.preimage();
        let at_end = hunk.behind.is_empty() && !hunk.ends_open;
        let matches = |place: usize| {
            let end = place + old.len();
            let here = lines.get(place..end)?;
            let is_there = here.iter().zip(&old).all(|(line, old)| *line == (*old, false));
            (is_there && (!at_end || end == lines.len())).then_some(place)
        };
        if hunk.old_start <= 1 {
            return matches(0);
        }
        if at_end {
            return matches(lines.len().checked_sub(old.len())?);
        }
        let start = hunk.new_start.saturating_sub(1).min(lines.len());
        let distances = 0..=lines.len();
        let mut places = distances.flat_map(|far| [start.checked_add(far), start.checked_sub(far)]);
        places.find_map(|place| matches(place?))
    }

    /// Pseudorandom numbers, the same in each run.
    struct RandomSource(u64);

    impl RandomSource {
        fn below(&mut self, most: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(self.0 >> 33).unwrap() % most
        }

        /// A hunk on the lines from a place on.
        fn hunk<'w>(&mut self, words: &[&'w str], lines: &[(&'w str, bool)]) -> RandomHunk<'w> {
            let from = self.below(lines.len() + 1);
            let mut taken = lines[from..].iter().map(|(line, _)| *line);
            let mut take = |count: usize| -> Vec<&'w str> { taken.by_ref().take(count).collect() };
            // One in three expects no line at all, and so may be placed within what another one
            // left.
            let most = if self.below(3) == 0 { 1 } else { 4 };
            let before = take(self.below(most));
            let removed = take(self.below(most));
            let behind = take(self.below(most));
            let added = (0..self.below(4)).map(|_| words[self.below(words.len())]);
            RandomHunk {
                added: added.collect(),
                old_start: self.below(3) + self.below(lines.len() + 2),
                new_start: match self.below(4) {
                    0 => self.below(lines.len() + 2),
                    _ => (from + self.below(41)).saturating_sub(19),
                },
                before,
                removed,
                behind,
                ends_open: self.below(most) == 0,
            }
        }
    }

    #[test]
    fn hunks_go_where_looking_at_each_place_finds_them() {
        let words: Vec<String> = (0..50).map(|word| format!("{word}\n")).collect();
        let words = ["\n", "a\n", "b\n", "  }\n"]
            .into_iter()
            .chain(words.iter().map(String::as_str));
        let words: Vec<&str> = words.collect();
        let mut draw = RandomSource(11);
        let (mut placed, mut far, mut above) = (0, 0, 0);
        for round in 0..1500 {
            // Some files are larger than what is searched before the index is made.
            let (size, kinds) = if round % 3 == 0 {
                (draw.below(700), 2 + draw.below(words.len() - 1))
            } else {
                (draw.below(24), 2 + draw.below(6))
            };
            let file: Vec<&str> = (0..size).map(|_| words[draw.below(kinds)]).collect();
            let mut lines: Vec<(&str, bool)> = file.iter().map(|line| (*line, false)).collect();
            let mut hunks = String::new();
            let mut expected: Vec<HunkPlacement> = Vec::new();
            for _ in 0..=draw.below(6) {
                let hunk = draw.hunk(&words[..kinds], &lines);
                if hunk.removed.is_empty() && hunk.added.is_empty() {
                    continue;
                }
                let place = find_by_looking(&lines, &hunk);
                expected.push(HunkPlacement::by_looking(place, &lines, &hunk));
                if let Some(place) = place {
                    let new = hunk.postimage().into_iter().map(|line| (line, true));
                    lines.splice(place..place + hunk.preimage().len(), new);
                    placed += 1;
                    far += usize::from(place.abs_diff(hunk.new_start) > NEAR);
                    above += usize::from(expected.iter().any(|told| told.place > Some(place)));
                }
                hunks.push_str(&hunk.text());
            }
            if hunks.is_empty() {
                continue;
            }
            let budget = Budget::new(&Limits::default());
            let (text, reports) = apply_within(&budget, &file.concat(), &hunks).unwrap();
            let told: Vec<HunkPlacement> = reports
                .iter()
                .map(|report| HunkPlacement::from_report(&report.outcome))
                .collect();
            assert_eq!(told, expected, "{file:?}\n{hunks}");
            let left: String = lines.iter().map(|(line, _)| *line).collect();
            assert_eq!(text, left, "{file:?}\n{hunks}");
        }
        assert!(
            placed > 1000 && far > 50 && above > 100,
            "{placed} placed, {far} far away, {above} above another one"
        );
    }

    /// What is reported about a hunk: where it went, or what is where it was expected, and which
    /// place resembles it.
    #[derive(Debug, PartialEq, Eq)]
    struct HunkPlacement {
        place: Option<usize>,
        found: Vec<String>,
        nearest: Option<usize>,
    }

    impl HunkPlacement {
        fn by_looking(place: Option<usize>, lines: &[(&str, bool)], hunk: &RandomHunk<'_>) -> Self {
            let texts: Vec<&str> = lines.iter().map(|(line, _)| *line).collect();
            let at = match hunk.old_start {
                0 | 1 => 0,
                _ => hunk.new_start.saturating_sub(1).min(lines.len()),
            };
            let old = hunk.preimage();
            let shown = texts[at..].iter().take(old.len());
            Self {
                place,
                found: if place.is_some() {
                    Vec::new()
                } else {
                    shown.map(|line| line.trim_end_matches('\n').to_owned()).collect()
                },
                nearest: place
                    .is_none()
                    .then(|| nearest_by_looking(&texts, &old, at))
                    .flatten(),
            }
        }

        fn from_report(outcome: &HunkOutcome) -> Self {
            match outcome {
                HunkOutcome::Placed { line, .. } => Self {
                    place: Some(line - 1),
                    found: Vec::new(),
                    nearest: None,
                },
                HunkOutcome::Rejected(rejection) => Self {
                    place: None,
                    found: rejection.found.clone(),
                    nearest: rejection.nearest.as_ref().map(|nearest| nearest.line - 1),
                },
            }
        }
    }

    #[test]
    fn of_two_places_as_far_away_the_one_below_is_taken() {
        for distance in [1, NEAR, NEAR + 1, 2 * NEAR] {
            let mut file: Vec<String> = (0..600).map(|line| format!("{line}\n")).collect();
            for start in [300 - distance, 300 + distance] {
                file.splice(start..start + 2, ["x\n", "y\n"].map(str::to_owned));
            }
            let hunk = "@@ -301,2 +301,2 @@\n-x\n+X\n y\n";
            let (_, reports) = apply(&file.concat(), hunk).unwrap();
            let (line, offset) = (301 + distance, i64::try_from(distance).unwrap());
            assert_eq!(reports[0].outcome, HunkOutcome::Placed { line, offset });
        }
    }

    #[test]
    fn the_nearest_place_is_looked_for_within_the_budget() {
        let file = "a\n".repeat(1000);
        let hunk = format!("@@ -500,12 +500,12 @@\n a\n-gone\n+x\n{}", " a\n".repeat(10));
        let has_nearest = |effort| {
            let budget = Budget::new(&Limits {
                effort,
                ..Limits::default()
            });
            let (_, reports) = apply_within(&budget, &file, &hunk).unwrap();
            match &reports[0].outcome {
                HunkOutcome::Rejected(rejection) => rejection.nearest.is_some(),
                HunkOutcome::Placed { .. } => panic!("placed"),
            }
        };
        assert!(has_nearest(8 << 20) && !has_nearest(2 << 20));
    }

    #[test]
    fn memory_of_a_file_under_change_comes_back() {
        let budget = Budget::new(&Limits::default());
        let file = "a\nb\nc\nd\n".repeat(100);
        let far = "@@ -300,3 +300,3 @@\n x\n-b\n+B\n c\n";
        let fits = "@@ -2,3 +2,3 @@\n b\n-c\n+C\n d\n";
        let text = format!("--- a/f\n+++ b/f\n{far}{fits}");
        let patches = parse(text.as_bytes(), &Options::default(), &budget).unwrap();
        let Content::Text(hunks) = &*patches[0].content else {
            panic!("text")
        };
        let before = budget.held_bytes();
        let mut image = image(&file, &budget).unwrap();
        for hunk in hunks {
            let _ = place(&mut image, hunk, Direction::Forward).unwrap();
        }
        assert!(budget.held_bytes() > before);
        drop(image);
        assert_eq!(budget.held_bytes(), before);
    }

    #[test]
    fn a_place_is_looked_for_within_the_budget() {
        let file = "a\n".repeat(10_000);
        let hunk = "@@ -5000,4 +5000,4 @@\n a\n a\n-b\n+c\n a\n".repeat(100);
        let within = |effort| {
            apply_within(
                &Budget::new(&Limits {
                    effort,
                    ..Limits::default()
                }),
                &file,
                &hunk,
            )
        };
        // The rarest line of a hunk that fits nowhere shows that it does.
        assert!(within(16 << 20).is_ok());
        assert_eq!(within(1 << 20).err(), Some(Exceeded::Effort));
    }

    #[test]
    fn hunks_that_leave_nothing_join_what_stands_around_them() {
        // An empty context line that loses its line feed is none: the hunk goes in the middle and
        // leaves nothing.
        let hole = "@@ -3,2 +3,1 @@\n-c\n\n\\ No newline at end of file\n";
        let across = "@@ -2,3 +2,3 @@\n b\n-d\n+D\n e\n";
        let (result, _) = apply("a\nb\nc\nd\ne\nf\n", &format!("{hole}{across}")).unwrap();
        assert_eq!(result, "a\nb\nD\ne\nf\n");
    }

    #[test]
    fn missing_line_feeds_count() {
        let hunk = "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n";
        assert_eq!(apply("a", hunk).unwrap().0, "b\n");
        assert!(apply("a\n", hunk).is_err());
    }
}
