//! Reads an image of a registry, layer by layer, without keeping it.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use oci_client::Reference;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::answers::told;
use super::installed::{Distribution, Files};
use super::layer::hex;
use super::registry::read;
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
        let target = read(reference)?;
        let unreadable = |reason: &str| Error::Unreadable {
            reference: reference.to_owned(),
            reason: reason.to_owned(),
        };
        let absent = || unreadable("the registry does not have it");
        let manifest = self.manifest(&target).await?.ok_or_else(absent)?;
        let Some(entries) = manifest.manifests else {
            let distributions = self.distributions(&target, manifest, layers).await?;
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
            return Err(unreadable(&format!(
                "it is for more than {MOST_PLATFORMS} platforms"
            )));
        }
        let mut found = Vec::new();
        for entry in platforms {
            let one = target.clone_with_digest(entry.digest.clone());
            // An index may name platforms that were not copied with it.
            let Some(manifest) = self.manifest(&one).await? else {
                continue;
            };
            found.push(Installed {
                platform: Some(entry.platform.map_or(entry.digest, |platform| platform.name())),
                distributions: self.distributions(&one, manifest, layers).await?,
            });
        }
        if found.is_empty() {
            return Err(unreadable("the registry has none of its platforms"));
        }
        Ok(found)
    }

    async fn manifest(&self, target: &Reference) -> Result<Option<Manifest>, Error> {
        let pulled = self.retried(|| self.manifest_of(target)).await?;
        let Some((bytes, _)) = pulled else {
            return Ok(None);
        };
        let manifest = serde_json::from_slice(&bytes).map_err(|_| Error::Unreadable {
            reference: target.to_string(),
            reason: "its manifest is none".to_owned(),
        })?;
        Ok(Some(manifest))
    }

    async fn distributions(
        &self,
        target: &Reference,
        manifest: Manifest,
        layers: &Layers,
    ) -> Result<Vec<Distribution>, Error> {
        let unreadable = |reason: String| Error::Unreadable {
            reference: target.to_string(),
            reason,
        };
        let list = manifest
            .layers
            .ok_or_else(|| unreadable("its manifest has no layers".to_owned()))?;
        if list.len() > MOST_LAYERS {
            return Err(unreadable(format!("it has more than {MOST_LAYERS} layers")));
        }
        let (mut files, mut chain) = (Arc::new(Files::default()), String::new());
        for Layer { digest } in list {
            chain = hex(&Sha256::digest(format!("{chain} {digest}")));
            if let Some(known) = layers.get(&chain) {
                files = known;
                continue;
            }
            files = Arc::new(
                self.retried(|| self.layer(target, &digest, Arc::clone(&files)))
                    .await?,
            );
            layers.put(&chain, &files);
        }
        Ok(files.distributions())
    }

    /// Lays one layer over what lower ones have, while it comes in.
    async fn layer(&self, target: &Reference, digest: &str, lower: Arc<Files>) -> Result<Files, Error> {
        let opened = self.client.pull_blob_stream(target, digest).await;
        let mut stream = opened.map_err(|error| told(target, "a layer", &error))?;
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
        let scan = tokio::task::spawn_blocking(move || {
            lower.over(Incoming {
                receiver,
                chunk: Bytes::new(),
            })
        });
        let mut failed = None;
        let mut is_whole = false;
        loop {
            let next = stream.next().await;
            let sent = match next {
                None => {
                    is_whole = true;
                    break;
                }
                Some(Ok(chunk)) => sender.send(chunk).await,
                Some(Err(error)) => {
                    failed = Some(error);
                    break;
                }
            };
            // It cannot be read any further.
            if sent.is_err() {
                break;
            }
        }
        drop(sender);
        let scanned = scan
            .await
            .map_err(|error| Error::Write(io::Error::other(error)))?;
        if let Some(error) = failed {
            return Err(Error::Unavailable {
                registry: target.resolve_registry().to_owned(),
                reason: format!("layer {digest}: {error}"),
            });
        }
        match scanned {
            Ok(files) if is_whole => Ok(files),
            Ok(_) => Err(Error::Unreadable {
                reference: target.to_string(),
                reason: format!("layer {digest}: it ends before its end"),
            }),
            Err(error) => Err(Error::Unreadable {
                reference: target.to_string(),
                reason: format!("layer {digest}: {error}"),
            }),
        }
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
