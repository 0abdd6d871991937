#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

/// What stands in place of a character that is not printed.
const REPLACEMENT: char = '\u{fffd}';

/// Returns one line of printable text of at most `longest` characters. White space is folded into
/// single spaces, a text that is cut ends in `…`, and characters that a terminal or a page would
/// obey (controls, and what changes the direction of text: CVE-2021-42574) are replaced.
#[must_use]
pub fn printable(text: &str, longest: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let space = (!line.is_empty()).then_some(' ');
        for c in space.into_iter().chain(word.chars()) {
            if length == longest {
                if line.pop().is_some() {
                    line.push('…');
                }
                return line;
            }
            line.push(if is_obeyed(c) { REPLACEMENT } else { c });
            length += 1;
        }
    }
    line
}

/// Returns the text with its lines kept, and every character that a terminal or a page would obey
/// replaced.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    let kept = |c: char| c == '\n' || c == '\t' || !is_obeyed(c);
    text.chars()
        .map(|c| if kept(c) { c } else { REPLACEMENT })
        .collect()
}

/// Whether a text has no character that a terminal or a page would obey.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(is_obeyed)
}

/// Returns one line of a file or a patch. White space is kept, every character that a terminal or a
/// page would obey is replaced, and a carriage return at the end is shown as `␍`, because lines may
/// differ in that alone.
#[must_use]
pub fn printable_line(line: &str) -> String {
    match line.strip_suffix('\r') {
        Some(line) => format!("{}␍", printable_lines(line)),
        None => printable_lines(line),
    }
}

/// Whether a character does something instead of being shown.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}' | '\u{feff}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_of_it() {
        assert_eq!(printable("a\r\n\tb  c", 80), "a b c");
        assert_eq!(printable("\u{1b}]0;x\u{7}y \u{202e}z", 80), "�]0;x�y �z");
        assert_eq!(printable_lines("a\n\tb\u{1b}[2J\r"), "a\n\tb�[2J�");
        assert_eq!(printable_line("  a\r\u{9b}\tb\r"), "  a��\tb␍");
    }

    #[test]
    fn a_long_text_is_cut_by_characters() {
        assert_eq!(printable("ääää", 5), "ääää");
        assert_eq!(printable("ääää ä", 5), "ääää…");
        assert_eq!(printable("ääää ä ", 6), "ääää ä");
        assert_eq!(printable("ääää", 4), "ääää");
        assert_eq!(printable("ääää", 3), "ää…");
        assert_eq!(printable("ää", 1), "…");
        assert_eq!(printable("ä", 0), "");
        assert_eq!(printable(&"ä".repeat(10_000), 300).chars().count(), 300);
    }
}
