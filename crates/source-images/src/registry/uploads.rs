//! Uploads of blobs: one request asks where to, another sends everything (distribution-spec, "POST
//! then PUT"). An interrupted upload is resumed if the registry says how much it has ("Pushing a
//! blob in chunks").

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::{Buf, Bytes};
use futures::{Stream, StreamExt, stream};
use guarded_egress::{CrossOriginPolicy, Destinations};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{Method, StatusCode};
use image_references::Digest;
use reqwest::{Body, RequestBuilder, Response};
use url::Url;

use super::message::{Answer, Outgoing};
use super::repository::Repository;
use crate::Error;

/// How long a registry may take once it has all of a blob: it computes the digest, and may move the
/// blob.
const FINAL_ANSWER: Duration = Duration::from_secs(300);

/// How often an upload is resumed; each time the registry has to have more of it than before.
const MOST_RESUMPTIONS: usize = 8;

/// The most that is handed over at once, in bytes, so that progress is seen on a slow line.
const PIECE: usize = 64 << 10;

/// A blob to upload.
pub(crate) struct NewBlob<'a> {
    pub(crate) digest: &'a Digest,
    /// In bytes.
    pub(crate) size: u64,
    /// What it is, in messages.
    pub(crate) what: &'a str,
}

/// Where a blob is sent.
struct UploadLocation {
    url: Url,
    rule: Destinations,
    /// Whether it is at the registry, and gets its login.
    is_own: bool,
}

/// A request with content.
struct UploadPart<S> {
    method: Method,
    /// The digest of the whole, which ends the upload.
    digest: Option<Digest>,
    /// Where in the blob the content begins, and its length, in bytes.
    offset: u64,
    length: u64,
    content: S,
}

/// The outcome of a request with content.
enum SendOutcome {
    Answered(Answer),
    /// The connection ended, or the server stopped reading.
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
    /// Sends a blob, however long it takes while the registry keeps reading. `content` gives the
    /// blob from its beginning.
    pub(crate) async fn upload<S>(&self, blob: &NewBlob<'_>, content: impl Fn() -> S) -> Result<(), Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let location = self.upload_location(blob.what).await?;
        let whole = UploadPart {
            method: Method::PUT,
            digest: Some(blob.digest.clone()),
            offset: 0,
            length: blob.size,
            content: content(),
        };
        match self.send_part(&location, whole, blob.what).await? {
            SendOutcome::Answered(answer) => self.check_stored(answer, blob.what).await,
            SendOutcome::CutOff(_) if self.resume_upload(location, blob, content).await => Ok(()),
            SendOutcome::CutOff(error) => Err(error),
        }
    }

