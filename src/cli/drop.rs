//! `patchset drop`: takes patches out that upstream has, or that are named.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use git_apply_engine::{PatchInput, PatchReport, PatchState};

use super::error::Error;
use super::style::{BAD, BOLD, DIM, GOOD, ODD, plain};
use super::team::{
    OpenSeries, PatchMarks, SameBy, SeriesAddress, TeamChanges, TeamOptions, TeamRepository, Upstreams,
    WriteMode,
};
use super::upstream_history::{HistoryOptions, RefreshTrial, SeriesHistory};
use crate::layout::{ComponentSeries, Selection, SeriesChange};

/// Options of `patchset drop`.
#[derive(Debug, Args)]
pub struct DropOptions {
    #[command(flatten)]
    team: TeamOptions,
    #[command(flatten)]
    history: HistoryOptions,
    /// Drop the same patch at all other releases too, even where upstream does not have it
    #[arg(long)]
    everywhere: bool,
    /// Leave the files alone, and print what would change in them as a diff
    #[arg(long)]
    dry_run: bool,
    /// The component and the release, for instance glance/2025.2
    #[arg(value_name = "COMPONENT/RELEASE")]
    series: SeriesAddress,
    /// The patches: a name, or the number that it begins with [default: all that upstream has]
    #[arg(value_name = "PATCH")]
    patches: Vec<String>,
}

/// What a command drops, and what it reports.
struct Dropping<'t> {
    options: &'t DropOptions,
    team: &'t TeamRepository,
    upstreams: Option<&'t Upstreams>,
    changes: TeamChanges<'t>,
    /// The dropped patches with their series, by folder.
    dropped: BTreeMap<String, (&'t ComponentSeries, Vec<String>)>,
    summary: String,
    needs_attention: bool,
}

/// What upstream did with the patches of a series.
struct DropSearch {
    reports: Vec<PatchReport>,
    history: SeriesHistory,
}

pub(super) fn run(options: &DropOptions) -> Result<ExitCode, Error> {
    let address = &options.series;
    // The other releases may have the same patch.
    let selection = Selection::named(std::slice::from_ref(&address.component), &[]);
    let team = options.team.open(Some(&address.component), &selection)?;
    let upstreams = match options.patches.as_slice() {
        [] => Some(
            options
                .team
                .upstream
                .require("what upstream has is dropped where no patch is named")?,
        ),
        _ => options.team.upstream.open()?,
    };
    let mut dropping = Dropping {
        options,
        team: &team,
        upstreams: upstreams.as_ref(),
        changes: TeamChanges::new(&team),
        dropped: BTreeMap::new(),
        summary: String::new(),
        needs_attention: false,
    };
    dropping.run()
}

impl<'t> Dropping<'t> {
    fn run(&mut self) -> Result<ExitCode, Error> {
        let series = self.team.series(&self.options.series)?;
        let patches = self.team.patches(series)?;
        let judged = self.judge(series)?;
        let chosen = self.choose(series, &patches, judged.as_ref())?;
        let engine = self.options.team.paths.engine();
        let marks: Vec<(String, PatchMarks)> = chosen
            .iter()
            .filter_map(|at| patches.get(*at))
            .map(|patch| (patch.name.clone(), PatchMarks::read(patch, &engine)))
            .collect();
        self.head(series);
        for at in &chosen {
            if let Some(patch) = patches.get(*at) {
                self.drop_patch(series, &patch.name);
                self.say_why(judged.as_ref(), *at, &patch.name);
            }
        }
        if chosen.is_empty() {
            let _ = writeln!(
                self.summary,
                "    upstream has none of its {} patches",
                patches.len()
            );
        }
        self.look_elsewhere(series, &marks);
        self.apply_drops()?;
        self.find_dependents()?;
        let count: usize = self.dropped.values().map(|(_, names)| names.len()).sum();
        let mode = WriteMode::new(self.options.dry_run);
        let patches = if count == 1 { "patch" } else { "patches" };
        let verb = match mode {
            WriteMode::Write => "dropped",
            WriteMode::DryRun => "would be dropped",
        };
        let _ = writeln!(self.summary, "{GOOD}{count} {patches} {verb}{GOOD:#}");
        self.changes.write(mode, &self.summary)?;
        Ok(if self.needs_attention {
            ExitCode::from(1)
        } else {
            ExitCode::SUCCESS
        })
    }

