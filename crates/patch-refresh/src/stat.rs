//! The diffstat of a mail: finds its lines and rewrites them.

use std::fmt::Write;

use super::layout::{Layout, Section};

/// How wide `git format-patch` makes it.
const WIDTH: usize = 72;

/// Lines that a section adds and removes.
pub(crate) type Counts = (usize, usize);

/// Rewrites the diffstats of a patch, as `git format-patch` does, if a file's counts have changed
/// or it is left out. One whose lines do not match the diffs after it stays.
pub(crate) fn renew(layout: &mut Layout<'_>, before: &[Counts]) {
    let after: Vec<Counts> = layout.sections.iter().map(Section::counts).collect();
    let mut starts: Vec<usize> = (0..layout.sections.len())
        .filter(|at| {
            let section = layout.sections.get(*at);
            section.is_some_and(|section| Stat::find(&section.before).is_some())
        })
        .collect();
    starts.push(layout.sections.len());
    for mail in starts.windows(2) {
        let [start, end] = mail else { continue };
        let Some(sections) = layout.sections.get_mut(*start..*end) else {
            continue;
        };
        let (Some(old), Some(new)) = (before.get(*start..*end), after.get(*start..*end)) else {
            continue;
        };
        if old == new && sections.iter().all(Section::is_kept) {
            continue;
        }
        if let Some(text) = renewed(sections, new)
            && let Some(first) = sections.first_mut()
        {
            first.before = text;
        }
    }
}

/// Replaces the last diffstat of a text, and what `git format-patch` writes after its sums, with
/// another; `None` if there is none.
#[must_use]
pub fn replace_diffstat(text: &[u8], stat: &[u8]) -> Option<Vec<u8>> {
    const SUMMARIES: [&[u8]; 6] = [
        b" create mode ",
        b" delete mode ",
        b" mode change ",
        b" rename ",
        b" copy ",
        b" rewrite ",
    ];
    let found = Stat::find(text)?;
    let tail = found.tail.split_inclusive(|byte| *byte == b'\n');
    let is_summary = |line: &&[u8]| SUMMARIES.iter().any(|start| line.starts_with(start));
    let rest = tail.skip_while(is_summary);
    Some([found.head, stat, rest.collect::<Vec<_>>().concat().as_slice()].concat())
}

/// A diffstat, and the text around it.
struct Stat<'a> {
    /// What precedes it.
    head: &'a [u8],
    /// The lines of files.
    files: Vec<&'a [u8]>,
    /// What follows the line with the sums, such as new files and their modes.
    tail: &'a [u8],
}

impl<'a> Stat<'a> {
    fn find(text: &'a [u8]) -> Option<Self> {
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let sums = lines.iter().rposition(|line| is_sums(line))?;
        let count = lines
            .get(..sums)?
            .iter()
            .rev()
            .take_while(|line| is_file(line))
            .count();
        let head: usize = lines.get(..sums - count)?.iter().map(|line| line.len()).sum();
        let tail: usize = lines.get(..=sums)?.iter().map(|line| line.len()).sum();
        Some(Self {
            head: text.get(..head)?,
            files: lines.get(sums - count..sums)?.to_vec(),
            tail: text.get(tail..)?,
        })
    }
}

/// ` 2 files changed, 3 insertions(+), 1 deletion(-)`
fn is_sums(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let Some((count, rest)) = text.trim_start().split_once(' ') else {
        return false;
    };
    line.starts_with(b" ")
        && count.bytes().all(|byte| byte.is_ascii_digit())
        && (rest.starts_with("file changed") || rest.starts_with("files changed"))
}

/// ` setup.cfg | 3 ++-`
fn is_file(line: &[u8]) -> bool {
    line.starts_with(b" ") && line.windows(3).any(|part| part == b" | ")
}

/// What a diffstat says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatLine {
    /// Its name, as it is shown.
    pub name: String,
    /// What is done to it.
    pub change: StatChange,
}

/// What is done to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatChange {
    /// Lines are changed.
    Lines {
        /// Lines that are added.
        added: usize,
        /// Lines that are removed.
        removed: usize,
    },
    /// Binary contents are changed.
    Bytes {
        /// Their size before.
        before: usize,
        /// Their size after.
        after: usize,
    },
    /// Binary contents stay as they are.
    SameBytes,
}

impl StatChange {
    fn counts(&self) -> Option<Counts> {
        match *self {
            Self::Lines { added, removed } => Some((added, removed)),
            Self::Bytes { .. } | Self::SameBytes => None,
        }
    }

    /// What follows `Bin`, and the width that Git reserves for both.
    fn sizes(&self) -> Option<(String, usize)> {
        match *self {
            Self::Lines { .. } => None,
            Self::Bytes { before, after } => {
                let text = format!(" {before} -> {after} bytes");
                let width = "Bin".len() + text.len();
                Some((text, width))
            }
            Self::SameBytes => Some((String::new(), "Bin 0 -> 0 bytes".len())),
        }
    }

    /// Reads what follows the name in a line.
    fn read(text: &str, (added, removed): Counts) -> Self {
        let Some(sizes) = text.trim().strip_prefix("Bin") else {
            return Self::Lines { added, removed };
        };
        let sizes = sizes.trim().trim_end_matches(" bytes").split_once(" -> ");
        let sizes = sizes.and_then(|(before, after)| Some((before.parse().ok()?, after.parse().ok()?)));
        sizes.map_or(Self::SameBytes, |(before, after)| Self::Bytes { before, after })
    }
}

