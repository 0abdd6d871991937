//! `patchset conflict`: all that is needed to solve a conflict, in one place.

mod render;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::error::Error;
use super::output::{note, print, print_styled};
use super::style::plain;
use super::team::{OpenSeries, SeriesAddress, TeamOptions, TeamRepository, Upstreams};
use super::upstream_history::{HistoryOptions, RefreshTrial, SeriesHistory};
use crate::layout::{ComponentSeries, Selection};
use crate::rework::{PatchFingerprint, compare_series, conflict_files, pair_patches};
use git_apply_engine::{LayeredStore, Objects, Oid, PatchInput, PatchReport, PatchState, Sequence};
use patch_refresh::{RefreshOptions, ThreeWayHints};
use report::{BreakingCommit, ConflictReport, ElsewhereReport};

/// Options of `patchset conflict`.
#[derive(Debug, Args)]
pub struct ConflictOptions {
    #[command(flatten)]
    team: TeamOptions,
    #[command(flatten)]
    history: HistoryOptions,
    /// The component and the release, for instance glance/2025.2
    #[arg(value_name = "COMPONENT/RELEASE")]
    series: SeriesAddress,
    /// The patch: its name, or the number that it begins with [default: the first that does not
    /// apply]
    #[arg(value_name = "PATCH")]
    patch: Option<String>,
    /// Also write the files into this folder, which must be new or empty: base, ours and theirs,
    /// merged with markers, and a README
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: ConflictOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ConflictOutput {
    /// Human-readable.
    Text,
    /// One JSON object, with the files' contents.
    Json,
}

pub(super) fn run(options: &ConflictOptions) -> Result<ExitCode, Error> {
    let address = &options.series;
    let selection = Selection::named(std::slice::from_ref(&address.component), &[]);
    let team = options.team.open(Some(&address.component), &selection)?;
    let upstreams = options
        .team
        .upstream
        .require("whether a patch applies shows in the component's repository")?;
    let open = OpenSeries::open(&team, address, &upstreams, options.team.paths.engine())?;
    let (reports, history) = open.search(&options.history, RefreshTrial::Skipped)?;
    let searched = ConflictSearch {
        open: &open,
        reports: &reports,
        history: &history,
    };
    if let Some(text) = &history.note {
        note(text);
    }
    let Some(at) = options.choose(&searched)? else {
        match options.output {
            ConflictOutput::Text => {
                let which = options.patch.as_deref().unwrap_or("no patch");
                let has = if options.patch.is_some() {
                    "has no conflict"
                } else {
                    "has a conflict"
                };
                print_styled(&format!("{address}: {} {has}\n", plain(which)))?;
            }
            ConflictOutput::Json => print(b"null\n")?,
        }
        return Ok(ExitCode::SUCCESS);
    };
    let report = options.report(&team, &upstreams, &searched, at)?;
    if let Some(folder) = &options.write {
        render::write_files(folder, &report)?;
    }
    match options.output {
        ConflictOutput::Text => print_styled(&render::text(&report))?,
        ConflictOutput::Json => {
            let mut text = serde_json::to_vec_pretty(&report)?;
            text.push(b'\n');
            print(&text)?;
        }
    }
    Ok(ExitCode::from(1))
}

/// A series with what upstream did with its patches.
struct ConflictSearch<'a> {
    open: &'a OpenSeries<'a, 'a>,
    /// One per patch, with what upstream has.
    reports: &'a [PatchReport],
    history: &'a SeriesHistory,
}

impl ConflictOptions {
    /// The number of the patch, from 0; `None` if the named one, or each, has no conflict.
    fn choose(&self, searched: &ConflictSearch<'_>) -> Result<Option<usize>, Error> {
        let ConflictSearch { open, reports, .. } = searched;
        let is_stuck = |report: &PatchReport| {
            matches!(
                report.state,
                PatchState::Conflict | PatchState::Blocked | PatchState::Malformed
            )
        };
        let Some(wanted) = &self.patch else {
            return Ok(reports.iter().position(is_stuck));
        };
        let is_meant = |patch: &PatchInput| {
            let base = patch.name.rsplit('/').next().unwrap_or(&patch.name);
            let digits: String = base.chars().take_while(char::is_ascii_digit).collect();
            let number = |text: &str| text.parse::<u64>().ok();
            patch.name == *wanted
                || base == wanted
                || (number(&digits).is_some() && number(&digits) == number(wanted))
        };
        let found: Vec<usize> = (0..open.patches.len())
            .filter(|at| open.patches.get(*at).is_some_and(is_meant))
            .collect();
        let names: Vec<&str> = open.patches.iter().map(|patch| patch.name.as_str()).collect();
        let [at] = found.as_slice() else {
            return Err(Error::Usage(format!(
                "{}: {wanted} names {} of its patches: {}",
                self.series,
                if found.is_empty() { "none" } else { "several" },
                names.join(", ")
            )));
        };
        let report = reports.get(*at);
        if report.is_some_and(|report| !is_stuck(report)) {
            return Ok(None);
        }
        Ok(Some(*at))
    }

