//! `patchset history`: when the patches of a component at a release came, changed and went, by the
//! Git history of the team's repository.

mod changes;
mod log;
mod text;
mod threads;

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::error::Error;
use super::output::{note, print, print_styled};
use super::team::{SeriesAddress, TeamOptions, TeamRepository};
use crate::layout::{ComponentSeries, Selection, SeriesPatch};
use git_mirrors::local::LocalRepository;
use log::{HistoryLog, WatchedSeries};
use threads::PatchThread;

/// Options of `patchset history`.
#[derive(Debug, Args)]
pub struct TeamHistoryOptions {
    /// The component and the release, for instance glance/2025.2
    #[arg(value_name = "COMPONENT/RELEASE")]
    address: SeriesAddress,
    /// Show only patches with this in their name, or in one that they used to have
    #[arg(value_name = "PATCH")]
    patch: Option<String>,
    #[command(flatten)]
    team: TeamOptions,
    /// The revision of the team's repository whose history is shown
    #[arg(long, value_name = "REV", default_value = "HEAD")]
    revision: String,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: HistoryOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HistoryOutput {
    /// Human-readable.
    Text,
    /// One JSON object.
    Json,
}

/// The JSON output. Other tools read it: fields may be added, not changed.
#[derive(serde::Serialize)]
struct HistoryDocument<'a> {
    component: &'a str,
    release: &'a str,
    /// The folder, relative to the repository's root.
    folder: &'a str,
    patches: &'a [PatchThread],
    /// Why it is incomplete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

pub(super) fn run(options: &TeamHistoryOptions) -> Result<ExitCode, Error> {
    let address = &options.address;
    let selection = Selection::default();
    let team = options.team.open(Some(&address.component), &selection)?;
    let git = team.git()?;
    let watched = watched(&team, address)?;
    let tip = git
        .commit_of(&options.revision)
        .ok_or_else(|| no_commit(&git, options))?;
    let engine = options.team.paths.engine();
    let log = HistoryLog::read(&git, tip, &watched, &engine)?;
    let mut notes = log.notes;
    notes.extend(uncommitted(&team, &git, &watched));
    let mut threads = threads::follow(log.steps);
    if let Some(wanted) = &options.patch {
        threads.retain(|thread| thread.has_name(wanted));
        if threads.is_empty() {
            return Err(Error::Usage(format!(
                "{wanted}: no patch of {address} has or had it in its name"
            )));
        }
    }
    match options.output {
        HistoryOutput::Text => {
            print_styled(&text::text(address, &threads))?;
            for text in &notes {
                note(text);
            }
        }
        HistoryOutput::Json => {
            let mut text = serde_json::to_vec(&HistoryDocument {
                component: &address.component,
                release: &address.release,
                folder: &watched.folder,
                patches: &threads,
                notes,
            })?;
            text.push(b'\n');
            print(&text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn no_commit(git: &LocalRepository, options: &TeamHistoryOptions) -> Error {
    let revision = &options.revision;
    Error::Usage(if revision == "HEAD" {
        "the repository has no commit yet: there is no history".to_owned()
    } else if git.is_shallow() {
        format!(
            "--revision {revision}: the clone is shallow and has no such commit: git fetch --unshallow gets the rest"
        )
    } else {
        format!("--revision {revision}: the repository has no such commit")
    })
}

/// The folder of a series, and what its links lead to. If it is gone, the folder is the one that
/// the repository's other folders suggest.
fn watched(team: &TeamRepository, address: &SeriesAddress) -> Result<WatchedSeries, Error> {
    let found = team.find_series(address)?;
    let below = |folder: &str| match team.directory() {
        "" | "." => folder.to_owned(),
        directory => format!("{directory}/{folder}"),
    };
    let Some(series) = found else {
        let mut others = team.layout().series.iter();
        let folder = others.find_map(|other| folder_like(other, address));
        return match folder {
            Some(folder) => Ok(WatchedSeries {
                folder: below(&folder),
                outside: Vec::new(),
            }),
            // Says that there is none.
            None => Err(team
                .series(address)
                .err()
                .unwrap_or_else(|| Error::Usage(format!("{address}: there is no folder of patches for it")))),
        };
    };
    let folder = below(&series.folder);
    let is_outside = |patch: &&SeriesPatch| !patch.path.starts_with(&format!("{folder}/"));
    let outside = series.series.patches.iter().filter(is_outside);
    Ok(WatchedSeries {
        outside: outside.map(|patch| patch.path.clone()).collect(),
        folder,
    })
}

/// The folder that another component or release would have.
fn folder_like(other: &ComponentSeries, address: &SeriesAddress) -> Option<String> {
    let parts: Vec<&str> = other.folder.split('/').collect();
    if !parts.contains(&other.component.as_str()) || !parts.contains(&other.release.as_str()) {
        return None;
    }
    let parts = parts.into_iter().map(|part| {
        if part == other.component {
            address.component.as_str()
        } else if part == other.release {
            address.release.as_str()
        } else {
            part
        }
    });
    Some(parts.collect::<Vec<_>>().join("/"))
}

/// Says that the working tree has uncommitted changes.
fn uncommitted(team: &TeamRepository, git: &LocalRepository, watched: &WatchedSeries) -> Option<String> {
    let tree = git.tree_of("HEAD").ok()?;
    let committed = log::read_series(git, tree, &watched.folder).ok()?;
    let there = log::read_files(team, &watched.folder).ok()?;
    (committed != there).then(|| format!("{} has uncommitted changes, which are not shown", watched.folder))
}
