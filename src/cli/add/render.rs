//! The outcome of a source's patches at each release, for people.

use std::fmt::{self, Write};

use foreign_text::printable_lines;
use patch_refresh::{FileOutcome, FileRefresh, MergeBase, RefreshKind};

use super::trial::{PatchOutcome, PatchVerdict, ReleaseOutcome};
use crate::cli::style::{BAD, BOLD, DIM, GOOD, ODD, plain};
use crate::cli::team::SameBy;
use crate::layout::ComponentSeries;

/// Writes the outcome of a source at a release.
pub(super) fn write_release(out: &mut String, series: &ComponentSeries, outcome: &ReleaseOutcome) {
    // Writing to a string does not fail.
    for patch in &outcome.patches {
        let _ = write_patch(out, series, patch);
    }
    for note in &outcome.notes {
        let _ = writeln!(out, "    {DIM}{}{DIM:#}", plain(note));
    }
}

fn write_patch(out: &mut String, series: &ComponentSeries, patch: &PatchOutcome) -> fmt::Result {
    let subject = plain(&patch.subject);
    let path = |name: &str| match series.folder.as_str() {
        "" => plain(name),
        folder => plain(&format!("{folder}/{name}")),
    };
    match &patch.verdict {
        PatchVerdict::Added {
            name,
            refreshed: None,
        } => {
            writeln!(out, "  {GOOD}added{GOOD:#} {BOLD}{}{BOLD:#}", path(name))
        }
        PatchVerdict::Added {
            name,
            refreshed: Some((how, files)),
        } => {
            let (style, words) = match how {
                RefreshKind::Offset => (GOOD, "added, with other line numbers"),
                RefreshKind::ThreeWay | RefreshKind::Fuzz => (ODD, "added, by a merge: look at it"),
            };
            writeln!(out, "  {style}{words}{style:#} {BOLD}{}{BOLD:#}", path(name))?;
            write_files(out, files)
        }
        PatchVerdict::Held => writeln!(
            out,
            "  {ODD}not added{ODD:#} {subject}: it applies, but is added only with the rest of its source"
        ),
        PatchVerdict::InSeries { name, by } => {
            let by = match by {
                SameBy::PatchId => String::new(),
                by => format!(", by its {}", by.in_words()),
            };
            writeln!(out, "  {GOOD}already in the series{GOOD:#} as {}{by}", path(name))
        }
        PatchVerdict::Upstream { text } => {
            if text.is_empty() {
                return writeln!(
                    out,
                    "  {GOOD}already there{GOOD:#} {subject}: upstream, or a patch before it, already does all of it"
                );
            }
            writeln!(out, "  {GOOD}upstream has it{GOOD:#} {subject}")?;
            out.write_str(text)
        }
        PatchVerdict::Conflict { text } => {
            writeln!(out, "  {BAD}conflicts{BAD:#} {subject}")?;
            out.write_str(&printable_lines(text))
        }
    }
}

fn write_files(out: &mut String, files: &[FileRefresh]) -> fmt::Result {
    for file in files {
        let path = plain(&file.path);
        match &file.outcome {
            FileOutcome::Offset { lines } => {
                let place = if *lines < 0 { "above" } else { "below" };
                writeln!(out, "    {path}: {} lines further {place}", lines.unsigned_abs())?;
            }
            FileOutcome::ThreeWay { base } => {
                let base = match base {
                    MergeBase::IndexLine => "that it was made for",
                    MergeBase::LastApplied => "on which it last applied",
                };
                writeln!(out, "    {path}: merged, from the file {base}")?;
            }
            FileOutcome::LeftOut => writeln!(out, "    {path}: left out, the release already has it")?,
            FileOutcome::Fuzz { .. } | FileOutcome::Impossible { .. } => {}
        }
    }
    Ok(())
}
