//! The diff of one file, with its header (`builtin_diff` in Git's diff.c).

use git_apply_engine::{Oid, quoted_name, quoted_with_prefix};
use patch_refresh::unified_hunks;

use super::binary::binary_patch;
use super::changes::{Change, MAX_SCORE, Side};
use super::contents::{Contents, is_binary};
use super::error::FormatError;

/// What a diff does to the lines of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counts {
    /// Lines that it adds and removes.
    Lines(usize, usize),
    /// Bytes before and after, of contents that are binary and differ.
    Bytes(usize, usize),
    /// The contents are binary and the same.
    SameBytes,
}

/// The diff of a file.
pub(crate) struct FileText {
    pub(crate) counts: Counts,
    pub(crate) text: Vec<u8>,
}

/// Writes the diff of a file.
pub(crate) fn write(change: &Change, contents: &Contents<'_>) -> Result<FileText, FormatError> {
    if let Change::Modified { old, new } = change
        && kind(old) != kind(new)
    {
        return replaced(old, new, contents);
    }
    let mut text = header(change);
    let body = body(change.before(), change.after(), contents)?;
    if !body.lines.is_empty() && !body.is_binary {
        text.extend(names(change.before(), change.after()));
    }
    text.extend(body.lines);
    Ok(FileText {
        counts: body.counts,
        text,
    })
}

/// A file that takes the place of a link or submodule, or the reverse: one is deleted, the other
/// created.
fn replaced(old: &Side, new: &Side, contents: &Contents<'_>) -> Result<FileText, FormatError> {
    let deleted = write(&Change::Deleted(old.clone()), contents)?;
    let added = write(&Change::Added(new.clone()), contents)?;
    Ok(FileText {
        counts: body(Some(old), Some(new), contents)?.counts,
        text: [deleted.text, added.text].concat(),
    })
}

fn kind(side: &Side) -> u32 {
    side.mode.bits() & 0o170_000
}

fn header(change: &Change) -> Vec<u8> {
    let (old, new) = (change.before(), change.after());
    let path = |side: Option<&Side>, other: Option<&Side>| {
        side.or(other).map(|side| side.path.clone()).unwrap_or_default()
    };
    let names = [
        quoted_with_prefix(b"a/", &path(old, new)),
        quoted_with_prefix(b"b/", &path(new, old)),
    ];
    let mut text = [b"diff --git ", names.join(&b' ').as_slice(), b"\n"].concat();
    let mut line = |line: String| text.extend_from_slice(line.as_bytes());
    match change {
        Change::Added(new) => line(format!("new file mode {:06o}\n", new.mode.bits())),
        Change::Deleted(old) => line(format!("deleted file mode {:06o}\n", old.mode.bits())),
        Change::Modified { old, new } | Change::Renamed { old, new, .. } if old.mode != new.mode => {
            line(format!("old mode {:06o}\n", old.mode.bits()));
            line(format!("new mode {:06o}\n", new.mode.bits()));
        }
        Change::Modified { .. } | Change::Renamed { .. } => {}
    }
    if let Change::Renamed { old, new, score } = change {
        line(format!("similarity index {}%\n", score * 100 / MAX_SCORE));
        for (word, side) in [("from", old), ("to", new)] {
            text.extend(
                [
                    format!("rename {word} ").as_bytes(),
                    &quoted_name(&side.path),
                    b"\n",
                ]
                .concat(),
            );
        }
    }
    let null = Oid::from_bytes([0; 20]);
    let [before, after] = [old, new].map(|side| side.map_or(null, |side| side.id));
    if before != after {
        text.extend_from_slice(format!("index {before}..{after}").as_bytes());
        if let (Some(old), Some(new)) = (old, new)
            && old.mode == new.mode
        {
            text.extend_from_slice(format!(" {:06o}", new.mode.bits()).as_bytes());
        }
        text.push(b'\n');
    }
    text
}

/// The lines `---` and `+++`. A tab ends a name with a space, for GNU patch.
fn names(old: Option<&Side>, new: Option<&Side>) -> Vec<u8> {
    let name = |mark: &[u8], prefix: &[u8], side: Option<&Side>| {
        let shown = side.map_or_else(
            || b"/dev/null".to_vec(),
            |side| quoted_with_prefix(prefix, &side.path),
        );
        let tab: &[u8] = if shown.contains(&b' ') { b"\t" } else { b"" };
        [mark, &shown, tab, b"\n"].concat()
    };
    [name(b"--- ", b"a/", old), name(b"+++ ", b"b/", new)].concat()
}

struct Body {
    counts: Counts,
    is_binary: bool,
    lines: Vec<u8>,
}

fn body(old: Option<&Side>, new: Option<&Side>, contents: &Contents<'_>) -> Result<Body, FormatError> {
    let read = |side: Option<&Side>| side.map_or(Ok(&b""[..]), |side| contents.read(side));
    let (before, after) = (read(old)?, read(new)?);
    let is_binary = is_binary(before) || is_binary(after);
    if is_binary {
        let is_same = before == after;
        return Ok(Body {
            counts: if is_same {
                Counts::SameBytes
            } else {
                Counts::Bytes(before.len(), after.len())
            },
            is_binary,
            lines: if is_same {
                Vec::new()
            } else {
                binary_patch(before, after)
            },
        });
    }
    let hunks = unified_hunks(before, after).ok_or_else(|| FormatError::TooLarge {
        commit: contents.commit,
        what: format!(
            "{} is too large for its lines to be compared",
            String::from_utf8_lossy(&new.or(old).map(|side| side.path.clone()).unwrap_or_default())
        ),
    })?;
    Ok(Body {
        counts: counted(&hunks),
        is_binary,
        lines: hunks,
    })
}

fn counted(hunks: &[u8]) -> Counts {
    let lines = || hunks.split(|byte| *byte == b'\n');
    let count = |mark: u8| lines().filter(|line| line.first() == Some(&mark)).count();
    Counts::Lines(count(b'+'), count(b'-'))
}
