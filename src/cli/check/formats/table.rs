//! The report for people.

use std::fmt::Write;

use comfy_table::ContentArrangement;
use patchset_api::status::{PatchState, PatchStatus};
use patchset_api::upstream_history::Evidence;

use super::super::changes::ChangeVerdict;
use super::super::report::{OverrideRow, PatchRow, Report};
use super::words::{self, Quoting};
use crate::cli::error::Error;
use crate::cli::output::print_styled;
use crate::cli::style::{BAD, BOLD, GOOD, ODD, plain, styled};
use crate::cli::table;
use crate::layout::LayoutFault;
use crate::plan::upstream_history::{commit_in_words, merged_in_words};

/// Prints the report, with colours and wrapped to its width on a terminal, plain elsewhere.
pub(super) fn print(report: &Report) -> Result<(), Error> {
    print_styled(&styled_text(report, &table::arrangement()))
}

/// The report without colours, at its full width.
pub(super) fn text(report: &Report) -> String {
    let text = styled_text(report, &ContentArrangement::Disabled);
    anstream::adapter::strip_str(&text).to_string()
}

/// The last line, without colours.
pub(super) fn summary_in_words(report: &Report) -> String {
    let text = summary(report);
    anstream::adapter::strip_str(text.trim_end()).to_string()
}

fn styled_text(report: &Report, arrangement: &ContentArrangement) -> String {
    let mut text = String::new();
    for change in &report.changes {
        text.push_str(&words::change(change, report, Quoting::Plain));
        text.push('\n');
    }
    if !report.changes.is_empty() {
        text.push('\n');
    }
    let rows = report.patches.iter().map(patch).collect();
    section(&mut text, ["PATCH", "RESULT", "DETAIL"], rows, arrangement);
    let rows = report.overrides.iter().map(override_).collect();
    section(&mut text, ["OVERRIDE", "RESULT", "DETAIL"], rows, arrangement);
    let rows = report.faults.iter().map(fault).collect();
    section(&mut text, ["FAULT", "KIND", "DETAIL"], rows, arrangement);
    let rows = report.mended.iter().map(fault).collect();
    section(&mut text, ["MENDED", "KIND", "DETAIL"], rows, arrangement);
    text.push_str(&summary(report));
    text
}

fn section(text: &mut String, header: [&str; 3], rows: Vec<[String; 3]>, arrangement: &ContentArrangement) {
    if !rows.is_empty() {
        text.push_str(&table::lines(header, rows, arrangement));
        text.push('\n');
    }
}

fn patch(row: &PatchRow) -> [String; 3] {
    let status = &row.status;
    let detail = match (status.state, &status.conflict, &status.message) {
        (PatchState::Clean, ..) => status.subject.clone().unwrap_or_default(),
        (PatchState::Offset, ..) => match status.offset.unwrap_or_default().unsigned_abs() {
            1 => "1 line off".to_owned(),
            n => format!("{n} lines off"),
        },
        (PatchState::Merged, ..) => merged(status),
        (_, Some(conflict), message) => match (conflict.hunk, conflict.line) {
            (Some(hunk), Some(line)) => {
                format!("{}:{line} hunk {hunk}{}", conflict.file, told_by_history(status))
            }
            _ => message.clone().unwrap_or_else(|| conflict.file.clone()),
        },
        (_, None, message) => message.clone().unwrap_or_default(),
    };
    let detail = detail + told_by_change(row);
    [plain(&row.path), table::state(status.state), plain(&detail)]
}

/// What a change made of a patch.
fn told_by_change(row: &PatchRow) -> &'static str {
    match row.change.map(|change| change.verdict) {
        Some(ChangeVerdict::Same) if !row.applies() => "; as before the change",
        Some(ChangeVerdict::Better) => "; did not apply before the change",
        _ => "",
    }
}

/// Says that upstream has a patch.
fn merged(status: &PatchStatus) -> String {
    let by_identity = status
        .merged
        .as_ref()
        .filter(|merged| merged.by != Evidence::Reverse);
    let Some((merged, commit)) = by_identity.and_then(|merged| Some((merged, merged_in_words(merged)?)))
    else {
        return "upstream has it: remove the patch".to_owned();
    };
    if merged.differs {
        format!("upstream has it in another form as {commit}: look at the difference, then remove the patch")
    } else {
        format!("upstream has it as {commit}: remove the patch")
    }
}

/// Says which commit broke a patch, and that upstream had it.
fn told_by_history(status: &PatchStatus) -> String {
    let mut text = String::new();
    if let Some(reverted) = &status.reverted {
        let (merged, by) = (commit_in_words(&reverted.merged), commit_in_words(&reverted.by));
        // Writing to a string does not fail.
        let _ = write!(text, "; was merged as {merged}, reverted by {by}");
    }
    let broken_by = status
        .conflict
        .as_ref()
        .and_then(|conflict| conflict.broken_by.as_ref());
    if let Some(commit) = broken_by {
        let _ = write!(text, "; broken by {}", commit_in_words(commit));
    }
    if let Some(fuzz) = status.conflict.as_ref().and_then(|conflict| conflict.fuzz) {
        let _ = write!(text, "; {fuzz}");
    }
    text
}

fn override_(row: &OverrideRow) -> [String; 3] {
    let style = if row.needs_attention() { ODD } else { GOOD };
    [
        plain(&format!("overrides/{} {}", row.release, row.package)),
        styled(style, row.state.as_str()),
        plain(&row.message),
    ]
}

fn fault(fault: &LayoutFault) -> [String; 3] {
    let style = if fault.kind.fails() { BAD } else { ODD };
    let place = match fault.line {
        Some(line) => format!("{}:{line}", fault.path),
        None => fault.path.clone(),
    };
    [
        plain(&place),
        styled(style, fault.kind.as_str()),
        plain(&fault.message),
    ]
}

fn summary(report: &Report) -> String {
    let applied = report.patches.iter().filter(|row| row.applies()).count();
    let needy = report
        .overrides
        .iter()
        .filter(|row| row.needs_attention())
        .count();
    let faults = report.faults.len();
    let mut text = String::new();
    let style = |good: bool| if good { GOOD } else { BAD };
    let patches = style(applied == report.patches.len());
    let overrides = if needy == 0 { GOOD } else { ODD };
    let found = style(faults == 0);
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{patches}{applied} of {} patches apply{patches:#}; {} overrides, {overrides}{needy} {need} attention{overrides:#}; {found}{faults} {noun}{found:#}; {BOLD}{}{BOLD:#}",
        report.patches.len(),
        report.overrides.len(),
        match (report.ok, &report.base) {
            (true, None) => "good",
            (false, None) => "not good",
            (true, Some(_)) => "nothing got worse",
            (false, Some(_)) => "the change makes it worse",
        },
        need = if needy == 1 { "needs" } else { "need" },
        noun = if faults == 1 { "fault" } else { "faults" },
    );
    text
}
