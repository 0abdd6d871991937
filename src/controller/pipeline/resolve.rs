//! Resolves what a `PatchSet`'s result follows from: the upstream's commit, and what identifies its
//! patches.

use std::sync::Arc;
use std::time::Instant;

use git_mirrors::{RefSpec, Resolved, Upstream};
use kube::ResourceExt;
use patchset_api::common::GitRef;
use patchset_api::patch_set::{Patches, RefFrom};
use patchset_api::reason;
use patchset_api::source_refs::SourceRefs;
use patchset_api::status::{CandidateStatus, PatchSetStatus, UpstreamStatus};
use patchset_api::{InputsDigest, PatchSet, Recorded};

use crate::controller::context::turn::Turn;
use crate::controller::context::{Budget, Context};
use crate::controller::inputs::ingredients::{Ingredients, NotBuildable};
use crate::controller::inputs::patches::LocatedPatches;
use crate::controller::inputs::upstreams::git_ref;
use crate::controller::inputs::{folder, ingredients, patches, upstreams};
use crate::plan::inputs_hasher::InputsHasher;
use crate::plan::lifecycle::has_results_for;
use crate::plan::patch_set::Sources;
use crate::plan::{Failure, Step};
use crate::recipe::{Located, last_request};
use crate::source::api_revision;

/// Names the computation that results follow from; changed when the same inputs give another
/// result.
const COMPUTATION: &str = "patchset/2";

/// Stands in the digest for what a build is made from, if it cannot be built.
const NOT_BUILDABLE: &str = "not buildable";

/// One of the refs that the patches are checked against besides the one that is built.
#[derive(Clone, Debug)]
pub struct CandidateRef {
    /// The ref as the spec names it.
    pub name: String,
    /// What it resolved to.
    pub resolved: Result<Resolved, Failure>,
}

impl CandidateRef {
    /// Whether a status reports exactly this. One that could not be tried is tried again.
    pub fn matches_status(&self, known: &CandidateStatus) -> bool {
        known.ref_ == self.name
            && match &self.resolved {
                Ok(resolved) => {
                    known.applied.is_some()
                        && known.revision == Some(Recorded::new(api_revision(resolved.revision())))
                }
                Err(failure) => known.revision.is_none() && known.message.as_ref() == Some(&failure.message),
            }
    }
}

/// All that was gathered.
#[derive(Clone, Debug)]
pub struct ResolvedInputs {
    pub upstream: Upstream,
    pub resolved: Resolved,
    pub located: LocatedPatches,
    pub candidates: Vec<CandidateRef>,
    /// `patches.strip`.
    pub strip: Option<u8>,
    /// `patches.directory`.
    pub directory: Option<String>,
    /// What identifies the files that the build reads beside the patches, if they are in a
    /// repository: that of `build.extraPackagesFrom`, and those of `excludes` of tests.
    files_beside: Vec<String>,
    /// The annotation `reconcile.fluxcd.io/forceAt`, or what it was when it was last there.
    pub requested: Option<String>,
    /// What the image is built from besides the component.
    pub ingredients: Result<Ingredients, NotBuildable>,
}

impl ResolvedInputs {
    /// The sources as the plan wants them.
    ///
    /// The candidates are not part of the digest: their outcome says nothing about the series that
    /// is built.
    ///
    /// If a status has the results of the same generation and inputs, the patches' revision is the
    /// one that it names: a commit that changes other files is no news for these.
    pub fn sources(&self, patch_set: &PatchSet, status: &PatchSetStatus) -> Sources {
        let spec = &patch_set.spec;
        let commit = self.resolved.commit().to_string();
        let mut inputs = InputsHasher::new(COMPUTATION)
            .with(commit.as_bytes())
            .with(strip_identity(self.strip).as_bytes())
            .with(self.directory.as_deref().unwrap_or_default().as_bytes())
            .with(spec.merged_patches.as_str().as_bytes());
        for part in patches::identity(&self.located) {
            inputs = inputs.with(part.as_bytes());
        }
        if let Some(verification) = self.resolved.verification() {
            inputs = inputs.with(verification.as_bytes());
        }
        if let Some(template) = &spec.upstream.commit_url_template {
            inputs = inputs.with(template.as_bytes());
        }
        for file in &self.files_beside {
            inputs = inputs.with(file.as_bytes());
        }
        if let Some(build) = &spec.build {
            inputs = inputs
                .with_json(build)
                .with(self.requested.as_deref().unwrap_or_default().as_bytes());
            // The reason why there are none may be worded differently each time.
            let identity = self.ingredients.as_ref().map(Ingredients::identity);
            for part in identity.unwrap_or_else(|_| vec![NOT_BUILDABLE.to_owned()]) {
                inputs = inputs.with(part.as_bytes());
            }
        }
        let inputs_digest = inputs.digest();
        let is_same_result = has_results_for(status, patch_set.metadata.generation, &inputs_digest);
        let told = status.patches_revision.clone().filter(|_| is_same_result);
        Sources {
            upstream: UpstreamStatus::new(api_revision(self.resolved.revision())),
            patches_revision: self
                .located
                .as_ref()
                .map(|located| told.unwrap_or_else(|| located.revision())),
            inputs_digest,
            signatures: None,
        }
    }

    /// Whether a status reports exactly these candidates, at the commits that they have.
    pub fn candidates_match_status(&self, status: &PatchSetStatus) -> bool {
        let known = &status.candidates;
        let pairs = self.candidates.iter().zip(known);
        self.candidates.len() == known.len()
            && pairs.into_iter().all(|(one, known)| one.matches_status(known))
    }

