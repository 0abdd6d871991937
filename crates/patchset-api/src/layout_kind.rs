//! How a team's repository arranges its patches.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which folders of a repository have patches, and for which component and release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum LayoutKind {
    /// Detected from the folders. If they do not clearly show one of the others, that is reported.
    #[default]
    Auto,
    /// `patches/<component>/<release>`.
    ComponentRelease,
    /// `patches/<release>/<component>`.
    ReleaseComponent,
    /// `patches/<org>/<component>`; the release is the branch, `stable/2025.2` for 2025.2.
    OrgComponent,
    /// One folder for a component: `patches`, `patches/<component>`, or the root; the release is
    /// the branch.
    SingleComponent,
    /// `debian/patches`; the release is the branch.
    DebianPatches,
}

impl LayoutKind {
    /// All layouts.
    pub const ALL: [Self; 6] = [
        Self::Auto,
        Self::ComponentRelease,
        Self::ReleaseComponent,
        Self::OrgComponent,
        Self::SingleComponent,
        Self::DebianPatches,
    ];

    /// Its name, as the resources spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::ComponentRelease => "ComponentRelease",
            Self::ReleaseComponent => "ReleaseComponent",
            Self::OrgComponent => "OrgComponent",
            Self::SingleComponent => "SingleComponent",
            Self::DebianPatches => "DebianPatches",
        }
    }

    /// Whether the repository's branch says which release its patches are for.
    #[must_use]
    pub fn has_release_by_branch(self) -> bool {
        matches!(
            self,
            Self::OrgComponent | Self::SingleComponent | Self::DebianPatches
        )
    }
}

impl fmt::Display for LayoutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that no layout has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no layout {name:?}; there are {}", LayoutKind::ALL.map(LayoutKind::as_str).join(", "))]
pub struct UnknownLayout {
    name: String,
}

impl FromStr for LayoutKind {
    type Err = UnknownLayout;

    /// Parses a name, ignoring case.
    fn from_str(text: &str) -> Result<Self, UnknownLayout> {
        let found = Self::ALL
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| UnknownLayout {
            name: text.to_owned(),
        })
    }
}