    fn report(
        &self,
        team: &TeamRepository,
        upstreams: &Upstreams,
        searched: &ConflictSearch<'_>,
        at: usize,
    ) -> Result<ConflictReport, Error> {
        let ConflictSearch {
            open,
            reports,
            history,
        } = searched;
        let missing = || Error::Usage(format!("{}: there is no patch {}", self.series, at + 1));
        let patch = open.patches.get(at).ok_or_else(missing)?;
        let patch_report = reports.get(at).ok_or_else(missing)?;
        let before = open.patches.get(..at).unwrap_or_default();
        let mut ours = LayeredStore::over(&open.upstream as &dyn Objects);
        let tree = laid(&mut ours, open.upstream.tree_id(), before, &open.engine)?;
        let last_applied = match open.upstream.last_applied(&self.history)? {
            Some(tree) => laid(&mut ours, tree, before, &open.engine).ok(),
            None => None,
        };
        let hints = ThreeWayHints {
            blobs: Some(&open.upstream),
            last_applied,
        };
        let refresh = RefreshOptions {
            engine: open.engine.clone(),
            ..RefreshOptions::default()
        };
        let files = conflict_files(&ours, tree, patch, hints, &refresh)?;
        let found = history.patches.get(at);
        let broken_by = found.and_then(|found| found.broken_by.as_ref());
        let fingerprint = PatchFingerprint::read(patch, &open.engine);
        Ok(ConflictReport {
            component: self.series.component.clone(),
            release: self.series.release.clone(),
            folder: open.series.folder.clone(),
            reference: open.reference.clone(),
            commit: open.upstream.commit().map(|commit| commit.to_string()),
            patch: patch.name.clone(),
            subject: fingerprint.subject.clone(),
            state: patch_report.state.to_string(),
            error: patch_report.error.clone(),
            broken_by: broken_by.map(|commit| BreakingCommit::new(commit, &open.upstream)),
            files: files
                .into_iter()
                .map(|file| {
                    let mut file_report = report::FileReportFields::from(file);
                    let own = patch_report
                        .files
                        .iter()
                        .find(|known| known.path == file_report.path);
                    // The error from the whole patch, with its line numbers.
                    file_report.error = file_report
                        .error
                        .map(|error| own.and_then(|own| own.error.clone()).unwrap_or(error));
                    file_report
                })
                .collect(),
            elsewhere: self.elsewhere(team, upstreams, (open.series, patch)),
        })
    }

    /// The same patch at the component's other releases.
    fn elsewhere(
        &self,
        team: &TeamRepository,
        upstreams: &Upstreams,
        (own, patch): (&ComponentSeries, &PatchInput),
    ) -> Vec<ElsewhereReport> {
        let engine = self.team.paths.engine();
        let wanted = [PatchFingerprint::read(patch, &engine)];
        let mut elsewhere = Vec::new();
        let others = team.layout().series.iter();
        let others = others.filter(|series| series.component == own.component && series.folder != own.folder);
        for series in others {
            // `patchset check` reports what cannot be read of another release.
            let Ok(patches) = team.patches(series) else {
                continue;
            };
            let all: Vec<PatchFingerprint> = patches
                .iter()
                .map(|patch| PatchFingerprint::read(patch, &engine))
                .collect();
            let pairs = pair_patches(&wanted, &all, &[]);
            let Some(at) = pairs.iter().position(Option::is_some) else {
                continue;
            };
            let Some(same) = patches.get(at) else { continue };
            let address = SeriesAddress {
                component: series.component.clone(),
                release: series.release.clone(),
            };
            let state = match OpenSeries::open(team, &address, upstreams, engine.clone()) {
                Ok(open) => open.reports().get(at).map(|report| report.state.to_string()),
                Err(error) => {
                    note(&format!("{address}: {error}"));
                    None
                }
            };
            let compared = compare_series(std::slice::from_ref(patch), std::slice::from_ref(same), &engine);
            elsewhere.push(ElsewhereReport {
                release: series.release.clone(),
                patch: same.name.clone(),
                state,
                difference: compared.patches.into_iter().find_map(|patch| patch.difference),
            });
        }
        elsewhere
    }
}

/// Applies patches to a tree, as far as they apply, and returns the resulting tree.
fn laid(
    store: &mut LayeredStore<&dyn Objects>,
    tree: Oid,
    patches: &[PatchInput],
    engine: &git_apply_engine::Options,
) -> Result<Oid, Error> {
    let series = git_apply_engine::apply(&*store, tree, patches, Sequence::Stacked, engine)?;
    Ok(series.write(store)?)
}
