//! The client of the API server, which makes its answers fit to be read.
//!
//! A list holds what all tenants wrote, and is parsed as a whole: a single value nested deeper than
//! a parser goes would make the list unreadable for all of them. Therefore each answer passes
//! through [`Rewriter`] before anything parses it. It bounds how deeply the answer is nested, and
//! leaves out metadata that nothing here reads.

mod rewriter;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body::Frame;
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::{BoxError, Layer, Service};

use rewriter::{AnnotationsKeeping, Rewriter};

/// How long the API server may take to begin its answer. Watches begin at once, and then last.
const BEGINS_WITHIN: Duration = Duration::from_secs(60);

/// The most bytes of a rewritten answer other than a watch. Lists come in pages below that: the API
/// server accepts no request over 3 MiB, and etcd none over 1.5 MiB.
const LARGEST_ANSWER: u64 = 64 << 20;

/// How many values were left out of the API server's answers because they were nested too deeply.
#[derive(Clone, Debug, Default)]
pub struct TooDeep(Arc<AtomicU64>);

impl TooDeep {
    /// The number since the process started.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Makes a client of the API server that bounds every answer before it is parsed.
///
/// # Errors
///
/// Where the configuration's certificates or credentials cannot be used.
pub fn new(config: Config, too_deep: &TooDeep) -> kube::Result<Client> {
    let layer = Rewriting(too_deep.clone());
    Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
}

#[derive(Clone)]
struct Rewriting(TooDeep);

impl<S> Layer<S> for Rewriting {
    type Service = RewritingService<S>;

    fn layer(&self, inner: S) -> RewritingService<S> {
        RewritingService {
            inner,
            too_deep: self.0.clone(),
        }
    }
}

struct RewritingService<S> {
    inner: S,
    too_deep: TooDeep,
}

type Answering<B> = Pin<Box<dyn Future<Output = Result<Response<RewrittenBody<B>>, BoxError>> + Send>>;

impl<S, B> Service<Request<Body>> for RewritingService<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<RewrittenBody<B>>;
    type Error = BoxError;
    type Future = Answering<B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answering<B> {
        let path = request.uri().path().to_owned();
        let is_watch = request
            .uri()
            .query()
            .is_some_and(|query| query.split('&').any(|part| part == "watch=true"));
        let annotations = if asks_for_metadata(request.headers()) {
            AnnotationsKeeping::LeftOut
        } else {
            AnnotationsKeeping::Kept
        };
        let answer = self.inner.call(request);
        let too_deep = self.too_deep.clone();
        Box::pin(async move {
            let Ok(answer) = tokio::time::timeout(BEGINS_WITHIN, answer).await else {
                return Err(format!("no answer within {} s", BEGINS_WITHIN.as_secs()).into());
            };
            let (mut head, inner) = answer?.into_parts();
            let is_json = has_part(&head.headers, &header::CONTENT_TYPE, "application/json");
            if is_json {
                // It is the length of what was sent.
                head.headers.remove(header::CONTENT_LENGTH);
            }
            let body = RewrittenBody {
                inner,
                rewriter: is_json.then(|| Rewriter::new(annotations)),
                left: (!is_watch).then_some(LARGEST_ANSWER),
                path,
                too_deep,
                is_told: false,
            };
            Ok(Response::from_parts(head, body))
        })
    }
}

/// Whether a request asks for nothing but the metadata of objects.
fn asks_for_metadata(headers: &HeaderMap) -> bool {
    has_part(headers, &header::ACCEPT, "as=PartialObjectMetadata")
}

fn has_part(headers: &HeaderMap, name: &header::HeaderName, part: &str) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.contains(part))
}

/// A body that is rewritten piece by piece.
struct RewrittenBody<B> {
    inner: B,
    /// `None` for what is not JSON, such as the log of a pod.
    rewriter: Option<Rewriter>,
    /// Bytes that may still come; `None` for a watch, whose events are read one by one.
    left: Option<u64>,
    path: String,
    too_deep: TooDeep,
    is_told: bool,
}

impl<B> RewrittenBody<B> {
    fn rewrite(&mut self, piece: Bytes) -> Result<Bytes, BoxError> {
        let piece = match &mut self.rewriter {
            None => piece,
            Some(rewriter) => {
                let rewritten = rewriter.rewrite(&piece);
                let found = rewriter.take_too_deep();
                if found > 0 {
                    self.too_deep.0.fetch_add(found, Ordering::Relaxed);
                    if !self.is_told {
                        self.is_told = true;
                        tracing::warn!(
                            path = self.path,
                            deepest = rewriter::DEEPEST,
                            "an object is nested too deep to be read; what is deeper was left out"
                        );
                    }
                }
                rewritten.into()
            }
        };
        if let Some(left) = &mut self.left {
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            *left = left
                .checked_sub(length)
                .ok_or_else(|| format!("an answer of over {LARGEST_ANSWER} bytes for {}", self.path))?;
        }
        Ok(piece)
    }
}

impl<B> http_body::Body for RewrittenBody<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(match frame.map_err(Into::into)?.into_data() {
            Ok(piece) => self.rewrite(piece).map(Frame::data),
            Err(trailers) => Ok(trailers),
        }))
    }
}

impl<B> Unpin for RewrittenBody<B> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_end_is_given_up() {
        let mut body = RewrittenBody {
            inner: (),
            rewriter: None,
            left: Some(10),
            path: "/api/v1/pods".to_owned(),
            too_deep: TooDeep::default(),
            is_told: false,
        };
        assert!(body.rewrite(Bytes::from_static(b"0123456789")).is_ok());
        let error = body.rewrite(Bytes::from_static(b"0")).unwrap_err();
        assert!(error.to_string().contains("/api/v1/pods"), "{error}");
    }
}
