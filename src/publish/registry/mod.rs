//! Registries (OCI distribution-spec 1.1): requests of our own over HTTP, each answer read within bounds.
//!
//! A registry is taken for hostile, as whoever names one may be. What it says is believed where that can be checked, and it
//! leads nowhere but where [`crate::egress`] allows: manifests, tokens and lists stay at their server; blobs and uploads may
//! be at another host, over https, without the login.
//!
//! | file | what it does |
//! | --- | --- |
//! | `reference.rs`, `digest.rs` | names and digests |
//! | `credentials.rs` | which login is for which repository |
//! | `challenge.rs`, `token.rs` | what a registry asks for, and tokens |
//! | `exchange.rs` | one request: login, redirects, time |
//! | `answers.rs` | what refusals mean |
//! | `manifests.rs`, `blobs.rs`, `uploads.rs`, `referrers.rs` | the parts of the API |

mod answers;
mod blobs;
mod challenge;
mod credentials;
mod digest;
mod exchange;
mod manifests;
mod media_type;
mod reference;
mod referrers;
mod token;
mod uploads;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::Client;

pub use self::credentials::Credentials;
pub use self::digest::{Digest, DigestError};
pub(super) use self::media_type::MANIFEST;
pub use self::reference::{ImageReference, ReferenceError};

pub(super) use self::digest::Hasher;
pub(super) use self::exchange::{Access, Repository};
pub(super) use self::manifests::{Manifest, Stored};
pub(super) use self::reference::ManifestName;
pub(super) use self::referrers::Referrer;
pub(super) use self::uploads::NewBlob;

use self::challenge::Challenge;
use self::token::Token;
use super::Error;
use crate::egress::Destinations;

/// How a registry is spoken to.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Hosts (with their port) that are spoken to without TLS. What is sent there can be read and changed on the way.
    pub plain_http: Vec<String>,
    /// How long to wait for a connection, for each answer, and for each piece of what is sent or received.
    pub timeout: Duration,
    /// How often something that failed on the way is tried again.
    pub retries: usize,
}

impl Default for RegistryConfig {
    /// TLS only, 30 seconds, 4 more attempts.
    fn default() -> Self {
        Self {
            plain_http: Vec::new(),
            timeout: Duration::from_secs(30),
            retries: 4,
        }
    }
}

/// A client of registries.
pub struct Registry {
    config: RegistryConfig,
    credentials: Credentials,
    /// One for each rule of where it may connect to.
    clients: Mutex<Vec<(Destinations, Client)>>,
    /// What registries ask for, by host.
    greetings: Mutex<HashMap<String, Greeting>>,
    /// Tokens, by host and scope.
    tokens: Mutex<HashMap<(String, String), Token>>,
}

/// What a registry asked for when it was first spoken to.
#[derive(Clone, Debug)]
struct Greeting {
    /// `None` where it asks for nothing.
    challenge: Option<Challenge>,
    /// The address that it answered from.
    server: Option<SocketAddr>,
}

impl Registry {
    /// Makes a client.
    #[must_use]
    pub fn new(config: RegistryConfig, credentials: Credentials) -> Self {
        Self {
            config,
            credentials,
            clients: Mutex::default(),
            greetings: Mutex::default(),
            tokens: Mutex::default(),
        }
    }

    /// The repository of an image.
    pub(super) fn repository<'a>(&'a self, image: &'a ImageReference, access: Access) -> Repository<'a> {
        Repository::new(self, image, access)
    }

    /// A client that connects by a rule, and follows no redirect by itself.
    fn client(&self, rule: Destinations) -> Result<Client, String> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(of, _)| *of == rule) {
            return Ok(client.clone());
        }
        crate::tls::ensure_provider();
        let builder = Client::builder()
            .user_agent(concat!("patchset/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.config.timeout)
            .referer(false);
        let client = rule.guard(builder).build().map_err(|error| error.to_string())?;
        clients.push((rule, client.clone()));
        Ok(client)
    }

    fn is_plain(&self, image: &ImageReference) -> bool {
        let names = [image.registry(), image.api_host()];
        self.config
            .plain_http
            .iter()
            .any(|host| names.contains(&host.as_str()))
    }

    /// Repeats what failed on the way, with growing waits, and not before the registry asks for it.
    pub(super) async fn retried<T, F: Future<Output = Result<T, Error>>>(
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
