//! A constraints file, read without losing a byte.

use std::borrow::Cow;
use std::collections::HashMap;

use pep508_rs::PackageName;

use super::entry::{self, Entry, Pin};
use super::error::{Collector, Unit, shown};
use super::lines::{self, Joint, Logical};
use super::marker::Markers;
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

/// A line that reads another file, whose contents are not looked at.
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
        let text = text.as_ref();
        for line in lines::physical(text) {
            let content = text.get(line.content).unwrap_or_default();
            if let Some(c) = lines::unexpected(content) {
                problems.add(line.number, control(c));
            }
        }
        let (mut markers, mut counts) = (Markers::default(), HashMap::new());
        for line in lines::logical(text) {
            let is_cut = line.whole.end == text.len() && text.ends_with('\\');
            if is_cut && !line.text.is_empty() && !line.text.starts_with("--") {
                problems.add(
                    line.number,
                    "ends the file with a backslash, which uv refuses: remove it",
                );
                continue;
            }
            if line.swallows {
                problems.add(
                    line.number,
                    "ends a comment with a backslash: pip takes the next line into the comment; remove the backslash",
                );
            }
            let read = read_line(&line, &mut markers).and_then(|read| read.counted(&mut counts));
            match read {
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

    /// Returns the entries for which uv, but not pip, refuses the whole file: `===` with a text
    /// that is not a version of PEP 440.
    pub fn refused_by_uv(&self) -> impl Iterator<Item = &Entry> {
        let is_refused = |pin: &Pin| matches!(pin, Pin::Exact { version: None, .. });
        self.entries.iter().filter(move |entry| is_refused(&entry.pin))
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

impl Read {
    /// Refuses what is one entry too many of its package.
    fn counted(self, counts: &mut HashMap<PackageName, usize>) -> Result<Self, String> {
        if let Self::Entry(entry) = &self {
            let count = counts.entry(entry.name.clone()).or_default();
            if *count == entry::MOST_OF_ONE {
                return Err(entry::one_too_many(&entry.name));
            }
            *count += 1;
        }
        Ok(self)
    }
}

fn read_line(line: &Logical, markers: &mut Markers) -> Result<Read, String> {
    let text = line.text.as_str();
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
                "is not an option of a constraints file; -name removes a package in a file of overrides"
                    .to_owned(),
            )
        };
    }
    if let Some(joint) = line.joint
        && !is_joined_for_both(text, joint)
    {
        return Err(
            "continues on another line, which uv accepts only for --hash: write it on one line, without a backslash"
                .to_owned(),
        );
    }
    let entry::Parsed {
        name,
        spelled,
        pin,
        marker,
        marker_text,
    } = entry::parse(text, markers)?;
    Ok(Read::Entry(Box::new(Entry {
        line: line.number,
        name,
        spelled,
        pin,
        marker,
        marker_text,
        whole: line.whole.clone(),
        body: line.body.clone(),
    })))
}

/// Whether uv reads an entry that continues on the next line as pip does: after the requirement and
/// a blank, with hashes or a comment there.
fn is_joined_for_both(text: &str, joint: Joint) -> bool {
    let requirement = entry::without_options(text).len();
    joint.at > requirement && (text.len() > requirement || joint.is_before_comment)
}

/// The text of a file, or the line where it stops being UTF-8. UTF-16 is read if a byte order mark
/// says so.
pub(super) fn text_of(bytes: &[u8], largest: usize) -> Result<Cow<'_, str>, (usize, String)> {
    if bytes.len() > largest {
        return Err((
            1,
            format!("the file has {} bytes, more than {largest}", bytes.len()),
        ));
    }
    if let Some(text) = utf_16(bytes) {
        return text.map(Cow::Owned).map_err(|message| (1, message));
    }
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        (line, "is not UTF-8".to_owned())
    })
}

/// The text after a byte order mark of UTF-16, or why it is invalid; `None` without such a mark.
fn utf_16(bytes: &[u8]) -> Option<Result<String, String>> {
    let is_little_endian = match bytes {
        // That of UTF-32 begins the same way.
        [0xff, 0xfe, 0, 0, ..] => return None,
        [0xff, 0xfe, ..] => true,
        [0xfe, 0xff, ..] => false,
        _ => return None,
    };
    let (pairs, rest) = bytes.get(2..).unwrap_or_default().as_chunks::<2>();
    let units = pairs.iter().map(|pair| {
        if is_little_endian {
            u16::from_le_bytes(*pair)
        } else {
            u16::from_be_bytes(*pair)
        }
    });
    let text: Result<String, _> = char::decode_utf16(units).collect();
    let text = text.ok().filter(|_| rest.is_empty());
    Some(text.ok_or_else(|| "the file is not UTF-16".to_owned()))
}

