//! Applies the series to the upstream's tree and to the candidates'.

use std::sync::{Arc, Mutex};

use git_apply_engine::{Options, PatchInput, Sequence, Series};
use git_mirrors::Resolved;
use patchset_api::status::{CandidateStatus, PatchStatus};
use patchset_api::{PatchSet, Recorded, reason};
use tokio::sync::OnceCell;

use super::resolve::{CandidateRef, ResolvedInputs};
use super::upstream_history::{self, SearchedPatches, SearchedSeries, SeriesToSearch, last_applied_commit};
use crate::controller::context::failures;
use crate::controller::context::turn::Turn;
use crate::controller::inputs::patches;
use crate::controller::inputs::series_progress::SeriesProgress;
use crate::controller::inputs::upstreams::blocking;
use crate::controller::state::locking::lock;
use crate::controller::state::slots;
use crate::plan::patch_set::{ApplyResult, Sources, all_allow_ready};
use crate::plan::report::{self, shown_name};
use crate::plan::{Failure, Step};
use crate::source::api_revision;

/// The series of a reconciliation, and its outcome.
///
/// Its patches are read once, and applied to the upstream once, however many steps need them; if
/// none does, not at all.
pub struct AppliedSeries {
    pub inputs: ResolvedInputs,
    pub progress: SeriesProgress,
    loaded: OnceCell<LoadedFolder>,
    applied_to_upstream: OnceCell<Arc<Mutex<Series>>>,
}

/// The patches of the spec.
struct LoadedFolder {
    patches: Arc<Vec<PatchInput>>,
    /// What else is in their folder, and is not applied.
    note: Option<String>,
}

/// What patches are applied to.
#[derive(Clone, Copy)]
enum ApplyTarget {
    Upstream,
    Candidate,
}

impl ApplyTarget {
    fn name(self) -> &'static str {
        match self {
            Self::Upstream => "the upstream",
            Self::Candidate => "the candidate",
        }
    }
}

/// Applies the series to the upstream and to the candidates, unless the status has the results
/// already.
pub async fn apply(
    turn: &Turn<'_, PatchSet>,
    inputs: ResolvedInputs,
    sources: &Sources,
    results: ResultsInStatus,
) -> Result<AppliedSeries, Failure> {
    let mut series = AppliedSeries {
        inputs,
        progress: SeriesProgress {
            sources: sources.clone(),
            checked: None,
            candidates: None,
        },
        loaded: OnceCell::new(),
        applied_to_upstream: OnceCell::new(),
    };
    if results == ResultsInStatus::Stale {
        series.progress.checked = Some(series.check(turn).await?);
    }
    series.progress.candidates = series.try_candidates(turn, results).await;
    Ok(series)
}

/// Whether the status has the results of these inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultsInStatus {
    Current,
    /// It has none, or those of other inputs, or they are to be computed again.
    Stale,
}

impl AppliedSeries {
    /// The patches, in the order in which they apply.
    pub async fn patches(&self, turn: &Turn<'_, PatchSet>) -> Result<Arc<Vec<PatchInput>>, Failure> {
        self.folder(turn).await.map(|folder| Arc::clone(&folder.patches))
    }

    async fn folder(&self, turn: &Turn<'_, PatchSet>) -> Result<&LoadedFolder, Failure> {
        let loaded = self.loaded.get_or_try_init(|| async {
            let read = patches::read(turn.context, self.inputs.located.clone(), turn.budget.deadline).await?;
            Ok(LoadedFolder {
                patches: Arc::new(read.patches),
                note: read.note,
            })
        });
        loaded.await
    }

    /// The upstream's tree with the patches, for one reader at a time.
    pub async fn applied_to_upstream(
        &self,
        turn: &Turn<'_, PatchSet>,
    ) -> Result<Arc<Mutex<Series>>, Failure> {
        let applied = self.applied_to_upstream.get_or_try_init(|| async {
            let applied = self
                .apply(turn, ApplyTarget::Upstream, &self.inputs.resolved)
                .await?;
            Ok(Arc::new(Mutex::new(applied)))
        });
        applied.await.map(Arc::clone)
    }

    /// The state of each patch, from this reconciliation or else from the status before it.
    pub fn patch_statuses<'a>(&'a self, previous: &'a [PatchStatus]) -> &'a [PatchStatus] {
        self.progress
            .checked
            .as_ref()
            .map_or(previous, |checked| &checked.patches)
    }

    /// Whether all patches apply, by the spec's rule for merged ones.
    pub fn all_pass(&self, turn: &Turn<'_, PatchSet>) -> bool {
        let status = turn.status();
        let patches = self.patch_statuses(&status.patches);
        all_allow_ready(patches, turn.object.spec.merged_patches)
    }

