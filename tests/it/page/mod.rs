//! The pages, looked at in a real Chromium.

mod constraints;
mod diffs;
mod example;
mod many;
mod report;
mod web;

use std::path::PathBuf;

/// Folder for pictures, where somebody asks for them: `hack/screenshots.sh`.
fn pictures() -> Option<PathBuf> {
    std::env::var_os("PATCHSET_PICTURES").map(PathBuf::from)
}
