//! How requests to GitHub are sent, and how much of a log is read.

use forge_rest::RequestConfig;

/// How GitHub is spoken to.
#[derive(Clone, Debug)]
pub struct ActionsConfig {
    /// How requests are sent. Only what reads is tried again; a dispatch never is.
    pub requests: RequestConfig,
    /// How many bytes of a job's log are read at most. Of a longer log it is the end, where the
    /// server can give that.
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
