//! A patch as the diffs of its files with the text around them.

use std::collections::HashSet;

use git_apply_engine::{FileChange, FileDiff, HunkOutcome, HunkReport, Oid, Options, read_diffs};

use super::fuzz::{FuzzyHunk, LineKind};
use super::unified::{Heading, HunkStyle};

/// A patch, taken apart.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    pub(crate) sections: Vec<Section<'a>>,
    /// What follows the last diff.
    trailer: &'a [u8],
    /// How hunks are written so that they look like the patch's.
    pub(crate) style: HunkStyle,
}

/// The diff of one file.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    /// What the patch says of the file.
    pub(crate) diff: FileDiff<'a>,
    /// What precedes it.
    pub(crate) before: Vec<u8>,
    /// Its header, and its hunks or binary contents.
    pub(crate) header: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// Whether it is in the patch.
    pub(crate) presence: SectionPresence,
}

/// Whether the diff of a file is in the refreshed patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionPresence {
    Kept,
    LeftOut,
}

impl<'a> Layout<'a> {
    /// Takes a patch apart.
    ///
    /// # Errors
    ///
    /// If it cannot be read: why, in a sentence.
    pub(crate) fn read(text: &'a [u8], options: &Options) -> Result<Self, String> {
        let diffs = read_diffs(text, options)?;
        let style = style(&diffs);
        let starts: Vec<usize> = diffs.iter().map(|diff| place(text, diff.header)).collect();
        let mut sections = Vec::with_capacity(diffs.len());
        let mut end = 0;
        for (at, diff) in diffs.into_iter().enumerate() {
            let start = starts.get(at).copied().unwrap_or(end).max(end);
            let next = starts.get(at + 1).copied().unwrap_or(text.len());
            let body_start = start + diff.header.len();
            let body_end = match diff.hunks.last() {
                Some(last) => place(text, last.text) + last.text.len(),
                None if diff.is_binary => {
                    body_start + binary_length(text.get(body_start..next).unwrap_or_default())
                }
                None => body_start,
            };
            sections.push(Section {
                before: text.get(end..start).unwrap_or_default().to_vec(),
                header: diff.header.to_vec(),
                body: text.get(body_start..body_end).unwrap_or_default().to_vec(),
                presence: SectionPresence::Kept,
                diff,
            });
            end = body_end;
        }
        Ok(Self {
            sections,
            trailer: text.get(end..).unwrap_or_default(),
            style,
        })
    }

    /// The patch, put together again.
    pub(crate) fn text(&self) -> Vec<u8> {
        let mut text = self.text_up_to(self.sections.len());
        text.extend_from_slice(self.trailer);
        text
    }

    /// The patch with its first `count` sections, and nothing after them.
    pub(crate) fn text_up_to(&self, count: usize) -> Vec<u8> {
        let mut text = Vec::new();
        for section in self.sections.iter().take(count) {
            text.extend_from_slice(&section.before);
            if section.is_kept() {
                text.extend_from_slice(&section.text());
            }
        }
        text
    }

    /// The places of the sections that are in the patch.
    pub(crate) fn kept_sections(&self) -> Vec<usize> {
        let sections = self.sections.iter().enumerate();
        sections
            .filter(|(_, section)| section.is_kept())
            .map(|(at, _)| at)
            .collect()
    }

    /// The files that several of the sections in the patch touch.
    pub(crate) fn shared_paths(&self) -> HashSet<Vec<u8>> {
        let (mut seen, mut shared) = (HashSet::new(), HashSet::new());
        for section in self.sections.iter().filter(|section| section.is_kept()) {
            let own: HashSet<&[u8]> = section.paths().collect();
            for path in own {
                if !seen.insert(path) {
                    shared.insert(path.to_vec());
                }
            }
        }
        shared
    }
}

