//! What a kind of object provides to be reconciled.

use std::collections::HashSet;
use std::fmt::Debug;

use git_mirrors::RepoUrl;
use jiff::Timestamp;
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use patchset_api::FluxDuration;
use patchset_api::references::Reference;
use patchset_api::referent::{ObjectKey, Referent, ReferentKind};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::controller::state::dependents::Dependency;
use crate::ops::objects::ObjectMetrics;
use crate::plan::lifecycle::{AskedFor, Next, Observed};
use crate::plan::{Failure, Outcome};

/// When an object is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Schedule<'a> {
    pub interval: &'a FluxDuration,
    pub timeout: &'a FluxDuration,
    pub suspend: bool,
}

/// A kind of object that is reconciled.
pub trait Reconciled:
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
    /// What an attempt yields.
    type Done: Send;
    /// The kind's name.
    const KIND: &'static str;
    /// The kind as others refer to it.
    const REFERENT: ReferentKind;

    /// The status as the API server has it.
    fn status(&self) -> Option<&Self::Status>;

    /// When it is looked at.
    fn schedule(&self) -> Schedule<'_>;

    /// The objects that its spec names.
    fn references(&self) -> Vec<Reference<'_>>;

    /// The addresses of the Git repositories that it reads.
    fn repositories(&self) -> Vec<&str>;

    /// The object of this kind that another one is made for, as the other one's name says: whether
    /// it exists is not known.
    fn owner_of(_: &Referent) -> Option<ObjectKey> {
        None
    }

    /// What a result may change with, besides the objects that are made for it.
    fn dependencies(&self) -> HashSet<Dependency> {
        let namespace = self.namespace().unwrap_or_default();
        let references = self.references();
        let objects = references
            .iter()
            .map(|reference| Dependency::Object(reference.referent(&namespace)));
        let repositories = self.repositories();
        let addresses = repositories.iter().filter_map(|url| url.parse::<RepoUrl>().ok());
        let repositories = addresses.map(|address| Dependency::Repository {
            namespace: namespace.clone(),
            location: address.location(),
        });
        objects.chain(repositories).collect()
    }

    /// What an event says besides the message of Ready.
    fn details(_: &Self::Status) -> Option<String> {
        None
    }

    /// What alerts show of it besides the message, by Flux's names where it has some.
    fn facts(&self, status: &Self::Status) -> Vec<(&'static str, String)>;

    /// What the metrics show of it.
    fn metrics(&self) -> ObjectMetrics;

    /// The failures because of which a result is incomplete.
    fn failures(_: &Self::Done) -> Vec<&Failure> {
        Vec::new()
    }

    /// The status that an attempt leads to.
    fn settle(
        &self,
        previous: &Self::Status,
        asked: AskedFor<'_>,
        now: Timestamp,
        outcome: Outcome<Self::Sources, Self::Done>,
    ) -> (Self::Status, Next);
}

/// What the metrics show of objects of any kind.
pub fn identity<K: Reconciled>(object: &K) -> ObjectMetrics {
    let conditions = object.status().map(Observed::conditions).unwrap_or_default();
    let conditions = conditions.iter();
    ObjectMetrics {
        kind: K::KIND,
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        suspended: object.schedule().suspend,
        conditions: conditions
            .map(|one| (one.type_.clone(), one.status.clone(), one.reason.clone()))
            .collect(),
        ..ObjectMetrics::default()
    }
}
