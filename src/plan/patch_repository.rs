//! The status of a `PatchRepository`, derived from what was observed.

use jiff::Timestamp;
use patchset_api::patch_repository::{RepositoryCell, RepositoryCounts, RepositoryFault};
use patchset_api::upkeep::RepositoryUpkeepStatus;
use patchset_api::{InputsDigest, LayoutKind, PatchRepositoryStatus};

use super::failure::{Failure, Step};
use super::lifecycle::{AskedFor, Next, Outcome, Settling, SignaturePolicy, Verdict};

/// What the source says; known before the folders are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositorySources {
    /// The revision.
    pub revision: String,
    /// A digest over all that the objects follow from.
    pub inputs_digest: InputsDigest,
    /// Who signed the source, in words, where that was checked.
    pub signatures: Option<String>,
}

/// The result of a look at a repository and its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryProgress {
    /// How the folders are named.
    pub layout: LayoutKind,
    /// Whether the objects match what the folders ask for.
    pub objects: Verdict,
    /// Why not all of them could be written; they are tried again.
    pub failure: Option<Failure>,
    /// How many objects there are, and in which state.
    pub counts: RepositoryCounts,
    /// Each component at each release, as far as there is room.
    pub cells: Vec<RepositoryCell>,
    /// How many more there are.
    pub omitted_cells: Option<u32>,
    /// What is wrong, as far as there is room.
    pub faults: Vec<RepositoryFault>,
    /// How many more there are.
    pub omitted_faults: Option<u32>,
    /// What is to be done for the patches.
    pub upkeep: Option<RepositoryUpkeepStatus>,
    /// Whether all is well with the objects.
    pub ready: Verdict,
}