impl Section<'_> {
    pub(crate) fn is_kept(&self) -> bool {
        self.presence == SectionPresence::Kept
    }

    /// The diff of the file alone.
    pub(crate) fn text(&self) -> Vec<u8> {
        [self.header.as_slice(), &self.body].concat()
    }

    /// The names of the file.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &[u8]> {
        let paths = [&self.diff.old_path, &self.diff.new_path];
        paths.into_iter().flatten().map(Vec::as_slice)
    }

    /// Its name in messages.
    pub(crate) fn name(&self) -> String {
        let name = self.diff.new_path.as_ref().or(self.diff.old_path.as_ref());
        String::from_utf8_lossy(name.map_or(&[][..], Vec::as_slice)).into_owned()
    }

    /// Whether it changes the file's name or mode.
    pub(crate) fn changes_metadata(&self) -> bool {
        let diff = &self.diff;
        diff.change != FileChange::Modify
            || (diff.old_mode != 0 && diff.new_mode != 0 && diff.old_mode != diff.new_mode)
    }

    /// How many lines it adds and removes.
    pub(crate) fn counts(&self) -> (usize, usize) {
        if self.diff.is_binary {
            return (0, 0);
        }
        let mut counts = (0, 0);
        let mut rest = Hunks(&self.body);
        while let Some(hunk) = rest.next_hunk() {
            for (kind, _) in hunk.lines {
                match kind {
                    LineKind::Added => counts.0 += 1,
                    LineKind::Removed => counts.1 += 1,
                    LineKind::Context => {}
                }
            }
        }
        counts
    }

    /// Its hunks.
    pub(crate) fn hunks(&self) -> Vec<FuzzyHunk<'_>> {
        let mut rest = Hunks(&self.body);
        std::iter::from_fn(|| rest.next_hunk()).collect()
    }

    /// Puts the ids of the blobs before and after into the `index` line; one that is not given
    /// stays.
    pub(crate) fn set_index(&mut self, old: Option<Oid>, new: Option<Oid>) {
        const INDEX: &[u8] = b"index ";
        let line = lines(&self.header).find(|(_, line)| line.starts_with(INDEX));
        let Some((start, line)) = line else {
            return;
        };
        let Some(ids) = line.get(INDEX.len()..) else {
            return;
        };
        let end = ids.iter().position(u8::is_ascii_whitespace).unwrap_or(ids.len());
        let (ids, rest) = ids.split_at(end);
        let Some(dots) = ids.windows(2).position(|pair| pair == b"..") else {
            return;
        };
        let shortened = |id: Option<Oid>, given: &[u8]| match id {
            Some(id) => id
                .to_string()
                .into_bytes()
                .into_iter()
                .take(given.len())
                .collect(),
            None => given.to_vec(),
        };
        let (one, other) = (
            ids.get(..dots).unwrap_or_default(),
            ids.get(dots + 2..).unwrap_or_default(),
        );
        let renewed = [INDEX, &shortened(old, one), b"..", &shortened(new, other), rest].concat();
        let end = start + line.len();
        self.header.splice(start..end, renewed);
    }

    /// Removes what describes contents from the header, as Git writes it if only a name or mode
    /// changes.
    pub(crate) fn drop_contents(&mut self) {
        const SIMILARITY: &[u8] = b"similarity index ";
        let mut header = Vec::with_capacity(self.header.len());
        for (_, line) in lines(&self.header) {
            if line.starts_with(SIMILARITY) {
                header.extend_from_slice(SIMILARITY);
                header.extend_from_slice(b"100%\n");
            } else if ![&b"index "[..], b"--- ", b"+++ "]
                .iter()
                .any(|start| line.starts_with(start))
            {
                header.extend_from_slice(line);
            }
        }
        self.header = header;
        self.body.clear();
    }

    /// Renumbers the hunks' headers to the lines where they went; `false` if they went into another
    /// order than the patch's, so that they cannot be written this way.
    pub(crate) fn renumber(&mut self, reports: &[HunkReport]) -> bool {
        let mut renewed = Vec::with_capacity(self.body.len());
        let mut rest = Hunks(&self.body);
        // How many lines earlier hunks have added, less those removed; the first line that is free.
        let (mut grown, mut free) = (0_i64, 1_i64);
        for report in reports {
            let HunkOutcome::Placed { line, .. } = report.outcome else {
                return false;
            };
            let (Some((header, tail)), Ok(line)) = (rest.next_text(), i64::try_from(line)) else {
                return false;
            };
            let Some(numbers) = Numbers::read(header) else {
                return false;
            };
            let (old, new) = (numbers.old_lines, numbers.new_lines);
            let (Ok(old_lines), Ok(new_lines)) = (i64::try_from(old), i64::try_from(new)) else {
                return false;
            };
            if line < free || line - grown < 1 {
                return false;
            }
            free = line + new_lines;
            // Where a side has no lines, Git names the line before.
            let start = |line: i64, lines: i64| if lines == 0 { line - 1 } else { line };
            numbers.write(
                start(line - grown, old_lines),
                start(line, new_lines),
                &mut renewed,
            );
            renewed.extend_from_slice(tail);
            grown += new_lines - old_lines;
        }
        if !rest.0.is_empty() {
            return false;
        }
        self.body = renewed;
        true
    }
}

/// The numbers of a hunk's header, and what is around them.
struct Numbers<'a> {
    /// `,5` or nothing.
    old_count: &'a [u8],
    new_count: &'a [u8],
    old_start: u64,
    old_lines: u64,
    new_lines: u64,
    /// ` @@ def function():` and the line feed.
    rest: &'a [u8],
}

impl<'a> Numbers<'a> {
    fn read(header: &'a [u8]) -> Option<Self> {
        let (old_start, old_count, rest) = range(header.strip_prefix(b"@@ -")?)?;
        let (_, new_count, rest) = range(rest.strip_prefix(b" +")?)?;
        let lines = |count: &[u8]| match count.get(1..) {
            Some(digits) => number(digits),
            None => Some(1),
        };
        Some(Self {
            old_count,
            new_count,
            old_start,
            old_lines: lines(old_count)?,
            new_lines: lines(new_count)?,
            rest,
        })
    }

