//! What an image is built from: given all that was found for it, the source images that the build takes, and the build.
//!
//! The controller and `patchset build-plan` only find; what follows from that is described here, so that both come to the
//! same digests. [`Recipe::describe`] is the way in.

mod build;
mod contexts;
pub mod dockerfile;
mod found;
pub mod libraries;
mod located;
pub mod pins;
mod reasons;
mod tags;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pep440_rs::Version;

pub use build::CONSTRAINTS;
pub use contexts::arguments;
pub use found::{BaseImage, FolderContents, Found, FoundUpstream, Library};
pub use located::Located;
pub use reasons::{build_reasons, requested};
pub use tags::TagError;

use crate::api::build::BuildStatus;
use crate::api::reason;
use crate::plan::{Failure, Step};
use crate::publish::image::{About, PatchId};
use crate::publish::python::version;
use crate::publish::source_image::{self, SourceImage};

/// An image that a build takes, and which part it is.
pub struct RecipePart {
    /// Which part.
    pub kind: PartKind,
    /// The image.
    pub image: SourceImage,
}

/// Which part of a build an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// The patched tree.
    Source,
    /// The folder with the Dockerfile.
    Dockerfile,
    /// The constraints.
    Constraints,
}

impl fmt::Display for PartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "the source",
            Self::Dockerfile => "the Dockerfile",
            Self::Constraints => "the constraints",
        })
    }
}

/// What is built, and from what.
pub struct Recipe {
    /// The component: the name of the context that its source is.
    pub component: String,
    /// The images to publish, in this order.
    pub parts: Vec<RecipePart>,
    /// The build as the status has it, without what follows from earlier ones. Where `unpinned` names a context, the
    /// inputs are not known: the digest over them is empty, and tags that would tell it are missing.
    pub build: BuildStatus,
    /// The contexts that are named by a tag whose image was not looked up.
    pub unpinned: BTreeSet<String>,
}

/// Why there is no recipe.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// An image cannot be described.
    #[error(transparent)]
    Image(#[from] crate::publish::Error),
    /// What was found does not go together.
    #[error(transparent)]
    Plan(#[from] Failure),
}

impl Recipe {
    /// Describes the images that a build takes, and plans it.
    ///
    /// # Errors
    ///
    /// Where a tree cannot be read or is refused, the version is none, contexts do not go together, what is built from
    /// source would stay pinned, or a tag cannot be made.
    pub fn describe(found: Found<'_>) -> Result<Self, RecipeError> {
        let (spec, build) = (found.spec, found.build);
        let component = &spec.component.0;
        let repository = &build.source.repository.0;
        let version = version(build.source.version.as_deref(), found.upstream.tag.as_deref())
            .map_err(|told| invalid(format!("build.source.version: {told:?} is no version (PEP 440)")))?;
        let source = source_image::patched(
            repository,
            found.upstream.objects.clone(),
            found.series,
            version.as_ref(),
            about(&found, version.as_ref()),
        )?;
        let own = source.distribution.clone().map(|name| (component.clone(), name));
        let of_libraries = found.libraries.iter().filter_map(Library::distribution);
        let distributions: BTreeMap<String, String> = of_libraries.chain(own).collect();
        let mut args = found.arguments;
        args.extend(build.args.clone());
        let bases = found.bases.iter();
        let bases = bases.map(|(name, image)| (name.clone(), image.reference().to_owned()));
        let contexts = contexts::contexts(contexts::ContextInputs {
            component,
            libraries: found.libraries,
            distributions: &distributions,
            bases: &bases.collect(),
            constraints: found.constraints,
            args: &args,
        })?;
        let mut images = contexts.images;
        images.insert(component.clone(), source.reference()?);
        let mut parts = vec![RecipePart {
            kind: PartKind::Source,
            image: source,
        }];
        let mut dockerfile = None;
        if let Some(FolderContents { contents, objects }) = found.dockerfile {
            let image = source_image::dockerfile(repository, contents, objects)?;
            dockerfile = Some(image.reference()?);
            parts.push(RecipePart {
                kind: PartKind::Dockerfile,
                image,
            });
        }
        if let Some(text) = contexts.constraints {
            let image = source_image::constraints(repository, CONSTRAINTS, &spec.release.0, text)?;
            images.insert(CONSTRAINTS.to_owned(), image.reference()?);
            parts.push(RecipePart {
                kind: PartKind::Constraints,
                image,
            });
        }
        let unpinned = found.bases.iter().filter(|(_, image)| !image.is_pinned());
        let unpinned: BTreeSet<String> = unpinned.map(|(name, _)| name.clone()).collect();
        let planned = build::planned(
            build,
            build::BuildInputs {
                component,
                release: &spec.release.0,
                ref_: found
                    .upstream
                    .ref_name
                    .as_deref()
                    .unwrap_or(&found.upstream.commit),
                commit: &found.upstream.commit,
                version: version.as_ref().map(ToString::to_string).as_deref(),
                patches: found.patches.len(),
                dockerfile: dockerfile.as_deref(),
                contexts: &images,
                args: &args,
                requested: found.requested,
                are_known: unpinned.is_empty(),
            },
        );
        let planned = planned.map_err(|error| invalid(error.to_string()))?;
        Ok(Self {
            component: component.clone(),
            parts,
            build: BuildStatus {
                distributions,
                ..planned
            },
            unpinned,
        })
    }
}

/// What the source image says of itself besides its tree.
fn about(found: &Found<'_>, version: Option<&Version>) -> About {
    About {
        component: Some(found.spec.component.0.clone()),
        release: Some(found.spec.release.0.clone()),
        source: Some(found.upstream.url.clone()),
        revision: Some(found.upstream.revision.clone()),
        version: version.map(ToString::to_string),
        tree: None,
        patches: found
            .patches
            .iter()
            .map(|patch| PatchId::new(&patch.name, &patch.bytes))
            .collect(),
    }
}

fn invalid(message: String) -> Failure {
    Failure::stalled(Step::Build, reason::INVALID_SPEC, message)
}
