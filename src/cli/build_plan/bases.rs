//! What the tags of images stand for.

use std::cell::RefCell;
use std::collections::BTreeMap;

use image_references::ImageReference;

use crate::cli::error::Error;
use crate::cli::registry::RegistryOptions;
use crate::recipe::BaseImage;

/// Whether registries may be asked what tags stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registries {
    MayBeAsked,
    MayNotBeAsked,
}

/// Looks up what tags stand for, each once.
pub(super) struct TagLookup<'a> {
    registry: &'a RegistryOptions,
    registries: Registries,
    /// What was looked up.
    pinned: RefCell<BTreeMap<String, ImageReference>>,
}

impl<'a> TagLookup<'a> {
    pub(super) fn new(registry: &'a RegistryOptions, registries: Registries) -> Self {
        Self {
            registry,
            registries,
            pinned: RefCell::default(),
        }
    }

    /// The image of a context by its digest, unless no registry may be asked.
    pub(super) fn image(&self, context: &str, image: &str) -> Result<BaseImage, Error> {
        let reference = ImageReference::from_context(image).map_err(source_images::Error::from)?;
        if let Some(digest) = reference.digest() {
            return Ok(BaseImage::Pinned(reference.with_digest(digest)));
        }
        if self.registries == Registries::MayNotBeAsked {
            return Ok(BaseImage::Unpinned(reference));
        }
        let tagged = reference.as_given();
        if let Some(known) = self.pinned.borrow().get(&tagged) {
            return Ok(BaseImage::Pinned(known.clone()));
        }
        let digest = self
            .registry
            .run(|registry| {
                let reference = reference.clone();
                async move { registry.digest(&reference).await }
            })
            .map_err(|error| {
                Error::Usage(format!(
                    "build.contexts: {context}: {error}; --offline plans without asking what the tag stands for"
                ))
            })?
            .ok_or_else(|| {
                Error::Usage(format!("build.contexts: {context}: the registry has no {tagged}"))
            })?;
        let pinned = reference.with_digest(&digest);
        self.pinned.borrow_mut().insert(tagged, pinned.clone());
        Ok(BaseImage::Pinned(pinned))
    }
}
