//! Finds what a PatchSet of a manifest is built from, as the controller does in a cluster.

use git_apply_engine::Oid;
use git_mirrors::{RefSpec, RepoUrl};
use kube::ResourceExt;
use patchset_api::PatchSet;
use patchset_api::build::Build;
use patchset_api::patch_set::Level;
use patchset_api::source_refs::SourceRefs;
use patchset_api::status::PatchStatus;
use source_images::source_image::SourceImage;

use super::bases::TagLookup;
use super::contents::{ContentReader, HeldPatches, read_arguments, read_beside, read_patches};
use super::judged::{PlannedSeries, judge};
use crate::cli::error::Error;
use crate::layout::FolderPatches;
use crate::plan::build::set_tag_time_if_known;
use crate::plan::patch_set::all_allow_ready;
use crate::recipe::{
    BuildFindings, FoundUpstream, Library, Located, Recipe, RecipeError, build_reasons, last_request,
    libraries,
};
use crate::source::{api_revision, ref_spec};

/// What was planned for a PatchSet.
pub(super) struct Planned<'a> {
    pub(super) name: String,
    /// Its build.
    pub(super) spec: &'a Build,
    /// The upstream's revision.
    pub(super) revision: String,
    pub(super) patches: Vec<PatchStatus>,
    /// Why the search of upstream's history is incomplete.
    pub(super) history_note: Option<String>,
    /// What else the folder of the patches has.
    pub(super) patches_note: Option<String>,
    /// Whether its own patches are as the PatchSet requires.
    own_apply: bool,
    pub(super) libraries: Vec<Planned<'a>>,
    /// What would be built; nothing where patches do not apply.
    pub(super) recipe: Option<Recipe>,
}

impl Planned<'_> {
    /// Whether all patches are as required, including those of libraries.
    pub(super) fn applies(&self) -> bool {
        self.own_apply && self.libraries.iter().all(Self::applies)
    }

    /// What else the folders of patches have, and why searches of upstreams' histories are
    /// incomplete, including those of libraries.
    pub(super) fn notes(&self) -> Vec<&str> {
        let own = [&self.patches_note, &self.history_note];
        let own = own.into_iter().filter_map(|note| note.as_deref());
        own.chain(self.libraries.iter().flat_map(Self::notes)).collect()
    }

    /// The images that the build takes, to be pushed.
    pub(super) fn take_images(&mut self) -> Vec<SourceImage> {
        let libraries = self.libraries.iter_mut().flat_map(Self::take_images);
        let mut images: Vec<SourceImage> = libraries.collect();
        let own = self
            .recipe
            .as_mut()
            .map(|recipe| std::mem::take(&mut recipe.parts));
        images.extend(own.into_iter().flatten().map(|part| part.image));
        images
    }
}

/// Plans the objects of a manifest.
pub(super) struct Planner<'a> {
    pub(super) reader: ContentReader<'a>,
    pub(super) tags: &'a TagLookup<'a>,
}

