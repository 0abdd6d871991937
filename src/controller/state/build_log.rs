//! What is reported of a failed build's log.

use foreign_text::printable_lines;

/// How much of a log is reported, in characters from its end.
const LOG_CHARACTERS: usize = 2000;

/// The end of a log as it is reported: without control characters, and not longer than a status
/// should be.
pub fn tail(log: &str) -> String {
    let plain = anstream::adapter::strip_str(log).to_string();
    let clean = printable_lines(&plain.replace('\r', ""));
    let clean = clean.trim();
    let excess = clean.chars().count().saturating_sub(LOG_CHARACTERS);
    clean.chars().skip(excess).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_cut_at_their_end_and_hold_no_controls() {
        let log = format!("{}\u{1b}[31mred\u{1b}[0m\r\nlast\u{7}\n", "x".repeat(5000));
        let told = tail(&log);
        assert!(told.ends_with("xred\nlast"), "{told}");
        assert_eq!(told.chars().count(), LOG_CHARACTERS);
    }
}
