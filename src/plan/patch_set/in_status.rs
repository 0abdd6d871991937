//! What the status already has, so that it is not done again.

use patchset_api::InputsDigest;
use patchset_api::build::BuildStatus;
use patchset_api::conditions::{self, Truth};
use patchset_api::reason::{self, Reason, condition};
use patchset_api::status::PatchSetStatus;

use crate::plan::build::is_built;
use crate::plan::lifecycle::has_results_of;

/// Whether the status already has results that were computed from these inputs.
#[must_use]
pub fn results_are_current(previous: &PatchSetStatus, inputs_digest: &InputsDigest) -> bool {
    has_results_of(previous, inputs_digest)
        && conditions::truth(&previous.conditions, condition::PATCHES_APPLICABLE)
            .is_some_and(|truth| truth != Truth::Unknown)
}

/// Whether the build in the status was planned from the inputs in the status: the last attempt got
/// that far.
#[must_use]
pub fn is_planned(status: &PatchSetStatus) -> bool {
    // While a run is cancelled (BuildCancelling), the status has the previous build.
    const PLANNED: [Reason; 7] = [
        reason::SUCCEEDED,
        reason::STOCK_INSTALLED,
        reason::IMAGE_UNREADABLE,
        reason::AWAITING_IMAGE,
        reason::BUILDING,
        reason::BUILD_QUEUED,
        reason::BUILD_FAILED,
    ];
    conditions::reason(&status.conditions, condition::IMAGE_BUILT)
        .is_some_and(|reason| PLANNED.contains(&reason))
}

/// Whether a build's image exists, as of the last look at the registry.
#[must_use]
pub fn image_is_current(status: &PatchSetStatus, build: &BuildStatus) -> bool {
    is_built(status, build) && conditions::is_true(&status.conditions, condition::IMAGE_BUILT)
}
