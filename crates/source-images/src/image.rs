//! The configuration and manifest of a source image (OCI image-spec 1.1).

use std::collections::BTreeMap;

use bytes::Bytes;
use image_references::Digest;

use super::Error;
use super::layer::Layer;
use super::registry::{MANIFEST, Manifest};

/// The configuration of an artifact that has none (image-spec, "Guidance for an Empty Descriptor").
const EMPTY: &[u8] = b"{}";
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

/// A patch in a tree.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PatchId {
    /// Its file name.
    pub name: String,
    /// The SHA-256 of the file.
    pub digest: Digest,
}

impl PatchId {
    /// Identifies a patch by its bytes.
    #[must_use]
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            digest: Digest::sha256(bytes),
        }
    }
}

/// What an image says about itself. Two images of one tree may differ only in what is given here.
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
    /// The labels of the configuration, and the annotations of the manifest: the keys that the
    /// image-spec predefines, and this project's own.
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

/// Bytes with their digest, as a registry keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestedBytes {
    /// The bytes.
    pub bytes: Bytes,
    /// Their SHA-256.
    pub digest: Digest,
}

impl From<Vec<u8>> for DigestedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            digest: Digest::sha256(&bytes),
            bytes: bytes.into(),
        }
    }
}

/// A source image without its layer's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The layer.
    pub layer: Layer,
    /// The configuration.
    pub config: DigestedBytes,
    /// The manifest. Its digest names the image.
    pub manifest: DigestedBytes,
    /// The labels.
    pub labels: BTreeMap<String, String>,
}

impl Image {
    /// Describes an image.
    ///
    /// The platform is linux/amd64: a source tree has none, builders want one, and a named context
    /// is read whatever platform is built for.
    ///
    /// # Errors
    ///
    /// If it cannot be written as JSON.
    pub fn new(layer: Layer, about: &About) -> Result<Self, serde_json::Error> {
        let labels = about.labels()?;
        let config: DigestedBytes = serde_json::to_vec(&serde_json::json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Labels": labels },
            "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
        }))?
        .into();
        let manifest = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": config.digest, "size": config.bytes.len() },
            "layers": [{ "mediaType": LAYER, "digest": layer.digest, "size": layer.size }],
            "annotations": labels,
        }))?;
        Ok(Self {
            layer,
            config,
            manifest: manifest.into(),
            labels,
        })
    }

    /// The digest that names the image.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.manifest.digest
    }
}

/// A document that is attached to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Artifact {
    pub(super) document: DigestedBytes,
    /// The empty configuration.
    pub(super) config: DigestedBytes,
    /// The manifest. Its digest names the artifact.
    pub(super) manifest: DigestedBytes,
}

/// What distinguishes an artifact from others attached to the same image.
#[derive(Clone, Copy)]
pub(super) struct ArtifactKind<'a> {
    /// The type of the document, and of the artifact.
    pub(super) media_type: &'a str,
    pub(super) annotations: &'a BTreeMap<&'a str, &'a str>,
}

impl Artifact {
    /// Describes a document about the image with this manifest.
    pub(super) fn new(
        kind: ArtifactKind<'_>,
        document: &[u8],
        subject_type: &str,
        subject: &Manifest,
    ) -> Result<Self, Error> {
        let document = DigestedBytes::from(document.to_vec());
        let config = DigestedBytes::from(EMPTY.to_vec());
        let media_type = kind.media_type;
        let mut manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": media_type,
            "config": { "mediaType": EMPTY_TYPE, "digest": config.digest, "size": EMPTY.len() },
            "layers": [{
                "mediaType": media_type, "digest": document.digest, "size": document.bytes.len(),
            }],
            "subject": {
                "mediaType": subject_type, "digest": subject.digest, "size": subject.bytes.len(),
            },
        });
        if !kind.annotations.is_empty()
            && let Some(manifest) = manifest.as_object_mut()
        {
            manifest.insert("annotations".to_owned(), serde_json::json!(kind.annotations));
        }
        let manifest = serde_json::to_vec(&manifest).map_err(|error| Error::Write(error.into()))?;
        Ok(Self {
            document,
            config,
            manifest: manifest.into(),
        })
    }
}
