//! Passes changes of Secrets, ConfigMaps, Flux sources and the resources themselves on to the
//! controllers.

use std::sync::Arc;

use super::owners::ChangedOwners;
use crate::controller::state::dependents::{Dependency, Dependents};
use crate::controller::state::referents::{ReferentChanges, Referents};
use futures::stream::BoxStream;
use futures::{Future, StreamExt};
use patchset_api::referent::{Referent, ReferentKind};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// How many changes may wait. If more come at once, everything is looked at.
const WAITING: usize = 1024;

/// What changed.
#[derive(Clone, Debug)]
pub enum ObservedChange {
    /// One object.
    One(Referent),
    /// A Git repository, with the objects that read it.
    Repository { readers: Arc<[Referent]> },
    /// More than could be kept: any object.
    Any,
}

/// Where controllers get changes from, and announce those of their own objects.
#[derive(Clone)]
pub struct Triggers {
    changes: broadcast::Sender<ObservedChange>,
    seen: broadcast::Sender<Referent>,
    /// The owners whose objects changed.
    pub owners: ChangedOwners,
}

impl Triggers {
    /// Sends a change to the controllers that run.
    pub fn send(&self, change: ObservedChange) {
        // No receiver is no error: the controllers may be gone already.
        let _ = self.changes.send(change);
    }

    /// All changes from now on.
    pub fn changes(&self) -> BoxStream<'static, ObservedChange> {
        BroadcastStream::new(self.changes.subscribe())
            .map(|change| change.unwrap_or(ObservedChange::Any))
            .boxed()
    }

    /// Announces that an object of ours was seen to change, whether or not anything depends on it.
    pub fn tell_seen(&self, object: Referent) {
        let _ = self.seen.send(object);
    }

    /// What is seen of our own objects from now on.
    pub fn seen(&self) -> BoxStream<'static, ObservedChange> {
        BroadcastStream::new(self.seen.subscribe())
            .map(|object| object.map_or(ObservedChange::Any, ObservedChange::One))
            .boxed()
    }
}

/// Runs the watches, drops outdated contents, and passes on the changes that may concern an object:
/// few of a cluster's Secrets do, and those of a full list could not all be sent.
pub fn fan_out(
    mut changes: ReferentChanges,
    referents: Arc<Referents>,
    dependents: Arc<Dependents>,
) -> (impl Future<Output = ()>, Triggers) {
    let (sender, _) = broadcast::channel(WAITING);
    let triggers = Triggers {
        changes: sender,
        seen: broadcast::channel(WAITING).0,
        owners: ChangedOwners::default(),
    };
    let teller = triggers.clone();
    let run = async move {
        while let Some(referent) = changes.next().await {
            referents.forget(&referent);
            if may_concern(&dependents, &referent) {
                teller.send(ObservedChange::One(referent));
            }
        }
    };
    (run, triggers)
}

/// Whether an object may be used by one of ours, or made for it: Secrets are made for none.
fn may_concern(dependents: &Dependents, referent: &Referent) -> bool {
    referent.kind != ReferentKind::Secret || dependents.is_any_on(&Dependency::Object(referent.clone()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use patchset_api::referent::ObjectKey;

    #[test]
    fn a_secret_that_nobody_names_is_told_to_nobody() {
        let of_kind = |kind, name: &str| Referent {
            kind,
            key: ObjectKey::new("ns", name),
        };
        let dependents = Dependents::default();
        let named = of_kind(ReferentKind::Secret, "login");
        let by = HashSet::from([Dependency::Object(named.clone())]);
        dependents.record(of_kind(ReferentKind::PatchSet, "a"), by);
        assert!(may_concern(&dependents, &named));
        assert!(!may_concern(&dependents, &of_kind(ReferentKind::Secret, "other")));
        // It may be the merged file of an override, or a Job, which no spec names.
        assert!(may_concern(
            &dependents,
            &of_kind(ReferentKind::ConfigMap, "other")
        ));
        assert!(may_concern(&dependents, &of_kind(ReferentKind::Job, "other")));
    }
}
