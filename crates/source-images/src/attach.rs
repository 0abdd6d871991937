//! Attaches documents to images (image-spec, "Guidelines for Artifact Usage"; distribution-spec,
//! "Pushing Manifests with Subject").

use std::collections::BTreeMap;

use image_references::{Digest, ImageReference};

use super::Error;
use super::image::{Artifact, ArtifactKind};
use super::registry::{Access, MANIFEST, ManifestName, Referrer, Registry, Repository, Stored};
use super::tags::{missing_image, refused_error};

impl Registry {
    /// Attaches a document to an image in the registry, as an OCI 1.1 artifact whose subject is the
    /// image, and returns the artifact by its digest. If the registry does not list it as attached,
    /// maintains the image's index of referrers (the tag `sha256-…` of the distribution-spec).
    ///
    /// # Errors
    ///
    /// As for [`Registry::push`]; [`Error::Refused`] if the image does not exist or is not a
    /// manifest.
    pub async fn attach(
        &self,
        target: &ImageReference,
        media_type: &str,
        document: &[u8],
    ) -> Result<ImageReference, Error> {
        self.attach_annotated(target, media_type, document, &BTreeMap::new())
            .await
    }

    /// Does the same with annotations of the artifact, by which readers choose among those of its
    /// type. The image's index of referrers has them as well.
    ///
    /// # Errors
    ///
    /// As for [`Registry::attach`].
    pub async fn attach_annotated(
        &self,
        target: &ImageReference,
        media_type: &str,
        document: &[u8],
        annotations: &BTreeMap<&str, &str>,
    ) -> Result<ImageReference, Error> {
        let repository = self.repository(target, Access::Push);
        let what = format!("to attach to {target}");
        let subject = self
            .with_retries(|| repository.manifest(ManifestName::from(target)))
            .await?;
        let subject = subject.ok_or_else(|| missing_image(target, &what))?;
        let (subject_type, _) = subject
            .media_type()
            .map_err(|reason| refused_error(target, &what, reason))?;
        let kind = ArtifactKind {
            media_type,
            annotations,
        };
        let artifact = Artifact::new(kind, document, subject_type, &subject)?;
        for blob in [&artifact.config, &artifact.document] {
            self.ensure_blob(repository, blob, "the document").await?;
        }
        self.with_retries(|| put_listed(repository, &subject.digest, &artifact, kind))
            .await?;
        Ok(target.with_digest(&artifact.manifest.digest))
    }
}

/// Stores an artifact, and makes sure that it is listed as attached to its subject.
async fn put_listed(
    repository: Repository<'_>,
    subject: &Digest,
    artifact: &Artifact,
    kind: ArtifactKind<'_>,
) -> Result<(), Error> {
    let manifest = &artifact.manifest;
    let stored = repository
        .put_manifest(
            ManifestName::Digest(&manifest.digest),
            MANIFEST,
            manifest.bytes.clone(),
        )
        .await?;
    if stored == Stored::AsReferrer {
        return Ok(());
    }
    let entry = Referrer {
        media_type: MANIFEST,
        digest: &manifest.digest,
        size: manifest.bytes.len(),
        artifact_type: kind.media_type,
        annotations: kind.annotations,
    };
    repository.list_in_tag(subject, &entry).await
}
