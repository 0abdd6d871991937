//! The report for people.

use std::fmt::{self, Write};

use foreign_text::printable_line;
use git_apply_engine::{
    FileChange, FileReport, HunkOutcome, HunkReport, Oid, PatchReport, PatchState, Rejection,
};
use patch_refresh::RefreshKind;

use crate::cli::local_refresh::RefreshOutlook;
use crate::cli::style::{BAD, BOLD, DIM, GOOD, ODD, plain};
use crate::cli::upstream_history::SeriesHistory;
use crate::plan::difference::{ComparedLine, LineSide, compare};

/// Which way a series was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    /// The patches were taken back.
    Reverse,
}

/// What became of the resulting trees and blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TreesWritten {
    ToRepository,
    Nowhere,
}

/// What became of a series.
pub(super) struct AppliedOutcome<'a> {
    pub(super) reports: &'a [PatchReport],
    pub(super) history: &'a SeriesHistory,
    /// What a refresh makes of each patch; empty if that was not tried.
    pub(super) refresh: &'a [RefreshOutlook],
    /// The tree after all patches that apply.
    pub(super) tree: Oid,
    pub(super) direction: Direction,
    pub(super) written: TreesWritten,
}

/// The report of a series, with colours.
pub(super) fn text(outcome: &AppliedOutcome<'_>) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_series(&mut text, outcome);
    text
}

fn write_series(out: &mut String, outcome: &AppliedOutcome<'_>) -> fmt::Result {
    for number in 0..outcome.reports.len() {
        write_patch(out, outcome, number)?;
    }
    let total = outcome.reports.len();
    let applied = outcome.reports.iter().filter(|report| report.applies()).count();
    let style = if applied == total { GOOD } else { BAD };
    writeln!(
        out,
        "{style}{applied} of {total} patches apply{style:#}; tree {}",
        outcome.tree
    )?;
    if outcome.written == TreesWritten::ToRepository {
        writeln!(
            out,
            "{DIM}the trees and blobs were written to the repository{DIM:#}"
        )?;
    }
    Ok(())
}

fn write_patch(out: &mut String, outcome: &AppliedOutcome<'_>, number: usize) -> fmt::Result {
    let Some(report) = outcome.reports.get(number) else {
        return Ok(());
    };
    let (style, word) = match report.state {
        PatchState::Clean => (GOOD, "applies".to_owned()),
        PatchState::Offset => (ODD, format!("applies, {} off", lines(report.largest_offset()))),
        PatchState::Merged if outcome.direction == Direction::Reverse => (ODD, "not there".to_owned()),
        PatchState::Merged => (ODD, "already there".to_owned()),
        PatchState::Conflict => (BAD, "conflicts".to_owned()),
        PatchState::Malformed => (BAD, "malformed".to_owned()),
        PatchState::Blocked => (BAD, "blocked".to_owned()),
    };
    write!(
        out,
        "{style}{word}{style:#}  {BOLD}{}{BOLD:#}",
        plain(&report.name)
    )?;
    match &report.subject {
        Some(subject) => writeln!(out, "  {DIM}{}{DIM:#}", plain(subject))?,
        None => writeln!(out)?,
    }
    if report.applies() {
        return Ok(());
    }
    if let Some(error) = &report.error {
        writeln!(out, "    {}", plain(error))?;
    }
    outcome.history.write(out, number)?;
    if report.state == PatchState::Merged {
        return writeln!(out, "    {DIM}leave the patch out{DIM:#}");
    }
    for file in &report.files {
        write_file(out, file, report.error.as_deref())?;
    }
    let refresh = outcome.refresh.get(number).copied().unwrap_or_default();
    if let Some(fuzz) = refresh.fuzz {
        writeln!(out, "    {fuzz}")?;
    }
    let how = match refresh.status.and_then(|refresh| refresh.by) {
        Some(RefreshKind::ThreeWay) => "by a merge",
        Some(RefreshKind::Fuzz) => "with fuzz",
        Some(RefreshKind::Offset) => "by new line numbers",
        None => return Ok(()),
    };
    writeln!(out, "    {DIM}patchset refresh mends it {how}{DIM:#}")
}

fn lines(offset: i64) -> String {
    match offset.unsigned_abs() {
        1 => "1 line".to_owned(),
        n => format!("{n} lines"),
    }
}

fn write_file(out: &mut String, file: &FileReport, told_already: Option<&str>) -> fmt::Result {
    if let Some(error) = file.error.as_deref().filter(|error| Some(*error) != told_already) {
        writeln!(out, "    {}", plain(error))?;
    }
    for hunk in &file.hunks {
        if let HunkOutcome::Rejected(rejection) = &hunk.outcome {
            write_rejection(out, file, hunk, rejection)?;
        }
    }
    Ok(())
}

fn write_rejection(
    out: &mut String,
    file: &FileReport,
    hunk: &HunkReport,
    rejection: &Rejection,
) -> fmt::Result {
    let path = match file.change {
        FileChange::Rename | FileChange::Copy => file.old_path.as_deref().unwrap_or(&file.path),
        _ => &file.path,
    };
    let HunkReport {
        number, patch_line, ..
    } = hunk;
    writeln!(
        out,
        "  {BOLD}{}:{}{BOLD:#} hunk {number} {DIM}(line {patch_line} of the patch){DIM:#}",
        plain(path),
        rejection.line
    )?;
    if rejection.lines_left_out {
        return writeln!(
            out,
            "    {DIM}its lines are left out: there are too many conflicts{DIM:#}"
        );
    }
    if rejection.expected.is_empty() {
        return writeln!(out, "    the hunk expects an empty place, but something is there");
    }
    let Some(nearest) = &rejection.nearest else {
        writeln!(out, "    nothing in the file resembles what the hunk expects")?;
        return write_lines(out, &compare(rejection));
    };
    let lines = compare(rejection);
    let agree = lines.iter().filter(|line| line.side == LineSide::Both).count();
    let place = lines.first().map_or(nearest.line, |first| first.line);
    let differs = lines.iter().find(|line| line.side != LineSide::Both);
    writeln!(
        out,
        "    nearest match at line {place}: {agree} of {} lines agree, line {} is the first that does not",
        rejection.expected.len(),
        differs.map_or(place, |line| line.line)
    )?;
    write_lines(out, &lines)
}

/// Shows expected and found lines: those in both once, others as `-` expected and `+` found.
fn write_lines(out: &mut String, lines: &[ComparedLine<'_>]) -> fmt::Result {
    for ComparedLine { side, line, text } in lines {
        let text = printable_line(text);
        match side {
            LineSide::Both => writeln!(out, "    {DIM}{line:>6} |{DIM:#}   {text}")?,
            LineSide::Expected => writeln!(
                out,
                "    {DIM}{:>6} |{DIM:#} {BAD}- {text}{BAD:#}  {DIM}expected{DIM:#}",
                ""
            )?,
            LineSide::Found => writeln!(
                out,
                "    {DIM}{line:>6} |{DIM:#} {GOOD}+ {text}{GOOD:#}  {DIM}found{DIM:#}"
            )?,
        }
    }
    Ok(())
}
