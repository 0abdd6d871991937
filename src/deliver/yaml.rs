//! Puts images where markers ask for them.

use std::ops::Range;

use granit_parser::{ErrorKind, ScalarStyle};

use super::marker::{KEY, Marker};
use super::plain::{is_string, reads_as_string};
use super::stream::{Comment, Fault, Said, Scalar, Stream, read};
use crate::api::build::ImageStatus;
use crate::text::printable;

/// The largest file that is read, in bytes.
pub const LARGEST: usize = 5 << 20;

/// The most markers of one file.
const MOST_MARKERS: usize = 10_000;

/// How often a file is read to find the value that cannot be edited.
const MOST_READS: usize = 64;

/// Why a file is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be read as YAML.
    #[error("it has a marker and is no YAML, so that it is left as it is: {message}")]
    Yaml {
        /// The line, from 1.
        line: usize,
        /// Why, and what to do.
        message: String,
    },
    /// It is too large.
    #[error("it has {0} bytes, and at most {LARGEST} are read")]
    TooLarge(usize),
    /// It has too many markers. The line of the first that is too much, from 1.
    #[error("it has more than {MOST_MARKERS} markers")]
    TooMany(usize),
    /// SOPS could not decrypt it after an edit. The line of the first marker, from 1.
    #[error(
        "SOPS has put its check sum (mac) over all values, so that none could be decrypted after an edit: \
        encrypt the file with mac_only_encrypted: true in .sops.yaml, or move the marked values to another file"
    )]
    Sealed(usize),
}

impl Error {
    /// The line, from 1, where it is one's fault.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Yaml { line, .. } | Self::TooMany(line) | Self::Sealed(line) => Some(*line),
            Self::TooLarge(_) => None,
        }
    }
}

/// A marker that cannot be followed, or a document with markers that cannot be read. The others are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1: of the marker's comment, or where reading ended.
    pub column: usize,
    /// Why, and what to do.
    pub message: String,
    /// The lines with the markers that are concerned.
    pub markers: String,
}

/// A value that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The marker.
    pub marker: Marker,
    /// The line, from 1.
    pub line: usize,
    /// What the value was.
    pub before: String,
    /// What it is.
    pub after: String,
}

/// What became of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edited {
    /// The text, where it changed.
    pub text: Option<String>,
    /// The values that changed.
    pub changes: Vec<Change>,
    /// The markers whose image is known, whether their value changed or not.
    pub followed: Vec<Marker>,
    /// All markers that can be followed, whose image is known or not, with the values as they were.
    pub values: Vec<(Marker, String)>,
    /// The markers that cannot be followed.
    pub problems: Vec<Problem>,
}

/// A value that is to change.
struct Replacement<'a> {
    scalar: &'a Scalar,
    comment: &'a Comment,
    text: String,
    change: Change,
}

