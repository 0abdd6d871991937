//! Gathers what a `PatchSet`'s result follows from: the upstream's commit, and what identifies its patches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use kube::ResourceExt;

use super::patch_set::Context;
use super::patches::{self, Located};
use super::{failures, secrets};
use crate::api::PatchSet;
use crate::api::common::GitRef;
use crate::api::patch_set::{Patches, RefFrom};
use crate::api::reason;
use crate::api::status::UpstreamStatus;
use crate::plan::inputs::Inputs;
use crate::plan::patch_set::Sources;
use crate::plan::{Failure, Step};
use crate::source::{self, Freshness, Mirrors, RefSpec, Resolved, Upstream};

/// Names the computation that results follow from; changed where the same inputs give another result.
const COMPUTATION: &str = "patchset/1";

/// The largest `source-refs.yaml` that is read, in bytes.
const LARGEST_REFS: usize = 1 << 20;

/// One of the refs that the patches are checked against besides the one that is built.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// The ref as the spec names it.
    pub(super) name: String,
    /// What it resolved to.
    pub(super) resolved: Result<Resolved, Failure>,
}

/// All that was gathered.
#[derive(Clone, Debug)]
pub(super) struct Gathered {
    pub(super) upstream: Upstream,
    pub(super) resolved: Resolved,
    pub(super) located: Located,
    pub(super) candidates: Vec<Candidate>,
    /// `patches.strip`.
    pub(super) strip: Option<u8>,
    /// `patches.directory`.
    pub(super) directory: Option<String>,
    merged: crate::api::patch_set::MergedPatches,
}

impl Gathered {
    /// The sources as the plan wants them.
    pub(super) fn sources(&self) -> Sources {
        let mut inputs = Inputs::new(COMPUTATION)
            .with(self.resolved.commit().to_string().as_bytes())
            .with(format!("{:?}", self.strip).as_bytes())
            .with(self.directory.as_deref().unwrap_or_default().as_bytes())
            .with(format!("{:?}", self.merged).as_bytes());
        for part in self.located.identity() {
            inputs = inputs.with(part.as_bytes());
        }
        for candidate in &self.candidates {
            let resolved = match &candidate.resolved {
                Ok(resolved) => resolved.commit().to_string(),
                Err(failure) => failure.message.clone(),
            };
            inputs = inputs.with(candidate.name.as_bytes()).with(resolved.as_bytes());
        }
        Sources {
            upstream: UpstreamStatus {
                revision: self.resolved.revision().to_string(),
                commit: self.resolved.commit().to_string(),
            },
            patches_revision: self.located.revision(),
            inputs_digest: inputs.digest(),
        }
    }
}

/// Resolves the patches' origin and the upstream. Nothing is fetched but refs, and those at most once an
/// interval for all objects on an upstream.
pub(super) async fn gather(
    patch_set: &PatchSet,
    context: &Arc<Context>,
    freshness: Freshness,
    deadline: Instant,
) -> Result<Gathered, Failure> {
    let namespace = patch_set.namespace().unwrap_or_default();
    let spec = &patch_set.spec;
    let located = patches::locate(context, &namespace, spec.patches.as_ref(), freshness, deadline).await?;
    let upstream = secrets::upstream(
        &context.references,
        &namespace,
        &spec.upstream.url,
        spec.upstream.secret_ref.as_ref(),
        spec.upstream.proxy_secret_ref.as_ref(),
    )
    .await?;
    let want = match (&spec.upstream.ref_, &spec.upstream.ref_from) {
        (Some(git), _) => git_ref(git)?,
        (None, Some(from)) => ref_from(context, &located, from, &spec.component.0, deadline).await?,
        (None, None) => {
            return Err(Failure::stalled(
                Step::Source,
                reason::INVALID_SPEC,
                "set upstream.ref or upstream.refFrom",
            ));
        }
    };
    let resolved = resolve(context, "the upstream", &upstream, &want, freshness, deadline).await?;
    let mut candidates = Vec::new();
    for candidate in &spec.candidates {
        let want = git_ref(candidate)?;
        let resolved = resolve(context, "the candidate", &upstream, &want, freshness, deadline).await;
        candidates.push(Candidate {
            name: name_of(candidate),
            resolved,
        });
    }
    let (strip, directory) = spec
        .patches
        .as_ref()
        .map_or((None, None), |Patches { strip, directory, .. }| {
            (*strip, directory.clone())
        });
    Ok(Gathered {
        upstream,
        resolved,
        located,
        candidates,
        strip,
        directory,
        merged: spec.merged_patches,
    })
}

