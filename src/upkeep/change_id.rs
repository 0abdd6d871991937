//! What changes and texts are recognised by.

use std::fmt;

use git_apply_engine::Oid;

use crate::plan::inputs_hasher::InputsHasher;

/// Hexadecimal digits of a digest in a mark.
pub(super) const DIGITS: usize = 16;

/// A digest over texts, abbreviated.
pub(super) fn digest<'a>(kind: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let hasher = parts
        .into_iter()
        .fold(InputsHasher::new(kind), InputsHasher::with);
    hasher.digest().digits(DIGITS)
}

/// What a change is recognised by: the patch with its bytes, and what the change follows from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(String);

impl ChangeId {
    /// An id as a status, commit or request has it.
    #[must_use]
    pub fn recorded(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The id of a change to a patch.
    pub(super) fn new(folder: &str, patch: (&str, Oid), follows_from: &str) -> Self {
        let blob = patch.1.to_string();
        let parts = [folder, patch.0, &blob, follows_from];
        Self(digest("upkeep-change/v1", parts.map(str::as_bytes)))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
