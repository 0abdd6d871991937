//! `patchset sbom`: what a patched image is made of, as a `CycloneDX` document.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::error::Error;
use super::input;
use super::output::print;
use super::patch_files;
use super::registry::RegistryOptions;
use crate::api::constraint_override::UpstreamPin;
use crate::constraints::{ConstraintsFile, Overrides, merge};
use crate::image::ImageReference;
use crate::patch::{Limits, PatchInput};
use crate::sbom::{self, MEDIA_TYPE, Overridden, Patched, PatchedComponent};

/// Options of `patchset sbom`.
#[derive(Debug, Args)]
pub struct SbomOptions {
    /// The component that is patched
    #[arg(long, value_name = "NAME")]
    component: String,
    /// Its version
    #[arg(id = "component_version", long = "component-version", value_name = "VERSION")]
    version: String,
    /// Its package URL [default: pkg:pypi/NAME@VERSION]
    #[arg(long, value_name = "PURL")]
    purl: Option<String>,
    /// The upstream's revision, for instance 31.0.0@sha1:1f0c…
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// The release that it is built for
    #[arg(long, value_name = "RELEASE")]
    release: Option<String>,
    /// The release's constraints as upstream publishes them, to tell which packages were overridden
    #[arg(long, value_name = "FILE", requires = "overrides")]
    upper_constraints: Option<PathBuf>,
    /// The overrides of these constraints
    #[arg(long, value_name = "FILE", requires = "upper_constraints")]
    overrides: Option<PathBuf>,
    /// Put it into this document instead, for instance Syft's; - is standard input
    #[arg(long, value_name = "SBOM")]
    merge: Option<PathBuf>,
    /// Attach the document to this image in its registry, and print what it was attached as
    #[arg(long, value_name = "IMAGE")]
    attach: Option<ImageReference>,
    #[command(flatten)]
    registry: RegistryOptions,
    /// Patches, or folders whose *.patch are taken in alphabetical order
    #[arg(value_name = "PATCH|DIR")]
    patches: Vec<PathBuf>,
}

pub(super) fn run(options: &SbomOptions) -> Result<ExitCode, Error> {
    let patches: Vec<PatchInput> = patch_files::read_all(&options.patches, Limits::default().patch_bytes)?
        .into_iter()
        .map(|patch| PatchInput {
            name: patch_files::base_name(&patch.name).to_owned(),
            bytes: patch.bytes,
        })
        .collect();
    let main = Patched {
        component: PatchedComponent {
            name: options.component.clone(),
            version: options.version.clone(),
            purl: options.purl.clone(),
            revision: options.revision.clone(),
            release: options.release.clone(),
        },
        patches,
    };
    let packages = overridden_packages(options)?;
    let mut document = match &options.merge {
        None => sbom::document(&main, &[], &packages)?,
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
