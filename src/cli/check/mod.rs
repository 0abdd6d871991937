//! `patchset check`: every patch and every override of every release of a repository, before
//! anything is built.

mod overrides;
mod patches;
mod render;
mod report;
mod upstream;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::error::Error;
use super::input;
use super::layout_options::LayoutArguments;
use super::local_files::LocalFolder;
use super::output::print;
use super::upstream_history::HistoryOptions;
use crate::layout::{ComponentSeries, ReleaseFolder, RepositoryLayout, Selection};
use crate::text::printable_lines;
use report::{Report, Strictness};
use upstream::Upstreams;

/// Options of `patchset check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// The folder that holds patches/, overrides/ and releases/
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    layout: LayoutArguments,
    /// What holds the components' repositories: a folder of clones, or the part of their URL before
    /// the component
    #[arg(long, value_name = "BASE")]
    upstream: Option<String>,
    /// Check only what concerns this component or package; may be repeated
    #[arg(long, value_name = "NAME")]
    component: Vec<String>,
    /// Check only this release; may be repeated
    #[arg(long, value_name = "RELEASE")]
    release: Vec<String>,
    /// Exit with 1 also where an override is redundant, outdated or absent, or a pin remains of
    /// what is built from source
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    history: HistoryOptions,
    /// How to tell the results
    #[arg(long, value_enum, default_value = "table")]
    output: CheckOutput,
    /// Folder for what is fetched from a URL [default: patchset/mirrors in the user's cache]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// How long one component at one release may take to be fetched
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = input::duration)]
    timeout: std::time::Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CheckOutput {
    /// For people.
    Table,
    /// One JSON object.
    Json,
}

/// What all pieces of work need.
struct Work<'a> {
    folder: &'a LocalFolder,
    upstreams: Option<&'a Upstreams>,
    selection: &'a Selection,
    history: &'a HistoryOptions,
}

/// One piece of work: the patches of a component at a release, or the constraints of a release.
enum Task<'a> {
    Patches(&'a ComponentSeries),
    Constraints(&'a ReleaseFolder),
}

pub(super) fn run(options: &CheckOptions) -> Result<ExitCode, Error> {
    let selection = Selection::named(&options.component, &options.release);
    let component = match options.component.as_slice() {
        [component] => Some(component.as_str()),
        _ => None,
    };
    let (folder, layout) = options.layout.read(&options.dir, component, &selection)?;
    let upstreams = match &options.upstream {
        Some(base) => Some(Upstreams::new(
            base,
            options.cache_dir.as_deref(),
            options.timeout,
        )?),
        None if layout
            .series
            .iter()
            .any(|series| !series.series.patches.is_empty()) =>
        {
            return Err(Error::Usage(
                "there are patches to check: say with --upstream where the components' repositories are, for instance --upstream https://opendev.org/openstack".to_owned(),
            ));
        }
        None => None,
    };
    let work = Work {
        folder: &folder,
        upstreams: upstreams.as_ref(),
        selection: &selection,
        history: &options.history,
    };
    let mut report = check(&layout, &work);
    report.faults.extend(layout.faults);
    report
        .faults
        .sort_by(|a, b| (&a.path, a.kind).cmp(&(&b.path, b.kind)));
    report.ok = !report.fails(if options.strict {
        Strictness::AttentionFails
    } else {
        Strictness::FaultsFail
    });
    for note in &report.notes {
        anstream::eprintln!("note: {}", printable_lines(note));
    }
    match options.output {
        CheckOutput::Table => render::print_table(&report)?,
        CheckOutput::Json => {
            let mut text = serde_json::to_vec(&report)?;
            text.push(b'\n');
            print(&text)?;
        }
    }
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Works on all tasks, on as many threads as there are processors, and keeps their order.
fn check(layout: &RepositoryLayout, of: &Work<'_>) -> Report {
    let is_to_check = |series: &&ComponentSeries| {
        series.reference.is_some() && !series.series.patches.is_empty() && series.series.refusal().is_none()
    };
    let series = layout.series.iter().filter(is_to_check);
    let tasks: Vec<Task<'_>> = series
        .map(Task::Patches)
        .chain(layout.releases.values().map(Task::Constraints))
        .collect();
    let bar = progress(tasks.len());
    let results: Vec<Mutex<Report>> = tasks.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let (at, Some(task)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            (at, tasks.get(at))
        } {
            let found = match (task, of.upstreams) {
                (Task::Patches(series), Some(upstreams)) => {
                    bar.set_message(format!("{} {}", series.component, series.release));
                    patches::check(series, of.folder, upstreams, of.history)
                }
                (Task::Patches(_), None) => Report::default(),
                (Task::Constraints(release), _) => {
                    bar.set_message(format!("constraints {}", release.name));
                    overrides::check(release, of.folder, of.selection)
                }
            };
            if let Some(slot) = results.get(at) {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = found;
            }
            bar.inc(1);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(tasks.len()) {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    let mut report = Report::default();
    for result in results {
        let found = result.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.add(found);
    }
    report
}

/// A bar on standard error where that is a terminal, and nothing elsewhere.
fn progress(tasks: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(tasks).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}