/// The ref that a spec names.
pub(super) fn git_ref(git: &GitRef) -> Result<RefSpec, Failure> {
    let invalid = |message: String| Failure::stalled(Step::Source, reason::INVALID_SPEC, message);
    match (&git.branch, &git.tag, &git.commit, &git.semver) {
        (Some(branch), None, None, None) => Ok(RefSpec::Branch(branch.clone())),
        (None, Some(tag), None, None) => Ok(RefSpec::Tag(tag.clone())),
        (None, None, Some(commit), None) => Ok(RefSpec::Commit(commit.clone())),
        (None, None, None, Some(range)) => range
            .parse()
            .map(RefSpec::Semver)
            .map_err(|error: source::Error| invalid(format!("ref.semver: {error}"))),
        _ => Err(invalid(
            "set exactly one of branch, tag, commit and semver".to_owned(),
        )),
    }
}

fn name_of(git: &GitRef) -> String {
    [&git.branch, &git.tag, &git.commit, &git.semver]
        .into_iter()
        .flatten()
        .next()
        .cloned()
        .unwrap_or_default()
}

/// Reads a component's ref from a `source-refs.yaml`.
async fn ref_from(
    context: &Arc<Context>,
    located: &Located,
    from: &RefFrom,
    component: &str,
    deadline: Instant,
) -> Result<RefSpec, Failure> {
    let invalid = |message: String| Failure::stalled(Step::Source, reason::INVALID_REFERENCE, message);
    let key = from.key.as_deref().unwrap_or(component);
    let bytes = patches::read_beside(context, located, &from.path, deadline).await?;
    if bytes.len() > LARGEST_REFS {
        return Err(invalid(format!(
            "{} has {} bytes, more than {LARGEST_REFS}",
            from.path,
            bytes.len()
        )));
    }
    let text = String::from_utf8(bytes).map_err(|_| invalid(format!("{} is not UTF-8", from.path)))?;
    let refs: BTreeMap<String, serde_json::Value> = serde_saphyr::from_str(&text).map_err(|error| {
        invalid(format!(
            "{} is no mapping of components to refs: {error}",
            from.path
        ))
    })?;
    match refs.get(key) {
        Some(serde_json::Value::String(value)) if !value.is_empty() => Ok(RefSpec::Any(value.clone())),
        Some(serde_json::Value::Number(value)) => Err(invalid(format!(
            "{}: the ref of {key} is read as the number {value}; put it in quotes",
            from.path
        ))),
        Some(_) => Err(invalid(format!("{}: the ref of {key} is no text", from.path))),
        None => Err(invalid(format!(
            "{} has no entry {key:?}; it has {}",
            from.path,
            refs.keys().take(20).cloned().collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// Resolves a ref, looking at the upstream where that is due.
pub(super) async fn resolve(
    context: &Arc<Context>,
    what: &str,
    upstream: &Upstream,
    want: &RefSpec,
    freshness: Freshness,
    deadline: Instant,
) -> Result<Resolved, Failure> {
    let (upstream, want) = (upstream.clone(), want.clone());
    blocking(context, what, deadline, move |mirrors| {
        mirrors.resolve(&upstream, &want, freshness, deadline)
    })
    .await
}

/// Runs work on the mirrors off the async threads, and gives up at the deadline.
///
/// The work has the deadline too, and ends by itself soon after.
pub(super) async fn blocking<T: Send + 'static>(
    context: &Arc<Context>,
    what: &str,
    deadline: Instant,
    work: impl FnOnce(&Mirrors) -> Result<T, source::Error> + Send + 'static,
) -> Result<T, Failure> {
    let mirrors = Arc::clone(&context.mirrors);
    let task = tokio::task::spawn_blocking(move || work(&mirrors));
    match tokio::time::timeout_at(deadline.into(), task).await {
        Ok(Ok(result)) => result.map_err(|error| failures::of_source(what, &error)),
        Ok(Err(interrupted)) => Err(failures::of_task(&interrupted)),
        Err(_) => Err(Failure::retried(
            Step::Source,
            reason::TIMED_OUT,
            format!("{what}: no answer within spec.timeout"),
        )),
    }
}
