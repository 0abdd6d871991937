//! Where a `PatchRepository`'s folders are, and what is in them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use git_mirrors::{ArtifactLimits, PathContent};
use kube::ResourceExt;
use patchset_api::common::GitPath;
use patchset_api::patch_repository::{GitRepositorySource, SHARD_LABEL};
use patchset_api::{InputsDigest, LayoutKind, PatchRepository, PatchSet, reason};

use crate::controller::context::turn::Turn;
use crate::controller::context::{Budget, Context, failures};
use crate::controller::inputs::location::InputLocation;
use crate::controller::inputs::upstreams::blocking;
use crate::controller::inputs::{patches, upstreams};
use crate::controller::state::repositories::{MadeFor, MadeKey, MadeKind};
use crate::fleet::{DesiredObjects, FleetError, ReadingRules, desired_objects};
use crate::layout::{FaultKind, RepositoryFiles, RepositoryLayout, TreeFiles};
use crate::plan::inputs_hasher::InputsHasher;
use crate::plan::patch_repository::RepositorySources;
use crate::plan::{Failure, Step};
use crate::source::ArtifactFiles;

/// What the repository is called in messages.
pub const REPOSITORY: &str = "the repository";

/// Names the computation that the objects follow from; changed when the same inputs give others.
const COMPUTATION: &str = "repository/1";

/// A repository that was found.
pub struct ResolvedRepository {
    pub location: InputLocation,
    /// The branch that it is read at, if it is one.
    pub branch: Option<String>,
    pub sources: RepositorySources,
}

impl ResolvedRepository {
    /// Checks the signature that the spec asks for; returns who signed it, in words. `None` if none
    /// is asked for.
    pub async fn signatures(&self, turn: &Turn<'_, PatchRepository>) -> Result<Option<String>, Failure> {
        let InputLocation::Git {
            upstream, resolved, ..
        } = &self.location
        else {
            return Ok(None);
        };
        upstreams::signatures(turn.context, REPOSITORY, upstream, resolved, turn.budget.deadline).await
    }
}

/// Finds the source, and what identifies its files.
///
/// If that differs from the status, it is looked at again without the remembered look: another
/// controller may have seen a newer state.
pub async fn resolve(turn: &Turn<'_, PatchRepository>) -> Result<ResolvedRepository, Failure> {
    let resolved = resolve_within(turn, turn.budget).await?;
    let status = turn.status();
    if status
        .inputs_digest
        .as_ref()
        .is_none_or(|known| *known == resolved.sources.inputs_digest)
    {
        return Ok(resolved);
    }
    match turn.budget.with_newest_looks() {
        Some(budget) => resolve_within(turn, budget).await,
        None => Ok(resolved),
    }
}

async fn resolve_within(
    turn: &Turn<'_, PatchRepository>,
    budget: Budget<'_>,
) -> Result<ResolvedRepository, Failure> {
    let location = locate(turn.object, turn.context, &turn.namespace(), budget).await?;
    let spec = &turn.object.spec;
    let branch = location.branch();
    let mut inputs = InputsHasher::new(COMPUTATION)
        .with_json(spec)
        .with(branch.as_deref().unwrap_or_default().as_bytes());
    for part in location.identity() {
        inputs = inputs.with(part.as_bytes());
    }
    Ok(ResolvedRepository {
        sources: RepositorySources {
            revision: location.revision(),
            inputs_digest: inputs.digest(),
            signatures: None,
        },
        branch,
        location,
    })
}

async fn locate(
    repository: &PatchRepository,
    context: &Arc<Context>,
    namespace: &str,
    budget: Budget<'_>,
) -> Result<InputLocation, Failure> {
    let spec = &repository.spec;
    let directory = spec.directory.clone().unwrap_or_default();
    if let Some(git) = &spec.source.git {
        let GitRepositorySource {
            url,
            ref_,
            verify,
            secret_ref,
            proxy_secret_ref,
        } = git.clone();
        let git = GitPath {
            url,
            ref_,
            path: directory,
            verify,
            secret_ref,
            proxy_secret_ref,
        };
        return InputLocation::in_git(context, namespace, REPOSITORY, &git, budget).await;
    }
    match &spec.source.source_ref {
        Some(reference) => patches::in_artifact(context, namespace, reference, Some(&directory)),
        None => Err(Failure::stalled(
            Step::Source,
            reason::INVALID_SPEC,
            "set source.git or source.sourceRef",
        )),
    }
}

