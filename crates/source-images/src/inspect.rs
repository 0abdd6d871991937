//! Inspects an image: its digest and labels.

use std::collections::BTreeMap;

use image_references::{Digest, ImageReference};
use serde::Deserialize;

use super::Error;
use super::listing::{Descriptor, Listing};
use super::registry::{Access, ManifestName, Registry, Repository};
use super::tags::refused_error;

/// The largest configuration of an image that is read, in bytes.
const LARGEST_CONFIG: u64 = 4 << 20;

/// What the request is for, in messages.
const WHAT: &str = "a look at the image";

/// An image that a registry has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedImage {
    /// Its digest.
    pub digest: Digest,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made, as its configuration says (RFC 3339).
    pub created: Option<String>,
}

/// The part of a configuration that is read here.
#[derive(Deserialize)]
struct ConfigFile {
    created: Option<String>,
    config: Option<ImageConfig>,
}

#[derive(Deserialize)]
struct ImageConfig {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

impl Registry {
    /// Returns the digest and labels of an image, or `None` if there is no such tag. For several
    /// platforms, the digest is that of the index, and the labels are those of the first.
    ///
    /// # Errors
    ///
    /// As for [`Registry::push`]; [`Error::Refused`] if it is not an image.
    pub async fn inspect(&self, target: &ImageReference) -> Result<Option<InspectedImage>, Error> {
        self.with_retries(|| self.inspect_once(target)).await
    }

    async fn inspect_once(&self, target: &ImageReference) -> Result<Option<InspectedImage>, Error> {
        let refused = |reason: &str| refused_error(target, WHAT, reason);
        let no_manifest = |_| refused("it is not a manifest");
        let repository = self.repository(target, Access::Pull);
        let Some(found) = repository.manifest(ManifestName::from(target)).await? else {
            return Ok(None);
        };
        let mut manifest = Listing::read(&found).map_err(no_manifest)?;
        if let Some(listed) = manifest.manifests.take() {
            let first = listed
                .iter()
                .find(|one| one.is_image())
                .ok_or_else(|| refused("it has no platform"))?;
            let one = repository.listed_manifest(&first.digest).await?;
            let one = one.ok_or_else(|| refused("its first platform is not there"))?;
            manifest = Listing::read(&one).map_err(no_manifest)?;
        }
        let config = manifest
            .config
            .ok_or_else(|| refused("it has no configuration"))?;
        let config = read_config(&repository, target, &config).await?;
        Ok(Some(InspectedImage {
            digest: found.digest,
            labels: config.config.and_then(|config| config.labels).unwrap_or_default(),
            created: config.created,
        }))
    }
}

async fn read_config(
    repository: &Repository<'_>,
    target: &ImageReference,
    config: &Descriptor,
) -> Result<ConfigFile, Error> {
    let refused = |reason: &str| refused_error(target, WHAT, reason);
    if config.size > LARGEST_CONFIG {
        return Err(refused("its configuration is too large"));
    }
    let digest: Digest = config
        .digest
        .parse()
        .map_err(|_| refused("its configuration is named by a digest of an unknown kind"))?;
    let mut blob = repository.blob(&digest, "its configuration").await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = blob.chunk().await? {
        bytes.extend_from_slice(&chunk);
        // Whatever size was declared.
        if bytes.len() as u64 > LARGEST_CONFIG {
            return Err(refused("its configuration is too large"));
        }
    }
    serde_json::from_slice(&bytes).map_err(|_| refused("its configuration is not a JSON object"))
}
