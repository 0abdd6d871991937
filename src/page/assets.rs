//! The style and the script, and what a page allows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The style of all pages.
pub const STYLE: &str = include_str!("style.css");

/// The script of all pages: it filters a report, and keeps a served page up to date. A page is read
/// without it.
pub const SCRIPT: &str = include_str!("page.js");

/// The content security policy of a page that has the style and the script in itself: these two by
/// their hashes, and nothing else, from nowhere.
#[must_use]
pub fn policy_of_inline() -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_would_end_the_element_that_it_is_in() {
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains("</"), "a page has it between its tags");
        }
    }

    #[test]
    fn the_script_makes_no_markup_of_texts() {
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!SCRIPT.contains(way), "{way}");
        }
    }
}
