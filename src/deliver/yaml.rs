//! Puts images where markers ask for them.

use std::ops::Range;

use saphyr_parser::ScalarStyle;

use super::marker::{KEY, Marker};
use super::plain::is_string;
use super::tokens::{Said, Token, tokens};
use crate::api::build::ImageStatus;

/// The largest file that is read, in bytes.
pub const LARGEST: usize = 5 << 20;

/// The most markers of one file.
const MOST_MARKERS: usize = 10_000;

/// Why a file is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be read as YAML.
    #[error("it has a marker and is no YAML, so that it is left as it is: {0}")]
    Yaml(String),
    /// It is too large.
    #[error("it has {0} bytes, and at most {LARGEST} are read")]
    TooLarge(usize),
    /// It has too many markers.
    #[error("it has more than {MOST_MARKERS} markers")]
    TooMany,
    /// The edited file would not say what it should.
    #[error(
        "its line {0} cannot be edited without a change to something else: write the value on one line in quotes"
    )]
    Unsafe(usize),
}

/// A marker that cannot be followed. The others are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column of the marker's comment in characters, from 1.
    pub column: usize,
    /// Why, and what to do.
    pub message: String,
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

/// Puts images where markers ask for them. Of the file, only the marked values' bytes change. Markers of a `PatchSet` for
/// which there is no image are left alone, and so is all that has no marker, whatever it is.
///
/// # Errors
///
/// Where the file has a marker, and cannot be read or edited as a whole.
pub fn edit<'a>(text: &str, image_of: impl Fn(&Marker) -> Option<&'a ImageStatus>) -> Result<Edited, Error> {
    if !text.contains(KEY) {
        return Ok(Edited::default());
    }
    if text.len() > LARGEST {
        return Err(Error::TooLarge(text.len()));
    }
    let before = tokens(text).map_err(|error| Error::Yaml(error.to_string()))?;
    let mut edited = Edited::default();
    let mut replaced: Vec<(usize, Range<usize>, String)> = Vec::new();
    for comment in comments(text, &before.scalars) {
        let Some(read) = Marker::of_comment(&text[comment.bytes.clone()]) else {
            continue;
        };
        if edited.values.len() + edited.problems.len() >= MOST_MARKERS {
            return Err(Error::TooMany);
        }
        let problem = |message: String| Problem {
            line: comment.line,
            column: text[comment.line_start..comment.bytes.start].chars().count(),
            message,
        };
        let marker = match read {
            Ok(marker) => marker,
            Err(error) => {
                edited.problems.push(problem(error.to_string()));
                continue;
            }
        };
        let image = image_of(&marker);
        let token = comment
            .token
            .and_then(|index| before.scalars.get(index).map(|token| (index, token)));
        let (index, token) = match token.ok_or(NO_VALUE).and_then(|(index, token)| {
            let between = &text[token.bytes.end..comment.bytes.start - 1];
            is_marked(text, token, between).map(|()| (index, token))
        }) {
            Ok(found) => found,
            Err(why) => {
                edited.problems.extend(image.map(|_| problem(why.to_owned())));
                continue;
            }
        };
        edited.values.push((marker.clone(), token.value.clone()));
        let Some(image) = image else { continue };
        let value = marker.value(image);
        if token.value != value {
            replaced.push((index, token.bytes.clone(), written(text, token, value)));
            edited.changes.push(Change {
                marker: marker.clone(),
                line: comment.line,
                before: token.value.clone(),
                after: value.to_owned(),
            });
        }
        edited.followed.push(marker);
    }
    if replaced.is_empty() {
        return Ok(edited);
    }
    let mut result = String::with_capacity(text.len() + 64 * replaced.len());
    let mut done = 0;
    for (_, bytes, written) in &replaced {
        result.push_str(&text[done..bytes.start]);
        result.push_str(written);
        done = bytes.end;
    }
    result.push_str(&text[done..]);
    let mut expected = before.events;
    for ((index, ..), change) in replaced.iter().zip(&edited.changes) {
        if let Some(Said::Scalar(value, ..)) = before
            .scalars
            .get(*index)
            .and_then(|token| expected.get_mut(token.event))
        {
            value.clone_from(&change.after);
        }
    }
    let line = edited.changes.first().map_or(1, |change| change.line);
    let after = tokens(&result).map_err(|_| Error::Unsafe(line))?;
    if !same(&expected, &after.events) {
        return Err(Error::Unsafe(line));
    }
    edited.text = Some(result);
    Ok(edited)
}

