//! Tables for people.

use std::io::IsTerminal;

use comfy_table::{ContentArrangement, Table, presets};
use patchset_api::status::PatchState;

use super::style::{BAD, DIM, GOOD, ODD, styled};

/// Wraps to the width of a terminal, and does not wrap elsewhere.
pub(super) fn arrangement() -> ContentArrangement {
    if std::io::stdout().is_terminal() {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    }
}

/// A table of rows below a header, without lines between them.
pub(super) fn lines<const N: usize>(
    header: [&str; N],
    rows: Vec<[String; N]>,
    arrangement: &ContentArrangement,
) -> String {
    let rows = rows.into_iter().map(|row| row.to_vec()).collect();
    lines_within(&header, rows, arrangement, None)
}

/// As [`lines`], at most so many characters wide.
pub(super) fn lines_within(
    header: &[&str],
    rows: Vec<Vec<String>>,
    arrangement: &ContentArrangement,
    width: Option<u16>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(arrangement.clone());
    if let Some(width) = width {
        table.set_width(width);
    }
    table.set_header(header.iter().map(|title| styled(DIM, title)));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What became of a patch, in its colour.
pub(super) fn state(state: PatchState) -> String {
    let style = match state {
        PatchState::Clean => GOOD,
        PatchState::Offset | PatchState::Merged => ODD,
        PatchState::Conflict | PatchState::Malformed | PatchState::Blocked => BAD,
    };
    styled(style, state.as_str())
}
