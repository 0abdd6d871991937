//! The command line: options, commands, rendering.
//!
//! Data goes to standard output, everything else to standard error. Exit status 0
//! means success, 1 that something needs attention, 2 wrong usage or an I/O error.

pub mod add;
pub mod apply;
mod branch;
pub mod build_plan;
pub mod check;
pub mod conflict;
pub mod constraints;
pub mod crds;
pub mod drop;
pub mod edit;
mod error;
pub mod export;
mod file_changes;
mod file_diff;
pub mod generate;
mod git_login;
pub mod history;
mod input;
mod layout_options;
pub mod list;
mod local_files;
mod local_refresh;
mod output;
mod partial_clone;
mod patch_files;
#[cfg(feature = "sbom")]
mod patched;
pub mod refresh;
mod registry;
pub mod renumber;
#[cfg(feature = "sbom")]
pub mod sbom;
pub mod source;
mod style;
mod table;
mod team;
mod upstream_history;
pub mod verify;
#[cfg(feature = "sbom")]
pub mod vex;
mod workers;

use std::process::ExitCode;

use clap::Subcommand;

pub use error::Error;

/// The commands that need no cluster.
#[derive(Debug, Subcommand)]
pub enum OfflineCommand {
    /// Check patches against a revision of a local repository
    Apply(apply::ApplyOptions),
    /// Refresh patches, in their files, for code that has moved on
    Refresh(Box<refresh::RefreshOptions>),
    /// Add an upstream patch, or a file, to a team's repository, for each release
    ///
    /// It is tried at each release on top of the existing patches, and written where it applies,
    /// refreshed if necessary. Exit status 1 if a release is left without it.
    Add(Box<add::AddOptions>),
    /// Remove patches that upstream has, or that are named, from a team's repository
    ///
    /// The same patch at other releases is reported, and dropped where upstream has it there too.
    /// Exit status 1 if something does not apply without what was dropped.
    Drop(Box<drop::DropOptions>),
    /// Number the patches of a team's repository without gaps
    Renumber(renumber::RenumberOptions),
    /// Make a working tree with the patches of a component at a release as commits
    ///
    /// One commit per patch, the same each time. On a ref where a patch does not apply, it stops
    /// with git's conflict markers and exit status 1, and continues with --continue. patchset
    /// export writes the commits back.
    Edit(Box<edit::EditOptions>),
    /// Write the commits of a patchset edit working tree back into their patch files
    ///
    /// What did not change stays the same, byte for byte.
    Export(Box<export::ExportOptions>),
    /// Show whether a reworked series loses anything
    ///
    /// Exit status 1 if a patch, a file or a hunk is gone.
    Verify(Box<verify::VerifyOptions>),
    /// Show what is needed to resolve a conflict
    ///
    /// The file that the patch was made for, the one that is there now, the one with the patch, the
    /// commit of upstream that broke it, and the same patch at other releases. Exit status 1 if
    /// there is a conflict.
    Conflict(Box<conflict::ConflictOptions>),
    /// Check every patch and override in a team's repository
    Check(check::CheckOptions),
    /// List the patches of a team's repository by component and release
    ///
    /// With the bugs and CVE numbers that each claims to resolve, what it says about upstream, how
    /// old it is, and which other releases have it. With --upstream, also the state of each.
    List(Box<list::ListOptions>),
    /// Show when each patch of a component at a release was added, changed and removed
    ///
    /// From the Git history of the team's repository. A patch that was renamed or renumbered counts
    /// as the same patch.
    History(Box<history::TeamHistoryOptions>),
    /// Print the PatchSets and ConstraintOverrides that a repository's folders ask for
    ///
    /// They are the ones that a PatchRepository would make, without their owner, for teams that
    /// keep them in Git. Exit status 1 if something is wrong with the folders or with what they
    /// result in.
    Generate(Box<generate::GenerateOptions>),
    /// Merge overrides into a release's upper constraints
    Constraints(constraints::ConstraintsOptions),
    /// Describe how a component was patched, in a CycloneDX document
    ///
    /// The pedigree of the component has each patch, where it comes from, and the bugs and CVE
    /// numbers that its headers and message claim to resolve. Vulnerability scanners do not read
    /// pedigrees: use patchset vex for them.
    #[cfg(feature = "sbom")]
    Sbom(Box<sbom::SbomOptions>),
    /// List which CVEs an image's patches resolve, in an OpenVEX document for scanners
    ///
    /// One statement, fixed, for each CVE number that a patch's headers, message or file name
    /// claims to resolve; a number that is only mentioned does not count.
    #[cfg(feature = "sbom")]
    Vex(Box<vex::VexOptions>),
    /// Make an image of a patched tree, for builders to take as a named context
    Source(Box<source::SourceOptions>),
    /// Print what would be built for a PatchSet in a manifest, and from what
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
            Self::Refresh(options) => refresh::run(&options),
            Self::Add(options) => add::run(&options),
            Self::Drop(options) => drop::run(&options),
            Self::Renumber(options) => renumber::run(&options),
            Self::Edit(options) => edit::run(&options),
            Self::Export(options) => export::run(&options),
            Self::Verify(options) => verify::run(&options),
            Self::Conflict(options) => conflict::run(&options),
            Self::Check(options) => check::run(&options),
            Self::List(options) => list::run(&options),
            Self::History(options) => history::run(&options),
            Self::Generate(options) => generate::run(&options),
            Self::Constraints(options) => constraints::run(&options),
            #[cfg(feature = "sbom")]
            Self::Sbom(options) => sbom::run(&options),
            #[cfg(feature = "sbom")]
            Self::Vex(options) => vex::run(&options),
            Self::Source(options) => source::run(&options),
            Self::BuildPlan(options) => build_plan::run(&options),
            Self::Crds(options) => crds::run(&options),
        };
        match outcome {
            Ok(code) => code,
            Err(error) => {
                anstream::eprintln!("error: {}", foreign_text::printable_lines(&error.to_string()));
                ExitCode::from(2)
            }
        }
    }
}
