//! An object's patches: where they are, and what is in them.

use std::sync::Arc;
use std::time::Instant;

use git_mirrors::{Artifact, ArtifactLimits, Resolved, Upstream, plain_path};
use kube::api::DynamicObject;
use patchset_api::PatchSetSpec;
use patchset_api::reason;
use patchset_api::referent::{ObjectKey, SourceReference};

use super::branch::BranchLocation;
use super::location::{GivenContents, InputLocation};
use super::upstreams::blocking;
use crate::controller::context::{Budget, Context, failures};
use crate::layout::{ContentLimits, FolderPatches, Series, TreeFiles};
use crate::plan::inputs_hasher::InputsHasher;
use crate::plan::patch_inputs::{of_config_map, of_spec};
use crate::plan::{Failure, Step};
use crate::recipe::Located;
use crate::source::ArtifactFiles;

/// What the repository of patches is called in messages.
pub const REPOSITORY: &str = "the patches' repository";

/// What the artifact of a Flux source is called in messages.
const ARTIFACT: &str = "the patches' artifact";

/// Patches that were found; `None` if the spec names none.
pub type LocatedPatches = Option<Located<InputLocation, FolderPatches>>;

impl GivenContents for FolderPatches {
    fn digest(&self) -> String {
        self.patches
            .iter()
            .fold(InputsHasher::new("patches"), |inputs, patch| {
                let inputs = inputs.with(patch.name.as_bytes()).with(&patch.bytes);
                match patch.strip {
                    None => inputs,
                    Some(strip) => inputs.with(format!("-p{strip}").as_bytes()),
                }
            })
            .digest()
            .to_string()
    }
}

/// What identifies the patches' contents, for the digest over all inputs.
pub fn identity(located: &LocatedPatches) -> Vec<String> {
    match located {
        None => vec!["none".to_owned()],
        Some(located) => located.identity(),
    }
}

/// Finds the patches that a spec asks for. Those of a branch are for an upstream's commit: [`onto`]
/// says which.
pub async fn locate(
    context: &Arc<Context>,
    namespace: &str,
    spec: &PatchSetSpec,
    budget: Budget<'_>,
) -> Result<LocatedPatches, Failure> {
    let Some(patches) = &spec.patches else {
        return Ok(None);
    };
    if let Some(branch) = &patches.branch {
        let location = BranchLocation::find(context, namespace, (branch, &spec.upstream), budget).await?;
        return Ok(Some(Located::At(InputLocation::Branch(location))));
    }
    if let Some(git) = &patches.git {
        let location = InputLocation::in_git(context, namespace, REPOSITORY, git, budget).await?;
        return Ok(Some(Located::At(location)));
    }
    if let Some(reference) = &patches.source_ref {
        let location = in_artifact(context, namespace, reference, patches.path.as_deref())?;
        return Ok(Some(Located::At(location)));
    }
    Ok(Some(Located::Given(match &patches.config_map {
        Some(map) => {
            let key = ObjectKey::new(namespace, &map.name);
            let found = of_config_map(&*context.referents.config_map(&key).await?);
            found.map_err(|error| failures::layout_failure(&format!("ConfigMap {key}"), &error))?
        }
        None => of_spec(patches.inline.as_deref().unwrap_or_default()),
    })))
}

/// Finds a path in what a Flux source published last.
///
/// # Errors
///
/// If the source does not exist, has published nothing yet, or may not be named.
pub fn in_artifact(
    context: &Context,
    namespace: &str,
    reference: &SourceReference,
    path: Option<&str>,
) -> Result<InputLocation, Failure> {
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
    let source = context.referents.source(of, reference)?;
    let name = format!("{} {of}/{}", reference.kind.kind(), reference.name);
    let [url, digest, revision] = artifact_of(&source).ok_or_else(|| {
        Failure::retried(
            Step::Source,
            reason::ARTIFACT_NOT_READY,
            format!("{name} has no artifact yet"),
        )
    })?;
    let url = url
        .parse()
        .map_err(|error| failures::mirror_failure(&name, &error))?;
    let path = path.unwrap_or_default().to_owned();
    Ok(InputLocation::Artifact {
        artifact: Artifact {
            url,
            digest,
            path,
            suffix: String::new(),
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

/// The patches for a commit of the upstream.
pub fn onto(located: LocatedPatches, upstream: &Upstream, resolved: &Resolved) -> LocatedPatches {
    match located {
        Some(Located::At(InputLocation::Branch(branch))) => Some(Located::At(InputLocation::Branch(
            branch.onto(upstream, resolved),
        ))),
        located => located,
    }
}

/// Reads the patches, in the order in which they apply. A missing folder means that none are
/// carried, as in the layout of `patches/<component>/<release>`.
pub async fn read(
    context: &Arc<Context>,
    located: LocatedPatches,
    deadline: Instant,
) -> Result<FolderPatches, Failure> {
    let limits = ContentLimits::default();
    let location = match located {
        None => return Ok(FolderPatches::default()),
        Some(Located::Given(patches)) => return Ok(patches),
        Some(Located::At(location)) => location,
    };
    let (what, read) = match location {
        InputLocation::Git {
            upstream,
            resolved,
            path,
            ..
        } => {
            let read = blocking(context, REPOSITORY, deadline, move |mirrors| {
                let snapshot = mirrors.snapshot(&upstream, &resolved, deadline)?;
                let files = TreeFiles::new(&snapshot, snapshot.tree_id());
                Ok(FolderPatches::read(&files, &plain_path(&path)?, &limits))
            });
            (REPOSITORY, read.await?)
        }
        InputLocation::Branch(branch) => return branch.read(context, deadline).await,
        InputLocation::Artifact { artifact, .. } => {
            let read = blocking(context, ARTIFACT, deadline, move |mirrors| {
                let opened = mirrors.open_artifact(&artifact, &ArtifactLimits::default(), deadline)?;
                let files = ArtifactFiles::new(opened);
                let series = match Series::read(&files, &plain_path(&artifact.path)?) {
                    Ok(Some(series)) => series,
                    Ok(None) => return Ok(Ok(FolderPatches::default())),
                    Err(error) => return Ok(Err(error)),
                };
                files.keep(&series.patches.iter().map(|patch| patch.path.clone()).collect())?;
                Ok(series.read_patches(&files, &limits))
            });
            (ARTIFACT, read.await?)
        }
    };
    read.map_err(|error| failures::layout_failure(what, &error))
}

/// Reads one file from where the patches are. `field` of the spec asks for it.
pub async fn read_beside(
    context: &Arc<Context>,
    located: &LocatedPatches,
    field: &str,
    path: &str,
    deadline: Instant,
) -> Result<Vec<u8>, Failure> {
    match located {
        Some(Located::At(location)) => {
            let what = format!("reading {path} next to the patches");
            location.read_beside(context, &what, path, deadline).await
        }
        None | Some(Located::Given(_)) => Err(Failure::stalled(
            Step::Source,
            reason::INVALID_SPEC,
            format!("{field} needs patches.git or patches.sourceRef"),
        )),
    }
}
