//! Foreign texts, as a status takes them.

use foreign_text::printable;

/// The longest subject, author or message, in characters.
const TEXT_CHARACTERS: usize = 512;

/// A text as the status takes it.
pub(super) fn shortened(text: &str) -> String {
    printable(text, TEXT_CHARACTERS)
}
