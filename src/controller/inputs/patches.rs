//! Where an object's patches are, and what identifies them before they are read.

use std::sync::Arc;
use std::time::Instant;

use kube::api::DynamicObject;

use super::upstreams::{self, blocking};
use crate::api::common::GitPath;
use crate::api::patch_set::Patches;
use crate::api::reason;
use crate::api::reference::SourceReference;
use crate::controller::context::{Budget, Context, failures};
use crate::patch::PatchInput;
use crate::plan::inputs::Inputs;
use crate::plan::patches::{ENDING, of_config_map, of_spec};
use crate::plan::{Failure, Step};
use crate::source::{self, Artifact, ArtifactLimits, FileLimits, Resolved, SourceFile, Upstream};

/// What the repository of patches is called in messages.
pub const REPOSITORY: &str = "the patches' repository";

/// Patches that were found, and not necessarily read yet.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for each reconciliation under way"
)]
pub enum Located {
    /// None are carried.
    None,
    /// In a folder of a repository.
    Git {
        /// The repository.
        upstream: Upstream,
        /// The commit.
        resolved: Resolved,
        /// The folder.
        path: String,
    },
    /// In a folder of a Flux source's artifact.
    Artifact {
        /// The artifact, and the folder in it.
        artifact: Artifact,
        /// Its revision, as Flux names it.
        revision: String,
    },
    /// At hand.
    Given(Vec<PatchInput>),
}

impl Located {
    /// The revision of the patches: what their origin calls it, or a digest of their contents.
    pub fn revision(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Git { resolved, .. } => Some(resolved.revision().to_string()),
            Self::Artifact { revision, .. } => Some(revision.clone()),
            Self::Given(patches) => Some(contents_digest(patches)),
        }
    }

    /// What identifies the patches' contents, for the digest over all inputs.
    pub fn identity(&self) -> Vec<String> {
        match self {
            Self::None => vec!["none".to_owned()],
            Self::Git { resolved, path, .. } => {
                let git = ["git".to_owned(), resolved.commit().to_string(), path.clone()];
                git.into_iter().chain(resolved.verification()).collect()
            }
            Self::Artifact { artifact, .. } => {
                vec![
                    "artifact".to_owned(),
                    artifact.digest.clone(),
                    artifact.path.clone(),
                ]
            }
            Self::Given(patches) => vec!["given".to_owned(), contents_digest(patches)],
        }
    }
}

fn contents_digest(patches: &[PatchInput]) -> String {
    patches
        .iter()
        .fold(Inputs::new("patches"), |inputs, patch| {
            inputs.with(patch.name.as_bytes()).with(&patch.bytes)
        })
        .digest()
        .to_string()
}

/// Finds the patches that a spec asks for.
pub async fn locate(
    context: &Arc<Context>,
    namespace: &str,
    patches: Option<&Patches>,
    budget: Budget,
) -> Result<Located, Failure> {
    let Some(patches) = patches else {
        return Ok(Located::None);
    };
    if let Some(git) = &patches.git {
        return in_git(context, namespace, git, budget).await;
    }
    if let Some(reference) = &patches.source_ref {
        return in_artifact(context, namespace, reference, patches.path.as_deref());
    }
    if let Some(config_map) = &patches.config_map {
        return Ok(Located::Given(of_config_map(
            &*context.references.config_map(namespace, &config_map.name).await?,
        )));
    }
    Ok(Located::Given(of_spec(
        patches.inline.as_deref().unwrap_or_default(),
    )))
}

async fn in_git(
    context: &Arc<Context>,
    namespace: &str,
    git: &GitPath,
    budget: Budget,
) -> Result<Located, Failure> {
    let (upstream, resolved) = upstreams::repository(context, namespace, REPOSITORY, git, budget).await?;
    Ok(Located::Git {
        upstream,
        resolved,
        path: git.path.clone(),
    })
}

