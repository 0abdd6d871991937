//! `patchset apply`: a series against a revision of a local repository.

mod render;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use git_apply_engine::{
    FileReport, Limits, Oid, Options as Engine, PatchInput, PatchReport, PatchState, Results, Sequence,
};
use git_mirrors::local::LocalRepository;
use patch_refresh::{FuzzyFit, RefreshStatus};

use super::branch::BranchOptions;
use super::error::Error;
use super::local_refresh::{JudgedPatches, RefreshOutlook};
use super::output::{self, print, print_styled};
use super::partial_clone::{self, PartialCloneOptions};
use super::patch_files;
use super::upstream_history::{HistoryFields, HistoryOptions, RefreshTrial, SeriesAtCommit};
use render::{Direction, TreesWritten};

use crate::plan::difference::{HunkDifference, differences};
use crate::plan::history_search::AppliedPatches;

/// Options of `patchset apply`.
#[derive(Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option that is there or not"
)]
pub struct ApplyOptions {
    /// The repository: a Git folder or a working tree
    #[arg(long, value_name = "GITDIR")]
    repo: PathBuf,
    /// The revision that the patches are for, as `git rev-parse` reads it
    #[arg(long = "ref", value_name = "REV")]
    revision: String,
    /// Check each patch on its own against the revision, instead of one on top of the other
    #[arg(long)]
    independent: bool,
    /// Reverse the patches instead, in the order in which they are given
    #[arg(long, short = 'R')]
    reverse: bool,
    /// Remove N leading components from the names in the patches [default: 1, or 0 if a plain diff
    /// names no folder]
    #[arg(short = 'p', value_name = "N")]
    strip: Option<usize>,
    /// The folder of the tree that the names in the patches are relative to
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    directory: String,
    /// Write the resulting trees and blobs into the repository
    #[arg(long)]
    write: bool,
    #[command(flatten)]
    branch: BranchOptions,
    #[command(flatten)]
    history: HistoryOptions,
    /// Do not check which of the patches that do not apply can be refreshed
    #[arg(long)]
    no_refresh: bool,
    #[command(flatten)]
    partial_clone: PartialCloneOptions,
    /// How to report the result for each patch
    #[arg(long, value_enum, default_value = "text")]
    output: ApplyOutput,
    /// Patches, or folders of them in the order of their series, .patches or
    /// ORDER, else by name; - is standard input
    #[arg(required_unless_present = "branch", value_name = "PATCH|DIR")]
    patches: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ApplyOutput {
    /// Human-readable.
    Text,
    /// One JSON object per patch, each on one line.
    Json,
}

/// How many bytes of JSON are written at once, or more.
const WRITTEN_AT_ONCE: usize = 1 << 16;

/// One line of the JSON output. Other tools read it: fields may be added, not changed.
#[derive(serde::Serialize)]
struct PatchLine<'a> {
    patch: &'a str,
    applies: bool,
    state: PatchState,
    tree: Option<Oid>,
    files: &'a [FileReport],
    error: Option<&'a str>,
    subject: Option<&'a str>,
    author: Option<&'a str>,
    offset: i64,
    /// The hunks that do not fit, line by line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<HunkDifference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<RefreshStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuzz: Option<FuzzyFit>,
    #[serde(flatten)]
    history: HistoryFields<'a>,
}

impl<'a> PatchLine<'a> {
    fn new(report: &'a PatchReport, refresh: RefreshOutlook, history: HistoryFields<'a>) -> Self {
        Self {
            patch: &report.name,
            applies: report.applies(),
            state: report.state,
            tree: report.tree,
            files: &report.files,
            error: report.error.as_deref(),
            subject: report.subject.as_deref(),
            author: report.author.as_deref(),
            offset: report.largest_offset(),
            differences: differences(report),
            refresh: refresh.status,
            fuzz: refresh.fuzz,
            history,
        }
    }
}

pub(super) fn run(options: &ApplyOptions) -> Result<ExitCode, Error> {
    let mut repository = LocalRepository::open(&options.repo)?;
    let base = repository.tree_of(&options.revision)?;
    let engine = Engine {
        strip: options.strip,
        directory: options.directory.as_str().into(),
        reverse: options.reverse,
        results: if options.write {
            Results::All
        } else {
            Results::Needed
        },
        limits: Limits::default(),
    };
    let patches = read_patches(options, &repository, engine.limits.patch_bytes)?;
    let sequence = if options.independent {
        Sequence::Independent
    } else {
        Sequence::Stacked
    };
    options
        .partial_clone
        .fetch(&repository, base, &patches, &engine)?;
    let series = git_apply_engine::apply(&repository, base, &patches, sequence, &engine)
        .map_err(|error| partial_clone::explained(&repository, error))?;
    if options.write {
        series.write(&mut repository)?;
    }
    let tree = series.tree();
    let mut reports = series.into_patches();
    let applied = AppliedPatches {
        patches: &patches,
        options: &engine,
        sequence,
    };
    let tip = repository.commit_of(&options.revision);
    let searched = SeriesAtCommit {
        // Patches taken back are not searched for.
        tip: tip.filter(|_| !options.reverse),
        applied,
        refresh: RefreshTrial::Skipped,
    };
    let history = options.history.search(&repository, &searched, &mut reports)?;
    let judged = JudgedPatches {
        repository: &repository,
        base,
        applied,
        reports: &reports,
        last_applied: options.history.last_applied(&repository)?,
    };
    let refresh = if options.reverse || options.no_refresh {
        Vec::new()
    } else {
        judged.outlook()
    };
    let outcome = render::AppliedOutcome {
        reports: &reports,
        history: &history,
        refresh: &refresh,
        tree,
        direction: if options.reverse {
            Direction::Reverse
        } else {
            Direction::Forward
        },
        written: if options.write {
            TreesWritten::ToRepository
        } else {
            TreesWritten::Nowhere
        },
    };
    print_outcome(options.output, &outcome)?;
    let all = reports.iter().all(PatchReport::applies);
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The patches that are named, or those of a branch.
fn read_patches(
    options: &ApplyOptions,
    repository: &LocalRepository,
    limit: u64,
) -> Result<Vec<PatchInput>, Error> {
    let Some(series) = options.branch.patches(repository, &options.revision)? else {
        return patch_files::read_all(&options.patches, limit);
    };
    if let Some(note) = series.note {
        output::note(&note);
    }
    Ok(series.patches)
}

fn print_outcome(output: ApplyOutput, outcome: &render::AppliedOutcome<'_>) -> Result<(), Error> {
    if let Some(note) = &outcome.history.note {
        output::note(note);
    }
    match output {
        ApplyOutput::Text => print_styled(&render::text(outcome)),
        ApplyOutput::Json => {
            let mut text = Vec::new();
            for (number, report) in outcome.reports.iter().enumerate() {
                let refresh = outcome.refresh.get(number).copied().unwrap_or_default();
                let line = PatchLine::new(report, refresh, outcome.history.fields(number));
                serde_json::to_writer(&mut text, &line)?;
                text.push(b'\n');
                if text.len() >= WRITTEN_AT_ONCE {
                    print(&text)?;
                    text.clear();
                }
            }
            print(&text)
        }
    }
}
