//! What a commit changed: paths by their trees, and the diff as `git diff-tree -p` writes it.

use std::collections::BTreeMap;
use std::io::Write;

use bstr::BString;
use bytes::Bytes;
use git_apply_engine::{EntryMode, ObjectError, Objects, Oid, TreeEntry, quoted_with_prefix};
use gix_imara_diff::{Algorithm, Diff, InternedInput};

use super::finding::HistoryError;

/// The most paths of a change that are listed.
pub(super) const MOST_PATHS: usize = 4096;

/// The most bytes of a change's diff.
pub(super) const MOST_DIFF_BYTES: usize = 8 << 20;

/// The most folders above a file.
const DEEPEST: usize = 256;

/// Lines around a change.
const CONTEXT: u32 = 3;

/// How much of a file is searched for binary contents, as in Git's `buffer_is_binary`.
const BINARY_LOOK: usize = 8000;

/// A file on one side of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) mode: EntryMode,
    pub(super) id: Oid,
}

/// How a path changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathChange {
    pub(super) path: BString,
    pub(super) old: Option<Side>,
    pub(super) new: Option<Side>,
}

/// The paths that differ between two trees, in the order of their bytes; `None` if there are too
/// many.
pub(super) fn changed_paths(
    objects: &dyn Objects,
    old: Option<Oid>,
    new: Option<Oid>,
) -> Result<Option<Vec<PathChange>>, HistoryError> {
    let mut changes = Vec::new();
    let mut folders = vec![(Vec::new(), old, new, 0)];
    while let Some((prefix, old, new, depth)) = folders.pop() {
        if old == new {
            continue;
        }
        let mut names: BTreeMap<BString, [Option<Side>; 2]> = BTreeMap::new();
        for (number, tree) in [old, new].into_iter().enumerate() {
            for TreeEntry { mode, name, id } in entries(objects, tree)? {
                if let Some(side) = names.entry(name).or_default().get_mut(number) {
                    *side = Some(Side { mode, id });
                }
            }
        }
        for (name, [old, new]) in names {
            if old == new {
                continue;
            }
            let path = [prefix.as_slice(), name.as_slice()].concat();
            let folder = |side: Option<Side>| side.filter(|side| side.mode == EntryMode::Tree);
            let file = |side: Option<Side>| side.filter(|side| side.mode != EntryMode::Tree);
            if (folder(old).is_some() || folder(new).is_some()) && depth < DEEPEST {
                let below = [path.as_slice(), b"/"].concat();
                let id = |side: Option<Side>| side.map(|side| side.id);
                folders.push((below, id(folder(old)), id(folder(new)), depth + 1));
            }
            if file(old) != file(new) {
                changes.push(PathChange {
                    path: path.into(),
                    old: file(old),
                    new: file(new),
                });
            }
            if changes.len() > MOST_PATHS || folders.len() > MOST_PATHS {
                return Ok(None);
            }
        }
    }
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(Some(changes))
}

fn entries(objects: &dyn Objects, tree: Option<Oid>) -> Result<Vec<TreeEntry>, ObjectError> {
    match tree {
        // Git knows the empty tree everywhere.
        Some(tree) if tree != Oid::of_tree(b"") => objects.tree(tree),
        _ => Ok(Vec::new()),
    }
}

/// The diff of paths, with ids in full; `None` if it is too long.
pub(super) fn diff(
    objects: &dyn Objects,
    changes: &[PathChange],
    file_bytes: u64,
) -> Result<Option<Vec<u8>>, HistoryError> {
    let mut text = Vec::new();
    for change in changes {
        match (change.old, change.new) {
            // A file that changes its kind is deleted and created again.
            (Some(old), Some(new)) if is_of_other_kind(old.mode, new.mode) => {
                for (old, new) in [(Some(old), None), (None, Some(new))] {
                    let path = change.path.clone();
                    diff_file(objects, &PathChange { path, old, new }, file_bytes, &mut text)?;
                }
            }
            _ => diff_file(objects, change, file_bytes, &mut text)?,
        }
        if text.len() > MOST_DIFF_BYTES {
            return Ok(None);
        }
    }
    Ok(Some(text))
}

fn is_of_other_kind(one: EntryMode, other: EntryMode) -> bool {
    let is_file = |mode| matches!(mode, EntryMode::Regular | EntryMode::Executable);
    one != other && !(is_file(one) && is_file(other))
}

