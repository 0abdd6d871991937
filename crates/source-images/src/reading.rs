//! Reads an image from a registry, layer by layer, without keeping it.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use image_references::{Digest, ImageReference};
use tokio::sync::mpsc;

use super::installed::{Distribution, Files};
use super::listing::{Descriptor, Listing};
use super::registry::{Access, Manifest, ManifestName, Repository};
use super::{Error, Registry};

/// The most platforms, and layers of each, that are read.
const MOST_PLATFORMS: usize = 16;
const MOST_LAYERS: usize = 512;

/// The most pieces of a layer that are in flight at once.
const CHUNKS_WAITING: usize = 16;

/// The most bytes that are remembered about layers.
const MOST_REMEMBERED: usize = 64 << 20;

/// What an image has installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The platform, if the image is for several.
    pub platform: Option<String>,
    /// The Python distributions.
    pub distributions: Vec<Distribution>,
}

/// What was found in layers, by the chain of layers from the first on: images with the same base
/// read it once, and a look that was given up resumes from there.
#[derive(Debug, Default)]
pub struct Layers(Mutex<RememberedLayers>);

#[derive(Debug, Default)]
struct RememberedLayers {
    files: HashMap<Digest, Arc<Files>>,
    weight: usize,
}

impl Layers {
    fn get(&self, chain: &Digest) -> Option<Arc<Files>> {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.files.get(chain).cloned()
    }

    fn put(&self, chain: Digest, files: &Arc<Files>) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let weight = files.weight() + 256;
        if remembered.weight + weight > MOST_REMEMBERED {
            *remembered = RememberedLayers::default();
        }
        if remembered.files.insert(chain, Arc::clone(files)).is_none() {
            remembered.weight += weight;
        }
    }
}

impl Registry {
    /// Returns an image's Python distributions, for each of its platforms that the registry has.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`] if it is not a readable image; those of the registry.
    pub async fn installed_distributions(
        &self,
        target: &ImageReference,
        layers: &Layers,
    ) -> Result<Vec<Installed>, Error> {
        let repository = self.repository(target, Access::Pull);
        let found = self
            .with_retries(|| repository.manifest(ManifestName::from(target)))
            .await?;
        let found = found.ok_or_else(|| unreadable_image(target, "the registry does not have it"))?;
        let listing = read_listing(&found, target)?;
        let Some(mut listed) = listing.manifests else {
            let distributions = self.distributions_in_layers(repository, listing, layers).await?;
            return Ok(vec![Installed {
                platform: None,
                distributions,
            }]);
        };
        listed.retain(Descriptor::is_image);
        if listed.len() > MOST_PLATFORMS {
            let reason = format!("it is for more than {MOST_PLATFORMS} platforms");
            return Err(unreadable_image(target, reason));
        }
        let mut found = Vec::new();
        for descriptor in listed {
            // An index may name platforms that were not copied with it.
            let one = self
                .with_retries(|| repository.listed_manifest(&descriptor.digest))
                .await?;
            let Some(one) = one else { continue };
            let listing = read_listing(&one, target)?;
            found.push(Installed {
                platform: Some(descriptor.platform_name()),
                distributions: self.distributions_in_layers(repository, listing, layers).await?,
            });
        }
        if found.is_empty() {
            return Err(unreadable_image(target, "the registry has none of its platforms"));
        }
        Ok(found)
    }

    async fn distributions_in_layers(
        &self,
        repository: Repository<'_>,
        listing: Listing,
        layers: &Layers,
    ) -> Result<Vec<Distribution>, Error> {
        let image = repository.image();
        let list = listing
            .layers
            .ok_or_else(|| unreadable_image(image, "its manifest has no layers"))?;
        if list.len() > MOST_LAYERS {
            return Err(unreadable_image(
                image,
                format!("it has more than {MOST_LAYERS} layers"),
            ));
        }
        let (mut files, mut chain) = (Arc::new(Files::default()), Digest::sha256(b""));
        for Descriptor { digest, .. } in list {
            let digest: Digest = digest
                .parse()
                .map_err(|_| unreadable_image(image, "a layer is named by a digest of an unknown kind"))?;
            chain = Digest::sha256(format!("{chain} {digest}").as_bytes());
            if let Some(known) = layers.get(&chain) {
                files = known;
                continue;
            }
            let lower = files;
            files = Arc::new(
                self.with_retries(|| scan_layer(repository, &digest, Arc::clone(&lower)))
                    .await?,
            );
            layers.put(chain.clone(), &files);
        }
        Ok(files.distributions())
    }
}

/// Lays a layer over the lower ones while it is received.
async fn scan_layer(repository: Repository<'_>, digest: &Digest, lower: Arc<Files>) -> Result<Files, Error> {
    let mut blob = repository.blob(digest, &format!("layer {digest}")).await?;
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let scan = tokio::task::spawn_blocking(move || {
        lower.with_layer(Incoming {
            receiver,
            chunk: Bytes::new(),
        })
    });
    let received = loop {
        match blob.chunk().await {
            Ok(Some(chunk)) => {
                // The scan gave up on the layer.
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
    let unreadable = |reason: &str| unreadable_image(repository.image(), format!("layer {digest}: {reason}"));
    match (received?, scanned) {
        (true, Ok(files)) => Ok(files),
        (false, Ok(_)) => Err(unreadable("it is cut off")),
        (_, Err(error)) => Err(unreadable(&error.to_string())),
    }
}

fn read_listing(manifest: &Manifest, image: &ImageReference) -> Result<Listing, Error> {
    Listing::read(manifest).map_err(|_| unreadable_image(image, "its manifest is not one that can be read"))
}

fn unreadable_image(image: &ImageReference, reason: impl Into<String>) -> Error {
    Error::Unreadable {
        reference: image.to_string(),
        reason: reason.into(),
    }
}

/// The chunks that are received, for a thread that waits for them.
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
