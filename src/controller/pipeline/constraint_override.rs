//! Reconciles a `ConstraintOverride`.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use super::{Pipeline, merged_file};
use crate::api::constraint_override::{
    ConstraintOverrideStatus, ConstraintsSource, OverrideState, OverridesSource,
};
use crate::api::{ConstraintOverride, reason};
use crate::controller::context::journal::Interrupted;
use crate::controller::context::kind::{Reconciled, Schedule, identity};
use crate::controller::context::turn::Turn;
use crate::controller::context::{Budget, Context, failures};
use crate::controller::inputs::texts::{LocatedText, TextOrigin};
use crate::controller::inputs::{texts, upstreams};
use crate::controller::state::referent::{Referent, ReferentKind};
use crate::controller::state::slots;
use crate::ops::objects::{Shown, States};
use crate::plan::constraint_override::{self, Decision, Sources, holds, merged, summary, written};
use crate::plan::inputs::Inputs;
use crate::plan::lifecycle::{Asked, Next, is_verified};
use crate::plan::{Failure, Outcome, Step, room};
use crate::recipe::Located;

/// Names the computation that results follow from; changed where the same inputs give another result.
const COMPUTATION: &str = "constraints/2";

/// What the two files are called in messages.
const BASE: &str = "the upper constraints";
const OVERRIDES: &str = "the overrides";

/// Where a resource's two files are.
struct ResolvedInputs {
    base: LocatedText,
    /// The structured entries are in the spec itself.
    overrides: LocatedText,
}

impl Reconciled for ConstraintOverride {
    type Status = ConstraintOverrideStatus;
    type Sources = Sources;
    type Done = Decision;
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

    fn refers_to(&self, namespace: &str, referent: &Referent) -> bool {
        if referent.namespace != namespace {
            return false;
        }
        let ConstraintsSource {
            git: base_git,
            config_map: base_map,
            ..
        } = &self.spec.upper_constraints;
        let OverridesSource { git, config_map, .. } = &self.spec.overrides;
        match referent.kind {
            ReferentKind::Source(_)
            | ReferentKind::Job
            | ReferentKind::PatchSet
            | ReferentKind::ConstraintOverride => false,
            ReferentKind::Secret => [base_git, git]
                .into_iter()
                .flatten()
                .flat_map(|git| [&git.secret_ref, &git.proxy_secret_ref])
                .flatten()
                .chain(self.spec.verifications().map(|verify| &verify.secret_ref))
                .any(|reference| reference.name == referent.name),
            ReferentKind::ConfigMap => {
                merged_file::name(&self.name_any()) == referent.name
                    || [base_map, config_map]
                        .into_iter()
                        .flatten()
                        .any(|reference| reference.name == referent.name)
            }
        }
    }

