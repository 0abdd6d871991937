//! `patchset list`: the patches of a team's repository, by component and release.

mod csv_rows;
mod rows;
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::error::Error;
use super::output::{note, print, print_styled};
use super::table;
use super::team::{OpenSeries, PatchMarks, SeriesAddress, TeamOptions, TeamRepository, Upstreams};
use super::upstream_history::{HistoryOptions, RefreshTrial};
use super::workers::work_on_all;
use crate::layout::{ComponentSeries, LayoutError, Selection};
use crate::plan::report;
use crate::plan::upstream_history::{CommitLinks, add_history};
use git_apply_engine::{Options, PatchInput};
use patchset_api::status::PatchStatus;
use rows::{ListedSeries, PatchListing, SamePatch};

/// Options of `patchset list`.
#[derive(Debug, Args)]
pub struct ListOptions {
    #[command(flatten)]
    team: TeamOptions,
    /// The same as -C
    #[arg(value_name = "DIR", hide = true, conflicts_with = "dir")]
    folder: Option<PathBuf>,
    /// List only what concerns this component; may be repeated
    #[arg(long, value_name = "NAME")]
    component: Vec<String>,
    /// List only this release; may be repeated
    #[arg(long, value_name = "RELEASE")]
    release: Vec<String>,
    #[command(flatten)]
    history: HistoryOptions,
    /// How to print the patches
    #[arg(long, value_enum, default_value = "table")]
    output: ListOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListOutput {
    /// Human-readable.
    Table,
    /// One JSON object.
    Json,
    /// One line per patch, for spreadsheets: what could be a formula is prefixed with '
    Csv,
}

/// What is known of a series.
struct ReadSeries<'a> {
    series: &'a ComponentSeries,
    patches: Vec<PatchInput>,
    marks: Vec<PatchMarks>,
}

/// What became of the patches of a series.
#[derive(Default)]
struct SeriesOutcome {
    statuses: Vec<PatchStatus>,
    /// The address of its upstream.
    upstream: Option<String>,
    note: Option<String>,
}