/// Puts images where markers ask for them. Of the file, only the marked values' bytes change. Markers of a `PatchSet` for
/// which there is no image are left alone, and so is all that has no marker, whatever it is.
///
/// # Errors
///
/// Where the file has a marker, and no document of it can be read, or it cannot be edited as a whole.
pub fn edit<'a>(text: &str, image_of: impl Fn(&Marker) -> Option<&'a ImageStatus>) -> Result<Edited, Error> {
    if !text.contains(KEY) {
        return Ok(Edited::default());
    }
    if text.len() > LARGEST {
        return Err(Error::TooLarge(text.len()));
    }
    let stream = read(text);
    let mut edited = Edited::default();
    let mut replacements: Vec<Replacement<'_>> = Vec::new();
    for comment in &stream.comments {
        let content = &text[comment.bytes.clone()];
        if !content.contains(KEY) {
            continue;
        }
        if edited.values.len() + edited.problems.len() >= MOST_MARKERS {
            return Err(Error::TooMany(comment.line));
        }
        let problem = |message: String| problem(text, comment, message);
        let Some(found) = Marker::of_comment(content) else {
            let is_alone = text[..comment.bytes.start - 1]
                .chars()
                .rev()
                .take_while(|c| !matches!(c, '\n' | '\r'))
                .all(|c| c.is_whitespace() || c == '\u{feff}');
            // What is commented out with its marker is meant to be.
            if !is_alone && inner_markers(content).any(|marker| image_of(&marker).is_some()) {
                edited.problems.push(problem(BEHIND_COMMENT.to_owned()));
            }
            continue;
        };
        let marker = match found {
            Ok(marker) => marker,
            Err(error) => {
                edited.problems.push(problem(error.to_string()));
                continue;
            }
        };
        let image = image_of(&marker);
        let scalar = match marked(text, &stream, comment) {
            Ok(scalar) => scalar,
            Err(why) => {
                edited.problems.extend(image.map(|_| problem(why)));
                continue;
            }
        };
        edited.values.push((marker.clone(), scalar.value.clone()));
        let Some(image) = image else { continue };
        let value = marker.value(image);
        if scalar.value != value || !(scalar.is_string || reads_as_string(value)) {
            replacements.push(Replacement {
                scalar,
                comment,
                text: written(text, scalar, value),
                change: Change {
                    marker: marker.clone(),
                    line: comment.line,
                    before: scalar.value.clone(),
                    after: value.to_owned(),
                },
            });
        }
        edited.followed.push(marker);
    }
    tell_texts(text, &stream, &image_of, &mut edited);
    tell_faults(text, &stream.faults, &mut edited)?;
    if stream.is_sealed && !replacements.is_empty() {
        let line = replacements.first().map_or(1, |first| first.comment.line);
        return Err(Error::Sealed(line));
    }
    let mut reads = MOST_READS;
    let (sound, unsound) = sound(text, &stream, replacements, &mut reads);
    for replacement in unsound {
        let marker = &replacement.change.marker;
        if let Some(at) = edited.followed.iter().position(|followed| followed == marker) {
            edited.followed.remove(at);
        }
        edited
            .problems
            .push(problem(text, replacement.comment, UNSAFE.to_owned()));
    }
    edited
        .problems
        .sort_by_key(|problem| (problem.line, problem.column));
    if !sound.is_empty() {
        edited.text = Some(replaced(text, &sound));
        edited.changes = sound.into_iter().map(|replacement| replacement.change).collect();
    }
    Ok(edited)
}

const NO_VALUE: &str =
    "there is no value before it on its line: write the marker behind the value that it marks";
const BEHIND_COMMENT: &str = "the marker is behind another comment: write it directly behind the value, and the comment on a line of its own";
const IN_TEXT: &str = "the marker is part of a text of several lines, in which nothing is a comment: \
    write it behind a value of its own, or take it out of the text";
const UNSAFE: &str =
    "the value cannot be edited without a change to something else: write it on a line of its own, in quotes";
const TEMPLATE: &str = "it is a template ({{ … }}) and not YAML itself: mark its values file";
const TAB: &str = "the line is indented with a tab: YAML takes spaces alone";

/// A marker that cannot be followed, with its line.
fn problem(text: &str, comment: &Comment, message: String) -> Problem {
    Problem {
        line: comment.line,
        column: comment.column,
        message,
        markers: text[comment.bytes.clone()].to_owned(),
    }
}

/// The markers that stand behind a `#` inside a text.
fn inner_markers(text: &str) -> impl Iterator<Item = Marker> {
    text.split('#')
        .filter(|part| part.contains(KEY))
        .filter_map(|part| Marker::of_comment(part)?.ok())
}

/// Tells the markers inside texts of several lines, where they look like comments.
fn tell_texts<'a>(
    text: &str,
    stream: &Stream,
    image_of: &impl Fn(&Marker) -> Option<&'a ImageStatus>,
    edited: &mut Edited,
) {
    let mut counted = (0, 1);
    for scalar in &stream.scalars {
        let content = &text[scalar.bytes.clone()];
        if !content.contains(KEY) || !content.contains(['\n', '\r']) {
            continue;
        }
        let mut start = scalar.bytes.start;
        for part in content.split_inclusive(['\n', '\r']) {
            let hash = part.find('#').unwrap_or_default();
            if part.contains(KEY) && inner_markers(part).any(|marker| image_of(&marker).is_some()) {
                if edited.values.len() + edited.problems.len() >= MOST_MARKERS {
                    return;
                }
                counted = (start, counted.1 + line_ends(&text[counted.0..start]));
                edited.problems.push(Problem {
                    line: counted.1,
                    column: column_of(text, start + hash),
                    message: IN_TEXT.to_owned(),
                    markers: part.to_owned(),
                });
            }
            start += part.len();
        }
    }
}

