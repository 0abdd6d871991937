//! Applies the objects that a repository's folders ask for, and prunes those that they do not ask
//! for any more.
//!
//! An object belongs to the `PatchRepository` if that is its controller, or if it has no controller
//! and its label names it. Any other one is left alone, whatever its name.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foreign_text::printable_lines;
use futures::StreamExt;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy, ValidationDirective,
};
use kube::core::Status;
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};
use patchset_api::patch_repository::REPOSITORY_LABEL;
use patchset_api::reason::{self, Reason};
use patchset_api::referent::ObjectKey;
use patchset_api::{ConstraintOverride, PatchRepository, PatchSet};
use serde::Serialize;
use serde_json::{Value, json};

use crate::controller::context::kind::Reconciled;
use crate::controller::context::turn::Turn;
use crate::controller::context::{Budget, annotations};
use crate::controller::state::api_server::{Guarded, controller_of, find};
use crate::controller::state::repositories::{AppliedObject, MadeFor, MadeKind};
use crate::plan::{Failure, Step};
use crate::status::limit::within_limit;

/// The field manager under which objects are applied: apart from that of statuses, so that what a
/// template leaves out belongs to whoever sets it.
const REPOSITORY_MANAGER: &str = "patchset-repository";

/// How many requests to the API server one `PatchRepository` has under way.
const AT_ONCE: usize = 8;

/// From how many objects that no watch shows their names are looked up by one list, and not one by
/// one.
const LISTED_FROM: usize = 16;

/// How many objects one page of such a list has.
const PAGE: u32 = 500;

/// A kind of object that is made.
pub trait Made: Reconciled + Serialize {
    /// Which kind it is.
    const MADE: MadeKind;

    /// The objects of the kind, as the watch last showed them.
    fn store<'a>(turn: &'a Turn<'_, PatchRepository>) -> &'a Store<Guarded<Self>>;

    /// Whether another object's spec is the same.
    fn has_spec_of(&self, other: &Self) -> bool;

    /// What it is for.
    fn made_for(&self) -> MadeFor;
}

impl Made for PatchSet {
    const MADE: MadeKind = MadeKind::PatchSet;

    fn store<'a>(turn: &'a Turn<'_, PatchRepository>) -> &'a Store<Guarded<Self>> {
        &turn.context.patch_sets
    }

    fn has_spec_of(&self, other: &Self) -> bool {
        self.spec == other.spec
    }

    fn made_for(&self) -> MadeFor {
        MadeFor {
            component: Some(self.spec.component.0.clone()),
            release: self.spec.release.0.clone(),
        }
    }
}

impl Made for ConstraintOverride {
    const MADE: MadeKind = MadeKind::ConstraintOverride;

    fn store<'a>(turn: &'a Turn<'_, PatchRepository>) -> &'a Store<Guarded<Self>> {
        &turn.context.constraint_overrides
    }

    fn has_spec_of(&self, other: &Self) -> bool {
        self.spec == other.spec
    }

    fn made_for(&self) -> MadeFor {
        MadeFor {
            component: None,
            release: self.spec.release.0.clone(),
        }
    }
}

/// Who owns an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The `PatchRepository`'s.
    Own,
    /// Somebody else's: whose, in words.
    Others(String),
}

/// Why an object is not there as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotApplied {
    /// It is refused as it is; the others go on.
    Refused {
        /// The reason, as a condition has it.
        reason: Reason,
        message: String,
    },
    /// The API server could not be asked; the rest waits.
    Failed(Failure),
}

/// Who owns an object, by its metadata.
pub fn ownership(repository: &PatchRepository, object: &impl ResourceExt) -> Ownership {
    match controller_of(object) {
        Some(owner) if repository.metadata.uid.as_ref() == Some(&owner.uid) => Ownership::Own,
        Some(owner) => Ownership::Others(format!("{} {}", owner.kind, owner.name)),
        None if object.labels().get(REPOSITORY_LABEL) == repository.metadata.name.as_ref() => Ownership::Own,
        None => Ownership::Others("an unknown owner".to_owned()),
    }
}

/// The objects of a kind that belong to the `PatchRepository`.
pub fn children<K: Made>(turn: &Turn<'_, PatchRepository>) -> Vec<Arc<Guarded<K>>> {
    let namespace = turn.namespace();
    let mut children = K::store(turn).state();
    children.retain(|child| {
        child.namespace().as_deref() == Some(&namespace)
            && child.meta().deletion_timestamp.is_none()
            && ownership(turn.object, child.as_ref()) == Ownership::Own
    });
    children
}

