//! Standard output.

use std::io::{ErrorKind, IsTerminal, Write};

use super::error::Error;

/// Writes to standard output; a reader that went away early is not an error.
pub(super) fn print(text: &[u8]) -> Result<(), Error> {
    match std::io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::Io {
            path: "standard output".to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Writes a text with colours: as it is to a terminal, and without them elsewhere.
pub(super) fn print_styled(text: &str) -> Result<(), Error> {
    if std::io::stdout().is_terminal() {
        anstream::print!("{text}");
        return Ok(());
    }
    print(anstream::adapter::strip_str(text).to_string().as_bytes())
}

/// Writes something that is not a result, to standard error.
pub(super) fn note(text: &str) {
    anstream::eprintln!("note: {}", foreign_text::printable_lines(text));
}
