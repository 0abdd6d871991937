//! Edits a file that lists patches, and keeps all else in it: comments, white space, line ends and
//! the options after names.

use foreign_text::printable;

use super::series_file::{self, LISTS, ListSyntax};

/// What stands around names in a line.
const BLANK: [char; 3] = [' ', '\t', '\r'];

/// Why a list cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListEditError {
    /// The list cannot be read.
    #[error("{file} cannot be changed: {problem}")]
    Unreadable {
        /// The list.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A name that the list would read as another one.
    #[error(
        "{file} cannot name {}: a name there has no spaces, and does not begin with #",
        printable(.name, 200)
    )]
    Name {
        /// The list.
        file: String,
        /// The name.
        name: String,
    },
}

/// A line of a list, with its end.
struct ListLine<'a> {
    raw: &'a str,
    /// Its name as the series has it, and where it is written; `None` for a comment.
    entry: Option<(String, std::ops::Range<usize>)>,
}

/// A list that is being edited.
pub(super) struct ListEdit<'a> {
    file: &'a str,
    syntax: ListSyntax,
    /// What stands before the first line: a byte order mark.
    mark: &'a str,
    lines: Vec<ListLine<'a>>,
    end: &'static str,
}

impl<'a> ListEdit<'a> {
    pub(super) fn read(file: &'a str, text: &'a [u8]) -> Result<Self, ListEditError> {
        let wrong = |problem: &str| ListEditError::Unreadable {
            file: file.to_owned(),
            problem: problem.to_owned(),
        };
        let name = file.rsplit('/').next().unwrap_or(file);
        let syntax = LISTS.iter().find(|(list, _)| *list == name);
        let (_, syntax) = syntax.ok_or_else(|| wrong("its name is not that of a list"))?;
        let text = std::str::from_utf8(text).map_err(|_| wrong("it is not UTF-8"))?;
        let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = Vec::new();
        for raw in rest.split_inclusive('\n') {
            let (listed, _) = series_file::parse(file, raw.as_bytes(), *syntax);
            let entry = listed.into_iter().next().map(|patch| {
                let line = raw.trim_end_matches('\n');
                let body = line.trim_matches(BLANK);
                let start = line.len() - line.trim_start_matches(BLANK).len();
                let name = match syntax {
                    ListSyntax::Names => body,
                    ListSyntax::Quilt => body.split([' ', '\t']).next().unwrap_or(body),
                };
                (patch.name, start..start + name.len())
            });
            lines.push(ListLine { raw, entry });
        }
        Ok(Self {
            file,
            syntax: *syntax,
            mark: text.get(..text.len() - rest.len()).unwrap_or_default(),
            end: if rest.contains("\r\n") { "\r\n" } else { "\n" },
            lines,
        })
    }

    /// The list with these patches, each by its old name, if any, and its new one. A new patch goes
    /// on the line after the patch before it, and one after all others at the list's end.
    pub(super) fn write(&self, order: &[(Option<&str>, &str)]) -> Result<Vec<u8>, ListEditError> {
        for (origin, name) in order {
            if *origin != Some(*name) {
                self.check_name(name)?;
            }
        }
        let kept: Vec<&str> = order.iter().filter_map(|(origin, _)| *origin).collect();
        let by_name = |name: &str| {
            let is_it = |line: &&ListLine<'_>| line.entry.as_ref().is_some_and(|entry| entry.0 == name);
            self.lines.iter().find(is_it)
        };
        let mut order = order.iter().peekable();
        let mut text = String::from(self.mark);
        for line in &self.lines {
            let Some((name, _)) = &line.entry else {
                self.end_line(&mut text);
                text.push_str(line.raw);
                continue;
            };
            if !kept.contains(&name.as_str()) {
                continue;
            }
            // New patches before the first one.
            while let Some((_, name)) = order.next_if(|(origin, _)| origin.is_none()) {
                self.push_new(&mut text, name);
            }
            let Some((Some(origin), name)) = order.next() else {
                continue;
            };
            if let Some(line) = by_name(origin) {
                self.push_renamed(&mut text, line, name);
            }
            // New patches after one that others follow.
            let is_last = order.clone().all(|(origin, _)| origin.is_none());
            while let Some((_, name)) = order.next_if(|(origin, _)| origin.is_none() && !is_last) {
                self.push_new(&mut text, name);
            }
        }
        for (_, name) in order {
            self.push_new(&mut text, name);
        }
        Ok(text.into_bytes())
    }

    fn check_name(&self, name: &str) -> Result<(), ListEditError> {
        let (listed, faults) = series_file::parse(self.file, name.as_bytes(), self.syntax);
        let is_same = matches!(listed.as_slice(), [only] if only.name == name);
        if is_same && faults.is_empty() {
            return Ok(());
        }
        Err(ListEditError::Name {
            file: self.file.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Ends a line that has no end.
    fn end_line(&self, text: &mut String) {
        if text.len() > self.mark.len() && !text.ends_with('\n') {
            text.push_str(self.end);
        }
    }

    fn push_new(&self, text: &mut String, name: &str) {
        self.end_line(text);
        text.push_str(name);
        text.push_str(self.end);
    }

    fn push_renamed(&self, text: &mut String, line: &ListLine<'_>, name: &str) {
        let Some((old, place)) = &line.entry else {
            return;
        };
        self.end_line(text);
        if old == name {
            text.push_str(line.raw);
            return;
        }
        text.push_str(line.raw.get(..place.start).unwrap_or_default());
        text.push_str(name);
        text.push_str(line.raw.get(place.end..).unwrap_or_default());
    }
}
