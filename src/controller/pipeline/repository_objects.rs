//! Keeps the objects that a repository's folders ask for in place, and removes the others.
//!
//! An object is removed only if it is certain that nothing asks for it. So none is removed if the
//! folders cannot be read (the step fails before), if they ask for nothing at all, or if a fault in
//! them may be why they do not ask for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kube::{Resource, ResourceExt};
use patchset_api::patch_repository::{REPOSITORY_LABEL, RepositoryFault};
use patchset_api::patch_set::Level;
use patchset_api::reason::{self, Reason};
use patchset_api::referent::{ObjectKey, Referent};
use patchset_api::{ConstraintOverride, InputsDigest, PatchRepository, PatchSet};

use super::made_objects::{
    Made, NotApplied, ToApply, apply_all, children, delete, disown, is_as_desired, is_marked,
};
use super::repository_source::{DesiredRepository, ResolvedRepository, check_shard, read};
use super::repository_summary::{self, AskedObjects};
use crate::controller::context::annotations;
use crate::controller::context::turn::Turn;
use crate::controller::state::api_server::{Guarded, controller_of};
use crate::controller::state::repositories::{AppliedObject, MadeFor, MadeKey, MadeObject, MadeObjects};
use crate::plan::inputs_hasher::InputsHasher;
use crate::plan::lifecycle::has_results_of;
use crate::plan::patch_repository::RepositoryProgress;
use crate::plan::{Failure, Step};

/// The most names that a message lists.
const MOST_NAMED: usize = 10;

/// What is made, by kind and name.
type Objects = BTreeMap<MadeKey, MadeObject>;

/// Applies what is not as it should be, prunes, and reports on all objects.
pub async fn keep(
    turn: &Turn<'_, PatchRepository>,
    resolved: &ResolvedRepository,
) -> Result<RepositoryProgress, Failure> {
    let uid = turn.object.uid().unwrap_or_default();
    let digest = &resolved.sources.inputs_digest;
    let known = turn.context.repositories.get(&uid);
    let (made, asked, failure) = match known {
        Some(known)
            if known.inputs_digest == *digest
                && !turn.budget.is_asked_for()
                && has_results_of(&*turn.status(), digest)
                && all_are_in_place(turn, &known) =>
        {
            (known, AskedObjects::AsBefore, None)
        }
        known => {
            let (made, asked, failure) = Box::pin(make(turn, resolved, known.as_deref())).await?;
            let made = Arc::new(made);
            turn.context.repositories.put(uid, Arc::clone(&made));
            (made, AskedObjects::Anew(asked), failure)
        }
    };
    Ok(repository_summary::progress(turn, &made, &asked, failure))
}

/// Whether all objects are there as they were applied, and no others.
fn all_are_in_place(turn: &Turn<'_, PatchRepository>, made: &MadeObjects) -> bool {
    kind_is_in_place::<PatchSet>(turn, made) && kind_is_in_place::<ConstraintOverride>(turn, made)
}

fn kind_is_in_place<K: Made>(turn: &Turn<'_, PatchRepository>, made: &MadeObjects) -> bool {
    let children = children::<K>(turn);
    let no_others = children.iter().all(|child| {
        let key = (K::MADE, child.name_any());
        made.objects.contains_key(&key) || made.kept.contains(&key)
    });
    let by_name: HashMap<String, &Arc<Guarded<K>>> =
        children.iter().map(|child| (child.name_any(), child)).collect();
    let mut wanted = made.objects.iter().filter(|((kind, _), _)| *kind == K::MADE);
    no_others
        && wanted.all(|((_, name), object)| {
            let (Some(applied), Some(child)) = (&object.applied, by_name.get(name)) else {
                return false;
            };
            is_at(child.as_ref(), applied) && has_owner(turn.object, child.as_ref())
        })
}

/// Whether an object's spec is the one that was applied. The watch may lag behind.
fn is_at(child: &impl ResourceExt, applied: &AppliedObject) -> bool {
    child.meta().uid.as_ref() == Some(&applied.uid)
        && child.meta().generation.unwrap_or_default() <= applied.generation
}

/// Whether an object's label names the `PatchRepository`, and its owner is the one that it should
/// have.
fn has_owner(repository: &PatchRepository, child: &impl ResourceExt) -> bool {
    child.labels().get(REPOSITORY_LABEL) == repository.metadata.name.as_ref()
        && controller_of(child).is_some() == repository.spec.prune
}