/// What a repository's folders ask for.
pub struct DesiredRepository {
    /// How they are named.
    pub layout: LayoutKind,
    pub desired: DesiredObjects,
    /// What identifies the files that each object reads in the repository, where that is known.
    pub files: HashMap<MadeKey, InputsDigest>,
    /// Components at releases that have a folder, and nothing that says what they are built from.
    /// The overrides of a release without constraints count as such for all components.
    pub unbuilt: BTreeSet<MadeFor>,
}

/// Reads the folders, off the async threads.
///
/// # Errors
///
/// If they cannot be read, or are of no layout, or the spec is wrong.
pub async fn read(
    turn: &Turn<'_, PatchRepository>,
    resolved: &ResolvedRepository,
) -> Result<DesiredRepository, Failure> {
    let (repository, deadline) = (turn.object.clone(), turn.budget.deadline);
    let branch = resolved.branch.clone();
    match resolved.location.clone() {
        InputLocation::Git {
            upstream, resolved, ..
        } => {
            blocking(turn.context, REPOSITORY, deadline, move |mirrors| {
                let snapshot = mirrors.snapshot(&upstream, &resolved, deadline)?;
                let files = TreeFiles::new(&snapshot, snapshot.tree_id());
                let (mut read, layout) = match read_layout(&repository, branch.as_deref(), &files) {
                    Ok(read) => read,
                    Err(failure) => return Ok(Err(failure)),
                };
                let reads = file_reads(&repository, &read);
                let paths: BTreeSet<String> = reads.values().flatten().cloned().collect();
                let contents = mirrors.contents(&upstream, &resolved, paths.iter().cloned(), deadline)?;
                let contents: BTreeMap<String, PathContent> = paths.into_iter().zip(contents).collect();
                read.files = digests(&reads, &contents, &read.desired, &layout);
                Ok(Ok(read))
            })
            .await?
        }
        InputLocation::Artifact { artifact, .. } => {
            blocking(turn.context, REPOSITORY, deadline, move |mirrors| {
                let opened = mirrors.open_artifact(&artifact, &ArtifactLimits::default(), deadline)?;
                let read = read_layout(&repository, branch.as_deref(), &ArtifactFiles::new(opened));
                Ok(read.map(|(read, _)| read))
            })
            .await?
        }
        InputLocation::Branch(_) => Err(Failure::stalled(
            Step::Objects,
            reason::INVALID_SPEC,
            format!("{REPOSITORY}: the commits of a branch have no folders"),
        )),
    }
}

/// Checks that objects are in the shard of the controller that makes them, which sees no others.
///
/// # Errors
///
/// Where a template puts one into a shard that the `PatchRepository` is not in.
pub fn check_shard(turn: &Turn<'_, PatchRepository>, desired: &DesiredObjects) -> Result<(), Failure> {
    let is_sharded = |labels: &BTreeMap<String, String>| labels.contains_key(SHARD_LABEL);
    if turn.context.options.watch_label_selector.is_some()
        && !is_sharded(turn.object.labels())
        && desired.patch_sets.iter().any(|made| is_sharded(made.labels()))
    {
        let message = format!(
            "spec.template.metadata.labels: what is made belongs to the shard of its PatchRepository: set the label {SHARD_LABEL} on that, and leave it out of the template"
        );
        return Err(Failure::stalled(Step::Objects, reason::TEMPLATE_INVALID, message));
    }
    Ok(())
}

