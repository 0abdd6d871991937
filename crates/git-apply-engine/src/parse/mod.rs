//! Reads patches as `git apply` does: the diffs of all files in a text, skipping anything around
//! them.

mod binary;
mod file_patch;
mod header;
mod hunk;
mod name;
mod not_a_diff;
mod scan;
mod timestamp;

use std::rc::Rc;

pub(crate) use binary::{BinaryHunk, apply_delta, result_size};
pub(crate) use file_patch::{Content, FilePatch, Tri, reversed};
pub(crate) use hunk::{Direction, Hunk, Side};
pub(crate) use not_a_diff::encoded_mail;

use super::budget::{Budget, Exceeded, bytes};
use super::lines::count;
use super::options::{Limits, Options};
use super::path;
use super::report::{Malformed, readable};
use header::Strip;
use name::NameRules;
use scan::{from, line_length, to};

impl From<Exceeded> for Malformed {
    fn from(exceeded: Exceeded) -> Self {
        Self::whole(exceeded.to_string())
    }
}

/// Reads all diffs of a patch, as they are applied forward.
pub(crate) fn parse<'a>(
    text: &'a [u8],
    options: &Options,
    budget: &Budget,
) -> Result<Vec<FilePatch<'a>>, Malformed> {
    let limits = budget.limits();
    if bytes(text.len()) > limits.patch_bytes {
        return Err(Malformed::whole(format!(
            "the patch has {} bytes, more than the {} that are allowed",
            text.len(),
            limits.patch_bytes
        )));
    }
    // Each byte is looked at for the header, the hunk, the end of its line and the number of lines.
    budget.spend(bytes(text.len()).saturating_mul(4))?;
    let mut root = options.directory.to_vec();
    if root.last().is_some_and(|last| *last != b'/') {
        root.push(b'/');
    }
    let mut strip = Strip {
        rules: NameRules {
            strip: options.strip.unwrap_or(1),
            root,
        },
        known: options.strip.is_some(),
    };
    let mut patches = Vec::new();
    let (mut place, mut number) = (0, 1);
    while place < text.len() {
        let rest = from(text, place);
        let Some(found) = header::find(&mut strip, rest, number)? else {
            break;
        };
        let mut patch = found.patch;
        check_names(&patch, limits)?;
        let start = found.skipped + found.length;
        patch.header = to(from(rest, found.skipped), found.length);
        number += lines_in(to(rest, start));
        let Some(body) = parse_content(&mut patch, from(rest, start), number, budget)? else {
            break;
        };
        number += lines_in(to(from(rest, start), body));
        place += start + body;
        if patches.len() >= limits.files {
            return Err(Malformed::whole(format!(
                "the patch touches more than {} files",
                limits.files
            )));
        }
        budget.hold(bytes_of_diff(&patch))?;
        patches.push(patch);
    }
    if patches.is_empty() {
        let what = not_a_diff::explained(text);
        return Err(Malformed::whole(format!("there is no diff in it: {what}")));
    }
    Ok(patches)
}