/// Reads the folders, and does what they ask for. Requests that the API server did not get are
/// reported as a failure, and tried again.
async fn make(
    turn: &Turn<'_, PatchRepository>,
    resolved: &ResolvedRepository,
    before: Option<&MadeObjects>,
) -> Result<(MadeObjects, Vec<PatchSet>, Option<Failure>), Failure> {
    let DesiredRepository {
        layout,
        mut desired,
        files,
        unbuilt,
    } = read(turn, resolved).await?;
    check_shard(turn, &desired)?;
    let faults = std::mem::take(&mut desired.faults);
    let patch_sets = std::mem::take(&mut desired.patch_sets);
    let constraint_overrides = std::mem::take(&mut desired.constraint_overrides);
    let (asks_for_nothing, asked) = (patch_sets.is_empty(), patch_sets.clone());
    let mut making = Making {
        turn,
        before,
        is_current: has_results_of(&*turn.status(), &resolved.sources.inputs_digest),
        files,
        objects: Objects::new(),
        faults,
        refused: BTreeMap::new(),
        kept: BTreeSet::new(),
        failure: None,
    };
    making.apply(constraint_overrides).await;
    // First those that others are built with: otherwise, what waits for them is written once more.
    let (libraries, services): (Vec<PatchSet>, Vec<PatchSet>) = patch_sets
        .into_iter()
        .partition(|one| one.spec.level == Level::Library);
    making.apply(libraries).await;
    making.apply(services).await;
    let why_kept = |made_for: &MadeFor, name: &str| {
        if asks_for_nothing {
            Some("the folders ask for no PatchSet at all")
        } else if !desired.may_be_pruned(name, &made_for.release) || unbuilt.contains(made_for) {
            Some("a fault in the folders or the templates may be why")
        } else if turn.object.spec.prune {
            None
        } else {
            Some("prune is false")
        }
    };
    making.prune::<PatchSet>(&why_kept).await;
    making.prune::<ConstraintOverride>(&why_kept).await;
    if asks_for_nothing && !making.kept.is_empty() {
        let message = "the folders ask for no PatchSet at all, and what was made before stays: delete the PatchRepository if that is intended";
        making.add_fault("", reason::LAYOUT_INVALID, message.to_owned());
    }
    let Making {
        objects,
        faults,
        refused,
        kept,
        failure,
        ..
    } = making;
    let made = MadeObjects {
        inputs_digest: resolved.sources.inputs_digest.clone(),
        layout,
        faults,
        refused,
        kept,
        objects,
    };
    Ok((made, asked, failure))
}

/// Objects while they are made.
struct Making<'a> {
    turn: &'a Turn<'a, PatchRepository>,
    /// What was remembered.
    before: Option<&'a MadeObjects>,
    /// Whether the status says that all was applied from these inputs.
    is_current: bool,
    /// What identifies the files that an object reads in the repository, by kind and name.
    files: HashMap<MadeKey, InputsDigest>,
    objects: Objects,
    faults: Vec<RepositoryFault>,
    /// What is asked for, and refused.
    refused: BTreeMap<MadeKey, Reason>,
    /// What is not asked for, and stays.
    kept: BTreeSet<MadeKey>,
    /// Why not all could be written.
    failure: Option<Failure>,
}

