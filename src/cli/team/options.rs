//! Options of commands on a team's repository.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use git_apply_engine::Options;

use super::repository::TeamRepository;
use super::upstreams::Upstreams;
use crate::cli::error::Error;
use crate::cli::input;
use crate::cli::layout_options::LayoutArguments;
use crate::layout::Selection;

/// Where the components' repositories are.
#[derive(Clone, Debug, Args)]
pub struct UpstreamArguments {
    /// What holds the components' repositories: a folder of clones, or the part of their URL before
    /// the component
    #[arg(long, value_name = "BASE")]
    upstream: Option<String>,
    /// Folder for what is fetched from a URL [default: patchset/mirrors in the user's cache]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// How long it may take to fetch one component at one release
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = input::duration)]
    timeout: Duration,
}

impl UpstreamArguments {
    /// `--cache-dir`.
    pub(in crate::cli) fn cache_dir(&self) -> Option<&Path> {
        self.cache_dir.as_deref()
    }

    /// `--timeout`.
    pub(in crate::cli) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The components' repositories; `None` where nothing says where they are.
    ///
    /// # Errors
    ///
    /// Where there is no such folder, or the cache cannot be used.
    pub(in crate::cli) fn open(&self) -> Result<Option<Upstreams>, Error> {
        let open = |base: &String| Upstreams::new(base, self.cache_dir.as_deref(), self.timeout);
        self.upstream.as_ref().map(open).transpose()
    }

    /// The components' repositories; `what_for` says what needs them, as the beginning of a
    /// sentence.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open), and where nothing says where they are.
    pub(in crate::cli) fn require(&self, what_for: &str) -> Result<Upstreams, Error> {
        self.open()?.ok_or_else(|| {
            Error::Usage(format!(
                "{what_for}: say with --upstream where the components' repositories are, for instance --upstream https://opendev.org/openstack"
            ))
        })
    }
}

/// How the names in patches are read.
#[derive(Clone, Debug, Args)]
pub struct PatchPathArguments {
    /// Remove N leading components from the names in the patches [default: 1, or 0 if a plain diff
    /// names no folder]
    #[arg(short = 'p', long, value_name = "N")]
    strip: Option<usize>,
    /// The folder of the components' trees that the names in the patches are relative to
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    directory: String,
}

impl PatchPathArguments {
    /// How patches are applied.
    pub(in crate::cli) fn engine(&self) -> Options {
        Options {
            strip: self.strip,
            directory: self.directory.as_str().into(),
            ..Options::default()
        }
    }
}

/// A team's repository, and where the components' repositories are.
#[derive(Debug, Args)]
pub struct TeamOptions {
    /// The folder that holds patches/ and releases/
    #[arg(short = 'C', long = "repository", value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) layout: LayoutArguments,
    #[command(flatten)]
    pub(in crate::cli) upstream: UpstreamArguments,
    #[command(flatten)]
    pub(in crate::cli) paths: PatchPathArguments,
}

impl TeamOptions {
    /// The folder.
    pub(in crate::cli) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens the repository.
    ///
    /// # Errors
    ///
    /// As for [`TeamRepository::open`].
    pub(in crate::cli) fn open(
        &self,
        component: Option<&str>,
        selection: &Selection,
    ) -> Result<TeamRepository, Error> {
        TeamRepository::open(&self.dir, &self.layout, component, selection)
    }
}
