//! Reconciles a `PatchSet`.

use std::ops::ControlFlow::{Break, Continue};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use patchset_api::PatchSet;
use patchset_api::conditions;
use patchset_api::reason::{self, condition};
use patchset_api::references::Reference;
use patchset_api::referent::{ObjectKey, Referent, ReferentKind, SourceKind};
use patchset_api::status::{PatchSetStatus, PatchState};
use patchset_api::upkeep::UpkeepStatus;
use patchset_api::upstream_history::Evidence;

use super::apply::{self, ResultsInStatus};
use super::{Pipeline, build, deliver, publish, resolve};
use crate::controller::context::journal::Interrupted;
use crate::controller::context::kind::{Reconciled, Schedule, identity};
use crate::controller::context::turn::Turn;
use crate::controller::upkeep;
use crate::ops::objects::{ObjectMetrics, States, UpkeepMetrics};
use crate::plan::build::is_complete;
use crate::plan::image_test::is_tested;
use crate::plan::lifecycle::{AskedFor, Next, SignaturePolicy, is_verified};
use crate::plan::patch_inputs::describe_location;
use crate::plan::patch_set::{
    self, BuildOutcome, DeliveryOutcome, PatchSetProgress, Policy, Sources, all_allow_ready,
    image_is_current, is_planned, results_are_current,
};
use crate::plan::{Failure, Outcome, list_size};

/// How much of a failed build's log an event has, in characters from its end.
const EVENT_LOG: usize = 500;

impl Reconciled for PatchSet {
    type Status = PatchSetStatus;
    type Sources = Sources;
    type Done = PatchSetProgress;
    const KIND: &'static str = "PatchSet";
    const REFERENT: ReferentKind = ReferentKind::PatchSet;

