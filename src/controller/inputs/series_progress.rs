//! What a reconciliation of a `PatchSet` found out before its image.

use patchset_api::delivery::DeliveryStatus;
use patchset_api::status::CandidateStatus;

use crate::plan::Outcome;
use crate::plan::patch_set::{ApplyResult, BuildOutcome, DeliveryOutcome, PatchSetProgress, Sources};

/// What a reconciliation found out before its image.
#[derive(Clone, Debug)]
pub struct SeriesProgress {
    pub sources: Sources,
    /// The result of applying the series; `None` if the status has it already.
    pub checked: Option<ApplyResult>,
    /// The outcome for the candidates; `None` if the status has it already.
    pub candidates: Option<Vec<CandidateStatus>>,
}

impl SeriesProgress {
    /// The outcome of the reconciliation with this build and delivery, and with the delivery that
    /// waited to be merged and was.
    pub fn outcome(
        &self,
        built: BuildOutcome,
        delivered: DeliveryOutcome,
        merged_delivery: Option<DeliveryStatus>,
    ) -> Outcome<Sources, PatchSetProgress> {
        let progress = PatchSetProgress {
            checked: self.checked.clone(),
            candidates: self.candidates.clone(),
            built,
            delivered,
            merged_delivery,
        };
        Outcome::Done(self.sources.clone(), progress)
    }
}