/// How many lines end in a text.
fn line_ends(text: &str) -> usize {
    let bytes = text.as_bytes();
    let ends = |at: usize| bytes[at] == b'\n' || bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n');
    (0..bytes.len()).filter(|at| ends(*at)).count()
}

/// The column of a byte in characters, from 1.
fn column_of(text: &str, at: usize) -> usize {
    let before = text[..at].chars().rev();
    before.take_while(|c| !matches!(c, '\n' | '\r')).count() + 1
}

/// Tells the documents that have markers and cannot be read.
fn tell_faults(text: &str, faults: &[Fault], edited: &mut Edited) -> Result<(), Error> {
    for fault in faults {
        let document = &text[fault.bytes.clone()];
        if !document.contains(KEY) {
            continue;
        }
        let (line, message) = why(text, fault);
        if edited.values.is_empty() && edited.problems.is_empty() && faults.len() == 1 {
            return Err(Error::Yaml { line, message });
        }
        let lines: Vec<&str> = document
            .split(['\n', '\r'])
            .filter(|line| line.contains(KEY))
            .collect();
        edited.problems.push(Problem {
            line: fault.line,
            column: fault.column,
            message: format!(
                "its document has a marker and is no YAML, so that it is left as it is: {message}"
            ),
            markers: lines.join("\n"),
        });
    }
    Ok(())
}

/// The line of a fault and why it is one, for the author of the file.
fn why(text: &str, fault: &Fault) -> (usize, String) {
    let document = &text[fault.bytes.clone()];
    let first = line_ends(&text[..fault.bytes.start]) + 1;
    let has_tab = |line: &str| line[..line.len() - line.trim_start().len()].contains('\t');
    let mut lines = document.split_inclusive('\n').enumerate();
    let is_template = lines.any(|(index, line)| {
        line.trim_start().starts_with("{{") || index + first == fault.line && line.contains("{{")
    });
    if is_template {
        return (fault.line, TEMPLATE.to_owned());
    }
    let from_fault = document
        .split_inclusive('\n')
        .enumerate()
        .skip(fault.line.saturating_sub(first));
    let is_tab = matches!(
        fault.kind,
        ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabNotAllowed
    );
    let mut near = from_fault.take(if is_tab { usize::MAX } else { 1 });
    match near.find(|(_, line)| has_tab(line)) {
        Some((index, _)) => (first + index, TAB.to_owned()),
        None => (fault.line, format!("{}, column {}", fault.kind, fault.column)),
    }
}

/// The scalar that a comment marks.
fn marked<'a>(text: &str, stream: &'a Stream, comment: &Comment) -> Result<&'a Scalar, String> {
    let hash = comment.bytes.start - 1;
    let line_start = text[..hash].rfind(['\n', '\r']).map_or(0, |end| end + 1);
    let after = stream.scalars.partition_point(|scalar| scalar.bytes.start < hash);
    let scalar = after
        .checked_sub(1)
        .and_then(|index| stream.scalars.get(index))
        .filter(|scalar| scalar.bytes.end <= hash)
        .filter(|scalar| scalar.bytes.end > line_start)
        .ok_or(NO_VALUE)?;
    if matches!(scalar.style, ScalarStyle::Literal | ScalarStyle::Folded) {
        return Err("the value is a block of text: write it on one line, before the marker".to_owned());
    }
    if text[scalar.bytes.clone()].contains(['\n', '\r']) {
        return Err("the value goes over several lines: write it on one line, before the marker".to_owned());
    }
    if let Some(tag) = &scalar.other_tag {
        return Err(format!(
            "the value's tag {} says that it is no string: take the tag out",
            printable(tag, 100)
        ));
    }
    if text[line_start..comment.bytes.end].contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        return Err("the line has a character at which some readers end it: take it out".to_owned());
    }
    let is_odd = |name: &str| {
        !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    let words = text[line_start..scalar.bytes.start.max(line_start)]
        .split_whitespace()
        .rev();
    let mut properties = words.take_while(|word| word.starts_with(['&', '!']));
    if properties.any(|word| word.strip_prefix('&').is_some_and(is_odd)) {
        return Err(
            "the name of the value's anchor ends earlier to some readers: take letters, digits, _ and -"
                .to_owned(),
        );
    }
    if scalar.value.starts_with("ENC[AES256_GCM,") {
        return Err("the value is encrypted by SOPS: mark one that is not".to_owned());
    }
    let between = &text[scalar.bytes.end..hash];
    match between.trim_start_matches([' ', '\t', ',']).chars().next() {
        None => Ok(scalar),
        Some('}') if between.contains("}}") => Err(TEMPLATE.to_owned()),
        Some(']' | '}') => {
            Err("it is behind a list or a map: write it behind the value that it marks".to_owned())
        }
        Some(_) => Err(NO_VALUE.to_owned()),
    }
}

