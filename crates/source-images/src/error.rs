//! Why something could not be published.

use std::time::Duration;

use git_apply_engine::ObjectError;
use image_references::{Digest, ReferenceError};

/// Why something could not be published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object of the tree cannot be read.
    #[error("the tree cannot be read: {0}")]
    Object(#[from] ObjectError),
    /// The tree has a name that must not reach a file system.
    #[error("the tree is refused: {path:?} {reason}")]
    Hostile {
        /// The path, shortened.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// The tree is larger than may be published.
    #[error("the tree is refused: {what} is more than {limit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit.
        limit: String,
    },
    /// The layer could not be written to its destination.
    #[error("the layer cannot be written: {0}")]
    Write(#[from] std::io::Error),
    /// A text is not an image reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Credentials cannot be read.
    #[error("{origin}: {reason}")]
    Credentials {
        /// Where they come from.
        origin: String,
        /// What is wrong, without what they hold.
        reason: String,
    },
    /// The registry refuses the credentials.
    #[error(
        "{registry} refuses the credentials for {repository} ({reason}): check that they are for this registry, and may push"
    )]
    Authentication {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
        /// What it said.
        reason: String,
    },
    /// The registry cannot be reached, or fails.
    #[error("{registry}: {reason}")]
    Unavailable {
        /// The registry.
        registry: String,
        /// What happened.
        reason: String,
        /// How long the registry asks to wait.
        retry_after: Option<Duration>,
    },
    /// The registry answers, but does not accept what it is sent.
    #[error("{registry} refuses {what}: {reason}")]
    Refused {
        /// The registry.
        registry: String,
        /// What.
        what: String,
        /// What it said.
        reason: String,
    },
    /// An image's layers are not what this program reads.
    #[error("{reference} cannot be read: {reason}")]
    Unreadable {
        /// The image.
        reference: String,
        /// Why.
        reason: String,
    },
    /// The tag exists with other content.
    #[error(
        "{reference} already exists with other content ({found}): this tag is never moved; use another tag"
    )]
    TagTaken {
        /// The image.
        reference: String,
        /// The digest that the tag stands for.
        found: Digest,
    },
    /// The registry does not let the tag be moved.
    #[error(
        "the tag {tag} is immutable in this registry and holds another image: use a tag with {{inputs}}, or exempt a tag that is to move from the registry's rule ({reference} is {found}; {reason})"
    )]
    TagImmutable {
        /// The tag.
        tag: String,
        /// The image.
        reference: String,
        /// The digest that the tag stands for.
        found: Digest,
        /// What the registry said.
        reason: String,
    },
    /// A document is stored, but the registry does not let it be listed as attached to its image.
    #[error(
        "the document exists as {artifact}, but cannot be listed as attached: the tag {tag} has the list, and is immutable in this registry: exempt tags that start with sha256- from its rule ({reason})"
    )]
    NotListed {
        /// The document, by its digest.
        artifact: String,
        /// The tag with the list.
        tag: String,
        /// What the registry said.
        reason: String,
    },
}

impl Error {
    /// Whether another attempt may succeed without anyone changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// How long the registry asked to wait before another attempt, if it did.
    #[must_use]
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
