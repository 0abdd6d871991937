//! A stream of YAML as its parser sees it: the scalars and comments with the bytes that hold them.
//!
//! The parser is `granit-parser`, in its settings that are nearest to libyaml, from which go-yaml comes, by which
//! Kubernetes, Helm and kustomize read.

use std::borrow::Cow;
use std::ops::Range;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StructureStyle, Tag, options};

use super::sops::Seal;

/// How many collections may be in each other: as many as go-yaml takes.
const DEEPEST: usize = 10_000;

/// The most documents that are passed over because they cannot be read. What follows is not read.
const MOST_FAULTS: usize = 100;

/// A scalar that has bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scalar {
    /// Its bytes, with its quotes and without anchor and tag. Of a block scalar the lines of its text.
    pub(super) bytes: Range<usize>,
    /// How it is written.
    pub(super) style: ScalarStyle,
    /// What it says.
    pub(super) value: String,
    /// Its tag as it is written, where it is one that says what it is and is not that of a string.
    pub(super) other_tag: Option<String>,
    /// Whether it is a string by its quotes or its tag, whatever it says.
    pub(super) is_string: bool,
    /// How many flow collections are around it.
    pub(super) flow: usize,
    /// Where it is among the stream's events.
    pub(super) event: usize,
}

/// A comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comment {
    /// The bytes of its text, without `#`.
    pub(super) bytes: Range<usize>,
    /// The line, from 1.
    pub(super) line: usize,
    /// The column of its `#` in characters, from 1.
    pub(super) column: usize,
}

/// A document that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The bytes of the document.
    pub(super) bytes: Range<usize>,
    /// Where reading ended: the line, from 1.
    pub(super) line: usize,
    /// The column in characters, from 1.
    pub(super) column: usize,
    /// Why.
    pub(super) kind: ErrorKind,
}

/// An event without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A scalar: its value, its anchor and its tag. Whether it is plain, because that decides what a plain word means.
    Scalar(String, bool, usize, Option<String>),
    /// Anything else.
    Other(String),
}

/// A stream, as its events say it.
#[derive(Default)]
pub(super) struct Stream {
    /// In the order of their bytes.
    pub(super) scalars: Vec<Scalar>,
    /// In the order of their bytes.
    pub(super) comments: Vec<Comment>,
    /// All events without their places, but for comments.
    pub(super) events: Vec<Said>,
    /// The documents that cannot be read. Nothing of them is in the other lists.
    pub(super) faults: Vec<Fault>,
    /// Whether a document was encrypted by SOPS with a check sum of all values, also of those that are not encrypted.
    pub(super) is_sealed: bool,
}

/// Reads a stream. A document that cannot be read is passed over.
pub(super) fn read(text: &str) -> Stream {
    let options = options! {
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
        max_buffered_comment_events: usize::MAX,
        block_scalar_eof_without_line_feed: true,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader::new(text);
    loop {
        match parser.next() {
            None => break,
            Some(Ok((event, span))) => reader.take(event, span),
            Some(Err(error)) => {
                reader.fail(&error);
                let goes_on = reader.stream.faults.len() < MOST_FAULTS;
                if !goes_on || !matches!(parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
    }
    reader.stream.comments.sort_by_key(|comment| comment.bytes.start);
    reader.stream
}

/// A stream as far as it is read.
struct Reader<'a> {
    text: &'a str,
    stream: Stream,
    /// Where the document begins that is being read: its bytes, and its place among the scalars and events.
    document: (usize, usize, usize),
    /// For each open collection, whether it is one in brackets or braces.
    open: Vec<bool>,
    flow: usize,
    seal: Seal,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            stream: Stream::default(),
            document: (0, 0, 0),
            open: Vec::new(),
            flow: 0,
            seal: Seal::default(),
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) {
        let bytes = self.bytes(span);
        if let Some(fault) = self.stream.faults.last_mut()
            && fault.bytes.end > bytes.start
            && !matches!(event, Event::StreamEnd)
        {
            fault.bytes.end = bytes.start.max(fault.bytes.start);
        }
        match &event {
            Event::Comment(..) => {
                self.stream.comments.push(Comment {
                    line: span.start.line(),
                    column: span.start.col() + 1,
                    bytes: (bytes.start + 1).min(bytes.end)..bytes.end,
                });
                return;
            }
            Event::DocumentStart(..) => self.begin(bytes.start),
            Event::MappingStart(style, ..) | Event::SequenceStart(style, ..) => {
                let is_flow = *style == StructureStyle::Flow;
                self.seal
                    .enter(self.open.len(), matches!(event, Event::MappingStart(..)));
                self.flow += usize::from(is_flow);
                self.open.push(is_flow);
            }
            Event::MappingEnd | Event::SequenceEnd => {
                self.flow -= usize::from(self.open.pop() == Some(true));
                self.seal.leave(self.open.len());
            }
            Event::Alias(..) => self.seal.scalar(self.open.len(), ""),
            _ => {}
        }
        let is_end = matches!(event, Event::DocumentEnd);
        if let Event::Scalar(value, style, anchor, tag) = event {
            self.scalar(value, style, anchor, tag, span);
        } else {
            self.stream.events.push(Said::Other(format!("{event:?}")));
        }
        if is_end {
            self.stream.is_sealed |= self.seal.is_broken_by_edits();
            self.begin(bytes.end);
        }
    }

    fn scalar(
        &mut self,
        value: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        span: Span,
    ) {
        self.seal.scalar(self.open.len(), &value);
        let bytes = self.bytes(span);
        let tag = tag.map(|tag| tag.to_string());
        let is_string = tag.as_deref() == Some("tag:yaml.org,2002:str");
        // An empty one has no bytes of its own; the parser may put it anywhere.
        if style != ScalarStyle::Plain || !bytes.is_empty() {
            self.stream.scalars.push(Scalar {
                bytes,
                style,
                value: value.to_string(),
                is_string: is_string || style != ScalarStyle::Plain,
                other_tag: tag
                    .as_ref()
                    .filter(|tag| !is_string && tag.as_str() != "!")
                    .and(span.tag_span())
                    .and_then(|span| self.text.get(self.bytes(span)))
                    .map(str::to_owned),
                flow: self.flow,
                event: self.stream.events.len(),
            });
        }
        let is_plain = style == ScalarStyle::Plain;
        let said = Said::Scalar(value.into_owned(), is_plain, anchor, tag);
        self.stream.events.push(said);
    }

    /// Another document begins.
    fn begin(&mut self, at: usize) {
        self.document = (at, self.stream.scalars.len(), self.stream.events.len());
        self.open.clear();
        self.flow = 0;
        self.seal = Seal::default();
    }

    /// The document cannot be read further.
    fn fail(&mut self, error: &ScanError) {
        let (start, scalars, events) = self.document;
        self.stream.scalars.truncate(scalars);
        self.stream.events.truncate(events);
        self.stream.events.push(Said::Other("a fault".to_owned()));
        self.stream.comments.retain(|comment| comment.bytes.start < start);
        self.stream.faults.push(Fault {
            bytes: start..self.text.len(),
            line: error.marker().line(),
            column: error.marker().col() + 1,
            kind: error.kind().clone(),
        });
        let next = self.text.len();
        self.begin(next);
    }

    fn bytes(&self, span: Span) -> Range<usize> {
        let at = |offset: Option<usize>| offset.unwrap_or(self.text.len()).min(self.text.len());
        let (start, end) = (at(span.start.byte_offset()), at(span.end.byte_offset()));
        start..end.max(start)
    }
}
