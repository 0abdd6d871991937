//! A digest over all that a result is computed from.

use patchset_api::InputsDigest;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Collects inputs; equal inputs in equal order give an equal digest.
///
/// Each part goes in with its length, so that no two lists of parts look the same.
#[derive(Debug, Default)]
pub struct InputsHasher(Sha256);

impl InputsHasher {
    /// Starts with the name of what is computed, and a version to change where the computation
    /// changes.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self::default().with(kind.as_bytes())
    }

    /// Adds a part.
    #[must_use]
    pub fn with(mut self, part: &[u8]) -> Self {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
        self
    }

    /// Adds a value as JSON, its fields in the order of their declaration and its maps in that of
    /// their keys.
    ///
    /// The types of a spec leave out optional fields that are absent, so that a new one changes
    /// nothing.
    #[must_use]
    pub fn with_json(self, value: &impl Serialize) -> Self {
        // A spec was read from JSON, and can be written as such.
        self.with(&serde_json::to_vec(value).unwrap_or_default())
    }

    /// The digest.
    #[must_use]
    pub fn digest(self) -> InputsDigest {
        InputsDigest::from_sha256(&self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let one = InputsHasher::new("t").with(b"ab").with(b"c").digest();
        let other = InputsHasher::new("t").with(b"a").with(b"bc").digest();
        assert_ne!(one, other);
        assert_eq!(one, InputsHasher::new("t").with(b"ab").with(b"c").digest());
        assert_eq!(one.as_str().len(), 7 + 64);
    }
}
