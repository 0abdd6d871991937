//! `patchset verify`: whether a reworked series loses something.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use foreign_text::printable_line;
use git_apply_engine::{PatchInput, PatchState, Sequence};

use super::error::Error;
use super::output::{note, print, print_styled};
use super::style::{BAD, BOLD, DIM, GOOD, ODD, plain};
use super::team::{OpenSeries, SeriesAddress, TeamOptions, TeamRepository};
use super::upstream_history::{HistoryOptions, RefreshTrial, SeriesAtCommit};
use crate::layout::{ContentLimits, LayoutOptions, RepositoryLayout, Selection, TreeFiles};
use crate::plan::history_search::AppliedPatches;
use crate::rework::{ComparedPatch, HunkFate, LostPart, PatchRelation, SeriesComparison, compare_series};

/// The most lines of a difference in the report for people.
const SHOWN_LINES: usize = 80;

/// Options of `patchset verify`.
#[derive(Debug, Args)]
pub struct VerifyOptions {
    #[command(flatten)]
    team: TeamOptions,
    #[command(flatten)]
    history: HistoryOptions,
    /// The component and the release, for instance glance/2025.2
    #[arg(value_name = "COMPONENT/RELEASE")]
    series: SeriesAddress,
    /// What the patches were before: a revision of the team's repository, or a folder laid out like
    /// it
    #[arg(long, value_name = "REV|DIR")]
    against: String,
    /// Also exit with 1 if a hunk has lost some of its lines, or does something else
    #[arg(long)]
    strict: bool,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: VerifyOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum VerifyOutput {
    /// Human-readable.
    Text,
    /// One JSON object.
    Json,
}

/// A comparison with what upstream has of the old patches.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified<'a> {
    component: &'a str,
    release: &'a str,
    against: &'a str,
    /// Whether something is lost.
    lost: bool,
    #[serde(flatten)]
    comparison: &'a SeriesComparison,
    /// The old patches that upstream has.
    merged: &'a [String],
}

