//! How long the API server is waited for, and what its watches give.

use std::future::Future;
use std::time::Duration;

use kube::core::DeserializeGuard;

/// How long the API server may take for one request of ours.
pub const API_TIMEOUT: Duration = Duration::from_secs(30);

/// An object as it is watched: one that cannot be read does not stop the others.
pub type Guarded<K> = DeserializeGuard<K>;

/// Makes one request to the API server, within the time that one may take.
pub async fn within_limit<T>(
    request: impl Future<Output = kube::Result<T>> + Send,
) -> Result<T, crate::status::Error> {
    match tokio::time::timeout(API_TIMEOUT, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(crate::status::Error::TimedOut),
    }
}