    fn write(&self, old: i64, new: i64, into: &mut Vec<u8>) {
        into.extend_from_slice(format!("@@ -{old}").as_bytes());
        into.extend_from_slice(self.old_count);
        into.extend_from_slice(format!(" +{new}").as_bytes());
        into.extend_from_slice(self.new_count);
        into.extend_from_slice(self.rest);
    }
}

/// `12,5` or `12`: the first number, the comma with the second one, and what follows.
fn range(text: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (start, rest) = text.split_at(digits(text));
    let count = match rest.strip_prefix(b",") {
        Some(count) => 1 + digits(count),
        None => 0,
    };
    let (count, rest) = rest.split_at(count);
    Some((number(start)?, count, rest))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Consecutive hunks.
struct Hunks<'a>(&'a [u8]);

impl<'a> Hunks<'a> {
    /// The header of the next hunk, and its lines.
    fn next_text(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (header, rest) = self.0.split_at(line_length(self.0));
        let numbers = Numbers::read(header)?;
        let (mut old, mut new) = (numbers.old_lines, numbers.new_lines);
        let mut length = 0;
        while let Some(first) = rest.get(length) {
            let line = line_length(rest.get(length..).unwrap_or_default());
            match first {
                _ if *first != b'\\' && old == 0 && new == 0 => break,
                b'-' => old = old.saturating_sub(1),
                b'+' => new = new.saturating_sub(1),
                b' ' | b'\n' => (old, new) = (old.saturating_sub(1), new.saturating_sub(1)),
                _ => {}
            }
            length += line;
        }
        let (lines, rest) = rest.split_at(length);
        self.0 = rest;
        Some((header, lines))
    }

    fn next_hunk(&mut self) -> Option<FuzzyHunk<'a>> {
        let (header, text) = self.next_text()?;
        let mut lines: Vec<(LineKind, &'a [u8])> = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let kind = match line.first()? {
                b'-' => LineKind::Removed,
                b'+' => LineKind::Added,
                b'\\' => {
                    // The line before has no line feed.
                    if let Some((_, last)) = lines.last_mut() {
                        *last = last.strip_suffix(b"\n").unwrap_or(last);
                    }
                    continue;
                }
                _ => LineKind::Context,
            };
            let start = usize::from(line.first() != Some(&b'\n'));
            lines.push((kind, line.get(start..).unwrap_or_default()));
        }
        Some(FuzzyHunk {
            old_start: Numbers::read(header)?.old_start,
            lines,
        })
    }
}

/// How the hunks of a patch are written.
fn style(diffs: &[FileDiff<'_>]) -> HunkStyle {
    const DEFAULT_CONTEXT: usize = 3;
    let hunks = || diffs.iter().flat_map(|diff| &diff.hunks);
    let context = hunks().filter_map(|hunk| {
        let parsed = Hunks(hunk.text).next_hunk()?;
        let is_context = |line: &&(LineKind, &[u8])| line.0 == LineKind::Context;
        let leading = parsed.lines.iter().take_while(is_context).count();
        let trailing = parsed.lines.iter().rev().take_while(is_context).count();
        Some(leading.max(trailing))
    });
    let has_heading = |text: &[u8]| {
        let header = text.get(..line_length(text)).unwrap_or_default();
        Numbers::read(header).is_some_and(|numbers| numbers.rest.trim_ascii() != b"@@")
    };
    let is_git = diffs.iter().any(|diff| diff.header.starts_with(b"diff --git "));
    HunkStyle {
        context: context
            .max()
            .filter(|context| *context > 0)
            .unwrap_or(DEFAULT_CONTEXT),
        heading: if is_git || hunks().any(|hunk| has_heading(hunk.text)) {
            Heading::Function
        } else {
            Heading::None
        },
    }
}

/// Where a part of a text starts in it.
fn place(text: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr().saturating_sub(text.as_ptr().addr())
}

/// The length of the binary contents that a text starts with: a line, and blocks that end in an
/// empty line.
fn binary_length(text: &[u8]) -> usize {
    let mut length = line_length(text);
    if !text.starts_with(b"GIT binary patch\n") {
        return length;
    }
    for _ in 0..2 {
        let block = text.get(length..).unwrap_or_default();
        if !block.starts_with(b"literal ") && !block.starts_with(b"delta ") {
            break;
        }
        let end = block.windows(2).position(|pair| pair == b"\n\n");
        length += end.map_or(block.len(), |end| end + 2);
    }
    length
}

/// The lines of a text with where they start.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut start = 0;
    text.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let here = start;
        start += line.len();
        (here, line)
    })
}

fn line_length(text: &[u8]) -> usize {
    text.iter()
        .position(|byte| *byte == b'\n')
        .map_or(text.len(), |at| at + 1)
}
