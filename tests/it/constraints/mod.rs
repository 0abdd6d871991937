//! Merging overrides into upper constraints: real data, and pip and uv as oracles.

mod command;
mod differential;
mod real;

#[path = "../../../crates/upper-constraints/tests/merge/merging.rs"]
mod merging;

use merging::{merged, states};

/// The first users' data.
pub fn corpus(path: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus");
    std::fs::read_to_string(root.join(path)).unwrap()
}
