//! The report as a page: one file that opens from disk.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::report::{MergedConstraints, OverrideRow, PatchRow, Report};
use super::links::Links;
use super::table;
use super::words::{self, Quoting};
use crate::cli::error::Error;
use crate::cli::local_files::LocalFolder;
use crate::cli::style::plain;
use crate::page::{
    FaultView, HighlightBudget, MergedFileView, OverrideView, OverridesView, PatchSource, PatchView,
    ReportPage, SeriesView, Tally, slug,
};

/// Bytes of patches whose diffs are in a report: those beyond are named but not shown.
const SHOWN_BYTES: usize = 16 << 20;

/// Bytes of one patch whose diff is in a report.
const SHOWN_BYTES_OF_ONE: usize = 1 << 20;

/// Bytes of diffs that are coloured by language, and how long that may take.
const COLOURED_BYTES: usize = 2 << 20;
const COLOURS_WITHIN: Duration = Duration::from_secs(5);

/// The report as a page.
///
/// # Errors
///
/// Where it cannot be made.
pub(super) fn text(report: &Report, folder: &LocalFolder, links: &Links) -> Result<Vec<u8>, Error> {
    let mut overrides: BTreeMap<&str, Vec<&OverrideRow>> = BTreeMap::new();
    for row in &report.overrides {
        overrides.entry(&row.release).or_default().push(row);
    }
    let page = ReportPage {
        title: title(folder),
        is_ok: report.ok,
        summary: table::summary_in_words(report),
        base: report.base.as_ref().map(|base| {
            let commit = base.commit.get(..7).unwrap_or_default();
            format!("Compared to {} ({commit}).", plain(&base.revision))
        }),
        changes: report
            .changes
            .iter()
            .map(|change| words::change(change, report, Quoting::Plain))
            .collect(),
        series: series(report, links),
        overrides: overrides
            .into_iter()
            .map(|(release, rows)| of_release(release, &rows, report.merged.get(release)))
            .collect(),
        faults: report
            .faults
            .iter()
            .map(|fault| FaultView {
                kind: fault.kind.as_str().to_owned(),
                place: match fault.line {
                    Some(line) => format!("{}:{line}", plain(&fault.path)),
                    None => plain(&fault.path),
                },
                url: links.url(&fault.path, fault.line),
                message: plain(&fault.message),
                fails: fault.kind.fails(),
            })
            .collect(),
        notes: report.notes.iter().map(|note| plain(note)).collect(),
    };
    Ok(page.render()?.into_bytes())
}

/// What was checked: the name of the folder.
fn title(folder: &LocalFolder) -> String {
    let whole = folder.files.root().join(&folder.path);
    let name = whole.components().next_back();
    plain(
        &name
            .map(|name| name.as_os_str().to_string_lossy())
            .unwrap_or_default(),
    )
}

/// The patches by folder: the worst first, otherwise in the order in which they were checked.
fn series(report: &Report, links: &Links) -> Vec<SeriesView> {
    let mut room = SHOWN_BYTES;
    let end = Instant::now() + COLOURS_WITHIN;
    let goes_on = || Instant::now() < end;
    let budget = HighlightBudget::new(COLOURED_BYTES, &goes_on);
    let rows = report
        .patches
        .chunk_by(|a, b| (&a.component, &a.release, &a.folder) == (&b.component, &b.release, &b.folder));
    let mut series: Vec<SeriesView> = rows
        .enumerate()
        .filter_map(|(number, rows)| {
            let first = rows.first()?;
            let id = format!("s{number}-{}-{}", slug(&first.component), slug(&first.release));
            let patches: Vec<PatchView> = rows
                .iter()
                .enumerate()
                .map(|(at, row)| {
                    let shown = source(row, &mut room, &budget);
                    patch(row, shown, format!("s{number}-p{}", at + 1), links)
                })
                .collect();
            Some(SeriesView {
                href: format!("#{id}"),
                id,
                namespace: None,
                component: plain(&first.component),
                release: plain(&first.release),
                reference: report.refs.get(&first.folder).map(|place| plain(&place.name)),
                folder: Some(plain(&first.folder)),
                standing: SeriesView::standing_of_patches(&patches),
                failure: None,
                tally: Tally::count(rows.iter().map(|row| row.status.state)),
                tag: None,
                since: None,
                patches,
                omitted: 0,
            })
        })
        .collect();
    series.sort_by_key(|series| std::cmp::Reverse(series.standing));
    series
}

/// The bytes of a patch, as far as there is room for them.
fn source<'a>(row: &'a PatchRow, room: &mut usize, budget: &'a HighlightBudget<'a>) -> PatchSource<'a> {
    let size = row.bytes.len();
    let is_shown = size <= SHOWN_BYTES_OF_ONE && size <= *room;
    if is_shown {
        *room -= size;
    }
    PatchSource {
        bytes: &row.bytes,
        is_shown,
        budget,
    }
}

fn patch(row: &PatchRow, source: PatchSource<'_>, id: String, links: &Links) -> PatchView {
    PatchView {
        url: links.url(&row.path, row.line),
        ..PatchView::new(
            id,
            &row.status,
            Some(source),
            "take the refreshed patch: patchset check --fix writes it",
        )
    }
}

fn of_release(release: &str, rows: &[&OverrideRow], merged: Option<&MergedConstraints>) -> OverridesView {
    let id = format!("overrides-{}", slug(release));
    let view = |row: &OverrideRow| OverrideView {
        package: plain(&row.package),
        state: row.state,
        from: row.from.as_deref().map(plain),
        to: row.to.as_deref().map(plain),
        attention: row.needs_attention(),
        message: plain(&row.message),
        line: row.merged_line,
        anchor: match row.line {
            Some(line) => format!("{id}-line-{line}"),
            None => format!("{id}-package-{}", slug(&row.package)),
        },
    };
    OverridesView {
        release: plain(release),
        overrides: rows.iter().map(|row| view(row)).collect(),
        omitted: 0,
        merged: merged.map(|merged| {
            let all: Vec<OverrideView> = merged.overrides.iter().map(view).collect();
            MergedFileView::new(&id, &merged.text, &all)
        }),
        id: id.clone(),
    }
}
