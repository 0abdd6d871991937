//! Queries over all objects of a kind.

use std::sync::Arc;

use kube::runtime::reflector::Store;
use patchset_api::referent::{ObjectKey, Referent};

use super::triggers::ObservedChange;
use crate::controller::context::kind::Reconciled;
use crate::controller::state::api_server::{Guarded, find};
use crate::controller::state::dependents::{Dependency, Dependents};
use crate::ops::objects::ObjectMetrics;

/// The objects that a change concerns.
pub fn find_concerned<K: Reconciled>(
    store: &Store<Guarded<K>>,
    dependents: &Dependents,
    change: &ObservedChange,
) -> Vec<ObjectKey> {
    let of_kind = |objects: &[Referent]| -> Vec<ObjectKey> {
        let objects = objects.iter().filter(|object| object.kind == K::REFERENT);
        objects.map(|object| object.key.clone()).collect()
    };
    match change {
        ObservedChange::Any => store
            .state()
            .iter()
            .map(|object| ObjectKey::of_object(object.as_ref()))
            .collect(),
        ObservedChange::Repository { readers } => of_kind(readers),
        ObservedChange::One(referent) => {
            let mut concerned = of_kind(&dependents.on(&Dependency::Object(referent.clone())));
            concerned.extend(
                owners(store, referent)
                    .iter()
                    .map(|owner| ObjectKey::of_object(owner.as_ref())),
            );
            concerned
        }
    }
}

/// The objects that another one was made for.
fn owners<K: Reconciled>(store: &Store<Guarded<K>>, referent: &Referent) -> Vec<Arc<Guarded<K>>> {
    if !K::may_own(referent.kind) {
        return Vec::new();
    }
    let mut objects = store.state();
    objects.retain(|object| object.0.as_ref().is_ok_and(|object| object.depends_on(referent)));
    objects
}

/// Whether this object is of the kind and does not exist.
pub fn is_gone<K: Reconciled>(store: &Store<Guarded<K>>, object: &Referent) -> bool {
    object.kind == K::REFERENT && find(store, &object.key).is_none()
}

/// What the metrics show of objects that can be read.
pub fn metrics_of_all<K: Reconciled>(
    store: &Store<Guarded<K>>,
) -> impl Iterator<Item = ObjectMetrics> + use<K> {
    let objects = store.state().into_iter();
    objects.filter_map(|object| object.0.as_ref().ok().map(Reconciled::metrics))
}

/// How many objects cannot be read.
pub fn unreadable_objects<K: Reconciled>(store: &Store<Guarded<K>>) -> usize {
    store.state().iter().filter(|object| object.0.is_err()).count()
}

/// Whether another object was made for one that can be read.
pub fn is_owned<K: Reconciled>(store: &Store<Guarded<K>>, referent: &Referent) -> bool {
    !owners(store, referent).is_empty()
}