impl Making<'_> {
    /// Applies the objects of a kind that are not there as they should be.
    ///
    /// If nothing is pruned, they have no owner: the garbage collector would prune them with the
    /// `PatchRepository`.
    async fn apply<K: Made>(&mut self, desired: Vec<K>) {
        let children = children::<K>(self.turn);
        let by_name: HashMap<String, &Arc<Guarded<K>>> =
            children.iter().map(|child| (child.name_any(), child)).collect();
        let mut to_apply = Vec::new();
        for mut desired in desired {
            if !self.turn.object.spec.prune {
                desired.meta_mut().owner_references = None;
            }
            let name = desired.name_any();
            let child = by_name.get(&name).copied();
            let object = self.describe(&desired);
            let applied = child.and_then(|child| self.in_place(&desired, &object, child));
            if applied.is_some() {
                self.nudge::<K>(&name, &object);
            } else {
                let uid = child.and_then(|child| child.uid());
                to_apply.push(ToApply { desired, uid });
            }
            self.objects
                .insert((K::MADE, name), MadeObject { applied, ..object });
        }
        if to_apply.is_empty() {
            return;
        }
        let count = to_apply.len();
        for (name, applied) in apply_all(self.turn, to_apply).await {
            match applied {
                Ok(applied) => {
                    if let Some(object) = self.objects.get_mut(&(K::MADE, name)) {
                        object.applied = Some(applied);
                    }
                }
                Err(NotApplied::Refused { reason, message }) => {
                    self.add_fault(&name, reason, message);
                    self.refused.insert((K::MADE, name), reason);
                }
                Err(NotApplied::Failed(failure)) => self.failure = Some(failure),
            }
        }
        tracing::debug!(kind = K::KIND, count, "objects are applied");
    }

    /// What is remembered of an object.
    fn describe<K: Made>(&self, desired: &K) -> MadeObject {
        let desired_digest = InputsHasher::new("made/1").with_json(desired).digest();
        MadeObject {
            desired: desired_digest,
            files: self.files.get(&(K::MADE, desired.name_any())).cloned(),
            applied: None,
        }
    }

    /// The object that is there; `None` if it is not as it should be, or that cannot be seen.
    fn in_place<K: Made>(
        &self,
        desired: &K,
        object: &MadeObject,
        child: &Guarded<K>,
    ) -> Option<AppliedObject> {
        let found = AppliedObject {
            uid: child.uid().unwrap_or_default(),
            generation: child.meta().generation.unwrap_or_default(),
        };
        let known = self
            .before
            .and_then(|before| before.objects.get(&(K::MADE, desired.name_any())));
        if let Some(MadeObject {
            desired: known_digest,
            applied: Some(applied),
            ..
        }) = known
            && *known_digest == object.desired
            && is_at(child, applied)
            && is_marked(desired, child)
        {
            return Some(applied.clone());
        }
        // What no watch keeps cannot be compared.
        let mut seen = desired.annotations().clone();
        annotations::keep_used(&mut seen);
        let can_be_seen = self.is_current || seen.len() == desired.annotations().len();
        let child = child.0.as_ref().ok()?;
        (can_be_seen && is_as_desired(desired, child)).then_some(found)
    }

    /// Wakes an object whose spec is unchanged and whose files are not.
    fn nudge<K: Made>(&self, name: &str, object: &MadeObject) {
        let known = self
            .before
            .and_then(|before| before.objects.get(&(K::MADE, name.to_owned())));
        if known.is_some_and(|known| known.files.is_some() && known.files != object.files) {
            self.turn.context.nudges.wake(Referent {
                kind: K::REFERENT,
                key: ObjectKey::new(self.turn.namespace(), name),
            });
        }
    }

    /// Records what is wrong. What may pass is a failure, so that it is tried again.
    fn add_fault(&mut self, name: &str, reason: Reason, message: String) {
        if reason == reason::WRITE_FAILED {
            let failure = Failure::retried(Step::Objects, reason, message);
            self.failure.get_or_insert(failure);
        } else {
            self.faults.push(RepositoryFault {
                kind: reason.to_string(),
                path: name.to_owned(),
                line: None,
                message,
            });
        }
    }

    /// Deletes the objects of a kind that are not asked for, unless something says why they stay.
    async fn prune<K: Made>(&mut self, why_kept: &(dyn Fn(&MadeFor, &str) -> Option<&'static str> + Sync)) {
        let mut kept: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for child in children::<K>(self.turn) {
            let key = (K::MADE, child.name_any());
            if self.objects.contains_key(&key) {
                continue;
            }
            let Ok(readable) = &child.0 else {
                kept.entry("it cannot be read").or_default().insert(key.1.clone());
                self.kept.insert(key);
                continue;
            };
            if let Some(why) = why_kept(&readable.made_for(), &key.1) {
                if !self.turn.object.spec.prune
                    && let Err(failure) = disown(self.turn, child.as_ref()).await
                {
                    self.failure.get_or_insert(failure);
                }
                kept.entry(why).or_default().insert(key.1.clone());
                self.kept.insert(key);
            } else if let Err(failure) = delete(self.turn, child.as_ref()).await {
                self.failure.get_or_insert(failure);
            }
        }
        for (why, names) in kept {
            self.faults.push(RepositoryFault {
                kind: reason::NOT_PRUNED.to_string(),
                path: K::KIND.to_owned(),
                line: None,
                message: format!("no longer asked for, but kept because {why}: {}", listed(&names)),
            });
        }
    }
}

fn listed(names: &BTreeSet<String>) -> String {
    let some: Vec<&str> = names.iter().take(MOST_NAMED).map(String::as_str).collect();
    match names.len().checked_sub(MOST_NAMED) {
        Some(more) if more > 0 => format!("{} and {more} more", some.join(", ")),
        _ => some.join(", "),
    }
}