/// The text before the first section, with the diffstat rewritten.
fn renewed(sections: &[Section<'_>], counts: &[Counts]) -> Option<Vec<u8>> {
    let stat = Stat::find(&sections.first()?.before)?;
    if stat.files.len() != sections.len() {
        return None;
    }
    let mut lines = Vec::new();
    let mut left_out = Vec::new();
    for ((section, line), counts) in sections.iter().zip(stat.files).zip(counts) {
        if !section.is_kept() {
            left_out.push(section.name());
            continue;
        }
        let line = String::from_utf8_lossy(line);
        let (name, change) = line.rsplit_once(" | ")?;
        let name = name.trim();
        let whole = section.name();
        let is_shortened = name.strip_prefix("...").is_some_and(|end| whole.ends_with(end));
        lines.push(StatLine {
            name: if is_shortened { whole } else { name.to_owned() },
            change: StatChange::read(change, *counts),
        });
    }
    let mut text = stat.head.to_vec();
    text.extend_from_slice(diffstat(&lines).as_bytes());
    for line in stat.tail.split_inclusive(|byte| *byte == b'\n') {
        let shown = String::from_utf8_lossy(line);
        let shown = shown.trim_end();
        let is_gone = shown.starts_with(" create mode ") || shown.starts_with(" delete mode ");
        if !(is_gone && left_out.iter().any(|name| shown.ends_with(&format!(" {name}")))) {
            text.extend_from_slice(line);
        }
    }
    Some(text)
}

/// Returns the lines of the files and the sums, by the rules of `show_stats` in Git's diff.c, as
/// wide as in a mail.
#[must_use]
pub fn diffstat(lines: &[StatLine]) -> String {
    let digits = |number: usize| number.to_string().len();
    let counts = || lines.iter().filter_map(|line| line.change.counts());
    let most = counts()
        .map(|(added, removed)| added + removed)
        .max()
        .unwrap_or(0);
    let binary = lines.iter().filter_map(|line| line.change.sizes());
    let binary_width = binary.map(|(_, width)| width).max().unwrap_or(0);
    let number_width = digits(most).max(if binary_width > 0 { 3 } else { 0 });
    let longest = lines
        .iter()
        .map(|line| line.name.chars().count())
        .max()
        .unwrap_or(0);

    let width = WIDTH.max(16 + 6 + number_width);
    let mut graph_width = if most + 4 > binary_width {
        most
    } else {
        binary_width - 4
    };
    let mut name_width = longest;
    if name_width + number_width + 6 + graph_width > width {
        let share = (width * 3 / 8).saturating_sub(number_width + 6);
        if graph_width > share {
            graph_width = share.max(6);
        }
        if name_width > width - number_width - 6 - graph_width {
            name_width = width - number_width - 6 - graph_width;
        } else {
            graph_width = width - number_width - 6 - name_width;
        }
    }

    // Writing to a string does not fail.
    let mut text = String::new();
    for line in lines {
        text.push(' ');
        text.push_str(&padded(&line.name, name_width));
        let Some(counts) = line.change.counts() else {
            let sizes = line.change.sizes().unwrap_or_default().0;
            let _ = writeln!(text, " | {:>number_width$}{sizes}", "Bin");
            continue;
        };
        let total = counts.0 + counts.1;
        let (added, removed) = scaled(counts, graph_width, most);
        let space = if total > 0 { " " } else { "" };
        let graph = format!("{}{}", "+".repeat(added), "-".repeat(removed));
        let _ = writeln!(text, " | {total:>number_width$}{space}{graph}");
    }
    let added: usize = counts().map(|(added, _)| added).sum();
    let removed: usize = counts().map(|(_, removed)| removed).sum();
    let one = |count: usize| if count == 1 { "" } else { "s" };
    let _ = write!(text, " {} file{} changed", lines.len(), one(lines.len()));
    if added > 0 || removed == 0 {
        let _ = write!(text, ", {added} insertion{}(+)", one(added));
    }
    if removed > 0 || added == 0 {
        let _ = write!(text, ", {removed} deletion{}(-)", one(removed));
    }
    text.push('\n');
    text
}

/// A name in `width` columns: if it is longer, its end, from a folder on.
fn padded(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return format!("{name:<width$}");
    }
    let kept = width.saturating_sub(3);
    let end: String = name.chars().skip(length - kept).collect();
    let end = end.find('/').and_then(|slash| end.get(slash..)).unwrap_or(&end);
    format!("...{end:<kept$}")
}

/// How many signs stand for lines added and removed, if the largest change takes `width`.
fn scaled((added, removed): Counts, width: usize, most: usize) -> Counts {
    if width > most {
        return (added, removed);
    }
    let scale = |count: usize| {
        if count == 0 {
            0
        } else {
            1 + count * width.saturating_sub(1) / most.max(1)
        }
    };
    let mut total = scale(added + removed);
    if total < 2 && added > 0 && removed > 0 {
        total = 2;
    }
    if added < removed {
        let added = scale(added);
        (added, total.saturating_sub(added))
    } else {
        let removed = scale(removed);
        (total.saturating_sub(removed), removed)
    }
}