/// A value as it stands in the place of a scalar, in its style where that is possible.
fn written(text: &str, scalar: &Scalar, value: &str) -> String {
    let was_quoted = text[scalar.bytes.clone()].chars().next();
    match was_quoted.filter(|c| matches!(c, '\'' | '"')) {
        Some(quote) => format!("{quote}{value}{quote}"),
        // Some readers take `a:b` in braces for a key and its value.
        None if is_string(value) && (scalar.flow == 0 || !value.contains(':')) => value.to_owned(),
        None => format!("\"{value}\""),
    }
}

/// The text with some values in the place of others.
fn replaced(text: &str, replacements: &[Replacement<'_>]) -> String {
    let mut result = String::with_capacity(text.len() + 64 * replacements.len());
    let mut done = 0;
    for replacement in replacements {
        let bytes: &Range<usize> = &replacement.scalar.bytes;
        result.push_str(&text[done..bytes.start]);
        result.push_str(&replacement.text);
        done = bytes.end;
    }
    result.push_str(&text[done..]);
    result
}

/// Parts replacements into those after which the file says what it should, and the others.
fn sound<'a>(
    text: &str,
    stream: &Stream,
    mut replacements: Vec<Replacement<'a>>,
    reads: &mut usize,
) -> (Vec<Replacement<'a>>, Vec<Replacement<'a>>) {
    if replacements.is_empty() || is_sound(text, stream, &replacements, reads) {
        return (replacements, Vec::new());
    }
    if replacements.len() == 1 || *reads == 0 {
        return (Vec::new(), replacements);
    }
    let second = replacements.split_off(replacements.len() / 2);
    let (mut good, mut bad) = sound(text, stream, replacements, reads);
    let (more, worse) = sound(text, stream, second, reads);
    good.extend(more);
    bad.extend(worse);
    if is_sound(text, stream, &good, reads) {
        (good, bad)
    } else {
        bad.extend(good);
        (Vec::new(), bad)
    }
}

/// Whether a file says what it did, but for the replaced values.
fn is_sound(text: &str, stream: &Stream, replacements: &[Replacement<'_>], reads: &mut usize) -> bool {
    let Some(left) = reads.checked_sub(1) else {
        return false;
    };
    *reads = left;
    let found = read(&replaced(text, replacements)).events;
    let mut replacements = replacements.iter().peekable();
    let is_same = |(at, (expected, found)): (usize, (&Said, &Said))| {
        let replacement = replacements.next_if(|replacement| replacement.scalar.event == at);
        match (expected, found, replacement) {
            (
                Said::Scalar(_, was_plain, anchor, tag),
                Said::Scalar(value, is_plain, new_anchor, new_tag),
                Some(replacement),
            ) => {
                *value == replacement.change.after
                    && (anchor, tag) == (new_anchor, new_tag)
                    && (*was_plain || !*is_plain)
            }
            (expected, found, replacement) => replacement.is_none() && expected == found,
        }
    };
    stream.events.len() == found.len() && stream.events.iter().zip(&found).enumerate().all(is_same)
}
