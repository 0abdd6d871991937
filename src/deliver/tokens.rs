//! The scalars of a YAML stream with the bytes that hold them.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

/// A scalar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Its bytes, with its quotes and without anchor and tag. Of a block scalar the lines of its text.
    pub(super) bytes: Range<usize>,
    /// How it is written.
    pub(super) style: ScalarStyle,
    /// What it says.
    pub(super) value: String,
    /// How many flow collections are around it.
    pub(super) flow: usize,
    /// Where it is among the stream's events.
    pub(super) event: usize,
}

/// A stream, as its events say it.
pub(super) struct Tokens {
    pub(super) scalars: Vec<Token>,
    /// All events without their places, each as text; scalars with what they say.
    pub(super) events: Vec<Said>,
}

/// An event without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A scalar: its value, its anchor and its tag. Whether it is plain, because that decides what a plain word means.
    Scalar(String, bool, usize, Option<String>),
    /// Anything else.
    Other(String),
}

/// Reads a stream.
pub(super) fn tokens(text: &str) -> Result<Tokens, ScanError> {
    let offsets = Offsets::of(text);
    let mut tokens = Tokens {
        scalars: Vec::new(),
        events: Vec::new(),
    };
    // For each open collection, whether it is one in brackets or braces.
    let mut open: Vec<bool> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event?;
        let (start, end) = (offsets.byte(span.start.index()), offsets.byte(span.end.index()));
        match &event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                open.push(text[start..].starts_with(['{', '[']));
            }
            Event::MappingEnd | Event::SequenceEnd => drop(open.pop()),
            _ => {}
        }
        if let Event::Scalar(value, style, anchor, tag) = event {
            let tag = tag.map(|tag| format!("{}{}", tag.handle, tag.suffix));
            tokens.scalars.push(Token {
                bytes: exact(text, start..end, style),
                style,
                value: value.to_string(),
                flow: open.iter().filter(|is_flow| **is_flow).count(),
                event: tokens.events.len(),
            });
            let is_plain = style == ScalarStyle::Plain;
            tokens
                .events
                .push(Said::Scalar(value.into_owned(), is_plain, anchor, tag));
        } else {
            tokens.events.push(Said::Other(format!("{event:?}")));
        }
    }
    Ok(tokens)
}

/// The bytes of a scalar itself. The parser counts anchor and tag in, and of what is quoted sometimes what follows.
fn exact(text: &str, span: Range<usize>, style: ScalarStyle) -> Range<usize> {
    if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
        return span;
    }
    let mut start = span.start;
    while let Some(rest) = text
        .get(start..span.end)
        .filter(|rest| rest.starts_with(['&', '!']))
    {
        let property = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let gap = rest[property..].len() - rest[property..].trim_start().len();
        start += property + gap;
    }
    let quoted = &text[start..];
    let length = match style {
        ScalarStyle::SingleQuoted => single_quoted(quoted),
        ScalarStyle::DoubleQuoted => double_quoted(quoted),
        _ => None,
    };
    match length {
        Some(length) => start..start + length,
        None => start..span.end.max(start),
    }
}

/// The length of what stands in single quotes, where two of them are one.
fn single_quoted(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// The length of what stands in double quotes, where a backslash takes the next character in.
fn double_quoted(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// Where characters begin, in bytes.
enum Offsets {
    /// Each is one byte; how many there are.
    Ascii(usize),
    Each(Vec<usize>),
}

impl Offsets {
    fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii(text.len());
        }
        let starts = text.char_indices().map(|(start, _)| start);
        Self::Each(starts.chain([text.len()]).collect())
    }

    fn byte(&self, index: usize) -> usize {
        match self {
            Self::Ascii(length) => index.min(*length),
            Self::Each(starts) => starts.get(index).or(starts.last()).copied().unwrap_or_default(),
        }
    }
}
