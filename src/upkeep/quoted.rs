//! Foreign text in commits and in Markdown, where it is shown and does nothing else.
//!
//! In Markdown it stands in code, where no server looks for names, numbers, addresses or HTML. A
//! commit's message has no code, so what would mention a person or a request is broken up.

use std::fmt::Write;

use foreign_text::{printable, printable_line};

/// What breaks up a name: it takes no room (ZERO WIDTH SPACE).
const BREAK: char = '\u{200b}';

/// The longest address, in bytes.
const LONGEST_ADDRESS: usize = 2048;

/// The most characters of one line of a diff.
const LINE_CHARACTERS: usize = 200;

/// A text as code on one line, of at most `longest` characters.
pub(super) fn code(text: &str, longest: usize) -> String {
    let text = printable(text, longest);
    if text.trim().is_empty() {
        return "(nothing)".to_owned();
    }
    let ticks = "`".repeat(longest_run(&text, '`') + 1);
    let is_padded = text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']);
    let pad = if is_padded { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// A block of code with as many lines as there is room for, and how many more there are.
pub(super) fn block(language: &str, text: &str, room: Room) -> String {
    let (text, more) = room.lines(text);
    let fence = "`".repeat(longest_run(&text, '`').max(2) + 1);
    let more = match more {
        0 => String::new(),
        more => format!("\n… and {more} more lines"),
    };
    format!("{fence}{language}\n{text}{more}\n{fence}")
}

/// A link to a page; the label alone if the address is not a web address.
pub(super) fn link(label: &str, url: Option<&str>) -> String {
    match url.and_then(web_address) {
        Some(url) => format!("[{label}]({url})"),
        None => label.to_owned(),
    }
}

/// A web address, escaped so that it cannot end the link around it; `None` for any other address.
fn web_address(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or(url.strip_prefix("http://"));
    if rest.is_none_or(str::is_empty) || url.len() > LONGEST_ADDRESS {
        return None;
    }
    let mut safe = String::new();
    for byte in url.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&'*+,;=%".contains(&byte) {
            safe.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(safe, "%{byte:02X}");
        }
    }
    Some(safe)
}

/// A web address for a commit's message, in which nobody is mentioned.
pub(super) fn plain_address(url: &str) -> Option<String> {
    let url = web_address(url)?;
    Some(url.replace('@', "%40").replace('#', "%23"))
}

/// How much of a text is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Lines.
    pub(super) lines: usize,
    /// Characters.
    pub(super) characters: usize,
}

impl Room {
    /// The lines for which there is room, and how many more there are.
    pub(super) fn lines(self, text: &str) -> (String, usize) {
        let text = text.trim_end_matches('\n');
        let mut shown: Vec<String> = Vec::new();
        let mut left = self.characters;
        for line in text.split('\n').take(self.lines) {
            let line = printable_line(line);
            let line: String = if line.chars().count() > LINE_CHARACTERS {
                line.chars().take(LINE_CHARACTERS - 1).chain(['…']).collect()
            } else {
                line
            };
            let length = line.chars().count() + 1;
            if length > left {
                break;
            }
            left -= length;
            shown.push(line);
        }
        let more = text.split('\n').count() - shown.len();
        (shown.join("\n"), more)
    }
}

/// A text in one line of a commit's message.
pub(super) fn in_message(text: &str, longest: usize) -> String {
    broken_up(&printable(text, longest))
}

/// Lines of a commit's message, each indented by four spaces.
pub(super) fn block_in_message(text: &str, room: Room) -> String {
    let (text, more) = room.lines(text);
    let mut lines: Vec<String> = text
        .split('\n')
        .map(|line| format!("    {}", broken_up(line)).trim_end().to_owned())
        .collect();
    if more > 0 {
        lines.push(format!("    … and {more} more lines"));
    }
    lines.join("\n")
}

/// A text in which no server finds a person, a request, a word that closes one, or a directive.
fn broken_up(text: &str) -> String {
    let mut safe = String::new();
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        safe.push(c);
        let ends = |word: &str| {
            let from = safe.len().checked_sub(word.len());
            from.and_then(|from| safe.get(from..))
                .is_some_and(|end| end.eq_ignore_ascii_case(word))
        };
        let follows = rest.peek().copied().unwrap_or(' ');
        let is_name = c == '@' && !before.is_alphanumeric() && (follows.is_alphanumeric() || follows == '_');
        let is_number = matches!(c, '#' | '!' | '&' | '%' | '~') && follows.is_ascii_digit();
        let is_short = follows.is_ascii_digit() && ends("gh-");
        let is_address = follows == '/' && (ends("http:") || ends("https:"));
        // Servers skip their pipelines for `[skip ci]` and the like.
        let is_directive = c == '[' && follows.is_alphabetic();
        if is_name || is_number || is_short || is_address || is_directive {
            safe.push(BREAK);
        }
        before = c;
    }
    safe
}