fn in_artifact(
    context: &Context,
    namespace: &str,
    reference: &SourceReference,
    path: Option<&str>,
) -> Result<Located, Failure> {
    let of = reference.namespace.as_deref().unwrap_or(namespace);
    if of != namespace && context.options.no_cross_namespace_refs {
        return Err(Failure::stalled(
            Step::Source,
            reason::ACCESS_DENIED,
            format!(
                "patches.sourceRef names {} {of}/{}: references to other namespaces are not allowed here",
                reference.kind.kind(),
                reference.name
            ),
        ));
    }
    let source = context.references.source(of, reference)?;
    let name = format!("{} {of}/{}", reference.kind.kind(), reference.name);
    let [url, digest, revision] = artifact_of(&source).ok_or_else(|| {
        Failure::retried(
            Step::Source,
            reason::ARTIFACT_NOT_READY,
            format!("{name} has no artifact yet"),
        )
    })?;
    let url = url.parse().map_err(|error| failures::of_source(&name, &error))?;
    let path = path.unwrap_or_default().to_owned();
    Ok(Located::Artifact {
        artifact: Artifact {
            url,
            digest,
            path,
            suffix: ENDING.to_owned(),
        },
        revision,
    })
}

/// Address, digest and revision of the artifact in a Flux source's status.
fn artifact_of(source: &DynamicObject) -> Option<[String; 3]> {
    let artifact = source.data.get("status")?.get("artifact")?;
    let field = |name: &str| artifact.get(name)?.as_str().map(ToOwned::to_owned);
    Some([field("url")?, field("digest")?, field("revision")?])
}

/// Reads the patches, in alphabetical order of their names. A folder that is not there means that none are
/// carried.
pub async fn read(
    context: &Arc<Context>,
    located: Located,
    deadline: Instant,
) -> Result<Vec<PatchInput>, Failure> {
    let limits = FileLimits::default();
    let files = match located {
        Located::None => return Ok(Vec::new()),
        Located::Given(patches) => return Ok(patches),
        Located::Git {
            upstream,
            resolved,
            path,
        } => {
            blocking(context, REPOSITORY, deadline, move |mirrors| {
                none_where_absent(
                    mirrors
                        .snapshot(&upstream, &resolved, deadline)?
                        .read_dir(&path, ENDING, &limits),
                )
            })
            .await?
        }
        Located::Artifact { artifact, .. } => {
            blocking(context, "the patches' artifact", deadline, move |mirrors| {
                none_where_absent(mirrors.fetch_artifact(&artifact, &ArtifactLimits::default(), deadline))
            })
            .await?
        }
    };
    // The source gives them sorted by the bytes of their names.
    Ok(files
        .into_iter()
        .map(|SourceFile { name, content }| PatchInput { name, bytes: content })
        .collect())
}

/// A folder that is absent holds no patches, as in the layout of `patches/<component>/<release>`.
fn none_where_absent(
    files: Result<Vec<SourceFile>, source::Error>,
) -> Result<Vec<SourceFile>, source::Error> {
    match files {
        Err(source::Error::FileNotFound { .. }) => Ok(Vec::new()),
        files => files,
    }
}

/// Reads one file from where the patches are.
pub async fn read_beside(
    context: &Arc<Context>,
    located: &Located,
    path: &str,
    deadline: Instant,
) -> Result<Vec<u8>, Failure> {
    let (what, path) = (format!("reading {path} beside the patches"), path.to_owned());
    match located.clone() {
        Located::Git {
            upstream, resolved, ..
        } => {
            blocking(context, &what, deadline, move |mirrors| {
                mirrors
                    .snapshot(&upstream, &resolved, deadline)?
                    .read_file(&path, &FileLimits::default())
            })
            .await
        }
        Located::Artifact { artifact, .. } => {
            let name = path.clone();
            let files = blocking(context, &what, deadline, move |mirrors| {
                let file = Artifact {
                    path,
                    suffix: String::new(),
                    ..artifact
                };
                mirrors.fetch_artifact(&file, &ArtifactLimits::default(), deadline)
            })
            .await?;
            files.into_iter().next().map(|file| file.content).ok_or_else(|| {
                Failure::retried(
                    Step::Source,
                    reason::PATH_NOT_FOUND,
                    format!("the artifact has no {name}"),
                )
            })
        }
        Located::None | Located::Given(_) => Err(Failure::stalled(
            Step::Source,
            reason::INVALID_SPEC,
            "upstream.refFrom needs patches.git or patches.sourceRef",
        )),
    }
}
