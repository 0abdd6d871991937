//! `patchset check`: every patch and every override of every release of a repository, before
//! anything is built.

mod changes;
mod fix;
mod formats;
mod layout;
mod overrides;
mod report;
mod series;
mod upstream;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::error::Error;
use super::input;
use super::upstream_history::HistoryOptions;
use crate::patch::Options;
use crate::text::printable_lines;
use formats::Output;
use layout::{Layout, Selection};
use report::{Report, Strictness};
use series::SeriesTask;
use upstream::{SeriesSettings, Upstreams};

/// Options of `patchset check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// The folder that holds patches/, overrides/ and releases/
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
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
    /// Write what mends patches into this folder, which must be new or empty: fix.diff for
    /// git apply, delete.txt, and the patches made anew in files/
    #[arg(long, value_name = "DIR")]
    fix: Option<PathBuf>,
    /// Remove N leading components from the names in the patches [default: 1, or 0 where a plain
    /// diff names no folder]
    #[arg(short = 'p', long, value_name = "N")]
    strip: Option<usize>,
    /// The folder of the components' trees that the names in the patches are relative to
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    directory: String,
    #[command(flatten)]
    history: HistoryOptions,
    /// How to tell the results, and in which file if not on standard output: table, json, github
    /// (annotations, and a summary where $GITHUB_STEP_SUMMARY is set), gitlab (Code Quality), junit
    /// or markdown; may be repeated
    #[arg(long, value_name = "FORMAT[=FILE]", default_value = "table")]
    output: Vec<Output>,
    /// Folder for what is fetched from a URL [default: patchset/mirrors in the user's cache]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// How long one component at one release may take to be fetched
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = input::duration)]
    timeout: std::time::Duration,
}

/// What all pieces of work need.
struct Work<'a> {
    upstreams: Option<&'a Upstreams>,
    selection: &'a Selection,
    series: SeriesSettings<'a>,
}

/// One piece of work: the patches of a component at a release, or the constraints of a release.
enum Task<'a> {
    Patches(SeriesTask),
    Constraints(&'a layout::ReleaseFiles),
}

pub(super) fn run(options: &CheckOptions) -> Result<ExitCode, Error> {
    formats::check(&options.output)?;
    let selection = Selection::new(&options.component, &options.release);
    let layout = Layout::read(&options.dir, &selection)?;
    let engine = Options {
        strip: options.strip,
        directory: options.directory.as_str().into(),
        ..Options::default()
    };
    let mut report = Report::default();
    let tasks = tasks(&layout, &options.dir, &mut report);
    let upstreams = upstreams(options, &tasks)?;
    let work = Work {
        upstreams: upstreams.as_ref(),
        selection: &selection,
        series: SeriesSettings {
            engine: &engine,
            history: &options.history,
        },
    };
    report.add(check(&tasks, &work));
    report.faults.extend(layout.faults.iter().cloned());
    report
        .faults
        .sort_by(|a, b| (&a.path, a.kind).cmp(&(&b.path, b.kind)));
    let strictness = if options.strict {
        Strictness::AttentionFails
    } else {
        Strictness::FaultsFail
    };
    report.ok = !report.fails(strictness);
    if let Some(folder) = &options.fix {
        write_fixes(folder, &mut report)?;
    }
    for note in &report.notes {
        anstream::eprintln!("note: {}", printable_lines(note));
    }
    formats::write(&options.output, &report, &options.dir, strictness)?;
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Where the components' repositories are, where that is needed.
fn upstreams(options: &CheckOptions, tasks: &[Task<'_>]) -> Result<Option<Upstreams>, Error> {
    match &options.upstream {
        Some(base) => Upstreams::new(base, options.cache_dir.as_deref(), options.timeout).map(Some),
        None if tasks.iter().any(|task| matches!(task, Task::Patches(_))) => Err(Error::Usage(
            "there are patches to check: say with --upstream where the components' repositories are, for instance --upstream https://opendev.org/openstack".to_owned(),
        )),
        None => Ok(None),
    }
}

/// All that is to be done; what cannot be read is told in the report.
fn tasks<'a>(layout: &'a Layout, root: &Path, report: &mut Report) -> Vec<Task<'a>> {
    let mut tasks = Vec::new();
    for series in &layout.series {
        match series.task(layout, root) {
            Ok(task) => tasks.extend(task.map(Task::Patches)),
            Err(fault) => report.faults.push(fault),
        }
    }
    tasks.extend(layout.releases.values().map(Task::Constraints));
    tasks
}

/// Writes what mends patches, and says so.
fn write_fixes(folder: &Path, report: &mut Report) -> Result<(), Error> {
    let written = fix::write(folder, &report.fixes)?;
    report.notes.extend(written.notes);
    anstream::eprintln!(
        "{}: {} patches made anew, {} to delete",
        folder.display(),
        written.refreshed,
        written.deleted
    );
    Ok(())
}

/// Works on all tasks, on as many threads as there are processors, and keeps their order.
fn check(tasks: &[Task<'_>], of: &Work<'_>) -> Report {
    let bar = progress(tasks.len());
    let results: Vec<Mutex<Report>> = tasks.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let (at, Some(task)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            (at, tasks.get(at))
        } {
            let found = match (task, of.upstreams) {
                (Task::Patches(task), Some(upstreams)) => {
                    bar.set_message(format!("{} {}", task.component, task.release));
                    series::check(task, upstreams, of.series)
                }
                (Task::Patches(_), None) => Report::default(),
                (Task::Constraints(release), _) => {
                    bar.set_message(format!("constraints {}", release.name));
                    overrides::check(release, of.selection)
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
