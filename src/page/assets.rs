//! The style, the script, and the content security policy of a page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The style of all pages.
pub const STYLE: &str = include_str!("style.css");

/// The script of all pages: it filters a report, and keeps a served page up to date. Pages can be
/// read without it.
pub const SCRIPT: &str = include_str!("page.js");

/// The content security policy of a page with inline style and script: it allows these two by their
/// hashes, and nothing else.
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

    /// The relative luminance of a colour `#rrggbb`, as defined by WCAG 2.2.
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let value = u8::from_str_radix(&colour[at..at + 2], 16).unwrap();
            let value = f64::from(value) / 255.0;
            if value <= 0.03928 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    #[test]
    fn colours_of_languages_can_be_read_on_every_line_of_a_diff_in_both_themes() {
        let (light, dark) = STYLE.split_once("prefers-color-scheme: dark").unwrap();
        for (theme, style) in [("light", light), ("dark", dark)] {
            let colour = |name: &str| {
                let (_, rest) = style.split_once(&format!("--{name}: ")).unwrap();
                luminance(rest.split_once(';').unwrap().0)
            };
            for token in ["kw", "str", "com", "num", "fn", "ty"] {
                for page in ["page", "add-page", "del-page"] {
                    let (one, other) = (colour(token), colour(page));
                    let ratio = (one.max(other) + 0.05) / (one.min(other) + 0.05);
                    assert!(ratio >= 4.5, "{token} on {page} in {theme}: {ratio}");
                }
            }
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
