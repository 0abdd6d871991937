//! The text of a patch as runs of lines of one kind.

use bstr::{ByteSlice, ByteVec};

use crate::patch::{HunkDiff, Options, read_diffs};
use crate::text::printable_line;

/// The most lines of one patch that are shown.
const MOST_LINES: usize = 3000;

/// The most characters of a line that are shown.
const LONGEST_LINE: usize = 1000;

/// Lines of one kind that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffRun {
    /// The class of the style: `file`, `hunk`, `add`, `del`, or none.
    pub class: &'static str,
    /// The lines.
    pub text: String,
}

/// A patch's message and its diffs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiffView {
    /// What stands before the first diff.
    pub message: String,
    /// The diffs.
    pub runs: Vec<DiffRun>,
    /// How many lines are left out.
    pub omitted: usize,
}

impl DiffView {
    /// Reads a patch; one that cannot be read is shown as it is.
    #[must_use]
    pub fn read(patch: &[u8]) -> Self {
        let mut view = Self::default();
        let files = read_diffs(patch, &Options::default()).unwrap_or_default();
        let Some(first) = files.first() else {
            view.push_lines(patch.lines().map(|line| ("", line)));
            return view;
        };
        let start = patch.find(first.header).filter(|_| !first.header.is_empty());
        let message = patch.get(..start.unwrap_or_default()).unwrap_or_default();
        view.message = message.lines().take(MOST_LINES).map(shown).collect();
        for file in &files {
            view.push_lines(file.header.lines().map(|line| ("file", line)));
            for hunk in &file.hunks {
                view.push_hunk(hunk);
            }
            if file.is_binary {
                view.push_lines([("", b"(binary contents)".as_slice())].into_iter());
            }
        }
        view
    }

    /// The difference between two diffs, as a status has it.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let mut view = Self::default();
        view.push_lines(text.lines().map(|line| {
            let class = if line.starts_with("@@") {
                "hunk"
            } else if line.starts_with("+++") || line.starts_with("---") || line.starts_with("diff ") {
                "file"
            } else {
                class_of_line(line.as_bytes())
            };
            (class, line.as_bytes())
        }));
        view
    }

    fn push_hunk(&mut self, hunk: &HunkDiff<'_>) {
        let head = hunk.text.lines().next().unwrap_or_default();
        self.push_lines([("hunk", head)].into_iter());
        self.push_lines(hunk.lines().map(|line| (class_of_line(line), line)));
    }

    fn push_lines<'a>(&mut self, lines: impl Iterator<Item = (&'static str, &'a [u8])>) {
        let mut shown_lines: usize = self.runs.iter().map(|run| run.text.lines().count()).sum();
        for (class, line) in lines {
            if shown_lines >= MOST_LINES {
                self.omitted += 1;
                continue;
            }
            shown_lines += 1;
            match self.runs.last_mut() {
                Some(run) if run.class == class => run.text.push_str(&shown(line)),
                _ => self.runs.push(DiffRun {
                    class,
                    text: shown(line),
                }),
            }
        }
    }
}

fn class_of_line(line: &[u8]) -> &'static str {
    match line.first() {
        Some(b'+') => "add",
        Some(b'-') => "del",
        _ => "",
    }
}

/// A line of a patch with its line feed, as a page may have it.
fn shown(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let text = printable_line(&Vec::from_slice(line).into_string_lossy());
    let mut text: String = match text.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text,
    };
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "From: A <a@b>\nSubject: x\n\nwhy\n---\n f | 2 +-\n\ndiff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n one\n-two\n+<b>zwei</b>\n three\n-- \n2.39\n";

    #[test]
    fn lines_have_the_kind_that_the_engine_reads_in_them() {
        let view = DiffView::read(PATCH.as_bytes());
        let kinds: Vec<_> = view
            .runs
            .iter()
            .map(|run| (run.class, run.text.as_str()))
            .collect();
        assert_eq!(
            kinds,
            [
                ("file", "diff --git a/f b/f\n--- a/f\n+++ b/f\n"),
                ("hunk", "@@ -1,3 +1,3 @@\n"),
                ("", " one\n"),
                ("del", "-two\n"),
                ("add", "+<b>zwei</b>\n"),
                ("", " three\n"),
            ],
            "the mail's signature is no removed line"
        );
        assert!(view.message.starts_with("From: A") && view.message.ends_with("f | 2 +-\n\n"));
    }

    #[test]
    fn what_is_no_patch_is_shown_as_it_is_and_nothing_in_it_is_obeyed() {
        let view = DiffView::read("hello\u{1b}[2J \u{202e}\n".as_bytes());
        assert_eq!(view.runs[0].text, "hello�[2J �\n");
    }

    #[test]
    fn a_long_patch_is_cut() {
        let body = "+x\n".repeat(10_000);
        let patch = format!("--- /dev/null\n+++ b/f\n@@ -0,0 +1,10000 @@\n{body}");
        let view = DiffView::read(patch.as_bytes());
        assert_eq!(view.omitted, 10_003 - MOST_LINES);
    }
}
