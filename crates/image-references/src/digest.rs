//! Digests of contents (OCI image-spec, "Digests").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// A digest of a supported algorithm: SHA-256, SHA-384 or SHA-512.
///
/// It is read and written as `ALGORITHM:DIGITS`, with hexadecimal digits in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

/// A text that is not a digest of a supported algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is sha256:, sha384: or sha512: with 64, 96 or 128 hexadecimal digits in lower case")]
pub struct DigestError;

impl Digest {
    /// Returns the SHA-256 of contents.
    #[must_use]
    pub fn sha256(contents: &[u8]) -> Self {
        let mut hasher = Hasher::sha256();
        hasher.update(contents);
        hasher.finish()
    }

    /// The hexadecimal digits, without the algorithm.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.hex
    }

    /// Whether contents have this digest.
    #[must_use]
    pub fn matches(&self, contents: &[u8]) -> bool {
        let mut hasher = self.hasher();
        hasher.update(contents);
        hasher.finish() == *self
    }

    /// Returns a hasher for the same algorithm.
    #[must_use]
    pub fn hasher(&self) -> Hasher {
        Hasher(match self.algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha384 => State::Sha384(Sha384::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Returns the tag of the list of what is attached to a manifest with this digest.
    ///
    /// It follows the distribution-spec, "Referrers Tag Schema", and is cut to the length of a
    /// SHA-256.
    #[must_use]
    pub fn referrers_tag(&self) -> String {
        let digits = self.hex.get(..64).unwrap_or(&self.hex);
        format!("{}-{digits}", self.algorithm.name())
    }
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, hex) = text.split_once(':').ok_or(DigestError)?;
        let (algorithm, length) = match name {
            "sha256" => (Algorithm::Sha256, 64),
            "sha384" => (Algorithm::Sha384, 96),
            "sha512" => (Algorithm::Sha512, 128),
            _ => return Err(DigestError),
        };
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != length || !hex.bytes().all(is_digit) {
            return Err(DigestError);
        }
        Ok(Self {
            algorithm,
            hex: hex.to_owned(),
        })
    }
}

/// Computes a digest piece by piece.
#[derive(Clone, Debug)]
pub struct Hasher(State);

#[derive(Clone, Debug)]
enum State {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    /// Returns a hasher for SHA-256.
    #[must_use]
    pub fn sha256() -> Self {
        Self(State::Sha256(Sha256::new()))
    }

    /// Adds the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hash) => hash.update(bytes),
            State::Sha384(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
        }
    }

    /// Returns the digest of all pieces.
    #[must_use]
    pub fn finish(self) -> Digest {
        let (algorithm, hex) = match self.0 {
            State::Sha256(hash) => (Algorithm::Sha256, hex::encode(hash.finalize())),
            State::Sha384(hash) => (Algorithm::Sha384, hex::encode(hash.finalize())),
            State::Sha512(hash) => (Algorithm::Sha512, hex::encode(hash.finalize())),
        };
        Digest { algorithm, hex }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_each_algorithm_are_computed() {
        // FIPS 180-2, of "abc".
        for digest in [
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ] {
            let read: Digest = digest.parse().unwrap();
            assert_eq!(read.to_string(), digest);
            assert!(read.matches(b"abc") && !read.matches(b"abd"), "{digest}");
        }
    }

    #[test]
    fn what_is_not_computed_is_no_digest() {
        let zeros = "0".repeat(64);
        for text in [
            zeros.clone(),
            format!("md5:{zeros}"),
            format!("sha256:{zeros}0"),
            format!("sha512:{zeros}"),
            format!("sha256:{}", "A".repeat(64)),
            "sha256:".to_owned(),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(DigestError), "{text}");
        }
    }

    #[test]
    fn the_tag_of_referrers_is_short_enough_for_a_tag() {
        let digest: Digest = format!("sha512:{}", "ab".repeat(64)).parse().unwrap();
        assert_eq!(digest.referrers_tag(), format!("sha512-{}", "ab".repeat(32)));
    }
}
