//! Where hunks go, by the rules of Git's apply.c: first where the hunk says, then further and further away in both
//! directions, at the start or end of the file where its context says so, and without fuzz.

use super::parse::Hunk;
use super::report::{Fate, HunkReport, Nearest, Rejection, readable};

/// The most lines of a conflict that a report shows of each side.
const SHOWN_LINES: usize = 60;

/// The most places that are looked at for the nearest match, times the lines of the hunk.
const NEAREST_EFFORT: usize = 4_000_000;

/// One line of a file under change.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    bytes: &'a [u8],
    /// Whether an earlier hunk put it there; later hunks do not match it.
    patched: bool,
}

/// A file under change, as lines.
#[derive(Debug)]
pub(super) struct Image<'a> {
    lines: Vec<Line<'a>>,
}

/// The lines that a hunk expects and those that it leaves.
struct Sides<'a> {
    old: Vec<&'a [u8]>,
    new: Vec<&'a [u8]>,
}

impl<'a> Image<'a> {
    /// The lines of a file; the last may lack its line feed.
    pub(super) fn new(contents: &'a [u8]) -> Self {
        let lines = contents.split_inclusive(|b| *b == b'\n').map(|bytes| Line {
            bytes,
            patched: false,
        });
        Self {
            lines: lines.collect(),
        }
    }

    /// Applies a hunk, or tells why it does not fit and leaves the file as it is.
    pub(super) fn apply(&mut self, hunk: &Hunk<'a>, number: usize, reverse: bool) -> HunkReport {
        let sides = Sides::of(hunk, reverse);
        let expected = expected_place(hunk.new_start);
        let fate = match self.find(hunk, &sides.old, expected) {
            Some(place) => {
                let new = sides.new.into_iter().map(|bytes| Line { bytes, patched: true });
                self.lines.splice(place..place + sides.old.len(), new);
                Fate::Placed {
                    line: place + 1,
                    offset: distance(place, expected),
                }
            }
            None => Fate::Rejected(Box::new(self.rejection(hunk, &sides.old, expected))),
        };
        HunkReport {
            number,
            patch_line: hunk.line,
            old_start: hunk.old_start,
            fate,
        }
    }

    /// The file's contents.
    pub(super) fn contents(&self) -> Vec<u8> {
        let mut contents = Vec::with_capacity(self.lines.iter().map(|line| line.bytes.len()).sum());
        for line in &self.lines {
            contents.extend_from_slice(line.bytes);
        }
        contents
    }

    /// `find_pos` of Git's apply.c.
    fn find(&self, hunk: &Hunk<'_>, old: &[&[u8]], expected: i64) -> Option<usize> {
        let count = self.lines.len();
        let at_start = hunk.old_start <= 1;
        let at_end = hunk.trailing == 0;
        let start = if at_start {
            0
        } else if at_end {
            // A preimage longer than the file gives no place before the start; Git then begins at the end.
            count.checked_sub(old.len()).unwrap_or(count)
        } else {
            usize::try_from(expected).map_or(count, |place| place.min(count))
        };
        let fits = |place: usize| self.matches(old, place, at_start, at_end);
        if at_start || at_end {
            // Only the first or the last place can match, and the search would come to no other.
            let only = if at_start {
                Some(0)
            } else {
                count.checked_sub(old.len())
            };
            return only.filter(|place| fits(*place));
        }
        if fits(start) {
            return Some(start);
        }
        let furthest = start.max(count - start);
        (1..=furthest).find_map(|distance| {
            let below = Some(start + distance).filter(|place| *place <= count && fits(*place));
            below.or_else(|| start.checked_sub(distance).filter(|place| fits(*place)))
        })
    }

    /// `match_fragment` of Git's apply.c, for the default treatment of white space.
    fn matches(&self, old: &[&[u8]], place: usize, at_start: bool, at_end: bool) -> bool {
        let Some(here) = self.lines.get(place..).and_then(|rest| rest.get(..old.len())) else {
            return false;
        };
        if (at_end && place + old.len() != self.lines.len()) || (at_start && place != 0) {
            return false;
        }
        if here.iter().any(|line| line.patched) {
            return false;
        }
        if here.iter().zip(old).all(|(line, old)| line.bytes == *old) {
            return true;
        }
        self.matches_across_lines(old, place, at_end)
    }

    /// Git compares bytes, not lines: a preimage with a line that lacks its line feed can match where the bytes
    /// agree and the lines do too but for white space. A last line without line feed so matches one with.
    fn matches_across_lines(&self, old: &[&[u8]], place: usize, at_end: bool) -> bool {
        if old.iter().all(|line| line.ends_with(b"\n")) {
            return false;
        }
        let rest = self.lines.get(place..).unwrap_or_default();
        let alike = rest
            .iter()
            .zip(old)
            .all(|(line, old)| visible(line.bytes).eq(visible(old)));
        let file = rest.iter().flat_map(|line| line.bytes);
        let wanted: usize = old.iter().map(|line| line.len()).sum();
        let left: usize = rest.iter().map(|line| line.bytes.len()).sum();
        let size_fits = if at_end { wanted == left } else { wanted <= left };
        alike && size_fits && file.take(wanted).eq(old.iter().copied().flatten())
    }

    fn rejection(&self, hunk: &Hunk<'_>, old: &[&[u8]], expected: i64) -> Rejection {
        let count = self.lines.len();
        let line = match hunk.old_start {
            0 | 1 => 0,
            _ => usize::try_from(expected).map_or(count, |place| place.min(count)),
        };
        Rejection {
            line: line + 1,
            expected: old.iter().take(SHOWN_LINES).map(|line| readable(line)).collect(),
            found: self.shown(line, old.len()),
            nearest: self.nearest(old, line),
        }
    }