pub(super) fn run(options: &VerifyOptions) -> Result<ExitCode, Error> {
    let address = &options.series;
    let selection = address.selection();
    let team = options.team.open(Some(&address.component), &selection)?;
    let new = match team.find_series(address)? {
        Some(series) => team.patches(series)?,
        None => Vec::new(),
    };
    let old = options.old_patches(&team, &selection)?;
    let engine = options.team.paths.engine();
    let comparison = compare_series(&old, &new, &engine);
    let merged = options.merged(&team, &old)?;
    let losses: Vec<&ComparedPatch> = comparison
        .losses()
        .filter(|patch| !is_merged(patch, &merged))
        .collect();
    let is_partly = |part: &LostPart| matches!(part.fate, HunkFate::Partly | HunkFate::Replaced);
    let weakened = comparison
        .patches
        .iter()
        .any(|patch| !is_merged(patch, &merged) && patch.lost.iter().any(is_partly));
    let lost = !losses.is_empty() || (options.strict && weakened);
    match options.output {
        VerifyOutput::Json => {
            let verified = Verified {
                component: &address.component,
                release: &address.release,
                against: &options.against,
                lost,
                comparison: &comparison,
                merged: &merged,
            };
            let mut text = serde_json::to_vec_pretty(&verified)?;
            text.push(b'\n');
            print(&text)?;
        }
        VerifyOutput::Text => print_styled(&text(options, &comparison, &merged, losses.len()))?,
    }
    Ok(if lost {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

fn is_merged(patch: &ComparedPatch, merged: &[String]) -> bool {
    patch.old.as_ref().is_some_and(|(_, name)| merged.contains(name))
}

impl VerifyOptions {
    /// The patches as they were.
    fn old_patches(&self, team: &TeamRepository, selection: &Selection) -> Result<Vec<PatchInput>, Error> {
        let address = &self.series;
        if Path::new(&self.against).is_dir() {
            let old = TeamRepository::open(
                Path::new(&self.against),
                &self.team.layout,
                Some(&address.component),
                selection,
            )?;
            return match old.find_series(address)? {
                Some(series) => old.patches(series),
                None => Err(self.no_patches()),
            };
        }
        let repository = team.git()?;
        if repository.commit_of(&self.against).is_none() {
            return Err(Error::Usage(format!(
                "--against {}: this is neither a folder nor a revision of {}",
                self.against,
                team.root().display()
            )));
        }
        let tree = repository.tree_of(&self.against)?;
        let files = TreeFiles::new(&repository, tree);
        let checked_out = repository.branch();
        let directory = team.directory();
        let layout = RepositoryLayout::read(
            &files,
            &LayoutOptions {
                kind: self.team.layout.kind(),
                directory,
                branch: self.team.layout.branch().or(checked_out.as_deref()),
                component: Some(&address.component),
                ref_template: self.team.layout.ref_template(),
                ..LayoutOptions::new(selection)
            },
        )?;
        let is_it = |series: &&crate::layout::ComponentSeries| {
            series.component == address.component && series.release == address.release
        };
        let series = layout
            .series
            .iter()
            .find(is_it)
            .ok_or_else(|| self.no_patches())?;
        Ok(series.series.contents(&files, &ContentLimits::default())?)
    }

    fn no_patches(&self) -> Error {
        Error::Usage(format!("{} has no patches for {}", self.against, self.series))
    }

    /// The names of the old patches that upstream has, if its location is given.
    fn merged(&self, team: &TeamRepository, old: &[PatchInput]) -> Result<Vec<String>, Error> {
        let Some(upstreams) = self.team.upstream.open()? else {
            return Ok(Vec::new());
        };
        let engine = self.team.paths.engine();
        let open = OpenSeries::open(team, &self.series, &upstreams, engine.clone())?;
        let mut reports = open.upstream.apply(old, &engine)?.into_patches();
        let series = SeriesAtCommit {
            tip: open.upstream.commit(),
            applied: AppliedPatches {
                patches: old,
                options: &engine,
                sequence: Sequence::Stacked,
            },
            refresh: RefreshTrial::Skipped,
        };
        let found = open.upstream.search(&self.history, &series, &mut reports)?;
        if let Some(text) = found.note {
            note(&text);
        }
        let merged = reports.iter().filter(|report| report.state == PatchState::Merged);
        Ok(merged.map(|report| report.name.clone()).collect())
    }
}

fn text(options: &VerifyOptions, comparison: &SeriesComparison, merged: &[String], losses: usize) -> String {
    let mut text = format!(
        "{BOLD}{}{BOLD:#} against {}\n",
        options.series,
        plain(&options.against)
    );
    for patch in &comparison.patches {
        add_patch(&mut text, patch, is_merged(patch, merged));
    }
    // Writing to a string does not fail.
    let _ = if losses == 0 {
        writeln!(text, "{GOOD}nothing is lost{GOOD:#}")
    } else {
        let count = comparison.patches.len();
        writeln!(text, "{BAD}{losses} of {count} patches lose something{BAD:#}")
    };
    text
}

fn add_patch(text: &mut String, patch: &ComparedPatch, is_merged: bool) {
    let (mark, style) = match patch.relation {
        PatchRelation::Same => ("=", GOOD),
        PatchRelation::Changed => ("!", ODD),
        PatchRelation::Gone if is_merged || patch.is_moved() => ("<", ODD),
        PatchRelation::Gone => ("<", BAD),
        PatchRelation::New => (">", GOOD),
    };
    let side = |side: &Option<(usize, String)>| match side {
        Some((number, name)) => format!("{number:>3}: {}", plain(name)),
        None => "  -:".to_owned(),
    };
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{} {style}{mark}{style:#} {}  {DIM}{}{DIM:#}",
        side(&patch.old),
        side(&patch.new),
        plain(&patch.subject)
    );
    if is_merged {
        let _ = writeln!(text, "      upstream has it");
    }
    for part in patch.lost.iter().filter(|_| !is_merged) {
        let place = match part.line {
            Some(line) => format!("{}, hunk at line {line}", plain(&part.path)),
            None => plain(&part.path),
        };
        let _ = match &part.fate {
            HunkFate::Gone => writeln!(text, "      {BAD}gone:{BAD:#} {place}"),
            HunkFate::Partly => writeln!(text, "      {ODD}not all of it is left:{ODD:#} {place}"),
            HunkFate::Replaced => writeln!(text, "      {ODD}does something else:{ODD:#} {place}"),
            HunkFate::Moved { patch, path } => {
                writeln!(
                    text,
                    "      moved: {place} to {} of {}",
                    plain(path),
                    plain(patch)
                )
            }
        };
        if !matches!(part.fate, HunkFate::Moved { .. }) {
            for line in &part.lines {
                let _ = writeln!(text, "        {}", printable_line(line));
            }
        }
    }
    let Some(difference) = &patch.difference else {
        return;
    };
    for line in difference.lines().take(SHOWN_LINES) {
        let _ = writeln!(text, "    {DIM}│{DIM:#} {}", printable_line(line));
    }
    if difference.lines().count() > SHOWN_LINES {
        let _ = writeln!(text, "    {DIM}… in full with --output json{DIM:#}");
    }
}