fn longest_run(text: &str, of: char) -> usize {
    let runs = text.split(|c: char| c != of).map(str::len);
    runs.max().unwrap_or(0)
}

/// A patch without anything that says where something is: line numbers and blobs.
pub(super) fn without_places(patch: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in patch.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"index ") {
            continue;
        }
        let behind = line.strip_prefix(b"@@ -").and_then(|rest| {
            let end = rest.windows(3).position(|window| window == b" @@")?;
            rest.get(end + 3..)
        });
        match behind {
            Some(behind) => {
                out.extend_from_slice(b"@@");
                out.extend_from_slice(behind);
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_cannot_be_left() {
        for (text, expected) in [
            ("a.patch", "`a.patch`"),
            ("a`b", "``a`b``"),
            ("``", "``` `` ```"),
            ("`a", "`` `a ``"),
            (" \n ", "(nothing)"),
            ("a\n\n# b", "`a # b`"),
        ] {
            assert_eq!(code(text, 80), expected);
        }
        let room = Room {
            lines: 10,
            characters: 1000,
        };
        assert_eq!(block("diff", "+a\n```\n-b", room), "````diff\n+a\n```\n-b\n````");
        assert_eq!(block("", "a", room), "```\na\n```");
    }

    #[test]
    fn a_block_has_as_much_as_there_is_room_for() {
        let text = "line\n".repeat(100);
        let room = Room {
            lines: 3,
            characters: 1000,
        };
        assert_eq!(
            block("", &text, room),
            "```\nline\nline\nline\n… and 97 more lines\n```"
        );
        let room = Room {
            lines: 100,
            characters: 12,
        };
        assert_eq!(
            block("", &text, room),
            "```\nline\nline\n… and 98 more lines\n```"
        );
        let long = "x".repeat(10_000);
        let room = Room {
            lines: 3,
            characters: 1000,
        };
        assert_eq!(block("", &long, room).chars().count(), LINE_CHARACTERS + 8);
    }

    #[test]
    fn a_link_leads_nowhere_but_to_the_web() {
        assert_eq!(link("a", Some("https://x/y?z=1#a")), "[a](https://x/y?z=1#a)");
        assert_eq!(
            link("a", Some("https://x/ )[b](javascript:c)<b>\n|")),
            "[a](https://x/%20%29%5Bb%5D%28javascript:c%29%3Cb%3E%0A%7C)"
        );
        for none in [
            None,
            Some("javascript:alert(1)"),
            Some("https://"),
            Some("/merge"),
        ] {
            assert_eq!(link("a", none), "a");
        }
    }

    #[test]
    fn a_message_calls_nobody() {
        for (text, expected) in [
            ("thanks @user, mail a@b.c", "thanks @\u{200b}user, mail a@b.c"),
            ("Fixes #12 and o/r#3", "Fixes #\u{200b}12 and o/r#\u{200b}3"),
            ("closes GH-4 !5", "closes GH-\u{200b}4 !\u{200b}5"),
            (
                "see https://github.com/o/r/issues/1",
                "see https:\u{200b}//github.com/o/r/issues/1",
            ),
            ("Fix [Skip CI] in a[0]", "Fix [\u{200b}Skip CI] in a[0]"),
            ("a - 3 # comment", "a - 3 # comment"),
        ] {
            assert_eq!(in_message(text, 200), expected);
        }
        let room = Room {
            lines: 2,
            characters: 100,
        };
        assert_eq!(
            block_in_message("+@cached\n-\n x", room),
            "    +@\u{200b}cached\n    -\n    … and 1 more lines"
        );
    }

    #[test]
    fn places_are_no_change() {
        let patch = b"index 1..2 100644\n--- a/x\n+++ b/x\n@@ -1,2 +3,4 @@ fn a()\n-b\n+c\n";
        let moved = b"index 3..4 100644\n--- a/x\n+++ b/x\n@@ -10,2 +13,4 @@ fn a()\n-b\n+c\n";
        assert_eq!(without_places(patch), without_places(moved));
        assert_eq!(without_places(patch), b"--- a/x\n+++ b/x\n@@ fn a()\n-b\n+c\n");
    }
}
