//! `patchset add`: takes a patch of upstream, or a file, into a team's repository, for each release
//! where it applies.

mod dialect;
mod fetched;
mod options;
mod origin;
mod render;
mod source;
mod targets;
mod trial;
mod web;

use std::fmt::Write;
use std::process::ExitCode;

use super::error::Error;
use super::output::note;
use super::style::{BAD, BOLD, GOOD, plain};
use super::team::{TeamChanges, TeamRepository, WriteMode};
use crate::layout::ContentLimits;
use dialect::HeaderStyle;
pub use options::AddOptions;
use origin::PatchOrigins;
use source::AddedSource;
use targets::ReleaseTarget;
use trial::{ReleaseOutcome, Trial};

/// The most patches whose form is looked at.
const MOST_LOOKED_AT: usize = 500;

pub(super) fn run(options: &AddOptions) -> Result<ExitCode, Error> {
    let source = AddedSource::read(&options.source)?;
    if options.from.is_some() && !matches!(source, AddedSource::Revision(_)) {
        return Err(Error::Usage(
            "--from is for a revision: an address already names its repository".to_owned(),
        ));
    }
    let team = options.team.open(
        Some(&options.component),
        &targets::selection(&options.component, &options.release),
    )?;
    let targets = targets::find(&team, options)?;
    let upstreams = options
        .team
        .upstream
        .require("a patch is tried on what the component is built from")?;
    let trial = Trial {
        upstreams: &upstreams,
        engine: options.team.paths.engine(),
        history: &options.history,
        style: match options.headers {
            Some(style) => style,
            None => style_of(&team, options),
        },
    };
    let mut origins = PatchOrigins::new(options, &source)?;
    let mut changes = TeamChanges::new(&team);
    let (mut summary, mut missing) = (String::new(), 0);
    for target in &targets {
        // Writing to a string does not fail.
        let _ = writeln!(summary, "{BOLD}{target}{BOLD:#} at {}", plain(&target.reference));
        match try_release(&trial, &mut origins, &mut changes, target) {
            Ok(outcome) => {
                render::write_release(&mut summary, &target.series, &outcome);
                missing += usize::from(!outcome.is_done());
            }
            // With a single release, there is nothing else to report.
            Err(error) if targets.len() == 1 => return Err(error),
            Err(error) => {
                let error = plain(&error.to_string());
                let _ = writeln!(summary, "  {BAD}not tried{BAD:#} {error}");
                missing += 1;
            }
        }
    }
    let (style, rest) = match missing {
        0 => (GOOD, String::new()),
        missing => (BAD, format!(", {missing} lack it")),
    };
    let done = targets.len() - missing;
    let _ = writeln!(
        summary,
        "{style}{done} of {} releases have it{rest}{style:#}",
        targets.len()
    );
    changes.write(WriteMode::new(options.dry_run), &summary)?;
    Ok(if missing == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Tries the source's candidates for a release, the best first.
fn try_release(
    trial: &Trial<'_>,
    origins: &mut PatchOrigins<'_>,
    changes: &mut TeamChanges<'_>,
    target: &ReleaseTarget,
) -> Result<ReleaseOutcome, Error> {
    let upstream = trial.open(&target.series, &target.reference)?;
    let mut first = None;
    for origin in origins.candidates(target, &upstream)? {
        let source = origins.fetch(&origin, trial, target)?;
        let mut outcome = trial.run(changes, &target.series, &upstream, source)?;
        outcome.notes.extend(origin.note());
        if outcome.is_done() {
            return Ok(outcome);
        }
        first.get_or_insert(outcome);
    }
    first.ok_or_else(|| Error::Usage(format!("the source has nothing for {target}")))
}

/// The form that the repository's patches use, across all components.
fn style_of(team: &TeamRepository, options: &AddOptions) -> HeaderStyle {
    let all = crate::layout::Selection::default();
    let whole = TeamRepository::open(
        options.team.dir(),
        &options.team.layout,
        Some(&options.component),
        &all,
    );
    let whole = match whole {
        Ok(whole) => whole,
        // Faults elsewhere do not keep a patch from being added.
        Err(error) => {
            note(&format!(
                "the style of other components' patches is not known: {error}"
            ));
            return style_in(team);
        }
    };
    style_in(&whole)
}

fn style_in(team: &TeamRepository) -> HeaderStyle {
    let mut patches = Vec::new();
    for series in &team.layout().series {
        if patches.len() >= MOST_LOOKED_AT {
            break;
        }
        let found = series.series.contents(team, &ContentLimits::default());
        patches.extend(found.unwrap_or_default());
    }
    HeaderStyle::of_patches(
        patches
            .iter()
            .take(MOST_LOOKED_AT)
            .map(|patch| patch.bytes.as_slice()),
    )
}
