//! Reads an image of a registry, layer by layer, without keeping it.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::installed::{Distribution, Files};
use super::layer::sha256_digest;
use super::registry::{self, Access, ContentDigest, ImageReference, Repository};
use super::{Error, Registry};

/// The most platforms, and layers of each, that are read.
const MOST_PLATFORMS: usize = 16;
const MOST_LAYERS: usize = 512;

/// Pieces of a layer that are on their way at once.
const CHUNKS_WAITING: usize = 16;

/// The most bytes that are remembered of layers.
const MOST_REMEMBERED: usize = 64 << 20;

/// What an image has installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The platform, of an image for several.
    pub platform: Option<String>,
    /// The Python distributions.
    pub distributions: Vec<Distribution>,
}

/// What was found in layers, by the layers from the first on: images with the same base read it once, and a look that
/// was given up goes on from there.
#[derive(Debug, Default)]
pub struct Layers(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    files: HashMap<String, Arc<Files>>,
    weight: usize,
}

impl Layers {
    fn get(&self, chain: &str) -> Option<Arc<Files>> {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.files.get(chain).cloned()
    }

    fn put(&self, chain: &str, files: &Arc<Files>) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let weight = files.weight() + 256;
        if remembered.weight + weight > MOST_REMEMBERED {
            *remembered = Remembered::default();
        }
        if remembered
            .files
            .insert(chain.to_owned(), Arc::clone(files))
            .is_none()
        {
            remembered.weight += weight;
        }
    }
}

/// The part of a manifest or index that is read here.
#[derive(Deserialize)]
struct Manifest {
    layers: Option<Vec<Layer>>,
    manifests: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Layer {
    digest: String,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Manifest {
    fn read(found: &registry::Manifest, image: &ImageReference) -> Result<Self, Error> {
        serde_json::from_slice(&found.bytes).map_err(|_| unreadable(image, "its manifest is none".to_owned()))
    }
}

impl Platform {
    fn name(&self) -> String {
        let variant = self.variant.as_ref().map(|variant| format!("/{variant}"));
        format!("{}/{}{}", self.os, self.architecture, variant.unwrap_or_default())
    }
}

impl Registry {
    /// The Python distributions of an image, for each platform that the registry has of it.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`] where it is no image that can be read; those of the registry.
    pub async fn installed(&self, reference: &str, layers: &Layers) -> Result<Vec<Installed>, Error> {
        let target = ImageReference::parse(reference)?;
        let repository = self.repository(&target, Access::Pull);
        let unreadable = |reason: String| unreadable(&target, reason);
        let found = self.retried(|| repository.manifest(target.name())).await?;
        let found = found.ok_or_else(|| unreadable("the registry does not have it".to_owned()))?;
        let manifest = Manifest::read(&found, &target)?;
        let Some(entries) = manifest.manifests else {
            let distributions = self.distributions(repository, manifest, layers).await?;
            return Ok(vec![Installed {
                platform: None,
                distributions,
            }]);
        };
        // Attestations are listed beside the platforms, as of an unknown one.
        let platforms: Vec<Entry> = entries
            .into_iter()
            .filter(|entry| {
                entry
                    .platform
                    .as_ref()
                    .is_none_or(|platform| platform.os != "unknown")
            })
            .collect();
        if platforms.len() > MOST_PLATFORMS {
            return Err(unreadable(format!(
                "it is for more than {MOST_PLATFORMS} platforms"
            )));
        }
        let mut found = Vec::new();
        for entry in platforms {
            // An index may name platforms that were not copied with it.
            let Some(one) = self.retried(|| repository.listed(&entry.digest)).await? else {
                continue;
            };
            let manifest = Manifest::read(&one, &target)?;
            found.push(Installed {
                platform: Some(entry.platform.map_or(entry.digest, |platform| platform.name())),
                distributions: self.distributions(repository, manifest, layers).await?,
            });
        }
        if found.is_empty() {
            return Err(unreadable("the registry has none of its platforms".to_owned()));
        }
        Ok(found)
    }

    async fn distributions(
        &self,
        repository: Repository<'_>,
        manifest: Manifest,
        layers: &Layers,
    ) -> Result<Vec<Distribution>, Error> {
        let unreadable = |reason: String| unreadable(repository.image(), reason);
        let list = manifest
            .layers
            .ok_or_else(|| unreadable("its manifest has no layers".to_owned()))?;
        if list.len() > MOST_LAYERS {
            return Err(unreadable(format!("it has more than {MOST_LAYERS} layers")));
        }
        let (mut files, mut chain) = (Arc::new(Files::default()), String::new());
        for Layer { digest } in list {
            let digest: ContentDigest = digest
                .parse()
                .map_err(|_| unreadable("a layer is named by a digest of an unknown kind".to_owned()))?;
            chain = sha256_digest(&Sha256::digest(format!("{chain} {digest}")));
            if let Some(known) = layers.get(&chain) {
                files = known;
                continue;
            }
            let lower = files;
            files = Arc::new(
                self.retried(|| layer(repository, &digest, Arc::clone(&lower)))
                    .await?,
            );
            layers.put(&chain, &files);
        }
        Ok(files.distributions())
    }
}

/// Lays one layer over what lower ones have, while it comes in.
async fn layer(
    repository: Repository<'_>,
    digest: &ContentDigest,
    lower: Arc<Files>,
) -> Result<Files, Error> {
    let mut blob = repository.blob(digest, &format!("layer {digest}")).await?;
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let scan = tokio::task::spawn_blocking(move || {
        lower.over(Incoming {
            receiver,
            chunk: Bytes::new(),
        })
    });
    let received = loop {
        match blob.chunk().await {
            Ok(Some(chunk)) => {
                // It cannot be read any further.
                if sender.send(chunk).await.is_err() {
                    break Ok(false);
                }
            }
            Ok(None) => break Ok(true),
            Err(error) => break Err(error),
        }
    };
    drop(sender);
    let scanned = scan
        .await
        .map_err(|error| Error::Write(io::Error::other(error)))?;
    let unreadable = |reason: &str| unreadable(repository.image(), format!("layer {digest}: {reason}"));
    match (received?, scanned) {
        (true, Ok(files)) => Ok(files),
        (false, Ok(_)) => Err(unreadable("it ends before its end")),
        (_, Err(error)) => Err(unreadable(&error.to_string())),
    }
}

fn unreadable(image: &ImageReference, reason: String) -> Error {
    Error::Unreadable {
        reference: image.to_string(),
        reason,
    }
}

/// What comes in, for a thread that waits for it.
struct Incoming {
    receiver: mpsc::Receiver<Bytes>,
    chunk: Bytes,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let read = buffer.len().min(self.chunk.len());
        let taken = self.chunk.split_to(read);
        if let Some(into) = buffer.get_mut(..read) {
            into.copy_from_slice(&taken);
        }
        Ok(read)
    }
}
