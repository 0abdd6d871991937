//! Uploads of blobs: one request asks where to, another sends all (distribution-spec, "POST then PUT").

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, StatusCode};
use reqwest::{Body, RequestBuilder, Response};
use url::Url;

use super::digest::ContentDigest;
use super::exchange::{Answer, Outgoing, Repository};
use crate::egress::{Destinations, Elsewhere};
use crate::publish::Error;

/// How long a registry may take over a blob that it has all of: it computes its digest, and may move it.
const FINAL_ANSWER: Duration = Duration::from_secs(300);

/// Where a blob is sent to.
struct Place {
    url: Url,
    rule: Destinations,
    /// Whether it is at the registry, and gets its login.
    is_own: bool,
}

impl Repository<'_> {
    /// Sends a blob in one request. However long that takes, it is waited for as long as the registry takes more of it.
    pub(in crate::publish) async fn upload(
        &self,
        digest: &ContentDigest,
        size: u64,
        content: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        what: &str,
    ) -> Result<(), Error> {
        let mut place = self.place(what).await?;
        place
            .url
            .query_pairs_mut()
            .append_pair("digest", &digest.to_string());
        let mut request = self
            .request(Method::PUT, &place.url, place.rule, what)?
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size);
        let authorization = if place.is_own {
            self.authorization().await?
        } else {
            None
        };
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let counted = content.inspect(move |piece| {
            let length = piece.as_ref().map_or(0, Bytes::len) as u64;
            counter.fetch_add(length, Ordering::Relaxed);
        });
        let response = self
            .watched(request.body(Body::wrap_stream(counted)), size, &sent, what)
            .await?;
        let answer = Answer {
            response,
            url: place.url,
            rule: place.rule,
            is_own: place.is_own,
        };
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED if answer.is_own => {
                // What is sent as a stream cannot be sent again by itself.
                self.forget_token();
                Err(self.unavailable(format!("{what}: the token has ended while it was sent")))
            }
            _ => Err(self.refusal(answer, what).await.error),
        }
    }

    /// Asks where a blob is to be sent to.
    async fn place(&self, what: &str) -> Result<Place, Error> {
        let request = Outgoing::new(Method::POST, self.url("blobs/uploads/")?, what);
        let answer = self.send(&request).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            let reason = format!("there is no repository {}: create it", self.image.repository());
            return Err(self.refused(what, &reason));
        }
        if !answer.status().is_success() {
            return Err(self.refusal(answer, what).await.error);
        }
        let url = self.location(&answer, Elsewhere::OverHttps, what)?;
        Ok(Place {
            is_own: url.origin() == answer.url.origin(),
            rule: answer.rule,
            url,
        })
    }

    /// Waits for an answer as long as there is progress.
    async fn watched(
        &self,
        request: RequestBuilder,
        size: u64,
        sent: &AtomicU64,
        what: &str,
    ) -> Result<Response, Error> {
        let mut answer = pin!(request.send());
        let mut seen = 0;
        loop {
            let is_sent = sent.load(Ordering::Relaxed) >= size;
            let patience = if is_sent {
                FINAL_ANSWER
            } else {
                self.registry.config.timeout
            };
            if let Ok(answer) = tokio::time::timeout(patience, &mut answer).await {
                return answer.map_err(|error| self.unreached(what, &error));
            }
            let now = sent.load(Ordering::Relaxed);
            if now == seen {
                let seconds = patience.as_secs();
                return Err(self.unavailable(format!(
                    "{what}: it took nothing more for {seconds} s, after {now} bytes of {size}"
                )));
            }
            seen = now;
        }
    }
}
