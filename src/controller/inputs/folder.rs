//! The folder with the Dockerfile.

use std::sync::Arc;
use std::time::Instant;

use patchset_api::build::DockerfileSource;
use patchset_api::reason;
use patchset_api::referent::ObjectKey;
use source_images::TimedStore;
use source_images::layer::{Contents, File};

use super::location::{GivenContents, InputLocation};
use super::upstreams::blocking;
use crate::controller::context::{Budget, Context};
use crate::plan::inputs_hasher::InputsHasher;
use crate::plan::{Failure, Step};
use crate::recipe::dockerfile::{files_of_config_map, files_of_spec};
use crate::recipe::{FolderContents, Located};

/// What the repository of a Dockerfile is called in messages.
pub const REPOSITORY: &str = "the Dockerfile's repository";

/// A folder that was found.
pub type LocatedFolder = Located<InputLocation, Vec<File>>;

impl GivenContents for Vec<File> {
    fn digest(&self) -> String {
        self.iter()
            .fold(InputsHasher::new("folder"), |inputs, file| {
                inputs.with(file.name.as_bytes()).with(&file.content)
            })
            .digest()
            .to_string()
    }
}

/// What identifies a folder's contents, for the digest over all inputs.
pub fn identity(located: &LocatedFolder) -> String {
    let identity = located.identity();
    // Without the kind of location.
    identity.get(1..).unwrap_or_default().join(" ")
}

/// Finds the folder.
pub async fn locate(
    context: &Arc<Context>,
    namespace: &str,
    source: &DockerfileSource,
    budget: Budget<'_>,
) -> Result<LocatedFolder, Failure> {
    if let Some(git) = &source.git {
        let location = InputLocation::in_git(context, namespace, REPOSITORY, git, budget).await?;
        return Ok(Located::At(location));
    }
    let Some(map) = &source.config_map else {
        return Ok(Located::Given(files_of_spec(source)));
    };
    let key = ObjectKey::new(namespace, &map.name);
    let data = context.referents.config_map(&key).await?;
    files_of_config_map(source, &data)
        .map(Located::Given)
        .ok_or_else(|| {
            Failure::retried(
                Step::Build,
                reason::INVALID_REFERENCE,
                format!("ConfigMap {namespace}/{} has no key {}", map.name, source.file()),
            )
        })
}

/// Opens a folder that was found.
pub async fn open(
    context: &Arc<Context>,
    located: LocatedFolder,
    deadline: Instant,
) -> Result<FolderContents, Failure> {
    match located {
        Located::Given(files) => Ok(files.into()),
        Located::At(InputLocation::Git {
            upstream,
            resolved,
            path,
            ..
        }) => {
            blocking(context, REPOSITORY, deadline, move |mirrors| {
                let snapshot = mirrors.snapshot(&upstream, &resolved, deadline)?;
                Ok(FolderContents {
                    contents: Contents {
                        tree: Some(snapshot.folder(&path)?),
                        files: Vec::new(),
                    },
                    objects: Arc::new(TimedStore::new(snapshot, deadline)),
                })
            })
            .await
        }
        Located::At(InputLocation::Artifact { .. } | InputLocation::Branch(_)) => Err(Failure::stalled(
            Step::Build,
            reason::INVALID_SPEC,
            "build.dockerfile cannot be in a Flux source",
        )),
    }
}
