//! Why a document cannot be read, for the author of the file.

use granit_parser::ErrorKind;

use super::lines::count_line_ends;
use super::marked_scalar::TEMPLATE;
use super::stream::UnreadableDocument;

const TAB: &str = "the line is indented with a tab: YAML allows only spaces";

/// Returns the line of a fault, and why it is one.
pub(super) fn explain(text: &str, fault: &UnreadableDocument) -> (usize, String) {
    let document = &text[fault.bytes.clone()];
    let first = count_line_ends(&text[..fault.bytes.start]) + 1;
    let has_tab = |line: &str| line[..line.len() - line.trim_start().len()].contains('\t');
    let mut lines = document.split_inclusive('\n').enumerate();
    let is_template = lines.any(|(index, line)| {
        line.trim_start().starts_with("{{") || index + first == fault.line && line.contains("{{")
    });
    if is_template {
        return (fault.line, TEMPLATE.to_owned());
    }
    let from_fault = document
        .split_inclusive('\n')
        .enumerate()
        .skip(fault.line.saturating_sub(first));
    let is_tab = matches!(
        fault.kind,
        ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabNotAllowed
    );
    let mut near = from_fault.take(if is_tab { usize::MAX } else { 1 });
    match near.find(|(_, line)| has_tab(line)) {
        Some((index, _)) => (first + index, TAB.to_owned()),
        None => (fault.line, format!("{}, column {}", fault.kind, fault.column)),
    }
}
