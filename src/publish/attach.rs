//! Attaches documents to images (image-spec, "Guidelines for Artifact Usage"; distribution-spec, "Pushing Manifests with
//! Subject").

use bytes::Bytes;
use serde_json::json;

use super::Error;
use super::image::{Artifact, EMPTY, MANIFEST};
use super::push::computed;
use super::registry::{Access, ContentDigest, ImageReference, ManifestName, Registry, Repository, Stored};
use super::tags::{lacking, refused};

impl Registry {
    /// Attaches a document to an image that the registry has, as an OCI 1.1 artifact whose subject is the image, and
    /// gives the artifact by its digest. Where the registry does not list it as attached, the image's index of referrers
    /// (the tag `sha256-…` of the distribution-spec) is kept.
    ///
    /// # Errors
    ///
    /// As for [`Registry::push`]; [`Error::Refused`] where the image is not there, or is no manifest.
    pub async fn attach(&self, reference: &str, media_type: &str, document: &[u8]) -> Result<String, Error> {
        let target = ImageReference::parse(reference)?;
        let repository = self.repository(&target, Access::Push);
        let what = format!("to attach to {target}");
        let subject = self.retried(|| repository.manifest(target.name())).await?;
        let subject = subject.ok_or_else(|| lacking(&target, &what))?;
        let (subject_type, _) = subject
            .media_type()
            .map_err(|reason| refused(&target, &what, reason))?;
        let artifact = Artifact::new(media_type, document, subject_type, &subject)?;
        for (content, digest) in [(EMPTY, &artifact.config), (document, &artifact.blob)] {
            self.ensure_blob(repository, &computed(digest)?, content, "the document")
                .await?;
        }
        self.retried(|| list(repository, &subject.digest, &artifact, media_type))
            .await?;
        Ok(target.by_digest(&artifact.digest))
    }
}

/// Puts an artifact there, and sees to it that whoever asks for what is attached is told of it.
async fn list(
    repository: Repository<'_>,
    subject: &ContentDigest,
    artifact: &Artifact,
    media_type: &str,
) -> Result<(), Error> {
    let digest = computed(&artifact.digest)?;
    let manifest = Bytes::copy_from_slice(&artifact.manifest);
    let stored = repository
        .put_manifest(ManifestName::Digest(&digest), MANIFEST, manifest)
        .await?;
    if stored == Stored::AsReferrer {
        return Ok(());
    }
    let entry = json!({
        "mediaType": MANIFEST, "digest": artifact.digest, "size": artifact.manifest.len(), "artifactType": media_type,
    });
    repository.list_in_tag(subject, &entry).await
}
