//! What each override did, for people and programs.

use std::fmt::Write;

use super::entry::Entry;

/// What changed an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Cause {
    /// An override.
    Override,
    /// The package is built from source.
    BuiltFromSource,
}

/// What an override did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum OverrideState {
    /// It replaced upstream's pin.
    Updated,
    /// It added a pin that upstream does not have.
    Added,
    /// It removed upstream's pin.
    Removed,
    /// Upstream pins the same: it can go.
    Redundant,
    /// It replaced upstream's pin by an older one, and does not say that this is meant.
    Outdated,
    /// Upstream has nothing that it could remove: it can go.
    Absent,
}

impl OverrideState {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Updated,
        Self::Added,
        Self::Removed,
        Self::Redundant,
        Self::Outdated,
        Self::Absent,
    ];

    /// Returns the state's name, such as `Updated`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Updated => "Updated",
            Self::Added => "Added",
            Self::Removed => "Removed",
            Self::Redundant => "Redundant",
            Self::Outdated => "Outdated",
            Self::Absent => "Absent",
        }
    }

    /// Returns whether a person should look at an override of this state.
    #[must_use]
    pub fn needs_attention(self) -> bool {
        match self {
            Self::Updated | Self::Added | Self::Removed => false,
            Self::Redundant | Self::Outdated | Self::Absent => true,
        }
    }
}

/// How a version relates to the one that it replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum VersionChange {
    /// It is newer.
    Upgrade,
    /// It is older.
    Downgrade,
}

/// A pin of upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Pinned {
    /// The version, or another specifier as it is written.
    pub version: String,
    /// Its environment marker.
    pub marker: Option<String>,
    /// Its line in the upper constraints, from 1.
    pub line: usize,
}

impl From<&Entry> for Pinned {
    fn from(entry: &Entry) -> Self {
        Self {
            version: entry.pin.to_string(),
            marker: entry.marker_text.clone(),
            line: entry.line,
        }
    }
}

/// The outcome of one override, or of one package that is built from source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The override's line, from 1, or its place in a list. Absent if no override was the cause.
    pub line: Option<usize>,
    /// The package as the override names it.
    pub package: String,
    /// Why.
    pub cause: Cause,
    /// What it did.
    pub state: OverrideState,
    /// What upstream pins.
    pub from: Vec<Pinned>,
    /// The version that is pinned, or that the override asked for.
    pub to: Option<String>,
    /// The override's marker.
    pub marker: Option<String>,
    /// Whether the new version is newer or older than the newest of upstream's.
    pub change: Option<VersionChange>,
    /// The line of the merged file that it is about, from 1: where its pin is, or before which the
    /// first pin that it removed stood. `None` if there is none.
    pub merged_line: Option<usize>,
}

impl Outcome {
    /// Returns whether a person should look at it.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        self.state.needs_attention() && (self.cause == Cause::Override || self.line.is_some())
    }

    /// Returns upstream's pins in one text; `None` if there are none.
    #[must_use]
    pub fn from_text(&self) -> Option<String> {
        let mut text = String::new();
        for pinned in &self.from {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(&pinned.version);
            if let Some(marker) = &pinned.marker {
                // Writing to a string does not fail.
                let _ = write!(text, " ({marker})");
            }
        }
        (!text.is_empty()).then_some(text)
    }

    /// Returns the outcome in a sentence, with what to do, if anything.
    #[must_use]
    pub fn message(&self) -> String {
        let from = self.from_text().unwrap_or_default();
        let to = self.to.as_deref().unwrap_or_default();
        let where_ = self
            .marker
            .as_ref()
            .map_or(String::new(), |marker| format!(" where {marker}"));
        match (self.cause, self.state) {
            (Cause::Override, OverrideState::Updated) => {
                let change = match self.change {
                    Some(VersionChange::Upgrade) => " (upgrade)",
                    Some(VersionChange::Downgrade) => " (downgrade, as the override says)",
                    None => "",
                };
                format!("{from} → {to}{where_}{change}")
            }
            (Cause::Override, OverrideState::Added) => format!("{to}{where_}, which upstream does not pin"),
            (Cause::Override, OverrideState::Removed) => format!("{from} is no longer pinned"),
            (Cause::Override, OverrideState::Redundant) => {
                format!("upstream pins {from} itself: drop the override")
            }
            (Cause::Override, OverrideState::Outdated) => format!(
                "upstream pins {from}, which is newer than {to}: drop the override, or mark it as a downgrade if it is meant"
            ),
            (Cause::Override, OverrideState::Absent) => {
                format!("upstream has no such pin{where_}: drop the override")
            }
            (Cause::BuiltFromSource, OverrideState::Removed) => {
                format!("{from} is no longer pinned, because the package is built from source")
            }
            (Cause::BuiltFromSource, OverrideState::Absent) => {
                "is built from source, and upstream does not pin it".to_owned()
            }
            (Cause::BuiltFromSource, _) => {
                format!("is built from source, so {to} is not pinned: drop the override")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_names_of_their_variants() {
        for state in OverrideState::ALL {
            assert_eq!(state.as_str(), format!("{state:?}"));
        }
    }
}
