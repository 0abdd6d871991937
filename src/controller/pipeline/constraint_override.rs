//! Reconciles a `ConstraintOverride`.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use super::merged_file;
use crate::api::constraint_override::{
    ConstraintOverrideStatus, ConstraintsSource, OverrideState, OverridesSource,
};
use crate::api::{ConstraintOverride, reason};
use crate::controller::context::kind::{Reconciled, Schedule, identity};
use crate::controller::context::{Context, Pace, failures};
use crate::controller::inputs::texts::Located;
use crate::controller::inputs::{texts, upstreams};
use crate::controller::state::referent::{Referent, ReferentKind};
use crate::controller::state::turns;
use crate::ops::objects::{Shown, States};
use crate::plan::constraint_override::{self, Decision, Sources, holds, merged, summary, written};
use crate::plan::inputs::Inputs;
use crate::plan::lifecycle::{Asked, Next, is_verified};
use crate::plan::{Failure, Outcome, Step, room};

/// Names the computation that results follow from; changed where the same inputs give another result.
const COMPUTATION: &str = "constraints/1";

/// What the two files are called in messages.
const BASE: &str = "the upper constraints";
const OVERRIDES: &str = "the overrides";

/// Where a resource's two files are.
struct Gathered {
    base: Located,
    /// The structured entries are in the spec itself.
    overrides: Located,
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

    async fn attempt(
        &self,
        context: &Arc<Context>,
        known: &ConstraintOverrideStatus,
        pace: Pace,
    ) -> Outcome<Sources, Decision> {
        let gathered = match gather(self, context, pace).await {
            Ok(gathered) => gathered,
            Err(failure) => return Outcome::Failed(failure, None),
        };
        let mut sources = sources(self, &gathered);
        if holds(known, &sources.inputs_digest) && is_verified(known, self.verifies()) {
            let stands = match written(known) {
                Some(file) => merged_file::stands(context, self, file).await,
                None => Ok(true),
            };
            match stands {
                Ok(true) => return Outcome::Unchanged(sources),
                Ok(false) => {}
                Err(failure) => return Outcome::Failed(failure, Some(sources)),
            }
        }
        match gathered.signatures(context, pace).await {
            Ok(signatures) => sources.signatures = signatures,
            Err(failure) => return Outcome::Failed(failure, Some(sources)),
        }
        match merge(self, context, gathered, pace).await {
            Ok(decision) => Outcome::Done(sources, decision),
            Err(failure) => Outcome::Failed(failure, Some(sources)),
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

/// Finds both files. Nothing is fetched but refs, and those at most once an interval for all objects on a repository.
async fn gather(
    object: &ConstraintOverride,
    context: &Arc<Context>,
    pace: Pace,
) -> Result<Gathered, Failure> {
    let namespace = object.namespace().unwrap_or_default();
    let ConstraintsSource {
        git,
        config_map,
        inline,
    } = &object.spec.upper_constraints;
    let origin = texts::Origin {
        git: git.as_ref(),
        config_map: config_map.as_ref(),
        inline: inline.as_deref(),
    };
    let base = texts::locate(context, &namespace, BASE, origin, pace).await?;
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
        let origin = texts::Origin {
            git: git.as_ref(),
            config_map: config_map.as_ref(),
            inline: inline.as_deref(),
        };
        texts::locate(context, &namespace, OVERRIDES, origin, pace).await?
    };
    Ok(Gathered { base, overrides })
}

fn sources(object: &ConstraintOverride, gathered: &Gathered) -> Sources {
    let mut inputs = Inputs::new(COMPUTATION);
    for name in &object.spec.built_from_source {
        inputs = inputs.with(name.0.as_bytes());
    }
    for part in [&gathered.base, &gathered.overrides]
        .into_iter()
        .flat_map(Located::identity)
    {
        inputs = inputs.with(part.as_bytes());
    }
    Sources {
        upper_constraints: gathered.base.revision(),
        overrides: gathered.overrides.revision(),
        inputs_digest: inputs.digest(),
        signatures: None,
    }
}

impl ConstraintOverride {
    /// Whether something has to be signed.
    fn verifies(&self) -> bool {
        self.spec.verifications().next().is_some()
    }
}

impl Gathered {
    /// Checks the signatures that the spec asks for; returns who signed what, in words. `None` where none is asked for.
    async fn signatures(&self, context: &Arc<Context>, pace: Pace) -> Result<Option<String>, Failure> {
        let base = texts::signatures(context, BASE, &self.base, pace.deadline).await?;
        let overrides = texts::signatures(context, OVERRIDES, &self.overrides, pace.deadline).await?;
        Ok(upstreams::joined([base, overrides]))
    }
}

/// Reads both files, merges them, and writes the merged one.
async fn merge(
    object: &ConstraintOverride,
    context: &Arc<Context>,
    gathered: Gathered,
    pace: Pace,
) -> Result<Decision, Failure> {
    let base = texts::read(context, BASE, gathered.base, pace.deadline).await?;
    let overrides = match &object.spec.overrides.entries {
        Some(_) => Vec::new(),
        None => texts::read(context, OVERRIDES, gathered.overrides, pace.deadline).await?,
    };
    let spec = object.spec.clone();
    let work = turns::spawn_blocking(move || merged(&spec, &base, &overrides));
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
