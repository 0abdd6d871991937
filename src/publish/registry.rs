//! A registry that images are pushed to (OCI distribution-spec 1.1).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::{DigestError, OciDistributionError};
use oci_client::{Reference, RegistryOperation};
use serde::Deserialize;

use super::answers::{is_absent, told};
use super::error::Error;
use super::image::{Artifact, EMPTY, INDEX, Image, MANIFEST};
use super::layer::Contents;
use super::manifest::Reader;
use super::source_image::by_digest;
use super::upload::stream;
use super::{Credentials, layer::Layer};
use crate::patch::Objects;

/// The largest configuration of an image that is read, in bytes.
const LARGEST_CONFIG: u64 = 4 << 20;

/// How a registry is spoken to.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Hosts (with their port) that are spoken to without TLS. What is sent there can be read and changed on the way.
    pub plain_http: Vec<String>,
    /// How long to wait for a connection, and for each answer.
    pub timeout: Duration,
    /// How often something that failed on the way is tried again.
    pub retries: usize,
}

impl Default for RegistryConfig {
    /// TLS only, 30 seconds, 4 more attempts.
    fn default() -> Self {
        Self {
            plain_http: Vec::new(),
            timeout: Duration::from_secs(30),
            retries: 4,
        }
    }
}

/// A client of registries.
pub struct Registry {
    pub(super) client: Client,
    pub(super) credentials: Credentials,
    pub(super) manifests: Reader,
    retries: usize,
}

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The image by its digest: `registry/repository@sha256:…`.
    pub reference: String,
    /// Whether the registry had all of it before.
    pub existed: bool,
}

/// An image that a registry has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its digest.
    pub digest: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// The part of a manifest or index that is read here.
#[derive(Deserialize)]
struct Manifest {
    config: Option<Descriptor>,
    manifests: Option<Vec<Entry>>,
}

/// The part of a manifest that says what it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typed {
    media_type: Option<String>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    size: u64,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
}

/// The part of a configuration that is read here.
#[derive(Deserialize)]
struct ConfigFile {
    config: Option<ImageConfig>,
}