    /// What the answer to the end of an upload means.
    async fn check_stored(&self, answer: Answer, what: &str) -> Result<(), Error> {
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED if answer.is_own => {
                // A stream cannot be sent again automatically.
                self.forget_token();
                Err(self.unavailable_error(format!("{what}: the token expired while it was being sent")))
            }
            StatusCode::PAYLOAD_TOO_LARGE => Err(self.refused_error(
                what,
                "status 413: it is larger than the registry, or a proxy in front of it, takes: raise that limit",
            )),
            _ => Err(self.refusal(answer, what).await.error),
        }
    }

    /// Asks where to send a blob.
    async fn upload_location(&self, what: &str) -> Result<UploadLocation, Error> {
        let request = Outgoing::new(Method::POST, self.url("blobs/uploads/")?, what);
        let answer = match self.send(&request).await {
            // ECR closes the connection if it has no such repository; other requests say that it is
            // missing.
            Err(error) if error.is_transient() && self.is_unknown_name().await => {
                self.send(&request)
                    .await
                    .map_err(|_| self.missing_repository(what))?
            }
            answer => answer?,
        };
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(self.missing_repository(what));
        }
        if !answer.status().is_success() {
            return Err(self.refusal(answer, what).await.error);
        }
        self.location_in_answer(&answer, what)
    }

    fn missing_repository(&self, what: &str) -> Error {
        let reason = format!("there is no repository {}: create it", self.image.repository());
        self.refused_error(what, &reason)
    }

    /// The location that an answer's `Location` names.
    fn location_in_answer(&self, answer: &Answer, what: &str) -> Result<UploadLocation, Error> {
        let url = self.location(answer, CrossOriginPolicy::OverHttps, what)?;
        Ok(UploadLocation {
            is_own: url.origin() == self.url("")?.origin(),
            rule: answer.rule,
            url,
        })
    }

    /// Resumes an interrupted upload. Returns whether the registry then has the blob; otherwise the
    /// upload has to start over.
    async fn resume_upload<S>(
        &self,
        mut location: UploadLocation,
        blob: &NewBlob<'_>,
        content: impl Fn() -> S,
    ) -> bool
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(8))
            .with_max_times(MOST_RESUMPTIONS)
            .build();
        // `0-0` is also the answer for an upload that has nothing.
        let mut before = 1;
        for wait in waits {
            tokio::time::sleep(wait).await;
            let Ok(answer) = self.upload_status(&location, blob.what).await else {
                continue;
            };
            let offset = match stored_bytes(&answer) {
                Some(offset) if offset > before && offset <= blob.size => offset,
                _ => return false,
            };
            tracing::debug!(offset, size = blob.size, "going on with an upload");
            before = offset;
            location = self.location_in_answer(&answer, blob.what).unwrap_or(location);
            let rest = UploadPart {
                method: Method::PATCH,
                digest: None,
                offset,
                length: blob.size - offset,
                content: content(),
            };
            if rest.length > 0 {
                match self.send_part(&location, rest, blob.what).await {
                    Ok(SendOutcome::Answered(answer)) if answer.status().is_success() => {
                        location = self.location_in_answer(&answer, blob.what).unwrap_or(location);
                    }
                    Ok(SendOutcome::Answered(answer))
                        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE =>
                    {
                        continue;
                    }
                    Ok(SendOutcome::CutOff(_)) => continue,
                    _ => return false,
                }
            }
            let end = UploadPart {
                method: Method::PUT,
                digest: Some(blob.digest.clone()),
                offset: 0,
                length: 0,
                content: stream::empty(),
            };
            return match self.send_part(&location, end, blob.what).await {
                Ok(SendOutcome::Answered(answer)) => answer.status().is_success(),
                _ => false,
            };
        }
        false
    }

    /// Asks how much the registry has of an upload.
    async fn upload_status(&self, location: &UploadLocation, what: &str) -> Result<Answer, Error> {
        let request = Outgoing::new(Method::GET, location.url.clone(), what);
        if location.is_own {
            self.send(&request).await
        } else {
            self.exchange(&request, None, location.rule).await
        }
    }

    async fn send_part<S>(
        &self,
        location: &UploadLocation,
        part: UploadPart<S>,
        what: &str,
    ) -> Result<SendOutcome, Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let mut url = location.url.clone();
        if let Some(digest) = &part.digest {
            url.query_pairs_mut().append_pair("digest", &digest.to_string());
        }
        let mut request = self
            .request(part.method.clone(), &url, location.rule, what)?
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, part.length);
        if part.method == Method::PATCH {
            // Without a unit, as the specification has it.
            let last = (part.offset + part.length).saturating_sub(1);
            request = request.header(CONTENT_RANGE, format!("{}-{last}", part.offset));
        }
        if location.is_own
            && let Some(authorization) = self.authorization().await?
        {
            request = request.header(AUTHORIZATION, authorization);
        }
        let progress = Arc::new(Progress::default());
        let counter = Arc::clone(&progress);
        let counted = split_pieces(part.content, part.offset).inspect(move |piece| match piece {
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
            .send_while_progressing(request.body(body), part.length, &progress, what)
            .await
        {
            Ok(response) => Ok(SendOutcome::Answered(Answer {
                response,
                url: location.url.clone(),
                rule: location.rule,
                is_own: location.is_own,
            })),
            Err(error) if error.is_transient() && !progress.is_broken.load(Ordering::Relaxed) => {
                Ok(SendOutcome::CutOff(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for an answer as long as there is progress.
    async fn send_while_progressing(
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
                return answer.map_err(|error| self.connection_error(what, &error));
            }
            let now = progress.sent.load(Ordering::Relaxed);
            if now == seen {
                let seconds = patience.as_secs();
                return Err(self.unavailable_error(format!(
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
fn split_pieces<S>(content: S, offset: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static
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
