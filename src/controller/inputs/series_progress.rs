//! What a reconciliation of a `PatchSet` found out before its image.

use crate::api::delivery::DeliveryStatus;
use crate::api::status::CandidateStatus;
use crate::plan::Outcome;
use crate::plan::patch_set::{Built, Checked, Delivered, PatchSetProgress, Sources};

/// What a reconciliation found out before its image.
#[derive(Clone, Debug)]
pub struct SeriesProgress {
    pub sources: Sources,
    /// What applying the series gave; nothing where the status has it already.
    pub checked: Option<Checked>,
    /// What became of the candidates; nothing where the status has it already.
    pub candidates: Option<Vec<CandidateStatus>>,
}

impl SeriesProgress {
    /// What the reconciliation came to with this image and delivery, and where an image is that
    /// waited to be merged and was.
    pub fn with(
        &self,
        built: Built,
        delivered: Delivered,
        merged: Option<DeliveryStatus>,
    ) -> Outcome<Sources, PatchSetProgress> {
        let progress = PatchSetProgress {
            checked: self.checked.clone(),
            candidates: self.candidates.clone(),
            built,
            delivered,
            merged,
        };
        Outcome::Done(self.sources.clone(), progress)
    }
}
