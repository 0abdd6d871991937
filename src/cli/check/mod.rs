//! `patchset check`: every patch and every override of every release of a repository, before
//! anything is built.

mod base;
mod changes;
mod fix;
mod formats;
mod overrides;
mod report;
mod series;
mod task;
mod upstream;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::error::Error;
use super::layout_options::LayoutArguments;
use super::local_files::LocalFolder;
use super::output;
use super::team::{PatchPathArguments, UpstreamArguments, Upstreams};
use super::upstream_history::HistoryOptions;
use super::workers::work_on_all;
use crate::layout::{FaultKind, LayoutFault, LayoutOptions, ReleaseFolder, RepositoryLayout, Selection};
use base::Base;
use changes::SeriesDifference;
use formats::Output;
use report::{Report, Strictness};
use task::{Baseline, SeriesTask};
use upstream::SeriesSettings;

/// Options of `patchset check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// The folder that holds patches/, overrides/ and releases/
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    upstream: UpstreamArguments,
    /// Check only what concerns this component or package; may be repeated
    #[arg(long, value_name = "NAME")]
    component: Vec<String>,
    /// Check only this release; may be repeated
    #[arg(long, value_name = "RELEASE")]
    release: Vec<String>,
    #[command(flatten)]
    layout: LayoutArguments,
    /// Report only what got worse or better since this revision of the repository that the folder
    /// is in, or since it and HEAD diverged; what is not changed is not checked
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// Also exit with 1 if an override is redundant, outdated or absent, or if something that is
    /// built from source still has a pin
    #[arg(long)]
    strict: bool,
    /// Write what fixes patches into this folder, which must be new or empty: fix.diff for
    /// git apply, delete.txt, and the refreshed patches in files/
    #[arg(long, value_name = "DIR")]
    fix: Option<PathBuf>,
    #[command(flatten)]
    paths: PatchPathArguments,
    #[command(flatten)]
    history: HistoryOptions,
    /// How to report the results, and in which file if not on standard output: table, json, github
    /// (annotations, and the step's summary), gitlab (Code Quality), junit, markdown or html (a
    /// page in one file, for a browser); may be repeated
    #[arg(long, value_name = "FORMAT[=FILE]", default_value = "table")]
    output: Vec<Output>,
}

/// What all pieces of work need.
struct Work<'a> {
    upstreams: Option<&'a Upstreams>,
    folder: &'a LocalFolder,
    selection: &'a Selection,
    series: SeriesSettings<'a>,
}

/// One piece of work: the patches of a component at a release, or the constraints of a release.
enum Task<'a> {
    Patches(Box<SeriesTask>),
    Constraints(&'a ReleaseFolder),
}

