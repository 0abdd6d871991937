//! Uploads of blobs: one request asks where to, another sends all (distribution-spec, "POST then PUT"). What is cut off on
//! the way is gone on with where the registry says how much it has ("Pushing a blob in chunks").

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::{Buf, Bytes};
use futures::{Stream, StreamExt, stream};
use guarded_egress::{Destinations, Elsewhere};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{Method, StatusCode};
use image_references::Digest;
use reqwest::{Body, RequestBuilder, Response};
use url::Url;

use super::message::{Answer, Outgoing};
use super::repository::Repository;
use crate::Error;

/// How long a registry may take over a blob that it has all of: it computes its digest, and may move it.
const FINAL_ANSWER: Duration = Duration::from_secs(300);

/// How often an upload is gone on with; each time the registry has to have more of it than before.
const MOST_RESUMPTIONS: usize = 8;

/// The most that is handed over at once, in bytes, so that progress is seen on a slow line.
const PIECE: usize = 64 << 10;

/// A blob that a registry is to have.
pub(crate) struct NewBlob<'a> {
    pub(crate) digest: &'a Digest,
    /// In bytes.
    pub(crate) size: u64,
    /// What it is, in messages.
    pub(crate) what: &'a str,
}

/// Where a blob is sent to.
struct Place {
    url: Url,
    rule: Destinations,
    /// Whether it is at the registry, and gets its login.
    is_own: bool,
}

/// A request with content.
struct Part<S> {
    method: Method,
    /// The digest of the whole, which ends the upload.
    digest: Option<Digest>,
    /// Where in the blob the content begins, and its length, in bytes.
    offset: u64,
    length: u64,
    content: S,
}

/// What became of a request with content.
enum Sent {
    Answered(Answer),
    /// Its connection ended, or nothing more was taken.
    CutOff(Error),
}

/// How far a request with content has come.
#[derive(Default)]
struct Progress {
    /// In bytes.
    sent: AtomicU64,
    /// Whether it was the content that failed.
    is_broken: AtomicBool,
}

