//! Queries over all objects of a kind.

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
            concerned.extend(owner(store, referent));
            concerned
        }
    }
}

/// The object that can be read and that another one was made for.
fn owner<K: Reconciled>(store: &Store<Guarded<K>>, referent: &Referent) -> Option<ObjectKey> {
    let owner = K::owner_of(referent)?;
    find(store, &owner)?.0.is_ok().then_some(owner)
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
    owner(store, referent).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::runtime::{reflector, watcher};
    use patchset_api::ConstraintOverride;
    use patchset_api::referent::ReferentKind;
    use serde_json::json;

    #[test]
    fn an_object_is_found_by_the_file_that_was_merged_for_it() {
        let (store, mut writer) = reflector::store::<Guarded<ConstraintOverride>>();
        for (name, release) in [("a", json!("2025.2")), ("unreadable", json!(1))] {
            let object = json!({
                "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "ConstraintOverride",
                "metadata": { "name": name, "namespace": "ours" },
                "spec": {
                    "release": release,
                    "upperConstraints": { "git": { "url": "https://example.org/r", "path": "uc.txt" } },
                    "overrides": { "configMap": { "name": "overrides", "key": "c" } }
                }
            });
            writer.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(object).unwrap()));
        }
        let concerned = |kind, namespace: &str, name: &str| {
            let changed = Referent {
                kind,
                key: ObjectKey::new(namespace, name),
            };
            let is_owned = is_owned(&store, &changed);
            let concerned = find_concerned(&store, &Dependents::default(), &ObservedChange::One(changed));
            assert_eq!(is_owned, !concerned.is_empty());
            concerned
        };
        let made = |name| concerned(ReferentKind::ConfigMap, "ours", name);
        assert_eq!(made("a-constraints"), [ObjectKey::new("ours", "a")]);
        for other in ["a", "b-constraints", "unreadable-constraints", "-constraints"] {
            assert_eq!(made(other), [], "{other}");
        }
        assert_eq!(concerned(ReferentKind::ConfigMap, "theirs", "a-constraints"), []);
        assert_eq!(concerned(ReferentKind::Job, "ours", "a-constraints"), []);
    }
}
