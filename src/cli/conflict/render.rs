//! A conflict for people, and as files.

use std::fmt::Write;
use std::path::{Component, Path};

use foreign_text::printable_line;
use patch_refresh::{FileVersion, VersionSource};

use super::report::{ConflictReport, FileReportFields};
use crate::cli::error::Error;
use crate::cli::style::{BAD, BOLD, DIM, GOOD, ODD, plain};

/// The most lines of one text in the report for people.
const SHOWN_LINES: usize = 120;

/// How many lines around a conflict are shown.
const AROUND: usize = 3;

/// The report for people.
pub(super) fn text(report: &ConflictReport) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = fill(&mut text, report);
    text
}

fn fill(text: &mut String, report: &ConflictReport) -> std::fmt::Result {
    let commit = report
        .commit
        .as_deref()
        .and_then(|commit| commit.get(..12))
        .unwrap_or_default();
    writeln!(
        text,
        "{BOLD}{}/{}{BOLD:#}  {}\non {} {DIM}{commit}{DIM:#}: {BAD}{}{BAD:#}{}",
        plain(&report.folder),
        plain(&report.patch),
        plain(&report.subject),
        plain(&report.reference),
        report.state,
        report
            .error
            .as_ref()
            .map(|error| format!(", {}", plain(error)))
            .unwrap_or_default()
    )?;
    match &report.broken_by {
        Some(broken) => {
            writeln!(text, "\nbroken by {BOLD}{}{BOLD:#}", broken.commit)?;
            for detail in [Some(&broken.author), broken.date.as_ref(), broken.url.as_ref()]
                .into_iter()
                .flatten()
            {
                writeln!(text, "    {}", plain(detail))?;
            }
            add_lines(text, &broken.message, "    ")?;
        }
        None => writeln!(text, "\nwhich commit broke it is not known")?,
    }
    for file in &report.files {
        add_file(text, file)?;
    }
    for other in &report.elsewhere {
        let style = match other.state.as_deref() {
            Some("Clean" | "Offset") => GOOD,
            _ => ODD,
        };
        let state = other.state.as_deref().unwrap_or("not known");
        let same = if other.difference.is_none() {
            ", the same"
        } else {
            ", which differs:"
        };
        writeln!(
            text,
            "\nat {BOLD}{}{BOLD:#}  {style}{state}{style:#}  {}{same}",
            plain(&other.release),
            plain(&other.patch)
        )?;
        if let Some(difference) = &other.difference {
            add_lines(text, difference, "    ")?;
        }
    }
    writeln!(
        text,
        "\nsolve it with patchset edit {}/{}; --write DIR writes these files",
        report.component, report.release
    )
}

fn add_lines(text: &mut String, lines: &str, indent: &str) -> std::fmt::Result {
    for line in lines.trim_end().lines().take(SHOWN_LINES) {
        writeln!(text, "{indent}{}", printable_line(line))?;
    }
    if lines.lines().count() > SHOWN_LINES {
        writeln!(
            text,
            "{indent}{DIM}… in full with --output json or --write{DIM:#}"
        )?;
    }
    Ok(())
}

fn add_file(text: &mut String, file: &FileReportFields) -> std::fmt::Result {
    let Some(error) = &file.error else {
        return writeln!(
            text,
            "\n{BOLD}{}{BOLD:#}  {GOOD}applies{GOOD:#}",
            plain(&file.path)
        );
    };
    writeln!(
        text,
        "\n{BOLD}{}{BOLD:#}  {BAD}{}{BAD:#}",
        plain(&file.path),
        plain(error)
    )?;
    let base = match file.file.source {
        VersionSource::Ours | VersionSource::IndexLine => "base: the file that the patch's index line names",
        VersionSource::LastApplied => "base: the file on which the patch last applied",
        VersionSource::Reconstructed => {
            "base: not known; what the patch expects was put where it matches best"
        }
        VersionSource::Unknown => "base: not known, and the contents are binary",
    };
    writeln!(text, "  {DIM}{base}{DIM:#}")?;
    if file.file.ours.is_none() {
        writeln!(text, "  ours: upstream has no such file")?;
    }
    let Some(merged) = &file.merged else {
        return Ok(());
    };
    if file.conflicts == 0 {
        return writeln!(
            text,
            "  {GOOD}merges without a conflict: patchset refresh mends it{GOOD:#}"
        );
    }
    let lines: Vec<&str> = merged.lines().collect();
    let mut shown = vec![false; lines.len()];
    let mut in_conflict = false;
    for (at, line) in lines.iter().enumerate() {
        let ends = line.starts_with(">>>>>>> ");
        in_conflict |= line.starts_with("<<<<<<< ");
        if in_conflict {
            let around = at.saturating_sub(AROUND)..(at + AROUND + 1).min(lines.len());
            for place in around {
                if let Some(shown) = shown.get_mut(place) {
                    *shown = true;
                }
            }
        }
        in_conflict &= !ends;
    }
    let mut last = None;
    let selected = lines
        .iter()
        .enumerate()
        .filter(|(at, _)| shown.get(*at) == Some(&true));
    for (count, (at, line)) in selected.enumerate() {
        if count >= SHOWN_LINES {
            return writeln!(text, "  {DIM}… in full with --output json or --write{DIM:#}");
        }
        if last.is_some_and(|last| last + 1 != at) {
            writeln!(text, "  {DIM}…{DIM:#}")?;
        }
        writeln!(text, "  {DIM}{:>5}{DIM:#} {}", at + 1, printable_line(line))?;
        last = Some(at);
    }
    Ok(())
}

/// Writes the files of a conflict into a new or empty folder: `base/`, `ours/`, `theirs/` and
/// `merged/` with the upstream's paths in them, and `README.md`.
pub(super) fn write_files(folder: &Path, report: &ConflictReport) -> Result<(), Error> {
    let is_empty = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if folder.exists() && !is_empty {
        return Err(Error::Usage(format!(
            "--write {}: it is not empty; name a new folder",
            folder.display()
        )));
    }
    for FileReportFields { file, .. } in &report.files {
        let contents =
            |version: &Option<FileVersion>| version.as_ref().map(|version| version.contents.clone());
        let sides = [
            ("base", contents(&file.base)),
            ("ours", contents(&file.ours)),
            ("theirs", contents(&file.theirs)),
            ("merged", file.merged.clone()),
        ];
        for (side, bytes) in sides {
            if let Some(bytes) = bytes {
                write_file(folder, &format!("{side}/{}", file.path), &bytes)?;
            }
        }
    }
    let readme = anstream::adapter::strip_str(&text(report)).to_string();
    write_file(folder, "README.md", format!("```\n{readme}```\n").as_bytes())
}

fn write_file(folder: &Path, path: &str, bytes: &[u8]) -> Result<(), Error> {
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if !Path::new(path).components().all(is_plain) {
        return Err(Error::Usage(format!(
            "{path} is not written: it leads out of the folder"
        )));
    }
    let whole = folder.join(path);
    let above = whole.parent().unwrap_or(folder);
    let written = std::fs::create_dir_all(above).and_then(|()| std::fs::write(&whole, bytes));
    written.map_err(|source| Error::Io {
        path: whole.display().to_string(),
        source,
    })
}
