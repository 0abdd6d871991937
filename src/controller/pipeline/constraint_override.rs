//! Reconciles a `ConstraintOverride`.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use patchset_api::constraint_override::{
    ConstraintOverrideStatus, ConstraintsSource, OverrideState, OverridesSource,
};
use patchset_api::references::Reference;
use patchset_api::referent::{ObjectKey, Referent, ReferentKind};
use patchset_api::{ConstraintOverride, reason};

use super::{Pipeline, merged_file};
use crate::controller::context::journal::Interrupted;
use crate::controller::context::kind::{Reconciled, Schedule, identity};
use crate::controller::context::turn::Turn;
use crate::controller::context::{Budget, Context, failures};
use crate::controller::inputs::texts::{LocatedText, TextOrigin};
use crate::controller::inputs::{texts, upstreams};
use crate::controller::state::slots;
use crate::ops::objects::{ObjectMetrics, States};
use crate::plan::constraint_override::{
    self, ConstraintSources, MergeDecision, current_merged_file, merge_files, summary,
};
use crate::plan::inputs_hasher::InputsHasher;
use crate::plan::lifecycle::{AskedFor, Next, SignaturePolicy, has_results_for, has_verified_results_of};
use crate::plan::{Failure, Outcome, Step, list_size};
use crate::recipe::Located;

/// Names the computation that results follow from; changed when the same inputs give another
/// result.
const COMPUTATION: &str = "constraints/3";

/// What the two files are called in messages.
const BASE: &str = "the upper constraints";
const OVERRIDES: &str = "the overrides";

/// Where a resource's two files are.
struct ResolvedFiles {
    base: LocatedText,
    /// The structured entries are in the spec itself.
    overrides: LocatedText,
}

impl Reconciled for ConstraintOverride {
    type Status = ConstraintOverrideStatus;
    type Sources = ConstraintSources;
    type Done = MergeDecision;
    const KIND: &'static str = "ConstraintOverride";
    const REFERENT: ReferentKind = ReferentKind::ConstraintOverride;

    fn status(&self) -> Option<&ConstraintOverrideStatus> {
        self.status.as_ref()
    }

