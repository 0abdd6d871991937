//! What became of the patches, for people and for other tools.

use std::fmt::{self, Write};

use git_apply_engine::Oid;
use patch_refresh::{
    FileOutcome, FileRefresh, MergeBase, PatchRefresh, RefreshKind, RefreshOutcome, SeriesOutlook,
};

use crate::cli::style::{BAD, BOLD, DIM, GOOD, ODD, plain};
use crate::cli::upstream_history::{HistoryFields, SeriesHistory};

/// What became of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FilesWritten {
    /// Those of refreshed patches were written.
    Refreshed,
    None,
}

/// One line of the JSON output. Other tools read it: fields may be added, not changed.
#[derive(serde::Serialize)]
pub(super) struct RefreshLine<'a> {
    patch: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<RefreshKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    tree: Oid,
    files: Vec<RefreshedFileLine<'a>>,
    #[serde(flatten)]
    history: HistoryFields<'a>,
}

#[derive(serde::Serialize)]
struct RefreshedFileLine<'a> {
    path: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> RefreshLine<'a> {
    pub(super) fn new(patch: &'a PatchRefresh, history: HistoryFields<'a>) -> Self {
        let (outcome, by, reason) = match &patch.outcome {
            RefreshOutcome::UpToDate => ("UpToDate", None, None),
            RefreshOutcome::Refreshed { how, .. } => ("Refreshed", Some(*how), None),
            RefreshOutcome::Merged => ("Merged", None, None),
            RefreshOutcome::Impossible { reason } => ("Impossible", None, Some(reason.as_str())),
        };
        Self {
            patch: &patch.name,
            outcome,
            by,
            reason,
            tree: patch.tree,
            files: patch.files.iter().map(RefreshedFileLine::from).collect(),
            history,
        }
    }
}

impl<'a> From<&'a FileRefresh> for RefreshedFileLine<'a> {
    fn from(file: &'a FileRefresh) -> Self {
        let line = |outcome| Self {
            path: &file.path,
            outcome,
            lines: None,
            base: None,
            reason: None,
        };
        match &file.outcome {
            FileOutcome::Offset { lines } => Self {
                lines: Some(*lines),
                ..line("Offset")
            },
            FileOutcome::ThreeWay { base } => Self {
                base: Some(match base {
                    MergeBase::IndexLine => "IndexLine",
                    MergeBase::LastApplied => "LastApplied",
                }),
                ..line("ThreeWay")
            },
            FileOutcome::Fuzz { lines } => Self {
                lines: i64::try_from(*lines).ok(),
                ..line("Fuzz")
            },
            FileOutcome::LeftOut => line("LeftOut"),
            FileOutcome::Impossible { reason } => Self {
                reason: Some(reason),
                ..line("Impossible")
            },
        }
    }
}

/// What became of a series.
pub(super) struct RefreshedSeries<'a> {
    pub(super) refreshed: &'a [PatchRefresh],
    pub(super) history: &'a SeriesHistory,
    pub(super) written: FilesWritten,
}

/// The report for people, with colours.
pub(super) fn text(outcome: &RefreshedSeries<'_>) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_all(&mut text, outcome);
    text
}

fn write_all(out: &mut String, outcome: &RefreshedSeries<'_>) -> fmt::Result {
    let patches = outcome.refreshed;
    for (number, patch) in patches.iter().enumerate() {
        write_patch(out, patch)?;
        if matches!(
            patch.outcome,
            RefreshOutcome::Merged | RefreshOutcome::Impossible { .. }
        ) {
            outcome.history.write(out, number)?;
        }
    }
    let outlook = SeriesOutlook::count(patches.iter().map(|patch| &patch.outcome));
    let style = if outlook.merged + outlook.need_person == 0 {
        GOOD
    } else {
        BAD
    };
    let is_refreshed = |patch: &&PatchRefresh| matches!(patch.outcome, RefreshOutcome::Refreshed { .. });
    let refreshed = patches.iter().filter(is_refreshed).count();
    let verb = match outcome.written {
        FilesWritten::Refreshed => "were refreshed",
        FilesWritten::None => "would be refreshed",
    };
    write!(out, "{style}{refreshed} of {} patches {verb}", patches.len())?;
    if outlook.merged > 0 {
        write!(out, ", {} to drop", outlook.merged)?;
    }
    if outlook.need_person > 0 {
        write!(out, ", {} to mend by hand", outlook.need_person)?;
    }
    write!(out, "{style:#}")?;
    match patches.last() {
        Some(last) => writeln!(out, "; tree {}", last.tree),
        None => writeln!(out),
    }
}

fn write_patch(out: &mut String, patch: &PatchRefresh) -> fmt::Result {
    let (style, words) = match &patch.outcome {
        RefreshOutcome::UpToDate => (GOOD, "up to date"),
        RefreshOutcome::Refreshed {
            how: RefreshKind::Offset,
            ..
        } => (GOOD, "refreshed"),
        RefreshOutcome::Refreshed {
            how: RefreshKind::ThreeWay,
            ..
        } => (ODD, "refreshed by a merge"),
        RefreshOutcome::Refreshed {
            how: RefreshKind::Fuzz,
            ..
        } => (ODD, "refreshed with fuzz"),
        RefreshOutcome::Merged => (ODD, "already there"),
        RefreshOutcome::Impossible { .. } => (BAD, "to be mended by hand"),
    };
    writeln!(
        out,
        "{style}{words}{style:#}  {BOLD}{}{BOLD:#}",
        plain(&patch.name)
    )?;
    match &patch.outcome {
        RefreshOutcome::Merged => return writeln!(out, "    {DIM}drop the patch{DIM:#}"),
        RefreshOutcome::Impossible { reason } if !has_reasons(patch) => {
            writeln!(out, "    {}", plain(reason))?;
        }
        _ => {}
    }
    for file in &patch.files {
        let path = plain(&file.path);
        match &file.outcome {
            FileOutcome::Offset { lines } => {
                let place = if *lines < 0 { "above" } else { "below" };
                writeln!(out, "    {path}: {} further {place}", count(lines.unsigned_abs()))?;
            }
            FileOutcome::ThreeWay {
                base: MergeBase::IndexLine,
            } => writeln!(out, "    {path}: merged, from the file that its index line names")?,
            FileOutcome::ThreeWay {
                base: MergeBase::LastApplied,
            } => writeln!(out, "    {path}: merged, from the file on which it last applied")?,
            FileOutcome::Fuzz { lines: 0 } => writeln!(out, "    {path}: placed as GNU patch does")?,
            FileOutcome::Fuzz { lines } => writeln!(
                out,
                "    {path}: placed with a fuzz of {}: look at it",
                count(u64::try_from(*lines).unwrap_or(u64::MAX))
            )?,
            FileOutcome::LeftOut => {
                writeln!(out, "    {path}: left out, the revision already has it")?;
            }
            FileOutcome::Impossible { reason } => writeln!(out, "    {}", plain(reason))?,
        }
    }
    Ok(())
}

fn has_reasons(patch: &PatchRefresh) -> bool {
    let is_reason = |file: &FileRefresh| matches!(file.outcome, FileOutcome::Impossible { .. });
    patch.files.iter().any(is_reason)
}

fn count(lines: u64) -> String {
    match lines {
        1 => "1 line".to_owned(),
        lines => format!("{lines} lines"),
    }
}
