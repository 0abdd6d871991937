//! What the watches of the API server give.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use patchset_api::referent::ObjectKey;

/// An object as it is watched: one that cannot be read does not stop the others.
pub type Guarded<K> = DeserializeGuard<K>;

/// Returns an object as the watch last showed it.
pub fn find<K>(store: &Store<K>, key: &ObjectKey) -> Option<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + 'static,
{
    store.get(&ObjectRef::new(&key.name).within(&key.namespace))
}

/// The owner that controls an object.
pub fn controller_of(object: &impl ResourceExt) -> Option<&OwnerReference> {
    let mut owners = object.owner_references().iter();
    owners.find(|owner| owner.controller == Some(true))
}
