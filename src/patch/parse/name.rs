//! File names in the headers of diffs, by the rules of Git's apply.c and quote.c.

use super::scan::{after, at, from, is_space, line_length, to};

/// How names are read: how many leading components go, and which folder comes in front.
#[derive(Clone, Debug)]
pub(super) struct NameRules {
    /// `-p`.
    pub(super) strip: usize,
    /// `--directory`, with a `/` at its end where it is not empty.
    pub(super) root: Vec<u8>,
}

/// Which white space ends a name besides line feed and carriage return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// None.
    Line,
    /// A tab.
    Tab,
}

/// Undoes the quoting of `quote_c_style` on a text that starts with a double quote. Gives the name and what
/// stands behind the closing quote.
pub(super) fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = after(text, b"\"")?;
    let mut name = Vec::new();
    loop {
        let (first, tail) = rest.split_first()?;
        rest = tail;
        match first {
            b'"' => return Some((name, rest)),
            b'\\' => {
                let (escape, tail) = rest.split_first()?;
                rest = tail;
                name.push(match escape {
                    b'a' => 7,
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 11,
                    b'\\' => b'\\',
                    b'"' => b'"',
                    b'0'..=b'3' => {
                        let [second @ b'0'..=b'7', third @ b'0'..=b'7', tail @ ..] = rest else {
                            return None;
                        };
                        rest = tail;
                        (escape - b'0') << 6 | (second - b'0') << 3 | (third - b'0')
                    }
                    _ => return None,
                });
            }
            other => name.push(*other),
        }
    }
}

/// Removes leading components; nothing where there are too few, or the name starts with `/`.
fn skip_tree_prefix(strip: usize, text: &[u8]) -> Option<&[u8]> {
    if strip == 0 {
        return (at(text, 0) != b'/').then_some(text);
    }
    let (place, _) = text
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'/')
        .nth(strip - 1)?;
    // Git looks at the first slash that uses up the count, also where it stands at the start.
    (place != 0).then(|| from(text, place + 1))
}

/// The name in a line `diff --git a/NAME b/NAME`, where both sides agree. `line` ends with its line feed.
pub(super) fn of_git_header(rules: &NameRules, line: &[u8], rest: &[u8]) -> Option<Vec<u8>> {
    let length = line.len().checked_sub(11)?;
    let text = from(rest, 11);
    let line = to(text, length);
    let strip = rules.strip;
    if at(line, 0) == b'"' {
        let (first, behind) = unquote(text)?;
        let first = skip_tree_prefix(strip, &first)?.to_vec();
        let behind = to(behind, length.checked_sub(text.len() - behind.len())?);
        let start = behind.iter().position(|b| !is_space(*b))?;
        let second = from(behind, start);
        if at(second, 0) == b'"' {
            let (second, _) = unquote(second)?;
            return (skip_tree_prefix(strip, &second)? == first.as_slice()).then_some(first);
        }
        return (skip_tree_prefix(strip, second)? == first.as_slice()).then_some(first);
    }
    let name = skip_tree_prefix(strip, line)?;
    if let Some(quote) = name.iter().position(|b| *b == b'"') {
        let (second, _) = unquote(from(name, quote))?;
        let second = skip_tree_prefix(strip, &second)?;
        let agrees = second.len() < quote && name.starts_with(second) && is_space(at(name, second.len()));
        return agrees.then(|| second.to_vec());
    }
    let line_length = name.iter().position(|b| *b == b'\n')?;
    for (length, byte) in name.iter().enumerate() {
        match byte {
            b'\n' => return None,
            b'\t' | b' ' => {
                let second = skip_tree_prefix(strip, to(from(name, length + 1), line_length - (length + 1)))?;
                if second.len() == length && second == to(name, length) {
                    return Some(to(name, length).to_vec());
                }
            }
            _ => {}
        }
    }
    None
}

/// The name at the start of a text.
pub(super) fn find(
    rules: &NameRules,
    text: &[u8],
    default: Option<&[u8]>,
    strip: usize,
    ends: Ends,
) -> Option<Vec<u8>> {
    if at(text, 0) == b'"'
        && let Some(name) = find_quoted(rules, text, strip)
    {
        return Some(name);
    }
    let end = text
        .iter()
        .position(|b| match b {
            b'\n' | b'\r' => true,
            b'\t' => ends == Ends::Tab,
            _ => false,
        })
        .unwrap_or(text.len());
    find_within(rules, to(text, end), default, strip)
}

