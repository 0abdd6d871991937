//! An object's patches: where they are, and what is in them.

use std::sync::Arc;
use std::time::Instant;

use kube::api::DynamicObject;

use super::place::{GivenContents, InputPlace};
use super::upstreams::blocking;
use crate::api::patch_set::Patches;
use crate::api::reason;
use crate::api::reference::{ObjectKey, SourceReference};
use crate::controller::context::{Budget, Context, failures};
use crate::patch::PatchInput;
use crate::plan::inputs_hasher::InputsHasher;
use crate::plan::patch_inputs::{ENDING, of_config_map, of_spec};
use crate::plan::{Failure, Step};
use crate::recipe::Located;
use crate::source::{self, Artifact, ArtifactLimits, FileLimits, SourceFile};

/// What the repository of patches is called in messages.
pub const REPOSITORY: &str = "the patches' repository";

/// Patches that were found; `None` if the spec names none.
pub type LocatedPatches = Option<Located<InputPlace, Vec<PatchInput>>>;

impl GivenContents for Vec<PatchInput> {
    fn digest(&self) -> String {
        self.iter()
            .fold(InputsHasher::new("patches"), |inputs, patch| {
                inputs.with(patch.name.as_bytes()).with(&patch.bytes)
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

/// Finds the patches that a spec asks for.
pub async fn locate(
    context: &Arc<Context>,
    namespace: &str,
    patches: Option<&Patches>,
    budget: Budget,
) -> Result<LocatedPatches, Failure> {
    let Some(patches) = patches else {
        return Ok(None);
    };
    if let Some(git) = &patches.git {
        let place = InputPlace::in_git(context, namespace, REPOSITORY, git, budget).await?;
        return Ok(Some(Located::At(place)));
    }
    if let Some(reference) = &patches.source_ref {
        let place = in_artifact(context, namespace, reference, patches.path.as_deref())?;
        return Ok(Some(Located::At(place)));
    }
    Ok(Some(Located::Given(match &patches.config_map {
        Some(map) => {
            let key = ObjectKey::new(namespace, &map.name);
            of_config_map(&*context.references.config_map(&key).await?)
        }
        None => of_spec(patches.inline.as_deref().unwrap_or_default()),
    })))
}

fn in_artifact(
    context: &Context,
    namespace: &str,
    reference: &SourceReference,
    path: Option<&str>,
) -> Result<InputPlace, Failure> {
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
    Ok(InputPlace::Artifact {
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

/// Reads the patches, in alphabetical order of their names. A folder that is not there means that
/// none are carried.
pub async fn read(
    context: &Arc<Context>,
    located: LocatedPatches,
    deadline: Instant,
) -> Result<Vec<PatchInput>, Failure> {
    let limits = FileLimits::default();
    let place = match located {
        None => return Ok(Vec::new()),
        Some(Located::Given(patches)) => return Ok(patches),
        Some(Located::At(place)) => place,
    };
    let files = match place {
        InputPlace::Git {
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
        InputPlace::Artifact { artifact, .. } => {
            blocking(context, "the patches' artifact", deadline, move |mirrors| {
                none_where_absent(mirrors.fetch_artifact(&artifact, &ArtifactLimits::default(), deadline))
            })
            .await?
        }
    };
    // The source gives them sorted by the bytes of their names.
    Ok(files
        .into_iter()
        .map(|SourceFile { name, content }| PatchInput::new(name, content))
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

/// Reads one file from where the patches are. `field` of the spec asks for it.
pub async fn read_beside(
    context: &Arc<Context>,
    located: &LocatedPatches,
    field: &str,
    path: &str,
    deadline: Instant,
) -> Result<Vec<u8>, Failure> {
    match located {
        Some(Located::At(place)) => {
            let what = format!("reading {path} beside the patches");
            place.read_beside(context, &what, path, deadline).await
        }
        None | Some(Located::Given(_)) => Err(Failure::stalled(
            Step::Source,
            reason::INVALID_SPEC,
            format!("{field} needs patches.git or patches.sourceRef"),
        )),
    }
}
