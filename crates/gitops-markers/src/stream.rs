//! A stream of YAML as its parser sees it: the scalars and comments with the bytes that hold them.
//!
//! The parser is `granit-parser`, with the settings closest to libyaml, from which go-yaml derives,
//! by which Kubernetes, Helm and kustomize read.

use std::ops::Range;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StructureStyle, options};

use super::sops::{Collection, SopsSeal};

/// How deep collections may be nested: as deep as go-yaml allows.
const MAX_DEPTH: usize = 10_000;

/// The most unreadable documents that are skipped. What follows is not read.
const MAX_UNREADABLE: usize = 100;

/// The tag of a string.
const STRING_TAG: &str = "tag:yaml.org,2002:str";

/// A scalar that has bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scalar {
    /// Its bytes, with its quotes and without anchor and tag. For a block scalar, the lines of its
    /// text.
    pub(super) bytes: Range<usize>,
    /// How it is written.
    pub(super) style: ScalarStyle,
    /// What it says.
    pub(super) value: String,
    /// Its tag as written, if it names a type other than string.
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
pub(super) struct UnreadableDocument {
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
pub(super) enum StreamEvent {
    /// A scalar.
    Scalar(ScalarEvent),
    /// Anything else.
    Other(String),
}

/// What the event of a scalar says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScalarEvent {
    pub(super) value: String,
    /// Whether it is plain, which decides what a word means.
    pub(super) is_plain: bool,
    /// The number of its anchor; 0 for none.
    pub(super) anchor: usize,
    pub(super) tag: Option<String>,
}

/// A stream, as its events describe it.
#[derive(Default)]
pub(super) struct Stream {
    /// In the order of their bytes.
    pub(super) scalars: Vec<Scalar>,
    /// In the order of their bytes.
    pub(super) comments: Vec<Comment>,
    /// All events without their places, but for comments.
    pub(super) events: Vec<StreamEvent>,
    /// The documents that cannot be read. Nothing of them is in the other lists.
    pub(super) unreadable: Vec<UnreadableDocument>,
    /// Whether a document was encrypted by SOPS with a check sum over all values, including those
    /// that are not encrypted.
    pub(super) is_sealed: bool,
}

/// Reads a stream.
///
/// A document that cannot be read is skipped.
pub(super) fn read_stream(text: &str) -> Stream {
    let options = options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        max_buffered_comment_events: usize::MAX,
        block_scalar_eof_without_line_feed: true,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut reader = StreamReader::new(text);
    loop {
        match parser.next() {
            None => break,
            Some(Ok((event, span))) => reader.take(event, span),
            Some(Err(error)) => {
                reader.give_up_document(&error);
                let goes_on = reader.stream.unreadable.len() < MAX_UNREADABLE;
                if !goes_on || !matches!(parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
    }
    reader.stream.comments.sort_by_key(|comment| comment.bytes.start);
    reader.stream
}

/// Where the document that is being read begins.
#[derive(Clone, Copy, Default)]
struct DocumentStart {
    byte: usize,
    /// How many scalars and events there are before it.
    scalars: usize,
    events: usize,
}

/// A stream, as far as it has been read.
struct StreamReader<'a> {
    text: &'a str,
    stream: Stream,
    document: DocumentStart,
    /// For each open collection, whether it is one in brackets or braces.
    open: Vec<bool>,
    flow: usize,
    seal: SopsSeal,
}

impl<'a> StreamReader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            stream: Stream::default(),
            document: DocumentStart::default(),
            open: Vec::new(),
            flow: 0,
            seal: SopsSeal::default(),
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) {
        let bytes = self.bytes(span);
        if let Some(document) = self.stream.unreadable.last_mut()
            && document.bytes.end > bytes.start
            && !matches!(event, Event::StreamEnd)
        {
            document.bytes.end = bytes.start.max(document.bytes.start);
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
            Event::DocumentStart(..) => self.begin_document(bytes.start),
            Event::MappingStart(style, ..) | Event::SequenceStart(style, ..) => {
                let is_flow = *style == StructureStyle::Flow;
                let collection = match event {
                    Event::MappingStart(..) => Collection::Mapping,
                    _ => Collection::Sequence,
                };
                self.seal.enter(self.open.len(), collection);
                self.flow += usize::from(is_flow);
                self.open.push(is_flow);
            }
            Event::MappingEnd | Event::SequenceEnd => {
                self.flow -= usize::from(self.open.pop() == Some(true));
            }
            Event::Alias(..) => self.seal.scalar(self.open.len(), ""),
            _ => {}
        }
        let is_end = matches!(event, Event::DocumentEnd);
        if let Event::Scalar(value, style, anchor, tag) = event {
            let scalar = ScalarEvent {
                value: value.into_owned(),
                is_plain: style == ScalarStyle::Plain,
                anchor,
                tag: tag.map(|tag| tag.to_string()),
            };
            self.take_scalar(&scalar, style, span);
            self.stream.events.push(StreamEvent::Scalar(scalar));
        } else {
            self.stream.events.push(StreamEvent::Other(format!("{event:?}")));
        }
        if is_end {
            self.stream.is_sealed |= self.seal.is_broken_by_edits();
            self.begin_document(bytes.end);
        }
    }

    fn take_scalar(&mut self, scalar: &ScalarEvent, style: ScalarStyle, span: Span) {
        self.seal.scalar(self.open.len(), &scalar.value);
        let bytes = self.bytes(span);
        // An empty one has no bytes of its own; the parser may put it anywhere.
        if scalar.is_plain && bytes.is_empty() {
            return;
        }
        let tag = scalar.tag.as_deref();
        let is_string = tag == Some(STRING_TAG);
        let has_other_tag = tag.is_some_and(|tag| !is_string && tag != "!");
        let tag_span = span.tag_span().filter(|_| has_other_tag);
        let other_tag = tag_span.and_then(|span| self.text.get(self.bytes(span)));
        self.stream.scalars.push(Scalar {
            bytes,
            style,
            value: scalar.value.clone(),
            is_string: is_string || !scalar.is_plain,
            other_tag: other_tag.map(str::to_owned),
            flow: self.flow,
            event: self.stream.events.len(),
        });
    }

    /// Begins another document.
    fn begin_document(&mut self, at: usize) {
        self.document = DocumentStart {
            byte: at,
            scalars: self.stream.scalars.len(),
            events: self.stream.events.len(),
        };
        self.open.clear();
        self.flow = 0;
        self.seal = SopsSeal::default();
    }

    /// Gives up on a document that cannot be read further.
    fn give_up_document(&mut self, error: &ScanError) {
        let DocumentStart {
            byte: start,
            scalars,
            events,
        } = self.document;
        self.stream.scalars.truncate(scalars);
        self.stream.events.truncate(events);
        self.stream.events.push(StreamEvent::Other("a fault".to_owned()));
        self.stream.comments.retain(|comment| comment.bytes.start < start);
        self.stream.unreadable.push(UnreadableDocument {
            bytes: start..self.text.len(),
            line: error.marker().line(),
            column: error.marker().col() + 1,
            kind: error.kind().clone(),
        });
        let next = self.text.len();
        self.begin_document(next);
    }

    fn bytes(&self, span: Span) -> Range<usize> {
        let at = |offset: Option<usize>| offset.unwrap_or(self.text.len()).min(self.text.len());
        let (start, end) = (at(span.start.byte_offset()), at(span.end.byte_offset()));
        start..end.max(start)
    }
}
