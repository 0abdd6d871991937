//! The HTTP client as the Git protocol's library expects it: GETs are sent at once, POSTs when
//! their answer is read.

use std::io::{self, BufRead, Read, Write};
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes};
use gix_error::ErrorExt;
use gix_transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, Url};

use super::gate::locked;
use super::http::{Body, HttpClient};

/// A POST that is sent when its answer is first asked for: by then its body is complete.
pub(super) struct Exchange {
    client: HttpClient,
    url: Url,
    headers: HeaderMap,
    state: ExchangeState,
}

enum ExchangeState {
    Writing(Vec<u8>),
    Answered(Box<Body>),
    Failed,
}

type Shared = Arc<Mutex<Exchange>>;

impl Exchange {
    /// Sends what was written, once; returns the answer's headers as lines the first time.
    fn send(&mut self) -> io::Result<String> {
        let body = match std::mem::replace(&mut self.state, ExchangeState::Failed) {
            ExchangeState::Writing(body) => body,
            other => {
                self.state = other;
                return Ok(String::new());
            }
        };
        let headers = std::mem::take(&mut self.headers);
        let answer = self
            .client
            .send(Method::POST, &self.url, headers, Some(body))
            .and_then(|response| self.client.accept(response))
            .map_err(|error| self.client.session.keep_failure(error))?;
        let lines = header_lines(&answer);
        self.state = ExchangeState::Answered(Box::new(Body::new(&self.client, answer)));
        Ok(lines)
    }
}

/// Takes the body of a POST.
pub(super) struct PostBody(Shared);

impl Write for PostBody {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match &mut locked(&self.0).state {
            ExchangeState::Writing(body) => {
                body.extend_from_slice(buffer);
                Ok(buffer.len())
            }
            ExchangeState::Answered(_) | ExchangeState::Failed => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The headers of an answer as lines; for a POST, reading them sends it.
pub(super) struct Headers {
    exchange: Option<Shared>,
    lines: io::Cursor<String>,
}

impl BufRead for Headers {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Some(exchange) = self.exchange.take() {
            self.lines = io::Cursor::new(locked(&exchange).send()?);
        }
        self.lines.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.lines.consume(amount);
    }
}

impl Read for Headers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

/// The body of an answer; for a POST, reading it sends the request.
pub(super) enum Answer {
    Got(Box<Body>),
    Posted {
        exchange: Arc<Mutex<Exchange>>,
        piece: Bytes,
    },
}

impl BufRead for Answer {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Got(body) => body.fill_buf(),
            Self::Posted { exchange, piece } => {
                if piece.is_empty() {
                    let mut exchange = locked(exchange);
                    exchange.send()?;
                    if let ExchangeState::Answered(body) = &mut exchange.state {
                        body.fill_buf()?;
                        *piece = std::mem::take(&mut body.piece);
                    }
                }
                Ok(piece)
            }
        }
    }

    fn consume(&mut self, amount: usize) {
        match self {
            Self::Got(body) => body.consume(amount),
            Self::Posted { piece, .. } => piece.advance(amount.min(piece.len())),
        }
    }
}

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl Http for HttpClient {
    type Headers = Headers;
    type ResponseBody = Answer;
    type PostBody = PostBody;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<GetResponse<Headers, Answer>, gix_error::Error> {
        let tail = url.strip_prefix(base_url).unwrap_or(url);
        let response = self
            .get_following(url, tail, &header_map(headers))
            .map_err(|error| self.session.keep_failure(error).raise())?;
        Ok(GetResponse {
            headers: Headers {
                exchange: None,
                lines: io::Cursor::new(header_lines(&response)),
            },
            body: Answer::Got(Box::new(Body::new(self, response))),
        })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> Result<PostResponse<Headers, Answer, PostBody>, gix_error::Error> {
        let url = Url::parse(url).map_err(|error| {
            self.session
                .keep_failure(self.session.protocol(&error.to_string()))
                .raise()
        })?;
        let exchange = Arc::new(Mutex::new(Exchange {
            client: self.clone(),
            url,
            headers: header_map(headers),
            state: ExchangeState::Writing(Vec::new()),
        }));
        Ok(PostResponse {
            post_body: PostBody(Arc::clone(&exchange)),
            headers: Headers {
                exchange: Some(Arc::clone(&exchange)),
                lines: io::Cursor::default(),
            },
            body: Answer::Posted {
                exchange,
                piece: Bytes::new(),
            },
        })
    }

    fn configure(&mut self, _config: &dyn std::any::Any) -> Result<(), gix_error::Error> {
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.base.clone()
    }
}

fn header_map(lines: impl IntoIterator<Item = impl AsRef<str>>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines {
        let pair = line.as_ref().split_once(':').and_then(|(name, value)| {
            let name: HeaderName = name.trim().parse().ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        if let Some((name, value)) = pair {
            map.insert(name, value);
        }
    }
    map
}

fn header_lines(response: &Response) -> String {
    let mut lines = String::new();
    for (name, value) in response.headers() {
        if let Ok(value) = value.to_str() {
            lines.push_str(name.as_str());
            lines.push_str(": ");
            lines.push_str(value);
            lines.push('\n');
        }
    }
    lines
}
