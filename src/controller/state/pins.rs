//! What tags were found to stand for.

use std::time::{Duration, Instant};

use image_references::{Digest, ImageReference};

use super::recent::Recent;

/// The most tags that are remembered.
const MOST: usize = 10_000;

/// A namespace, and an image by a tag.
type PinKey = (String, ImageReference);

/// What tags were found to stand for, by namespace and reference: objects with the same base look
/// once.
#[derive(Default)]
pub struct Pins(Recent<PinKey, (Instant, Digest), MOST>);

impl Pins {
    /// What a tag stands for, if that was looked at recently.
    pub fn get(&self, key: &PinKey, age: Duration) -> Option<Digest> {
        let (at, digest) = self.0.get(key)?;
        (at.elapsed() <= age).then_some(digest)
    }

    /// Notes what a tag stands for now.
    pub fn put(&self, key: PinKey, digest: Digest) {
        self.0.put(key, (Instant::now(), digest));
    }
}
