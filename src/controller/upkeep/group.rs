//! The `PatchSet`s that share a branch, and what they say.

use std::sync::Arc;

use git_apply_engine::Options;
use git_mirrors::{RefSpec, RepoUrl, Resolved, Upstream};
use kube::ResourceExt;
use patchset_api::conditions::{self, Truth};
use patchset_api::reason::condition;
use patchset_api::referent::{ObjectKey, Referent, ReferentKind};
use patchset_api::upkeep::{Upkeep, UpkeepAction};
use patchset_api::{InputsDigest, PatchSet, PatchSetSpec};

use super::tried_series::{Refreshing, TriedSeries};
use crate::controller::context::{Budget, Context};
use crate::controller::inputs::upstreams::{git_ref, of_patch_set, resolve, signed};
use crate::controller::state::api_server::find;
use crate::controller::state::dependents::Dependency;
use crate::controller::state::referents::Referents;
use crate::controller::state::upkeeps::UpkeepBranch;
use crate::plan::Failure;
use crate::plan::inputs_hasher::InputsHasher;
use crate::upkeep::{SeriesFacts, UpkeepOutcome, UpkeepPlace};

/// The `PatchSet`s of a namespace that read their patches from the same repository, at least one of
/// which asks for a pull request.
pub struct Group {
    /// Those that share the branch, by name; the first says how the request is opened.
    proposing: Vec<(PatchSet, UpkeepPlace)>,
    /// All that read from the base, including those.
    readers: Vec<PatchSet>,
}

impl UpkeepBranch {
    /// The branch of a `PatchSet`'s upkeep.
    pub fn new(namespace: &str, place: &UpkeepPlace) -> Self {
        Self {
            namespace: namespace.to_owned(),
            repository: location(&place.url),
            branch: place.branch.clone(),
        }
    }
}

/// The form of an address that is the same however the repository is reached; the text itself if it
/// is no address.
fn location(url: &str) -> String {
    let parsed = url.parse::<RepoUrl>();
    parsed.map_or_else(|_| url.to_owned(), |parsed| parsed.location())
}

fn patches_url(spec: &PatchSetSpec) -> Option<&str> {
    Some(spec.patches.as_ref()?.git.as_ref()?.url.as_str())
}

impl Group {
    /// Finds the group of a branch. `newer` takes precedence over what the watch showed of an
    /// object. `None` if no object asks for a request.
    pub fn find(context: &Context, branch: &UpkeepBranch, newer: &[PatchSet]) -> Option<Self> {
        let dependency = Dependency::Repository {
            namespace: branch.namespace.clone(),
            location: branch.repository.clone(),
        };
        let named = context.dependents.on(&dependency).into_iter();
        let named = named.filter(|object| object.kind == ReferentKind::PatchSet);
        let known = named.filter_map(|object| {
            let known = find(&context.patch_sets, &object.key)?;
            known.0.as_ref().ok().cloned()
        });
        let is_newer = |known: &PatchSet| newer.iter().any(|newer| newer.name_any() == known.name_any());
        let mut all: Vec<PatchSet> = known.filter(|known| !is_newer(known)).collect();
        all.extend(newer.iter().cloned());
        all.retain(|object| {
            object.metadata.deletion_timestamp.is_none()
                && patches_url(&object.spec).is_some_and(|url| location(url) == branch.repository)
        });
        all.sort_by_key(ResourceExt::name_any);
        Self::of_branch(branch, all)
    }

    fn of_branch(branch: &UpkeepBranch, all: Vec<PatchSet>) -> Option<Self> {
        let proposing: Vec<(PatchSet, UpkeepPlace)> = all
            .iter()
            .filter(|object| !object.spec.suspend)
            .filter_map(|object| {
                let place = UpkeepPlace::from_spec(&object.spec).ok().flatten()?;
                (place.branch == branch.branch).then(|| (object.clone(), place))
            })
            .collect();
        let (_, first) = proposing.first()?;
        let readers = all.into_iter().filter(|object| {
            let place = UpkeepPlace {
                url: patches_url(&object.spec).unwrap_or_default().to_owned(),
                ..first.clone()
            };
            place.is_read_by(&object.spec)
        });
        Some(Self {
            readers: readers.collect(),
            proposing,
        })
    }