#[derive(Deserialize)]
struct ImageConfig {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

impl Registry {
    /// Makes a client.
    #[must_use]
    pub fn new(config: RegistryConfig, credentials: Credentials) -> Self {
        let manifests = Reader::new(&config);
        let client = Client::new(ClientConfig {
            protocol: ClientProtocol::HttpsExcept(config.plain_http),
            read_timeout: Some(config.timeout),
            connect_timeout: Some(config.timeout),
            use_monolithic_push: true,
            user_agent: concat!("patchset/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        });
        Self {
            client,
            credentials,
            manifests,
            retries: config.retries,
        }
    }

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
        let target = parse(reference)?;
        let digest = &image.manifest.1;
        let pushed = |existed| Pushed {
            reference: by_digest(&target, image),
            existed,
        };
        match self.retried(|| self.digest_of(&target)).await? {
            Some(found) if found == *digest => return Ok(pushed(true)),
            Some(found) => {
                return Err(Error::TagTaken {
                    reference: reference.to_owned(),
                    found,
                });
            }
            None => {}
        }
        let layer = &image.layer;
        self.retried(|| async {
            if self.has_blob(&target, &layer.digest).await? {
                return Ok(());
            }
            let stream = stream(Arc::clone(&objects), contents.clone());
            self.push_blob(&target, stream, layer).await
        })
        .await?;
        let (config, config_digest) = &image.config;
        self.retried(|| async {
            if self.has_blob(&target, config_digest).await? {
                return Ok(());
            }
            let pushed = self
                .client
                .push_blob(&target, config.clone(), config_digest)
                .await;
            pushed
                .map(drop)
                .map_err(|error| told(&target, "the configuration", &error))
        })
        .await?;
        self.retried(|| self.put_manifest(&target, MANIFEST, &image.manifest.0))
            .await?;
        Ok(pushed(false))
    }

    /// The digest and labels of an image, or nothing where there is no such tag. Of an image for several platforms the
    /// digest is that of all, and the labels are those of the first platform.
    ///
    /// # Errors
    ///
    /// As for [`Registry::push`]; [`Error::Refused`] for what is no image.
    pub async fn inspect(&self, reference: &str) -> Result<Option<Found>, Error> {
        let target = read(reference)?;
        self.retried(|| self.inspect_once(&target)).await
    }

    /// The digest that a tag stands for, or nothing where there is no such tag.
    ///
    /// # Errors
    ///
    /// As for [`Registry::push`].
    pub async fn digest(&self, reference: &str) -> Result<Option<String>, Error> {
        let target = read(reference)?;
        self.retried(|| self.digest_for(&target, RegistryOperation::Pull))
            .await
    }

    /// Moves tags to an image of the same repository, given by its digest. Tags that stand for it already are left alone.
    ///
    /// # Errors
    ///
    /// As for [`Registry::push`]; [`Error::Refused`] where the image is not there.
    pub async fn tag(&self, reference: &str, tags: &[String]) -> Result<(), Error> {
        let target = read(reference)?;
        for tag in tags {
            let moved = Reference::with_tag(
                target.registry().to_owned(),
                target.repository().to_owned(),
                tag.clone(),
            );
            let stands_for = self
                .retried(|| self.digest_for(&moved, RegistryOperation::Push))
                .await?;
            if stands_for.as_deref() != target.digest() {
                self.point(&moved, &target).await?;
            }
        }
        Ok(())
    }

    /// Adds a tag to an image of the same repository, given by its digest. A tag that stands for another image is not moved.
    ///
    /// # Errors
    ///
    /// As for [`Registry::push`]; [`Error::Refused`] where the image is not there.
    pub async fn add_tag(&self, reference: &str, tag: &str) -> Result<(), Error> {
        let target = read(reference)?;
        let added = Reference::with_tag(
            target.registry().to_owned(),
            target.repository().to_owned(),
            tag.to_owned(),
        );
        let stands_for = self
            .retried(|| self.digest_for(&added, RegistryOperation::Push))
            .await?;
        match stands_for {
            None => self.point(&added, &target).await,
            Some(found) if Some(found.as_str()) == target.digest() => Ok(()),
            Some(found) => Err(Error::TagTaken {
                reference: added.to_string(),
                found,
            }),
        }
    }

    /// Lets a tag stand for an image.
    async fn point(&self, tag: &Reference, target: &Reference) -> Result<(), Error> {
        self.retried(|| async {
            let (manifest, _) = self
                .manifest_of(target)
                .await?
                .ok_or_else(|| lacking(target, "a tag for it"))?;
            let media_type = serde_json::from_slice::<Typed>(&manifest)
                .ok()
                .and_then(|manifest| manifest.media_type);
            let media_type = media_type.as_deref().unwrap_or(MANIFEST);
            self.put_manifest(tag, media_type, &manifest).await
        })
        .await
    }

    async fn inspect_once(&self, target: &Reference) -> Result<Option<Found>, Error> {
        let refused = |reason: &str| Error::Refused {
            registry: target.resolve_registry().to_owned(),
            what: "a look at the image".to_owned(),
            reason: reason.to_owned(),
        };
        let looked = |error: &OciDistributionError| told(target, "a look at the image", error);
        let Some((bytes, digest)) = self.manifest_of(target).await? else {
            return Ok(None);
        };
        let mut manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|_| refused("it is no manifest"))?;
        if let Some(platforms) = manifest.manifests.take() {
            // Attestations are listed beside the platforms, as of an unknown one.
            let is_platform = |entry: &&Entry| {
                entry
                    .platform
                    .as_ref()
                    .is_none_or(|platform| platform.os != "unknown")
            };
            let first = platforms
                .iter()
                .find(is_platform)
                .ok_or_else(|| refused("it has no platform"))?;
            let one = target.clone_with_digest(first.digest.clone());
            let (bytes, _) = self
                .manifest_of(&one)
                .await?
                .ok_or_else(|| refused("its first platform is not there"))?;
            manifest = serde_json::from_slice(&bytes).map_err(|_| refused("it is no manifest"))?;
        }
        let config = manifest
            .config
            .ok_or_else(|| refused("it has no configuration"))?;
        if config.size > LARGEST_CONFIG {
            return Err(refused("its configuration is too large"));
        }
        let opened = self.client.pull_blob_stream(target, config.digest.as_str()).await;
        let mut stream = opened.map_err(|error| looked(&error))?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| {
                if matches!(error.get_ref(), Some(inner) if inner.is::<DigestError>()) {
                    return refused("its configuration is another than its digest says");
                }
                looked(&OciDistributionError::from(error))
            })?);
            // Whatever it was said to be.
            if bytes.len() as u64 > LARGEST_CONFIG {
                return Err(refused("its configuration is too large"));
            }
        }
        let config: ConfigFile =
            serde_json::from_slice(&bytes).map_err(|_| refused("its configuration is none"))?;
        Ok(Some(Found {
            digest,
            labels: config.config.and_then(|config| config.labels).unwrap_or_default(),
        }))
    }

    /// Attaches a document to an image that the registry has, as an OCI 1.1 artifact whose subject is the image, and
    /// gives the artifact by its digest. Where the registry has no referrers API, the image's index of referrers
    /// (the tag `sha256-…` of the distribution-spec) is kept.
    ///
    /// # Errors
    ///
    /// As for [`Registry::push`]; [`Error::Refused`] where the image is not there.
    pub async fn attach(&self, reference: &str, media_type: &str, document: &[u8]) -> Result<String, Error> {
        let target = read(reference)?;
        let (manifest, digest) = self
            .retried(|| async {
                self.authenticate(&target).await?;
                let found = self.manifest_of(&target).await?;
                found.ok_or_else(|| lacking(&target, &format!("to attach to {reference}")))
            })
            .await?;
        let artifact = Artifact::new(media_type, document, &manifest, &digest)?;
        for (content, digest) in [
            (EMPTY, artifact.config.as_str()),
            (document, artifact.blob.as_str()),
        ] {
            self.retried(|| async {
                if self.has_blob(&target, digest).await? {
                    return Ok(());
                }
                let pushed = self.client.push_blob(&target, content.to_vec(), digest).await;
                pushed
                    .map(drop)
                    .map_err(|error| told(&target, "the document", &error))
            })
            .await?;
        }
        let by_digest = target.clone_with_digest(artifact.digest.clone());
        self.retried(|| self.put_manifest(&by_digest, MANIFEST, &artifact.manifest))
            .await?;
        let subject = target.clone_with_digest(digest);
        self.retried(|| self.list_as_referrer(&subject, &artifact, media_type))
            .await?;
        Ok(format!(
            "{}/{}@{}",
            target.registry(),
            target.repository(),
            artifact.digest
        ))
    }

    /// Sees to it that whoever asks for an image's referrers is told of an artifact.
    async fn list_as_referrer(
        &self,
        subject: &Reference,
        artifact: &Artifact,
        media_type: &str,
    ) -> Result<(), Error> {
        let listed = self.client.pull_referrers(subject, None).await;
        let mut index = listed.map_err(|error| told(subject, "a look at the referrers", &error))?;
        if index
            .manifests
            .iter()
            .any(|entry| entry.digest == artifact.digest)
        {
            return Ok(());
        }
        let entry = serde_json::json!({
            "mediaType": MANIFEST, "digest": artifact.digest, "size": artifact.manifest.len(), "artifactType": media_type,
        });
        index
            .manifests
            .push(serde_json::from_value(entry).map_err(unwritable)?);
        index.media_type = Some(INDEX.to_owned());
        let tag = subject.digest().unwrap_or_default().replace(':', "-");
        let target = Reference::with_tag(
            subject.registry().to_owned(),
            subject.repository().to_owned(),
            tag,
        );
        let body = serde_json::to_vec(&index).map_err(unwritable)?;
        self.put_manifest(&target, INDEX, &body).await
    }

    async fn put_manifest(&self, target: &Reference, media_type: &str, body: &[u8]) -> Result<(), Error> {
        let media_type = http::HeaderValue::from_str(media_type).map_err(|error| {
            told(
                target,
                "the manifest",
                &OciDistributionError::GenericError(Some(error.to_string())),
            )
        })?;
        let pushed = self
            .client
            .push_manifest_raw(target, body.to_vec(), media_type)
            .await;
        pushed
            .map(drop)
            .map_err(|error| told(target, "the manifest", &error))
    }

    /// Gets a token that allows pushing, and so pulling, for all that follows.
    async fn authenticate(&self, target: &Reference) -> Result<(), Error> {
        let auth = self.credentials.at(target.resolve_registry());
        let answer = self.client.auth(target, &auth, RegistryOperation::Push).await;
        answer
            .map(drop)
            .map_err(|error| told(target, "the credentials", &error))
    }

    /// The digest that a tag stands for, or nothing where there is no such tag.
    async fn digest_of(&self, target: &Reference) -> Result<Option<String>, Error> {
        self.digest_for(target, RegistryOperation::Push).await
    }

    async fn digest_for(
        &self,
        target: &Reference,
        operation: RegistryOperation,
    ) -> Result<Option<String>, Error> {
        let auth = self.credentials.at(target.resolve_registry());
        let answer = self.client.auth(target, &auth, operation).await;
        answer.map_err(|error| told(target, "the credentials", &error))?;
        match self.client.fetch_manifest_digest(target, &auth).await {
            Ok(digest) => Ok(Some(digest)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(told(target, "a look at the tag", &error)),
        }
    }

    async fn has_blob(&self, target: &Reference, digest: &str) -> Result<bool, Error> {
        let exists = self.client.blob_exists(target, digest).await;
        exists.map_err(|error| told(target, "a look at a layer", &error))
    }

    async fn push_blob(
        &self,
        target: &Reference,
        stream: impl Stream<Item = Result<Bytes, OciDistributionError>> + Send + 'static,
        layer: &Layer,
    ) -> Result<(), Error> {
        let pushed = self
            .client
            .push_blob_stream(target, stream, &layer.digest, Some(layer.size))
            .await;
        pushed
            .map(drop)
            .map_err(|error| told(target, "the layer", &error))
    }

    /// Repeats what failed on the way, with growing waits.
    pub(super) async fn retried<T, F: Future<Output = Result<T, Error>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Error> {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(8))
            .with_max_times(self.retries)
            .with_jitter();
        attempt
            .retry(waits)
            .when(Error::is_transient)
            .notify(|error, wait| tracing::debug!(%error, ?wait, "trying again"))
            .await
    }
}

/// An image that has to be there is not.
fn lacking(target: &Reference, what: &str) -> Error {
    Error::Refused {
        registry: target.resolve_registry().to_owned(),
        what: what.to_owned(),
        reason: "there is no such image".to_owned(),
    }
}

/// Reads an image's name.
pub(super) fn read(text: &str) -> Result<Reference, Error> {
    text.parse().map_err(|error| Error::Reference {
        text: text.to_owned(),
        reason: format!("{error}"),
    })
}

/// Reads the name to push an image under, which must have no digest.
fn parse(text: &str) -> Result<Reference, Error> {
    let reference = read(text)?;
    if reference.digest().is_some() {
        return Err(Error::Reference {
            text: text.to_owned(),
            reason: "it names a digest, which only pushing tells".to_owned(),
        });
    }
    Ok(reference)
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::Write(error.into())
}
