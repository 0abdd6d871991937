//! File names in the headers of diffs, by the rules of Git's apply.c and quote.c.

use super::scan::{after, at, from, is_space, line_length, to};

/// How names are read: how many leading components are dropped, and which folder is put in front.
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

/// A quoted name that does not end within [`MOST_QUOTED`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuoteTooLong;

impl std::fmt::Display for QuoteTooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the quoted file name does not end within {MOST_QUOTED} bytes; is its closing quote missing?"
        )
    }
}

/// The most bytes in which a quoted name has to end. A path of 4096 bytes takes four times as many
/// where each of its bytes is escaped. Git looks for the quote to the end of the patch.
pub(super) const MOST_QUOTED: usize = 32 << 10;

/// A name, and what follows it.
type NameAndRest<'a> = (Vec<u8>, &'a [u8]);

/// Undoes the quoting of `quote_c_style` on a text that starts with a double quote. Returns the
/// name and what follows the closing quote.
pub(super) fn unquote(text: &[u8]) -> Result<Option<NameAndRest<'_>>, QuoteTooLong> {
    match unquote_within(to(text, MOST_QUOTED)) {
        Unquoted::Name(name, length) => Ok(Some((name, from(text, length)))),
        Unquoted::Open if text.len() > MOST_QUOTED => Err(QuoteTooLong),
        Unquoted::Open | Unquoted::Wrong => Ok(None),
    }
}

enum Unquoted {
    /// The name, and how many bytes it takes with its quotes.
    Name(Vec<u8>, usize),
    /// The text ends before the closing quote.
    Open,
    /// There is no quoted name.
    Wrong,
}

fn unquote_within(text: &[u8]) -> Unquoted {
    let Some(mut rest) = after(text, b"\"") else {
        return Unquoted::Wrong;
    };
    let mut name = Vec::new();
    loop {
        let Some((first, tail)) = rest.split_first() else {
            return Unquoted::Open;
        };
        rest = tail;
        match first {
            b'"' => return Unquoted::Name(name, text.len() - rest.len()),
            b'\\' => {
                let Some((escape, tail)) = rest.split_first() else {
                    return Unquoted::Open;
                };
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
                    b'0'..=b'3' => match rest {
                        [second @ b'0'..=b'7', third @ b'0'..=b'7', tail @ ..] => {
                            rest = tail;
                            (escape - b'0') << 6 | (second - b'0') << 3 | (third - b'0')
                        }
                        [] | [b'0'..=b'7'] => return Unquoted::Open,
                        _ => return Unquoted::Wrong,
                    },
                    _ => return Unquoted::Wrong,
                });
            }
            other => name.push(*other),
        }
    }
}

/// Removes leading components; `None` if there are too few, or the name starts with `/`.
fn skip_tree_prefix(strip: usize, text: &[u8]) -> Option<&[u8]> {
    if strip == 0 {
        return (at(text, 0) != b'/').then_some(text);
    }
    let (place, _) = text
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'/')
        .nth(strip - 1)?;
    // Git looks at the first slash that uses up the count, even at the start.
    (place != 0).then(|| from(text, place + 1))
}

/// The name in a line `diff --git a/NAME b/NAME`, where both sides agree. `line` ends with its line
/// feed.
pub(super) fn in_git_header(
    rules: &NameRules,
    line: &[u8],
    rest: &[u8],
) -> Result<Option<Vec<u8>>, QuoteTooLong> {
    let Some(length) = line.len().checked_sub(11) else {
        return Ok(None);
    };
    let text = from(rest, 11);
    let line = to(text, length);
    if at(line, 0) == b'"' {
        let Some((first, behind)) = unquote(text)? else {
            return Ok(None);
        };
        return quoted_then(rules.strip, &first, to(text, length), text.len() - behind.len());
    }
    let Some(name) = skip_tree_prefix(rules.strip, line) else {
        return Ok(None);
    };
    if let Some(quote) = name.iter().position(|b| *b == b'"') {
        let Some((second, _)) = unquote(from(name, quote))? else {
            return Ok(None);
        };
        let agrees = skip_tree_prefix(rules.strip, &second).filter(|second| {
            second.len() < quote && name.starts_with(second) && is_space(at(name, second.len()))
        });
        return Ok(agrees.map(<[u8]>::to_vec));
    }
    Ok(told_twice(rules.strip, name).map(<[u8]>::to_vec))
}

/// The first, quoted name of a `diff --git` line, if what follows it in the line is the same name.
fn quoted_then(
    strip: usize,
    first: &[u8],
    line: &[u8],
    used: usize,
) -> Result<Option<Vec<u8>>, QuoteTooLong> {
    let Some(first) = skip_tree_prefix(strip, first) else {
        return Ok(None);
    };
    let Some(behind) = line.get(used..) else {
        return Ok(None);
    };
    let Some(start) = behind.iter().position(|b| !is_space(*b)) else {
        return Ok(None);
    };
    let second = from(behind, start);
    let agrees = if at(second, 0) == b'"' {
        unquote(second)?.is_some_and(|(second, _)| skip_tree_prefix(strip, &second) == Some(first))
    } else {
        skip_tree_prefix(strip, second) == Some(first)
    };
    Ok(agrees.then(|| first.to_vec()))
}

