//! Puts images where markers ask for them.

use super::image::{DeliveredImage, PatchSetName};
use super::lines::{column_of, count_line_ends, lines_with_markers};
use super::marked_scalar::marked_scalar;
use super::marker::{MARKER_KEY, Marker};
use super::plain::reads_as_string;
use super::replacement::{Checker, Replacement, ValueChange, apply_replacements, in_style_of};
use super::stream::{Comment, Scalar, Stream, read_stream};
use super::unreadable::explain;

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 5 << 20;

/// The most markers of one file.
const MAX_MARKERS: usize = 10_000;

/// Why a file is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It cannot be read as YAML.
    #[error("it has a marker but is not YAML, so it is left as it is: {message}")]
    Yaml {
        /// The line, from 1.
        line: usize,
        /// Why, and what to do.
        message: String,
    },
    /// It is too large.
    #[error("it has {0} bytes, and at most {MAX_FILE_BYTES} are read")]
    TooLarge(usize),
    /// It has too many markers. Holds the line of the first one over the limit, from 1.
    #[error("it has more than {MAX_MARKERS} markers")]
    TooMany(usize),
    /// SOPS could not decrypt it after an edit. Holds the line of the first marker, from 1.
    #[error(
        "SOPS has put its checksum (mac) over all values, so none could be decrypted after an edit: \
        encrypt the file with mac_only_encrypted: true in .sops.yaml, or move the marked values to another file"
    )]
    Sealed(usize),
}

impl EditError {
    /// The line, from 1, if one is at fault.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Yaml { line, .. } | Self::TooMany(line) | Self::Sealed(line) => Some(*line),
            Self::TooLarge(_) => None,
        }
    }
}

/// A marker that cannot be followed, or a document with markers that cannot be read.
///
/// The others are still followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerProblem {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1: of the marker's comment, or where reading ended.
    pub column: usize,
    /// Why, and what to do.
    pub message: String,
    /// The lines with the markers that are affected.
    pub markers: String,
}

/// A value with a marker that can be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedValue {
    /// The marker.
    pub marker: Marker,
    /// The value, as it was.
    pub value: String,
}

/// The result of editing a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EditedFile {
    /// The new text, if it changed.
    pub text: Option<String>,
    /// The values that changed.
    pub changes: Vec<ValueChange>,
    /// The markers whose image is known, whether their value changed or not.
    pub followed: Vec<Marker>,
    /// All markers that can be followed, whose image is known or not, with the values as they were.
    pub values: Vec<MarkedValue>,
    /// The markers that cannot be followed.
    pub problems: Vec<MarkerProblem>,
}

const BEHIND_COMMENT: &str = "the marker is after another comment: write it directly after the value, and the comment on a line of its own";
const IN_TEXT: &str = "the marker is part of a text of several lines, in which nothing is a comment: \
    write it after a value of its own, or remove it from the text";
const UNSAFE: &str =
    "the value cannot be edited without a change to something else: write it on a line of its own, in quotes";

/// Puts images where markers ask for them.
///
/// Of the file, only the marked values' bytes change. Markers of a `PatchSet` without an image are
/// left alone, and so is everything without a marker.
///
/// # Errors
///
/// If the file has a marker, and none of its documents can be read, or it cannot be edited as a
/// whole.
pub fn edit_file<'a>(
    text: &str,
    image_of: impl Fn(&PatchSetName) -> Option<&'a DeliveredImage>,
) -> Result<EditedFile, EditError> {
    if !text.contains(MARKER_KEY) {
        return Ok(EditedFile::default());
    }
    if text.len() > MAX_FILE_BYTES {
        return Err(EditError::TooLarge(text.len()));
    }
    let stream = read_stream(text);
    let mut editor = Editor {
        text,
        stream: &stream,
        image_of,
        edited: EditedFile::default(),
        replacements: Vec::new(),
    };
    for comment in &stream.comments {
        editor.take_comment(comment)?;
    }
    editor.tell_markers_in_texts();
    editor.tell_unreadable_documents()?;
    editor.finish()
}

