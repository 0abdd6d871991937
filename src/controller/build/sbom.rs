//! Attaches to an image the documents on its patches, once for each digest: how its components were
//! patched, and, where patches resolve vulnerabilities, which.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use git_apply_engine::PatchInput;
use git_mirrors::RefSpec;
use image_references::{Digest, ImageReference};
use kube::runtime::reflector::ObjectRef;
use patchset_api::build::{BuildStatus, ImageStatus, Origin};
use patchset_api::status::{PatchSetStatus, PatchState, PatchStatus};
use patchset_api::upstream_history::MergedStatus;
use patchset_api::{Recorded, reason};
use source_images::image::{PATCHES_LABEL, PatchId, RELEASE_LABEL, REVISION_LABEL, VERSION_LABEL};
use upper_constraints::PackageName;

use super::task::BuildTask;
use crate::controller::inputs::image_references::{image_by_digest, image_reference};
use crate::controller::inputs::ingredients::{Ingredients, MergedOverrides};
use crate::controller::inputs::registries::in_time;
use crate::controller::inputs::{patches, upstreams};
use crate::plan::report::shown_name;
use crate::plan::{Failure, Step};
use crate::recipe::{Library, pins};
use crate::sbom::{
    self, ATTESTATION_TYPE, Issued, LeftOutPatch, MEDIA_TYPE, Overridden, PREDICATE_ANNOTATION,
    PREDICATE_TYPE, Patched, PatchedComponent, Resolutions, SpecificationVersion,
};

/// What a document is made from.
pub struct SbomInputs<'a> {
    /// The component's patches.
    pub patches: Result<Arc<Vec<PatchInput>>, Failure>,
    /// Their states.
    pub states: &'a [PatchStatus],
    pub ingredients: &'a Ingredients,
}

/// The image with its document, or with why it could not be attached: an image without one counts
/// all the same.
pub async fn attach_document(
    task: &BuildTask<'_>,
    inputs: SbomInputs<'_>,
    planned: &BuildStatus,
    image: ImageStatus,
) -> ImageStatus {
    let builder = SbomBuilder {
        task,
        planned,
        image: &image,
    };
    let (sbom, sbom_failure) = match builder.attach(inputs).await {
        Ok(digest) => (Some(digest), None),
        Err(failure) => (None, Some(failure.message)),
    };
    ImageStatus {
        sbom,
        sbom_failure,
        ..image
    }
}

struct SbomBuilder<'a> {
    task: &'a BuildTask<'a>,
    planned: &'a BuildStatus,
    image: &'a ImageStatus,
}

