//! Reconciles a `PatchSet`.

use std::sync::Arc;

use jiff::Timestamp;

use super::resolve::Gathered;
use super::{apply, build, deliver, resolve};
use crate::api::PatchSet;
use crate::api::build::Engine;
use crate::api::reason::{self, condition};
use crate::api::reference::SourceKind;
use crate::api::status::{PatchSetStatus, PatchState};
use crate::controller::context::kind::{Reconciled, Schedule, identity};
use crate::controller::context::{Context, JUST_NOW, Pace};
use crate::controller::state::referent::{Referent, ReferentKind};
use crate::ops::objects::{Shown, States};
use crate::plan::build::is_complete;
use crate::plan::conditions;
use crate::plan::lifecycle::{Asked, Next, is_verified};
use crate::plan::patch_set::{
    self, Built, Delivered, Policy, Progress, Sources, holds, is_planned, passes, stands,
};
use crate::plan::patches::place;
use crate::plan::{Failure, Outcome, room};
use crate::source::Freshness;

/// How much of a failed build's log an event has, in characters from its end.
const EVENT_LOG: usize = 500;

impl Reconciled for PatchSet {
    type Status = PatchSetStatus;
    type Sources = Sources;
    type Done = Progress;
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

    fn refers_to(&self, namespace: &str, referent: &Referent) -> bool {
        let patches = self.spec.patches.as_ref();
        match referent.kind {
            ReferentKind::Source(kind) => patches
                .and_then(|patches| patches.source_ref.as_ref())
                .is_some_and(|r| {
                    r.kind == kind
                        && r.name == referent.name
                        && r.namespace.as_deref().unwrap_or(namespace) == referent.namespace
                }),
            _ if referent.namespace != namespace => false,
            ReferentKind::Secret => {
                let upstream = &self.spec.upstream;
                let git = patches.and_then(|patches| patches.git.as_ref());
                let dockerfile = self
                    .spec
                    .build
                    .as_ref()
                    .and_then(|build| build.dockerfile.as_ref());
                let folder = dockerfile.and_then(|source| source.git.as_ref());
                let build = self.spec.build.as_ref();
                let workflow = build.and_then(|build| build.github_actions.as_ref());
                let delivery = self.spec.delivery.as_ref();
                let gitops = delivery.and_then(|delivery| delivery.git.as_ref());
                let push = gitops.and_then(|git| git.push.as_ref());
                let request = push.and_then(|push| push.pull_request.as_ref());
                [
                    gitops.and_then(|git| git.secret_ref.as_ref()),
                    gitops.and_then(|git| git.proxy_secret_ref.as_ref()),
                    gitops.and_then(|git| git.signing.as_ref().map(|signing| &signing.secret_ref)),
                    request.map(|request| &request.secret_ref),
                    build.and_then(|build| build.secret_ref.as_ref()),
                    workflow.map(|workflow| &workflow.secret_ref),
                    upstream.secret_ref.as_ref(),
                    upstream.proxy_secret_ref.as_ref(),
                    git.and_then(|git| git.secret_ref.as_ref()),
                    git.and_then(|git| git.proxy_secret_ref.as_ref()),
                    folder.and_then(|git| git.secret_ref.as_ref()),
                    folder.and_then(|git| git.proxy_secret_ref.as_ref()),
                ]
                .into_iter()
                .flatten()
                .chain(self.spec.verifications().map(|verify| &verify.secret_ref))
                .any(|reference| reference.name == referent.name)
            }
            // Its own, or one that made room for its own.
            ReferentKind::Job => self.metadata.name.as_deref() == Some(&referent.name),
            ReferentKind::PatchSet => {
                let mut libraries = self.spec.libraries.iter();
                libraries.any(|reference| reference.name == referent.name)
            }
            ReferentKind::ConstraintOverride => {
                let constraints = self.spec.constraints.as_ref();
                constraints.is_some_and(|reference| reference.name == referent.name)
            }
            ReferentKind::ConfigMap => {
                let dockerfile = self
                    .spec
                    .build
                    .as_ref()
                    .and_then(|build| build.dockerfile.as_ref());
                let delivery = self.spec.delivery.as_ref();
                delivery
                    .and_then(|delivery| delivery.config_map.as_ref())
                    .is_some_and(|map| map.name == referent.name)
                    || [
                        patches.and_then(|patches| patches.config_map.as_ref()),
                        dockerfile.and_then(|source| source.config_map.as_ref()),
                    ]
                    .into_iter()
                    .flatten()
                    .any(|reference| reference.name == referent.name)
            }
        }
    }

