//! A client of registries: its options, its connections, and how often it tries.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use guarded_egress::Destinations;
use image_references::ImageReference;
use reqwest::Client;

use super::credentials::Credentials;
use super::remembered::Remembered;
use crate::Error;

/// How registries are accessed.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Hosts (with their port) that are accessed without TLS. What is sent there can be read and
    /// changed in transit.
    pub plain_http: Vec<String>,
    /// How long to wait for a connection, for each answer, and for each piece of what is sent or
    /// received.
    pub timeout: Duration,
    /// How often something that failed in transit is retried.
    pub retries: usize,
    /// What the client calls itself: a name, a slash and a version (RFC 9110, section 10.1.5).
    pub user_agent: String,
}

impl Default for RegistryConfig {
    /// TLS only, 30 seconds, 4 more attempts.
    fn default() -> Self {
        Self {
            plain_http: Vec::new(),
            timeout: Duration::from_secs(30),
            retries: 4,
            user_agent: concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl RegistryConfig {
    /// What token servers know the client by: the name in `user_agent`.
    pub(super) fn client_id(&self) -> &str {
        self.user_agent.split('/').next().unwrap_or_default()
    }
}

/// A client of registries.
pub struct Registry {
    pub(super) config: RegistryConfig,
    pub(super) credentials: Credentials,
    /// One for each rule about where it may connect.
    clients: Mutex<Vec<(Destinations, Client)>>,
    pub(super) remembered: Remembered,
}

impl Registry {
    /// Makes a client.
    #[must_use]
    pub fn new(config: RegistryConfig, credentials: Credentials) -> Self {
        Self {
            config,
            credentials,
            clients: Mutex::default(),
            remembered: Remembered::default(),
        }
    }

    /// A client that connects by a rule, and follows no redirect by itself.
    pub(super) fn client(&self, rule: Destinations) -> Result<Client, String> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == rule) {
            return Ok(client.clone());
        }
        guarded_egress::tls::ensure_provider();
        let builder = Client::builder()
            .user_agent(&self.config.user_agent)
            .connect_timeout(self.config.timeout)
            .referer(false);
        let client = rule.guard(builder).build().map_err(|error| error.to_string())?;
        clients.push((rule, client.clone()));
        Ok(client)
    }

    pub(super) fn is_plain(&self, image: &ImageReference) -> bool {
        let names = [image.registry(), image.api_host()];
        self.config
            .plain_http
            .iter()
            .any(|host| names.contains(&host.as_str()))
    }

    /// Retries what failed in transit, with growing delays, and not before the registry allows it.
    pub(crate) async fn with_retries<T, F: Future<Output = Result<T, Error>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Error> {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(8))
            .with_max_times(self.config.retries)
            .with_jitter();
        attempt
            .retry(waits)
            .when(Error::is_transient)
            .adjust(|error, wait| wait.map(|wait| wait.max(error.retry_after().unwrap_or_default())))
            .notify(|error, wait| tracing::debug!(%error, ?wait, "trying again"))
            .await
    }
}
