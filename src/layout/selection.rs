//! Which components and releases are asked for.

use std::collections::BTreeSet;
use std::fmt;

use upper_constraints::PackageName;

/// What is asked for.
#[derive(Debug, Default)]
pub struct Selection {
    components: NameFilter,
    releases: NameFilter,
}

/// Whether a name is asked for.
type NameRule = Box<dyn Fn(&str) -> bool + Send + Sync>;

#[derive(Default)]
enum NameFilter {
    #[default]
    All,
    /// Each has to exist.
    Named(BTreeSet<String>),
    /// None has to exist.
    Rule(NameRule),
}

impl Selection {
    /// These components or packages, under any spelling of PEP 503, and these releases; all if none
    /// is named. A name that does not exist is an error when folders are read.
    #[must_use]
    pub fn named(components: &[String], releases: &[String]) -> Self {
        let filter = |names: BTreeSet<String>| {
            if names.is_empty() {
                NameFilter::All
            } else {
                NameFilter::Named(names)
            }
        };
        Self {
            components: filter(components.iter().map(|name| normal_name(name)).collect()),
            releases: filter(releases.iter().cloned().collect()),
        }
    }

    /// The components and releases that these rules take, whatever exists.
    #[must_use]
    pub fn by_rules(
        component: impl Fn(&str) -> bool + Send + Sync + 'static,
        release: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            components: NameFilter::Rule(Box::new(component)),
            releases: NameFilter::Rule(Box::new(release)),
        }
    }

    /// Whether a component or package is asked for.
    #[must_use]
    pub fn has_component(&self, name: &str) -> bool {
        match &self.components {
            NameFilter::All => true,
            NameFilter::Named(names) => names.contains(&normal_name(name)),
            NameFilter::Rule(rule) => rule(name),
        }
    }

    /// Whether a release is asked for.
    #[must_use]
    pub fn has_release(&self, name: &str) -> bool {
        match &self.releases {
            NameFilter::All => true,
            NameFilter::Named(names) => names.contains(name),
            NameFilter::Rule(rule) => rule(name),
        }
    }

    /// Whether single components are asked for by name.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        matches!(self.components, NameFilter::Named(_))
    }

    /// The components that have to exist, spelled as PEP 503 has them.
    pub(super) fn required_components(&self) -> Option<&BTreeSet<String>> {
        self.components.required()
    }

    /// The releases that have to be there.
    pub(super) fn required_releases(&self) -> Option<&BTreeSet<String>> {
        self.releases.required()
    }
}

impl NameFilter {
    fn required(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Named(names) => Some(names),
            Self::All | Self::Rule(_) => None,
        }
    }
}

impl fmt::Debug for NameFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Named(names) => f.debug_tuple("Named").field(names).finish(),
            Self::Rule(_) => f.write_str("Rule"),
        }
    }
}

/// A name as PEP 503 spells it, if it is one of a package.
pub(super) fn normal_name(name: &str) -> String {
    name.parse::<PackageName>()
        .map_or_else(|_| name.to_owned(), |name| name.to_string())
}
