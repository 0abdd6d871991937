//! Images as a spec or a status names them.

use image_references::{ImageReference, ReferenceError};
use patchset_api::Recorded;
use patchset_api::build::ImageStatus;

use crate::controller::context::failures::registry_failure;
use crate::plan::Failure;

/// Returns an image that a status names.
///
/// # Errors
///
/// The failure for the object, if it is not an image.
pub fn image_reference(recorded: &Recorded<ImageReference>) -> Result<ImageReference, Failure> {
    recorded.to_value().map_err(invalid_image)
}

/// Reads an image that a spec names, with or without the scheme of a context.
///
/// # Errors
///
/// As for [`image_reference`].
pub fn image_of_spec(text: &str) -> Result<ImageReference, Failure> {
    ImageReference::from_context(text).map_err(invalid_image)
}

/// Returns the image that a status names, by its digest alone.
///
/// # Errors
///
/// As for [`image_reference`].
pub fn image_by_digest(image: &ImageStatus) -> Result<ImageReference, Failure> {
    let reference = image_reference(&image.reference)?;
    Ok(match reference.digest() {
        Some(digest) => reference.with_digest(digest),
        None => reference,
    })
}

fn invalid_image(error: ReferenceError) -> Failure {
    registry_failure(&error.into())
}
