//! `patchset build-plan`: what the controller would have built for a PatchSet, and from what.

mod manifest;
mod places;
mod planning;
mod render;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::registry::RegistryOptions;
use super::{Error, print};
use crate::image::ImageReference;
use crate::plan::build::INPUTS_LABEL;
use crate::publish::{self};
use manifest::Manifest;
use places::{PlaceOptions, Places};
use planning::{Pins, Planned, Planner};

/// Options of `patchset build-plan`.
#[derive(Debug, Args)]
pub struct Options {
    /// The PatchSet to plan [default: the only one of the manifest that has a build and is no library of another]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    places: PlaceOptions,
    /// Ask the registry whether the image is there
    #[arg(long, conflicts_with = "offline")]
    look: bool,
    /// Push what is built from, where the registry lacks it: the patched source, the libraries', the constraints, the
    /// folder with the Dockerfile
    #[arg(long, conflicts_with = "offline")]
    push: bool,
    #[command(flatten)]
    registry: RegistryOptions,
    /// How to tell the plan
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// The manifest with the PatchSet and what it names: library PatchSets, the ConstraintOverride, ConfigMaps, as further
    /// documents; - is standard input
    #[arg(value_name = "MANIFEST")]
    manifest: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One JSON object; `build` is what the status of the PatchSet would have.
    Json,
    /// A command for buildah that builds and pushes the image, to be run in the folder with the Dockerfile.
    Buildah,
    /// The same for buildctl.
    Buildctl,
}

/// Whether the registry has the image.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all_fields = "camelCase")]
enum Image {
    /// Nothing is there under the tag.
    Absent,
    /// It is there, built from these inputs: nothing would be built.
    Built {
        /// Its digest.
        digest: String,
    },
    /// The tag has an image that was built from something else.
    TagTaken {
        /// Its digest.
        digest: String,
        /// What it says that it was built from.
        inputs_digest: Option<String>,
    },
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Error> {
    let manifest = Manifest::read(&options.manifest)?;
    let chosen = manifest.chosen(options.name.as_deref())?;
    let places = Places::new(&options.places)?;
    let pins = Pins::new(&options.registry, options.places.offline);
    let mut planned = Planner {
        manifest: &manifest,
        places: &places,
        pins: &pins,
    }
    .plan(chosen)?;
    let is_command = matches!(options.output, Output::Buildah | Output::Buildctl);
    if is_command && !planned.applies() {
        // Nobody should run what is told here.
        anstream::eprint!("{}", render::text(&planned, None));
        return Ok(ExitCode::from(1));
    }
    if options.push && planned.applies() {
        push(options, &mut planned)?;
    }
    let image = match (&planned.build, options.look) {
        (Some(build), true) => look(options, build.inputs_digest.as_str(), build.target.as_deref())?,
        _ => None,
    };
    let text = match options.output {
        Output::Text => render::text(&planned, image.as_ref()),
        Output::Json => render::json(&planned, image.as_ref())?,
        Output::Buildah => render::buildah(&planned)?,
        Output::Buildctl => render::buildctl(&planned)?,
    };
    if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        anstream::print!("{text}");
    } else {
        print(anstream::adapter::strip_str(&text).to_string().as_bytes())?;
    }
    Ok(if planned.applies() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Pushes all images that the build takes.
fn push(options: &Options, planned: &mut Planned) -> Result<(), Error> {
    let images = planned.take_images();
    options.registry.run(|registry| async move {
        for image in images {
            image.push(&registry).await?;
        }
        Ok(())
    })
}

/// Looks for the image that would be built.
fn look(options: &Options, inputs_digest: &str, target: Option<&str>) -> Result<Option<Image>, Error> {
    let Some(target) = target else {
        return Ok(None);
    };
    let target: ImageReference = target.parse().map_err(publish::Error::from)?;
    let found = options
        .registry
        .run(|registry| async move { registry.inspect(&target).await })?;
    let Some(found) = found else {
        return Ok(Some(Image::Absent));
    };
    let inputs = found.labels.get(INPUTS_LABEL);
    Ok(Some(if inputs.map(String::as_str) == Some(inputs_digest) {
        Image::Built {
            digest: found.digest.to_string(),
        }
    } else {
        Image::TagTaken {
            digest: found.digest.to_string(),
            inputs_digest: inputs.cloned(),
        }
    }))
}
