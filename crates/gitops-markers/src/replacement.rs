//! Replaces values, and makes sure that nothing else changes.

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

/// Returns the text that puts a value in a scalar's place, in its style if possible.
pub(super) fn in_style_of(scalar: &Scalar, text: &str, value: &str) -> String {
    let was_quoted = text[scalar.bytes.clone()].chars().next();
    match was_quoted.filter(|c| matches!(c, '\'' | '"')) {
        Some(quote) => format!("{quote}{value}{quote}"),
        // Some readers take `a:b` in braces for a key and its value.
        None if is_safe_plain(value) && (scalar.flow == 0 || !value.contains(':')) => value.to_owned(),
        None => format!("\"{value}\""),
    }
}

/// Returns the text with the replacements made.
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

/// Replacements, divided into sound and unsound ones.
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
    /// How many more times the file may be read.
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

    /// Divides replacements into those after which the file says what it should, and the others.
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

    /// Whether a file still says the same, apart from the replaced values.
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a: one # x\nb: 'two' # x\nc: &n three # x\n";

    /// Replaces the values of [`TEXT`] by texts that should read as given beside them. Returns the
    /// sound ones, and the others.
    fn check(values: [(&str, &str); 3], reads_left: usize) -> (Vec<String>, Vec<String>) {
        let stream = read_stream(TEXT);
        let values_of_text = stream.scalars.iter().skip(1).step_by(2);
        let replacements = values_of_text.zip(&stream.comments).zip(values);
        let replacements = replacements.map(|((scalar, comment), (text, after))| Replacement {
            scalar,
            comment,
            text: text.to_owned(),
            change: ValueChange {
                marker: "ours:glance".parse().unwrap(),
                line: comment.line,
                before: scalar.value.clone(),
                after: after.to_owned(),
            },
        });
        let mut checker = Checker {
            reads_left,
            ..Checker::new(TEXT, &stream)
        };
        let checked = checker.check(replacements.collect());
        let texts = |all: Vec<Replacement<'_>>| all.into_iter().map(|one| one.text).collect();
        (texts(checked.sound), texts(checked.unsound))
    }

    #[test]
    fn values_that_say_what_they_should_are_written() {
        let good = [("v1", "v1"), ("'v2'", "v2"), ("\"v3\"", "v3")];
        let (sound, unsound) = check(good, 1);
        assert_eq!((sound.len(), unsound.len()), (3, 0));
        // It cannot be known without a read.
        let (sound, unsound) = check(good, 0);
        assert_eq!((sound.len(), unsound.len()), (0, 3));
    }

    #[test]
    fn what_changes_something_else_is_left_out_and_the_others_are_written() {
        for (bad, after) in [
            ("v1\nd: e", "v1"),
            ("v1", "v2"),
            ("[v1]", "v1"),
            ("{", "{"),
            ("&m v1", "v1"),
            ("!!str v1", "v1"),
            ("v1 #", "v1 #"),
        ] {
            for at in 0..3 {
                let mut values = [("v1", "v1"), ("'v2'", "v2"), ("\"v3\"", "v3")];
                values[at] = (bad, after);
                let (sound, unsound) = check(values, MAX_READS);
                assert_eq!((sound.len(), unsound), (2, vec![bad.to_owned()]), "{bad} at {at}");
            }
        }
    }

    #[test]
    fn what_turns_other_values_into_as_many_others_is_left_out() {
        let text = "a: one # x\nb: two # \"\n";
        let stream = read_stream(text);
        let replacement = Replacement {
            scalar: &stream.scalars[1],
            comment: &stream.comments[0],
            // It turns the second line into part of its own text.
            text: "v1\nz: \"".to_owned(),
            change: ValueChange {
                marker: "ours:glance".parse().unwrap(),
                line: 1,
                before: "one".to_owned(),
                after: "v1".to_owned(),
            },
        };
        let after = apply_replacements(text, std::slice::from_ref(&replacement));
        assert_eq!(read_stream(&after).events.len(), stream.events.len());
        let checked = Checker::new(text, &stream).check(vec![replacement]);
        assert_eq!((checked.sound.len(), checked.unsound.len()), (0, 1));
    }

    #[test]
    fn quotes_are_not_taken_away() {
        let values = [("'1'", "1"), ("2", "2"), ("3", "3")];
        let (sound, unsound) = check(values, MAX_READS);
        assert_eq!(
            (sound, unsound),
            (vec!["'1'".to_owned(), "3".to_owned()], vec!["2".to_owned()])
        );
    }

    #[test]
    fn the_search_for_what_cannot_be_edited_ends() {
        let bad = [("v1", "x"), ("'v2'", "v2"), ("\"v3\"", "v3")];
        // All, the first half, the second half: no read is left for both together.
        let (sound, unsound) = check(bad, 3);
        assert_eq!((sound.len(), unsound.len()), (0, 3));
        let (sound, unsound) = check(bad, 4);
        assert_eq!((sound.len(), unsound.len()), (2, 1));
    }

    #[test]
    fn bytes_around_values_stay() {
        let stream = read_stream(TEXT);
        let [_, one, _, two, ..] = stream.scalars.as_slice() else {
            panic!("{:?}", stream.scalars);
        };
        assert_eq!(in_style_of(one, TEXT, "v1"), "v1");
        assert_eq!(in_style_of(one, TEXT, "1.10"), "\"1.10\"");
        assert_eq!(in_style_of(two, TEXT, "v1"), "'v1'");
        let change = ValueChange {
            marker: "ours:glance".parse().unwrap(),
            line: 2,
            before: "two".to_owned(),
            after: "v2".to_owned(),
        };
        let replacement = Replacement {
            scalar: two,
            comment: &stream.comments[1],
            text: "'v2'".to_owned(),
            change,
        };
        assert_eq!(
            apply_replacements(TEXT, &[replacement]),
            "a: one # x\nb: 'v2' # x\nc: &n three # x\n"
        );
    }
}
