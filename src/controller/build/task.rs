//! What is to be built in a reconciliation, and whether the registry has it.

use std::sync::Arc;

use image_references::ImageReference;
use patchset_api::build::{Build, BuildStatus, ImageStatus};
use patchset_api::reason::{self, Reason};
use patchset_api::status::PatchSetStatus;
use patchset_api::{InputsDigest, PatchSet, Recorded, Revision};
use source_images::Registry;

use super::inspection;
use crate::controller::context::journal::Interrupted;
use crate::controller::context::turn::Turn;
use crate::controller::inputs::image_references::{image_by_digest, image_reference};
use crate::controller::inputs::registries::in_time;
use crate::controller::inputs::series_progress::SeriesProgress;
use crate::plan::build::{INPUTS_LABEL, image};
use crate::plan::lifecycle::Next;
use crate::plan::patch_set::{BuildOutcome, DeliveryOutcome, Pending};
use crate::plan::{Failure, Step};

/// An image that is to be built, and what is known of it.
pub struct BuildTask<'a> {
    pub turn: &'a Turn<'a, PatchSet>,
    pub build: &'a Build,
    pub registry: &'a Registry,
    /// What was found before, recorded together with the outcome for the image.
    pub progress: &'a SeriesProgress,
    /// The status when the task began.
    pub status: Arc<PatchSetStatus>,
    /// The image that is built, by its tag.
    pub target: &'a Recorded<ImageReference>,
    /// The upstream's revision that it is built from.
    pub revision: &'a Recorded<Revision>,
}

impl BuildTask<'_> {
    /// The image that was planned, once the registry has it. One that does not count is noted in the
    /// plan.
    pub async fn find_image(&self, planned: &mut BuildStatus) -> Result<Option<ImageStatus>, Failure> {
        let (registry, budget) = (self.registry, self.turn.budget);
        let target = image_reference(self.target)?;
        let looked = Box::pin(registry.inspect(&target));
        let Some(found) = in_time(budget, "looking for the image", looked).await? else {
            planned.rejected = None;
            return Ok(None);
        };
        let label = found.labels.get(INPUTS_LABEL);
        let inputs = label.map(|label| InputsDigest::from(label.as_str()));
        if inputs.as_ref() != Some(&planned.inputs_digest) {
            let message = tag_taken_message(planned, self.target, inputs.as_ref());
            return Err(Failure::retried(Step::Build, reason::TAG_TAKEN, message));
        }
        let mut image = image(planned, &target, &found.digest, self.revision);
        let known = self.status.image.as_ref();
        if let Some(known) = known.filter(|known| known.reference == image.reference) {
            image.installed.clone_from(&known.installed);
            image.sbom.clone_from(&known.sbom);
        }
        if self.build.is_checked() && image.installed.is_none() {
            let layers = &self.turn.context.layers;
            image.installed =
                Some(inspection::inspect_image(registry, layers, planned, &image, budget).await?);
        }
        planned.rejected = None;
        Ok(Some(image))
    }

    /// Moves the further tags to an image that counts.
    ///
    /// # Errors
    ///
    /// If the registry does not move them.
    pub async fn move_tags(&self, image: &ImageStatus) -> Result<(), Failure> {
        if image.moving_tags.is_empty() {
            return Ok(());
        }
        let by_digest = image_by_digest(image)?;
        let moved = Box::pin(self.registry.tag(&by_digest, &image.moving_tags));
        in_time(self.turn.budget, "moving the image's further tags", moved).await
    }

    /// Records that the image is awaited, before something is done that must be found again.
    pub async fn record(
        &self,
        planned: &BuildStatus,
        reason: Reason,
        message: String,
    ) -> Result<(), Interrupted> {
        let built = BuildOutcome::Awaited {
            plan: planned.clone(),
            pending: Pending::new(reason, message, Next::Soon),
        };
        self.record_built(built).await
    }

    /// Records the outcome for the image so far.
    pub async fn record_built(&self, built: BuildOutcome) -> Result<(), Interrupted> {
        self.turn
            .record(self.progress.outcome(built, DeliveryOutcome::Nothing, None))
            .await
    }
}

fn tag_taken_message(
    status: &BuildStatus,
    target: &Recorded<ImageReference>,
    inputs: Option<&InputsDigest>,
) -> String {
    let what = match inputs {
        Some(inputs) => format!("is built from {inputs}"),
        None => format!("has no label {INPUTS_LABEL}"),
    };
    format!(
        "the registry has {target}, which {what}, and not from {0}: build it with --label {INPUTS_LABEL}={0}, or use {{inputs}} in build.image.tag",
        status.inputs_digest
    )
}
