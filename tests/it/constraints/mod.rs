//! Merging overrides into upper constraints: real data, the faults of sed, any data, and pip and uv as oracles.

mod command;
mod differential;
mod faults;
mod generated;
mod real;

use patchset::api::constraint_override::OverrideState;
use patchset::constraints::{ConstraintsFile, Merged, Overrides, PackageName, merge};

/// The first users' data.
pub fn corpus(path: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus");
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// Merges texts that are known to be readable.
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
