//! Hunks of unified diffs, by the rules of `parse_fragment` in Git's apply.c.

use super::scan::{at, from, line_length, number, to};

/// One hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hunk<'a> {
    /// First line in the preimage, from 1; 0 where the hunk has no old lines.
    pub(crate) old_start: u64,
    /// Lines in the preimage.
    pub(crate) old_lines: u64,
    /// First line in the postimage, from 1; 0 where the hunk has no new lines.
    pub(crate) new_start: u64,
    /// Lines in the postimage.
    pub(crate) new_lines: u64,
    /// Whether context lines stand after the last change.
    pub(crate) has_trailing_context: bool,
    /// The hunk with its header, as it stands in the patch.
    pub(crate) text: &'a [u8],
    /// The line of the hunk's header in the patch, from 1.
    pub(crate) line: usize,
}

/// Which lines of a hunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Those that it expects.
    Old,
    /// Those that it leaves.
    New,
}

/// Which way a hunk is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// As it is written.
    Forward,
    /// In reverse.
    Reverse,
}

impl<'a> Hunk<'a> {
    /// The line where a side starts, as the header says.
    pub(crate) fn start(&self, side: Side, direction: Direction) -> u64 {
        match (side, direction) {
            (Side::Old, Direction::Forward) | (Side::New, Direction::Reverse) => self.old_start,
            (Side::New, Direction::Forward) | (Side::Old, Direction::Reverse) => self.new_start,
        }
    }

    /// The lines of a side. A line loses its line feed if a note on the missing one follows.
    pub(crate) fn lines(&self, side: Side, direction: Direction) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let marker = match (side, direction) {
            (Side::Old, Direction::Forward) | (Side::New, Direction::Reverse) => b'-',
            (Side::New, Direction::Forward) | (Side::Old, Direction::Reverse) => b'+',
        };
        let mut rest = from(self.text, line_length(self.text));
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let line = to(rest, line_length(rest));
                rest = from(rest, line.len());
                let end = line.len() - usize::from(at(rest, 0) == b'\\');
                let start = match at(line, 0) {
                    b'\n' => 0,
                    first if first == b' ' || first == marker => 1,
                    _ => continue,
                };
                // An empty context line that loses its line feed is no line at all.
                if start == 0 && end == 0 {
                    continue;
                }
                return line.get(start..end);
            }
            None
        })
    }
}

/// The numbers that `@@ -a,b +c,d @@` gives for each side: the first line, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ranges {
    pub(super) old: (u64, u64),
    pub(super) new: (u64, u64),
}

/// Reads `@@ -a,b +c,d @@` at the start of a line that ends in a line feed.
pub(super) fn parse_ranges(line: &[u8]) -> Option<Ranges> {
    if line.last() != Some(&b'\n') {
        return None;
    }
    let (old, rest) = parse_range(from(line, 4), b" +")?;
    let (new, _) = parse_range(rest, b" @@")?;
    Some(Ranges { old, new })
}

fn parse_range<'a>(text: &'a [u8], end: &[u8]) -> Option<((u64, u64), &'a [u8])> {
    let (start, digits) = number(text, 10);
    if digits == 0 {
        return None;
    }
    let mut rest = from(text, digits);
    let mut count = 1;
    if at(rest, 0) == b',' {
        let (value, digits) = number(from(rest, 1), 10);
        if digits == 0 {
            return None;
        }
        count = value;
        rest = from(rest, digits + 1);
    }
    Some(((start, count), rest.strip_prefix(end)?))
}

