//! What tags were found to stand for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most tags that are remembered.
const MOST: usize = 10_000;

/// What tags were found to stand for, by namespace and reference: objects with the same base look once.
#[derive(Debug, Default)]
pub struct Pins(Mutex<HashMap<(String, String), (Instant, String)>>);

impl Pins {
    /// What a tag stands for, if that was looked at recently.
    pub fn get(&self, key: &(String, String), age: Duration) -> Option<String> {
        let pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, digest) = pins.get(key)?;
        (at.elapsed() <= age).then(|| digest.clone())
    }

    /// Notes what a tag stands for now.
    pub fn put(&self, key: (String, String), digest: String) {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pins.len() >= MOST {
            pins.clear();
        }
        pins.insert(key, (Instant::now(), digest));
    }
}
