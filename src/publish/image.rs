//! The configuration and manifest of a source image (OCI image-spec 1.1).

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::Error;
use super::layer::{Layer, sha256_digest};
use super::registry::Manifest;

/// Media types of manifests and indexes: the image-spec's, and Docker's.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An image for several platforms, or a list of referrers.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The configuration of an artifact that has none (image-spec, "Guidance for an Empty Descriptor").
pub(super) const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The label with the upstream's revision.
pub const REVISION_LABEL: &str = "org.opencontainers.image.revision";
/// The label with the component's version.
pub const VERSION_LABEL: &str = "org.opencontainers.image.version";
/// The label with the release.
pub const RELEASE_LABEL: &str = "patching.c5c3.io/release";
/// The label with the patches, as a list in JSON of [`PatchId`].
pub const PATCHES_LABEL: &str = "patching.c5c3.io/patches";

/// One patch that a tree has.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PatchId {
    /// Its file name.
    pub name: String,
    /// The SHA-256 of the file, as `sha256:` and 64 hexadecimal digits.
    pub digest: String,
}

impl PatchId {
    /// Identifies a patch by its bytes.
    #[must_use]
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            digest: sha256_digest(&Sha256::digest(bytes)),
        }
    }
}

/// What an image says of itself. Nothing here may differ between two images of one tree but for what is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The component.
    pub component: Option<String>,
    /// The release.
    pub release: Option<String>,
    /// The upstream's address.
    pub source: Option<String>,
    /// The upstream's revision.
    pub revision: Option<String>,
    /// The component's version.
    pub version: Option<String>,
    /// The patched tree (its SHA-1).
    pub tree: Option<String>,
    /// The patches, in order.
    pub patches: Vec<PatchId>,
}

impl About {
    /// The labels of the configuration, and the annotations of the manifest: the keys that the image-spec
    /// predefines, and this project's own.
    ///
    /// # Errors
    ///
    /// Where the patches cannot be written as JSON.
    pub fn labels(&self) -> Result<BTreeMap<String, String>, serde_json::Error> {
        let patches = if self.patches.is_empty() {
            None
        } else {
            Some(serde_json::to_string(&self.patches)?)
        };
        let pairs = [
            ("org.opencontainers.image.title", &self.component),
            ("org.opencontainers.image.source", &self.source),
            (REVISION_LABEL, &self.revision),
            (VERSION_LABEL, &self.version),
            ("patching.c5c3.io/component", &self.component),
            (RELEASE_LABEL, &self.release),
            ("patching.c5c3.io/tree", &self.tree),
            (PATCHES_LABEL, &patches),
        ];
        Ok(pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)))
            .collect())
    }
}

/// A source image without its layer's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The layer.
    pub layer: Layer,
    /// The configuration's bytes and digest.
    pub config: (Vec<u8>, String),
    /// The manifest's bytes and digest: what the image is named by.
    pub manifest: (Vec<u8>, String),
    /// The labels.
    pub labels: BTreeMap<String, String>,
}

impl Image {
    /// Describes an image.
    ///
    /// The platform is linux/amd64: a source tree has none, builders want one, and a named context is read whatever
    /// platform is built for.
    ///
    /// # Errors
    ///
    /// Where it cannot be written as JSON.
    pub fn new(layer: Layer, about: &About) -> Result<Self, serde_json::Error> {
        let labels = about.labels()?;
        let config = serde_json::to_vec(&serde_json::json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Labels": labels },
            "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
        }))?;
        let config_digest = sha256_digest(&Sha256::digest(&config));
        let manifest = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": config_digest, "size": config.len() },
            "layers": [{ "mediaType": LAYER, "digest": layer.digest, "size": layer.size }],
            "annotations": labels,
        }))?;
        let manifest_digest = sha256_digest(&Sha256::digest(&manifest));
        Ok(Self {
            layer,
            config: (config, config_digest),
            manifest: (manifest, manifest_digest),
            labels,
        })
    }
}

/// A document that is attached to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Artifact {
    /// The digest of the document.
    pub(super) blob: String,
    /// The digest of the empty configuration.
    pub(super) config: String,
    /// The manifest's bytes.
    pub(super) manifest: Vec<u8>,
    /// The manifest's digest: what the artifact is named by.
    pub(super) digest: String,
}

impl Artifact {
    /// Describes a document about the image with this manifest.
    pub(super) fn new(
        media_type: &str,
        document: &[u8],
        subject_type: &str,
        subject: &Manifest,
    ) -> Result<Self, Error> {
        let (blob, config) = (
            sha256_digest(&Sha256::digest(document)),
            sha256_digest(&Sha256::digest(EMPTY)),
        );
        let manifest = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": media_type,
            "config": { "mediaType": EMPTY_TYPE, "digest": config, "size": EMPTY.len() },
            "layers": [{ "mediaType": media_type, "digest": blob, "size": document.len() }],
            "subject": {
                "mediaType": subject_type, "digest": subject.digest.to_string(), "size": subject.bytes.len(),
            },
        }))
        .map_err(|error| Error::Write(error.into()))?;
        let digest = sha256_digest(&Sha256::digest(&manifest));
        Ok(Self {
            blob,
            config,
            manifest,
            digest,
        })
    }
}