fn diff_file(
    objects: &dyn Objects,
    change: &PathChange,
    file_bytes: u64,
    out: &mut Vec<u8>,
) -> Result<(), HistoryError> {
    let contents = |side: Option<Side>| match side {
        Some(side) => contents(objects, side, file_bytes),
        None => Ok(Some(Bytes::new())),
    };
    let (before, after) = (contents(change.old)?, contents(change.new)?);
    let (old, new) = (
        quoted_with_prefix(b"a/", &change.path),
        quoted_with_prefix(b"b/", &change.path),
    );
    out.extend([b"diff --git ", &old[..], b" ", &new, b"\n"].concat());
    let id = |side: Option<Side>| side.map_or_else(|| "0".repeat(40), |side| side.id.to_string());
    let ids = format!("index {}..{}", id(change.old), id(change.new));
    let mode = |side: Side| format!("{:o}", side.mode.bits());
    let header = match (change.old, change.new) {
        (None, Some(new)) => format!("new file mode {}\n{ids}\n", mode(new)),
        (Some(old), None) => format!("deleted file mode {}\n{ids}\n", mode(old)),
        (Some(old), Some(new)) if old.mode != new.mode => {
            let ids = if old.id == new.id {
                String::new()
            } else {
                ids + "\n"
            };
            format!("old mode {}\nnew mode {}\n{ids}", mode(old), mode(new))
        }
        (Some(old), Some(_)) => format!("{ids} {}\n", mode(old)),
        (None, None) => String::new(),
    };
    out.extend(header.as_bytes());
    let is_text = |contents: &Option<Bytes>| {
        contents.as_ref().is_some_and(|contents| {
            let look = contents.get(..BINARY_LOOK).unwrap_or(contents);
            !look.contains(&0)
        })
    };
    let (Some(before), Some(after)) = (before.as_ref(), after.as_ref()) else {
        out.extend([b"Binary files ", &old[..], b" and ", &new, b" differ\n"].concat());
        return Ok(());
    };
    if before == after {
        return Ok(());
    }
    if !is_text(&Some(before.clone())) || !is_text(&Some(after.clone())) {
        out.extend([b"Binary files ", &old[..], b" and ", &new, b" differ\n"].concat());
        return Ok(());
    }
    let name = |side: Option<Side>, name: &[u8]| match side {
        Some(_) if change.path.contains(&b' ') => [name, b"\t"].concat(),
        Some(_) => name.to_vec(),
        None => b"/dev/null".to_vec(),
    };
    out.extend([b"--- ", &name(change.old, &old)[..], b"\n"].concat());
    out.extend([b"+++ ", &name(change.new, &new)[..], b"\n"].concat());
    write_hunks(before, after, out);
    Ok(())
}

/// The contents as a diff shows them; `None` if they are too large for one.
fn contents(objects: &dyn Objects, side: Side, file_bytes: u64) -> Result<Option<Bytes>, HistoryError> {
    if side.mode == EntryMode::Gitlink {
        return Ok(Some(format!("Subproject commit {}\n", side.id).into()));
    }
    if objects.blob_size(side.id)? > file_bytes {
        return Ok(None);
    }
    Ok(Some(objects.blob(side.id)?))
}

/// Writes the hunks that turn one text into another, with context lines, as `git diff` does by
/// default.
pub(super) fn write_hunks(before: &[u8], after: &[u8], out: &mut Vec<u8>) {
    let input = InternedInput::new(before, after);
    let mut diff = Diff::compute(Algorithm::Myers, &input);
    diff.postprocess_lines(&input);
    let total = u32::try_from(input.before.len()).unwrap_or(u32::MAX);
    let mut groups: Vec<Vec<gix_imara_diff::Hunk>> = Vec::new();
    for hunk in diff.hunks() {
        match groups.last_mut() {
            Some(group)
                if group
                    .last()
                    .is_some_and(|last| hunk.before.start <= last.before.end + 2 * CONTEXT) =>
            {
                group.push(hunk);
            }
            _ => groups.push(vec![hunk]),
        }
    }
    let line = |mark: u8, token: Option<&gix_imara_diff::Token>, out: &mut Vec<u8>| {
        if let Some(token) = token {
            let text: &[u8] = input.interner[*token];
            out.push(mark);
            out.extend(text);
            if !text.ends_with(b"\n") {
                out.extend(b"\n\\ No newline at end of file\n");
            }
        }
    };
    let index = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    for group in groups {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        let lead = first.before.start.min(CONTEXT);
        let end = last.before.end.saturating_add(CONTEXT).min(total);
        let (start, new_start) = (first.before.start - lead, first.after.start - lead);
        let removed = end - start;
        let added = last.after.end - new_start + (end - last.before.end);
        let shown = |start: u32, count: u32| match count {
            0 => format!("{start},0"),
            1 => format!("{}", start + 1),
            _ => format!("{},{count}", start + 1),
        };
        // Writing to a vector does not fail.
        let _ = writeln!(
            out,
            "@@ -{} +{} @@",
            shown(start, removed),
            shown(new_start, added)
        );
        let mut at = start;
        for hunk in &group {
            for same in at..hunk.before.start {
                line(b' ', input.before.get(index(same)), out);
            }
            for old in hunk.before.clone() {
                line(b'-', input.before.get(index(old)), out);
            }
            for new in hunk.after.clone() {
                line(b'+', input.after.get(index(new)), out);
            }
            at = hunk.before.end;
        }
        for same in at..end {
            line(b' ', input.before.get(index(same)), out);
        }
    }
}