const NO_VALUE: &str =
    "there is no value before it on its line: write the marker behind the value that it marks";

/// Whether a marker behind a token marks its value.
fn is_marked(text: &str, token: &Token, between: &str) -> Result<(), &'static str> {
    if matches!(token.style, ScalarStyle::Literal | ScalarStyle::Folded) {
        return Err("the value is a block of text: write it on one line, before the marker");
    }
    if text[token.bytes.clone()].contains(['\n', '\r']) {
        return Err("the value goes over several lines: write it on one line, before the marker");
    }
    if token.style == ScalarStyle::Plain && text[token.bytes.clone()] != token.value {
        return Err("there is no value that can be replaced: write one, for instance \"\"");
    }
    match between.trim_start_matches([' ', '\t', ',']).chars().next() {
        None => Ok(()),
        Some(']' | '}') => Err("it is behind a list or a map: write it behind the value that it marks"),
        Some(_) => Err(NO_VALUE),
    }
}

/// A value as it stands in the place of a token, in its style where that is possible.
fn written(text: &str, token: &Token, value: &str) -> String {
    let was_quoted = text[token.bytes.clone()].chars().next();
    match was_quoted.filter(|c| matches!(c, '\'' | '"')) {
        Some(quote) => format!("{quote}{value}{quote}"),
        // Some readers take `a:b` in braces for a key and its value.
        None if is_string(value) && (token.flow == 0 || !value.contains(':')) => value.to_owned(),
        None => format!("\"{value}\""),
    }
}

/// Whether two streams say the same, but for quotes.
fn same(expected: &[Said], found: &[Said]) -> bool {
    let alike = |(expected, found): (&Said, &Said)| match (expected, found) {
        (Said::Scalar(a, was_plain, anchor, tag), Said::Scalar(b, is_plain, other_anchor, other_tag)) => {
            let is_quoted_now = *was_plain && !*is_plain;
            (a, anchor, tag) == (b, other_anchor, other_tag) && (was_plain == is_plain || is_quoted_now)
        }
        _ => expected == found,
    };
    expected.len() == found.len() && expected.iter().zip(found).all(alike)
}

/// A comment that has the key.
struct Comment {
    /// Its text, without `#`.
    bytes: Range<usize>,
    /// The line, from 1, and where it begins.
    line: usize,
    line_start: usize,
    /// The last scalar that ends before it on its line.
    token: Option<usize>,
}

/// The comments that have the key, in order.
fn comments(text: &str, scalars: &[Token]) -> Vec<Comment> {
    // What says nothing has no bytes of its own; the parser may put it anywhere on the line.
    let says = |token: &Token| !(token.style == ScalarStyle::Plain && token.value.is_empty());
    let solid: Vec<usize> = (0..scalars.len())
        .filter(|index| scalars.get(*index).is_some_and(says))
        .collect();
    let token_of = |place: usize| {
        solid
            .get(place)
            .and_then(|index| Some((*index, scalars.get(*index)?)))
    };
    let mut found = Vec::new();
    let mut line_start = 0;
    for (number, part) in text.split_inclusive('\n').enumerate() {
        let (start, content) = (line_start, part.trim_end_matches(['\n', '\r']));
        line_start += part.len();
        if !content.contains(KEY) {
            continue;
        }
        let end = start + content.len();
        let after =
            solid.partition_point(|index| scalars.get(*index).is_some_and(|token| token.bytes.start < end));
        let last = after
            .checked_sub(1)
            .and_then(token_of)
            .filter(|(_, token)| token.bytes.end > start);
        let from = last.as_ref().map_or(start, |(_, token)| token.bytes.end);
        // A scalar that goes on is no comment.
        let Some(rest) = text.get(from..end) else {
            continue;
        };
        // A comment begins with a `#` at the start of a line or behind a space (YAML 1.2, 6.6).
        let begins = |at: usize| {
            let before = text[..from + at].chars().next_back();
            before.is_none_or(char::is_whitespace)
        };
        if let Some((at, _)) = rest.match_indices('#').find(|(at, _)| begins(*at)) {
            found.push(Comment {
                bytes: from + at + 1..end,
                line: number + 1,
                line_start: start,
                token: last.map(|(index, _)| index),
            });
        }
    }
    found
}
