//! What a kind of object brings along to be reconciled, and what can be asked of all objects of a kind.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use jiff::Timestamp;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::{Context, Guarded, Pace};
use super::references::{Referent, ReferentKind};
use super::triggers::Change;
use crate::api::FluxDuration;
use crate::ops::objects::Shown;
use crate::plan::lifecycle::{Asked, Next, Observed};
use crate::plan::{Failure, Outcome};

/// When an object is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule<'a> {
    pub(super) interval: &'a FluxDuration,
    pub(super) timeout: &'a FluxDuration,
    pub(super) suspend: bool,
}

/// A kind of object that is reconciled.
pub(super) trait Reconciled:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Its status.
    type Status: Observed + Default + PartialEq + Serialize + Send + Sync + 'static;
    /// What its sources say.
    type Sources: Send;
    /// What an attempt gives.
    type Done: Send;
    /// The kind's name.
    const KIND: &'static str;
    /// The kind as others refer to it.
    const REFERENT: ReferentKind;

    /// The status as the API server has it.
    fn status(&self) -> Option<&Self::Status>;

    /// When it is looked at.
    fn schedule(&self) -> Schedule<'_>;

    /// Whether a result may change with this object, which is not the resource itself.
    fn refers_to(&self, namespace: &str, referent: &Referent) -> bool;

    /// What an event says besides the message of Ready.
    fn details(_: &Self::Status) -> Option<String> {
        None
    }

    /// What alerts show of it besides the message, by Flux's names where it has some.
    fn facts(&self, status: &Self::Status) -> Vec<(&'static str, String)>;

    /// What the metrics show of it.
    fn shown(&self) -> Shown;

    /// Told of each status that this process wrote, with the one before it.
    fn wrote(&self, _: &Context, _: &Self::Status, _: &Self::Status) {}

    /// One attempt.
    fn attempt(
        &self,
        context: &Arc<Context>,
        known: &Self::Status,
        pace: Pace,
    ) -> impl Future<Output = Outcome<Self::Sources, Self::Done>> + Send;

    /// What a result lacks because a step could not be done.
    fn failures(_: &Self::Done) -> Vec<&Failure> {
        Vec::new()
    }

    /// The status that an attempt leads to.
    fn settle(
        &self,
        known: &Self::Status,
        asked: Asked<'_>,
        now: Timestamp,
        outcome: Outcome<Self::Sources, Self::Done>,
    ) -> (Self::Status, Next);
}

/// The objects that a change concerns.
pub(super) fn concerned<K: Reconciled>(
    objects: &[Arc<Guarded<K>>],
    change: &Change,
) -> Vec<ObjectRef<Guarded<K>>> {
    let reference = |object: &Arc<Guarded<K>>| ObjectRef::from_obj(object.as_ref());
    let Change::One(referent) = change else {
        return objects.iter().map(reference).collect();
    };
    let refers = |object: &&Arc<Guarded<K>>| {
        let read = object.0.as_ref();
        read.is_ok_and(|read| read.refers_to(&read.namespace().unwrap_or_default(), referent))
    };
    objects.iter().filter(refers).map(reference).collect()
}

/// What the metrics show of objects that can be read.
pub(super) fn shown<K: Reconciled>(store: &Store<Guarded<K>>) -> Vec<Shown> {
    store
        .state()
        .iter()
        .filter_map(|object| object.0.as_ref().ok())
        .map(Reconciled::shown)
        .collect()
}

/// How many objects cannot be read.
pub(super) fn unreadable_objects<K: Reconciled>(store: &Store<Guarded<K>>) -> usize {
    store.state().iter().filter(|object| object.0.is_err()).count()
}

/// Whether an object that can be read refers to another one.
pub(super) fn is_referred_to<K: Reconciled>(store: &Store<Guarded<K>>, referent: &Referent) -> bool {
    let refers = |object: &K| object.refers_to(&object.namespace().unwrap_or_default(), referent);
    store
        .state()
        .iter()
        .any(|object| object.0.as_ref().is_ok_and(refers))
}

/// What the metrics show of objects of any kind.
pub(super) fn identity<K: Reconciled>(object: &K) -> Shown {
    let conditions = object.status().map(Observed::conditions).unwrap_or_default();
    let conditions = conditions.iter();
    Shown {
        kind: K::KIND,
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        suspended: object.schedule().suspend,
        conditions: conditions
            .map(|one| (one.type_.clone(), one.status.clone(), one.reason.clone()))
            .collect(),
        ..Shown::default()
    }
}
