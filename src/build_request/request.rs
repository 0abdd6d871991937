//! What another CI is asked to build, as one document.

use std::collections::BTreeMap;

use image_references::ImageReference;
use patchset_api::build::{Build, BuildStatus, DockerfileSource};
use patchset_api::{InputsDigest, Recorded};
use serde::Serialize;

use super::INPUTS_ANNOTATION;

/// One image, and all that it is built from, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildRequest<'a> {
    /// The image to push, by its tag.
    pub target: &'a Recorded<ImageReference>,
    /// The digest over everything that it is built from.
    pub inputs_digest: &'a InputsDigest,
    /// The folder with the Dockerfile, as an image; absent where the CI has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<&'a Recorded<ImageReference>>,
    /// The Dockerfile's name in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<&'a str>,
    /// The stage to build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'a str>,
    /// The named contexts, as images.
    pub contexts: &'a BTreeMap<String, Recorded<ImageReference>>,
    /// The build arguments.
    pub args: &'a BTreeMap<String, String>,
    /// The platforms; that of the builder where there are none.
    pub platforms: &'a [String],
    /// The labels that the image has to carry.
    pub labels: BTreeMap<String, String>,
}

impl<'a> BuildRequest<'a> {
    /// The request for a build; `None` if no image is planned.
    #[must_use]
    pub fn for_build(
        build: &'a Build,
        planned: &'a BuildStatus,
        component: &str,
        revision: &str,
    ) -> Option<Self> {
        let source = build.dockerfile.as_ref();
        Some(Self {
            target: planned.target.as_ref()?,
            inputs_digest: &planned.inputs_digest,
            dockerfile: planned.dockerfile.as_ref(),
            file: source.map(DockerfileSource::file),
            stage: source.and_then(|source| source.stage.as_deref()),
            contexts: &planned.contexts,
            args: &planned.args,
            platforms: &planned.platforms,
            labels: labels(&planned.inputs_digest, component, revision),
        })
    }
}

/// The labels of an image: what it was built from, and OCI's own.
#[must_use]
pub fn labels(inputs_digest: &InputsDigest, component: &str, revision: &str) -> BTreeMap<String, String> {
    [
        (INPUTS_ANNOTATION, inputs_digest.as_str()),
        ("org.opencontainers.image.revision", revision),
        ("org.opencontainers.image.title", component),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}
