//! Requests with a login, retried where that helps.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::StatusCode;
use secrecy::SecretString;

use super::answer::ApiAnswer;
use super::authorization::{AppPermissions, Authorization};
use super::http::{Fetched, HttpSender};
use super::request::ApiRequest;
use super::{Error, ForgeCredentials, ForgeRepository, RedirectTarget, RequestConfig};

/// A client for one login.
///
/// It holds the tokens of a GitHub App, and knows until when servers limit requests.
pub struct ApiClient {
    http: HttpSender,
    authorization: Authorization,
    retries: usize,
}

impl ApiClient {
    /// Makes a client that asks for GitHub App tokens with these permissions.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] or [`Error::Unavailable`] where TLS cannot be set up.
    pub fn new(
        config: &RequestConfig,
        credentials: ForgeCredentials,
        permissions: &'static AppPermissions,
    ) -> Result<Self, Error> {
        Ok(Self {
            http: HttpSender::new(config, credentials.authorities.as_deref())?,
            authorization: Authorization::new(credentials, permissions),
            retries: config.retries,
        })
    }

    /// Sends a request with the repository's login, and once more with a new token of the App if
    /// the server withdrew the previous one.
    ///
    /// A request that was answered with 401 had no effect.
    ///
    /// # Errors
    ///
    /// Those of [`HttpSender::send`], and those of getting a token.
    pub async fn send(
        &self,
        repository: &ForgeRepository,
        request: &ApiRequest<'_>,
    ) -> Result<ApiAnswer, Error> {
        let (http, kind) = (&self.http, repository.kind);
        let token = self.access_token(repository).await?;
        let answer = http.send_with_token(kind, request, &token).await?;
        if answer.status == StatusCode::UNAUTHORIZED && self.authorization.forget(repository, &token).await {
            let token = self.access_token(repository).await?;
            return http.send_with_token(kind, request, &token).await;
        }
        Ok(answer)
    }

    /// Returns the login for a repository, for access other than by its API.
    ///
    /// # Errors
    ///
    /// If a GitHub App gets no token; the message says what to do.
    pub async fn access_token(&self, repository: &ForgeRepository) -> Result<SecretString, Error> {
        self.authorization.token(&self.http, repository).await
    }

    /// Fetches what a server redirected to, like [`HttpSender::fetch`].
    ///
    /// # Errors
    ///
    /// As for [`HttpSender::fetch`].
    pub async fn fetch(
        &self,
        target: &RedirectTarget,
        what: &str,
        first_byte: Option<u64>,
    ) -> Result<Fetched, Error> {
        self.http.fetch(target, what, first_byte).await
    }

    /// Retries what failed in transit, with growing delays.
    ///
    /// # Errors
    ///
    /// Those of the last attempt.
    pub async fn retry<T, F: Future<Output = Result<T, Error>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Error> {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(4))
            .with_max_times(self.retries)
            .with_jitter();
        attempt
            .retry(waits)
            .when(|error| matches!(error, Error::Unavailable { .. }))
            .notify(|error, wait| tracing::debug!(%error, ?wait, "trying again"))
            .await
    }
}
