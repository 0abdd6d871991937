//! `patchset renumber`: the numbers of patches without gaps.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;

use super::error::Error;
use super::layout_options::LayoutArguments;
use super::style::{BOLD, DIM, GOOD, plain};
use super::team::{NoSeriesAddress, SeriesAddress, TeamChanges, TeamRepository, WriteMode};
use crate::layout::{Selection, SeriesChange};

/// Options of `patchset renumber`.
#[derive(Debug, Args)]
pub struct RenumberOptions {
    /// The folder that holds patches/ and releases/
    #[arg(short = 'C', long = "repository", value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    layout: LayoutArguments,
    /// Leave the files alone, and print what would change in them as a diff
    #[arg(long)]
    dry_run: bool,
    /// Which patches to renumber: those of COMPONENT/RELEASE, or all
    #[arg(value_name = "COMPONENT/RELEASE|all")]
    series: SeriesChoice,
}

/// Which series a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeriesChoice {
    /// All.
    All,
    /// One.
    One(SeriesAddress),
}

impl FromStr for SeriesChoice {
    type Err = NoSeriesAddress;

    fn from_str(text: &str) -> Result<Self, NoSeriesAddress> {
        match text {
            "all" => Ok(Self::All),
            text => text.parse().map(Self::One),
        }
    }
}

impl SeriesChoice {
    /// The component, where it is one.
    pub(super) fn component(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::One(address) => Some(&address.component),
        }
    }

    /// What has to be read for it.
    pub(super) fn selection(&self) -> Selection {
        match self {
            Self::All => Selection::default(),
            Self::One(address) => address.selection(),
        }
    }
}

pub(super) fn run(options: &RenumberOptions) -> Result<ExitCode, Error> {
    let choice = &options.series;
    let team = TeamRepository::open(
        &options.dir,
        &options.layout,
        choice.component(),
        &choice.selection(),
    )?;
    let series = match choice {
        SeriesChoice::All => team.layout().series.iter().collect(),
        SeriesChoice::One(address) => vec![team.series(address)?],
    };
    let mut changes = TeamChanges::new(&team);
    let (mut summary, mut count) = (String::new(), 0);
    for series in series {
        let renamed = changes.change(series, &[SeriesChange::Renumber])?;
        if !renamed.is_empty() {
            // Writing to a string does not fail.
            let _ = writeln!(summary, "{BOLD}{}{BOLD:#}", plain(&series.folder));
        }
        count += renamed.len();
        for (before, after) in renamed {
            let _ = writeln!(summary, "    {} {DIM}→{DIM:#} {}", plain(&before), plain(&after));
        }
    }
    let mode = WriteMode::new(options.dry_run);
    let _ = match (count, mode) {
        (0, _) => writeln!(summary, "{GOOD}the numbers are already in sequence{GOOD:#}"),
        (_, WriteMode::Write) => writeln!(summary, "{GOOD}{count} patches have new numbers{GOOD:#}"),
        (_, WriteMode::DryRun) => writeln!(summary, "{GOOD}{count} patches would have new numbers{GOOD:#}"),
    };
    changes.write(mode, &summary)?;
    Ok(ExitCode::SUCCESS)
}