/// A file while it is edited.
struct Editor<'a, F> {
    text: &'a str,
    stream: &'a Stream,
    image_of: F,
    edited: EditedFile,
    replacements: Vec<Replacement<'a>>,
}

impl<'a, 'i, F: Fn(&PatchSetName) -> Option<&'i DeliveredImage>> Editor<'a, F> {
    fn image_of(&self, marker: &Marker) -> Option<&'i DeliveredImage> {
        (self.image_of)(&marker.patch_set)
    }

    fn is_full(&self) -> bool {
        self.edited.values.len() + self.edited.problems.len() >= MAX_MARKERS
    }

    /// Records a marker that cannot be followed, with its line.
    fn add_problem(&mut self, comment: &Comment, message: String) {
        self.edited.problems.push(MarkerProblem {
            line: comment.line,
            column: comment.column,
            message,
            markers: self.text[comment.bytes.clone()].to_owned(),
        });
    }

    fn take_comment(&mut self, comment: &'a Comment) -> Result<(), EditError> {
        let content = &self.text[comment.bytes.clone()];
        if !content.contains(MARKER_KEY) {
            return Ok(());
        }
        if self.is_full() {
            return Err(EditError::TooMany(comment.line));
        }
        match Marker::from_comment(content) {
            None => {
                // What is commented out together with its marker is so on purpose.
                if !self.is_alone(comment) && self.has_known_marker(content) {
                    self.add_problem(comment, BEHIND_COMMENT.to_owned());
                }
            }
            Some(Err(error)) => self.add_problem(comment, error.to_string()),
            Some(Ok(marker)) => match marked_scalar(self.text, self.stream, comment) {
                Ok(scalar) => self.take_marker(comment, marker, scalar),
                Err(reason) => {
                    if self.image_of(&marker).is_some() {
                        self.add_problem(comment, reason);
                    }
                }
            },
        }
        Ok(())
    }

    /// Whether there is nothing before a comment on its line.
    fn is_alone(&self, comment: &Comment) -> bool {
        let before = self.text[..comment.bytes.start - 1].chars().rev();
        before
            .take_while(|c| !matches!(c, '\n' | '\r'))
            .all(|c| c.is_whitespace() || c == '\u{feff}')
    }

    /// Whether a marker whose image is known stands after a `#` inside a text.
    fn has_known_marker(&self, text: &str) -> bool {
        text.split('#')
            .filter(|part| part.contains(MARKER_KEY))
            .filter_map(|part| Marker::from_comment(part)?.ok())
            .any(|marker| self.image_of(&marker).is_some())
    }

    fn take_marker(&mut self, comment: &'a Comment, marker: Marker, scalar: &'a Scalar) {
        self.edited.values.push(MarkedValue {
            marker: marker.clone(),
            value: scalar.value.clone(),
        });
        let Some(image) = self.image_of(&marker) else {
            return;
        };
        let value = marker.value_of(image);
        if scalar.value != value || !(scalar.is_string || reads_as_string(value)) {
            self.replacements.push(Replacement {
                scalar,
                comment,
                text: in_style_of(scalar, self.text, value),
                change: ValueChange {
                    marker: marker.clone(),
                    line: comment.line,
                    before: scalar.value.clone(),
                    after: value.to_owned(),
                },
            });
        }
        self.edited.followed.push(marker);
    }

    /// Reports the markers inside texts of several lines, where they look like comments.
    fn tell_markers_in_texts(&mut self) {
        let (text, mut counted) = (self.text, (0, 1));
        for scalar in &self.stream.scalars {
            let content = &text[scalar.bytes.clone()];
            if !content.contains(MARKER_KEY) || !content.contains(['\n', '\r']) {
                continue;
            }
            let mut start = scalar.bytes.start;
            for part in content.split_inclusive(['\n', '\r']) {
                let hash = part.find('#').unwrap_or_default();
                if part.contains(MARKER_KEY) && self.has_known_marker(part) {
                    if self.is_full() {
                        return;
                    }
                    counted = (start, counted.1 + count_line_ends(&text[counted.0..start]));
                    self.edited.problems.push(MarkerProblem {
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

    /// Reports the documents that have markers and cannot be read.
    fn tell_unreadable_documents(&mut self) -> Result<(), EditError> {
        for unreadable in &self.stream.unreadable {
            let document = &self.text[unreadable.bytes.clone()];
            if !document.contains(MARKER_KEY) {
                continue;
            }
            let (line, message) = explain(self.text, unreadable);
            let edited = &mut self.edited;
            let is_all = edited.values.is_empty() && edited.problems.is_empty();
            if is_all && self.stream.unreadable.len() == 1 {
                return Err(EditError::Yaml { line, message });
            }
            edited.problems.push(MarkerProblem {
                line: unreadable.line,
                column: unreadable.column,
                message: format!(
                    "its document has a marker but is not YAML, so it is left as it is: {message}"
                ),
                markers: lines_with_markers(document),
            });
        }
        Ok(())
    }

    /// Applies the replacements that change nothing else.
    fn finish(mut self) -> Result<EditedFile, EditError> {
        let replacements = std::mem::take(&mut self.replacements);
        if let Some(first) = replacements.first().filter(|_| self.stream.is_sealed) {
            return Err(EditError::Sealed(first.comment.line));
        }
        let checked = Checker::new(self.text, self.stream).check(replacements);
        for replacement in checked.unsound {
            let marker = &replacement.change.marker;
            let followed = &mut self.edited.followed;
            if let Some(at) = followed.iter().position(|followed| followed == marker) {
                followed.remove(at);
            }
            self.add_problem(replacement.comment, UNSAFE.to_owned());
        }
        let mut edited = self.edited;
        edited
            .problems
            .sort_by_key(|problem| (problem.line, problem.column));
        if !checked.sound.is_empty() {
            edited.text = Some(apply_replacements(self.text, &checked.sound));
            let changes = checked.sound.into_iter();
            edited.changes = changes.map(|replacement| replacement.change).collect();
        }
        Ok(edited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tests::image;

    #[test]
    fn a_value_that_cannot_be_edited_is_told_and_the_others_are_written() {
        let text = "a: v1 # {\"$patchset\": \"ours:glance:tag\"}\nb: v1 # {\"$patchset\": \"ours:glance\"}\n\
            c: v1 # {\"$patchset\": \"ours:nova:tag\"}\n";
        let (glance, nova) = (image("glance", "v2"), image("nova", "v2"));
        let stream = read_stream(text);
        let mut editor = Editor {
            text,
            stream: &stream,
            image_of: |patch_set: &PatchSetName| {
                let mut images = [&glance, &nova].into_iter();
                images.find(|image| image.patch_set == *patch_set)
            },
            edited: EditedFile::default(),
            replacements: Vec::new(),
        };
        for comment in &stream.comments {
            editor.take_comment(comment).unwrap();
        }
        // As if the parser had reported the wrong position of the value.
        editor.replacements[1].text = "x # v2".to_owned();
        let edited = editor.finish().unwrap();
        let [problem] = edited.problems.as_slice() else {
            panic!("{:?}", edited.problems);
        };
        assert_eq!((problem.line, problem.message.as_str()), (2, UNSAFE));
        assert!(problem.markers.contains("\"ours:glance\""));
        let followed: Vec<String> = edited.followed.iter().map(ToString::to_string).collect();
        assert_eq!(followed, ["ours:glance:tag", "ours:nova:tag"]);
        let lines: Vec<usize> = edited.changes.iter().map(|change| change.line).collect();
        assert_eq!(lines, [1, 3]);
        let [first, _, last] = [0, 1, 2].map(|at| text.lines().nth(at).unwrap().replace("v1", "v2"));
        let second = text.lines().nth(1).unwrap();
        assert_eq!(edited.text.unwrap(), format!("{first}\n{second}\n{last}\n"));
    }
}
