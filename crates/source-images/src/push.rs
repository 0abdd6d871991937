//! Pushes source images.

use std::sync::Arc;

use git_apply_engine::Objects;
use image_references::{ImageReference, ReferenceError};

use super::Error;
use super::image::{DigestedBytes, Image};
use super::layer::Contents;
use super::layer_stream::{LayerFailure, stream};
use super::registry::{Access, MANIFEST, ManifestName, NewBlob, Registry, Repository};

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The image by its digest.
    pub reference: ImageReference,
    /// Whether the registry already had all of it.
    pub existed: bool,
}

impl Registry {
    /// Pushes a source image under a tag, sending only what the registry lacks. An existing tag
    /// with other content is not moved.
    ///
    /// # Errors
    ///
    /// [`Error::Reference`], [`Error::TagTaken`], [`Error::Authentication`], [`Error::Unavailable`]
    /// after the last attempt, [`Error::Refused`], and whatever keeps the layer from being read.
    pub async fn push(
        &self,
        target: &ImageReference,
        image: &Image,
        contents: &Contents,
        objects: Arc<dyn Objects + Send + Sync>,
    ) -> Result<Pushed, Error> {
        if target.digest().is_some() {
            let reason = "it names a digest, which is known only after the push";
            return Err(ReferenceError::new(&target.to_string(), reason).into());
        }
        let repository = self.repository(target, Access::Push);
        let pushed = |existed| Pushed {
            reference: target.with_digest(image.digest()),
            existed,
        };
        match self
            .with_retries(|| repository.manifest_digest(ManifestName::from(target)))
            .await?
        {
            Some(found) if found == *image.digest() => return Ok(pushed(true)),
            Some(found) => {
                return Err(Error::TagTaken {
                    reference: target.to_string(),
                    found,
                });
            }
            None => {}
        }
        let layer = &image.layer.digest;
        let blob = NewBlob {
            digest: layer,
            size: image.layer.size,
            what: "the layer",
        };
        let failure = LayerFailure::default();
        let content = || stream(Arc::clone(&objects), contents.clone(), failure.clone());
        self.with_retries(|| async {
            if repository.has_blob(layer).await? {
                return Ok(());
            }
            let uploaded = repository.upload(&blob, content).await;
            // The failure says more exactly why the stream ended too early.
            failure.take().map_or(uploaded, Err)
        })
        .await?;
        self.ensure_blob(repository, &image.config, "the configuration")
            .await?;
        let manifest = &image.manifest.bytes;
        self.with_retries(|| repository.put_manifest(ManifestName::from(target), MANIFEST, manifest.clone()))
            .await?;
        Ok(pushed(false))
    }

    /// Sends a blob that is in memory, unless the registry has it.
    pub(super) async fn ensure_blob(
        &self,
        repository: Repository<'_>,
        blob: &DigestedBytes,
        what: &str,
    ) -> Result<(), Error> {
        let new = NewBlob {
            digest: &blob.digest,
            size: blob.bytes.len() as u64,
            what,
        };
        let whole = || futures::stream::iter([Ok(blob.bytes.clone())]);
        self.with_retries(|| async {
            if repository.has_blob(&blob.digest).await? {
                return Ok(());
            }
            repository.upload(&new, whole).await
        })
        .await
    }
}
