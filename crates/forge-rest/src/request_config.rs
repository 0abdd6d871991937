//! How servers are accessed.

use std::time::Duration;

/// How servers are accessed.
#[derive(Clone, Debug)]
pub struct RequestConfig {
    /// Which servers are accessed without TLS. What is sent there, including the login, can be read
    /// and changed in transit.
    pub plain_http: PlainHttp,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long one request may take, from its start to the last byte of its answer.
    pub timeout: Duration,
    /// How often something that does no harm twice is retried after it failed in transit.
    pub retries: usize,
    /// What this side calls itself: name and version.
    pub user_agent: &'static str,
}

impl Default for RequestConfig {
    /// TLS only, 10 seconds for a connection and 30 for a request, 2 more attempts.
    fn default() -> Self {
        Self {
            plain_http: PlainHttp::default(),
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            retries: 2,
            user_agent: concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// Which servers are accessed without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlainHttp {
    /// These hosts, with their port where the address has one.
    Hosts(Vec<String>),
    /// All whose address begins with `http`.
    All,
}

impl PlainHttp {
    pub(super) fn allows(&self, host: &str) -> bool {
        match self {
            Self::Hosts(hosts) => hosts.iter().any(|allowed| allowed == host),
            Self::All => true,
        }
    }
}

impl Default for PlainHttp {
    /// None.
    fn default() -> Self {
        Self::Hosts(Vec::new())
    }
}