impl SbomBuilder<'_> {
    async fn attach(&self, inputs: SbomInputs<'_>) -> Result<Recorded<Digest>, Failure> {
        let (planned, image, ingredients) = (self.planned, self.image, inputs.ingredients);
        let component = &self.task.turn.object.spec.component.0;
        let main = self
            .describe_patched(component, &inputs.patches?, inputs.states)
            .await?;
        let mut libraries = Vec::new();
        for library in &ingredients.libraries {
            libraries.push(self.library(library).await?);
        }
        let names = planned.contexts.keys().chain(planned.distributions.values());
        let from_source = pins::package_names(names.map(String::as_str));
        let packages = overridden_packages(&ingredients.overrides, &from_source)?;
        let document = sbom::document(&main, &libraries, &packages, SpecificationVersion::default())
            .map_err(|error| sbom_failure(error.to_string()))?;
        let by_digest = image_by_digest(image)?;
        let components = std::iter::once(&main).chain(&libraries);
        let resolutions =
            Resolutions::by_patches(components).map_err(|error| sbom_failure(error.to_string()))?;
        // Before the other, whose digest says that all is done.
        if !resolutions.is_empty() {
            self.attach_statements(&by_digest, &resolutions).await?;
        }
        let attached = Box::pin(self.task.registry.attach(&by_digest, MEDIA_TYPE, &document));
        let attached = in_time(
            self.task.turn.budget,
            "attaching the document on the patches",
            attached,
        )
        .await?;
        Ok(attached.digest().cloned().map(Recorded::new).unwrap_or_default())
    }

    /// Attaches the statements on the vulnerabilities that patches resolve, dated when the image
    /// was made: repeating this gives the same statements.
    async fn attach_statements(
        &self,
        image: &ImageReference,
        resolutions: &Resolutions,
    ) -> Result<(), Failure> {
        let (registry, budget) = (self.task.registry, self.task.turn.budget);
        let looked = in_time(budget, "looking at the image", Box::pin(registry.inspect(image))).await?;
        let created = looked.and_then(|looked| looked.created);
        let issued = Issued {
            author: "patchset".to_owned(),
            time: created.and_then(|time| time.parse().ok()).unwrap_or_default(),
        };
        let attestation = resolutions
            .attestation(image, &issued)
            .map_err(|error| sbom_failure(error.to_string()))?;
        let annotations = BTreeMap::from([(PREDICATE_ANNOTATION, PREDICATE_TYPE)]);
        let attached =
            Box::pin(registry.attach_annotated(image, ATTESTATION_TYPE, &attestation, &annotations));
        in_time(budget, "attaching the statements on vulnerabilities", attached).await?;
        Ok(())
    }

    async fn library(&self, library: &Library) -> Result<Patched, Failure> {
        let turn = self.task.turn;
        let namespace = turn.namespace();
        let key = ObjectRef::new(&library.name).within(&namespace);
        let found = turn.context.patch_sets.get(&key);
        let object = found
            .as_ref()
            .and_then(|object| object.0.as_ref().ok())
            .ok_or_else(|| sbom_failure(format!("PatchSet {namespace}/{} is gone", library.name)))?;
        let located = patches::locate(turn.context, &namespace, &object.spec, turn.budget).await?;
        let located = match &object.status {
            // The patches of a branch are those for the commit that was patched.
            Some(PatchSetStatus {
                upstream: Some(known),
                ..
            }) if object
                .spec
                .patches
                .as_ref()
                .is_some_and(|patches| patches.branch.is_some()) =>
            {
                let own = &object.spec.upstream;
                let upstream = upstreams::of_patch_set(turn.context, &namespace, own).await?;
                let want = RefSpec::Commit(known.commit.to_string());
                let resolved =
                    upstreams::resolve(turn.context, "the upstream", &upstream, &want, turn.budget).await?;
                patches::onto(located, &upstream, &resolved)
            }
            _ => located,
        };
        let read = patches::read(turn.context, located, turn.budget.deadline).await?;
        let states = object
            .status
            .as_ref()
            .map(|status| status.patches.as_slice())
            .unwrap_or_default();
        self.describe_patched(&library.component, &read.patches, states)
            .await
    }

    /// A component with the patches that its source image says it has, and without those that
    /// upstream has already.
    async fn describe_patched(
        &self,
        component: &str,
        read: &[PatchInput],
        states: &[PatchStatus],
    ) -> Result<Patched, Failure> {
        let source = self
            .planned
            .contexts
            .get(component)
            .ok_or_else(|| sbom_failure(format!("the build has no context {component}")))?;
        let reference = image_reference(source)?;
        let looked = Box::pin(self.task.registry.inspect(&reference));
        let labels = in_time(self.task.turn.budget, "looking at the source", looked)
            .await?
            .ok_or_else(|| sbom_failure(format!("the registry has no {source}")))?
            .labels;
        let ids: Vec<PatchId> = match labels.get(PATCHES_LABEL) {
            None => Vec::new(),
            Some(text) => serde_json::from_str(text)
                .map_err(|error| sbom_failure(format!("{source}: label {PATCHES_LABEL}: {error}")))?,
        };
        let merged = |name: &str| {
            let name = shown_name(name);
            states
                .iter()
                .find(|patch| patch.name == name && patch.state == PatchState::Merged)
        };
        let (mut patches, mut left_out) = (Vec::new(), Vec::new());
        for id in ids {
            if let Some(merged) = merged(&id.name) {
                left_out.push(LeftOutPatch {
                    name: merged.name.clone(),
                    commit: merged.merged.as_ref().and_then(upstreams_commit),
                });
                continue;
            }
            let same = |patch: &&PatchInput| PatchId::new(&patch.name, &patch.bytes) == id;
            let patch = read.iter().find(same).ok_or_else(|| {
                sbom_failure(format!("{} is no longer what {source} was made with", id.name))
            })?;
            patches.push(patch.clone());
        }
        let distribution = self.planned.distributions.get(component);
        let version = distribution
            .and_then(|name| installed_version(self.image, name))
            .or_else(|| labels.get(VERSION_LABEL).cloned())
            .or_else(|| labels.get(REVISION_LABEL).cloned())
            .unwrap_or_default();
        let purl = match distribution {
            Some(_) => None,
            None => Some(
                sbom::generic_purl(component, &version).map_err(|error| sbom_failure(error.to_string()))?,
            ),
        };
        Ok(Patched {
            component: PatchedComponent {
                name: distribution.map_or_else(|| component.to_owned(), Clone::clone),
                version,
                purl,
                revision: labels.get(REVISION_LABEL).cloned(),
                release: labels.get(RELEASE_LABEL).cloned(),
            },
            patches,
            left_out,
        })
    }
}

/// The commit by which upstream has a patch, in full, with its subject and its page.
fn upstreams_commit(merged: &MergedStatus) -> Option<String> {
    let commit = merged.commit.as_deref()?;
    let subject = merged.subject.as_deref().unwrap_or_default();
    let page = merged.url.as_ref().map(|url| format!(", {url}"));
    Some(format!("{commit} ('{subject}'{})", page.unwrap_or_default()))
}

/// The version of a distribution that the image has from its source.
fn installed_version(image: &ImageStatus, name: &str) -> Option<String> {
    let mut installed = image.installed.iter().flatten();
    installed
        .find(|one| one.name == name && one.origin == Origin::Source)
        .and_then(|one| one.version.clone())
}

/// The packages whose pins overrides changed, without those that are built from source.
fn overridden_packages(
    overrides: &MergedOverrides,
    from_source: &BTreeSet<PackageName>,
) -> Result<Vec<Overridden>, Failure> {
    let name = &overrides.name;
    if overrides.omitted > 0 {
        return Err(sbom_failure(format!(
            "the status of ConstraintOverride {name} has no room for {} of its results, and the document would lack them: attach it with patchset sbom, and set build.sbom to Skip",
            overrides.omitted
        )));
    }
    let mut packages = Vec::new();
    for one in &overrides.results {
        if one.from.is_some() && one.upstream_pins.is_empty() {
            // An older version of this program merged them.
            return Err(sbom_failure(format!(
                "ConstraintOverride {name} is merged again first"
            )));
        }
        if one.package.parse().is_ok_and(|name| !from_source.contains(&name)) {
            let (from, to) = (&one.upstream_pins, one.to.as_deref());
            packages.extend(Overridden::from_override(&one.package, one.state, from, to));
        }
    }
    Ok(packages)
}

fn sbom_failure(message: String) -> Failure {
    Failure::retried(Step::Build, reason::INVALID_REFERENCE, message)
}
