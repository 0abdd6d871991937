//! Merging texts that are known to be readable.

use upper_constraints::{ConstraintsFile, Merged, OverrideState, Overrides, PackageName, merge};

/// Merges them, without the pins of what is built from source.
pub fn merged(base: &str, overrides: &str, from_source: &[&str]) -> Merged {
    let names: Vec<PackageName> = from_source.iter().map(|name| name.parse().unwrap()).collect();
    let base = ConstraintsFile::parse(base.as_bytes()).unwrap();
    merge(&base, &Overrides::parse(overrides.as_bytes()).unwrap(), &names).unwrap()
}

/// Packages and states.
pub fn states(merged: &Merged) -> Vec<(&str, OverrideState)> {
    merged
        .outcomes
        .iter()
        .map(|outcome| (outcome.package.as_str(), outcome.state))
        .collect()
}
