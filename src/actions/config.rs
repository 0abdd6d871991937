//! How requests to GitHub are sent, and how much of a log is read.

use forge_rest::RequestConfig;

/// How to talk to GitHub.
#[derive(Clone, Debug)]
pub struct ActionsConfig {
    /// How requests are sent. Only reads are retried; a dispatch never is.
    pub requests: RequestConfig,
    /// The most bytes of a job's log that are read. Of a longer log they are its end, if the server
    /// can send that.
    pub max_log_bytes: usize,
}

impl From<RequestConfig> for ActionsConfig {
    /// With at most 4 MiB of a log.
    fn from(requests: RequestConfig) -> Self {
        Self {
            requests,
            max_log_bytes: 4 << 20,
        }
    }
}

impl Default for ActionsConfig {
    /// With the defaults of requests, and at most 4 MiB of a log.
    fn default() -> Self {
        RequestConfig::default().into()
    }
}