fn find_quoted(rules: &NameRules, text: &[u8], strip: usize) -> Option<Vec<u8>> {
    let (name, _) = unquote(text)?;
    let mut rest = name.as_slice();
    for _ in 0..strip {
        let slash = rest.iter().position(|b| *b == b'/')?;
        rest = from(rest, slash + 1);
    }
    Some(squash_slashes([rules.root.as_slice(), rest].concat()))
}

fn find_within(rules: &NameRules, text: &[u8], default: Option<&[u8]>, strip: usize) -> Option<Vec<u8>> {
    let start = match strip {
        0 => Some(0),
        n => text
            .iter()
            .enumerate()
            .filter(|(_, b)| **b == b'/')
            .nth(n - 1)
            .map(|(place, _)| place + 1),
    };
    let default = || default.map(|name| squash_slashes(name.to_vec()));
    let Some(name) = start
        .map(|start| from(text, start))
        .filter(|name| !name.is_empty())
    else {
        return default();
    };
    if let Some(shorter) = default()
        && shorter.len() < name.len()
        && name.starts_with(&shorter)
    {
        return Some(shorter);
    }
    Some(squash_slashes([rules.root.as_slice(), name].concat()))
}

fn squash_slashes(mut name: Vec<u8>) -> Vec<u8> {
    let mut before = 0;
    name.retain(|byte| {
        let keep = *byte != b'/' || before != b'/';
        before = *byte;
        keep
    });
    name
}

/// Whether a text is `/dev/null` and white space.
pub(super) fn is_dev_null(text: &[u8]) -> bool {
    after(text, b"/dev/null").is_some_and(|rest| is_space(at(rest, 0)))
}

/// The name in a `---` or `+++` line of a diff that Git did not write, without the time behind it.
pub(super) fn find_traditional(
    rules: &NameRules,
    text: &[u8],
    default: Option<&[u8]>,
    strip: usize,
) -> Option<Vec<u8>> {
    if at(text, 0) == b'"'
        && let Some(name) = find_quoted(rules, text, strip)
    {
        return Some(name);
    }
    let line = to(text, text.iter().position(|b| *b == b'\n').unwrap_or(text.len()));
    match super::timestamp::length_at_end(line) {
        0 => find(rules, text, default, strip, Ends::Tab),
        time => find_within(rules, to(line, line.len() - time), default, strip),
    }
}

/// How many components to strip, where a traditional diff's name tells: 0 for one without folders.
pub(super) fn guess_strip(rules: &NameRules, text: &[u8]) -> Option<usize> {
    if is_dev_null(text) {
        return None;
    }
    let name = find_traditional(rules, text, None, 0)?;
    (!name.contains(&b'/')).then_some(0)
}

/// The first line of a text.
pub(super) fn first_line(text: &[u8]) -> &[u8] {
    to(text, line_length(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> NameRules {
        NameRules {
            strip: 1,
            root: Vec::new(),
        }
    }

    fn header(line: &str) -> Option<String> {
        of_git_header(&rules(), line.as_bytes(), line.as_bytes()).map(|n| String::from_utf8(n).unwrap())
    }

    #[test]
    fn names_of_git_headers() {
        assert_eq!(header("diff --git a/x b/x\n").as_deref(), Some("x"));
        assert_eq!(header("diff --git a/x y b/x y\n").as_deref(), Some("x y"));
        assert_eq!(
            header("diff --git \"a/t\\tb\" \"b/t\\tb\"\n").as_deref(),
            Some("t\tb")
        );
        assert_eq!(header("diff --git a/q\" b/q\"\n"), None);
        assert_eq!(header("diff --git a/x b/y\n"), None);
        assert_eq!(header("diff --git x x\n"), None);
    }

    #[test]
    fn quoting() {
        assert_eq!(
            unquote(b"\"a\\303\\244\" rest").unwrap(),
            ("a\u{e4}".as_bytes().to_vec(), &b" rest"[..])
        );
        assert_eq!(unquote(b"\"a\\q\""), None);
        assert_eq!(unquote(b"\"open"), None);
    }

    #[test]
    fn traditional_names() {
        let name = |text: &str, strip| find_traditional(&rules(), text.as_bytes(), None, strip);
        assert_eq!(
            name("a/b c\t2010-07-05 19:41:17.620000023 -0500\n", 1).unwrap(),
            b"b c"
        );
        assert_eq!(name("a/b 2010-07-05 19:41:17\n", 1).unwrap(), b"b");
        assert_eq!(name("a//b\n", 1).unwrap(), b"/b");
        assert_eq!(guess_strip(&rules(), b"file.c\t2010\n"), Some(0));
        assert_eq!(guess_strip(&rules(), b"a/file.c\n"), None);
    }
}
