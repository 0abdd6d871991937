//! How a server is spoken to.

use std::time::Duration;

use crate::rest::{self, PlainHttp};

/// How a server is spoken to.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who is spoken to without TLS. What is sent there, the login as well, can be read and changed on the way.
    pub plain_http: PlainHttp,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long one request may take, from its start to the last byte of its answer.
    pub timeout: Duration,
    /// How often something that only reads, and that failed on the way, is tried again. A dispatch never is.
    pub retries: usize,
    /// How many bytes of a job's log are read at most. Of a longer log it is the end, where the server can give that.
    pub log_bytes: usize,
}

impl Config {
    pub(super) fn requests(&self) -> rest::Config {
        rest::Config {
            plain_http: self.plain_http.clone(),
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            retries: self.retries,
        }
    }
}

impl From<rest::Config> for Config {
    /// With at most 4 MiB of a log.
    fn from(requests: rest::Config) -> Self {
        Self {
            plain_http: requests.plain_http,
            connect_timeout: requests.connect_timeout,
            timeout: requests.timeout,
            retries: requests.retries,
            log_bytes: 4 << 20,
        }
    }
}

impl Default for Config {
    /// TLS only, 10 seconds for a connection and 30 for a request, 2 more attempts, 4 MiB of a log.
    fn default() -> Self {
        rest::Config::default().into()
    }
}
