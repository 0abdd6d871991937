//! What a patched image is made of, as a `CycloneDX` 1.5 document: the component and the libraries
//! that it is built with, each with the pedigree of its patches, and the packages whose pins were
//! overridden.
//!
//! [`Provenance::from_patch`] reads a patch's headers, [`document()`] writes the document,
//! [`merge()`] puts the same into another tool's document.

mod document;
mod merge;
mod provenance;

pub use document::{Overridden, Patched, PatchedComponent, document, generic_purl};
pub use merge::merge;
pub use provenance::{Issue, PatchOrigin, Provenance};

/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";

/// Why a document could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text is not a package URL.
    #[error("{text:?} is no package URL: {reason}; write for instance pkg:pypi/glance@31.0.0")]
    Purl {
        /// As it was given.
        text: String,
        /// Why.
        reason: String,
    },
    /// The document could not be written as JSON.
    #[error("cannot write the document: {0}")]
    Write(String),
    /// The document to merge into is not one.
    #[error("is no CycloneDX document in JSON: {0}")]
    Foreign(String),
}
