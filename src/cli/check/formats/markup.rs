//! Pieces of Markdown from texts that others wrote.

use crate::cli::style::plain;

/// A text as code: no markup in it takes effect, no name is mentioned (`@somebody`), no address
/// becomes a link.
pub(super) fn code(text: &str) -> String {
    let text = plain(text);
    if text.is_empty() {
        return String::new();
    }
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    // Renderers strip one space from each side of a text that has any other character.
    let pad = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Code in a cell of a table, where a bar would end the cell even in code.
pub(super) fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// A link, if there is an address of a web page; else the text alone.
pub(super) fn link(text: &str, url: Option<&str>) -> String {
    let parsed = url.and_then(|url| url::Url::parse(url).ok());
    match parsed {
        Some(url) if matches!(url.scheme(), "http" | "https") => {
            let mut address = String::new();
            for c in url.as_str().chars() {
                match c {
                    '<' => address.push_str("%3C"),
                    '>' => address.push_str("%3E"),
                    '\\' => address.push_str("%5C"),
                    '|' => address.push_str("%7C"),
                    '`' => address.push_str("%60"),
                    c if c.is_whitespace() || c.is_control() => {}
                    c => address.push(c),
                }
            }
            format!("[{text}](<{address}>)")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_links_hold_what_they_are_given() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a``b`"), "``` a``b` ```");
        assert_eq!(cell("a|b"), "`a\\|b`");
        assert_eq!(code("a\nb \u{1b}[1m"), "`a b \u{fffd}[1m`");
        assert_eq!(link("x", Some("javascript:alert(1)")), "x");
        assert_eq!(
            link("x", Some("https://a/b>c(d) e")),
            "[x](<https://a/b%3Ec(d)%20e>)"
        );
    }
}
