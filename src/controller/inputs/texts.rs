//! One file out of a Git repository, a ConfigMap or a spec.

use std::sync::Arc;
use std::time::Instant;

use patchset_api::common::{ConfigMapKey, GitPath};
use patchset_api::reason;
use patchset_api::referent::ObjectKey;
use upper_constraints::digest;

use super::location::{GivenContents, InputLocation};
use crate::controller::context::{Budget, Context};
use crate::plan::{Failure, Step};
use crate::recipe::Located;

/// The most keys of a ConfigMap that a message names.
const MOST_NAMED: usize = 20;

/// A file that was found.
pub type LocatedText = Located<InputLocation, Vec<u8>>;

/// Where a spec says that a file is; one of the fields is set.
#[derive(Clone, Copy, Debug)]
pub struct TextOrigin<'a> {
    pub git: Option<&'a GitPath>,
    pub config_map: Option<&'a ConfigMapKey>,
    pub inline: Option<&'a str>,
}

impl GivenContents for Vec<u8> {
    fn digest(&self) -> String {
        digest(self)
    }
}

/// Finds a file. `what` names it in messages.
pub async fn locate(
    context: &Arc<Context>,
    namespace: &str,
    what: &str,
    origin: TextOrigin<'_>,
    budget: Budget<'_>,
) -> Result<LocatedText, Failure> {
    if let Some(git) = origin.git {
        let location = InputLocation::in_git(context, namespace, what, git, budget).await?;
        return Ok(Located::At(location));
    }
    if let Some(ConfigMapKey { name, key }) = origin.config_map {
        let data = context
            .referents
            .config_map(&ObjectKey::new(namespace, name))
            .await?;
        return data
            .get(key)
            .map(|bytes| Located::Given(bytes.clone()))
            .ok_or_else(|| {
                let keys = data.keys().take(MOST_NAMED).cloned();
                let keys = keys.collect::<Vec<_>>().join(", ");
                Failure::retried(
                    Step::Source,
                    reason::INVALID_REFERENCE,
                    format!("{what}: ConfigMap {namespace}/{name} has no key {key}; it has {keys}"),
                )
            });
    }
    match origin.inline {
        Some(text) => Ok(Located::Given(text.as_bytes().to_vec())),
        None => Err(Failure::stalled(
            Step::Source,
            reason::INVALID_SPEC,
            format!("{what}: set exactly one of git, configMap and inline"),
        )),
    }
}

/// Reads a file that was found.
pub async fn read(
    context: &Arc<Context>,
    what: &str,
    located: LocatedText,
    deadline: Instant,
) -> Result<Vec<u8>, Failure> {
    match located {
        Located::Given(bytes) => Ok(bytes),
        Located::At(location) => location.read(context, what, deadline).await,
    }
}