    fn schedule(&self) -> Schedule<'_> {
        Schedule {
            interval: &self.spec.interval,
            timeout: &self.spec.timeout,
            suspend: self.spec.suspend,
        }
    }

    fn references(&self) -> Vec<Reference<'_>> {
        self.spec.references()
    }

    fn repositories(&self) -> Vec<&str> {
        self.spec.repositories()
    }

    /// That of a ConfigMap with a merged file.
    fn owner_of(referent: &Referent) -> Option<ObjectKey> {
        let name = merged_file::owner(&referent.key.name)?;
        (referent.kind == ReferentKind::ConfigMap)
            .then(|| ObjectKey::new(referent.key.namespace.clone(), name))
    }

    fn facts(&self, status: &ConstraintOverrideStatus) -> Vec<(&'static str, String)> {
        let overrides = status.overrides_revision.clone();
        let generation = self.metadata.generation.unwrap_or_default();
        let token = format!("{generation}/{}", overrides.as_deref().unwrap_or_default());
        [
            ("revision", status.upper_constraints_revision.clone()),
            // The commit whose status Flux sets: that of the overrides, which is the team's own.
            (
                "originRevision",
                overrides.filter(|_| self.spec.overrides.git.is_some()),
            ),
            ("release", Some(self.spec.release.0.clone())),
            // Tells apart what has the same message and revision.
            ("token", Some(token)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    fn metrics(&self) -> ObjectMetrics {
        let status = self.status.as_ref();
        let results = status.map(|status| status.results.as_slice()).unwrap_or_default();
        let count = |state| results.iter().filter(|result| result.state == state).count();
        let states = OverrideState::ALL.map(|state| (state.as_str(), count(state)));
        let revision = status.and_then(|status| status.upper_constraints_revision.clone());
        ObjectMetrics {
            release: self.spec.release.0.clone(),
            revision: revision.unwrap_or_default(),
            states: States::Overrides(states.to_vec()),
            ..identity(self)
        }
    }

    fn settle(
        &self,
        previous: &ConstraintOverrideStatus,
        asked: AskedFor<'_>,
        now: Timestamp,
        outcome: Outcome<ConstraintSources, MergeDecision>,
    ) -> (ConstraintOverrideStatus, Next) {
        constraint_override::settle(
            previous,
            asked,
            SignaturePolicy::asked_by(self.spec.verifications()),
            now,
            outcome,
        )
    }
}

impl Pipeline for ConstraintOverride {
    async fn run(turn: &Turn<'_, Self>) -> Result<Outcome<ConstraintSources, MergeDecision>, Interrupted> {
        let inputs = match resolve(turn).await {
            Ok(inputs) => inputs,
            Err(failure) => return Ok(Outcome::Failed(failure, None)),
        };
        let mut sources = sources(turn.object, &turn.status(), &inputs);
        match is_merged(turn, &sources).await {
            Ok(true) => return Ok(Outcome::Unchanged(sources)),
            Ok(false) => {}
            Err(failure) => return Ok(Outcome::Failed(failure, Some(sources))),
        }
        match inputs.signatures(turn.context, turn.budget).await {
            Ok(signatures) => sources.signatures = signatures,
            Err(failure) => return Ok(Outcome::Failed(failure, Some(sources))),
        }
        Ok(match merge(turn, inputs).await {
            Ok(decision) => Outcome::Done(sources, decision),
            Err(failure) => Outcome::Failed(failure, Some(sources)),
        })
    }
}

/// Finds both files. Refs are looked at once per interval for all objects on a repository, and a
/// commit is fetched once for all that read it.
async fn resolve(turn: &Turn<'_, ConstraintOverride>) -> Result<ResolvedFiles, Failure> {
    let (object, context, budget) = (turn.object, turn.context, turn.budget);
    let namespace = turn.namespace();
    let ConstraintsSource {
        git,
        config_map,
        inline,
    } = &object.spec.upper_constraints;
    let origin = TextOrigin {
        git: git.as_ref(),
        config_map: config_map.as_ref(),
        inline: inline.as_deref(),
    };
    let base = texts::locate(context, &namespace, BASE, origin, budget).await?;
    let OverridesSource {
        git,
        config_map,
        inline,
        entries,
    } = &object.spec.overrides;
    let overrides = if let Some(entries) = entries {
        // They are read from the spec; this is what identifies them.
        let json = serde_json::to_vec(entries).map_err(|error| {
            Failure::stalled(
                Step::Source,
                reason::INVALID_SPEC,
                format!("overrides.entries: {error}"),
            )
        })?;
        Located::Given(json)
    } else {
        let origin = TextOrigin {
            git: git.as_ref(),
            config_map: config_map.as_ref(),
            inline: inline.as_deref(),
        };
        texts::locate(context, &namespace, OVERRIDES, origin, budget).await?
    };
    Ok(ResolvedFiles { base, overrides })
}

/// The sources as the plan wants them. If a status has the results of the same generation and
/// inputs, the revisions are those that it names: a commit that changes other files is no news.
fn sources(
    object: &ConstraintOverride,
    status: &ConstraintOverrideStatus,
    inputs: &ResolvedFiles,
) -> ConstraintSources {
    let mut digest = InputsHasher::new(COMPUTATION);
    for name in &object.spec.built_from_source {
        digest = digest.with(name.0.as_bytes());
    }
    for part in [&inputs.base, &inputs.overrides]
        .into_iter()
        .flat_map(LocatedText::identity)
    {
        digest = digest.with(part.as_bytes());
    }
    let inputs_digest = digest.digest();
    let is_same_result = has_results_for(status, object.metadata.generation, &inputs_digest);
    let revision = |told: &Option<String>, located: &LocatedText| {
        let told = told.clone().filter(|_| is_same_result);
        told.unwrap_or_else(|| located.revision())
    };
    ConstraintSources {
        upper_constraints: revision(&status.upper_constraints_revision, &inputs.base),
        overrides: revision(&status.overrides_revision, &inputs.overrides),
        inputs_digest,
        signatures: None,
    }
}

/// Whether the status has the results of these sources, and the merged file is there.
async fn is_merged(
    turn: &Turn<'_, ConstraintOverride>,
    sources: &ConstraintSources,
) -> Result<bool, Failure> {
    let status = turn.status();
    let policy = SignaturePolicy::asked_by(turn.object.spec.verifications());
    if !has_verified_results_of(&*status, &sources.inputs_digest, policy) {
        return Ok(false);
    }
    match current_merged_file(&status) {
        Some(file) => merged_file::is_in_place(turn.context, turn.object, file).await,
        None => Ok(true),
    }
}

impl ResolvedFiles {
    /// Checks the signatures that the spec asks for; returns who signed what, in words. `None` if
    /// none is asked for.
    async fn signatures(
        &self,
        context: &Arc<Context>,
        budget: Budget<'_>,
    ) -> Result<Option<String>, Failure> {
        let base = self.base.signatures(context, BASE, budget.deadline).await?;
        let overrides = self
            .overrides
            .signatures(context, OVERRIDES, budget.deadline)
            .await?;
        Ok(upstreams::joined([base, overrides]))
    }
}

/// Reads both files, merges them, and writes the merged one.
async fn merge(turn: &Turn<'_, ConstraintOverride>, inputs: ResolvedFiles) -> Result<MergeDecision, Failure> {
    let (object, context, budget) = (turn.object, turn.context, turn.budget);
    let base = texts::read(context, BASE, inputs.base, budget.deadline).await?;
    let overrides = match &object.spec.overrides.entries {
        Some(_) => Vec::new(),
        None => texts::read(context, OVERRIDES, inputs.overrides, budget.deadline).await?,
    };
    let spec = object.spec.clone();
    let work = slots::spawn_blocking(move || merge_files(&spec, &base, &overrides));
    match work.await.map_err(|error| failures::task_failure(&error))? {
        Err(refusal) => Ok(MergeDecision::Refused(refusal)),
        Ok(merged) => {
            merged_file::write(context, object, &merged.text).await?;
            let name = merged_file::name(&object.name_any());
            Ok(MergeDecision::Merged(summary(
                &merged,
                &name,
                merged_file::KEY,
                list_size::for_list(&object.spec),
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::state::dependents::Dependency;
    use serde_json::json;

    #[test]
    fn what_both_files_name_concerns() {
        let object: ConstraintOverride = serde_json::from_value(json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "ConstraintOverride",
            "metadata": { "name": "co", "namespace": "ours" },
            "spec": {
                "release": "2025.2",
                "upperConstraints": { "git": { "url": "https://example.org/r", "path": "uc.txt", "secretRef": { "name": "key" } } },
                "overrides": { "configMap": { "name": "overrides", "key": "c" } }
            }
        }))
        .unwrap();
        for (kind, namespace, name, expected) in [
            (ReferentKind::Secret, "ours", "key", true),
            (ReferentKind::Secret, "theirs", "key", false),
            (ReferentKind::ConfigMap, "ours", "overrides", true),
            (ReferentKind::ConfigMap, "ours", "key", false),
        ] {
            let referent = Referent {
                kind,
                key: ObjectKey::new(namespace, name),
            };
            let depends = object
                .dependencies()
                .contains(&Dependency::Object(referent.clone()));
            assert_eq!(depends, expected, "{referent:?}");
        }
    }
}
