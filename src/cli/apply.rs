//! `patchset apply`: a series against a revision of a local repository.

mod render;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::error::Error;
use super::output::{print, print_styled};
use super::patch_files;
use render::{Direction, TreesWritten};

use crate::patch::{
    self, FileReport, Limits, Oid, Options as Engine, PatchReport, PatchState, Results, Sequence,
};
use crate::source::local::{self, LocalRepository};

/// Options of `patchset apply`.
#[derive(Debug, Args)]
pub struct ApplyOptions {
    /// The repository: a Git folder or a working tree
    #[arg(long, value_name = "GITDIR")]
    repo: PathBuf,
    /// The revision that the patches are for, as `git rev-parse` reads it
    #[arg(long = "ref", value_name = "REV")]
    revision: String,
    /// Check each patch alone against the revision, instead of one on top of the other
    #[arg(long)]
    independent: bool,
    /// Take the patches back instead, in the order in which they are given
    #[arg(long, short = 'R')]
    reverse: bool,
    /// Remove N leading components from the names in the patches [default: 1, or 0 where a plain
    /// diff names no folder]
    #[arg(short = 'p', value_name = "N")]
    strip: Option<usize>,
    /// The folder of the tree that the names in the patches are relative to
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    directory: String,
    /// Write the resulting trees and blobs into the repository
    #[arg(long)]
    write: bool,
    /// How to tell what became of the patches
    #[arg(long, value_enum, default_value = "text")]
    output: ApplyOutput,
    /// Patches, or folders whose *.patch are taken in alphabetical order; - is standard input
    #[arg(required = true, value_name = "PATCH|DIR")]
    patches: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ApplyOutput {
    /// For people.
    Text,
    /// One JSON object a line and patch.
    Json,
}

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
}

impl<'a> From<&'a PatchReport> for PatchLine<'a> {
    fn from(report: &'a PatchReport) -> Self {
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
        }
    }
}

pub(super) fn run(options: &ApplyOptions) -> Result<ExitCode, Error> {
    local::trust_stored_objects();
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
    let patches = patch_files::read_all(&options.patches, engine.limits.patch_bytes)?;
    let sequence = if options.independent {
        Sequence::Independent
    } else {
        Sequence::Stacked
    };
    let series = patch::apply(&repository, base, &patches, sequence, &engine)?;
    if options.write {
        series.write(&mut repository)?;
    }
    match options.output {
        ApplyOutput::Text => {
            let direction = if options.reverse {
                Direction::Reverse
            } else {
                Direction::Forward
            };
            let written = if options.write {
                TreesWritten::ToRepository
            } else {
                TreesWritten::Nowhere
            };
            print_styled(&render::text(&series, direction, written))?;
        }
        ApplyOutput::Json => {
            let mut text = Vec::new();
            for report in series.patches() {
                serde_json::to_writer(&mut text, &PatchLine::from(report))?;
                text.push(b'\n');
            }
            print(&text)?;
        }
    }
    let all = series.patches().iter().all(PatchReport::applies);
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
