//! The outcomes of refreshing patches.

use std::fmt;

use git_apply_engine::Oid;

/// The result of refreshing one patch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PatchRefresh {
    /// The patch's name, as it was given.
    pub name: String,
    /// Its outcome.
    pub outcome: RefreshOutcome,
    /// The files for which something had to be done, or could not be, in the patch's order.
    pub files: Vec<FileRefresh>,
    /// The tree after it; the tree before it if it is left out.
    pub tree: Oid,
    /// Where it would apply if some lines of context were skipped, as GNU patch does, at most
    /// [`RefreshOptions::fuzz`](super::RefreshOptions::fuzz) at an end of a hunk; `None` if it
    /// applies, or if that would not be enough.
    pub fuzz: Option<FuzzyFit>,
}

/// That hunks fit with some lines of context passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct FuzzyFit {
    /// The most lines that were passed over at an end of a hunk.
    #[cfg_attr(feature = "schemars", schemars(with = "i32"))]
    pub lines: u32,
    /// The line of the file, from 1, where the first hunk went for which so many were.
    #[cfg_attr(feature = "schemars", schemars(with = "i32"))]
    pub line: u32,
}

impl fmt::Display for FuzzyFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "applies with fuzz {} at line {}: refresh it",
            self.lines, self.line
        )
    }
}

/// The outcome of refreshing a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// It applies where it says, and stays as it is, byte for byte.
    UpToDate,
    /// It was refreshed, and applies where it says.
    Refreshed {
        /// The strongest means that one of its files needed.
        how: RefreshKind,
        /// The refreshed patch.
        patch: Vec<u8>,
        /// The tree after it.
        tree: Oid,
    },
    /// The tree has all that it does, so it is left out.
    Merged,
    /// A person has to look at it. It is left out, and the patches after it go on without it.
    Impossible {
        /// Why, in a sentence.
        reason: String,
    },
}

impl RefreshOutcome {
    /// Returns what a status says about it: `None` if there is nothing to refresh.
    #[must_use]
    pub fn status(&self) -> Option<RefreshStatus> {
        let (state, by) = match self {
            Self::UpToDate | Self::Merged => return None,
            Self::Refreshed {
                how: RefreshKind::Offset,
                ..
            } => (RefreshState::Available, Some(RefreshKind::Offset)),
            Self::Refreshed { how, .. } => (RefreshState::Needed, Some(*how)),
            Self::Impossible { .. } => (RefreshState::Impossible, None),
        };
        Some(RefreshStatus { state, by })
    }
}

/// By what means a patch is refreshed, from the most certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum RefreshKind {
    /// Its hunks fit as they are, some lines away from where they say.
    Offset,
    /// It merges with what changed since the file for which it was made, without a conflict.
    ThreeWay,
    /// Its hunks fit but for up to two lines of context at their ends, as with GNU patch.
    Fuzz,
}

impl RefreshKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Offset, Self::ThreeWay, Self::Fuzz];

    /// Returns the name, such as `ThreeWay`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offset => "Offset",
            Self::ThreeWay => "ThreeWay",
            Self::Fuzz => "Fuzz",
        }
    }
}

impl fmt::Display for RefreshKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a patch can be refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum RefreshState {
    /// It applies as it is, and can be refreshed so that it applies without an offset.
    Available,
    /// It does not apply as it is, but does once it is refreshed.
    Needed,
    /// Somebody has to mend it.
    Impossible,
}

impl RefreshState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Available, Self::Needed, Self::Impossible];

    /// Returns the name, such as `Needed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::Needed => "Needed",
            Self::Impossible => "Impossible",
        }
    }
}

impl fmt::Display for RefreshState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a status says of a patch that is not up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct RefreshStatus {
    /// Whether it can be refreshed.
    pub state: RefreshState,
    /// By what means; `None` if it cannot be.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub by: Option<RefreshKind>,
}

/// A file of a patch, and what was done for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileRefresh {
    /// The file after the patch; before it, where it is deleted. Bytes that are not UTF-8 are
    /// replaced.
    pub path: String,
    /// What was done.
    pub outcome: FileOutcome,
}

/// What was done for one file of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOutcome {
    /// Hunks have other line numbers.
    Offset {
        /// The largest distance in lines; negative where that is further up.
        lines: i64,
    },
    /// The patch was merged with what changed since the file for which it was made.
    ThreeWay {
        /// Where the file for which the patch was made comes from.
        base: MergeBase,
    },
    /// Lines of context at the ends of hunks were skipped.
    Fuzz {
        /// The most lines at an end.
        lines: usize,
    },
    /// The tree has what the patch does to the file, so its diff is left out.
    LeftOut,
    /// A person has to mend it.
    Impossible {
        /// Why, in a sentence.
        reason: String,
    },
}

/// Where the file for which a patch was made comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MergeBase {
    /// It is the blob that the patch's `index` line names.
    IndexLine,
    /// It is in the tree on which the patch last applied.
    LastApplied,
}

/// What it means to carry a series over to a tree: how many of its patches need what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct SeriesOutlook {
    /// They apply as they are, some with an offset.
    pub apply: u32,
    /// The tree has them: they are to be dropped.
    pub merged: u32,
    /// They do not apply, and are refreshed without a person.
    pub refresh: u32,
    /// Somebody has to mend them.
    pub need_person: u32,
}

impl SeriesOutlook {
    /// Counts the outcomes of the patches of a series.
    pub fn count<'a>(outcomes: impl IntoIterator<Item = &'a RefreshOutcome>) -> Self {
        let mut outlook = Self::default();
        for outcome in outcomes {
            let counted = match (outcome, outcome.status().map(|status| status.state)) {
                (RefreshOutcome::Merged, _) => &mut outlook.merged,
                (_, None | Some(RefreshState::Available)) => &mut outlook.apply,
                (_, Some(RefreshState::Needed)) => &mut outlook.refresh,
                (_, Some(RefreshState::Impossible)) => &mut outlook.need_person,
            };
            *counted = counted.saturating_add(1);
        }
        outlook
    }
}

impl fmt::Display for SeriesOutlook {
    /// For instance `5 apply, 2 are upstream already, 1 refreshes by itself, 1 needs a person`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.apply, "applies", "apply"),
            (self.merged, "is upstream already", "are upstream already"),
            (self.refresh, "refreshes by itself", "refresh by themselves"),
            (self.need_person, "needs a person", "need a person"),
        ];
        let mut separator = "";
        for (count, one, several) in words.into_iter().filter(|(count, ..)| *count > 0) {
            write!(f, "{separator}{count} {}", if count == 1 { one } else { several })?;
            separator = ", ";
        }
        if separator.is_empty() {
            f.write_str("there are no patches")?;
        }
        Ok(())
    }
}
