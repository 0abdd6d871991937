//! Why a repository's objects cannot be made.

use std::fmt;

use foreign_text::printable;

/// The longest message, in characters.
const LONGEST_MESSAGE: usize = 500;

/// Why a repository's objects cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// A field of the `PatchRepository` is wrong.
    #[error("{field}: {message}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// The templates are too large.
    #[error("spec.template and spec.overrides have {size} bytes together, and the limit is {limit}")]
    TemplateTooLarge {
        /// How large they are.
        size: usize,
        /// How large they may be.
        limit: usize,
    },
    /// There are too many components and releases.
    #[error(
        "the folders ask for {count} PatchSets, but one PatchRepository may have at most {limit}: make several, with components.include or releases.include"
    )]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// All objects together are too large.
    #[error(
        "the PatchSets have more than {limit} bytes together: make several PatchRepositories, with components.include or releases.include, or smaller templates"
    )]
    TooLarge {
        /// How large they may be.
        limit: usize,
    },
}

impl FleetError {
    /// What is wrong with a field.
    pub(super) fn field(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::Field {
            field: field.into(),
            message: printable(&message.to_string(), LONGEST_MESSAGE),
        }
    }
}
