//! A request to an API, and what has to be known about it.

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, IF_NONE_MATCH};
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Error, ForgeKind};

/// Where GitLab takes personal, project and group access tokens.
const PRIVATE_TOKEN: HeaderName = HeaderName::from_static("private-token");
/// The version of GitHub's API that github.com and all supported Enterprise Servers know. Later
/// ones do not take `return_run_details`.
const GITHUB_API_VERSION: HeaderValue = HeaderValue::from_static("2022-11-28");

/// Whether a request does harm when it is carried out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotence {
    /// It may be repeated.
    Idempotent,
    /// It must not be repeated: if no answer says whether it was carried out, that is
    /// [`Error::Ambiguous`].
    NotIdempotent,
}

/// A request to an API, without its login.
#[derive(Clone, Debug)]
pub struct ApiRequest<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    /// What it is about, for messages.
    pub(super) what: &'a str,
    body: Option<Vec<u8>>,
    etag: Option<HeaderValue>,
    pub(super) idempotence: Idempotence,
}

impl<'a> ApiRequest<'a> {
    /// Makes a request that may be repeated.
    ///
    /// `what` says in messages what it is about.
    #[must_use]
    pub fn new(method: Method, url: Url, what: &'a str) -> Self {
        Self {
            method,
            url,
            what,
            body: None,
            etag: None,
            idempotence: Idempotence::Idempotent,
        }
    }

    /// Makes a `GET` request.
    #[must_use]
    pub fn get(url: Url, what: &'a str) -> Self {
        Self::new(Method::GET, url, what)
    }

    /// Adds a body.
    #[must_use]
    pub fn with_json(self, body: &Value) -> Self {
        Self {
            body: Some(body.to_string().into_bytes()),
            ..self
        }
    }

    /// Asks for an answer only if it differs from the one with this tag.
    #[must_use]
    pub fn with_etag(self, etag: Option<HeaderValue>) -> Self {
        Self { etag, ..self }
    }

    /// Marks it as one that must not be carried out twice.
    #[must_use]
    pub fn not_idempotent(self) -> Self {
        Self {
            idempotence: Idempotence::NotIdempotent,
            ..self
        }
    }

    /// The request with its login, as a server of some kind wants it.
    pub(super) fn with_login(&self, kind: ForgeKind, token: &SecretString) -> Result<Request, Error> {
        let mut request = Request::new(self.method.clone(), self.url.clone());
        let token = token.expose_secret();
        let (name, login, accept) = match kind {
            ForgeKind::GitHub => (
                AUTHORIZATION,
                format!("Bearer {token}"),
                "application/vnd.github+json",
            ),
            ForgeKind::GitLab => (PRIVATE_TOKEN, token.to_owned(), "application/json"),
            ForgeKind::Gitea => (AUTHORIZATION, format!("token {token}"), "application/json"),
        };
        let mut login = HeaderValue::from_str(&login)
            .map_err(|_| Error::Secret("the token contains characters that no token has".to_owned()))?;
        login.set_sensitive(true);
        let headers = request.headers_mut();
        headers.insert(name, login);
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        if kind == ForgeKind::GitHub {
            headers.insert("x-github-api-version", GITHUB_API_VERSION);
        }
        if let Some(etag) = &self.etag {
            headers.insert(IF_NONE_MATCH, etag.clone());
        }
        if let Some(body) = &self.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.clone().into());
        }
        Ok(request)
    }
}

/// What a request is for, if it already has its login.
#[derive(Clone, Copy, Debug)]
pub struct RequestPurpose<'a> {
    /// What it is about, for messages.
    pub what: &'a str,
    /// What is sent that no message may hold.
    pub secret: &'a SecretString,
    /// Whether it may be repeated.
    pub idempotence: Idempotence,
}
