//! `patchset build-plan`: what the controller would have built for a PatchSet, and from what.

mod bases;
mod branches;
mod contents;
mod image;
mod judged;
mod manifest;
mod places;
mod planning;
mod render;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::error::Error;
use super::output::{self, print_styled};
use super::registry::RegistryOptions;
use bases::{Registries, TagLookup};
use contents::ContentReader;
use image::RegistryImage;
use manifest::ManifestObjects;
use places::{PlaceOptions, SourcePlaces};
use planning::{Planned, Planner};

/// Options of `patchset build-plan`.
#[derive(Debug, Args)]
pub struct BuildPlanOptions {
    /// The PatchSet to plan [default: the only one in the manifest that has a build and is not a
    /// library of another]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    places: PlaceOptions,
    /// Ask the registry whether it has the image
    #[arg(long, conflicts_with = "offline")]
    look: bool,
    /// Push what the image is built from, unless the registry has it: the patched source, the
    /// libraries', the constraints, the folder with the Dockerfile
    #[arg(long, conflicts_with = "offline")]
    push: bool,
    #[command(flatten)]
    registry: RegistryOptions,
    /// How to print the plan
    #[arg(long, value_enum, default_value = "text")]
    output: BuildPlanOutput,
    /// The manifest with the PatchSet and what it names: library PatchSets, the ConstraintOverride,
    /// ConfigMaps, as further documents; - is standard input
    #[arg(value_name = "MANIFEST")]
    manifest: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BuildPlanOutput {
    /// Human-readable.
    Text,
    /// One JSON object; `build` is what the PatchSet's status would have.
    Json,
    /// A command for buildah that builds and pushes the image, to be run in the folder with the
    /// Dockerfile.
    Buildah,
    /// The same for buildctl.
    Buildctl,
}

pub(super) fn run(options: &BuildPlanOptions) -> Result<ExitCode, Error> {
    let manifest = ManifestObjects::read(&options.manifest)?;
    let chosen = manifest.choose(options.name.as_deref())?;
    let places = SourcePlaces::new(&options.places)?;
    let registries = if options.places.offline {
        Registries::MayNotBeAsked
    } else {
        Registries::MayBeAsked
    };
    let tags = TagLookup::new(&options.registry, registries);
    let planner = Planner {
        reader: ContentReader {
            manifest: &manifest,
            places: &places,
        },
        tags: &tags,
    };
    let mut planned = planner.plan(chosen)?;
    for note in planned.notes() {
        output::note(note);
    }
    let is_command = matches!(
        options.output,
        BuildPlanOutput::Buildah | BuildPlanOutput::Buildctl
    );
    if is_command && !planned.applies() {
        // Print the plan instead of a command that should not be run.
        anstream::eprint!("{}", render::text(&planned, None));
        return Ok(ExitCode::from(1));
    }
    if options.push && planned.applies() {
        push(options, &mut planned)?;
    }
    let image = match &planned.recipe {
        Some(recipe) if options.look => RegistryImage::look(&options.registry, &recipe.build)?,
        _ => None,
    };
    let text = match options.output {
        BuildPlanOutput::Text => render::text(&planned, image.as_ref()),
        BuildPlanOutput::Json => render::json(&planned, image.as_ref())?,
        BuildPlanOutput::Buildah => render::buildah(&planned)?,
        BuildPlanOutput::Buildctl => render::buildctl(&planned)?,
    };
    print_styled(&text)?;
    Ok(if planned.applies() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Pushes all images that the build takes.
fn push(options: &BuildPlanOptions, planned: &mut Planned<'_>) -> Result<(), Error> {
    let images = planned.take_images();
    options.registry.run(|registry| async move {
        for image in images {
            image.push(&registry).await?;
        }
        Ok(())
    })
}
