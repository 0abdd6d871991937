//! Lines of a file, and those with markers among them.

use super::marker::MARKER_KEY;

/// Counts the lines that end in a text.
pub(super) fn count_line_ends(text: &str) -> usize {
    let bytes = text.as_bytes();
    let ends = |at: usize| bytes[at] == b'\n' || bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n');
    (0..bytes.len()).filter(|at| ends(*at)).count()
}

/// Returns the column of a byte in characters, from 1.
pub(super) fn column_of(text: &str, at: usize) -> usize {
    let before = text[..at].chars().rev();
    before.take_while(|c| !matches!(c, '\n' | '\r')).count() + 1
}

/// Returns the lines that have a marker.
pub(super) fn lines_with_markers(text: &str) -> String {
    let lines: Vec<&str> = text
        .split(['\n', '\r'])
        .filter(|line| line.contains(MARKER_KEY))
        .collect();
    lines.join("\n")
}
