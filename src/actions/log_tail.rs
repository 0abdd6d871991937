//! The end of a job's log.

use std::collections::VecDeque;

use foreign_text::printable_lines;

/// The most lines that are kept.
const MAX_LINES: usize = 1_000;
/// The longest line, in characters; and how much of it is read, in bytes.
const MAX_LINE_CHARACTERS: usize = 1_000;
const MAX_LINE_BYTES: usize = 16 << 10;
/// How the runner begins a line that says why a step failed.
const ERROR_MARK: &str = "##[error]";

/// The last lines of a log that comes in pieces, up to the last error in it.
pub(super) struct LogTail {
    most: usize,
    /// The line that has not ended yet, and whether it began before what is read.
    line: Vec<u8>,
    is_line_partial: bool,
    /// The lines up to the last error.
    to_error: VecDeque<String>,
    /// The lines after it.
    after: VecDeque<String>,
}

impl LogTail {
    /// Keeps at most this many lines of a log that is read from its beginning.
    pub(super) fn of_whole_log(lines: usize) -> Self {
        Self {
            most: lines.clamp(1, MAX_LINES),
            line: Vec::new(),
            is_line_partial: false,
            to_error: VecDeque::new(),
            after: VecDeque::new(),
        }
    }

    /// Keeps at most this many lines of a log that is read from somewhere within it. Drops the
    /// first line, which may be incomplete.
    pub(super) fn of_part(lines: usize) -> Self {
        Self {
            is_line_partial: true,
            ..Self::of_whole_log(lines)
        }
    }

    /// Takes the next piece.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let mut parts = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            let room = MAX_LINE_BYTES.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if parts.peek().is_some() {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = clean_line(&String::from_utf8_lossy(&self.line));
        self.line.clear();
        if std::mem::take(&mut self.is_line_partial) {
            return;
        }
        let is_error = line.starts_with(ERROR_MARK);
        self.after.push_back(line);
        if is_error {
            self.to_error.append(&mut self.after);
        }
        for lines in [&mut self.to_error, &mut self.after] {
            lines.drain(..lines.len().saturating_sub(self.most));
        }
    }

    pub(super) fn into_lines(mut self) -> Vec<String> {
        if !self.line.is_empty() {
            self.end_line();
        }
        let lines = if self.to_error.is_empty() {
            self.after
        } else {
            self.to_error
        };
        lines.into()
    }
}

/// A line without the runner's time, colours, control characters, and what a progress bar wrote
/// over.
fn clean_line(line: &str) -> String {
    let line = line.trim_start_matches('\u{feff}');
    let line = match line.split_once(' ') {
        Some((time, rest)) if time.parse::<jiff::Timestamp>().is_ok() => rest,
        None if line.trim_end().parse::<jiff::Timestamp>().is_ok() => "",
        _ => line,
    };
    let plain = anstream::adapter::strip_str(line).to_string();
    let last = plain.trim_end().rsplit('\r').next().unwrap_or_default();
    let kept = last.chars().filter(|c| *c == '\t' || !c.is_control());
    printable_lines(&kept.take(MAX_LINE_CHARACTERS).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(log: &str, lines: usize, piece: usize) -> Vec<String> {
        let mut tail = LogTail::of_whole_log(lines);
        for piece in log.as_bytes().chunks(piece) {
            tail.take(piece);
        }
        tail.into_lines()
    }

    #[test]
    fn lines_are_cleaned() {
        for (line, expected) in [
            ("\u{feff}2026-02-03T04:05:06.1234567Z hello", "hello"),
            ("2026-02-03T04:05:06.1234567Z", ""),
            ("2026-02-03T04:05:06Z   indented", "  indented"),
            (
                "\u{1b}[31;1mred\u{1b}[0m and \u{1b}]8;;x\u{7}link",
                "red and link",
            ),
            ("10%\r50%\r100%\r", "100%"),
            ("a\u{0}b\tc", "ab\tc"),
            ("2026 was a year", "2026 was a year"),
        ] {
            assert_eq!(clean_line(line), expected);
        }
        assert_eq!(clean_line(&"x".repeat(5_000)).len(), MAX_LINE_CHARACTERS);
    }

    #[test]
    fn the_end_is_the_last_error_however_the_log_is_cut() {
        let log = "one\ntwo\n##[error]three\nfour\n##[error]five\nclean\nup\n";
        for piece in [1, 2, 7, 1_000] {
            assert_eq!(tail(log, 2, piece), ["four", "##[error]five"]);
            assert_eq!(
                tail(log, 9, piece),
                ["one", "two", "##[error]three", "four", "##[error]five"]
            );
            assert_eq!(tail("one\ntwo\nthree", 2, piece), ["two", "three"]);
            assert_eq!(tail("", 2, piece), [""; 0]);
        }
        let many: Vec<String> = (0..5_000).map(|number| format!("{number}\n")).collect();
        let many = many.concat();
        assert_eq!(tail(&many, usize::MAX, 100).len(), MAX_LINES);
        let far = format!("##[error]early\n{many}##[error]late\n{many}");
        assert_eq!(tail(&far, 2, 100), ["4999", "##[error]late"]);
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut read = LogTail::of_whole_log(1);
        for _ in 0..100 {
            read.take(&[b'x'; 10_000]);
        }
        assert!(read.line.len() <= MAX_LINE_BYTES);
        assert_eq!(read.into_lines()[0].len(), MAX_LINE_CHARACTERS);
    }
}