    fn shown(&self, from: usize, count: usize) -> Vec<String> {
        self.lines
            .iter()
            .skip(from)
            .take(count.min(SHOWN_LINES))
            .map(|line| readable(line.bytes))
            .collect()
    }

    /// The place where most of the expected lines stand in their order; the closest to where the hunk was expected
    /// of those with as many.
    fn nearest(&self, old: &[&[u8]], expected: usize) -> Option<Nearest> {
        if old.is_empty() || self.lines.len().saturating_mul(old.len()) > NEAREST_EFFORT {
            return None;
        }
        let matching = |place: usize| {
            let here = self.lines.iter().skip(place);
            here.zip(old)
                .filter(|(line, old)| line.bytes == **old && !blank(old))
                .count()
        };
        let place = (0..self.lines.len())
            .map(|place| {
                (
                    matching(place),
                    std::cmp::Reverse(place.abs_diff(expected)),
                    place,
                )
            })
            .max()
            .filter(|(count, ..)| *count > 0)
            .map(|(.., place)| place)?;
        let here: Vec<&[u8]> = self
            .lines
            .iter()
            .skip(place)
            .take(old.len())
            .map(|line| line.bytes)
            .collect();
        let same = |at: usize| here.get(at).is_some_and(|line| old.get(at) == Some(line));
        Some(Nearest {
            line: place + 1,
            matching: (0..old.len()).filter(|at| same(*at)).count(),
            differs_at: (0..old.len())
                .find(|at| !same(*at))
                .map_or(old.len(), |at| at + 1),
            found: self.shown(place, old.len()),
        })
    }
}

impl<'a> Sides<'a> {
    /// Splits a hunk into its two sides. A line that a note on the missing line feed follows loses its own.
    fn of(hunk: &Hunk<'a>, reverse: bool) -> Self {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        let mut lines = hunk.text.split_inclusive(|b| *b == b'\n').skip(1).peekable();
        while let Some(line) = lines.next() {
            let incomplete = lines.peek().is_some_and(|next| next.starts_with(b"\\"));
            let body = match (line.first(), incomplete) {
                (Some(b'\n'), true) => continue,
                (Some(b'\n'), false) => line,
                (_, false) => line.get(1..).unwrap_or_default(),
                (_, true) => line.get(1..line.len() - 1).unwrap_or_default(),
            };
            match (line.first(), reverse) {
                (Some(b'\n' | b' '), _) => {
                    old.push(body);
                    new.push(body);
                }
                (Some(b'-'), false) | (Some(b'+'), true) => old.push(body),
                (Some(b'+'), false) | (Some(b'-'), true) => new.push(body),
                _ => {}
            }
        }
        Self { old, new }
    }
}

/// The place that a hunk's header names, as Git's `int` holds it.
fn expected_place(new_start: u64) -> i64 {
    #[allow(clippy::cast_possible_truncation, reason = "Git keeps the lower 32 bits")]
    #[allow(clippy::cast_possible_wrap, reason = "Git keeps the lower 32 bits")]
    let place = new_start.saturating_sub(1) as i32;
    place.into()
}

fn distance(place: usize, expected: i64) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX).saturating_sub(expected)
}

/// The bytes of a line that are no white space.
fn visible(line: &[u8]) -> impl Iterator<Item = u8> {
    line.iter()
        .copied()
        .filter(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
}

fn blank(line: &[u8]) -> bool {
    visible(line).next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::options::Options;
    use crate::patch::parse::{Content, parse};

    /// Applies the hunks of a diff on one file; nothing where one does not fit.
    fn apply(file: &str, hunks: &str) -> Result<(String, Vec<HunkReport>), Vec<HunkReport>> {
        let text = format!("--- a/f\n+++ b/f\n{hunks}");
        let options = Options::default();
        let patches = parse(text.as_bytes(), &options).unwrap();
        let Content::Text(hunks) = &patches[0].content else {
            panic!("text")
        };
        let mut image = Image::new(file.as_bytes());
        let reports: Vec<HunkReport> = hunks.iter().map(|hunk| image.apply(hunk, 1, false)).collect();
        if reports
            .iter()
            .all(|report| matches!(report.fate, Fate::Placed { .. }))
        {
            Ok((String::from_utf8(image.contents()).unwrap(), reports))
        } else {
            Err(reports)
        }
    }

    #[test]
    fn searches_forwards_before_backwards() {
        let file = "x\na\ny\nq\nx\na\ny\n";
        // Expected at line 3; the same lines stand two above and two below.
        let hunk = "@@ -3,3 +3,3 @@\n x\n-a\n+b\n y\n";
        let (result, reports) = apply(file, hunk).unwrap();
        assert_eq!(result, "x\na\ny\nq\nx\nb\ny\n");
        assert_eq!(reports[0].fate, Fate::Placed { line: 5, offset: 2 });
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
        let Fate::Rejected(rejection) = &reports[0].fate else {
            panic!("rejected")
        };
        assert_eq!((rejection.line, rejection.expected.len()), (1, 4));
        let nearest = rejection.nearest.as_ref().unwrap();
        assert_eq!((nearest.line, nearest.matching, nearest.differs_at), (3, 3, 2));
    }

    #[test]
    fn missing_line_feeds_count() {
        let hunk = "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n";
        assert_eq!(apply("a", hunk).unwrap().0, "b\n");
        assert!(apply("a\n", hunk).is_err());
    }
}
