//! The command line: options, commands, rendering.
//!
//! Data goes to standard output, everything else to standard error. Exit status 0
//! means success, 1 that something needs attention, 2 wrong usage or an I/O error.

pub mod apply;
pub mod build_plan;
pub mod check;
pub mod constraints;
pub mod crds;
mod input;
mod registry;
pub mod sbom;
pub mod source;
mod style;

use std::process::ExitCode;

use clap::Subcommand;

/// The commands that need no cluster.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check patches against a revision of a local repository
    Apply(apply::Options),
    /// Check every patch and override of a repository of patches/, overrides/ and releases/
    Check(check::Options),
    /// Merge overrides into a release's upper constraints
    Constraints(constraints::Options),
    /// Say what a patched image is made of, in a document that vulnerability scanners read
    Sbom(Box<sbom::Options>),
    /// Make an image of a patched tree, for builders to take as a named context
    Source(Box<source::Options>),
    /// Print what would be built for a PatchSet of a manifest, and from what
    BuildPlan(Box<build_plan::Options>),
    /// Print the custom resource definitions as YAML
    Crds(crds::Options),
}

/// Why a command could not give its answer.
///
/// Every variant ends the process with exit status 2.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing a file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file, or what stands for it.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was asked for does not fit what is there.
    #[error("{0}")]
    Usage(String),
    /// An upstream cannot be used.
    #[error(transparent)]
    Source(#[from] crate::source::Error),
    /// A folder cannot be read.
    #[error(transparent)]
    Folder(#[from] crate::source::folder::FolderError),
    /// An image cannot be made or pushed.
    #[error(transparent)]
    Publish(#[from] crate::publish::Error),
    /// A document of components cannot be made.
    #[error(transparent)]
    Sbom(#[from] crate::sbom::Error),
    /// A value could not be written as YAML.
    #[error("cannot write YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
    /// A value could not be written as JSON.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A local repository cannot be used.
    #[error(transparent)]
    Repository(#[from] crate::source::local::LocalError),
    /// What was found cannot be put together.
    #[error(transparent)]
    Plan(#[from] crate::plan::Failure),
    /// The patches could not be looked at.
    #[error(transparent)]
    Patch(#[from] crate::patch::Error),
    /// The constraints or overrides cannot be merged.
    #[error(transparent)]
    Constraints(#[from] crate::constraints::Error),
    /// The result could not be written into the repository.
    #[error("cannot write into the repository: {0}")]
    Write(#[from] crate::patch::ObjectError),
}

impl Command {
    /// Runs the command and gives the process's exit status.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let outcome = match self {
            Self::Apply(options) => apply::run(&options),
            Self::Check(options) => check::run(&options),
            Self::Constraints(options) => constraints::run(&options),
            Self::Sbom(options) => sbom::run(&options),
            Self::Source(options) => source::run(&options),
            Self::BuildPlan(options) => build_plan::run(&options),
            Self::Crds(options) => crds::run(&options),
        };
        match outcome {
            Ok(code) => code,
            Err(error) => {
                anstream::eprintln!("error: {}", crate::text::printable_lines(&error.to_string()));
                ExitCode::from(2)
            }
        }
    }
}

/// Writes to standard output; a reader that went away early is no error.
fn print(text: &[u8]) -> Result<(), Error> {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::Io {
            path: "standard output".to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}
