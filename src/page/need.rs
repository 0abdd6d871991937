//! Who has to do something about a patch.

use patchset_api::status::{PatchState, PatchStatus};

use super::words;

/// Who has to do something about a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nobody.
    Nobody,
    /// Others come first: the patches before it.
    Waits,
    /// A tool: the patch is refreshed or removed.
    Tool,
    /// A person.
    Person,
}

impl Need {
    /// What a patch needs.
    #[must_use]
    pub fn new(status: &PatchStatus) -> Self {
        match status.state {
            PatchState::Clean | PatchState::Offset => Self::Nobody,
            PatchState::Blocked => Self::Waits,
            PatchState::Merged if !status.is_merged_differing() => Self::Tool,
            PatchState::Conflict if words::is_mended_by_refresh(status) => Self::Tool,
            PatchState::Merged | PatchState::Malformed | PatchState::Conflict => Self::Person,
        }
    }

    /// The CSS class.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Nobody => "good",
            Self::Waits => "wait",
            Self::Tool => "tool",
            Self::Person => "person",
        }
    }

    /// The mark beside the words.
    #[must_use]
    pub fn mark(self) -> &'static str {
        match self {
            Self::Nobody => "✓",
            Self::Waits => "…",
            Self::Tool => "↻",
            Self::Person => "✗",
        }
    }

    /// The same in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Nobody => "good",
            Self::Waits => "waits for others",
            Self::Tool => "a tool can do it",
            Self::Person => "needs a person",
        }
    }
}
