//! The pages, in a real Chromium.

mod constraints;
mod diffs;
mod example;
mod many;
mod report;
mod web;

use std::path::PathBuf;

/// The folder for pictures, if requested: `hack/screenshots.sh`.
fn pictures() -> Option<PathBuf> {
    std::env::var_os("PATCHSET_PICTURES").map(PathBuf::from)
}
