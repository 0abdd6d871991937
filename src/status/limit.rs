//! How long the API server is waited for.

use std::future::Future;
use std::time::Duration;

use super::Error;

/// How long the API server may take for one request of ours.
pub const API_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes one request to the API server, within the time allowed for one.
///
/// # Errors
///
/// Where it fails, or takes longer.
pub async fn within_limit<T>(request: impl Future<Output = kube::Result<T>> + Send) -> Result<T, Error> {
    match tokio::time::timeout(API_TIMEOUT, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::TimedOut),
    }
}