/// Whether an object has the labels and the owner that it should have.
pub fn is_marked<K: Made>(desired: &K, child: &impl ResourceExt) -> bool {
    let mut labels = desired.labels().iter();
    controller_uid(desired) == controller_uid(child)
        && labels.all(|(name, value)| child.labels().get(name) == Some(value))
}

fn controller_uid(object: &impl ResourceExt) -> Option<&str> {
    controller_of(object).map(|owner| owner.uid.as_str())
}

/// Whether an object is as it should be, as far as the watch shows it.
pub fn is_as_desired<K: Made>(desired: &K, child: &K) -> bool {
    let mut wanted = desired.annotations().clone();
    annotations::keep_used(&mut wanted);
    is_marked(desired, child)
        && wanted
            .iter()
            .all(|(name, value)| child.annotations().get(name) == Some(value))
        && child.has_spec_of(desired)
}

/// An object to apply, and what exists in its place.
pub struct ToApply<K> {
    pub desired: K,
    /// The uid of the existing object, which is the `PatchRepository`'s; `None` if none is known.
    pub uid: Option<String>,
}

/// Applies objects, a few at a time, and returns the outcome for each by name. Once the API server
/// cannot be reached, those not begun are not tried.
pub async fn apply_all<K: Made>(
    turn: &Turn<'_, PatchRepository>,
    objects: Vec<ToApply<K>>,
) -> Vec<(String, Result<AppliedObject, NotApplied>)> {
    let taken = names_if_many(turn, &objects).await;
    let taken = taken.as_ref();
    let is_down = AtomicBool::new(false);
    let is_down = &is_down;
    let applying = objects.into_iter().map(|object| async move {
        let name = object.desired.name_any();
        if is_down.load(Ordering::Relaxed) {
            return None;
        }
        let applied = apply(turn, object, taken).await;
        if matches!(applied, Err(NotApplied::Failed(_))) {
            is_down.store(true, Ordering::Relaxed);
        }
        Some((name, applied))
    });
    let applied = futures::stream::iter(applying).buffer_unordered(AT_ONCE);
    applied.filter_map(|one| async { one }).collect().await
}

/// The existing names of a kind's objects, if many are to be made; `None` if each is better looked
/// up by itself, or they cannot be listed.
///
/// The watch shows what is made later, unless it has other labels than are watched.
async fn names_if_many<K: Made>(
    turn: &Turn<'_, PatchRepository>,
    objects: &[ToApply<K>],
) -> Option<HashSet<String>> {
    let new = objects.iter().filter(|object| object.uid.is_none()).count();
    let watches_all = turn.context.options.watch_label_selector.is_none();
    if !watches_all || new < LISTED_FROM.max(K::store(turn).len() / 4) {
        return None;
    }
    let api: Api<K> = Api::namespaced(turn.context.client.clone(), &turn.namespace());
    let mut parameters = ListParams::default().limit(PAGE);
    let mut names = HashSet::new();
    loop {
        let what = format!("listing objects of kind {}", K::KIND);
        let page = limited(turn.budget, &what, api.list_metadata(&parameters))
            .await
            .ok()?;
        names.extend(page.items.into_iter().filter_map(|object| object.metadata.name));
        parameters.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if parameters.continue_token.is_none() {
            return Some(names);
        }
    }
}

