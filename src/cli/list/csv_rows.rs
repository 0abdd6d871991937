//! The patches for spreadsheets.

use csv::{QuoteStyle, WriterBuilder};
use foreign_text::printable_lines;

use super::rows::{ListedSeries, PatchListing};
use crate::cli::error::Error;

const HEADER: [&str; 15] = [
    "component",
    "release",
    "ref",
    "patch",
    "state",
    "subject",
    "author",
    "bugs",
    "cves",
    "origin",
    "upstreamStatus",
    "forwarded",
    "date",
    "ageDays",
    "alsoIn",
];

/// One line per patch below a header, as in RFC 4180.
///
/// Anybody may have written a patch, and spreadsheets take a cell that begins with `=`, `+`, `-` or
/// `@` for a formula, even in quotes: such cells get a `'` in front.
///
/// # Errors
///
/// Where it cannot be written.
pub(super) fn text(rows: &[ListedSeries]) -> Result<Vec<u8>, Error> {
    let mut writer = WriterBuilder::new()
        .quote_style(QuoteStyle::Necessary)
        .from_writer(Vec::new());
    let failed = |error: &dyn std::fmt::Display| Error::Usage(format!("cannot write CSV: {error}"));
    writer.write_record(HEADER).map_err(|error| failed(&error))?;
    for series in rows {
        for patch in &series.patches {
            let record = record(series, patch).map(|cell| harmless(&cell));
            writer.write_record(record).map_err(|error| failed(&error))?;
        }
    }
    writer.into_inner().map_err(|error| failed(&error))
}

fn record(series: &ListedSeries, patch: &PatchListing) -> [String; 15] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let bugs = patch.bugs.iter().map(|bug| bug.url.as_ref().unwrap_or(&bug.id));
    let also_in = patch.same_in.iter().map(|same| match same.differs_in.as_slice() {
        [] => same.release.clone(),
        files => format!("{} (differs in {})", same.release, files.join(" ")),
    });
    [
        series.component.clone(),
        series.release.clone(),
        text(&series.reference),
        patch.name.clone(),
        patch
            .state
            .map_or_else(String::new, |state| state.as_str().to_owned()),
        text(&patch.subject),
        text(&patch.author),
        bugs.cloned().collect::<Vec<_>>().join(" "),
        patch.cves.join(" "),
        text(&patch.origin),
        text(&patch.upstream_status),
        text(&patch.forwarded),
        patch.date.map_or_else(String::new, |date| date.to_string()),
        patch.age_days.map_or_else(String::new, |days| days.to_string()),
        also_in.collect::<Vec<_>>().join("; "),
    ]
}

/// A cell that no spreadsheet takes for a formula.
fn harmless(cell: &str) -> String {
    let cell = printable_lines(cell);
    if cell.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_formula_is_text() {
        for (cell, shown) in [
            ("=HYPERLINK(\"x\")", "'=HYPERLINK(\"x\")"),
            ("+1", "'+1"),
            (" -1", "' -1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("Fix a=b", "Fix a=b"),
            ("", ""),
        ] {
            assert_eq!(harmless(cell), shown);
        }
    }
}