impl<'a> Planner<'a> {
    /// Plans a PatchSet and the libraries that it is built with.
    ///
    /// # Errors
    ///
    /// If something that it names cannot be found or used.
    pub(super) fn plan(&self, object: &'a PatchSet) -> Result<Planned<'a>, Error> {
        let name = object.name_any();
        let planned = self.plan_patch_set(object, &name);
        planned.map_err(|error| match error {
            // An error in a library is reported with the library's name alone.
            error @ Error::PatchSet { .. } => error,
            error => Error::PatchSet {
                name,
                source: Box::new(error),
            },
        })
    }

    fn plan_patch_set(&self, object: &'a PatchSet, name: &str) -> Result<Planned<'a>, Error> {
        let spec = &object.spec;
        let build = spec
            .build
            .as_ref()
            .ok_or_else(|| Error::Usage("it has no build, so there is nothing to plan".to_owned()))?;
        let located = self.reader.locate_patches(spec.patches.as_ref())?;
        let want = wanted_ref(object, &located)?;
        let upstream = self
            .reader
            .places
            .commit("the upstream", &spec.upstream.url, &want)?;
        let arguments = read_arguments(spec, build, &located)?;
        let patches_revision = match &located {
            Some(Located::At((held, _))) => held.revision(),
            Some(Located::Given(_)) | None => None,
        };
        let FolderPatches { patches, note } = match self.reader.branch_patches(spec, &upstream)? {
            Some(patches) => patches,
            None => read_patches(located)?,
        };
        let PlannedSeries {
            series,
            patches: statuses,
            history_note,
        } = judge(self.reader.places, object, &upstream, &patches)?;
        let mut planned = Planned {
            name: name.to_owned(),
            spec: build,
            revision: upstream.revision.to_string(),
            own_apply: all_allow_ready(&statuses, spec.merged_patches),
            patches: statuses,
            history_note,
            patches_note: note,
            libraries: self.libraries(object)?,
            recipe: None,
        };
        if !planned.applies() {
            return Ok(planned);
        }
        let libraries: Vec<Library> = planned.libraries.iter().filter_map(as_library).collect();
        let constraints = spec.constraints.as_ref();
        let constraints = constraints.map(|reference| self.reader.constraints(&reference.name));
        let constraints = constraints.transpose()?;
        let requested = last_request(object, object.status.as_ref());
        let dockerfile = build.dockerfile.as_ref();
        let bases = build.contexts.iter();
        let commit = upstream.revision.commit();
        let found = BuildFindings {
            spec,
            build,
            upstream: FoundUpstream {
                url: spec.upstream.url.parse::<RepoUrl>()?.to_string(),
                revision: api_revision(&upstream.revision),
                tag: upstream.revision.tag().map(ToOwned::to_owned),
                objects: upstream.held.objects(),
            },
            patches: &patches,
            patches_revision,
            known: object.status.as_ref().and_then(|status| status.build.as_deref()),
            series: &series,
            arguments,
            dockerfile: dockerfile.map(|from| self.reader.dockerfile(from)).transpose()?,
            libraries: &libraries,
            constraints: constraints.as_deref(),
            bases: bases
                .map(|(name, image)| Ok((name.clone(), self.tags.image(name, &image.0)?)))
                .collect::<Result<_, Error>>()?,
            requested: requested.as_deref(),
        };
        let recipe = Recipe::describe(found).map_err(|error| match error {
            RecipeError::Image(error) => Error::Publish(error),
            RecipeError::Plan(failure) => Error::Plan(failure),
        })?;
        planned.recipe = Some(after_status(recipe, object, build, commit));
        Ok(planned)
    }

    /// The libraries that it is built with: those that it names, and those that they name.
    fn libraries(&self, object: &'a PatchSet) -> Result<Vec<Planned<'a>>, Error> {
        let names = |object: &PatchSet| -> Vec<String> {
            let named = object.spec.libraries.iter();
            named.map(|reference| reference.name.clone()).collect()
        };
        let (root, manifest) = (object.name_any(), self.reader.manifest);
        let needs = |name: &str| {
            if name == root {
                return names(object);
            }
            manifest.patch_set(name).map(names).unwrap_or_default()
        };
        let all = libraries::all_libraries(&root, &needs)
            .map_err(|error| Error::Usage(format!("libraries: {error}")))?;
        let mut planned = Vec::new();
        for name in all {
            let library = manifest.patch_set(&name)?;
            if library.spec.level != Level::Library {
                return Err(Error::Usage(format!(
                    "libraries: PatchSet {name} is not a library: set its level to Library"
                )));
            }
            planned.push(self.plan(library)?);
        }
        Ok(planned)
    }
}

/// The upstream's ref that a spec asks for.
fn wanted_ref(object: &PatchSet, located: &HeldPatches) -> Result<RefSpec, Error> {
    let spec = &object.spec;
    match (&spec.upstream.ref_, &spec.upstream.ref_from) {
        (Some(git), _) => Ok(ref_spec(git)?),
        (None, Some(from)) => {
            let bytes = read_beside(located, "upstream.refFrom", &from.path)?;
            let key = from.key.as_deref().unwrap_or(&spec.component.0);
            let wrong = |error| Error::Usage(format!("{}: {error}", from.path));
            let refs = SourceRefs::parse(&bytes).map_err(wrong)?;
            Ok(RefSpec::Any(refs.get(key).map_err(wrong)?.to_owned()))
        }
        (None, None) => Err(Error::Usage("set upstream.ref or upstream.refFrom".to_owned())),
    }
}

/// A planned library as the build that takes it needs it.
fn as_library(planned: &Planned<'_>) -> Option<Library> {
    let recipe = planned.recipe.as_ref()?;
    let component = &recipe.component;
    Some(Library {
        name: planned.name.clone(),
        source: recipe.build.contexts.get(component)?.clone(),
        distribution: recipe.build.distributions.get(component).cloned(),
        component: component.clone(),
    })
}

/// A recipe with what follows from the status of an object that comes from the cluster.
fn after_status(recipe: Recipe, object: &PatchSet, spec: &Build, commit: Oid) -> Recipe {
    let Some(known) = object.status.as_ref().filter(|_| recipe.unpinned.is_empty()) else {
        return recipe;
    };
    let mut build = recipe.build;
    if known.build.is_some() {
        build.reasons = build_reasons(known, &build, spec, &recipe.component, commit);
    }
    set_tag_time_if_known(&mut build, known);
    Recipe { build, ..recipe }
}