    /// The address of the repository.
    pub fn url(&self) -> &str {
        self.place().map_or("", |place| place.url.as_str())
    }

    /// The branch that is to be changed; `None` for the default branch.
    pub fn base(&self) -> Option<&str> {
        self.place()?.base.as_deref()
    }

    fn place(&self) -> Option<&UpkeepPlace> {
        self.proposing.first().map(|(_, place)| place)
    }

    /// How the request is opened, and by whom commits are made.
    pub fn options(&self) -> Option<&Upkeep> {
        let (first, _) = self.proposing.first()?;
        first.spec.upkeep.as_deref()
    }

    /// The spec of the first that asks for a request.
    pub fn spec(&self) -> Option<&PatchSetSpec> {
        self.proposing.first().map(|(first, _)| &first.spec)
    }

    /// The name of one that shares the branch, and of one that wants another base for it.
    pub fn disagreement(&self) -> Option<(String, String)> {
        let (first, place) = self.proposing.first()?;
        let other = self.proposing.iter().find(|(_, other)| {
            let [Some(one), Some(other)] = [&place.base, &other.base] else {
                return false;
            };
            one != other
        });
        other.map(|(other, _)| (first.name_any(), other.name_any()))
    }

    /// What each says of its series.
    ///
    /// One that is suspended, or whose sources fail, has a say in the folder that it reads, and is
    /// not waited for.
    pub fn facts(&self) -> Vec<SeriesFacts> {
        let facts = self.readers.iter().filter_map(|object| {
            let mut facts = SeriesFacts::read(object)?;
            let is_failing = !facts.is_current && is(object, condition::READY, Truth::False);
            if !is_tried(object) || is_failing {
                facts.is_current = false;
                facts.policy.drop = UpkeepAction::Report;
                facts.policy.refresh = UpkeepAction::Report;
            }
            Some(facts)
        });
        facts.collect()
    }

    /// A digest over what the plan and the request follow from, but for the repository and the
    /// forge.
    pub fn digest(&self, referents: &Referents) -> InputsDigest {
        let mut inputs = InputsHasher::new("upkeep");
        for object in &self.readers {
            let namespace = object.namespace().unwrap_or_default();
            let secrets = object.spec.references().into_iter();
            for secret in secrets.filter(|reference| reference.kind == ReferentKind::Secret) {
                let version = referents.secret_version(&ObjectKey::new(&namespace, secret.name));
                inputs = inputs.with(version.unwrap_or_default().as_bytes());
            }
            inputs = inputs
                .with(object.name_any().as_bytes())
                .with(object.uid().unwrap_or_default().as_bytes())
                .with(
                    object
                        .metadata
                        .generation
                        .unwrap_or_default()
                        .to_string()
                        .as_bytes(),
                )
                .with(format!("{}", is(object, condition::READY, Truth::False)).as_bytes())
                .with(format!("{}", is_tried(object)).as_bytes());
            let Some(status) = &object.status else { continue };
            inputs = inputs
                .with(status.observed_generation.to_string().as_bytes())
                .with(status.patched_tree.as_deref().unwrap_or_default().as_bytes())
                .with_json(&status.inputs_digest)
                .with_json(&status.upstream);
            for patch in &status.patches {
                let merged = patch.merged.as_ref();
                inputs = inputs
                    .with(patch.name.as_bytes())
                    .with(patch.state.as_str().as_bytes())
                    .with_json(&patch.blob)
                    .with_json(&merged.map(|merged| (merged.by, merged.differs)))
                    .with_json(&patch.refresh);
            }
        }
        inputs.digest()
    }

    /// Whether a status names a commit as the branch's last.
    pub fn has_told_commit(&self, commit: &str) -> bool {
        let mut told = self.readers.iter().filter_map(|object| {
            let upkeep = object.status.as_ref()?.upkeep.as_ref()?;
            upkeep.commit.as_ref().map(|told| told.as_str() == commit)
        });
        told.any(|is_it| is_it)
    }

