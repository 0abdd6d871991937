//! Tokens for a repository (distribution's "Token Authentication Specification" and "`OAuth2` Token
//! Authentication").

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use guarded_egress::Destinations;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::ExposeSecret;
use serde::Deserialize;
use url::Url;

use super::credentials::Login;
use super::message::Outgoing;
use super::remembered::Token;
use super::repository::Repository;
use crate::Error;

/// What the request is for, in messages.
const WHAT: &str = "a token";

/// The largest answer with a token, in bytes.
const LARGEST: usize = 64 << 10;

/// A token's lifetime if none is given, and the longest that one is kept.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
const LONGEST_LIFETIME: Duration = Duration::from_secs(3600);

/// How long before it expires a token stops being used.
const RENEWAL_MARGIN: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Repository<'_> {
    /// The scope that a token is requested for.
    pub(super) fn scope(&self) -> String {
        format!("repository:{}:{}", self.image.repository(), self.access.actions())
    }

    /// The login itself as a header; `None` without one.
    pub(super) fn basic_authorization(&self) -> Result<Option<HeaderValue>, Error> {
        match self.login() {
            None => Ok(None),
            Some(Login::Password { user, password }) => {
                let pair = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
                self.secret_header(&format!("Basic {pair}")).map(Some)
            }
            Some(Login::IdentityToken(_)) => Err(self.refused_error(
                "the credentials",
                "they are an identity token, which it does not accept: store a user name and a password or token",
            )),
        }
    }

    /// Requests a token. The login goes to the realm that the registry names, which has to be as
    /// secure as the registry, and in no network closer than the registry's.
    pub(super) async fn request_token(
        &self,
        realm: &str,
        service: Option<&str>,
        server: Option<SocketAddr>,
    ) -> Result<Token, Error> {
        let mut url: Url = realm
            .parse()
            .map_err(|_| self.refused_error(WHAT, "the address of its token server is not valid"))?;
        let is_safe =
            url.scheme() == "https" || (url.scheme() == "http" && self.registry.is_plain(self.image));
        if !is_safe || !url.has_host() || !url.username().is_empty() || url.password().is_some() {
            let shown = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
            let shown = foreign_text::printable(&shown, 200);
            let reason =
                format!("its token server is at {shown}, to which no login is sent: it has to be at https");
            return Err(self.refused_error(WHAT, &reason));
        }
        let scope = self.scope();
        let mut fields = vec![("scope", scope.as_str())];
        fields.extend(service.map(|service| ("service", service)));
        let request = if let Some(Login::IdentityToken(token)) = self.login() {
            fields.extend([
                ("grant_type", "refresh_token"),
                ("refresh_token", token.expose_secret()),
                ("client_id", self.registry.config.client_id()),
            ]);
            let body = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(fields)
                .finish();
            let mut request = Outgoing::new(Method::POST, url, WHAT);
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers.insert(CONTENT_TYPE, form);
            request.body = Bytes::from(body);
            request
        } else {
            url.query_pairs_mut().extend_pairs(fields);
            Outgoing::new(Method::GET, url, WHAT)
        };
        let basic = match request.method {
            Method::GET => self.basic_authorization()?,
            _ => None,
        };
        let rule = Destinations::beyond(server);
        let mut answer = self.exchange(&request, basic.as_ref(), rule).await?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer, WHAT).await.error);
        }
        let body = self.read_body(&mut answer, LARGEST, WHAT).await?;
        let body =
            body.ok_or_else(|| self.refused_error(WHAT, "what its token server answers is too large"))?;
        let given: TokenAnswer = serde_json::from_slice(&body)
            .map_err(|_| self.refused_error(WHAT, "what its token server answers is not a token"))?;
        let token = [given.token, given.access_token]
            .into_iter()
            .flatten()
            .find(|token| !token.is_empty())
            .ok_or_else(|| self.refused_error(WHAT, "its token server gives none"))?;
        let life = given
            .expires_in
            .map_or(DEFAULT_LIFETIME, Duration::from_secs)
            .min(LONGEST_LIFETIME);
        Ok(Token {
            header: self.secret_header(&format!("Bearer {token}"))?,
            ends: Instant::now() + life.saturating_sub(RENEWAL_MARGIN),
        })
    }

    /// Makes a header that is not shown.
    fn secret_header(&self, text: &str) -> Result<HeaderValue, Error> {
        let mut header = HeaderValue::from_str(text).map_err(|_| {
            let reason = format!("it has characters that are not allowed in the header {AUTHORIZATION}");
            self.refused_error("the credentials", &reason)
        })?;
        header.set_sensitive(true);
        Ok(header)
    }
}
