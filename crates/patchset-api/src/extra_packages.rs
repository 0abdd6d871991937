//! `releases/<release>/extra-packages.yaml`: what is installed into each component's image in
//! addition to the component.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::yaml;

/// The packages of one component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extra {
    /// Python extras of the component itself, for the build argument `PIP_EXTRAS`.
    #[serde(default)]
    pub pip_extras: Vec<String>,
    /// Additional Python requirements, for `PIP_PACKAGES`.
    #[serde(default)]
    pub pip_packages: Vec<String>,
    /// Packages of the operating system, for `EXTRA_APT_PACKAGES`.
    #[serde(default)]
    pub apt_packages: Vec<String>,
}

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a mapping of components to pip_extras, pip_packages and apt_packages: {0}")]
pub struct ExtraPackagesError(String);

/// The packages of one release's components.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraPackages(BTreeMap<String, Extra>);

impl ExtraPackages {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If it is not such a mapping.
    pub fn parse(text: &str) -> Result<Self, ExtraPackagesError> {
        let read: Option<BTreeMap<String, Extra>> =
            serde_saphyr::from_str(text).map_err(|error| ExtraPackagesError(yaml::fault(&error)))?;
        Ok(Self(read.unwrap_or_default()))
    }

    /// The build arguments of a component: `PIP_EXTRAS` with commas, `PIP_PACKAGES` and
    /// `EXTRA_APT_PACKAGES` with spaces. All are empty for a component that the file does not name.
    #[must_use]
    pub fn arguments(&self, component: &str) -> BTreeMap<String, String> {
        let none = Extra::default();
        let extra = self.0.get(component).unwrap_or(&none);
        [
            ("PIP_EXTRAS", extra.pip_extras.join(",")),
            ("PIP_PACKAGES", extra.pip_packages.join(" ")),
            ("EXTRA_APT_PACKAGES", extra.apt_packages.join(" ")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The components, sorted.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_and_other_types_are_refused() {
        let good =
            ExtraPackages::parse("glance:\n  pip_packages: [\"glance_store[s3]\"]\nnova: {}\n").unwrap();
        assert_eq!(good.components().collect::<Vec<_>>(), ["glance", "nova"]);
        assert_eq!(
            ExtraPackages::parse("# nothing\n").unwrap(),
            ExtraPackages::default()
        );
        for wrong in [
            "glance: [a]\n",
            "glance:\n  pip_pakages: []\n",
            "glance:\n  pip_packages: a\n",
        ] {
            assert!(ExtraPackages::parse(wrong).is_err(), "{wrong}");
        }
    }
}
