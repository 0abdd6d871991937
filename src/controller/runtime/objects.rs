//! What can be asked of all objects of a kind.

use std::sync::Arc;

use kube::runtime::reflector::{ObjectRef, Store};

use super::triggers::ObservedChange;
use crate::api::reference::Referent;
use crate::controller::context::kind::Reconciled;
use crate::controller::state::api_server::Guarded;
use crate::ops::objects::ObjectMetrics;

/// The objects that a change concerns.
pub fn find_concerned<K: Reconciled>(
    objects: &[Arc<Guarded<K>>],
    change: &ObservedChange,
) -> Vec<ObjectRef<Guarded<K>>> {
    let reference = |object: &Arc<Guarded<K>>| ObjectRef::from_obj(object.as_ref());
    let ObservedChange::One(referent) = change else {
        return objects.iter().map(reference).collect();
    };
    let refers = |object: &&Arc<Guarded<K>>| {
        let read = object.0.as_ref();
        read.is_ok_and(|read| read.depends_on(referent))
    };
    objects.iter().filter(refers).map(reference).collect()
}

/// What the metrics show of objects that can be read.
pub fn metrics_of_all<K: Reconciled>(store: &Store<Guarded<K>>) -> Vec<ObjectMetrics> {
    store
        .state()
        .iter()
        .filter_map(|object| object.0.as_ref().ok())
        .map(Reconciled::metrics)
        .collect()
}

/// How many objects cannot be read.
pub fn unreadable_objects<K: Reconciled>(store: &Store<Guarded<K>>) -> usize {
    store.state().iter().filter(|object| object.0.is_err()).count()
}

/// Whether an object that can be read refers to another one.
pub fn is_referred_to<K: Reconciled>(store: &Store<Guarded<K>>, referent: &Referent) -> bool {
    store
        .state()
        .iter()
        .any(|object| object.0.as_ref().is_ok_and(|object| object.depends_on(referent)))
}
