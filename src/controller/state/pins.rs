//! What tags were found to stand for.

use std::time::{Duration, Instant};

use super::recent::Recent;

/// The most tags that are remembered.
const MOST: usize = 10_000;

/// What tags were found to stand for, by namespace and reference: objects with the same base look once.
#[derive(Default)]
pub struct Pins(Recent<(String, String), (Instant, String), MOST>);

impl Pins {
    /// What a tag stands for, if that was looked at recently.
    pub fn get(&self, key: &(String, String), age: Duration) -> Option<String> {
        let (at, digest) = self.0.get(key)?;
        (at.elapsed() <= age).then_some(digest)
    }

    /// Notes what a tag stands for now.
    pub fn put(&self, key: (String, String), digest: String) {
        self.0.put(key, (Instant::now(), digest));
    }
}
