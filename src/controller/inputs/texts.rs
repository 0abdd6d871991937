//! One file out of a Git repository, a ConfigMap or a spec, and what identifies it before it is read.

use std::sync::Arc;
use std::time::Instant;

use super::upstreams::{self, blocking};
use crate::api::common::{ConfigMapKey, GitPath};
use crate::api::reason;
use crate::constraints::digest;
use crate::controller::context::{Budget, Context};
use crate::plan::{Failure, Step};
use crate::source::{FileLimits, Resolved, Upstream};

/// Where a spec says that a file is; one of the fields is set.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub git: Option<&'a GitPath>,
    pub config_map: Option<&'a ConfigMapKey>,
    pub inline: Option<&'a str>,
}

/// A file that was found, and not necessarily read yet.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there are two for each reconciliation under way"
)]
pub enum Located {
    /// In a repository.
    Git {
        /// The repository.
        upstream: Upstream,
        /// The commit.
        resolved: Resolved,
        /// The file.
        path: String,
    },
    /// At hand.
    Given(Vec<u8>),
}

impl Located {
    /// The revision: what the repository calls it, or a digest of the contents.
    pub fn revision(&self) -> String {
        match self {
            Self::Git { resolved, .. } => resolved.revision().to_string(),
            Self::Given(bytes) => digest(bytes),
        }
    }

    /// What identifies the contents, for the digest over all inputs.
    pub fn identity(&self) -> Vec<String> {
        match self {
            Self::Git { resolved, path, .. } => {
                let git = ["git".to_owned(), resolved.commit().to_string(), path.clone()];
                git.into_iter().chain(resolved.verification()).collect()
            }
            Self::Given(_) => vec!["given".to_owned(), self.revision()],
        }
    }
}

/// Finds a file. `what` names it in messages.
pub async fn locate(
    context: &Arc<Context>,
    namespace: &str,
    what: &str,
    origin: Origin<'_>,
    budget: Budget,
) -> Result<Located, Failure> {
    if let Some(git) = origin.git {
        let (upstream, resolved) = upstreams::repository(context, namespace, what, git, budget).await?;
        return Ok(Located::Git {
            upstream,
            resolved,
            path: git.path.clone(),
        });
    }
    if let Some(ConfigMapKey { name, key }) = origin.config_map {
        let data = context.references.config_map(namespace, name).await?;
        return data
            .get(key)
            .map(|bytes| Located::Given(bytes.clone()))
            .ok_or_else(|| {
                let keys = data.keys().take(20).cloned().collect::<Vec<_>>().join(", ");
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

/// Checks the signature that a file's repository has to have; returns who signed it, in words.
pub async fn signatures(
    context: &Arc<Context>,
    what: &str,
    located: &Located,
    deadline: Instant,
) -> Result<Option<String>, Failure> {
    match located {
        Located::Given(_) => Ok(None),
        Located::Git {
            upstream, resolved, ..
        } => upstreams::signatures(context, what, upstream, resolved, deadline).await,
    }
}

/// Reads a file that was found.
pub async fn read(
    context: &Arc<Context>,
    what: &str,
    located: Located,
    deadline: Instant,
) -> Result<Vec<u8>, Failure> {
    match located {
        Located::Given(bytes) => Ok(bytes),
        Located::Git {
            upstream,
            resolved,
            path,
        } => {
            blocking(context, what, deadline, move |mirrors| {
                mirrors
                    .snapshot(&upstream, &resolved, deadline)?
                    .read_file(&path, &FileLimits::default())
            })
            .await
        }
    }
}