    fn details(status: &PatchSetStatus) -> Option<String> {
        let ready = conditions::find(&status.conditions, condition::READY)?;
        let failed = ready.reason == reason::BUILD_FAILED;
        let attempt = status.build.as_ref()?.attempt.as_ref();
        let log = attempt?.log_tail.as_deref().filter(|_| failed)?;
        Some(
            log.chars()
                .skip(log.chars().count().saturating_sub(EVENT_LOG))
                .collect(),
        )
    }

    fn facts(&self, status: &PatchSetStatus) -> Vec<(&'static str, String)> {
        let upstream = status.upstream.as_ref().map(|upstream| upstream.revision.clone());
        let patches = self.spec.patches.as_ref();
        let in_git = patches.is_some_and(|patches| {
            let source = patches.source_ref.as_ref();
            patches.git.is_some() || source.is_some_and(|source| source.kind == SourceKind::GitRepository)
        });
        let patches = status.patches_revision.clone();
        let generation = self.metadata.generation.unwrap_or_default();
        let token = format!("{generation}/{}", patches.as_deref().unwrap_or_default());
        [
            ("revision", upstream),
            // Where Flux sets the status of a commit: that of the patches, which is the team's own.
            ("originRevision", patches.filter(|_| in_git)),
            ("component", Some(self.spec.component.0.clone())),
            ("release", Some(self.spec.release.0.clone())),
            ("patches", status.applied.clone()),
            (
                "image",
                status.image.as_ref().map(|image| image.reference.clone()),
            ),
            // Tells apart what has the same message and revision.
            ("token", Some(token)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    fn shown(&self) -> Shown {
        let status = self.status.clone().unwrap_or_default();
        let states = PatchState::ALL.map(|state| (state.as_str(), status.count(state)));
        let image = status.image.as_ref();
        Shown {
            component: self.spec.component.0.clone(),
            release: self.spec.release.0.clone(),
            revision: status
                .upstream
                .map(|upstream| upstream.revision)
                .unwrap_or_default(),
            applied: status.applied.unwrap_or_default(),
            tag: image.map(|image| image.tag.clone()).unwrap_or_default(),
            digest: image.map(|image| image.digest.clone()).unwrap_or_default(),
            states: States::Patches(states.to_vec()),
            ..identity(self)
        }
    }

    fn wrote(&self, context: &Context, before: &PatchSetStatus, after: &PatchSetStatus) {
        let engine = self.spec.build.as_ref().map(|build| build.engine);
        if engine != Some(Engine::GitHubActions) {
            return;
        }
        let [former, begun] = [before, after].map(|status| {
            let attempt = status.build.as_ref()?.attempt.as_ref()?;
            Some(&attempt.name)
        });
        if let Some(request) = begun.filter(|_| begun != former) {
            context.workflows.wrote(request);
        }
    }

    async fn attempt(
        &self,
        context: &Arc<Context>,
        known: &PatchSetStatus,
        pace: Pace,
    ) -> Outcome<Sources, Progress> {
        if let Some(wanted) = &self.spec.delivery {
            Box::pin(deliver::keep(self, context, wanted, known)).await;
        }
        let gathered = match self.gathered(context, known, pace).await {
            Ok(gathered) => gathered,
            Err(failure) => return Outcome::Failed(failure, None),
        };
        let mut sources = gathered.sources();
        let holds = holds(known, &sources.inputs_digest) && is_verified(known, self.verifies());
        // Whoever asks for a look wants to know of the image too.
        let is_asked = pace.freshness == Freshness::Now && self.spec.build.is_some();
        // What waits to be merged may have been.
        let is_same = holds && !is_asked && known.proposed.is_none() && self.is_settled(known);
        if is_same && self.is_delivered(context, known, pace).await {
            return Outcome::Unchanged(sources);
        }
        let mut checked = None;
        if !holds {
            // Nothing is read before, and what was good before stays where this is not.
            match gathered.signatures(context, pace.deadline).await {
                Ok(signatures) => sources.signatures = signatures,
                Err(failure) => return Outcome::Failed(failure, Some(sources)),
            }
            match apply::check(gathered.clone(), context, pace.deadline).await {
                Ok(result) => checked = Some(result),
                Err(failure) => return Outcome::Failed(failure, Some(sources)),
            }
        }
        let patches = checked
            .as_ref()
            .map_or(&known.patches, |checked| &checked.patches);
        let apply = patches
            .iter()
            .all(|patch| passes(patch, self.spec.merged_patches));
        let built = if apply {
            Box::pin(build::build(self, context, known, gathered, patches, pace)).await
        } else {
            Built::Nothing
        };
        let merged = match (&self.spec.delivery, &known.proposed, &built) {
            // The delivery itself finds that.
            (Some(_), Some(proposed), Built::Image(_, image)) if image.reference == proposed.reference => {
                None
            }
            (Some(wanted), Some(proposed), _) => {
                Box::pin(deliver::merged(self, context, wanted, known, proposed, pace)).await
            }
            _ => None,
        };
        let delivered = match (&self.spec.delivery, &built) {
            (Some(wanted), Built::Image(_, image)) => {
                Box::pin(deliver::deliver(self, context, wanted, known, image, pace)).await
            }
            _ => Delivered::Nothing,
        };
        let progress = Progress {
            checked,
            built,
            delivered,
            merged,
        };
        Outcome::Done(sources, progress)
    }

    fn failures(done: &Progress) -> Vec<&Failure> {
        let built = match &done.built {
            Built::Failed(failure, _) => Some(failure),
            _ => None,
        };
        let delivered = match &done.delivered {
            Delivered::Failed(failure, _) => Some(failure),
            _ => None,
        };
        built.into_iter().chain(delivered).collect()
    }

    fn settle(
        &self,
        known: &PatchSetStatus,
        asked: Asked<'_>,
        now: Timestamp,
        outcome: Outcome<Sources, Progress>,
    ) -> (PatchSetStatus, Next) {
        let place = self.spec.patches.as_ref().and_then(place);
        let policy = Policy {
            place: place.as_deref(),
            merged: self.spec.merged_patches,
            builds: self.spec.build.is_some(),
            delivers: self.spec.delivery.is_some(),
            verifies: self.verifies(),
            room: room::for_list(&self.spec),
        };
        patch_set::settle(known, asked, policy, now, outcome)
    }
}

impl PatchSet {
    /// Whether something has to be signed.
    fn verifies(&self) -> bool {
        self.spec.verifications().next().is_some()
    }

    /// Whether the image of the status is where it should go. Where patches do not apply, nothing is delivered anew.
    async fn is_delivered(&self, context: &Arc<Context>, known: &PatchSetStatus, pace: Pace) -> bool {
        let apply = |patch| passes(patch, self.spec.merged_patches);
        match (&self.spec.delivery, &known.image) {
            (Some(wanted), Some(image)) if known.patches.iter().all(apply) => {
                deliver::stands(self, context, wanted, known, image, pace).await
            }
            _ => true,
        }
    }

    /// What the result follows from. Where that is something else than what the status tells, a look that is remembered does
    /// not do: another controller may have looked since, and what it found would be replaced by what was before.
    async fn gathered(
        &self,
        context: &Arc<Context>,
        known: &PatchSetStatus,
        pace: Pace,
    ) -> Result<Gathered, Failure> {
        let gathered = resolve::gather(self, context, pace).await?;
        let told = known.inputs_digest.as_deref();
        if told.is_none_or(|told| told == gathered.sources().inputs_digest) {
            return Ok(gathered);
        }
        let freshness = match pace.freshness {
            Freshness::MaxAge(age) => Freshness::MaxAge(age.min(JUST_NOW)),
            Freshness::Now => return Ok(gathered),
        };
        resolve::gather(self, context, Pace { freshness, ..pace }).await
    }

    /// Whether nothing is left to do for results that hold: no build is asked for, patches do not apply, or the image
    /// is there.
    fn is_settled(&self, known: &PatchSetStatus) -> bool {
        let apply = |patch| passes(patch, self.spec.merged_patches);
        let Some(build) = &self.spec.build else {
            return true;
        };
        let (planned, image) = (known.build.as_ref(), known.image.as_ref());
        !known.patches.iter().all(apply)
            // Where a library or the constraints are not ready, what is told is the build before.
            || (is_planned(known)
                && planned.is_some_and(|planned| stands(known, planned))
                && image.is_some_and(|image| is_complete(build, image)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::reference::SourceKind::{Bucket, GitRepository};
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
            namespace: namespace.into(),
            name: name.into(),
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
            assert_eq!(object.refers_to("ours", &referent), expected, "{referent:?}");
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
            assert_eq!(object.refers_to("ours", &referent), expected, "{referent:?}");
        }
    }
}
