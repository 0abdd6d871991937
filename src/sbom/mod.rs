//! How a patched image differs from what its components' upstreams publish.
//!
//! [`document()`] writes it as a `CycloneDX` document: the component and the libraries that it is
//! built with, each with the pedigree of its patches, and the packages whose pins were overridden.
//! [`merge()`] puts the same into another tool's document. [`Resolutions`] states as `OpenVEX`
//! which vulnerabilities the patches resolve. What a patch says of itself is read by
//! [`patch_headers`].

mod document;
mod merge;
mod vex;

use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use document::{
    LeftOutPatch, Overridden, Patched, PatchedComponent, SpecificationVersion, document, generic_purl,
};
pub use merge::merge;
pub use vex::{ATTESTATION_TYPE, Issued, PREDICATE_ANNOTATION, PREDICATE_TYPE, Resolutions};

/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";

/// Why a document could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text is not a package URL.
    #[error("{text:?} is not a package URL: {reason}; write for instance pkg:pypi/glance@31.0.0")]
    Purl {
        /// As it was given.
        text: String,
        /// Why.
        reason: String,
    },
    /// The document could not be written as JSON.
    #[error("cannot write the document: {0}")]
    Write(String),
    /// No patch claims to resolve a vulnerability.
    #[error("no patch claims to resolve a vulnerability: there is nothing to state")]
    NothingToState,
    /// Statements are about an image that has no digest.
    #[error(
        "{0} has no digest: name the image as REPOSITORY@sha256:…, since the statements hold for that image only"
    )]
    NoDigest(String),
    /// The document to merge into is not one.
    #[error("is not a CycloneDX document in JSON: {0}")]
    Foreign(String),
}

/// A UUID of version 8 (RFC 9562) out of a document's SHA-256.
fn uuid_of(document: &[u8]) -> Uuid {
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(Sha256::digest(document)) {
        *byte = hashed;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn purl_error(text: &str, reason: &dyn std::fmt::Display) -> Error {
    Error::Purl {
        text: text.to_owned(),
        reason: reason.to_string(),
    }
}