    /// What a status says about the request that the group shares.
    pub fn told_outcome(&self) -> Option<UpkeepOutcome> {
        self.readers.iter().find_map(|object| {
            let upkeep = object.status.as_ref()?.upkeep.as_ref()?;
            upkeep.pull_request.as_ref()?;
            Some(UpkeepOutcome {
                state: upkeep.state,
                pull_request: upkeep.pull_request.clone(),
                branch: upkeep.branch.clone(),
                commit: upkeep.commit.as_ref().and_then(|commit| commit.value().copied()),
                message: None,
            })
        })
    }

    /// The others of the group, by name.
    pub fn others(&self, name: &str) -> Vec<&PatchSet> {
        let readers = self.readers.iter();
        let others = readers.filter(|object| object.name_any() != name && !object.spec.suspend);
        others.filter(|object| object.spec.upkeep.is_some()).collect()
    }

    /// Finds the upstreams of those whose series may be changed, at the commits that their statuses
    /// name. One that has moved on is left out: its own reconciliation follows.
    ///
    /// # Errors
    ///
    /// If a Secret cannot be read, or a server cannot be reached: what a change does is not known
    /// then.
    pub async fn series(
        &self,
        context: &Arc<Context>,
        budget: Budget<'_>,
    ) -> Result<Vec<TriedSeries>, Failure> {
        let mut all = Vec::new();
        for object in &self.readers {
            let (Some(status), Some(facts)) = (&object.status, SeriesFacts::read(object)) else {
                continue;
            };
            if !facts.is_current || !is_tried(object) {
                continue;
            }
            let commit = status
                .upstream
                .as_ref()
                .and_then(|upstream| upstream.commit.value());
            let Some(commit) = commit else { continue };
            let namespace = object.namespace().unwrap_or_default();
            let upstream = of_patch_set(context, &namespace, &object.spec.upstream).await?;
            let resolved = resolved(context, (object, &upstream), &commit.to_string(), budget).await?;
            if resolved.commit() != *commit {
                continue;
            }
            let patches = object.spec.patches.as_ref();
            all.push(TriedSeries {
                patch_set: object.name_any(),
                folder: facts.folder,
                upstream,
                resolved,
                options: Options {
                    strip: patches.and_then(|patches| patches.strip).map(usize::from),
                    directory: patches
                        .and_then(|patches| patches.directory.clone())
                        .unwrap_or_default()
                        .into(),
                    ..Options::default()
                },
                status: status.clone(),
                refreshing: if facts.policy.refresh == UpkeepAction::PullRequest {
                    Refreshing::WhatNeedsIt
                } else {
                    Refreshing::Nothing
                },
            });
        }
        Ok(all)
    }
}

/// The upstream's commit that a status names. If it has to be signed, what the spec's ref stands
/// for, with that requirement.
async fn resolved(
    context: &Arc<Context>,
    (object, upstream): (&PatchSet, &Upstream),
    commit: &str,
    budget: Budget<'_>,
) -> Result<Resolved, Failure> {
    let spec = &object.spec.upstream;
    let status = object.status.as_ref().and_then(|status| status.upstream.as_ref());
    let name = status.and_then(|upstream| upstream.revision.value()?.name.clone());
    let want = match (&spec.verify, &spec.ref_, name) {
        (Some(_), Some(reference), _) => git_ref(reference)?,
        (Some(_), None, Some(name)) => RefSpec::Any(name),
        _ => RefSpec::Commit(commit.to_owned()),
    };
    let resolved = resolve(context, "the upstream", upstream, &want, budget).await?;
    let namespace = object.namespace().unwrap_or_default();
    signed(&context.referents, &namespace, spec.verify.as_ref(), resolved).await
}

/// Whether a series is tried from time to time: it is not suspended, and its sources are there.
fn is_tried(object: &PatchSet) -> bool {
    !object.spec.suspend && !is(object, condition::SOURCE_RESOLVED, Truth::False)
}

/// Whether a condition has this truth.
fn is(object: &PatchSet, condition: &str, truth: Truth) -> bool {
    let status = object.status.as_ref();
    status.is_some_and(|status| conditions::truth(&status.conditions, condition) == Some(truth))
}

/// An object as others refer to it.
pub fn referent(object: &PatchSet) -> Referent {
    Referent {
        kind: ReferentKind::PatchSet,
        key: ObjectKey::of_object(object),
    }
}