    fn facts(&self, status: &ConstraintOverrideStatus) -> Vec<(&'static str, String)> {
        let overrides = status.overrides_revision.clone();
        let generation = self.metadata.generation.unwrap_or_default();
        let token = format!("{generation}/{}", overrides.as_deref().unwrap_or_default());
        [
            ("revision", status.upper_constraints_revision.clone()),
            // Where Flux sets the status of a commit: that of the overrides, which is the team's own.
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

    fn shown(&self) -> Shown {
        let status = self.status.as_ref();
        let results = status.map(|status| status.results.as_slice()).unwrap_or_default();
        let count = |state| results.iter().filter(|result| result.state == state).count();
        let states = OverrideState::ALL.map(|state| (state.as_str(), count(state)));
        let revision = status.and_then(|status| status.upper_constraints_revision.clone());
        Shown {
            release: self.spec.release.0.clone(),
            revision: revision.unwrap_or_default(),
            states: States::Overrides(states.to_vec()),
            ..identity(self)
        }
    }

    fn settle(
        &self,
        known: &ConstraintOverrideStatus,
        asked: Asked<'_>,
        now: Timestamp,
        outcome: Outcome<Sources, Decision>,
    ) -> (ConstraintOverrideStatus, Next) {
        constraint_override::settle(known, asked, self.verifies(), now, outcome)
    }
}

impl Pipeline for ConstraintOverride {
    async fn run(turn: &Turn<'_, Self>) -> Result<Outcome<Sources, Decision>, Interrupted> {
        let inputs = match resolve(turn).await {
            Ok(inputs) => inputs,
            Err(failure) => return Ok(Outcome::Failed(failure, None)),
        };
        let mut sources = sources(turn.object, &inputs);
        match turn.object.is_merged(turn, &sources).await {
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

/// Finds both files. Nothing is fetched but refs, and those at most once an interval for all objects on a repository.
async fn resolve(turn: &Turn<'_, ConstraintOverride>) -> Result<ResolvedInputs, Failure> {
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
    Ok(ResolvedInputs { base, overrides })
}

fn sources(object: &ConstraintOverride, inputs: &ResolvedInputs) -> Sources {
    let mut digest = Inputs::new(COMPUTATION);
    for name in &object.spec.built_from_source {
        digest = digest.with(name.0.as_bytes());
    }
    for part in [&inputs.base, &inputs.overrides]
        .into_iter()
        .flat_map(LocatedText::identity)
    {
        digest = digest.with(part.as_bytes());
    }
    Sources {
        upper_constraints: inputs.base.revision(),
        overrides: inputs.overrides.revision(),
        inputs_digest: digest.digest(),
        signatures: None,
    }
}

impl ConstraintOverride {
    /// Whether something has to be signed.
    fn verifies(&self) -> bool {
        self.spec.verifications().next().is_some()
    }

    /// Whether the status has the results of these sources, and the merged file is there.
    async fn is_merged(&self, turn: &Turn<'_, Self>, sources: &Sources) -> Result<bool, Failure> {
        let status = turn.status();
        if !holds(&status, &sources.inputs_digest) || !is_verified(&*status, self.verifies()) {
            return Ok(false);
        }
        match written(&status) {
            Some(file) => merged_file::is_in_place(turn.context, self, file).await,
            None => Ok(true),
        }
    }
}

impl ResolvedInputs {
    /// Checks the signatures that the spec asks for; returns who signed what, in words. `None` where none is asked for.
    async fn signatures(&self, context: &Arc<Context>, budget: Budget) -> Result<Option<String>, Failure> {
        let base = self.base.signatures(context, BASE, budget.deadline).await?;
        let overrides = self
            .overrides
            .signatures(context, OVERRIDES, budget.deadline)
            .await?;
        Ok(upstreams::joined([base, overrides]))
    }
}

/// Reads both files, merges them, and writes the merged one.
async fn merge(turn: &Turn<'_, ConstraintOverride>, inputs: ResolvedInputs) -> Result<Decision, Failure> {
    let (object, context, budget) = (turn.object, turn.context, turn.budget);
    let base = texts::read(context, BASE, inputs.base, budget.deadline).await?;
    let overrides = match &object.spec.overrides.entries {
        Some(_) => Vec::new(),
        None => texts::read(context, OVERRIDES, inputs.overrides, budget.deadline).await?,
    };
    let spec = object.spec.clone();
    let work = slots::spawn_blocking(move || merged(&spec, &base, &overrides));
    match work.await.map_err(|error| failures::of_task(&error))? {
        Err(refusal) => Ok(Decision::Refused(refusal)),
        Ok(merged) => {
            merged_file::write(context, object, &merged.text).await?;
            let name = merged_file::name(&object.name_any());
            Ok(Decision::Merged(summary(
                &merged,
                &name,
                merged_file::KEY,
                room::for_list(&object.spec),
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_files_and_the_merged_one_concern() {
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
            (ReferentKind::ConfigMap, "ours", "co-constraints", true),
            (ReferentKind::ConfigMap, "ours", "key", false),
        ] {
            let referent = Referent {
                kind,
                namespace: namespace.into(),
                name: name.into(),
            };
            assert_eq!(object.refers_to("ours", &referent), expected, "{referent:?}");
        }
    }
}