/// Applies an object. One that is not among the taken names and that no watch shows does not exist.
async fn apply<K: Made>(
    turn: &Turn<'_, PatchRepository>,
    ToApply { mut desired, mut uid }: ToApply<K>,
    taken: Option<&HashSet<String>>,
) -> Result<AppliedObject, NotApplied> {
    let (namespace, name) = (turn.namespace(), desired.name_any());
    let api: Api<K> = Api::namespaced(turn.context.client.clone(), &namespace);
    let is_free = || {
        taken.is_some_and(|taken| !taken.contains(&name))
            && find(K::store(turn), &ObjectKey::new(&namespace, &name)).is_none()
    };
    if uid.is_none() && !is_free() {
        // The watch may not have shown it yet, and never does if this controller does not watch its
        // labels: then it is still our own object, in the wrong shard.
        let what = format!("reading {} {name}", K::KIND);
        let found = limited(turn.budget, &what, api.get_metadata_opt(&name)).await?;
        if let Some(found) = found {
            if let Ownership::Others(whose) = ownership(turn.object, &found) {
                return Err(name_taken::<K>(&namespace, &name, &whose));
            }
            uid = found.uid();
        }
    }
    let parameters = PatchParams {
        field_manager: Some(REPOSITORY_MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
        // What somebody made a moment ago is not taken over.
        force: uid.is_some(),
        ..PatchParams::default()
    };
    // Never overwrites another object of this name.
    desired.meta_mut().uid = uid;
    let what = format!("writing {} {name}", K::KIND);
    let patch = Patch::Apply(&desired);
    let applied = limited(turn.budget, &what, api.patch(&name, &parameters, &patch)).await?;
    Ok(AppliedObject {
        uid: applied.uid().unwrap_or_default(),
        generation: applied.meta().generation.unwrap_or_default(),
    })
}

fn name_taken<K: Made>(namespace: &str, name: &str, whose: &str) -> NotApplied {
    NotApplied::Refused {
        reason: reason::NAME_TAKEN,
        message: format!(
            "{} {namespace}/{name} already exists and belongs to {whose}: remove it, give it the label {REPOSITORY_LABEL} with this PatchRepository's name to hand it over, or exclude its component or release",
            K::KIND
        ),
    }
}

/// Deletes an object that is not asked for any more, as it was seen. It is no failure if the object
/// is gone or has changed since: the watch shows that.
pub async fn delete<K: Made>(turn: &Turn<'_, PatchRepository>, child: &Guarded<K>) -> Result<(), Failure> {
    let api: Api<K> = Api::namespaced(turn.context.client.clone(), &turn.namespace());
    let name = child.name_any();
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: child.uid(),
            resource_version: None,
        }),
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    let what = format!("deleting {} {name}", K::KIND);
    match limited(turn.budget, &what, api.delete(&name, &parameters)).await {
        Ok(_) => {
            tracing::info!(
                kind = K::KIND,
                namespace = turn.namespace(),
                name,
                repository = turn.object.name_any(),
                "pruned"
            );
            Ok(())
        }
        Err(NotApplied::Refused { message, .. }) => {
            Err(Failure::retried(Step::Objects, reason::WRITE_FAILED, message))
        }
        Err(NotApplied::Failed(failure)) => Err(failure),
    }
}

