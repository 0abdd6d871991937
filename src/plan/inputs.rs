//! A digest over all that a result is computed from.

use sha2::{Digest, Sha256};

use crate::api::InputsDigest;

/// Collects inputs; equal inputs in equal order give an equal digest.
///
/// Each part goes in with its length, so that no two lists of parts look the same.
#[derive(Debug, Default)]
pub struct Inputs(Sha256);

impl Inputs {
    /// Starts with the name of what is computed, and a version to change where the computation changes.
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
        let one = Inputs::new("t").with(b"ab").with(b"c").digest();
        let other = Inputs::new("t").with(b"a").with(b"bc").digest();
        assert_ne!(one, other);
        assert_eq!(one, Inputs::new("t").with(b"ab").with(b"c").digest());
        assert_eq!(one.as_str().len(), 7 + 64);
    }
}
