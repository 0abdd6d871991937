//! Whether the registry has the image.

use patchset_api::build::BuildStatus;

use crate::cli::error::Error;
use crate::cli::registry::RegistryOptions;
use crate::plan::build::INPUTS_LABEL;

/// Whether the registry has the image.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all_fields = "camelCase")]
pub(super) enum RegistryImage {
    /// Nothing is there under the tag.
    Absent,
    /// It is there, built from these inputs: nothing would be built.
    Built {
        /// Its digest.
        digest: String,
    },
    /// The tag has an image that was built from something else.
    TagTaken {
        /// Its digest.
        digest: String,
        /// What it claims to be built from.
        inputs_digest: Option<String>,
    },
}

impl RegistryImage {
    /// Looks for the image that would be built; `None` if none would.
    pub(super) fn look(options: &RegistryOptions, build: &BuildStatus) -> Result<Option<Self>, Error> {
        let Some(target) = &build.target else {
            return Ok(None);
        };
        let target = target.to_value().map_err(source_images::Error::from)?;
        let found = options.run(|registry| async move { registry.inspect(&target).await })?;
        let Some(found) = found else {
            return Ok(Some(Self::Absent));
        };
        let inputs = found.labels.get(INPUTS_LABEL);
        Ok(Some(
            if inputs.map(String::as_str) == Some(build.inputs_digest.as_str()) {
                Self::Built {
                    digest: found.digest.to_string(),
                }
            } else {
                Self::TagTaken {
                    digest: found.digest.to_string(),
                    inputs_digest: inputs.cloned(),
                }
            },
        ))
    }
}