    async fn check(&self, turn: &Turn<'_, PatchSet>) -> Result<ApplyResult, Failure> {
        let series = self.applied_to_upstream(turn).await?;
        let tree = {
            let series = lock(&series);
            series.tree()
        };
        let patches = self.patches(turn).await?;
        let status = turn.status();
        let last = patches
            .iter()
            .map(|patch| last_applied_commit(&status, &patch.name));
        let onto = SeriesToSearch {
            what: ApplyTarget::Upstream.name(),
            searched: SearchedPatches::FailingAndMerged,
            resolved: &self.inputs.resolved,
            series,
            last_applied: last.collect(),
            patches: Arc::clone(&patches),
        };
        let mut searched = upstream_history::search(turn, &self.inputs, self.options(), onto).await;
        // Hashing a series and reading the heads of its patches keeps a processor busy.
        let mut statuses = std::mem::take(&mut searched.patches);
        let work = slots::spawn_blocking(move || {
            report::add_ids(&mut statuses, &patches);
            report::add_headers(&mut statuses, &patches);
            statuses
        });
        searched.patches = work.await.map_err(|error| failures::task_failure(&error))?;
        Ok(ApplyResult {
            patches: searched.patches,
            tree,
            history_failure: searched.failure,
            note: self.folder(turn).await?.note.clone(),
            history_cut: searched.cut,
        })
    }

    /// The outcome for the candidates; `None` if the status has it. Those that did not move are not
    /// tried again.
    async fn try_candidates(
        &self,
        turn: &Turn<'_, PatchSet>,
        results: ResultsInStatus,
    ) -> Option<Vec<CandidateStatus>> {
        let status = turn.status();
        if results == ResultsInStatus::Current && self.inputs.candidates_match_status(&status) {
            return None;
        }
        let known = |candidate: &CandidateRef| {
            let mut known = status.candidates.iter();
            known
                .find(|known| results == ResultsInStatus::Current && candidate.matches_status(known))
                .cloned()
        };
        let mut candidates = Vec::new();
        for candidate in &self.inputs.candidates {
            candidates.push(match known(candidate) {
                Some(known) => known,
                None => self.try_candidate(turn, candidate).await,
            });
        }
        Some(candidates)
    }

    async fn try_candidate(&self, turn: &Turn<'_, PatchSet>, candidate: &CandidateRef) -> CandidateStatus {
        let (name, resolved) = (candidate.name.clone(), candidate.resolved.as_ref());
        let revision = resolved
            .ok()
            .map(|resolved| Recorded::new(api_revision(resolved.revision())));
        let searched = match resolved {
            Ok(resolved) => self.search_candidate(turn, resolved).await,
            Err(failure) => Err(failure.clone()),
        };
        match searched {
            Ok(searched) => CandidateStatus {
                history_cut: searched.cut,
                ..report::candidate(name, revision, &searched.patches, searched.failure)
            },
            Err(failure) => CandidateStatus {
                ref_: name,
                revision,
                applied: None,
                merged: Vec::new(),
                omitted_merged: None,
                outcome: None,
                broken: Vec::new(),
                history_failure: None,
                history_cut: None,
                message: Some(failure.message),
            },
        }
    }

    async fn search_candidate(
        &self,
        turn: &Turn<'_, PatchSet>,
        resolved: &Resolved,
    ) -> Result<SearchedSeries, Failure> {
        let applied = self.apply(turn, ApplyTarget::Candidate, resolved).await?;
        let patches = self.patches(turn).await?;
        let (status, commit) = (turn.status(), self.inputs.resolved.commit());
        let patch_statuses = self.patch_statuses(&status.patches);
        let applies = |name: &str| {
            let name = shown_name(name);
            patch_statuses
                .iter()
                .any(|patch| patch.name == name && patch.applies())
        };
        let last = patches.iter().map(|patch| {
            if applies(&patch.name) {
                Some(commit)
            } else {
                last_applied_commit(&status, &patch.name)
            }
        });
        let onto = SeriesToSearch {
            what: ApplyTarget::Candidate.name(),
            searched: SearchedPatches::Failing,
            resolved,
            series: Arc::new(Mutex::new(applied)),
            last_applied: last.collect(),
            patches,
        };
        Ok(upstream_history::search(turn, &self.inputs, self.options(), onto).await)
    }

    async fn apply(
        &self,
        turn: &Turn<'_, PatchSet>,
        onto: ApplyTarget,
        resolved: &Resolved,
    ) -> Result<Series, Failure> {
        let patches = self.patches(turn).await?;
        let (upstream, resolved, options) = (self.inputs.upstream.clone(), resolved.clone(), self.options());
        let (what, deadline) = (onto.name(), turn.budget.deadline);
        let applied = blocking(turn.context, what, deadline, move |mirrors| {
            let snapshot = mirrors.partial_snapshot(&upstream, &resolved, deadline)?;
            snapshot.prefetch_paths(git_apply_engine::touched_paths(&patches, &options))?;
            tracing::debug!(commit = %resolved.commit(), patches = patches.len(), "a series is applied");
            let tree = snapshot.tree_id();
            let applied = git_apply_engine::apply(&snapshot, tree, &patches, Sequence::Stacked, &options);
            match (applied, snapshot.fetch_failure()) {
                (Err(git_apply_engine::Error::Object(_)), Some(failure)) => Err(failure),
                (applied, _) => Ok(applied),
            }
        });
        applied.await?.map_err(|error| {
            let message = format!("{what}: {error}");
            match error {
                git_apply_engine::Error::Object(error) => {
                    failures::object_failure(Step::Patches, &error, message)
                }
                git_apply_engine::Error::TooMany { .. } => {
                    Failure::stalled(Step::Patches, reason::TOO_LARGE, message)
                }
            }
        })
    }

    /// How the spec wants the patches to be read.
    fn options(&self) -> Options {
        Options {
            strip: self.inputs.strip.map(usize::from),
            directory: self.inputs.directory.clone().unwrap_or_default().into(),
            ..Options::default()
        }
    }
}