pub(super) fn run(options: &ListOptions) -> Result<ExitCode, Error> {
    let team = options.open()?;
    let engine = options.team.paths.engine();
    let upstreams = options.team.upstream.open()?;
    let mut is_whole = true;
    let mut complain = |message: &str| {
        note(message);
        is_whole = false;
    };
    let mut read = Vec::new();
    for series in &team.layout().series {
        match team.patches(series) {
            Ok(patches) => read.push(ReadSeries {
                series,
                marks: patches
                    .iter()
                    .map(|patch| PatchMarks::read(patch, &engine))
                    .collect(),
                patches,
            }),
            // It says where by itself.
            Err(Error::Layout(LayoutError::Faulty(fault))) => complain(&fault.to_string()),
            Err(error) => complain(&format!("{}: {error}", series.folder)),
        }
    }
    let wanted = Selection::named(&[], &options.release);
    let is_listed =
        |read: &&ReadSeries<'_>| !read.patches.is_empty() && wanted.has_release(&read.series.release);
    let listed: Vec<&ReadSeries<'_>> = read.iter().filter(is_listed).collect();
    let outcomes = match &upstreams {
        Some(upstreams) => {
            let label = |read: &&ReadSeries<'_>| address(read.series).to_string();
            let work = |read: &&ReadSeries<'_>| options.judge(&team, read.series, upstreams, &engine);
            work_on_all(&listed, label, work).into_iter().map(Some).collect()
        }
        None => listed.iter().map(|_| None).collect::<Vec<_>>(),
    };
    let now = Timestamp::now();
    let mut rows = Vec::new();
    for (one, outcome) in listed.iter().zip(outcomes) {
        let outcome = match outcome {
            None => SeriesOutcome::default(),
            Some(Ok(outcome)) => outcome,
            Some(Err(error)) => {
                complain(&error.to_string());
                SeriesOutcome::default()
            }
        };
        if let Some(text) = &outcome.note {
            note(&format!("{}: {text}", address(one.series)));
        }
        rows.push(listed_series(one, outcome, &read, now));
    }
    write(options.output, &rows)?;
    Ok(if is_whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

impl ListOptions {
    /// Opens the repository with all releases of each component, as they are compared.
    fn open(&self) -> Result<TeamRepository, Error> {
        let component = match self.component.as_slice() {
            [component] => Some(component.as_str()),
            _ => None,
        };
        let dir = self.folder.as_deref().unwrap_or(self.team.dir());
        let open = |releases: &[String]| {
            let selection = Selection::named(&self.component, releases);
            TeamRepository::open(dir, &self.team.layout, component, &selection)
        };
        if !self.release.is_empty() {
            // Check that they exist.
            open(&self.release)?;
        }
        open(&[])
    }

    /// What becomes of the patches of a series.
    fn judge(
        &self,
        team: &TeamRepository,
        series: &ComponentSeries,
        upstreams: &Upstreams,
        engine: &Options,
    ) -> Result<SeriesOutcome, Error> {
        let open = OpenSeries::open(team, &address(series), upstreams, engine.clone())?;
        let (reports, history) = open.search(&self.history, RefreshTrial::Skipped)?;
        let mut statuses = report::patches(&reports);
        let links = CommitLinks {
            upstream: history.upstream.as_deref().unwrap_or_default(),
            template: None,
        };
        add_history(&mut statuses, &history.patches, links);
        Ok(SeriesOutcome {
            statuses,
            upstream: open.upstream.url(),
            note: history.note,
        })
    }
}

fn address(series: &ComponentSeries) -> SeriesAddress {
    SeriesAddress {
        component: series.component.clone(),
        release: series.release.clone(),
    }
}

/// The rows of a series. `outcome` has what became of each patch, or nothing.
fn listed_series(
    read: &ReadSeries<'_>,
    outcome: SeriesOutcome,
    all: &[ReadSeries<'_>],
    now: Timestamp,
) -> ListedSeries {
    let ReadSeries {
        series,
        patches,
        marks,
    } = read;
    let others: Vec<&ReadSeries<'_>> = all
        .iter()
        .filter(|other| other.series.component == series.component && other.series.release != series.release)
        .collect();
    let patches = patches.iter().zip(marks).enumerate().map(|(at, (patch, marks))| {
        let mut row = PatchListing::new(patch, now);
        row.same_in = same_patches(marks, &others);
        if let Some(status) = outcome.statuses.get(at) {
            row.take_status(status);
        }
        row
    });
    let patches = patches.collect();
    ListedSeries {
        component: series.component.clone(),
        release: series.release.clone(),
        reference: series.reference.clone(),
        upstream: outcome.upstream,
        folder: series.folder.clone(),
        patches,
    }
}

/// The other releases that have a patch, each with the one that is most surely the same.
fn same_patches(marks: &PatchMarks, others: &[&ReadSeries<'_>]) -> Vec<SamePatch> {
    let mut found = BTreeMap::new();
    for other in others {
        let candidates = other.patches.iter().zip(&other.marks);
        let same = candidates.filter_map(|(patch, theirs)| Some((marks.same_as(theirs)?, patch, theirs)));
        if let Some((by, patch, theirs)) = same.min_by_key(|(by, ..)| *by) {
            let files = marks.differing_files(theirs).into_iter().map(ToOwned::to_owned);
            found.insert(
                other.series.release.clone(),
                SamePatch {
                    release: other.series.release.clone(),
                    name: patch.name.clone(),
                    by,
                    differs_in: files.collect(),
                },
            );
        }
    }
    found.into_values().collect()
}

fn write(output: ListOutput, rows: &[ListedSeries]) -> Result<(), Error> {
    match output {
        ListOutput::Table => print_styled(&text::text(rows, &table::arrangement(), None)),
        ListOutput::Csv => print(&csv_rows::text(rows)?),
        ListOutput::Json => {
            let mut text = serde_json::to_vec(&rows::ListDocument { series: rows })?;
            text.push(b'\n');
            print(&text)
        }
    }
}