/// Reads the hunk at the start of a text; `None` if its lines do not match its header.
pub(super) fn parse(text: &[u8], line_number: usize) -> Option<Hunk<'_>> {
    let header = line_length(text);
    let ranges = parse_ranges(to(text, header))?;
    let (mut old, mut new) = (ranges.old.1, ranges.new.1);
    let (mut changed, mut has_trailing_context) = (false, false);
    let mut used = header;
    while used < text.len() && (old != 0 || new != 0) {
        let line = super::name::first_line(from(text, used));
        if line.last() != Some(&b'\n') {
            return None;
        }
        match at(line, 0) {
            b'\n' | b' ' => {
                // Wrong counts run below zero, and the hunk then never ends, as in Git.
                old = old.wrapping_sub(1);
                new = new.wrapping_sub(1);
                has_trailing_context = true;
            }
            b'-' => {
                old = old.wrapping_sub(1);
                changed = true;
                has_trailing_context = false;
            }
            b'+' => {
                new = new.wrapping_sub(1);
                changed = true;
                has_trailing_context = false;
            }
            b'\\' if line.len() >= 12 && line.starts_with(b"\\ ") => {}
            _ => return None,
        }
        used += line.len();
    }
    if old != 0 || new != 0 || !changed {
        return None;
    }
    let rest = from(text, used);
    if rest.len() > 12 && rest.starts_with(b"\\ ") {
        used += line_length(rest);
    }
    Some(Hunk {
        old_start: ranges.old.0,
        old_lines: ranges.old.1,
        new_start: ranges.new.0,
        new_lines: ranges.new.1,
        has_trailing_context,
        text: to(text, used),
        line: line_number,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_lie_are_refused() {
        let good = b"@@ -1,2 +1,2 @@ x\n a\n-b\n+c\n";
        assert!(parse(good, 1).is_some());
        for bad in [
            &b"@@ -1,3 +1,2 @@\n a\n-b\n+c\n"[..],
            b"@@ -1,2 +1,3 @@\n a\n-b\n+c\n",
            b"@@ -1,0 +1,1 @@\n a\n",
            b"@@ -1,2 +1,2 @@\n a\n b\n",
            b"@@ -1 +1 @@\n-b\n+c",
            b"@@ -1 +1\n-b\n+c\n",
            b"@@ - +1 @@\n-b\n+c\n",
        ] {
            assert_eq!(parse(bad, 1), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn a_note_on_the_missing_line_feed_belongs_to_the_hunk() {
        let text = b"@@ -1 +1 @@\n-b\n+c\n\\ No newline at end of file\nrest\n";
        let hunk = parse(text, 1).unwrap();
        assert!(hunk.text.ends_with(b"file\n"));
        assert!(!hunk.has_trailing_context);
    }

    /// A note is recognized by its first two bytes and its length, whatever its language: twelve
    /// bytes within a hunk, more after it.
    #[test]
    fn a_note_has_a_least_length() {
        let within = |note: &str| parse(format!("@@ -1 +1 @@\n-b\n{note}\n+c\n").as_bytes(), 1).is_some();
        assert!(within("\\ No newlin"));
        assert!(!within("\\ No newli"));
        assert!(!within("\\\\No newline at the end"));
        let behind = |note: &str| {
            let text = format!("@@ -1 +1 @@\n-b\n+c\n{note}");
            parse(text.as_bytes(), 1).unwrap().text.len() == text.len()
        };
        assert!(behind("\\ No newline\n"));
        assert!(!behind("\\ No newline"));
    }

    #[test]
    fn ranges_have_a_count_of_one_where_they_have_none() {
        let ranges = |old, new| Some(Ranges { old, new });
        for (line, expected) in [
            ("@@ -1 +2 @@\n", ranges((1, 1), (2, 1))),
            ("@@ -1,3 +2,4 @@ fn x\n", ranges((1, 3), (2, 4))),
            ("@@ -10,0 +20 @@\n", ranges((10, 0), (20, 1))),
            ("@@ -1 +2 @@", None),
            ("@@ -1, +2 @@\n", None),
            ("@@ -,1 +2 @@\n", None),
            ("@@ -1 2 @@\n", None),
            ("@@ -1 +2,x @@\n", None),
            ("@@ -1 +2@@\n", None),
        ] {
            assert_eq!(parse_ranges(line.as_bytes()), expected, "{line:?}");
        }
    }
}
