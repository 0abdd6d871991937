//! Tags: what they stand for, and moving them.

use image_references::{Digest, ImageReference};

use super::Error;
use super::registry::{Access, ManifestName, Registry};

impl Registry {
    /// Returns the digest that a tag stands for, or `None` if there is no such tag.
    ///
    /// # Errors
    ///
    /// As for [`Registry::push`].
    pub async fn digest(&self, target: &ImageReference) -> Result<Option<Digest>, Error> {
        let repository = self.repository(target, Access::Pull);
        self.with_retries(|| repository.manifest_digest(ManifestName::from(target)))
            .await
    }

    /// Moves tags to an image of the same repository, given by its digest. Tags that already stand
    /// for it are left alone.
    ///
    /// # Errors
    ///
    /// As for [`Registry::push`]; [`Error::Refused`] if the image does not exist or is not a
    /// manifest.
    pub async fn tag(&self, target: &ImageReference, tags: &[String]) -> Result<(), Error> {
        for tag in tags {
            let moved = target.with_tag(tag)?;
            let repository = self.repository(&moved, Access::Push);
            let found = self
                .with_retries(|| repository.manifest_digest(ManifestName::from(&moved)))
                .await?;
            if found.as_ref() != target.digest() {
                self.point_tag(&moved, target).await?;
            }
        }
        Ok(())
    }

    /// Adds a tag to an image of the same repository, given by its digest. A tag that stands for
    /// another image is not moved.
    ///
    /// # Errors
    ///
    /// As for [`Registry::push`]; [`Error::Refused`] if the image does not exist or is not a
    /// manifest.
    pub async fn add_tag(&self, target: &ImageReference, tag: &str) -> Result<(), Error> {
        let added = target.with_tag(tag)?;
        let repository = self.repository(&added, Access::Push);
        match self
            .with_retries(|| repository.manifest_digest(ManifestName::from(&added)))
            .await?
        {
            None => self.point_tag(&added, target).await,
            Some(found) if Some(&found) == target.digest() => Ok(()),
            Some(found) => Err(Error::TagTaken {
                reference: added.to_string(),
                found,
            }),
        }
    }

    /// Points a tag at an image. Only a manifest or an index is accepted.
    async fn point_tag(&self, tag: &ImageReference, target: &ImageReference) -> Result<(), Error> {
        let repository = self.repository(target, Access::Push);
        self.with_retries(|| async {
            let found = repository.manifest(ManifestName::from(target)).await?;
            let manifest = found.ok_or_else(|| missing_image(target, "a tag for it"))?;
            let (media_type, _) = manifest
                .media_type()
                .map_err(|reason| refused_error(target, "a tag for it", reason))?;
            repository
                .put_manifest(ManifestName::from(tag), media_type, manifest.bytes)
                .await
        })
        .await
        .map(drop)
    }
}

/// The error for an image that has to exist and does not.
pub(super) fn missing_image(target: &ImageReference, what: &str) -> Error {
    refused_error(target, what, "there is no such image")
}

pub(super) fn refused_error(target: &ImageReference, what: &str, reason: &str) -> Error {
    Error::Refused {
        registry: target.registry().to_owned(),
        what: what.to_owned(),
        reason: reason.to_owned(),
    }
}
