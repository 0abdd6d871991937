//! The command line: options, commands, rendering.
//!
//! Data goes to standard output, everything else to standard error. Exit status 0
//! means success, 1 that something needs attention, 2 wrong usage or an I/O error.

pub mod apply;
pub mod build_plan;
pub mod check;
pub mod constraints;
pub mod crds;
mod error;
mod input;
mod output;
mod patch_files;
mod registry;
pub mod sbom;
pub mod source;
mod style;

use std::process::ExitCode;

use clap::Subcommand;

pub use error::Error;

/// The commands that need no cluster.
#[derive(Debug, Subcommand)]
pub enum OfflineCommand {
    /// Check patches against a revision of a local repository
    Apply(apply::ApplyOptions),
    /// Check every patch and override of a repository of patches/, overrides/ and releases/
    Check(check::CheckOptions),
    /// Merge overrides into a release's upper constraints
    Constraints(constraints::ConstraintsOptions),
    /// Say what a patched image is made of, in a document that vulnerability scanners read
    Sbom(Box<sbom::SbomOptions>),
    /// Make an image of a patched tree, for builders to take as a named context
    Source(Box<source::SourceOptions>),
    /// Print what would be built for a PatchSet of a manifest, and from what
    BuildPlan(Box<build_plan::BuildPlanOptions>),
    /// Print the custom resource definitions as YAML
    Crds(crds::CrdsOptions),
}

impl OfflineCommand {
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
