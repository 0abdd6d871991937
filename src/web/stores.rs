//! The objects that are shown.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use patchset_api::{ConstraintOverride, GROUP, PatchRepository, PatchSet};

/// The merged file of a `ConstraintOverride`, where the controller has it in memory.
pub type HeldMergedFile = dyn Fn(&ConstraintOverride) -> Option<String> + Send + Sync;

/// What the controller's watches know.
#[derive(Clone)]
pub struct Stores {
    /// The `PatchSet`s.
    pub patch_sets: Store<DeserializeGuard<PatchSet>>,
    /// The `ConstraintOverride`s.
    pub constraint_overrides: Store<DeserializeGuard<ConstraintOverride>>,
    /// The `PatchRepository`s.
    pub repositories: Store<DeserializeGuard<PatchRepository>>,
    /// The merged files.
    pub merged_file: Arc<HeldMergedFile>,
}

/// A kind that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ShownKind {
    PatchSets,
    ConstraintOverrides,
    PatchRepositories,
    /// Those with merged constraints.
    ConfigMaps,
}

impl ShownKind {
    /// The group of its API.
    pub(super) fn group(self) -> &'static str {
        match self {
            Self::PatchSets | Self::ConstraintOverrides | Self::PatchRepositories => GROUP,
            Self::ConfigMaps => "",
        }
    }

    /// The plural that the API server's paths use.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::PatchSets => "patchsets",
            Self::ConstraintOverrides => "constraintoverrides",
            Self::PatchRepositories => "patchrepositories",
            Self::ConfigMaps => "configmaps",
        }
    }
}

/// The namespaces that have objects of a store.
pub(super) fn namespaces<K>(store: &Store<DeserializeGuard<K>>) -> BTreeSet<String>
where
    K: Resource<DynamicType = ()> + Clone + Debug + 'static,
{
    let objects = store.state();
    objects.iter().filter_map(|object| object.namespace()).collect()
}

/// Maps the readable objects of some namespaces by `show`, in order.
pub(super) fn visible<K, T>(
    store: &Store<DeserializeGuard<K>>,
    namespaces: &BTreeSet<String>,
    show: impl Fn(&K) -> T,
) -> Vec<T>
where
    K: Resource<DynamicType = ()> + Clone + Debug + 'static,
{
    let mut objects = store.state();
    objects.retain(|object| object.namespace().is_some_and(|one| namespaces.contains(&one)));
    objects.sort_by_cached_key(|object| (object.namespace(), object.name_any()));
    let readable = objects.iter().filter_map(|object| object.0.as_ref().ok());
    readable.map(show).collect()
}

/// Maps an object by `show`, if it is readable.
pub(super) fn find<K, T>(
    store: &Store<DeserializeGuard<K>>,
    namespace: &str,
    name: &str,
    show: impl Fn(&K) -> T,
) -> Option<T>
where
    K: Resource<DynamicType = ()> + Clone + Debug + 'static,
{
    let object = store.get(&ObjectRef::new(name).within(namespace))?;
    object.0.as_ref().ok().map(show)
}