    fn head(&mut self, series: &ComponentSeries) {
        // Writing to a string does not fail.
        let _ = writeln!(self.summary, "{BOLD}{}{BOLD:#}", plain(&series.folder));
    }

    fn drop_patch(&mut self, series: &'t ComponentSeries, name: &str) {
        let entry = self.dropped.entry(series.folder.clone());
        let (_, names) = entry.or_insert_with(|| (series, Vec::new()));
        names.push(name.to_owned());
    }

    /// A series applied to its upstream; `None` where nothing says where that is.
    fn apply(&self, series: &ComponentSeries) -> Result<Option<OpenSeries<'t, 't>>, Error> {
        let Some(upstreams) = self.upstreams else {
            return Ok(None);
        };
        let address = SeriesAddress {
            component: series.component.clone(),
            release: series.release.clone(),
        };
        let engine = self.options.team.paths.engine();
        OpenSeries::open(self.team, &address, upstreams, engine).map(Some)
    }

    /// The same with what upstream did with its patches.
    fn judge(&self, series: &ComponentSeries) -> Result<Option<DropSearch>, Error> {
        let Some(open) = self.apply(series)? else {
            return Ok(None);
        };
        let (reports, history) = open.search(&self.options.history, RefreshTrial::Skipped)?;
        if let Some(text) = &history.note {
            super::output::note(&format!("{}: {text}", series.folder));
        }
        Ok(Some(DropSearch { reports, history }))
    }

    /// The numbers of the patches that are named, or that upstream has.
    fn choose(
        &self,
        series: &ComponentSeries,
        patches: &[PatchInput],
        opened: Option<&DropSearch>,
    ) -> Result<Vec<usize>, Error> {
        if self.options.patches.is_empty() {
            let reports = opened.map_or(&[][..], |opened| &opened.reports);
            return Ok(merged(reports));
        }
        let mut chosen = Vec::new();
        for name in &self.options.patches {
            let at = find_patch(series, patches, name)?;
            if chosen.contains(&at) {
                return Err(Error::Usage(format!("{name} is named twice")));
            }
            chosen.push(at);
        }
        chosen.sort_unstable();
        Ok(chosen)
    }

    fn say_why(&mut self, opened: Option<&DropSearch>, at: usize, name: &str) {
        let state = opened.and_then(|opened| opened.reports.get(at));
        let (style, words) = match state.map(|report| report.state) {
            Some(PatchState::Merged) => (GOOD, "upstream has it"),
            Some(_) => (ODD, "upstream does not have it"),
            None => (DIM, "whether upstream has it is not known: give --upstream"),
        };
        let _ = writeln!(
            self.summary,
            "    dropped  {}  {style}{words}{style:#}",
            plain(name)
        );
        if let Some(opened) = opened {
            let _ = opened.history.write(&mut self.summary, at);
        }
    }

    /// Looks for the same patches at the component's other releases.
    fn look_elsewhere(&mut self, series: &ComponentSeries, marks: &[(String, PatchMarks)]) {
        let engine = self.options.team.paths.engine();
        for other in &self.team.layout().series {
            if other.component != series.component || other.folder == series.folder || marks.is_empty() {
                continue;
            }
            let patches = match self.team.patches(other) {
                Ok(patches) => patches,
                Err(error) => {
                    self.needs_attention = true;
                    super::output::note(&format!("{}: {error}", other.folder));
                    continue;
                }
            };
            let mut same = Vec::new();
            for (at, patch) in patches.iter().enumerate() {
                let mark = PatchMarks::read(patch, &engine);
                let found = marks
                    .iter()
                    .find_map(|(name, dropped)| Some((name, same_change(dropped, &mark)?)));
                if let Some((name, by)) = found {
                    same.push((at, patch.name.clone(), name.clone(), by));
                }
            }
            if same.is_empty() {
                continue;
            }
            self.head(other);
            let judged = match self.judge(other) {
                Ok(judged) => judged,
                Err(error) => {
                    self.needs_attention = true;
                    super::output::note(&format!("{}: {error}", other.folder));
                    None
                }
            };
            for (at, name, dropped, by) in same {
                let is_merged = judged
                    .as_ref()
                    .and_then(|opened| opened.reports.get(at))
                    .is_some_and(|report| report.state == PatchState::Merged);
                if is_merged || self.options.everywhere {
                    self.drop_patch(other, &name);
                    self.say_why(judged.as_ref(), at, &name);
                } else {
                    let why = match judged {
                        Some(_) => "upstream does not have it there; --everywhere drops it too",
                        None if self.upstreams.is_some() => {
                            "whether upstream has it there is not known; --everywhere drops it too"
                        }
                        None => {
                            "whether upstream has it there is not known: give --upstream, or --everywhere"
                        }
                    };
                    let _ = writeln!(
                        self.summary,
                        "    stays    {}  {ODD}the same as {} by its {}: {why}{ODD:#}",
                        plain(&name),
                        plain(&dropped),
                        by.in_words()
                    );
                }
            }
        }
    }