/// The name in `NAME b/NAME` and a line feed, where both sides agree.
///
/// Git tries each white space as the separator, and looks for the folders to skip after it. The
/// further right it is, the longer the first name and the shorter the second, so they are equally
/// long for at most one separator, and are compared only there.
fn told_twice(strip: usize, name: &[u8]) -> Option<&[u8]> {
    let line_length = name.iter().position(|b| *b == b'\n')?;
    let line = to(name, line_length);
    let slashes: Vec<usize> = line
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'/')
        .map(|(place, _)| place)
        .collect();
    let mut passed = 0;
    let blanks = line.iter().enumerate().filter(|(_, b)| matches!(b, b'\t' | b' '));
    for (length, _) in blanks {
        let behind = length + 1;
        let start = if strip == 0 {
            (at(line, behind) != b'/').then_some(behind)?
        } else {
            while slashes.get(passed).is_some_and(|slash| *slash < behind) {
                passed += 1;
            }
            let slash = *slashes.get(passed.checked_add(strip - 1)?)?;
            (slash != behind).then_some(slash + 1)?
        };
        if line_length - start == length && from(line, start) == to(line, length) {
            return Some(to(line, length));
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
) -> Result<Option<Vec<u8>>, QuoteTooLong> {
    if at(text, 0) == b'"'
        && let Some(name) = find_quoted(rules, text, strip)?
    {
        return Ok(Some(name));
    }
    let end = text
        .iter()
        .position(|b| match b {
            b'\n' | b'\r' => true,
            b'\t' => ends == Ends::Tab,
            _ => false,
        })
        .unwrap_or(text.len());
    Ok(find_within(rules, to(text, end), default, strip))
}

fn find_quoted(rules: &NameRules, text: &[u8], strip: usize) -> Result<Option<Vec<u8>>, QuoteTooLong> {
    let Some((name, _)) = unquote(text)? else {
        return Ok(None);
    };
    let mut rest = name.as_slice();
    for _ in 0..strip {
        let Some(slash) = rest.iter().position(|b| *b == b'/') else {
            return Ok(None);
        };
        rest = from(rest, slash + 1);
    }
    Ok(Some(squash_slashes([rules.root.as_slice(), rest].concat())))
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

/// The name in a `---` or `+++` line of a diff that Git did not write, without the time after it.
pub(super) fn find_traditional(
    rules: &NameRules,
    text: &[u8],
    default: Option<&[u8]>,
    strip: usize,
) -> Result<Option<Vec<u8>>, QuoteTooLong> {
    if at(text, 0) == b'"'
        && let Some(name) = find_quoted(rules, text, strip)?
    {
        return Ok(Some(name));
    }
    let line = to(text, text.iter().position(|b| *b == b'\n').unwrap_or(text.len()));
    match super::timestamp::length_at_end(line) {
        0 => find(rules, text, default, strip, Ends::Tab),
        time => Ok(find_within(rules, to(line, line.len() - time), default, strip)),
    }
}

/// How many components to strip, if the name in a traditional diff shows it: 0 for one without
/// folders.
pub(super) fn guess_strip(rules: &NameRules, text: &[u8]) -> Result<Option<usize>, QuoteTooLong> {
    if is_dev_null(text) {
        return Ok(None);
    }
    let name = find_traditional(rules, text, None, 0)?;
    Ok(name.filter(|name| !name.contains(&b'/')).map(|_| 0))
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
        let name = in_git_header(&rules(), line.as_bytes(), line.as_bytes()).unwrap();
        name.map(|name| String::from_utf8(name).unwrap())
    }

    #[test]
    fn names_in_git_headers() {
        assert_eq!(header("diff --git a/x b/x\n").as_deref(), Some("x"));
        assert_eq!(header("diff --git a/x y b/x y\n").as_deref(), Some("x y"));
        assert_eq!(
            header("diff --git \"a/t\\tb\" \"b/t\\tb\"\n").as_deref(),
            Some("t\tb")
        );
        assert_eq!(header("diff --git a/q\" b/q\"\n"), None);
        assert_eq!(header("diff --git a/x b/y\n"), None);
        assert_eq!(header("diff --git x x\n"), None);
        assert_eq!(
            header("diff --git a/x  b/x b/x  b/x\n").as_deref(),
            Some("x  b/x")
        );
        assert_eq!(header("diff --git a/x /x\n"), None);
    }

    /// Names of which one is quoted: they have to be equal after their first folder.
    #[test]
    fn names_in_git_headers_that_are_quoted() {
        for (line, expected) in [
            // Git compares an unquoted second name with its line feed: they never agree.
            ("diff --git \"a/x\" b/x\n", None),
            ("diff --git \"a/x\"   \"b/x\"\n", Some("x")),
            ("diff --git \"a/x\" \"b/x\"\n", Some("x")),
            ("diff --git \"a/x\" \"b/y\"\n", None),
            ("diff --git \"a/x\" b/y\n", None),
            ("diff --git \"a/x\"\n", None),
            ("diff --git \"a/x\" \n", None),
            ("diff --git \"x\" b/x\n", None),
            ("diff --git \"a/x b/x\n", None),
            ("diff --git a/x \"b/x\"\n", Some("x")),
            ("diff --git a/x\t\"b/x\"\n", Some("x")),
            ("diff --git a/xy \"b/x\"\n", None),
            ("diff --git a/y \"b/x\"\n", None),
            ("diff --git a/x \"b/xy\"\n", None),
            ("diff --git a/x\"b/x\"\n", None),
            ("diff --git a/x \"x\"\n", None),
            ("diff --git a/x \"b/x\n", None),
        ] {
            assert_eq!(header(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_line_of_blanks_is_read_once() {
        let blanks = " ".repeat(1_000_000);
        assert_eq!(
            header(&format!("diff --git a/x{blanks} b/x{blanks}\n")),
            Some(format!("x{blanks}"))
        );
        assert_eq!(header(&format!("diff --git a/x{blanks} b/y{blanks}\n")), None);
        assert_eq!(
            header(&format!("diff --git a/{0} b/{0}\n", "x y/".repeat(300_000))),
            Some("x y/".repeat(300_000))
        );
    }

    #[test]
    fn quoting() {
        assert_eq!(
            unquote(b"\"a\\303\\244\" rest").unwrap().unwrap(),
            ("a\u{e4}".as_bytes().to_vec(), &b" rest"[..])
        );
        assert_eq!(unquote(b"\"a\\q\""), Ok(None));
        assert_eq!(unquote(b"\"open"), Ok(None));
        let escapes = b"\"\\a\\b\\f\\n\\r\\t\\v\\\\\\\"\\000\\017\\170\\377\"";
        let (name, rest) = unquote(escapes).unwrap().unwrap();
        let expected = [
            7, 8, 12, b'\n', b'\r', b'\t', 11, b'\\', b'"', 0, 0o17, 0o170, 0o377,
        ];
        assert_eq!((name.as_slice(), rest), (&expected[..], &b""[..]));
        for wrong in [
            "\"\\4\"", "\"\\08\"", "\"\\0\"", "\"\\01\"", "\"\\01", "\"\\", "a\"", "",
        ] {
            assert_eq!(unquote(wrong.as_bytes()), Ok(None), "{wrong}");
        }
        // The closing quote may be the last byte allowed for a name.
        let longest = [&b"\""[..], &vec![b'x'; MOST_QUOTED - 2], b"\""].concat();
        assert!(unquote(&longest).unwrap().is_some());
        let longer = [&b"\""[..], &vec![b'x'; MOST_QUOTED - 1], b"\""].concat();
        assert_eq!(unquote(&longer), Err(QuoteTooLong));
        assert_eq!(unquote(&longer[..MOST_QUOTED]), Ok(None));
        let open = [&b"\""[..], &vec![b'x'; MOST_QUOTED]].concat();
        assert_eq!(unquote(&open), Err(QuoteTooLong));
    }

    #[test]
    fn traditional_names() {
        let name = |text: &str, strip| find_traditional(&rules(), text.as_bytes(), None, strip).unwrap();
        assert_eq!(
            name("a/b c\t2010-07-05 19:41:17.620000023 -0500\n", 1).unwrap(),
            b"b c"
        );
        assert_eq!(name("a/b 2010-07-05 19:41:17\n", 1).unwrap(), b"b");
        assert_eq!(name("a//b\n", 1).unwrap(), b"/b");
        assert_eq!(name("a/b//c///d\n", 0).unwrap(), b"a/b/c/d");
        assert_eq!(name("a/b//c\n", 2).unwrap(), b"/c");
        assert_eq!(name("a/b\n", 2), None);
        assert_eq!(name("a/\n", 1), None);
        assert_eq!(name("a/b\r\n", 1).unwrap(), b"b");
        // The default is used if the name only continues after it, as in `file.orig`.
        let known = |text: &str, default: &str| {
            let found = find_traditional(&rules(), text.as_bytes(), Some(default.as_bytes()), 1);
            String::from_utf8(found.unwrap().unwrap()).unwrap()
        };
        assert_eq!(known("b/file.orig\n", "file"), "file");
        assert_eq!(known("b/file\n", "file"), "file");
        assert_eq!(known("b/file\n", "file.orig"), "file");
        assert_eq!(known("b/other\n", "file"), "other");
        assert_eq!(known("b\n", "file"), "file");
        assert_eq!(guess_strip(&rules(), b"file.c\t2010\n"), Ok(Some(0)));
        assert_eq!(guess_strip(&rules(), b"a/file.c\n"), Ok(None));
    }
}