/// The status after an attempt, and when to make the next.
#[must_use]
pub fn settle(
    previous: &PatchRepositoryStatus,
    asked: AskedFor<'_>,
    policy: SignaturePolicy,
    now: Timestamp,
    outcome: Outcome<RepositorySources, RepositoryProgress>,
) -> (PatchRepositoryStatus, Next) {
    use Outcome::{Done, Failed, Unchanged};
    let mut settling = Settling::from_previous(previous, asked, now);
    let signatures = outcome
        .sources()
        .and_then(|sources| sources.signatures.as_deref());
    settling.mark_verified(policy, signatures);
    let resolved = |sources: &RepositorySources| format!("the repository at {}", sources.revision);
    match outcome {
        Failed(failure, sources) => {
            if let Some(sources) = sources {
                settling.mark_resolved(&resolved(&sources));
            }
            settling.into_failed(&failure)
        }
        Unchanged(sources) => {
            settling.mark_resolved(&resolved(&sources));
            (settling.into_same(), Next::Interval)
        }
        Done(sources, progress) => {
            settling.mark_resolved(&resolved(&sources));
            let status = &mut settling.status;
            status.revision = Some(sources.revision);
            status.layout = Some(progress.layout);
            status.counts = Some(progress.counts);
            (status.cells, status.omitted_cells) = (progress.cells, progress.omitted_cells);
            (status.faults, status.omitted_faults) = (progress.faults, progress.omitted_faults);
            status.upkeep = progress.upkeep;
            if let Some(failure) = progress.failure {
                // Not everything that these inputs ask for is done.
                status.inputs_digest = None;
                return settling.into_failed(&failure);
            }
            status.inputs_digest = Some(sources.inputs_digest);
            settling.mark_done(Step::Objects, &progress.objects);
            (settling.into_concluded(&progress.ready), Next::Interval)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::lifecycle::has_results_of;
    use patchset_api::conditions::Truth;
    use patchset_api::reason;

    const ASKED: AskedFor<'static> = AskedFor {
        generation: 1,
        requested_at: None,
    };

    fn sources(revision: &str) -> RepositorySources {
        RepositorySources {
            revision: revision.to_owned(),
            inputs_digest: crate::plan::inputs_hasher::InputsHasher::new(revision).digest(),
            signatures: None,
        }
    }

    fn verdict(truth: Truth, reason: reason::Reason, message: &str) -> Verdict {
        Verdict {
            truth,
            reason,
            ready: reason,
            message: message.to_owned(),
        }
    }

    fn progress(ready: Verdict) -> RepositoryProgress {
        RepositoryProgress {
            layout: LayoutKind::ComponentRelease,
            objects: verdict(Truth::True, reason::SUCCEEDED, "2 PatchSets"),
            failure: None,
            counts: RepositoryCounts {
                patch_sets: 2,
                ..RepositoryCounts::default()
            },
            cells: Vec::new(),
            omitted_cells: None,
            faults: Vec::new(),
            omitted_faults: None,
            upkeep: None,
            ready,
        }
    }

    fn settled(
        previous: &PatchRepositoryStatus,
        outcome: Outcome<RepositorySources, RepositoryProgress>,
    ) -> PatchRepositoryStatus {
        let policy = SignaturePolicy::NotRequired;
        settle(
            previous,
            ASKED,
            policy,
            Timestamp::from_second(100).unwrap(),
            outcome,
        )
        .0
    }

    #[test]
    fn what_stays_as_it_is_is_the_same_status_at_any_time() {
        let later = |previous: &PatchRepositoryStatus, ready: &Verdict, second| {
            let outcome = Outcome::Done(sources("a"), progress(ready.clone()));
            let now = Timestamp::from_second(second).unwrap();
            settle(previous, ASKED, SignaturePolicy::NotRequired, now, outcome).0
        };
        for ready in [
            verdict(Truth::True, reason::SUCCEEDED, "all"),
            verdict(Truth::Unknown, reason::PROGRESSING, "some"),
            verdict(Truth::False, reason::NAME_TAKEN, "some"),
            verdict(Truth::False, reason::PROGRESSING_WITH_RETRY, "some"),
        ] {
            let first = later(&PatchRepositoryStatus::default(), &ready, 100);
            assert_eq!(later(&first, &ready, 200), first, "{ready:?}");
        }
    }

    /// Conditions as `Type=Status/Reason`, in order.
    fn shown(status: &PatchRepositoryStatus) -> Vec<String> {
        let conditions = status.conditions.iter();
        let shown = conditions.map(|c| format!("{}={}/{}", c.type_, c.status, c.reason));
        shown.collect()
    }

    #[test]
    fn ready_follows_the_objects_and_the_steps_stay_what_they_are() {
        let applied = "ObjectsApplied=True/Succeeded";
        let resolved = "SourceResolved=True/Succeeded";
        let pending = verdict(Truth::Unknown, reason::PROGRESSING, "1 of 2 ready");
        let status = settled(
            &PatchRepositoryStatus::default(),
            Outcome::Done(sources("a"), progress(pending)),
        );
        assert_eq!(
            shown(&status),
            [
                applied,
                "Ready=Unknown/Progressing",
                "Reconciling=True/Progressing",
                resolved
            ]
        );
        let conflict = verdict(Truth::False, reason::PATCH_CONFLICT, "1 of 2 ready; 1 conflicts");
        let status = settled(&status, Outcome::Done(sources("a"), progress(conflict)));
        assert_eq!(
            shown(&status),
            [
                applied,
                "Ready=False/PatchConflict",
                resolved,
                "Stalled=True/PatchConflict"
            ]
        );
        let good = verdict(Truth::True, reason::SUCCEEDED, "2 of 2 ready");
        let status = settled(&status, Outcome::Done(sources("b"), progress(good.clone())));
        assert_eq!(shown(&status), [applied, "Ready=True/Succeeded", resolved]);
        assert_eq!(status.revision.as_deref(), Some("b"));
        assert_eq!(
            settled(&status, Outcome::Done(sources("b"), progress(good))),
            status
        );
        assert_eq!(settled(&status, Outcome::Unchanged(sources("b"))), status);
    }

    #[test]
    fn what_could_not_be_written_is_tried_again_and_what_is_told_stays() {
        let good = verdict(Truth::True, reason::SUCCEEDED, "2 of 2 ready");
        let good = settled(
            &PatchRepositoryStatus::default(),
            Outcome::Done(sources("a"), progress(good)),
        );
        let refused = Failure::retried(
            Step::Objects,
            reason::WRITE_FAILED,
            "the API server took too long",
        );
        let mut half = progress(verdict(Truth::True, reason::SUCCEEDED, "2 of 2 ready"));
        half.failure = Some(refused);
        let status = settled(&good, Outcome::Done(sources("b"), half));
        assert!(!has_results_of(&status, &sources("b").inputs_digest));
        assert!(
            shown(&status).contains(&"ObjectsApplied=False/WriteFailed".to_owned()),
            "{status:?}"
        );
        assert!(shown(&status).contains(&"Reconciling=True/ProgressingWithRetry".to_owned()));
        let gone = Failure::retried(Step::Source, reason::UNREACHABLE, "no answer");
        let status = settled(&good, Outcome::Failed(gone, None));
        assert_eq!(
            (status.revision.clone(), status.counts),
            (good.revision.clone(), good.counts)
        );
        assert!(shown(&status).contains(&"ObjectsApplied=True/Succeeded".to_owned()));
    }
}