/// Removes the `PatchRepository` as an object's owner, so that the object outlives it.
pub async fn disown<K: Made>(turn: &Turn<'_, PatchRepository>, child: &Guarded<K>) -> Result<(), Failure> {
    let mut owners = child.owner_references().to_vec();
    owners.retain(|owner| turn.object.metadata.uid.as_ref() != Some(&owner.uid));
    if owners.len() == child.owner_references().len() {
        return Ok(());
    }
    let api: Api<K> = Api::namespaced(turn.context.client.clone(), &turn.namespace());
    let name = child.name_any();
    let metadata = json!({ "resourceVersion": child.resource_version(), "ownerReferences": owners });
    let patch: Patch<Value> = Patch::Merge(json!({ "metadata": metadata }));
    let parameters = PatchParams {
        field_manager: Some(REPOSITORY_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let what = format!("removing the owner from {} {name}", K::KIND);
    match limited(turn.budget, &what, api.patch(&name, &parameters, &patch)).await {
        Ok(_) => Ok(()),
        Err(NotApplied::Refused { message, .. }) => {
            Err(Failure::retried(Step::Objects, reason::WRITE_FAILED, message))
        }
        Err(NotApplied::Failed(failure)) => Err(failure),
    }
}

/// Makes one request, and says what a failure is about.
async fn limited<T>(
    budget: Budget<'_>,
    what: &str,
    request: impl Future<Output = kube::Result<T>> + Send,
) -> Result<T, NotApplied> {
    let answer = budget.limit(Step::Objects, what, within_limit(request)).await;
    match answer.map_err(NotApplied::Failed)? {
        Ok(answer) => Ok(answer),
        Err(crate::status::Error::Api(kube::Error::Api(status))) => Err(refusal(what, &status)),
        Err(error) => Err(failed(what, &error)),
    }
}

/// Whether an error from the API server concerns one object or all.
fn refusal(what: &str, status: &Status) -> NotApplied {
    let message = format!("{what}: {}", printable_lines(&status.message));
    let refused = |reason| NotApplied::Refused {
        reason,
        message: message.clone(),
    };
    match status.code {
        400 | 422 => refused(reason::TEMPLATE_INVALID),
        // A quota, an admission policy, or a right that the controller lacks; or somebody was first.
        403 | 404 | 409 => refused(reason::WRITE_FAILED),
        _ => failed(what, &message),
    }
}

fn failed(what: &str, error: &(impl Display + ?Sized)) -> NotApplied {
    let message = format!("{what}: {error}");
    NotApplied::Failed(Failure::retried(Step::Objects, reason::WRITE_FAILED, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> PatchRepository {
        let object = json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchRepository",
            "metadata": { "name": "ours", "namespace": "ns", "uid": "1" },
            "spec": {
                "source": { "git": { "url": "https://example.org/ours" } },
                "upstream": { "urlTemplate": "https://example.org/{component}" }
            }
        });
        serde_json::from_value(object).unwrap()
    }

    fn patch_set(metadata: &Value, interval: &str) -> PatchSet {
        let object = json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet", "metadata": metadata,
            "spec": {
                "component": "glance", "release": "2025.2", "interval": interval,
                "upstream": { "url": "https://example.org/glance", "ref": { "tag": "1" } }
            }
        });
        serde_json::from_value(object).unwrap()
    }

    fn owner(uid: &str, controller: bool) -> Value {
        json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchRepository", "name": "one", "uid": uid,
            "controller": controller
        })
    }

    #[test]
    fn an_object_is_whose_controller_it_has_or_whose_label_where_it_has_none() {
        let repository = repository();
        let whose = |owners: &[Value], label: Option<&str>| {
            let labels = label.map(|label| json!({ REPOSITORY_LABEL: label }));
            let metadata = json!({ "name": "a", "ownerReferences": owners, "labels": labels });
            ownership(&repository, &patch_set(&metadata, "1h"))
        };
        assert_eq!(whose(&[owner("1", true)], None), Ownership::Own);
        assert_eq!(whose(&[], Some("ours")), Ownership::Own);
        assert_eq!(whose(&[owner("2", false)], Some("ours")), Ownership::Own);
        for (owners, label) in [
            (vec![], None),
            (vec![], Some("others")),
            (vec![owner("2", true)], Some("ours")),
            (vec![owner("1", false)], None),
        ] {
            let found = whose(&owners, label);
            assert!(matches!(found, Ownership::Others(_)), "{owners:?} {label:?}");
        }
    }

    #[test]
    fn an_object_is_as_desired_where_all_is_that_a_watch_keeps() {
        let metadata = |owner_uid: &str, label: &str, annotation: &str| {
            json!({
                "name": "a", "ownerReferences": [owner(owner_uid, true)],
                "labels": { "team": label, "more": "x" },
                "annotations": { "patching.c5c3.io/approved": annotation }
            })
        };
        let desired = patch_set(&metadata("1", "ours", "yes"), "1h");
        let is = |metadata: &Value, interval| is_as_desired(&desired, &patch_set(metadata, interval));
        assert!(is(&metadata("1", "ours", "yes"), "1h"));
        assert!(!is(&metadata("1", "ours", "yes"), "2h"));
        assert!(!is(&metadata("2", "ours", "yes"), "1h"));
        assert!(!is(&metadata("1", "theirs", "yes"), "1h"));
        assert!(!is(&metadata("1", "ours", "no"), "1h"));
    }

    #[test]
    fn what_is_refused_is_of_one_object_and_what_fails_of_all() {
        let status = |code| Status {
            code,
            message: "no".to_owned(),
            ..Status::default()
        };
        for (code, expected) in [
            (400, Some(reason::TEMPLATE_INVALID)),
            (422, Some(reason::TEMPLATE_INVALID)),
            (403, Some(reason::WRITE_FAILED)),
            (409, Some(reason::WRITE_FAILED)),
            (429, None),
            (500, None),
            (503, None),
        ] {
            let found = match refusal("writing", &status(code)) {
                NotApplied::Refused { reason, message } => {
                    assert_eq!(message, "writing: no");
                    Some(reason)
                }
                NotApplied::Failed(_) => None,
            };
            assert_eq!(found, expected, "{code}");
        }
    }
}
