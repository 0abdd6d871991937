//! The text of a patch as runs of lines of one kind.

use bstr::{ByteSlice, ByteVec};
use foreign_text::printable_line;
use git_apply_engine::{HunkDiff, Options, read_diffs};

use super::highlight::{HighlightBudget, HunkHighlighter};
use super::text::TextPart;

/// The most lines of one patch that are shown.
const MOST_LINES: usize = 3000;

/// The most characters of a line that are shown.
const LONGEST_LINE: usize = 1000;

/// Consecutive lines of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffRun {
    /// The CSS class: `file`, `hunk`, `add`, `del`, or none.
    pub class: &'static str,
    /// The lines, in parts coloured by language.
    pub parts: Vec<TextPart>,
}

impl DiffRun {
    /// The lines.
    #[must_use]
    pub fn text(&self) -> String {
        self.parts.iter().map(|part| part.text.as_str()).collect()
    }

    fn push(&mut self, parts: Vec<TextPart>) {
        for part in parts {
            match self.parts.last_mut() {
                Some(last) if last.class == part.class => last.text.push_str(&part.text),
                _ => self.parts.push(part),
            }
        }
    }
}

/// A patch's message and its diffs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiffView {
    /// What stands before the first diff.
    pub message: String,
    /// The diffs.
    pub runs: Vec<DiffRun>,
    /// How many lines there are.
    shown: usize,
    /// How many lines are left out.
    pub omitted: usize,
}

impl DiffView {
    /// Reads a patch; one that cannot be parsed is shown as plain text.
    #[must_use]
    pub fn read(patch: &[u8], budget: &HighlightBudget<'_>) -> Self {
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
            let path = file.new_path.as_deref().or(file.old_path.as_deref());
            let path = String::from_utf8_lossy(path.unwrap_or_default());
            for hunk in &file.hunks {
                view.push_hunk(hunk, HunkHighlighter::new(&path, budget));
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

    fn push_hunk(&mut self, hunk: &HunkDiff<'_>, mut highlighter: HunkHighlighter<'_>) {
        let head = hunk.text.lines().next().unwrap_or_default();
        self.push_lines([("hunk", head)].into_iter());
        for line in hunk.lines() {
            self.push_line(class_of_line(line), line, |text| highlighter.read(text));
        }
    }

    fn push_lines<'a>(&mut self, lines: impl Iterator<Item = (&'static str, &'a [u8])>) {
        for (class, line) in lines {
            self.push_line(class, line, |text| vec![TextPart { class: "", text }]);
        }
    }

    fn push_line(&mut self, class: &'static str, line: &[u8], read: impl FnOnce(String) -> Vec<TextPart>) {
        if self.shown >= MOST_LINES {
            self.omitted += 1;
            return;
        }
        self.shown += 1;
        let parts = read(shown(line));
        match self.runs.last_mut() {
            Some(run) if run.class == class => run.push(parts),
            _ => {
                let mut run = DiffRun {
                    class,
                    parts: Vec::new(),
                };
                run.push(parts);
                self.runs.push(run);
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

/// A line of a patch with its line feed, made fit for a page.
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

    fn read(patch: &[u8]) -> DiffView {
        DiffView::read(patch, &HighlightBudget::new(0, &|| true))
    }

    #[test]
    fn lines_have_the_kind_that_the_engine_reads_in_them() {
        let view = read(PATCH.as_bytes());
        let kinds: Vec<_> = view.runs.iter().map(|run| (run.class, run.text())).collect();
        let kinds: Vec<_> = kinds
            .iter()
            .map(|(class, text)| (*class, text.as_str()))
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
        let view = read("hello\u{1b}[2J \u{202e}\n".as_bytes());
        assert_eq!(view.runs[0].text(), "hello�[2J �\n");
    }

    #[test]
    fn a_long_patch_is_cut() {
        let body = "+x\n".repeat(10_000);
        let patch = format!("--- /dev/null\n+++ b/f\n@@ -0,0 +1,10000 @@\n{body}");
        let view = read(patch.as_bytes());
        assert_eq!(view.omitted, 10_003 - MOST_LINES);
    }
}
