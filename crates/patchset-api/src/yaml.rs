//! Faults in YAML files, described for the people who wrote them.

use serde_saphyr::{SnippetMode, UserMessageFormatter};

/// What is wrong, and where, in one line. The library's plain messages are for programmers: they
/// name its options.
#[must_use]
pub fn fault(error: &serde_saphyr::Error) -> String {
    error.render_with_options(serde_saphyr::render_options! {
        formatter: &UserMessageFormatter,
        snippets: SnippetMode::Off,
    })
}
