//! Reconciles a `PatchRepository`.

use jiff::Timestamp;
use patchset_api::PatchRepository;
use patchset_api::patch_repository::{PatchRepositoryStatus, RepositoryCounts};
use patchset_api::references::Reference;
use patchset_api::referent::{ReferentKind, SourceKind};

use super::{Pipeline, repository_objects, repository_source};
use crate::controller::context::journal::Interrupted;
use crate::controller::context::kind::{Reconciled, Schedule, identity};
use crate::controller::context::turn::Turn;
use crate::ops::objects::{ObjectMetrics, States};
use crate::plan::lifecycle::{AskedFor, Next, SignaturePolicy, has_verified_results_of};
use crate::plan::patch_repository::{self, RepositoryProgress, RepositorySources};
use crate::plan::{Failure, Outcome};

impl Reconciled for PatchRepository {
    type Status = PatchRepositoryStatus;
    type Sources = RepositorySources;
    type Done = RepositoryProgress;
    const KIND: &'static str = "PatchRepository";
    const REFERENT: ReferentKind = ReferentKind::PatchRepository;

    fn status(&self) -> Option<&PatchRepositoryStatus> {
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

    fn facts(&self, status: &PatchRepositoryStatus) -> Vec<(&'static str, String)> {
        let revision = status.revision.clone();
        let source = &self.spec.source;
        let of_git = source.source_ref.as_ref();
        let is_git = source.git.is_some() || of_git.is_some_and(|one| one.kind == SourceKind::GitRepository);
        let generation = self.metadata.generation.unwrap_or_default();
        let token = format!("{generation}/{}", revision.as_deref().unwrap_or_default());
        [
            ("revision", revision.clone()),
            // The commit whose status Flux sets.
            ("originRevision", revision.filter(|_| is_git)),
            // Tells apart what has the same message and revision.
            ("token", Some(token)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    fn metrics(&self) -> ObjectMetrics {
        let status = self.status.as_ref();
        let counts = status.and_then(|status| status.counts);
        let revision = status.and_then(|status| status.revision.clone());
        ObjectMetrics {
            revision: revision.unwrap_or_default(),
            states: States::PatchSets(states(&counts.unwrap_or_default())),
            ..identity(self)
        }
    }

    fn failures(done: &RepositoryProgress) -> Vec<&Failure> {
        done.failure.iter().collect()
    }

    fn settle(
        &self,
        previous: &PatchRepositoryStatus,
        asked: AskedFor<'_>,
        now: Timestamp,
        outcome: Outcome<RepositorySources, RepositoryProgress>,
    ) -> (PatchRepositoryStatus, Next) {
        patch_repository::settle(
            previous,
            asked,
            SignaturePolicy::asked_by(self.spec.verifications()),
            now,
            outcome,
        )
    }
}

/// The `PatchSet`s by state, as the metrics name it.
fn states(counts: &RepositoryCounts) -> Vec<(&'static str, usize)> {
    let RepositoryCounts {
        patch_sets: _,
        constraint_overrides: _,
        ready,
        conflicting,
        merged,
        failing,
        pending,
    } = *counts;
    let all = [
        ("Ready", ready),
        ("Conflicting", conflicting),
        ("Merged", merged),
        ("Failing", failing),
        ("Pending", pending),
    ];
    all.map(|(state, count)| (state, usize::try_from(count).unwrap_or(usize::MAX)))
        .to_vec()
}

impl Pipeline for PatchRepository {
    /// Resolves the source, reads its folders if they may have changed, applies the objects that
    /// they ask for, prunes the others, and reports on all of them. Skips what memory and watches
    /// show to be unnecessary.
    async fn run(
        turn: &Turn<'_, Self>,
    ) -> Result<Outcome<RepositorySources, RepositoryProgress>, Interrupted> {
        let resolved = match Box::pin(repository_source::resolve(turn)).await {
            Ok(resolved) => resolved,
            Err(failure) => return Ok(Outcome::Failed(failure, None)),
        };
        let mut sources = resolved.sources.clone();
        let status = turn.status();
        let policy = SignaturePolicy::asked_by(turn.object.spec.verifications());
        if !has_verified_results_of(&*status, &sources.inputs_digest, policy) {
            match resolved.signatures(turn).await {
                Ok(signatures) => sources.signatures = signatures,
                Err(failure) => return Ok(Outcome::Failed(failure, Some(sources))),
            }
        }
        Ok(match Box::pin(repository_objects::keep(turn, &resolved)).await {
            Ok(progress) => Outcome::Done(sources, progress),
            Err(failure) => Outcome::Failed(failure, Some(sources)),
        })
    }
}