/// Reads the folders, and makes the objects that they ask for.
fn read_layout(
    repository: &PatchRepository,
    branch: Option<&str>,
    files: &dyn RepositoryFiles,
) -> Result<(DesiredRepository, RepositoryLayout), Failure> {
    let wrong_spec =
        |error: FleetError| Failure::stalled(Step::Objects, reason::TEMPLATE_INVALID, error.to_string());
    let rules = ReadingRules::new(&repository.spec).map_err(wrong_spec)?;
    let layout = RepositoryLayout::read(files, &rules.options(branch));
    let layout = layout.map_err(|error| match failures::layout_failure(REPOSITORY, &error) {
        failure if failure.step == Step::Patches => Failure {
            step: Step::Objects,
            ..failure
        },
        failure => failure,
    })?;
    let desired = desired_objects(repository, &layout).map_err(wrong_spec)?;
    let without_ref = layout.series.iter().filter(|series| series.reference.is_none());
    let mut unbuilt: BTreeSet<MadeFor> = without_ref
        .map(|series| MadeFor {
            component: Some(series.component.clone()),
            release: series.release.clone(),
        })
        .collect();
    let overrides = layout
        .faults
        .iter()
        .filter(|fault| fault.kind == FaultKind::OverridesWithoutConstraints);
    // `overrides/<release>/constraints.txt`
    let releases = overrides.filter_map(|fault| fault.path.split('/').rev().nth(1));
    unbuilt.extend(releases.map(|release| MadeFor {
        component: None,
        release: release.to_owned(),
    }));
    let read = DesiredRepository {
        layout: layout.kind,
        desired,
        files: HashMap::new(),
        unbuilt,
    };
    Ok((read, layout))
}

/// The paths that each object reads in the repository, by kind and name.
type FileReads = BTreeMap<MadeKey, Vec<String>>;

fn file_reads(repository: &PatchRepository, read: &DesiredRepository) -> FileReads {
    let Some(git) = &repository.spec.source.git else {
        return FileReads::new();
    };
    let is_here = |path: &&GitPath| path.url == git.url && path.ref_ == git.ref_;
    let mut reads = FileReads::new();
    for patch_set in &read.desired.patch_sets {
        let spec = &patch_set.spec;
        let build = spec.build.as_ref();
        let dockerfile = build.and_then(|build| build.dockerfile.as_ref()?.git.as_ref());
        let patches = spec.patches.as_ref().and_then(|patches| patches.git.as_ref());
        let here = patches.into_iter().chain(dockerfile).filter(is_here);
        let packages = build.and_then(|build| build.extra_packages_from.as_ref());
        let packages = packages.map(|from| from.path.clone());
        let paths = here.map(|path| path.path.clone()).chain(packages);
        reads.insert((MadeKind::PatchSet, patch_set.name_any()), paths.collect());
    }
    for overrides in &read.desired.constraint_overrides {
        let spec = &overrides.spec;
        let named = spec.upper_constraints.git.iter().chain(&spec.overrides.git);
        let paths = named.filter(is_here).map(|path| path.path.clone());
        reads.insert(
            (MadeKind::ConstraintOverride, overrides.name_any()),
            paths.collect(),
        );
    }
    reads
}

/// What identifies the files that each object reads, and the ref that a file gives for it.
fn digests(
    reads: &FileReads,
    contents: &BTreeMap<String, PathContent>,
    desired: &DesiredObjects,
    layout: &RepositoryLayout,
) -> HashMap<MadeKey, InputsDigest> {
    let reference = |patch_set: &PatchSet| {
        let from = patch_set.spec.upstream.ref_from.as_ref()?;
        let key = from.key.as_deref().unwrap_or(&patch_set.spec.component.0);
        layout.reference(key, &patch_set.spec.release.0, None)
    };
    let references = desired
        .patch_sets
        .iter()
        .filter_map(|patch_set| Some(((MadeKind::PatchSet, patch_set.name_any()), reference(patch_set)?)));
    let references: BTreeMap<MadeKey, String> = references.collect();
    reads
        .iter()
        .map(|(key, paths)| {
            let reference = references.get(key).map(String::as_str).unwrap_or_default();
            let found = paths.iter().filter_map(|path| contents.get(path));
            let digest = found.fold(
                InputsHasher::new("files/1").with(reference.as_bytes()),
                |digest, content| digest.with(content.to_string().as_bytes()),
            );
            (key.clone(), digest.digest())
        })
        .collect()
}
