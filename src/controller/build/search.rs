//! Looks for the image that was planned.

use super::inspection;
use crate::api::build::{BuildStatus, ImageStatus};
use crate::api::reason;
use crate::controller::context::Pace;
use crate::controller::inputs::registries::in_time;
use crate::plan::build::{INPUTS_LABEL, image};
use crate::plan::{Failure, Step};
use crate::publish::{Layers, Registry};

/// Where the image is looked for.
pub struct Search<'a> {
    pub registry: &'a Registry,
    pub layers: &'a Layers,
    pub target: &'a str,
    pub revision: &'a str,
    /// Whether the image is looked into.
    pub is_checked: bool,
    /// The image as the status tells it.
    pub known: Option<&'a ImageStatus>,
    pub pace: Pace,
}

impl Search<'_> {
    /// The image that was planned, once the registry has it; its further tags are moved to it. One that does not count
    /// is noted in the plan.
    pub async fn image(&self, planned: &mut BuildStatus) -> Result<Option<ImageStatus>, Failure> {
        let looked = self.registry.inspect(self.target);
        let Some(found) = in_time(self.pace, "looking for the image", looked).await? else {
            planned.rejected = None;
            return Ok(None);
        };
        let inputs = found.labels.get(INPUTS_LABEL);
        if inputs != Some(&planned.inputs_digest) {
            return Err(Failure::retried(
                Step::Build,
                reason::TAG_TAKEN,
                taken(planned, self.target, inputs),
            ));
        }
        let mut image = image(planned, self.target, &found.digest, self.revision);
        if let Some(known) = self.known.filter(|known| known.reference == image.reference) {
            image.installed.clone_from(&known.installed);
            image.sbom.clone_from(&known.sbom);
        }
        if self.is_checked && image.installed.is_none() {
            image.installed =
                Some(inspection::look(self.registry, self.layers, planned, &image, self.pace).await?);
        }
        planned.rejected = None;
        if !image.moving_tags.is_empty() {
            let by_digest = format!("{}@{}", image.repository, image.digest);
            let moved = self.registry.tag(&by_digest, &image.moving_tags);
            in_time(self.pace, "moving the image's further tags", moved).await?;
        }
        Ok(Some(image))
    }
}

fn taken(status: &BuildStatus, target: &str, inputs: Option<&String>) -> String {
    let what = match inputs {
        Some(inputs) => format!("is built from {inputs}"),
        None => format!("has no label {INPUTS_LABEL}"),
    };
    format!(
        "the registry has {target}, which {what}, and not from {0}: build it with --label {INPUTS_LABEL}={0}, or use {{inputs}} in build.image.tag",
        status.inputs_digest
    )
}
