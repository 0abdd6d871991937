//! One request and its answer: the login, redirects, and how long it may take.

use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::Instant;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use reqwest::{RequestBuilder, Response};
use url::Url;

use super::answers::is_passing;
use super::challenge::{Challenge, challenge};
use super::credentials::Login;
use super::reference::{ImageReference, ReferenceError};
use super::{Greeting, Registry};
use crate::egress::{Destinations, Elsewhere, check_redirect};
use crate::publish::Error;

/// The most redirects that are followed.
const MOST_REDIRECTS: usize = 5;

/// How many of [`super::RegistryConfig::timeout`] the body of an answer may take that is read whole.
const WHOLE_BODY: u32 = 4;

/// What is done in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::publish) enum Access {
    Pull,
    /// Also for the looks before a push: to whom may not push, registries say other things of what is not there yet.
    Push,
}

impl Access {
    pub(super) fn actions(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

/// A repository of a registry.
#[derive(Clone, Copy)]
pub(in crate::publish) struct Repository<'a> {
    pub(super) registry: &'a Registry,
    pub(super) image: &'a ImageReference,
    pub(super) access: Access,
}

/// A request.
pub(super) struct Outgoing<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether it may be redirected to another origin.
    pub(super) elsewhere: Elsewhere,
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
            elsewhere: Elsewhere::Refused,
            what,
        }
    }
}

/// An answer whose body was not read yet.
pub(super) struct Answer {
    pub(super) response: Response,
    /// Where it came from in the end.
    pub(super) url: Url,
    /// Where it may lead.
    pub(super) rule: Destinations,
    /// Whether it is the registry's own, and not of a server that it led to.
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

impl<'a> Repository<'a> {
    pub(super) fn new(registry: &'a Registry, image: &'a ImageReference, access: Access) -> Self {
        Self {
            registry,
            image,
            access,
        }
    }

    /// The image whose repository it is.
    pub(in crate::publish) fn image(&self) -> &'a ImageReference {
        self.image
    }

    /// An address of the registry's API.
    fn api(&self, path: &str) -> Result<Url, Error> {
        let scheme = if self.registry.is_plain(self.image) {
            "http"
        } else {
            "https"
        };
        let text = format!("{scheme}://{}/v2/{path}", self.image.api_host());
        text.parse().map_err(|error| {
            let reason = format!("its registry has no address: {error}");
            ReferenceError::new(&self.image.to_string(), reason).into()
        })
    }

    /// An address of the repository's part of the API.
    pub(super) fn url(&self, path: &str) -> Result<Url, Error> {
        self.api(&format!("{}/{path}", self.image.repository()))
    }

