//! The diffstat and the summary after it (`show_stats`, `diff_summary` and `pprint_rename` in Git's
//! diff.c).

use git_apply_engine::{needs_quotes, quoted_name};
use patch_refresh::{StatChange, StatLine, diffstat};

use super::changes::{Change, MAX_SCORE};
use super::file_diff::Counts;

/// The diffstat of files, and the summary of those that are new, gone, renamed or have another
/// mode.
pub(crate) fn render(files: &[(Change, Counts)]) -> Vec<u8> {
    let lines: Vec<StatLine> = files
        .iter()
        .map(|(change, counts)| StatLine {
            name: String::from_utf8_lossy(&name(change)).into_owned(),
            change: match *counts {
                Counts::Lines(added, removed) => StatChange::Lines { added, removed },
                Counts::Bytes(before, after) => StatChange::Bytes { before, after },
                Counts::SameBytes => StatChange::SameBytes,
            },
        })
        .collect();
    let mut text = diffstat(&lines).into_bytes();
    for (change, _) in files {
        text.extend(summary(change));
    }
    text
}

fn name(change: &Change) -> Vec<u8> {
    match change {
        Change::Renamed { old, new, .. } => renamed(&old.path, &new.path),
        change => quoted_name(change.after().or(change.before()).map_or(&[], |side| &side.path)),
    }
}

fn summary(change: &Change) -> Vec<u8> {
    match change {
        Change::Added(new) => [
            format!(" create mode {:06o} ", new.mode.bits()).as_bytes(),
            &quoted_name(&new.path),
            b"\n",
        ]
        .concat(),
        Change::Deleted(old) => [
            format!(" delete mode {:06o} ", old.mode.bits()).as_bytes(),
            &quoted_name(&old.path),
            b"\n",
        ]
        .concat(),
        Change::Modified { old, new } if old.mode != new.mode => [
            format!(" mode change {:06o} => {:06o} ", old.mode.bits(), new.mode.bits()).as_bytes(),
            &quoted_name(&new.path),
            b"\n",
        ]
        .concat(),
        Change::Modified { .. } => Vec::new(),
        Change::Renamed { old, new, score } => {
            let similarity = format!(" ({}%)\n", score * 100 / MAX_SCORE);
            let mut text = [b" rename ", name(change).as_slice(), similarity.as_bytes()].concat();
            if old.mode != new.mode {
                let modes = format!(
                    " mode change {:06o} => {:06o}\n",
                    old.mode.bits(),
                    new.mode.bits()
                );
                text.extend_from_slice(modes.as_bytes());
            }
            text
        }
    }
}

/// Two paths with what they have in common written once: `a/{b => c}/d`.
fn renamed(old: &[u8], new: &[u8]) -> Vec<u8> {
    if needs_quotes(old) || needs_quotes(new) {
        return [quoted_name(old), quoted_name(new)].join(&b" => "[..]);
    }
    let common = old
        .iter()
        .zip(new)
        .take_while(|(one, other)| one == other)
        .count();
    let head = old.get(..common).unwrap_or_default();
    let prefix = head.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    // The slash at the prefix's end may be the one at the suffix's start.
    let limit = |path: &[u8]| path.len() - prefix.saturating_sub(1).min(path.len());
    let most = limit(old).min(limit(new));
    let common = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(most)
        .take_while(|(one, other)| one == other)
        .count();
    let tail = old.get(old.len() - common..).unwrap_or_default();
    let suffix = tail
        .iter()
        .position(|byte| *byte == b'/')
        .map_or(0, |at| tail.len() - at);
    let middle = |path: &[u8]| {
        let end = path.len().saturating_sub(suffix).max(prefix);
        path.get(prefix..end).unwrap_or_default().to_vec()
    };
    let change = [middle(old), middle(new)].join(&b" => "[..]);
    if prefix + suffix == 0 {
        return change;
    }
    [
        old.get(..prefix).unwrap_or_default(),
        b"{",
        &change,
        b"}",
        old.get(old.len() - suffix..).unwrap_or_default(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_paths_have_in_common_is_written_once() {
        for (old, new, shown) in [
            ("a", "b", "a => b"),
            ("d/a", "d/b", "d/{a => b}"),
            ("a/x", "b/x", "{a => b}/x"),
            ("d/a/x", "d/b/x", "d/{a => b}/x"),
            ("d/x", "d/e/x", "d/{ => e}/x"),
            ("d/e/x", "d/x", "d/{e => }/x"),
            ("x", "d/x", "x => d/x"),
            ("a b", "c\td", "\"a b\" => \"c\\td\""),
        ] {
            let shown = if shown.starts_with('"') {
                "a b => \"c\\td\""
            } else {
                shown
            };
            assert_eq!(
                String::from_utf8(renamed(old.as_bytes(), new.as_bytes())).unwrap(),
                shown
            );
        }
    }
}