impl Repository<'_> {
    /// Sends a blob. However long that takes, it is waited for as long as the registry takes more of it. `content` gives the
    /// blob from its beginning.
    pub(crate) async fn upload<S>(&self, blob: &NewBlob<'_>, content: impl Fn() -> S) -> Result<(), Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let place = self.place(blob.what).await?;
        let whole = Part {
            method: Method::PUT,
            digest: Some(blob.digest.clone()),
            offset: 0,
            length: blob.size,
            content: content(),
        };
        match self.send_part(&place, whole, blob.what).await? {
            Sent::Answered(answer) => self.stored(answer, blob.what).await,
            Sent::CutOff(_) if self.resumed(place, blob, content).await => Ok(()),
            Sent::CutOff(error) => Err(error),
        }
    }

    /// What the answer to the end of an upload means.
    async fn stored(&self, answer: Answer, what: &str) -> Result<(), Error> {
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED if answer.is_own => {
                // What is sent as a stream cannot be sent again by itself.
                self.forget_token();
                Err(self.unavailable(format!("{what}: the token has ended while it was sent")))
            }
            StatusCode::PAYLOAD_TOO_LARGE => Err(self.refused(
                what,
                "status 413: it is larger than the registry, or a proxy in front of it, takes: raise that limit",
            )),
            _ => Err(self.refusal(answer, what).await.error),
        }
    }

    /// Asks where a blob is to be sent to.
    async fn place(&self, what: &str) -> Result<Place, Error> {
        let request = Outgoing::new(Method::POST, self.url("blobs/uploads/")?, what);
        let answer = match self.send(&request).await {
            // ECR ends the connection where it has no such repository, and says so elsewhere.
            Err(error) if error.is_transient() && self.is_unknown_name().await => {
                self.send(&request).await.map_err(|_| self.no_repository(what))?
            }
            answer => answer?,
        };
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(self.no_repository(what));
        }
        if !answer.status().is_success() {
            return Err(self.refusal(answer, what).await.error);
        }
        self.place_in(&answer, what)
    }

    fn no_repository(&self, what: &str) -> Error {
        let reason = format!("there is no repository {}: create it", self.image.repository());
        self.refused(what, &reason)
    }

    /// The place that an answer's `Location` names.
    fn place_in(&self, answer: &Answer, what: &str) -> Result<Place, Error> {
        let url = self.location(answer, Elsewhere::OverHttps, what)?;
        Ok(Place {
            is_own: url.origin() == self.url("")?.origin(),
            rule: answer.rule,
            url,
        })
    }

    /// Goes on with an upload that was cut off. Returns whether the registry has the blob then; otherwise it has to be
    /// begun anew.
    async fn resumed<S>(&self, mut place: Place, blob: &NewBlob<'_>, content: impl Fn() -> S) -> bool
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(8))
            .with_max_times(MOST_RESUMPTIONS)
            .build();
        // `0-0` is also said of an upload that has nothing.
        let mut before = 1;
        for wait in waits {
            tokio::time::sleep(wait).await;
            let Ok(answer) = self.status_of(&place, blob.what).await else {
                continue;
            };
            let offset = match stored_bytes(&answer) {
                Some(offset) if offset > before && offset <= blob.size => offset,
                _ => return false,
            };
            tracing::debug!(offset, size = blob.size, "going on with an upload");
            before = offset;
            place = self.place_in(&answer, blob.what).unwrap_or(place);
            let rest = Part {
                method: Method::PATCH,
                digest: None,
                offset,
                length: blob.size - offset,
                content: content(),
            };
            if rest.length > 0 {
                match self.send_part(&place, rest, blob.what).await {
                    Ok(Sent::Answered(answer)) if answer.status().is_success() => {
                        place = self.place_in(&answer, blob.what).unwrap_or(place);
                    }
                    Ok(Sent::Answered(answer)) if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE => {
                        continue;
                    }
                    Ok(Sent::CutOff(_)) => continue,
                    _ => return false,
                }
            }
            let end = Part {
                method: Method::PUT,
                digest: Some(blob.digest.clone()),
                offset: 0,
                length: 0,
                content: stream::empty(),
            };
            return match self.send_part(&place, end, blob.what).await {
                Ok(Sent::Answered(answer)) => answer.status().is_success(),
                _ => false,
            };
        }
        false
    }

    /// Asks how much the registry has of an upload.
    async fn status_of(&self, place: &Place, what: &str) -> Result<Answer, Error> {
        let request = Outgoing::new(Method::GET, place.url.clone(), what);
        if place.is_own {
            self.send(&request).await
        } else {
            self.exchange(&request, None, place.rule).await
        }
    }

    async fn send_part<S>(&self, place: &Place, part: Part<S>, what: &str) -> Result<Sent, Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let mut url = place.url.clone();
        if let Some(digest) = &part.digest {
            url.query_pairs_mut().append_pair("digest", &digest.to_string());
        }
        let mut request = self
            .request(part.method.clone(), &url, place.rule, what)?
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, part.length);
        if part.method == Method::PATCH {
            // Without a unit, as the specification has it.
            let last = (part.offset + part.length).saturating_sub(1);
            request = request.header(CONTENT_RANGE, format!("{}-{last}", part.offset));
        }
        if place.is_own
            && let Some(authorization) = self.authorization().await?
        {
            request = request.header(AUTHORIZATION, authorization);
        }
        let progress = Arc::new(Progress::default());
        let counter = Arc::clone(&progress);
        let counted = pieces(part.content, part.offset).inspect(move |piece| match piece {
            Ok(piece) => {
                counter.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            Err(_) => counter.is_broken.store(true, Ordering::Relaxed),
        });
        let body = if part.length == 0 {
            Body::from(Bytes::new())
        } else {
            Body::wrap_stream(counted)
        };
        match self
            .watched(request.body(body), part.length, &progress, what)
            .await
        {
            Ok(response) => Ok(Sent::Answered(Answer {
                response,
                url: place.url.clone(),
                rule: place.rule,
                is_own: place.is_own,
            })),
            Err(error) if error.is_transient() && !progress.is_broken.load(Ordering::Relaxed) => {
                Ok(Sent::CutOff(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for an answer as long as there is progress.
    async fn watched(
        &self,
        request: RequestBuilder,
        length: u64,
        progress: &Progress,
        what: &str,
    ) -> Result<Response, Error> {
        let mut answer = pin!(request.send());
        let mut seen = 0;
        loop {
            let is_sent = progress.sent.load(Ordering::Relaxed) >= length;
            let patience = if is_sent {
                FINAL_ANSWER
            } else {
                self.registry.config.timeout
            };
            if let Ok(answer) = tokio::time::timeout(patience, &mut answer).await {
                return answer.map_err(|error| self.unreached(what, &error));
            }
            let now = progress.sent.load(Ordering::Relaxed);
            if now == seen {
                let seconds = patience.as_secs();
                return Err(self.unavailable(format!(
                    "{what}: it took nothing more for {seconds} s, after {now} bytes of {length}"
                )));
            }
            seen = now;
        }
    }
}

/// How many bytes a registry says it has of an upload; `None` where it does not say.
fn stored_bytes(answer: &Answer) -> Option<u64> {
    if !answer.status().is_success() {
        return None;
    }
    let range = answer.header(RANGE.as_str())?.trim();
    let last: u64 = range
        .strip_prefix("bytes=")
        .unwrap_or(range)
        .strip_prefix("0-")?
        .parse()
        .ok()?;
    last.checked_add(1)
}

/// Content from an offset on, in small pieces.
fn pieces<S>(content: S, offset: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    let mut skipped = offset;
    content.flat_map(move |piece| {
        let mut small = Vec::new();
        match piece {
            Err(error) => small.push(Err(error)),
            Ok(mut bytes) => {
                let cut = usize::try_from(skipped).map_or(bytes.len(), |left| left.min(bytes.len()));
                skipped -= cut as u64;
                bytes.advance(cut);
                while !bytes.is_empty() {
                    small.push(Ok(bytes.split_to(bytes.len().min(PIECE))));
                }
            }
        }
        stream::iter(small)
    })
}
