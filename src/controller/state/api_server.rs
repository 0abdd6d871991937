//! How long the API server is waited for, and what its watches give.

use std::future::Future;
use std::time::Duration;

use std::fmt::Debug;
use std::sync::Arc;

use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use patchset_api::referent::ObjectKey;

/// How long the API server may take for one request of ours.
pub const API_TIMEOUT: Duration = Duration::from_secs(30);

/// An object as it is watched: one that cannot be read does not stop the others.
pub type Guarded<K> = DeserializeGuard<K>;

/// Returns an object as the watch last showed it.
pub fn find<K>(store: &Store<K>, key: &ObjectKey) -> Option<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + 'static,
{
    store.get(&ObjectRef::new(&key.name).within(&key.namespace))
}

/// Makes one request to the API server, within the time allowed for one.
pub async fn within_limit<T>(
    request: impl Future<Output = kube::Result<T>> + Send,
) -> Result<T, crate::status::Error> {
    match tokio::time::timeout(API_TIMEOUT, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(crate::status::Error::TimedOut),
    }
}
