//! Which patches a command is about: `glance/2025.2`.

use std::fmt;
use std::str::FromStr;

use crate::layout::Selection;

/// A component at a release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesAddress {
    /// The component, as its folder is called.
    pub component: String,
    /// The release.
    pub release: String,
}

impl SeriesAddress {
    /// What is read of a repository for this series alone.
    pub(in crate::cli) fn selection(&self) -> Selection {
        Selection::named(
            std::slice::from_ref(&self.component),
            std::slice::from_ref(&self.release),
        )
    }
}

/// A text that names no component at a release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write COMPONENT/RELEASE, for instance glance/2025.2")]
pub struct NoSeriesAddress;

impl FromStr for SeriesAddress {
    type Err = NoSeriesAddress;

    fn from_str(text: &str) -> Result<Self, NoSeriesAddress> {
        let (component, release) = text.split_once('/').ok_or(NoSeriesAddress)?;
        let is_name = |name: &str| {
            !matches!(name, "" | "." | "..")
                && !name.contains('/')
                && !name.chars().any(|c| c.is_whitespace() || c.is_control())
        };
        if !is_name(component) || !is_name(release) {
            return Err(NoSeriesAddress);
        }
        Ok(Self {
            component: component.to_owned(),
            release: release.to_owned(),
        })
    }
}

impl fmt::Display for SeriesAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.component, self.release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_and_a_release() {
        let address: SeriesAddress = "glance/2025.2".parse().unwrap();
        assert_eq!(
            (address.component.as_str(), address.release.as_str()),
            ("glance", "2025.2")
        );
        assert_eq!(address.to_string(), "glance/2025.2");
        for wrong in [
            "",
            "glance",
            "glance/",
            "/2025.2",
            "a/b/c",
            "../2025.2",
            "glance/.",
            "a b/c",
        ] {
            assert_eq!(wrong.parse::<SeriesAddress>(), Err(NoSeriesAddress), "{wrong:?}");
        }
    }
}
