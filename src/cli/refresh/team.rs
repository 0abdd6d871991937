//! Refreshes patches of a team's repository for what their components are built from.

use std::fmt::Write;
use std::process::ExitCode;

use patch_refresh::{PatchRefresh, RefreshOutcome};

use super::options::{RefreshOptions, RefreshOutput, needs_nobody};
use super::render::{self, FilesWritten, RefreshLine, RefreshedSeries};
use crate::cli::error::Error;
use crate::cli::output::{note, print};
use crate::cli::renumber::SeriesChoice;
use crate::cli::style::{BOLD, plain};
use crate::cli::team::{OpenSeries, SeriesAddress, TeamChanges, WriteMode};
use crate::cli::upstream_history::{RefreshTrial, SeriesHistory};
use crate::layout::{ComponentSeries, Selection, SeriesChange};

/// A series with what was made of its patches.
struct RefreshedFolder<'t> {
    series: &'t ComponentSeries,
    reference: String,
    refreshed: Vec<PatchRefresh>,
    history: SeriesHistory,
}

pub(super) fn refresh(options: &RefreshOptions) -> Result<ExitCode, Error> {
    let addresses = addresses(options)?;
    let selection = match &addresses {
        None => Selection::default(),
        Some(addresses) => {
            let components: Vec<String> = addresses.iter().map(|one| one.component.clone()).collect();
            let releases: Vec<String> = addresses.iter().map(|one| one.release.clone()).collect();
            Selection::named(&components, &releases)
        }
    };
    let component = match addresses.as_deref() {
        Some([only]) => Some(only.component.as_str()),
        _ => None,
    };
    let team = options.team.open(component, &selection)?;
    let upstreams = options
        .team
        .upstream
        .require("patches are refreshed for what their components are built from")?;
    let mut series = Vec::new();
    match &addresses {
        None => series.extend(&team.layout().series),
        Some(addresses) => {
            for address in addresses {
                series.push(team.series(address)?);
            }
        }
    }
    let mut changes = TeamChanges::new(&team);
    let (mut folders, mut has_failed) = (Vec::new(), false);
    for series in series {
        if series.series.patches.is_empty() && series.series.blocking_fault().is_none() {
            continue;
        }
        let address = SeriesAddress {
            component: series.component.clone(),
            release: series.release.clone(),
        };
        let open = OpenSeries::open(&team, &address, &upstreams, options.team.paths.engine());
        match open.and_then(|open| refresh_series(options, &open, &mut changes)) {
            Ok((reference, refreshed, history)) => folders.push(RefreshedFolder {
                series,
                reference,
                refreshed,
                history,
            }),
            // If all were requested, a failure does not stop the others.
            Err(error) if addresses.is_none() => {
                has_failed = true;
                note(&error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    print_outcome(options, &changes, &folders)?;
    let needs_somebody = folders
        .iter()
        .flat_map(|folder| &folder.refreshed)
        .any(|patch| !needs_nobody(patch));
    Ok(if needs_somebody || has_failed {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

/// The requested series; `None` for all.
fn addresses(options: &RefreshOptions) -> Result<Option<Vec<SeriesAddress>>, Error> {
    let mut addresses = Vec::new();
    for text in &options.patches {
        let text = text.to_string_lossy();
        match text.parse() {
            Ok(SeriesChoice::All) => return Ok(None),
            Ok(SeriesChoice::One(address)) => addresses.push(address),
            Err(error) => {
                return Err(Error::Usage(format!(
                    "{text}: {error}; for patch files, name the repository and the revision that they are for with --repo and --ref"
                )));
            }
        }
    }
    Ok(Some(addresses))
}

fn refresh_series(
    options: &RefreshOptions,
    open: &OpenSeries<'_, '_>,
    changes: &mut TeamChanges<'_>,
) -> Result<(String, Vec<PatchRefresh>, SeriesHistory), Error> {
    let (reports, history) = open.search(&options.history, RefreshTrial::Skipped)?;
    let last_applied = open.upstream.last_applied(&options.history)?;
    let refresh_options = patch_refresh::RefreshOptions {
        fuzz: options.fuzz,
        ..patch_refresh::RefreshOptions::default()
    };
    let refreshed = open.refresh(&reports, last_applied, &refresh_options)?;
    let replaced = refreshed.iter().filter_map(|patch| match &patch.outcome {
        RefreshOutcome::Refreshed { patch: bytes, .. } => Some(SeriesChange::Replace {
            name: patch.name.clone(),
            bytes: bytes.clone(),
        }),
        _ => None,
    });
    changes.change(open.series, &replaced.collect::<Vec<_>>())?;
    Ok((open.reference.clone(), refreshed, history))
}

fn print_outcome(
    options: &RefreshOptions,
    changes: &TeamChanges<'_>,
    folders: &[RefreshedFolder<'_>],
) -> Result<(), Error> {
    let mode = WriteMode::new(options.dry_run);
    for folder in folders {
        if let Some(text) = &folder.history.note {
            note(&format!("{}: {text}", folder.series.folder));
        }
    }
    if options.output == RefreshOutput::Json {
        if mode == WriteMode::Write {
            changes.write(mode, "")?;
        }
        let mut text = Vec::new();
        for folder in folders {
            for (number, patch) in folder.refreshed.iter().enumerate() {
                let mut patch = patch.clone();
                patch.name = format!("{}/{}", folder.series.folder, patch.name);
                let line = RefreshLine::new(&patch, folder.history.fields(number));
                serde_json::to_writer(&mut text, &line)?;
                text.push(b'\n');
            }
        }
        return print(&text);
    }
    let mut text = String::new();
    for folder in folders {
        let (path, reference) = (plain(&folder.series.folder), plain(&folder.reference));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{BOLD}{path}{BOLD:#} at {reference}");
        text.push_str(&render::text(&RefreshedSeries {
            refreshed: &folder.refreshed,
            history: &folder.history,
            written: if options.dry_run {
                FilesWritten::None
            } else {
                FilesWritten::Refreshed
            },
        }));
    }
    changes.write(mode, &text)
}
