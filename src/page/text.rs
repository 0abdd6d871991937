//! Foreign texts, made fit for pages.

use url::Url;

/// The most characters of a foreign text within a line.
pub const LONGEST_TEXT: usize = 2048;

/// A part of a text that is shown in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPart {
    /// The CSS class, or none.
    pub class: &'static str,
    /// The text.
    pub text: String,
}

/// An address that a link may lead to: `http` or `https`, nothing that a browser would run.
#[must_use]
pub fn web_address(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.into())
}

/// A text as part of an element's id: letters, digits, `.`, `_` and `-` stay.
#[must_use]
pub fn slug(text: &str) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.chars().map(|c| if kept(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_web_alone() {
        assert_eq!(web_address("https://a/b c").unwrap(), "https://a/b%20c");
        for wrong in ["javascript:alert(1)", "data:text/html,x", "//a", "a", ""] {
            assert_eq!(web_address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_id_has_nothing_that_a_selector_or_address_would_read() {
        assert_eq!(slug("nova/2025.2 <x>\"&"), "nova-2025.2--x---");
    }
}
