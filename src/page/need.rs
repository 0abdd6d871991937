//! Who has to do something, and about what.

use super::patch::PatchView;
use super::series::SeriesView;
use super::words;
use crate::api::status::{PatchState, PatchStatus};

/// Who has to do something about a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nobody.
    Nobody,
    /// Others come first: the patches before it.
    Waits,
    /// A tool: a refresh makes it anew, or it is removed.
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
            PatchState::Merged if status.is_merged_differing() => Self::Person,
            PatchState::Merged => Self::Tool,
            PatchState::Malformed => Self::Person,
            PatchState::Conflict if words::is_mended_by_refresh(status) => Self::Tool,
            PatchState::Conflict => Self::Person,
        }
    }

    /// The class of the style.
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

/// How many patches that need a person are shown before the matrix; the others are a click away.
const FIRST: usize = 6;

/// The patches that somebody has to do something about, with their series.
#[derive(Clone, Debug, Default)]
pub struct Needs<'a> {
    /// The first that need a person.
    pub first: Vec<(&'a SeriesView, &'a PatchView)>,
    /// The others that do.
    pub more: Vec<(&'a SeriesView, &'a PatchView)>,
    /// Those that a tool mends.
    pub tool: Vec<(&'a SeriesView, &'a PatchView)>,
}

impl<'a> Needs<'a> {
    /// Finds them.
    #[must_use]
    pub fn find(series: &'a [SeriesView]) -> Self {
        let of_need = |need: Need| {
            let patches = series
                .iter()
                .flat_map(|series| series.patches.iter().map(move |patch| (series, patch)));
            patches.filter(move |(_, patch)| patch.need == need)
        };
        Self {
            first: of_need(Need::Person).take(FIRST).collect(),
            more: of_need(Need::Person).skip(FIRST).collect(),
            tool: of_need(Need::Tool).collect(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.tool.is_empty()
    }

    /// What a tool does with how many.
    #[must_use]
    pub fn tool_in_words(&self) -> String {
        let merged = self.tool.iter();
        let merged = merged
            .filter(|(_, patch)| patch.state == PatchState::Merged)
            .count();
        let refreshed = self.tool.len() - merged;
        let words = [
            (merged, "upstream has, to be removed"),
            (refreshed, "to be made anew by a refresh"),
        ];
        let words = words.iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> = words.map(|(count, words)| format!("{count} {words}")).collect();
        words.join(", ")
    }
}
