//! Physical and logical lines, as pip's `req_file.py` and uv's `requirements-txt` split them.

use std::ops::Range;

/// A physical line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: usize,
    /// Without its ending.
    pub(super) content: Range<usize>,
    /// With its ending.
    pub(super) whole: Range<usize>,
}

/// One or several physical lines that are joined by backslashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Logical {
    /// The number of its first line.
    pub(super) number: usize,
    /// All its bytes with the last ending.
    pub(super) whole: Range<usize>,
    /// From the first to the last character that is neither blank nor comment; empty where there is
    /// none.
    pub(super) body: Range<usize>,
    /// The body without joining backslashes and line endings.
    pub(super) text: String,
    /// A comment behind an entry ends in a backslash: pip takes the next line into it.
    pub(super) swallows: bool,
    /// The first backslash that joins what follows it to the text.
    pub(super) joint: Option<Joint>,
}

/// Where a line continues on the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Joint {
    /// The bytes of the text before it, with the blanks there.
    pub(super) at: usize,
    /// The next line is a comment.
    pub(super) is_before_comment: bool,
}

/// A byte order mark at the start of a text, which both tools skip.
pub(super) const MARK: char = '\u{feff}';

/// Splits what follows a byte order mark at `\n`, `\r\n` and `\r`.
pub(super) fn physical(text: &str) -> Vec<Line> {
    let bytes = text.as_bytes();
    let mut lines = Vec::new();
    let mut start = text.len() - text.strip_prefix(MARK).unwrap_or(text).len();
    while start < bytes.len() {
        let rest = bytes.get(start..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|b| matches!(b, b'\n' | b'\r'))
            .unwrap_or(rest.len());
        let ending = match rest.get(length..) {
            Some([b'\r', b'\n', ..]) => 2,
            Some([_, ..]) => 1,
            _ => 0,
        };
        let end = start + length;
        lines.push(Line {
            number: lines.len() + 1,
            content: start..end,
            whole: start..end + ending,
        });
        start = end + ending;
    }
    lines
}

/// Whether a text's last line has no ending. The empty text has no lines.
pub(super) fn is_open(text: &str) -> bool {
    !text.ends_with(['\n', '\r']) && !text.strip_prefix(MARK).unwrap_or(text).is_empty()
}

/// Where a comment starts: at a `#` that begins the line or follows white space; with the white
/// space before it.
pub(super) fn comment_start(line: &str) -> Option<usize> {
    let (at, _) = line.char_indices().find(|(at, c)| {
        *c == '#'
            && line
                .get(..*at)
                .is_some_and(|before| before.is_empty() || before.ends_with(char::is_whitespace))
    })?;
    Some(line.get(..at).map_or(at, |before| before.trim_end().len()))
}

/// Joins physical lines as pip does: a line that ends in a backslash continues on the next one, a
/// comment line does not.
pub(super) fn logical(text: &str) -> Vec<Logical> {
    let mut all = Vec::new();
    let mut open: Vec<Line> = Vec::new();
    for line in physical(text) {
        let content = text.get(line.content.clone()).unwrap_or_default();
        let is_comment = comment_start(content) == Some(0);
        let goes_on = content.ends_with('\\') && !is_comment;
        open.push(line);
        if !goes_on {
            all.extend(join(text, &open));
            open.clear();
        }
    }
    all.extend(join(text, &open));
    all
}

fn join(text: &str, lines: &[Line]) -> Option<Logical> {
    let (first, last) = (lines.first()?, lines.last()?);
    let mut joined = String::new();
    let mut body: Option<Range<usize>> = None;
    let mut swallows = false;
    let mut joint = None;
    let mut is_blank = true;
    for (number, line) in lines.iter().enumerate() {
        let content = text.get(line.content.clone()).unwrap_or_default();
        let comment = comment_start(content);
        swallows |= comment.is_some_and(|start| start > 0) && content.ends_with('\\');
        let used = match comment {
            Some(start) => content.get(..start).unwrap_or_default(),
            None => content.strip_suffix('\\').unwrap_or(content),
        };
        joined.push_str(used);
        let (lead, trimmed) = (used.len() - used.trim_start().len(), used.trim());
        is_blank &= trimmed.is_empty();
        if joint.is_none() && comment.is_none() && content.ends_with('\\') && !is_blank {
            let next = lines
                .get(number + 1)
                .and_then(|next| text.get(next.content.clone()));
            joint = Some(Joint {
                at: joined.trim_start().len(),
                is_before_comment: next.is_some_and(|next| comment_start(next) == Some(0)),
            });
        }
        if !trimmed.is_empty() {
            let start = line.content.start + lead;
            let end = start + trimmed.len();
            body = Some(body.map_or(start..end, |body| body.start..end));
        }
    }
    Some(Logical {
        number: first.number,
        whole: first.whole.start..last.whole.end,
        body: body.unwrap_or(first.content.start..first.content.start),
        text: joined.trim().to_owned(),
        swallows,
        joint,
    })
}

/// Returns a character that ends a line for pip and not for uv (Python's `str.splitlines`), or that
/// has no place in a text file.
pub(super) fn unexpected(line: &str) -> Option<char> {
    line.chars()
        .find(|c| (c.is_control() && *c != '\t') || matches!(c, '\u{2028}' | '\u{2029}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(usize, String)> {
        logical(text).into_iter().map(|l| (l.number, l.text)).collect()
    }

    #[test]
    fn every_byte_is_in_one_line() {
        for text in ["", "a", "a\n", "a\r\nb\rc\n\n", "a \\\nb\n# c\\\nd", "\\\n\\"] {
            let whole: Vec<_> = logical(text).into_iter().map(|l| l.whole).collect();
            let mut at = 0;
            for range in whole {
                assert_eq!(range.start, at, "{text:?}");
                at = range.end;
            }
            assert_eq!(at, text.len(), "{text:?}");
        }
    }

    #[test]
    fn joins_as_pip_does() {
        let text = "a===1 \\\n  --hash=x # why\n# alone \\\nb===2\nc \\\n# ends it\nd";
        let expected = [(1, "a===1   --hash=x"), (3, ""), (4, "b===2"), (5, "c"), (7, "d")];
        assert_eq!(texts(text), expected.map(|(n, t)| (n, t.to_owned())));
    }

    #[test]
    fn a_joint_is_the_first_backslash_behind_text() {
        let joint = |text: &str| {
            logical(text)[0]
                .joint
                .map(|joint| (joint.at, joint.is_before_comment))
        };
        assert_eq!(joint("  \\\n\t\\\n  a \\\n b \\\n# c"), Some((2, false)));
        assert_eq!(joint("  \\\n  \\\n a  \\\n# c"), Some((3, true)));
        assert_eq!(joint("  \\\n  \\\n"), None);
        assert_eq!(joint("  \\\n  a\n"), None);
    }

    #[test]
    fn a_comment_needs_space_before_it() {
        assert_eq!(comment_start("a===1 # b"), Some(5));
        assert_eq!(comment_start("a @ https://x/y#egg=a"), None);
        assert_eq!(comment_start("# a"), Some(0));
        assert_eq!(comment_start("  # a"), Some(0));
    }

    #[test]
    fn the_body_leaves_blanks_and_comments_out() {
        let text = "  a===1\t# b\r\n";
        let line = &logical(text)[0];
        assert_eq!(&text[line.body.clone()], "a===1");
        assert_eq!(line.whole, 0..text.len());
    }
}
