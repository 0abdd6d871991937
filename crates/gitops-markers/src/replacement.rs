//! Puts values in the place of others, and makes sure that nothing else changes.

use std::ops::Range;

use super::marker::Marker;
use super::plain::is_safe_plain;
use super::stream::{Comment, Scalar, Stream, StreamEvent, read_stream};

/// How often a file is read to find the value that cannot be edited.
const MAX_READS: usize = 64;

/// A value that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueChange {
    /// The marker.
    pub marker: Marker,
    /// The line, from 1.
    pub line: usize,
    /// What the value was.
    pub before: String,
    /// What it is.
    pub after: String,
}

/// A value that is to change.
pub(super) struct Replacement<'a> {
    pub(super) scalar: &'a Scalar,
    pub(super) comment: &'a Comment,
    /// What is written in its place.
    pub(super) text: String,
    pub(super) change: ValueChange,
}

/// A value as it stands in the place of a scalar, in its style where that is possible.
pub(super) fn in_style_of(scalar: &Scalar, text: &str, value: &str) -> String {
    let was_quoted = text[scalar.bytes.clone()].chars().next();
    match was_quoted.filter(|c| matches!(c, '\'' | '"')) {
        Some(quote) => format!("{quote}{value}{quote}"),
        // Some readers take `a:b` in braces for a key and its value.
        None if is_safe_plain(value) && (scalar.flow == 0 || !value.contains(':')) => value.to_owned(),
        None => format!("\"{value}\""),
    }
}

/// Returns the text with some values in the place of others.
pub(super) fn apply_replacements(text: &str, replacements: &[Replacement<'_>]) -> String {
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

/// Replacements, parted.
#[derive(Default)]
pub(super) struct CheckedReplacements<'a> {
    /// After these the file says what it should.
    pub(super) sound: Vec<Replacement<'a>>,
    /// After these it would not.
    pub(super) unsound: Vec<Replacement<'a>>,
}

/// Finds the replacements after which a file says what it should.
pub(super) struct Checker<'a> {
    text: &'a str,
    stream: &'a Stream,
    /// How often the file may be read yet.
    reads_left: usize,
}

impl<'a> Checker<'a> {
    pub(super) fn new(text: &'a str, stream: &'a Stream) -> Self {
        Self {
            text,
            stream,
            reads_left: MAX_READS,
        }
    }

    /// Parts replacements into those after which the file says what it should, and the others.
    pub(super) fn check(&mut self, mut replacements: Vec<Replacement<'a>>) -> CheckedReplacements<'a> {
        if replacements.is_empty() || self.is_sound(&replacements) {
            return CheckedReplacements {
                sound: replacements,
                unsound: Vec::new(),
            };
        }
        if replacements.len() == 1 || self.reads_left == 0 {
            return CheckedReplacements {
                sound: Vec::new(),
                unsound: replacements,
            };
        }
        let second_half = replacements.split_off(replacements.len() / 2);
        let mut checked = self.check(replacements);
        let second = self.check(second_half);
        checked.sound.extend(second.sound);
        checked.unsound.extend(second.unsound);
        if !self.is_sound(&checked.sound) {
            checked.unsound.append(&mut checked.sound);
        }
        checked
    }

    /// Whether a file says what it did, but for the replaced values.
    fn is_sound(&mut self, replacements: &[Replacement<'_>]) -> bool {
        let Some(left) = self.reads_left.checked_sub(1) else {
            return false;
        };
        self.reads_left = left;
        let expected = &self.stream.events;
        let found = read_stream(&apply_replacements(self.text, replacements)).events;
        let mut replacements = replacements.iter().peekable();
        let mut is_same = |(at, (expected, found)): (usize, (&StreamEvent, &StreamEvent))| {
            let replacement = replacements.next_if(|replacement| replacement.scalar.event == at);
            match (expected, found, replacement) {
                (StreamEvent::Scalar(before), StreamEvent::Scalar(after), Some(replacement)) => {
                    after.value == replacement.change.after
                        && (before.anchor, &before.tag) == (after.anchor, &after.tag)
                        && (before.is_plain || !after.is_plain)
                }
                (expected, found, replacement) => replacement.is_none() && expected == found,
            }
        };
        expected.len() == found.len() && expected.iter().zip(&found).enumerate().all(&mut is_same)
    }
}
