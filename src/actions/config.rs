//! How a server is spoken to.

use std::time::Duration;

/// How a server is spoken to.
#[derive(Clone, Debug)]
pub struct Config {
    /// Hosts (with their port, where the address has one) that are spoken to without TLS. What is sent there, the
    /// login as well, can be read and changed on the way.
    pub plain_http: Vec<String>,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long one request may take, from its start to the last byte of its answer.
    pub timeout: Duration,
    /// How often something that only reads, and that failed on the way, is tried again. A dispatch never is.
    pub retries: usize,
    /// How many bytes of a job's log are read at most. Of a longer log it is the end, where the server can give that.
    pub log_bytes: usize,
}

impl Default for Config {
    /// TLS only, 10 seconds for a connection and 30 for a request, 2 more attempts, 4 MiB of a log.
    fn default() -> Self {
        Self {
            plain_http: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            retries: 2,
            log_bytes: 4 << 20,
        }
    }
}