    fn apply_drops(&mut self) -> Result<(), Error> {
        for (series, names) in self.dropped.values() {
            let drops = names.iter().map(|name| SeriesChange::Drop { name: name.clone() });
            self.changes.change(series, &drops.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Reports the patches that applied with the dropped ones and do not without them.
    fn find_dependents(&mut self) -> Result<(), Error> {
        let changed: Vec<&ComponentSeries> = self.dropped.values().map(|(series, _)| *series).collect();
        for series in changed {
            // A series that cannot be applied was reported when it was judged.
            let Ok(Some(opened)) = self.apply(series) else {
                continue;
            };
            let left = self.changes.patches(series)?;
            let after = opened.upstream.apply(&left, &opened.engine)?;
            let applied = opened.reports().iter().filter(|report| report.applies());
            let applied: Vec<&str> = applied.map(|report| report.name.as_str()).collect();
            for report in after.patches() {
                if !report.applies() && applied.contains(&report.name.as_str()) {
                    self.needs_attention = true;
                    let _ = writeln!(
                        self.summary,
                        "{BAD}{}/{} applies only with what is dropped: drop it too, or mend it{BAD:#}",
                        plain(&series.folder),
                        plain(&report.name)
                    );
                }
            }
        }
        Ok(())
    }
}

fn merged(reports: &[PatchReport]) -> Vec<usize> {
    let numbered = reports.iter().enumerate();
    let merged = numbered.filter(|(_, report)| report.state == PatchState::Merged);
    merged.map(|(at, _)| at).collect()
}

/// What makes two patches the same change. The same author and subject are not enough.
fn same_change(one: &PatchMarks, other: &PatchMarks) -> Option<SameBy> {
    one.same_as(other).filter(|by| *by != SameBy::Authorship)
}

/// The patch that a name, its path in the repository or its number stands for.
fn find_patch(series: &ComponentSeries, patches: &[PatchInput], text: &str) -> Result<usize, Error> {
    let name = text.strip_prefix("./").unwrap_or(text);
    let name = name
        .strip_prefix(series.folder.as_str())
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(name);
    if let Some(at) = patches.iter().position(|patch| patch.name == name) {
        return Ok(at);
    }
    let has_number = |patch: &&PatchInput| {
        let rest = patch.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['-', '_']))
    };
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let found: Vec<&PatchInput> = patches
        .iter()
        .filter(|patch| is_number && has_number(patch))
        .collect();
    match found.as_slice() {
        [only] => Ok(patches
            .iter()
            .position(|patch| patch.name == only.name)
            .unwrap_or_default()),
        [] => Err(Error::Usage(
            crate::layout::SeriesEditError::NoSuchPatch {
                folder: series.folder.clone(),
                name: name.to_owned(),
                known: patches.iter().map(|patch| patch.name.clone()).collect(),
            }
            .to_string(),
        )),
        many => Err(Error::Usage(format!(
            "{name} could be {}: write the whole name",
            many.iter()
                .map(|patch| plain(&patch.name))
                .collect::<Vec<_>>()
                .join(" and ")
        ))),
    }
}
