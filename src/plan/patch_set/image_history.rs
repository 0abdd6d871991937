//! The last images, and the patches that are in them.

use jiff::Timestamp;
use patchset_api::build::{BuildRecord, BuildStatus, ImageStatus, RecordedPatch};
use patchset_api::status::{PatchSetStatus, PatchState};

use crate::plan::conditions;

/// How many images the history keeps.
const HISTORY: usize = 5;

/// Bytes of the patches' names and ids that an image of the history has.
pub(super) const RECORDED_BYTES: usize = 8 << 10;

/// Digits of a patch's id there.
pub(super) const RECORDED_DIGITS: usize = 12;

/// Adds an image to the history, unless it is the last one there already.
pub(super) fn remember_image(
    status: &mut PatchSetStatus,
    build: &BuildStatus,
    image: &ImageStatus,
    now: Timestamp,
) {
    let before = status.image.as_ref().map(|image| &image.reference);
    // An image that had vanished may be back.
    let last = status.history.first().map(|record| &record.reference);
    if before.or(last) == Some(&image.reference) {
        return;
    }
    let (patches, omitted_patches) = recorded_patches(status);
    let record = BuildRecord {
        inputs_digest: image.inputs_digest.clone(),
        revision: image.revision.clone(),
        reasons: build.reasons.clone(),
        reference: image.reference.clone(),
        found_at: conditions::seconds(now),
        attempts: build.attempt.as_ref().map_or(0, |attempt| attempt.number),
        omitted_patches,
        patches: Some(patches),
    };
    status.history.insert(0, record);
    status.history.truncate(HISTORY);
}

/// The patches of a series that apply, as far as there is room for them, and how many more do.
pub(super) fn recorded_patches(status: &PatchSetStatus) -> (Vec<RecordedPatch>, Option<u32>) {
    let mut left = RECORDED_BYTES;
    let applied = status.patches.iter().filter(|patch| patch.applies());
    let recorded: Vec<RecordedPatch> = applied
        .clone()
        .map_while(|patch| {
            let blob = patch.blob.as_ref()?.as_str().chars();
            let recorded = RecordedPatch {
                name: patch.name.clone(),
                blob: blob.take(RECORDED_DIGITS).collect(),
            };
            left = left.checked_sub(recorded.name.len() + RECORDED_DIGITS)?;
            Some(recorded)
        })
        .collect();
    let unlisted = status.omitted_patches.map_or(0, |omitted| {
        omitted.count(PatchState::Clean) + omitted.count(PatchState::Offset)
    });
    let omitted = u32::try_from(applied.count() - recorded.len() + unlisted).unwrap_or(u32::MAX);
    (recorded, (omitted > 0).then_some(omitted))
}
