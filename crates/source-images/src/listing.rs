//! What a manifest or index lists.

use serde::Deserialize;

use super::registry::Manifest;

/// What a manifest or index lists, as far as it is read.
#[derive(Deserialize)]
pub(super) struct Listing {
    pub(super) config: Option<Descriptor>,
    pub(super) layers: Option<Vec<Descriptor>>,
    pub(super) manifests: Option<Vec<Descriptor>>,
}

/// Something that is listed (image-spec, "OCI Content Descriptors").
#[derive(Deserialize)]
pub(super) struct Descriptor {
    /// As written: its algorithm may be unknown here.
    pub(super) digest: String,
    /// In bytes.
    #[serde(default)]
    pub(super) size: u64,
    /// For a manifest in an index.
    pub(super) platform: Option<Platform>,
}

/// The platform that a manifest is for.
#[derive(Deserialize)]
pub(super) struct Platform {
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

impl Listing {
    /// Reads a manifest or index.
    pub(super) fn read(manifest: &Manifest) -> serde_json::Result<Self> {
        serde_json::from_slice(&manifest.bytes)
    }
}

impl Descriptor {
    /// Whether it is an image. An index lists attestations beside its images, with an unknown
    /// platform.
    pub(super) fn is_image(&self) -> bool {
        self.platform
            .as_ref()
            .is_none_or(|platform| platform.os != "unknown")
    }

    /// The platform's name, such as `linux/arm64/v8`; the digest if no platform is given.
    pub(super) fn platform_name(&self) -> String {
        let Some(platform) = &self.platform else {
            return self.digest.clone();
        };
        let variant = platform.variant.as_ref().map(|variant| format!("/{variant}"));
        let variant = variant.unwrap_or_default();
        format!("{}/{}{variant}", platform.os, platform.architecture)
    }
}