/// Bytes that the diff of a file takes while its patch is applied: it and its reverse, with their
/// names in the diff, among those that the patch has seen, and in messages.
fn bytes_of_diff(patch: &FilePatch<'_>) -> u64 {
    const COPIES: usize = 4;
    let names = [&patch.old_name, &patch.new_name];
    let names: usize = names.iter().filter_map(|name| name.as_ref().map(Vec::len)).sum();
    bytes((size_of::<FilePatch<'_>>() + names).saturating_mul(COPIES))
}

/// Refuses paths that no system could hold, before anything walks along them.
fn check_names(patch: &FilePatch<'_>, limits: &Limits) -> Result<(), Malformed> {
    const SHOWN: usize = 60;
    for name in [&patch.old_name, &patch.new_name].into_iter().flatten() {
        let depth = path::depth(name);
        let told = if name.len() > limits.path_bytes {
            format!(
                "has {} bytes, more than the {} that",
                name.len(),
                limits.path_bytes
            )
        } else if depth > limits.path_depth {
            format!("has {depth} names, more than the {} that", limits.path_depth)
        } else {
            continue;
        };
        return Err(Malformed::at(
            patch.line,
            format!(
                "the path {:?}… {told} a path may have: shorten it, or check whether the patch is damaged",
                readable(to(name, SHOWN))
            ),
        ));
    }
    Ok(())
}

fn lines_in(text: &[u8]) -> usize {
    count(text, b'\n')
}

/// Reads what follows a header and returns its length; `None` where Git stops reading the whole
/// patch.
fn parse_content<'a>(
    patch: &mut FilePatch<'a>,
    text: &'a [u8],
    number: usize,
    budget: &Budget,
) -> Result<Option<usize>, Malformed> {
    let length = parse_hunks(patch, text, number, budget)?;
    if length > 0 {
        return Ok(Some(length));
    }
    let line = to(text, line_length(text));
    let mut used = 0;
    if line == b"GIT binary patch\n" {
        match parse_binary(from(text, line.len()), number + 1, budget)? {
            None => return Ok(None),
            Some((forward, reverse, bytes)) => {
                patch.content = Rc::new(Content::Binary(Some(forward), reverse));
                used = line.len() + bytes;
            }
        }
    } else if line.ends_with(b" differ\n")
        && ["Binary files ", "Files "]
            .iter()
            .any(|start| line.starts_with(start.as_bytes()))
    {
        patch.content = Rc::new(Content::Binary(None, None));
        used = line.len();
    }
    if matches!(*patch.content, Content::Text(_)) && !patch.changes_metadata() {
        return Err(Malformed::at(number, "this file header has no change after it"));
    }
    Ok(Some(used))
}

/// `parse_binary` of Git's apply.c. Where the first hunk cannot be read, Git ends the patch there
/// without an error if files before it were read.
fn parse_binary(
    text: &[u8],
    number: usize,
    budget: &Budget,
) -> Result<Option<(BinaryHunk, Option<BinaryHunk>, usize)>, Malformed> {
    let limit = budget.limits().file_bytes;
    let too_large = |size| {
        Malformed::at(
            number,
            format!("a binary hunk of {size} bytes is larger than the {limit} that are allowed"),
        )
    };
    let exceeded = |exceeded: Exceeded| Malformed::at(number, format!("a binary hunk: {exceeded}"));
    let (forward, used) = match binary::parse_hunk(text, budget) {
        binary::Parsed::Hunk(hunk, used) => (hunk, used),
        binary::Parsed::TooLarge(size) => return Err(too_large(size)),
        binary::Parsed::Exceeded(limit) => return Err(exceeded(limit)),
        binary::Parsed::None | binary::Parsed::Corrupt => return Ok(None),
    };
    match binary::parse_hunk(from(text, used), budget) {
        binary::Parsed::Hunk(hunk, more) => Ok(Some((forward, Some(hunk), used + more))),
        binary::Parsed::None => Ok(Some((forward, None, used))),
        binary::Parsed::TooLarge(size) => Err(too_large(size)),
        binary::Parsed::Exceeded(limit) => Err(exceeded(limit)),
        binary::Parsed::Corrupt => Ok(None),
    }
}

fn parse_hunks<'a>(
    patch: &mut FilePatch<'a>,
    text: &'a [u8],
    first: usize,
    budget: &Budget,
) -> Result<usize, Malformed> {
    let (mut used, mut number) = (0, first);
    let mut hunks = Vec::new();
    let (mut old, mut new) = (0_u64, 0_u64);
    while from(text, used).len() > 4 && from(text, used).starts_with(b"@@ -") {
        let hunk = hunk::parse(from(text, used), number).ok_or_else(|| {
            Malformed::at(
                number,
                "this hunk's lines are not what its header says, or it is cut off",
            )
        })?;
        if patch.is_new == Tri::Yes && hunk.old_lines > 0 {
            return Err(depends_on_old(patch, number));
        }
        if patch.is_delete == Tri::Yes && hunk.new_lines > 0 {
            return Err(still_has_contents(patch, number));
        }
        used += hunk.text.len();
        number += lines_in(hunk.text);
        old = old.saturating_add(hunk.old_lines);
        new = new.saturating_add(hunk.new_lines);
        budget.hold_all::<Hunk<'_>>(1)?;
        hunks.push(hunk);
    }
    let several = hunks.len() > 1;
    if patch.is_new == Tri::Unknown && (old > 0 || several) {
        patch.is_new = Tri::No;
    }
    if patch.is_delete == Tri::Unknown && (new > 0 || several) {
        patch.is_delete = Tri::No;
    }
    if patch.is_new == Tri::Yes && old > 0 {
        return Err(depends_on_old(patch, first));
    }
    if patch.is_delete == Tri::Yes && new > 0 {
        return Err(still_has_contents(patch, first));
    }
    patch.content = Rc::new(Content::Text(hunks));
    Ok(used)
}

fn depends_on_old(patch: &FilePatch<'_>, line: usize) -> Malformed {
    let name = String::from_utf8_lossy(patch.new_name.as_deref().unwrap_or_default()).into_owned();
    Malformed::at(
        line,
        format!(
            "{name} is said to be new, but the hunk has old lines{}",
            patch.epoch_note().unwrap_or_default()
        ),
    )
}

fn still_has_contents(patch: &FilePatch<'_>, line: usize) -> Malformed {
    let name = String::from_utf8_lossy(patch.old_name.as_deref().unwrap_or_default()).into_owned();
    Malformed::at(
        line,
        format!("{name} is said to be deleted, but the hunk has new lines"),
    )
}
