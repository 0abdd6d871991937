//! Requests with a login, and again where that helps.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::StatusCode;
use reqwest::header::LINK;
use secrecy::SecretString;

use super::answer::Answer;
use super::authorization::{Authorization, Permissions};
use super::http::{Ask, Http};
use super::{Config, Credentials, Error, Place};

/// A client for one login. It holds the tokens of a GitHub App, and knows until when servers want no requests.
pub(crate) struct Client {
    pub(crate) http: Http,
    authorization: Authorization,
    retries: usize,
}

impl Client {
    /// Makes a client whose tokens of a GitHub App have these permissions.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] or [`Error::Unavailable`] where TLS cannot be set up.
    pub(crate) fn new(
        config: &Config,
        credentials: Credentials,
        permissions: &'static Permissions,
    ) -> Result<Self, Error> {
        Ok(Self {
            http: Http::new(config, credentials.authorities.as_deref())?,
            authorization: Authorization::new(credentials, permissions),
            retries: config.retries,
        })
    }

    /// Asks with the repository's login, and once more with a new token of the App where the server has withdrawn the
    /// one from before. What was answered with 401 has not happened.
    pub(crate) async fn call(&self, place: &Place, ask: &Ask<'_>) -> Result<Answer, Error> {
        let token = self.authorization.token(&self.http, place).await?;
        let answer = self.http.ask(place.kind, ask, &token).await?;
        if answer.status == StatusCode::UNAUTHORIZED && self.authorization.forget(place, &token).await {
            let token = self.authorization.token(&self.http, place).await?;
            return self.http.ask(place.kind, ask, &token).await;
        }
        Ok(answer)
    }

    /// The login for a repository, for what is not asked by its API.
    pub(crate) async fn token(&self, place: &Place) -> Result<SecretString, Error> {
        self.authorization.token(&self.http, place).await
    }

    /// Repeats what failed on the way, with growing waits.
    pub(crate) async fn retried<T, F: Future<Output = Result<T, Error>>>(
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

/// Whether a list goes on, as RFC 8288's `Link` tells it.
pub(crate) fn has_next(answer: &Answer) -> bool {
    let links = answer.headers.get_all(LINK).iter();
    links
        .filter_map(|link| link.to_str().ok())
        .any(|link| link.contains("rel=\"next\""))
}
