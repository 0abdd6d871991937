//! The patches of a component at a release.

use patchset_api::status::PatchState;

use super::need::Need;
use super::patch::PatchView;

/// How a component at a release is doing, from the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// All is as it should be.
    Good,
    /// Work is under way, or nothing is known yet.
    Pending,
    /// A tool mends what is wrong.
    Tool,
    /// A person has to do something.
    Person,
}

impl Standing {
    /// All of them, from the worst.
    pub const ALL: [Self; 4] = [Self::Person, Self::Tool, Self::Pending, Self::Good];

    /// The CSS class, and the value in an address.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Pending => "pending",
            Self::Tool => "tool",
            Self::Person => "person",
        }
    }

    /// The mark beside the words.
    #[must_use]
    pub fn mark(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Pending => "…",
            Self::Tool => "↻",
            Self::Person => "✗",
        }
    }

    /// The same in words, to follow a count.
    #[must_use]
    pub fn words_of_many(self, count: &usize) -> &'static str {
        match self {
            Self::Person if *count != 1 => "need a person",
            other => other.words(),
        }
    }

    /// The same in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Pending => "under way",
            Self::Tool => "a tool can do it",
            Self::Person => "needs a person",
        }
    }
}

/// How many patches of a series are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that apply.
    pub applied: usize,
    /// All of them.
    pub total: usize,
    /// Those that do not apply.
    pub conflicting: usize,
    /// Those that cannot be read.
    pub malformed: usize,
    /// Those that wait for others.
    pub blocked: usize,
    /// Those that upstream has.
    pub merged: usize,
}

impl Tally {
    /// Counts patches by their states.
    #[must_use]
    pub fn count(states: impl Iterator<Item = PatchState>) -> Self {
        let mut tally = Self::default();
        for state in states {
            tally.add(state, 1);
        }
        tally
    }

    /// Counts more patches in a state.
    pub fn add(&mut self, state: PatchState, count: usize) {
        self.total += count;
        *match state {
            PatchState::Clean | PatchState::Offset => &mut self.applied,
            PatchState::Merged => &mut self.merged,
            PatchState::Conflict => &mut self.conflicting,
            PatchState::Malformed => &mut self.malformed,
            PatchState::Blocked => &mut self.blocked,
        } += count;
    }

    /// What is not applied, in words: `1 conflict`, `2 merged`.
    #[must_use]
    pub fn rest(&self) -> Vec<String> {
        let plural = |count: usize, one: &str, many: &str| {
            let word = if count == 1 { one } else { many };
            (count > 0).then(|| format!("{count} {word}"))
        };
        let words = [
            plural(self.conflicting, "conflict", "conflicts"),
            plural(self.malformed, "unreadable", "unreadable"),
            plural(self.blocked, "blocked", "blocked"),
            plural(self.merged, "merged", "merged"),
        ];
        words.into_iter().flatten().collect()
    }
}

/// The patches of a component at a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesView {
    /// The id of its place on the page, and what its cell is called.
    pub id: String,
    /// Where its cell leads.
    pub href: String,
    /// The namespace, in a cluster.
    pub namespace: Option<String>,
    /// The component.
    pub component: String,
    /// The release.
    pub release: String,
    /// What it is built from.
    pub reference: Option<String>,
    /// Where the patches are.
    pub folder: Option<String>,
    /// How it is doing.
    pub standing: Standing,
    /// What is wrong besides patches, in a sentence.
    pub failure: Option<String>,
    /// How many patches are in each state.
    pub tally: Tally,
    /// The tag of the image.
    pub tag: Option<String>,
    /// Since when it has this standing.
    pub since: Option<String>,
    /// The patches, in order.
    pub patches: Vec<PatchView>,
    /// How many more there are.
    pub omitted: usize,
}

impl SeriesView {
    /// The standing of a series by its patches alone.
    #[must_use]
    pub fn standing_of_patches(patches: &[PatchView]) -> Standing {
        match patches.iter().map(|patch| patch.need).max() {
            Some(Need::Person | Need::Waits) => Standing::Person,
            Some(Need::Tool) => Standing::Tool,
            Some(Need::Nobody) | None => Standing::Good,
        }
    }
}
