//! A request, and its answer.

use bytes::Bytes;
use guarded_egress::{CrossOriginPolicy, Destinations};
use http::header::HeaderMap;
use http::{Method, StatusCode};
use reqwest::Response;
use url::Url;

use super::repository::Repository;
use crate::Error;

/// How many times [`super::RegistryConfig::timeout`] the body of an answer may take if it is read
/// whole.
const WHOLE_BODY: u32 = 4;

/// A request.
pub(super) struct Outgoing<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether it may be redirected to another origin.
    pub(super) elsewhere: CrossOriginPolicy,
    /// What it is for, in messages.
    pub(super) what: &'a str,
}

impl<'a> Outgoing<'a> {
    /// A request without a body that stays at its server.
    pub(super) fn new(method: Method, url: Url, what: &'a str) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            elsewhere: CrossOriginPolicy::Refused,
            what,
        }
    }
}

/// An answer whose body has not been read yet.
pub(super) struct Answer {
    pub(super) response: Response,
    /// Where it came from in the end.
    pub(super) url: Url,
    /// Where it may lead.
    pub(super) rule: Destinations,
    /// Whether it is from the registry itself, not from a server that it redirected to.
    pub(super) is_own: bool,
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }
}

impl Repository<'_> {
    /// Reads a body; `None` if it is longer than `most`.
    pub(super) async fn read_body(
        &self,
        answer: &mut Answer,
        most: usize,
        what: &str,
    ) -> Result<Option<Vec<u8>>, Error> {
        let whole = async {
            let mut body = Vec::new();
            while let Some(chunk) = answer.response.chunk().await? {
                if body.len() + chunk.len() > most {
                    return Ok(None);
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Some(body))
        };
        match tokio::time::timeout(self.registry.config.timeout * WHOLE_BODY, whole).await {
            Ok(read) => read.map_err(|error| self.connection_error(what, &error)),
            Err(_) => Err(self.timeout_error(what)),
        }
    }
}
