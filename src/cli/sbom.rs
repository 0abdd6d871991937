//! `patchset sbom`: how components were patched, as a `CycloneDX` document.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use image_references::ImageReference;
use patchset_api::constraint_override::UpstreamPin;
use upper_constraints::{ConstraintsFile, Overrides, merge};

use super::error::Error;
use super::input;
use super::output::print;
use super::patched::PatchedOptions;
use super::registry::RegistryOptions;
use crate::sbom::{self, MEDIA_TYPE, Overridden, SpecificationVersion};

/// Options of `patchset sbom`.
#[derive(Debug, Args)]
pub struct SbomOptions {
    #[command(flatten)]
    patched: PatchedOptions,
    /// The upstream's revision, for instance 31.0.0@sha1:1f0c…
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// The release that the component is built for
    #[arg(long, value_name = "RELEASE")]
    release: Option<String>,
    /// The release's constraints as upstream publishes them, to tell which packages were overridden
    #[arg(long, value_name = "FILE", requires = "overrides")]
    upper_constraints: Option<PathBuf>,
    /// The overrides of these constraints
    #[arg(long, value_name = "FILE", requires = "upper_constraints")]
    overrides: Option<PathBuf>,
    /// Add it to this document instead, for instance Syft's; - is standard input
    #[arg(long, value_name = "SBOM", conflicts_with = "spec_version")]
    merge: Option<PathBuf>,
    /// The version of the CycloneDX specification
    #[arg(long, value_name = "VERSION", value_enum, default_value = "1.5")]
    spec_version: SpecVersion,
    /// Attach the document to this image in its registry, and print what it was attached as
    #[arg(long, value_name = "IMAGE")]
    attach: Option<ImageReference>,
    #[command(flatten)]
    registry: RegistryOptions,
}

/// Versions of the specification, as they are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SpecVersion {
    #[value(name = "1.5")]
    V1_5,
    #[value(name = "1.6")]
    V1_6,
    #[value(name = "1.7")]
    V1_7,
}

impl From<SpecVersion> for SpecificationVersion {
    fn from(version: SpecVersion) -> Self {
        match version {
            SpecVersion::V1_5 => Self::V1_5,
            SpecVersion::V1_6 => Self::V1_6,
            SpecVersion::V1_7 => Self::V1_7,
        }
    }
}

pub(super) fn run(options: &SbomOptions) -> Result<ExitCode, Error> {
    let mut main = options.patched.read()?;
    main.component.revision.clone_from(&options.revision);
    main.component.release.clone_from(&options.release);
    let packages = overridden_packages(options)?;
    let mut document = match &options.merge {
        None => sbom::document(&main, &[], &packages, options.spec_version.into())?,
        Some(path) => {
            let foreign = input::read(path, input::LARGEST)?;
            sbom::merge(&foreign, &main, &packages).map_err(|error| match error {
                sbom::Error::Foreign(_) => Error::Usage(format!("{} {error}", path.display())),
                other => other.into(),
            })?
        }
    };
    match &options.attach {
        None => {
            document.push(b'\n');
            print(&document)?;
        }
        Some(image) => {
            let attached = options
                .registry
                .run(|registry| async move { registry.attach(image, MEDIA_TYPE, &document).await })?;
            print(format!("{attached}\n").as_bytes())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The packages that overrides pin to other versions than upstream does.
fn overridden_packages(options: &SbomOptions) -> Result<Vec<Overridden>, Error> {
    let (Some(upper), Some(overrides)) = (&options.upper_constraints, &options.overrides) else {
        return Ok(Vec::new());
    };
    let base = ConstraintsFile::parse(&input::read(upper, input::LARGEST)?)?;
    let overrides = Overrides::parse(&input::read(overrides, input::LARGEST)?)?;
    let merged = merge(&base, &overrides, &[])?;
    let pins = merged.outcomes.iter().filter_map(|outcome| {
        let from: Vec<UpstreamPin> = outcome.from.iter().map(Into::into).collect();
        Overridden::from_override(&outcome.package, outcome.state, &from, outcome.to.as_deref())
    });
    Ok(pins.collect())
}