    /// Checks all signatures that the spec asks for; returns who signed what, in words. `None` if
    /// none is asked for.
    pub async fn signatures(
        &self,
        context: &Arc<Context>,
        deadline: Instant,
    ) -> Result<Option<String>, Failure> {
        let (upstream, resolved) = (&self.upstream, &self.resolved);
        let of_upstream =
            upstreams::signatures(context, "the upstream", upstream, resolved, deadline).await?;
        let of_patches = match &self.located {
            Some(located) => located.signatures(context, patches::REPOSITORY, deadline).await?,
            None => None,
        };
        let of_dockerfile = match self.ingredients.as_ref().map(|found| &found.dockerfile) {
            Ok(Some(located)) => located.signatures(context, folder::REPOSITORY, deadline).await?,
            Ok(None) | Err(_) => None,
        };
        Ok(upstreams::joined([of_upstream, of_patches, of_dockerfile]))
    }
}

/// Resolves all refs.
///
/// If the result differs from the status, it resolves again with a look as new as an upstream
/// allows: another controller may have seen a newer state, and a stale look would overwrite it.
pub async fn resolve(turn: &Turn<'_, PatchSet>) -> Result<ResolvedInputs, Failure> {
    let resolved = resolve_within(turn, turn.budget).await?;
    let status = turn.status();
    let found = resolved.sources(turn.object, &status).inputs_digest;
    let matches_status = |known: &InputsDigest| *known == found && resolved.candidates_match_status(&status);
    if status.inputs_digest.as_ref().is_none_or(matches_status) {
        return Ok(resolved);
    }
    match turn.budget.with_newest_looks() {
        Some(budget) => resolve_within(turn, budget).await,
        None => Ok(resolved),
    }
}

/// Resolves the patches' origin and the upstream. Refs are looked at once per interval for all
/// objects on an upstream, and a commit of the patches' repository is fetched once for all that
/// read it; nothing else is fetched.
async fn resolve_within(turn: &Turn<'_, PatchSet>, budget: Budget<'_>) -> Result<ResolvedInputs, Failure> {
    let (patch_set, context) = (turn.object, turn.context);
    let namespace = patch_set.namespace().unwrap_or_default();
    let spec = &patch_set.spec;
    let located = patches::locate(context, &namespace, spec, budget).await?;
    let upstream = upstreams::of_patch_set(context, &namespace, &spec.upstream).await?;
    let want = match (&spec.upstream.ref_, &spec.upstream.ref_from) {
        (Some(git), _) => git_ref(git)?,
        (None, Some(from)) => ref_from(context, &located, from, &spec.component.0, budget.deadline).await?,
        (None, None) => {
            return Err(Failure::stalled(
                Step::Source,
                reason::INVALID_SPEC,
                "set upstream.ref or upstream.refFrom",
            ));
        }
    };
    let resolved = upstreams::resolve(context, "the upstream", &upstream, &want, budget).await?;
    let verify = spec.upstream.verify.as_ref();
    let resolved = upstreams::signed(&context.referents, &namespace, verify, resolved).await?;
    let located = patches::onto(located, &upstream, &resolved);
    let mut candidates = Vec::new();
    for candidate in &spec.candidates {
        let want = git_ref(candidate)?;
        let resolved = upstreams::resolve(context, "the candidate", &upstream, &want, budget).await;
        candidates.push(CandidateRef {
            name: candidate_name(candidate),
            resolved,
        });
    }
    let files_beside = files_beside(turn, &located, budget).await?;
    let (strip, directory) = spec
        .patches
        .as_ref()
        .map_or((None, None), |Patches { strip, directory, .. }| {
            (*strip, directory.clone())
        });
    Ok(ResolvedInputs {
        upstream,
        resolved,
        located,
        candidates,
        strip,
        directory,
        files_beside,
        ingredients: ingredients::find(patch_set, context, budget).await,
        requested: last_request(patch_set, patch_set.status.as_ref()),
    })
}

/// What identifies the files that the build reads beside the patches, if they are in a repository:
/// the identity of the patches covers only their own folder.
async fn files_beside(
    turn: &Turn<'_, PatchSet>,
    located: &LocatedPatches,
    budget: Budget<'_>,
) -> Result<Vec<String>, Failure> {
    let (Some(build), Some(Located::At(location))) = (&turn.object.spec.build, located) else {
        return Ok(Vec::new());
    };
    let packages = build.extra_packages_from.iter().map(|from| &from.path);
    let excludes = build.tests.iter().filter_map(|test| test.excludes.as_ref());
    let mut identities = Vec::new();
    for path in packages.chain(excludes.map(|excludes| &excludes.path)) {
        let found = location.content_beside(turn.context, patches::REPOSITORY, path, budget.deadline);
        identities.extend(found.await?);
    }
    Ok(identities)
}

/// How the digests in statuses represent `patches.strip`.
fn strip_identity(strip: Option<u8>) -> String {
    match strip {
        None => "None".to_owned(),
        Some(strip) => format!("Some({strip})"),
    }
}

fn candidate_name(git: &GitRef) -> String {
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
    located: &LocatedPatches,
    from: &RefFrom,
    component: &str,
    deadline: Instant,
) -> Result<RefSpec, Failure> {
    let key = from.key.as_deref().unwrap_or(component);
    let bytes = patches::read_beside(context, located, "upstream.refFrom", &from.path, deadline).await?;
    let refs = SourceRefs::parse(&bytes);
    let found = refs.and_then(|refs| refs.get(key).map(|value| RefSpec::Any(value.to_owned())));
    found.map_err(|error| {
        Failure::retried(
            Step::Source,
            reason::INVALID_REFERENCE,
            format!("{}: {error}", from.path),
        )
    })
}
