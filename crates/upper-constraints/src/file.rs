//! A constraints file, read without losing a byte.

use super::entry::{self, Entry};
use super::error::{Collector, Unit, shown};
use super::lines::{self, Logical};
use super::{Error, Problems};

/// The largest file, in bytes. A ConfigMap holds no more.
const LARGEST: usize = 1 << 20;

/// Options that stand alone in a constraints file (pip's `SUPPORTED_OPTIONS`).
const OPTIONS: &[&str] = &[
    "-i",
    "--index-url",
    "--pypi-url",
    "--extra-index-url",
    "--no-index",
    "-f",
    "--find-links",
    "--no-binary",
    "--only-binary",
    "--prefer-binary",
    "--require-hashes",
    "--no-require-hashes",
    "--pre",
    "--all-releases",
    "--only-final",
    "--trusted-host",
    "--use-feature",
];

/// Options that read another file.
const INCLUDES: &[&str] = &["-c", "--constraint", "-r", "--requirement"];

/// A line that reads another file. What stands there is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Include {
    /// The line, from 1.
    pub line: usize,
    /// The line without white space and comments.
    pub text: String,
}

/// A constraints file.
#[derive(Clone, Debug)]
pub struct ConstraintsFile {
    text: String,
    entries: Vec<Entry>,
    includes: Vec<Include>,
}

impl ConstraintsFile {
    /// Reads a file as pip and uv do.
    ///
    /// # Errors
    ///
    /// All lines that are no constraint, that the two would read differently, or that hold
    /// characters which end a line for only one of them; a file that is not UTF-8 or too large.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(bytes).map_err(Error::Constraints)
    }

    fn read(bytes: &[u8]) -> Result<Self, Problems> {
        let mut problems = Collector::new(Unit::Line);
        let text = match text_of(bytes, LARGEST) {
            Ok(text) => text,
            Err((line, message)) => {
                problems.add(line, message);
                return problems.finish(Self::empty());
            }
        };
        let (mut entries, mut includes) = (Vec::new(), Vec::new());
        for line in lines::physical(text) {
            let content = text.get(line.content).unwrap_or_default();
            if let Some(c) = lines::unexpected(content) {
                problems.add(line.number, control(c));
            }
        }
        for line in lines::logical(text) {
            if line.swallows {
                problems.add(
                    line.number,
                    "ends a comment with a backslash: pip takes the next line into the comment; remove the backslash",
                );
            }
            match read_line(&line) {
                Ok(Read::Nothing) => {}
                Ok(Read::Entry(entry)) => entries.push(*entry),
                Ok(Read::Include) => includes.push(Include {
                    line: line.number,
                    text: shown(&line.text),
                }),
                Err(message) => problems.add(line.number, format!("{:?} {message}", shown(&line.text))),
            }
        }
        problems.finish(Self {
            text: text.to_owned(),
            entries,
            includes,
        })
    }

    fn empty() -> Self {
        Self {
            text: String::new(),
            entries: Vec::new(),
            includes: Vec::new(),
        }
    }

    /// Returns the file as it was read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the entries, in the order of their lines.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the lines that read other files.
    #[must_use]
    pub fn includes(&self) -> &[Include] {
        &self.includes
    }
}

enum Read {
    Nothing,
    Entry(Box<Entry>),
    Include,
}

fn read_line(line: &Logical) -> Result<Read, String> {
    // A byte order mark is no part of the first entry.
    let text = line.text.trim_start_matches('\u{feff}');
    if text.is_empty() {
        return Ok(Read::Nothing);
    }
    if text.starts_with('-') {
        let word = text.split([' ', '\t']).next().unwrap_or_default();
        let option = match word.split_once('=') {
            Some((option, _)) if word.starts_with("--") => option,
            _ => word,
        };
        return if INCLUDES.contains(&option) {
            Ok(Read::Include)
        } else if OPTIONS.contains(&option) {
            Ok(Read::Nothing)
        } else if matches!(option, "-e" | "--editable") {
            Err("is editable, which pip and uv refuse as a constraint".to_owned())
        } else {
            Err(
                "is no option of a constraints file; -name removes a package in a file of overrides"
                    .to_owned(),
            )
        };
    }
    let mark = line.text.len() - text.len();
    let entry::Parsed {
        name,
        spelled,
        pin,
        marker,
        marker_text,
    } = entry::parse(text)?;
    Ok(Read::Entry(Box::new(Entry {
        line: line.number,
        name,
        spelled,
        pin,
        marker,
        marker_text,
        whole: line.whole.clone(),
        body: line.body.start + mark..line.body.end,
    })))
}

/// The text of a file, or the line where it stops being UTF-8.
pub(super) fn text_of(bytes: &[u8], largest: usize) -> Result<&str, (usize, String)> {
    if bytes.len() > largest {
        return Err((
            1,
            format!("the file has {} bytes, more than {largest}", bytes.len()),
        ));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        (line, "is not UTF-8".to_owned())
    })
}

/// The sentence about a character that is not expected.
pub(super) fn control(c: char) -> String {
    format!(
        "has the control character U+{:04X}, which may end a line for one tool and not for another; remove it",
        u32::from(c)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(text: &str) -> Vec<usize> {
        match ConstraintsFile::parse(text.as_bytes()) {
            Ok(_) => Vec::new(),
            Err(error) => error.problems().iter().map(|p| p.line).collect(),
        }
    }

    #[test]
    fn all_wrong_lines_are_told() {
        assert_eq!(
            lines_of("a===1\nb==\n# fine\n-c===3\n-e ./x\n--nonsense\n"),
            [2, 4, 5, 6]
        );
        assert_eq!(lines_of("# a\u{2028}b===1\n\u{c}\n"), [1, 2]);
        assert_eq!(lines_of("a===1 # why \\\nb===2\n"), [1]);
        assert_eq!(
            ConstraintsFile::parse(b"a===1\n\xff\n").unwrap_err().problems()[0].line,
            2
        );
        assert_eq!(
            ConstraintsFile::parse(&vec![b'\n'; LARGEST + 1])
                .unwrap_err()
                .problems()
                .len(),
            1
        );
    }

    #[test]
    fn options_and_includes_are_no_entries() {
        let file = ConstraintsFile::parse(
            b"\xef\xbb\xbfa===1\n--index-url https://x/\n-c more.txt # why\n\n  # note\n--pre\n",
        )
        .unwrap();
        assert_eq!(file.entries().len(), 1);
        assert_eq!(&file.text()[file.entries()[0].body.clone()], "a===1");
        assert_eq!(
            file.includes(),
            [Include {
                line: 3,
                text: "-c more.txt".to_owned()
            }]
        );
    }
}
