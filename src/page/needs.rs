//! What has to be done, over all series.

use patchset_api::status::PatchState;

use super::need::Need;
use super::patch::PatchView;
use super::series::SeriesView;

/// How many patches that need a person are shown before the matrix; the others are a click away.
const FIRST: usize = 6;

/// The patches that need action, with their series.
#[derive(Clone, Debug, Default)]
pub struct Needs<'a> {
    /// The first that need a person.
    pub first: Vec<(&'a SeriesView, &'a PatchView)>,
    /// The others that do.
    pub more: Vec<(&'a SeriesView, &'a PatchView)>,
    /// Those that a tool can mend.
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

    /// What a tool does, and with how many patches.
    #[must_use]
    pub fn tool_in_words(&self) -> String {
        let merged = self.tool.iter();
        let merged = merged
            .filter(|(_, patch)| patch.state == PatchState::Merged)
            .count();
        let refreshed = self.tool.len() - merged;
        let words = [
            (merged, "already upstream, to be removed"),
            (refreshed, "to be refreshed"),
        ];
        let words = words.iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> = words.map(|(count, words)| format!("{count} {words}")).collect();
        words.join(", ")
    }
}
