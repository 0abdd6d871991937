//! Colours: the same meaning in all commands.

use anstyle::{AnsiColor, Style};
use foreign_text::printable;

/// The most characters of a text of others that are shown in a line.
const LONGEST: usize = 2048;

/// As it should be.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Worth a look.
pub(super) const ODD: Style = AnsiColor::Yellow.on_default();
/// To be mended.
pub(super) const BAD: Style = AnsiColor::Red.on_default();
/// Detail.
pub(super) const DIM: Style = Style::new().dimmed();
/// What a line is about.
pub(super) const BOLD: Style = Style::new().bold();

/// A text of others, such as a name or a message, made fit for a line on a terminal.
pub(super) fn plain(text: &str) -> String {
    printable(text, LONGEST)
}

/// A text in a style.
pub(super) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}
