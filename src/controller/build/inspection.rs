//! Looks into an image that the registry has, before it counts.

use jiff::Timestamp;
use patchset_api::build::{BuildStatus, ImageStatus, InstalledStatus, Origin, RejectedImage, Rejection};
use patchset_api::reason;
use source_images::installed as found;
use source_images::{Installed, Layers, Registry};

use super::attempts;
use crate::controller::context::Budget;
use crate::controller::context::failures::registry_failure;
use crate::controller::inputs::image_references::image_by_digest;
use crate::controller::inputs::registries::in_time;
use crate::plan::installed::{FoundDistribution, FoundPlatform, judge};
use crate::plan::{Failure, Step};

/// What keeps a rejected image from counting.
pub fn rejection_failure(rejected: &RejectedImage) -> Failure {
    let reason = match rejected.reason {
        Rejection::StockInstalled => reason::STOCK_INSTALLED,
        Rejection::ImageUnreadable => reason::IMAGE_UNREADABLE,
    };
    Failure::stalled(Step::Build, reason, rejected.message.clone())
}

/// Checks, once for each digest, whether an image has installed what it was built from, and notes
/// in the plan if it has not.
///
/// # Errors
///
/// If it has not, or cannot be read.
pub async fn inspect_image(
    registry: &Registry,
    layers: &Layers,
    planned: &mut BuildStatus,
    image: &ImageStatus,
    budget: Budget<'_>,
) -> Result<Vec<InstalledStatus>, Failure> {
    if let Some(rejected) = planned
        .rejected
        .as_ref()
        .filter(|rejected| rejected.digest == image.digest)
    {
        return Err(rejection_failure(rejected));
    }
    planned.rejected = None;
    if planned.distributions.is_empty() {
        return Ok(Vec::new());
    }
    let by_digest = image_by_digest(image)?;
    let what = "looking into the image";
    let looked = Box::pin(async {
        // An unreadable image is no failure of the registry.
        match registry.installed_distributions(&by_digest, layers).await {
            Err(error @ source_images::Error::Unreadable { .. }) => Ok(Err(error)),
            other => other.map(Ok),
        }
    });
    let (reason, message, installed) = match in_time(budget, what, looked).await? {
        Err(error) => {
            let message = format!(
                "{}; build it again, or set build.check to Skip",
                registry_failure(&error).message
            );
            (Rejection::ImageUnreadable, message, Vec::new())
        }
        Ok(platforms) => {
            let platforms: Vec<FoundPlatform> = platforms.into_iter().map(platform).collect();
            let judged = judge(&image.reference, &planned.distributions, &platforms);
            match judged.stock {
                None => return Ok(judged.installed),
                Some(message) => (Rejection::StockInstalled, message, judged.installed),
            }
        }
    };
    // The build itself succeeded.
    attempts::mark_succeeded(planned, Timestamp::now());
    let rejected = RejectedImage {
        digest: image.digest.clone(),
        reason,
        message,
        installed,
    };
    let failure = rejection_failure(&rejected);
    planned.rejected = Some(rejected);
    Err(failure)
}

fn platform(found: Installed) -> FoundPlatform {
    let distributions = found.distributions.into_iter().map(|one| FoundDistribution {
        name: one.name,
        version: one.version,
        origin: match one.origin {
            found::Origin::Source => Origin::Source,
            found::Origin::Index => Origin::Index,
            found::Origin::Url => Origin::Url,
            found::Origin::Unknown => Origin::Unknown,
        },
    });
    FoundPlatform {
        name: found.platform,
        distributions: distributions.collect(),
    }
}