    fn status(&self) -> Option<&PatchSetStatus> {
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

    /// That of a Job, whose changes are told under the name of its PatchSet.
    fn owner_of(referent: &Referent) -> Option<ObjectKey> {
        (referent.kind == ReferentKind::Job).then(|| referent.key.clone())
    }

    fn details(status: &PatchSetStatus) -> Option<String> {
        let build = status.build.as_ref()?;
        let attempt = match conditions::reason(&status.conditions, condition::READY)? {
            reason::BUILD_FAILED => build.attempt.as_ref(),
            reason::TEST_FAILED => {
                let results = build.tests.as_ref().map_or(&[][..], |tests| &tests.results);
                let attempts = results.iter().rev().find_map(|result| result.attempt.as_ref());
                attempts.or(build.attempt.as_ref())
            }
            _ => None,
        };
        let log = attempt?.log_tail.as_deref()?;
        Some(
            log.chars()
                .skip(log.chars().count().saturating_sub(EVENT_LOG))
                .collect(),
        )
    }

    fn facts(&self, status: &PatchSetStatus) -> Vec<(&'static str, String)> {
        let upstream = status
            .upstream
            .as_ref()
            .map(|upstream| upstream.revision.to_string());
        let patches = self.spec.patches.as_ref();
        let in_git = patches.is_some_and(|patches| {
            let source = patches.source_ref.as_ref();
            let is_own = patches.git.is_some() || patches.branch.is_some();
            is_own || source.is_some_and(|source| source.kind == SourceKind::GitRepository)
        });
        let patches = status.patches_revision.clone();
        let generation = self.metadata.generation.unwrap_or_default();
        let token = format!("{generation}/{}", patches.as_deref().unwrap_or_default());
        [
            ("revision", upstream),
            // The commit whose status Flux sets: that of the patches, which is the team's own.
            ("originRevision", patches.filter(|_| in_git)),
            ("component", Some(self.spec.component.0.clone())),
            ("release", Some(self.spec.release.0.clone())),
            ("patches", status.applied.clone()),
            (
                "image",
                status.image.as_ref().map(|image| image.reference.to_string()),
            ),
            // Tells apart what has the same message and revision.
            ("token", Some(token)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    fn metrics(&self) -> ObjectMetrics {
        let none = PatchSetStatus::default();
        let status = self.status.as_ref().unwrap_or(&none);
        let states = PatchState::ALL.map(|state| (state.as_str(), status.count(state)));
        let image = status.image.as_ref();
        let merged = || status.patches.iter().filter_map(|patch| patch.merged.as_ref());
        let by = |evidence: Evidence| merged().filter(|merged| merged.by == evidence).count();
        let dates = merged().filter_map(|merged| merged.date.as_ref());
        ObjectMetrics {
            merged: Evidence::ALL
                .map(|evidence| (evidence.as_str(), by(evidence)))
                .to_vec(),
            merged_first: dates.map(|Time(date)| date.as_second()).min(),
            upkeep: status.upkeep.as_deref().map(upkeep_metrics),
            component: self.spec.component.0.clone(),
            release: self.spec.release.0.clone(),
            revision: status
                .upstream
                .as_ref()
                .map(|upstream| upstream.revision.to_string())
                .unwrap_or_default(),
            applied: status.applied.clone().unwrap_or_default(),
            tag: image.map(|image| image.tag.clone()).unwrap_or_default(),
            digest: image.map(|image| image.digest.to_string()).unwrap_or_default(),
            states: States::Patches(states.to_vec()),
            ..identity(self)
        }
    }

    fn failures(done: &PatchSetProgress) -> Vec<&Failure> {
        let built = match &done.built {
            BuildOutcome::Failed(failure, _) => Some(failure),
            _ => None,
        };
        let delivered = match &done.delivered {
            DeliveryOutcome::Failed(failure, _) => Some(failure),
            _ => None,
        };
        built.into_iter().chain(delivered).collect()
    }

    fn settle(
        &self,
        previous: &PatchSetStatus,
        asked: AskedFor<'_>,
        now: Timestamp,
        outcome: Outcome<Sources, PatchSetProgress>,
    ) -> (PatchSetStatus, Next) {
        let patches_location = self.spec.patches.as_ref().and_then(describe_location);
        let policy = Policy {
            patches_location: patches_location.as_deref(),
            merged_patches: self.spec.merged_patches,
            builds: self.spec.build.is_some(),
            tests: self.spec.build.as_deref().is_some_and(is_tested),
            delivers: self.spec.delivery.is_some(),
            signatures: SignaturePolicy::asked_by(self.spec.verifications()),
            list_bytes: list_size::for_list(&self.spec),
        };
        patch_set::settle(previous, asked, policy, now, outcome)
    }
}

impl Pipeline for PatchSet {
    /// Resolves what the spec names, applies the patches, publishes the patched tree, has it built,
    /// and delivers the image. A step whose result is already in the status is not repeated.
    async fn run(turn: &Turn<'_, Self>) -> Result<Outcome<Sources, PatchSetProgress>, Interrupted> {
        Box::pin(deliver::keep_delivered(turn)).await;
        let inputs = match Box::pin(resolve::resolve(turn)).await {
            Ok(inputs) => inputs,
            Err(failure) => return Ok(Outcome::Failed(failure, None)),
        };
        let mut sources = inputs.sources(turn.object, &turn.status());
        let mut results = results_in_status(turn.object, &turn.status(), &sources);
        if turn.budget.is_asked_for() && history_search_failed(&turn.status()) {
            results = ResultsInStatus::Stale;
        }
        let status_is_current =
            results == ResultsInStatus::Current && inputs.candidates_match_status(&turn.status());
        if status_is_current && is_up_to_date(turn).await {
            return Ok(Outcome::Unchanged(sources));
        }
        if results == ResultsInStatus::Stale {
            // Signatures are verified before anything is read. If that fails, earlier results stay.
            match inputs.signatures(turn.context, turn.budget.deadline).await {
                Ok(signatures) => sources.signatures = signatures,
                Err(failure) => return Ok(Outcome::Failed(failure, Some(sources))),
            }
        }
        let series = match apply::apply(turn, inputs, &sources, results).await {
            Ok(series) => series,
            Err(failure) => return Ok(Outcome::Failed(failure, Some(sources))),
        };
        let built = match Box::pin(publish::publish(turn, &series)).await {
            Continue(plan) => Box::pin(build::build(turn, &series, plan)).await?,
            Break(built) => built,
        };
        Box::pin(deliver::deliver(turn, &series, built)).await
    }

    /// Upkeep: records which patches are to be dropped or refreshed, and proposes that.
    async fn conclude(turn: &Turn<'_, Self>) -> Result<Option<Duration>, Interrupted> {
        upkeep::look_after(turn).await
    }
}

/// What the metrics show of the patches' upkeep.
fn upkeep_metrics(upkeep: &UpkeepStatus) -> UpkeepMetrics {
    UpkeepMetrics {
        state: upkeep.state.as_str(),
        since: upkeep.since.0.as_second(),
        changes: vec![
            ("drop", upkeep.drops.len()),
            ("refresh", upkeep.refreshes.len()),
            ("left alone", upkeep.left_alone.len()),
        ],
    }
}

/// Whether upstream's history could not be searched for what the status reports.
fn history_search_failed(status: &PatchSetStatus) -> bool {
    let of_candidates = status
        .candidates
        .iter()
        .map(|candidate| &candidate.history_failure);
    of_candidates
        .chain([&status.history_failure])
        .any(Option::is_some)
}

/// Whether a reconciliation whose results are current can end here: no look at the image is
/// requested as well, nothing waits to be merged (which may have happened), and what is built and
/// delivered is where it should be.
async fn is_up_to_date(turn: &Turn<'_, PatchSet>) -> bool {
    let status = turn.status();
    let looks_at_image = turn.budget.is_asked_for() && turn.object.spec.build.is_some();
    !looks_at_image
        && status.proposed.is_none()
        && build_is_done(turn.object, &status)
        && needs_no_delivery(turn).await
}

/// Whether the status has the results of these sources.
fn results_in_status(object: &PatchSet, status: &PatchSetStatus, sources: &Sources) -> ResultsInStatus {
    let policy = SignaturePolicy::asked_by(object.spec.verifications());
    if results_are_current(status, &sources.inputs_digest) && is_verified(status, policy) {
        ResultsInStatus::Current
    } else {
        ResultsInStatus::Stale
    }
}

/// Whether the image of the status is where it should go. If patches do not apply, nothing new is
/// delivered.
async fn needs_no_delivery(turn: &Turn<'_, PatchSet>) -> bool {
    let status = turn.status();
    match (&turn.object.spec.delivery, &status.image) {
        (Some(delivery), Some(image))
            if all_allow_ready(&status.patches, turn.object.spec.merged_patches) =>
        {
            deliver::is_in_place(turn, delivery, image).await
        }
        _ => true,
    }
}

/// Whether no build is left to do: none is asked for, patches do not apply, only the source is
/// published, or the image exists.
fn build_is_done(object: &PatchSet, status: &PatchSetStatus) -> bool {
    let Some(build) = &object.spec.build else {
        return true;
    };
    let (planned, image) = (status.build.as_ref(), status.image.as_ref());
    !all_allow_ready(&status.patches, object.spec.merged_patches)
        // While a library or the constraints are not ready, status.build is the previous build.
        || (is_planned(status)
            && planned.is_some_and(|planned| {
                planned.target.is_none()
                    || image.is_some_and(|image| {
                        image_is_current(status, planned) && is_complete(build, planned, image)
                    })
            }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::state::dependents::Dependency;
    use patchset_api::referent::SourceKind::{Bucket, GitRepository};
    use serde_json::json;

    fn patch_set(spec: &serde_json::Value) -> PatchSet {
        serde_json::from_value(json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet",
            "metadata": { "name": "p", "namespace": "ours" }, "spec": spec
        }))
        .unwrap()
    }

    fn one(kind: ReferentKind, namespace: &str, name: &str) -> Referent {
        Referent {
            kind,
            key: ObjectKey::new(namespace, name),
        }
    }

    #[test]
    fn only_what_is_named_in_the_own_namespace_concerns() {
        let object = patch_set(&json!({
            "component": "glance", "release": "2025.2",
            "upstream": { "url": "https://example.org/glance", "ref": { "tag": "1" }, "secretRef": { "name": "key" },
                "verify": { "secretRef": { "name": "signers" } } },
            "patches": { "configMap": { "name": "patches" } }
        }));
        for (referent, expected) in [
            (one(ReferentKind::Secret, "ours", "key"), true),
            (one(ReferentKind::Secret, "ours", "signers"), true),
            (one(ReferentKind::Secret, "theirs", "key"), false),
            (one(ReferentKind::Secret, "ours", "patches"), false),
            (one(ReferentKind::ConfigMap, "ours", "patches"), true),
        ] {
            let depends = object
                .dependencies()
                .contains(&Dependency::Object(referent.clone()));
            assert_eq!(depends, expected, "{referent:?}");
        }
    }

    #[test]
    fn a_source_concerns_by_kind_name_and_namespace() {
        let object = patch_set(&json!({
            "component": "glance", "release": "2025.2",
            "upstream": { "url": "https://example.org/glance", "ref": { "tag": "1" } },
            "patches": { "sourceRef": { "kind": "GitRepository", "name": "ours", "namespace": "flux" } }
        }));
        for (kind, namespace, expected) in [
            (GitRepository, "flux", true),
            (GitRepository, "ours", false),
            (Bucket, "ours", false),
        ] {
            let referent = one(ReferentKind::Source(kind), namespace, "ours");
            let depends = object
                .dependencies()
                .contains(&Dependency::Object(referent.clone()));
            assert_eq!(depends, expected, "{referent:?}");
        }
    }
}
