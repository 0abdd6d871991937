//! Pushes source images.

use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use super::image::{Image, MANIFEST};
use super::layer::Contents;
use super::layer_stream::{LayerFailure, stream};
use super::registry::{Access, ContentDigest, ImageReference, NewBlob, Registry, Repository};
use crate::patch::Objects;

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The image by its digest: `registry/repository@sha256:…`.
    pub reference: String,
    /// Whether the registry had all of it before.
    pub existed: bool,
}

impl Registry {
    /// Pushes a source image under a tag, sending only what the registry lacks. A tag that is there with other content
    /// is not moved.
    ///
    /// # Errors
    ///
    /// [`Error::Reference`], [`Error::TagTaken`], [`Error::Authentication`], [`Error::Unavailable`] after the last attempt,
    /// [`Error::Refused`], and whatever keeps the layer from being read.
    pub async fn push(
        &self,
        reference: &str,
        image: &Image,
        contents: &Contents,
        objects: Arc<dyn Objects + Send + Sync>,
    ) -> Result<Pushed, Error> {
        let target = ImageReference::parse(reference)?;
        if target.digest().is_some() {
            return Err(Error::Reference {
                text: reference.to_owned(),
                reason: "it names a digest, which only pushing tells".to_owned(),
            });
        }
        let repository = self.repository(&target, Access::Push);
        let digest = &image.manifest.1;
        let pushed = |existed| Pushed {
            reference: target.by_digest(digest),
            existed,
        };
        match self.retried(|| repository.manifest_digest(target.name())).await? {
            Some(found) if found.to_string() == *digest => return Ok(pushed(true)),
            Some(found) => {
                return Err(Error::TagTaken {
                    reference: reference.to_owned(),
                    found: found.to_string(),
                });
            }
            None => {}
        }
        let layer: ContentDigest = computed(&image.layer.digest)?;
        let blob = NewBlob {
            digest: &layer,
            size: image.layer.size,
            what: "the layer",
        };
        let failure = LayerFailure::default();
        let content = || stream(Arc::clone(&objects), contents.clone(), failure.clone());
        self.retried(|| async {
            if repository.has_blob(&layer).await? {
                return Ok(());
            }
            let uploaded = repository.upload(&blob, content).await;
            // Why the stream ended too early is better known here.
            failure.told().map_or(uploaded, Err)
        })
        .await?;
        let (config, config_digest) = &image.config;
        self.ensure_blob(repository, &computed(config_digest)?, config, "the configuration")
            .await?;
        let manifest = Bytes::copy_from_slice(&image.manifest.0);
        self.retried(|| repository.put_manifest(target.name(), MANIFEST, manifest.clone()))
            .await?;
        Ok(pushed(false))
    }

    /// Sends a blob that is in memory, unless the registry has it.
    pub(super) async fn ensure_blob(
        &self,
        repository: Repository<'_>,
        digest: &ContentDigest,
        content: &[u8],
        what: &str,
    ) -> Result<(), Error> {
        let content = Bytes::copy_from_slice(content);
        let blob = NewBlob {
            digest,
            size: content.len() as u64,
            what,
        };
        let whole = || futures::stream::iter([Ok(content.clone())]);
        self.retried(|| async {
            if repository.has_blob(digest).await? {
                return Ok(());
            }
            repository.upload(&blob, whole).await
        })
        .await
    }
}

/// A digest that was computed here.
pub(super) fn computed(text: &str) -> Result<ContentDigest, Error> {
    text.parse().map_err(|_| Error::Reference {
        text: text.to_owned(),
        reason: "it is no digest".to_owned(),
    })
}