/// The sentence about an unexpected character.
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
        assert!(lines_of("# why \\\nb===2\n").is_empty());
        assert_eq!(
            ConstraintsFile::parse(b"a===1\n\xff\n").unwrap_err().problems()[0].line,
            2
        );
        assert!(ConstraintsFile::parse(&vec![b'\n'; LARGEST]).is_ok());
        assert_eq!(
            ConstraintsFile::parse(&vec![b'\n'; LARGEST + 1])
                .unwrap_err()
                .problems()
                .len(),
            1
        );
    }

    #[test]
    fn one_package_has_a_limit_of_entries() {
        let most = "a===1\n".repeat(entry::MOST_OF_ONE);
        assert_eq!(lines_of(&format!("{most}b===1\n")), [0; 0]);
        assert_eq!(lines_of(&format!("{most}A===1\nb===1\na===2\n")), [33, 35]);
        let error = ConstraintsFile::parse(format!("{most}A===1\n").as_bytes()).unwrap_err();
        assert_eq!(
            error.problems()[0].message,
            "\"A===1\" is one more than the 32 entries that a may have: remove some"
        );
    }

    /// As pip 26.3 and uv 0.13 do.
    #[test]
    fn a_byte_order_mark_is_skipped_at_the_start_alone() {
        for text in [
            "\u{feff}",
            "\u{feff}# release 2025.2\na===1\n",
            "\u{feff}--pre\n",
            "\u{feff}\na===1\n",
        ] {
            let file = ConstraintsFile::parse(text.as_bytes()).unwrap();
            assert_eq!(file.text(), text);
        }
        assert_eq!(lines_of("\u{feff}\u{feff}a===1\n"), [1]);
        for line in ["b===1", "# c", "", "--pre"] {
            assert_eq!(lines_of(&format!("a===1\n\u{feff}{line}\n")), [2], "{line}");
        }
    }

    #[test]
    fn utf_16_is_read_where_a_mark_says_that_it_is() {
        let text = "# \u{fc}\na===1\n";
        let bytes = |mark: [u8; 2], order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let units = text.encode_utf16().flat_map(order);
            mark.into_iter().chain(units).collect()
        };
        for bytes in [
            bytes([0xff, 0xfe], u16::to_le_bytes),
            bytes([0xfe, 0xff], u16::to_be_bytes),
        ] {
            let file = ConstraintsFile::parse(&bytes).unwrap();
            assert_eq!((file.text(), file.entries().len()), (text, 1));
            assert!(ConstraintsFile::parse(&bytes[..bytes.len() - 1]).is_err());
        }
        assert!(ConstraintsFile::parse(b"\xff\xfe\x00\xd8a\x00").is_err());
    }

    #[test]
    fn lines_that_only_pip_joins_are_told() {
        assert_eq!(lines_of("a===1 \\"), [1]);
        assert_eq!(lines_of("b===1\na===1 \\\n"), [2]);
        assert_eq!(lines_of("a===1 \\\n\nb===1\n"), [1]);
        assert_eq!(lines_of("a \\\n===1\nb===1;\\\nos_name=='nt'\n"), [1, 3]);
        assert_eq!(lines_of("a===1 --hash=sha256:00 \\"), [1]);
        for text in [
            "a===1 \\\n  --hash=sha256:00 \\\n  --hash=sha256:11\n",
            "a===1 \\\n# why\nb===1\n",
            "\\\na===1\n",
            "# why \\",
            "--pre \\\n",
            "a===1 --hash=sha256:00 \\\n\n",
        ] {
            assert_eq!(lines_of(text), [0; 0], "{text:?}");
        }
    }

    #[test]
    fn a_character_that_may_end_a_line_is_named() {
        for (text, name) in [("a===1\u{2028}", "U+2028"), ("a===1\u{c}\n", "U+000C")] {
            let error = ConstraintsFile::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(
                error.contains(&format!("has the control character {name}")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_long_option_has_its_value_behind_a_space_or_an_equals_sign() {
        for option in ["--index-url", "--extra-index-url", "-i", "-f"] {
            assert!(lines_of(&format!("{option} https://x/\n")).is_empty(), "{option}");
        }
        let file = ConstraintsFile::parse(b"--index-url=https://x/\n--constraint=more.txt\n").unwrap();
        assert_eq!((file.entries().len(), file.includes().len()), (0, 1));
        assert_eq!(lines_of("-i=https://x/\n--nonsense=x\n"), [1, 2]);
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
