//! The folder with the Dockerfile, and what identifies it before it is read.

use std::sync::Arc;

use super::upstreams;
use crate::api::build::DockerfileSource;
use crate::api::reason;
use crate::controller::context::{Budget, Context};
use crate::plan::inputs::Inputs;
use crate::plan::{Failure, Step};
use crate::publish::layer::File;
use crate::source::{Resolved, Upstream};

/// What the repository of a Dockerfile is called in messages.
pub const REPOSITORY: &str = "the Dockerfile's repository";

/// A folder that was found, and not necessarily read yet.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for each reconciliation under way"
)]
pub enum Folder {
    /// In a repository.
    Git {
        /// The repository.
        upstream: Upstream,
        /// The commit.
        resolved: Resolved,
        /// The folder.
        path: String,
    },
    /// At hand.
    Given(Vec<File>),
}

impl Folder {
    /// What identifies the contents, for the digest over all inputs.
    pub fn identity(&self) -> String {
        match self {
            Self::Git { resolved, path, .. } => match resolved.verification() {
                Some(verification) => format!("{} {path} {verification}", resolved.commit()),
                None => format!("{} {path}", resolved.commit()),
            },
            Self::Given(files) => files
                .iter()
                .fold(Inputs::new("folder"), |inputs, file| {
                    inputs.with(file.name.as_bytes()).with(&file.content)
                })
                .digest()
                .to_string(),
        }
    }
}

/// Finds the folder.
pub async fn locate(
    context: &Arc<Context>,
    namespace: &str,
    source: &DockerfileSource,
    budget: Budget,
) -> Result<Folder, Failure> {
    if let Some(git) = &source.git {
        let (upstream, resolved) = upstreams::repository(context, namespace, REPOSITORY, git, budget).await?;
        return Ok(Folder::Git {
            upstream,
            resolved,
            path: git.path.clone(),
        });
    }
    if let Some(map) = &source.config_map {
        let data = context.references.config_map(namespace, &map.name).await?;
        if !data.contains_key(source.file()) {
            return Err(Failure::retried(
                Step::Build,
                reason::INVALID_REFERENCE,
                format!("ConfigMap {namespace}/{} has no key {}", map.name, source.file()),
            ));
        }
        let files = data.iter().map(|(name, content)| File {
            name: name.clone(),
            content: content.clone(),
        });
        return Ok(Folder::Given(files.collect()));
    }
    Ok(Folder::Given(vec![File {
        name: source.file().to_owned(),
        content: source.inline.clone().unwrap_or_default().into_bytes(),
    }]))
}
