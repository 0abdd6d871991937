//! All that is found for a build before it is described.

use std::collections::BTreeMap;
use std::sync::Arc;

use git_apply_engine::{Objects, PatchInput, Series};
use image_references::ImageReference;
use patchset_api::build::{Build, BuildStatus};
use patchset_api::{PatchSetSpec, Recorded, Revision};
use source_images::layer::Contents;

/// What was found for a build.
pub struct BuildFindings<'a> {
    /// The spec of the `PatchSet`.
    pub spec: &'a PatchSetSpec,
    /// Its build.
    pub build: &'a Build,
    /// The upstream's commit.
    pub upstream: FoundUpstream,
    /// The patches, in their order.
    pub patches: &'a [PatchInput],
    /// The patches' revision; `None` if they are not in Git.
    pub patches_revision: Option<Revision>,
    /// The build as the status has it.
    pub known: Option<&'a BuildStatus>,
    /// The patches on the upstream's tree.
    pub series: &'a Series,
    /// Arguments that were read; those of the spec win over them.
    pub arguments: BTreeMap<String, String>,
    /// The folder with the Dockerfile.
    pub dockerfile: Option<FolderContents>,
    /// The patched libraries.
    pub libraries: &'a [Library],
    /// The merged constraints.
    pub constraints: Option<&'a [u8]>,
    /// The images of further contexts, by the names of these.
    pub bases: BTreeMap<String, BaseImage>,
    /// The `forceAt` by which a build was asked for.
    pub requested: Option<&'a str>,
}

/// The upstream's commit.
pub struct FoundUpstream {
    /// The repository's address, without credentials.
    pub url: String,
    /// Where the commit was found.
    pub revision: Revision,
    /// The tag, if the ref is one.
    pub tag: Option<String>,
    /// The objects of the commit's tree.
    pub objects: Arc<dyn Objects + Send + Sync>,
}

/// A folder with the objects of its tree.
pub struct FolderContents {
    /// What is in it.
    pub contents: Contents,
    /// The objects.
    pub objects: Arc<dyn Objects + Send + Sync>,
}

/// A patched library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// The `PatchSet`.
    pub name: String,
    /// The component, which is the name of its context.
    pub component: String,
    /// Its source image by digest.
    pub source: Recorded<ImageReference>,
    /// The Python distribution that it is the source of; `None` if it names none.
    pub distribution: Option<String>,
}

impl Library {
    /// Component and distribution.
    pub(super) fn distribution(&self) -> Option<(String, String)> {
        Some((self.component.clone(), self.distribution.clone()?))
    }
}

/// The image of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseImage {
    /// By its digest.
    Pinned(ImageReference),
    /// By a tag that was not looked up.
    Unpinned(ImageReference),
}

impl BaseImage {
    /// The reference to it, as a status has it.
    pub(super) fn to_recorded(&self) -> Recorded<ImageReference> {
        match self {
            Self::Pinned(reference) | Self::Unpinned(reference) => reference.as_given().into(),
        }
    }

    pub(super) fn is_pinned(&self) -> bool {
        matches!(self, Self::Pinned(_))
    }
}