    pub(super) fn login(&self) -> Option<&'a Login> {
        let credentials = &self.registry.credentials;
        credentials.login(self.image.registry(), self.image.repository())
    }

    /// Sends a request with what the registry asks for.
    pub(super) async fn send(&self, request: &Outgoing<'_>) -> Result<Answer, Error> {
        let authorization = self.authorization().await?;
        let answer = self
            .exchange(request, authorization.as_ref(), Destinations::NAMED)
            .await?;
        if answer.status() != StatusCode::UNAUTHORIZED || !answer.is_own {
            return Ok(answer);
        }
        // It asks only here, or the token has ended.
        match self.renewed(&answer, authorization.as_ref()).await? {
            None => Ok(answer),
            renewed => {
                self.exchange(request, renewed.as_ref(), Destinations::NAMED)
                    .await
            }
        }
    }

    /// What requests to the repository are sent with.
    pub(super) async fn authorization(&self) -> Result<Option<HeaderValue>, Error> {
        if let Some(header) = self.remembered_token() {
            return Ok(Some(header));
        }
        let greeting = self.greeting().await?;
        match &greeting.challenge {
            None => self.unasked(),
            Some(challenge) => self.answered(challenge, greeting.server).await,
        }
    }

    /// What is sent to a registry that asks for nothing. One that lets everybody read something (zot) does not ask, and
    /// shows less to whom it does not know.
    fn unasked(&self) -> Result<Option<HeaderValue>, Error> {
        match self.login() {
            Some(Login::Password { .. }) => self.basic(),
            // This is for a token server, and none is named.
            Some(Login::IdentityToken(_)) | None => Ok(None),
        }
    }

    /// What to send instead of what was refused; `None` where there is nothing else.
    async fn renewed(
        &self,
        refusal: &Answer,
        sent: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Error> {
        let server = refusal.response.remote_addr();
        let asked = match challenge(refusal.response.headers()) {
            Some(asked) => Some(asked),
            None => self.greeting().await?.challenge,
        };
        let renewed = match &asked {
            None => self.unasked()?,
            Some(asked) => self.answered(asked, server).await?,
        };
        Ok(renewed.filter(|renewed| Some(renewed) != sent))
    }

    /// The header that answers a challenge; `None` where a login is asked for that is not known.
    async fn answered(
        &self,
        challenge: &Challenge,
        server: Option<SocketAddr>,
    ) -> Result<Option<HeaderValue>, Error> {
        match challenge {
            Challenge::Basic => self.basic(),
            Challenge::Bearer { realm, service } => {
                let token = self.token(realm, service.as_deref(), server).await?;
                let header = token.header.clone();
                let mut tokens = self
                    .registry
                    .tokens
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                tokens.insert(self.token_key(), token);
                Ok(Some(header))
            }
        }
    }

    /// The token that is held for this, where one is.
    pub(super) fn remembered_token(&self) -> Option<HeaderValue> {
        let tokens = self
            .registry
            .tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let token = tokens.get(&self.token_key())?;
        (token.ends > Instant::now()).then(|| token.header.clone())
    }

    /// Forgets the token, which the registry does not take any more.
    pub(super) fn forget_token(&self) {
        let mut tokens = self
            .registry
            .tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tokens.remove(&self.token_key());
    }

    fn token_key(&self) -> (String, String) {
        (self.image.api_host().to_owned(), self.scope())
    }

    /// What the registry asks for, which is asked once.
    async fn greeting(&self) -> Result<Greeting, Error> {
        let host = self.image.api_host();
        let known = {
            let greetings = self
                .registry
                .greetings
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            greetings.get(host).cloned()
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let what = "a first look";
        let request = Outgoing::new(Method::GET, self.api("")?, what);
        let answer = self.exchange(&request, None, Destinations::NAMED).await?;
        let greeting = match answer.status() {
            StatusCode::UNAUTHORIZED => Greeting {
                challenge: challenge(answer.response.headers()),
                server: answer.response.remote_addr(),
            },
            status if is_passing(status) => {
                return Err(self.refusal(answer, what).await.error);
            }
            _ => Greeting {
                challenge: None,
                server: answer.response.remote_addr(),
            },
        };
        let mut greetings = self
            .registry
            .greetings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        greetings.insert(host.to_owned(), greeting.clone());
        Ok(greeting)
    }

    /// Sends a request and follows where it is led to, by the rules for it. `authorization` goes to the origin alone.
    pub(super) async fn exchange(
        &self,
        request: &Outgoing<'_>,
        authorization: Option<&HeaderValue>,
        rule: Destinations,
    ) -> Result<Answer, Error> {
        let origin = request.url.origin();
        let own = self.api("")?.origin();
        let (mut url, mut rule, mut authorization) = (request.url.clone(), rule, authorization);
        for _ in 0..=MOST_REDIRECTS {
            let mut builder = self
                .request(request.method.clone(), &url, rule, request.what)?
                .headers(request.headers.clone())
                .body(request.body.clone());
            if let Some(header) = authorization {
                builder = builder.header(AUTHORIZATION, header.clone());
            }
            let sent = tokio::time::timeout(self.registry.config.timeout, builder.send()).await;
            let response = match sent {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(self.unreached(request.what, &error)),
                Err(_) => return Err(self.silent(request.what)),
            };
            let answer = Answer {
                is_own: url.origin() == own,
                rule: rule.and(Destinations::beyond(response.remote_addr())),
                url,
                response,
            };
            if !answer.status().is_redirection() || answer.status() == StatusCode::NOT_MODIFIED {
                return Ok(answer);
            }
            url = self.led_to(&answer, request)?;
            rule = answer.rule;
            if url.origin() != origin {
                authorization = None;
            }
        }
        Err(self.refused(request.what, "the server leads on without an end"))
    }

    /// Where a redirect leads to.
    fn led_to(&self, answer: &Answer, request: &Outgoing<'_>) -> Result<Url, Error> {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Err(self.refused(
                request.what,
                "the server leads elsewhere, which is followed for reading alone",
            ));
        }
        self.location(answer, request.elsewhere, request.what)
    }

    /// The address in an answer's `Location`.
    pub(super) fn location(&self, answer: &Answer, elsewhere: Elsewhere, what: &str) -> Result<Url, Error> {
        let location = answer
            .header(LOCATION.as_str())
            .ok_or_else(|| self.refused(what, "the server leads elsewhere without saying where"))?;
        check_redirect(&answer.url, location, elsewhere)
            .map_err(|error| self.refused(what, &error.to_string()))
    }

    /// A request to an address that may be connected to.
    pub(super) fn request(
        &self,
        method: Method,
        url: &Url,
        rule: Destinations,
        what: &str,
    ) -> Result<RequestBuilder, Error> {
        rule.check(url)
            .map_err(|error| self.refused(what, &error.to_string()))?;
        let client = self
            .registry
            .client(rule)
            .map_err(|error| self.refused(what, &error))?;
        Ok(client.request(method, url.clone()))
    }

    /// Reads a body; `None` where it is longer than this.
    pub(super) async fn read(
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
            Ok(read) => read.map_err(|error| self.unreached(what, &error)),
            Err(_) => Err(self.silent(what)),
        }
    }
}
