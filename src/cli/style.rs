//! Colours: the same meaning in all commands.

use anstyle::{AnsiColor, Style};

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