pub(super) fn run(options: &CheckOptions) -> Result<ExitCode, Error> {
    formats::check(&options.output)?;
    if let Some(folder) = &options.fix {
        fix::make_empty(folder)?;
    }
    let selection = Selection::named(&options.component, &options.release);
    let (folder, layout) = options
        .layout
        .read(&options.dir, options.only_component(), &selection)?;
    let base = options.base(&folder)?;
    let engine = options.paths.engine();
    let mut report = Report::default();
    let tasks = tasks(&layout, &folder, base.as_ref(), &mut report);
    let upstreams = upstreams(options, &tasks)?;
    let work = Work {
        upstreams: upstreams.as_ref(),
        folder: &folder,
        selection: &selection,
        series: SeriesSettings {
            engine: &engine,
            history: &options.history,
        },
    };
    report.add(check(&tasks, &work, base.as_ref()));
    report.faults.extend(layout.faults.iter().cloned());
    if let Some(base) = base {
        compare(&mut report, base, &selection);
    }
    let order = |a: &LayoutFault, b: &LayoutFault| (&a.path, a.kind).cmp(&(&b.path, b.kind));
    report.faults.sort_by(order);
    let strictness = if options.strict {
        Strictness::AttentionFails
    } else {
        Strictness::FaultsFail
    };
    report.ok = !report.fails(strictness);
    if let Some(into) = &options.fix {
        write_fixes(into, &folder, &layout, &mut report)?;
    }
    for note in &report.notes {
        output::note(note);
    }
    formats::write(&options.output, &report, &folder, strictness)?;
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

impl CheckOptions {
    /// The component, if just one is selected.
    fn only_component(&self) -> Option<&str> {
        match self.component.as_slice() {
            [component] => Some(component),
            _ => None,
        }
    }

    /// The base to compare to, if one is requested.
    fn base(&self, folder: &LocalFolder) -> Result<Option<Base>, Error> {
        let Some(revision) = &self.base else {
            return Ok(None);
        };
        // What is selected by name may be absent from the base.
        let selection = || Selection::named(&self.component, &self.release);
        let (components, releases) = (selection(), selection());
        let selection = Selection::by_rules(
            move |name| components.has_component(name),
            move |name| releases.has_release(name),
        );
        let branch = self.layout.branch_of(folder);
        let options = LayoutOptions {
            branch: branch.as_deref(),
            component: self.only_component(),
            ..self.layout.options(folder, &selection)
        };
        Base::read(folder.files.root(), revision, &options).map(Some)
    }
}

/// Keeps only the findings that the base does not have.
fn compare(report: &mut Report, base: Base, selection: &Selection) {
    let key = |fault: &LayoutFault| (fault.kind, fault.path.clone(), fault.message.clone());
    let (before, now): (BTreeSet<_>, BTreeSet<_>) = (
        base.faults.iter().map(key).collect(),
        report.faults.iter().map(key).collect(),
    );
    report.faults.retain(|fault| !before.contains(&key(fault)));
    // A narrow selection does not look for stray files.
    let is_looked_for = |fault: &LayoutFault| !selection.is_narrow() || fault.kind != FaultKind::StrayFile;
    let mended = base.faults.into_iter().filter(|fault| !now.contains(&key(fault)));
    report.mended.extend(mended.filter(is_looked_for));
    report.notes.extend(base.notes);
    report.base = Some(base.commit);
}

/// Where the components' repositories are, where that is needed.
fn upstreams(options: &CheckOptions, tasks: &[Task<'_>]) -> Result<Option<Upstreams>, Error> {
    if tasks.iter().any(|task| matches!(task, Task::Patches(_))) {
        return options.upstream.require("there are patches to check").map(Some);
    }
    options.upstream.open()
}

/// All tasks; what cannot be read, or is gone, goes into the report.
fn tasks<'a>(
    layout: &'a RepositoryLayout,
    folder: &LocalFolder,
    base: Option<&Base>,
    report: &mut Report,
) -> Vec<Task<'a>> {
    let mut tasks = Vec::new();
    let mut kept = BTreeSet::new();
    for series in &layout.series {
        let key = (series.component.clone(), series.release.clone());
        let task = match SeriesTask::new(series, layout, folder) {
            Ok(None) => continue,
            Ok(Some(mut task)) => {
                if let Some(base) = base {
                    let before = base.series.get(&key);
                    task.baseline = before.map_or(Baseline::Absent, base::BaseSeries::baseline);
                }
                task
            }
            Err(fault) => {
                report.faults.push(fault);
                continue;
            }
        };
        kept.insert(key);
        if !task.is_unchanged() {
            tasks.push(Task::Patches(Box::new(task)));
        }
    }
    for (key, series) in base.iter().flat_map(|base| &base.series) {
        if !series.patches.is_empty() && !kept.contains(key) {
            report.changes.push(SeriesDifference {
                component: key.0.clone(),
                release: key.1.clone(),
                folder: series.folder.clone(),
                from: series.reference.clone(),
                to: None,
                removed: series.patches.iter().map(|patch| patch.name.clone()).collect(),
            });
        }
    }
    tasks.extend(layout.releases.values().map(Task::Constraints));
    tasks
}

/// Writes what fixes patches, and says so.
fn write_fixes(
    into: &Path,
    folder: &LocalFolder,
    layout: &RepositoryLayout,
    report: &mut Report,
) -> Result<(), Error> {
    let repository = fix::FixedRepository {
        folder,
        layout,
        fixes: &report.fixes,
    };
    let mut planned = repository.plan()?;
    repository.write(&mut planned, into)?;
    anstream::eprintln!(
        "{}: {} patches refreshed, {} to delete",
        into.display(),
        planned.refreshed,
        planned.dropped
    );
    report.notes.extend(planned.notes);
    Ok(())
}

/// Works on all tasks, and keeps their order.
fn check(tasks: &[Task<'_>], of: &Work<'_>, base: Option<&Base>) -> Report {
    let label = |task: &Task<'_>| match task {
        Task::Patches(task) => format!("{} {}", task.component, task.release),
        Task::Constraints(release) => format!("constraints {}", release.name),
    };
    let work = |task: &Task<'_>| match (task, of.upstreams) {
        (Task::Patches(task), Some(upstreams)) => series::check(task, upstreams, of.series),
        (Task::Patches(_), None) => Report::default(),
        (Task::Constraints(release), _) => {
            let mut found = overrides::check(release, &of.folder.files, &of.folder.path, of.selection);
            if let Some(base) = base {
                overrides::compare(&mut found, base.overrides.get(&release.name));
            }
            found
        }
    };
    let mut report = Report::default();
    for found in work_on_all(tasks, label, work) {
        report.add(found);
    }
    report
}
