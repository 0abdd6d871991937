//! Requests with the authorization that the registry asks for.

use std::net::SocketAddr;

use guarded_egress::Destinations;
use http::header::HeaderValue;
use http::{Method, StatusCode};

use super::challenge::{Challenge, challenge};
use super::credentials::Login;
use super::message::{Answer, Outgoing};
use super::refusal::is_passing;
use super::remembered::{Greeting, TokenKey};
use super::repository::Repository;
use crate::Error;

impl Repository<'_> {
    /// Sends a request with the authorization that the registry asks for.
    pub(super) async fn send(&self, request: &Outgoing<'_>) -> Result<Answer, Error> {
        let authorization = self.authorization().await?;
        let answer = self
            .exchange(request, authorization.as_ref(), Destinations::NAMED)
            .await?;
        if answer.status() != StatusCode::UNAUTHORIZED || !answer.is_own {
            return Ok(answer);
        }
        // The registry asks only here, or the token has expired.
        match self.renew_authorization(&answer, authorization.as_ref()).await? {
            None => Ok(answer),
            renewed => {
                self.exchange(request, renewed.as_ref(), Destinations::NAMED)
                    .await
            }
        }
    }

    /// Returns the authorization for requests to the repository.
    pub(super) async fn authorization(&self) -> Result<Option<HeaderValue>, Error> {
        if let Some(header) = self.remembered_token() {
            return Ok(Some(header));
        }
        let greeting = self.ask_greeting().await?;
        match &greeting.challenge {
            None => self.unasked_authorization(),
            Some(challenge) => self.answer_challenge(challenge, greeting.server).await,
        }
    }

    /// Returns the authorization for a registry that asks for none. One with anonymous read access
    /// (zot) does not ask, and shows less to anonymous clients.
    fn unasked_authorization(&self) -> Result<Option<HeaderValue>, Error> {
        match self.login() {
            Some(Login::Password { .. }) => self.basic_authorization(),
            // An identity token is for a token server, and none is named.
            Some(Login::IdentityToken(_)) | None => Ok(None),
        }
    }

    /// Returns what to send instead of what was refused; `None` if there is nothing else.
    async fn renew_authorization(
        &self,
        refusal: &Answer,
        sent: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Error> {
        let server = refusal.response.remote_addr();
        let asked = match challenge(refusal.response.headers()) {
            Some(asked) => Some(asked),
            None => self.ask_greeting().await?.challenge,
        };
        let renewed = match &asked {
            None => self.unasked_authorization()?,
            Some(asked) => self.answer_challenge(asked, server).await?,
        };
        Ok(renewed.filter(|renewed| Some(renewed) != sent))
    }

    /// Returns the header that answers a challenge; `None` if it asks for an unknown login.
    async fn answer_challenge(
        &self,
        challenge: &Challenge,
        server: Option<SocketAddr>,
    ) -> Result<Option<HeaderValue>, Error> {
        match challenge {
            Challenge::Basic => self.basic_authorization(),
            Challenge::Bearer { realm, service } => {
                let token = self.request_token(realm, service.as_deref(), server).await?;
                let header = token.header.clone();
                self.registry.remembered.put_token(self.token_key(), token);
                Ok(Some(header))
            }
        }
    }

    /// Returns the remembered token for this repository and access, if there is one.
    pub(super) fn remembered_token(&self) -> Option<HeaderValue> {
        self.registry.remembered.token(&self.token_key())
    }

    /// Forgets the token, which the registry has rejected.
    pub(super) fn forget_token(&self) {
        self.registry.remembered.forget_token(&self.token_key());
    }

    fn token_key(&self) -> TokenKey {
        TokenKey {
            host: self.image.api_host().to_owned(),
            scope: self.scope(),
        }
    }

    /// Returns what the registry asks for; it is queried only once.
    async fn ask_greeting(&self) -> Result<Greeting, Error> {
        let host = self.image.api_host();
        if let Some(known) = self.registry.remembered.greeting(host) {
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
        self.registry.remembered.put_greeting(host, greeting.clone());
        Ok(greeting)
    }
}
