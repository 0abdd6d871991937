//! Plans a build from objects of a manifest, as the controller does from those of a cluster.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt;

use super::super::Error;
use super::super::registry::RegistryOptions;
use super::manifest::Manifest;
use super::places::{Commit, Held, Places};
use crate::api::build::{Build, BuildStatus, DockerfileSource};
use crate::api::common::{ConfigMapKey, GitPath};
use crate::api::patch_set::{Level, Patches};
use crate::api::source_refs::SourceRefs;
use crate::api::status::PatchStatus;
use crate::api::{ConstraintOverride, PatchSet};
use crate::image::ImageReference;
use crate::patch::{self, MemoryStore, PatchInput, Sequence, Series};
use crate::plan::build::{CONSTRAINTS, Published, plan, reasons, requested};
use crate::plan::constraint_override::merged;
use crate::plan::contexts::{Ingredients, arguments, contexts};
use crate::plan::libraries;
use crate::plan::patch_set::passes;
use crate::plan::patches::{ENDING, of_config_map, of_spec};
use crate::plan::report;
use crate::publish::image::{About, PatchId};
use crate::publish::layer::{Contents, File};
use crate::publish::python::component_version;
use crate::publish::source_image::{self, SourceImage};
use crate::publish::{self};
use crate::source::{self, FileLimits, RefSpec};

/// What was planned for a PatchSet.
pub(super) struct Planned {
    pub(super) name: String,
    component: String,
    /// The upstream's revision.
    pub(super) revision: String,
    pub(super) patches: Vec<PatchStatus>,
    /// Whether the patches are as the PatchSet wants them.
    own_apply: bool,
    pub(super) libraries: Vec<Planned>,
    /// What would be built; nothing where patches do not apply.
    pub(super) build: Option<BuildStatus>,
    /// The contexts whose tags were not looked at. Without them the inputs are not known.
    pub(super) unpinned: BTreeSet<String>,
    /// Whether the tag of the image tells the inputs.
    pub(super) tag_has_inputs: bool,
    /// The Dockerfile's name in its folder, and the stage.
    pub(super) dockerfile: Option<(String, Option<String>)>,
    images: Vec<SourceImage>,
}

impl Planned {
    /// Whether all patches are as they should be, those of libraries too.
    pub(super) fn applies(&self) -> bool {
        self.own_apply && self.libraries.iter().all(Self::applies)
    }

    /// The images that the build takes, to be pushed.
    pub(super) fn take_images(&mut self) -> Vec<SourceImage> {
        let libraries = self.libraries.iter_mut().flat_map(Self::take_images);
        let mut images: Vec<SourceImage> = libraries.collect();
        images.append(&mut self.images);
        images
    }
}

/// What tags of images stand for.
pub(super) struct Pins<'a> {
    registry: &'a RegistryOptions,
    offline: bool,
    known: RefCell<BTreeMap<String, String>>,
}

impl<'a> Pins<'a> {
    pub(super) fn new(registry: &'a RegistryOptions, offline: bool) -> Self {
        Self {
            registry,
            offline,
            known: RefCell::default(),
        }
    }

    /// An image by its digest; nothing where no registry may be asked.
    fn get(&self, name: &str, image: &str) -> Result<Option<String>, Error> {
        let reference = ImageReference::from_context(image).map_err(publish::Error::from)?;
        if let Some(digest) = reference.digest() {
            return Ok(Some(reference.with_digest(digest).as_given()));
        }
        if self.offline {
            return Ok(None);
        }
        let tagged = reference.as_given();
        if let Some(known) = self.known.borrow().get(&tagged) {
            return Ok(Some(known.clone()));
        }
        let digest = self
            .registry
            .run(|registry| {
                let reference = reference.clone();
                async move { registry.digest(&reference).await }
            })
            .map_err(|error| {
                Error::Usage(format!(
                    "build.contexts: {name}: {error}; --offline plans without asking what the tag stands for"
                ))
            })?
            .ok_or_else(|| Error::Usage(format!("build.contexts: {name}: the registry has no {tagged}")))?;
        let pinned = reference.with_digest(&digest).as_given();
        self.known.borrow_mut().insert(tagged, pinned.clone());
        Ok(Some(pinned))
    }
}

/// Where the patches of a PatchSet are.
enum Located {
    None,
    In(Held, String),
    Given(Vec<PatchInput>),
}

impl Located {
    fn read(self) -> Result<Vec<PatchInput>, Error> {
        let (held, path) = match self {
            Self::None => return Ok(Vec::new()),
            Self::Given(patches) => return Ok(patches),
            Self::In(held, path) => (held, path),
        };
        let files = match held.files().read_dir(&path, ENDING, &FileLimits::default()) {
            // A folder that is absent holds no patches.
            Err(source::Error::FileNotFound { .. }) => Vec::new(),
            files => files.map_err(|error| Error::Usage(format!("the patches: {error}")))?,
        };
        Ok(files
            .into_iter()
            .map(|file| PatchInput {
                name: file.name,
                bytes: file.content,
            })
            .collect())
    }

    /// One file beside the patches. `field` asks for it.
    fn beside(&self, field: &str, path: &str) -> Result<Vec<u8>, Error> {
        match self {
            Self::In(held, _) => held
                .files()
                .read_file(path, &FileLimits::default())
                .map_err(|error| Error::Usage(format!("{field}: {error}"))),
            Self::None | Self::Given(_) => Err(Error::Usage(format!(
                "{field} needs patches.git or patches.sourceRef"
            ))),
        }
    }
}

/// Plans the objects of a manifest.
pub(super) struct Planner<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) places: &'a Places<'a>,
    pub(super) pins: &'a Pins<'a>,
}

impl Planner<'_> {
    /// Plans a PatchSet and the libraries that it is built with.
    ///
    /// # Errors
    ///
    /// Where something that it names cannot be had, or cannot be used.
    pub(super) fn plan(&self, object: &PatchSet) -> Result<Planned, Error> {
        let name = object.name_any();
        let planned = self.planned(object, name.clone());
        planned.map_err(|error| match error {
            // What a library lacks is told with the library's name alone.
            Error::Usage(message) if message.starts_with("PatchSet ") => Error::Usage(message),
            error => Error::Usage(format!("PatchSet {name}: {error}")),
        })
    }

    fn planned(&self, object: &PatchSet, name: String) -> Result<Planned, Error> {
        let spec = &object.spec;
        let build = spec
            .build
            .as_ref()
            .ok_or_else(|| Error::Usage("it has no build, so that there is nothing to plan".to_owned()))?;
        let located = self.locate(spec.patches.as_ref())?;
        let want = match (&spec.upstream.ref_, &spec.upstream.ref_from) {
            (Some(git), _) => RefSpec::try_from(git)?,
            (None, Some(from)) => {
                let bytes = located.beside("upstream.refFrom", &from.path)?;
                let key = from.key.as_deref().unwrap_or(&spec.component.0);
                let wrong = |error| Error::Usage(format!("{}: {error}", from.path));
                let refs = SourceRefs::parse(&bytes).map_err(wrong)?;
                RefSpec::Any(refs.get(key).map_err(wrong)?.to_owned())
            }
            (None, None) => return Err(Error::Usage("set upstream.ref or upstream.refFrom".to_owned())),
        };
        let upstream = self.places.commit("the upstream", &spec.upstream.url, &want)?;
        let read_args = match &build.extra_packages_from {
            None => BTreeMap::new(),
            Some(from) => {
                let bytes = located.beside("build.extraPackagesFrom", &from.path)?;
                arguments(&from.path, &bytes, &spec.component.0)?
            }
        };
        let patches = located.read()?;
        let series = applied(spec.patches.as_ref(), &upstream, &patches)?;
        let statuses = report::patches(series.patches());
        let own_apply = statuses.iter().all(|patch| passes(patch, spec.merged_patches));
        let mut planned = Planned {
            name,
            component: spec.component.0.clone(),
            revision: upstream.revision.to_string(),
            patches: statuses,
            own_apply,
            libraries: self.libraries(object)?,
            build: None,
            unpinned: BTreeSet::new(),
            tag_has_inputs: build.image.as_ref().is_some_and(|image| {
                let mut templates = image.moving_tags.iter().map(String::as_str);
                image.tag().contains("{inputs}") || templates.any(|tag| tag.contains("{inputs}"))
            }),
            dockerfile: build
                .dockerfile
                .as_ref()
                .map(|source| (source.file().to_owned(), source.stage.clone())),
            images: Vec::new(),
        };
        if planned.applies() {
            let images = Images {
                patches: &patches,
                args: &read_args,
                upstream: &upstream,
                series: &series,
            };
            self.complete(object, build, images, &mut planned)?;
        }
        Ok(planned)
    }

    /// Describes the images that the build takes, and plans it.
    fn complete(
        &self,
        object: &PatchSet,
        build: &Build,
        given: Images<'_>,
        planned: &mut Planned,
    ) -> Result<(), Error> {
        let spec = &object.spec;
        let (component, release) = (&spec.component.0, &spec.release.0);
        let repository: ImageReference = build.source.repository.0.parse().map_err(publish::Error::from)?;
        let repository = &repository;
        let revision = &given.upstream.revision;
        let commit = revision.commit().to_string();
        let ref_ = revision.name().unwrap_or(&commit);
        let version = component_version(build.source.version.as_deref(), revision.tag()).map_err(|told| {
            Error::Usage(format!("build.source.version: {told:?} is no version (PEP 440)"))
        })?;
        let version_text = version.as_ref().map(ToString::to_string);
        let about = About {
            component: Some(component.clone()),
            release: Some(release.clone()),
            source: Some(spec.upstream.url.parse::<source::RepoUrl>()?.to_string()),
            revision: Some(revision.to_string()),
            version: version_text.clone(),
            tree: None,
            patches: given
                .patches
                .iter()
                .map(|patch| PatchId::new(&patch.name, &patch.bytes))
                .collect(),
        };
        let objects = given.upstream.held.objects();
        let source =
            source_image::describe_patched_tree(repository, objects, given.series, version.as_ref(), about)?;
        let source_reference = source.reference().to_string();
        let own = source.distribution.clone();
        planned.images.push(source);
        let mut dockerfile = None;
        if let Some(from) = &build.dockerfile {
            let image = self.dockerfile(repository, from)?;
            dockerfile = Some(image.reference().to_string());
            planned.images.push(image);
        }
        let mut bases = BTreeMap::new();
        for (name, image) in &build.contexts {
            let pinned = self.pins.get(name, &image.0)?;
            if pinned.is_none() {
                planned.unpinned.insert(name.clone());
            }
            bases.insert(name.clone(), pinned.unwrap_or_else(|| image.0.clone()));
        }
        let constraints = match &spec.constraints {
            None => None,
            Some(reference) => {
                let object = self.manifest.constraint_override(&reference.name)?;
                Some(self.constraints(&reference.name, object)?)
            }
        };
        let (sources, mut distributions) = of_libraries(&planned.libraries);
        distributions.extend(own.map(|name| (component.clone(), name)));
        let mut args = given.args.clone();
        args.extend(build.args.clone());
        let mut contexts = contexts(Ingredients {
            component,
            libraries: &sources,
            distributions: &distributions,
            bases: &bases,
            constraints: constraints.as_deref(),
            args: &args,
        })?;
        if let Some(text) = contexts.constraints.take() {
            let image = source_image::describe_constraints(repository, CONSTRAINTS, release, text)?;
            contexts
                .images
                .insert(CONSTRAINTS.to_owned(), image.reference().to_string());
            planned.images.push(image);
        }
        let known = object.status.as_ref();
        let requested = requested(object.metadata.annotations.as_ref(), known);
        let made = plan(
            build,
            Published {
                component,
                release,
                ref_,
                commit: &commit,
                version: version_text.as_deref(),
                patches: given.patches.len(),
                source: &source_reference,
                dockerfile: dockerfile.as_deref(),
                contexts: &contexts.images,
                args: given.args,
                requested: requested.as_deref(),
            },
        )
        .map_err(|error| Error::Usage(error.to_string()))?;
        // An object that comes from the cluster tells what was built before.
        let before = known.and_then(|known| known.build.as_ref());
        let moved = known
            .and_then(|known| known.upstream.as_ref())
            .is_none_or(|upstream| upstream.commit != commit);
        let reasons = before.map(|before| reasons(Some(before), &made, build, component, moved));
        planned.build = Some(BuildStatus {
            reasons: reasons.unwrap_or_default(),
            distributions,
            ..made
        });
        Ok(())
    }

    /// The libraries that it is built with: those that it names, and those that they name.
    fn libraries(&self, object: &PatchSet) -> Result<Vec<Planned>, Error> {
        let names = |object: &PatchSet| -> Vec<String> {
            let named = object.spec.libraries.iter();
            named.map(|reference| reference.name.clone()).collect()
        };
        let root = object.name_any();
        let needs = |name: &str| {
            if name == root {
                return names(object);
            }
            self.manifest.patch_set(name).map(names).unwrap_or_default()
        };
        let all =
            libraries::all(&root, &needs).map_err(|error| Error::Usage(format!("libraries: {error}")))?;
        let mut planned = Vec::new();
        for name in all {
            let library = self.manifest.patch_set(&name)?;
            if library.spec.level != Level::Library {
                return Err(Error::Usage(format!(
                    "libraries: PatchSet {name} is no library: set its level to Library"
                )));
            }
            planned.push(self.plan(library)?);
        }
        Ok(planned)
    }

    fn locate(&self, patches: Option<&Patches>) -> Result<Located, Error> {
        let Some(patches) = patches else {
            return Ok(Located::None);
        };
        if let Some(git) = &patches.git {
            let held = self.places.repository("the patches' repository", git)?;
            return Ok(Located::In(held, git.path.clone()));
        }
        if let Some(reference) = &patches.source_ref {
            let held = self.places.flux_source(reference)?;
            return Ok(Located::In(held, patches.path.clone().unwrap_or_default()));
        }
        Ok(Located::Given(match &patches.config_map {
            Some(reference) => of_config_map(self.manifest.config_map(&reference.name)?),
            None => of_spec(patches.inline.as_deref().unwrap_or_default()),
        }))
    }

    fn dockerfile(&self, repository: &ImageReference, from: &DockerfileSource) -> Result<SourceImage, Error> {
        if let Some(git) = &from.git {
            let held = self.places.repository("the Dockerfile's repository", git)?;
            let folder = held.files().folder(&git.path);
            let contents = Contents {
                tree: Some(folder.map_err(|error| Error::Usage(format!("build.dockerfile: {error}")))?),
                files: Vec::new(),
            };
            return Ok(source_image::describe_folder(
                repository,
                contents,
                held.objects(),
            )?);
        }
        let files = if let Some(reference) = &from.config_map {
            let data = self.manifest.config_map(&reference.name)?;
            if !data.contains_key(from.file()) {
                return Err(Error::Usage(format!(
                    "build.dockerfile: ConfigMap {} has no key {}",
                    reference.name,
                    from.file()
                )));
            }
            data.iter()
                .map(|(name, content)| File {
                    name: name.clone(),
                    content: content.clone(),
                })
                .collect()
        } else {
            vec![File {
                name: from.file().to_owned(),
                content: from.inline.clone().unwrap_or_default().into_bytes(),
            }]
        };
        let contents = Contents { tree: None, files };
        Ok(source_image::describe_folder(
            repository,
            contents,
            Arc::new(MemoryStore::new()),
        )?)
    }

    /// The merged file of a ConstraintOverride.
    fn constraints(&self, name: &str, object: &ConstraintOverride) -> Result<Vec<u8>, Error> {
        let spec = &object.spec;
        let upper = &spec.upper_constraints;
        let text = |what: &str, git: Option<&GitPath>, map: Option<&ConfigMapKey>, inline: Option<&str>| {
            self.text(what, git, map, inline)
                .map_err(|error| Error::Usage(format!("ConstraintOverride {name}: {error}")))
        };
        let base = text(
            "the upper constraints",
            upper.git.as_ref(),
            upper.config_map.as_ref(),
            upper.inline.as_deref(),
        )?;
        let from = &spec.overrides;
        let overrides = match &from.entries {
            Some(_) => Vec::new(),
            None => text(
                "the overrides",
                from.git.as_ref(),
                from.config_map.as_ref(),
                from.inline.as_deref(),
            )?,
        };
        let merged = merged(spec, &base, &overrides)
            .map_err(|refusal| Error::Usage(format!("ConstraintOverride {name}: {}", refusal.message)))?;
        Ok(merged.text.into_bytes())
    }

    fn text(
        &self,
        what: &str,
        git: Option<&GitPath>,
        config_map: Option<&ConfigMapKey>,
        inline: Option<&str>,
    ) -> Result<Vec<u8>, Error> {
        if let Some(git) = git {
            let held = self.places.repository(what, git)?;
            let file = held.files().read_file(&git.path, &FileLimits::default());
            return file.map_err(|error| Error::Usage(format!("{what}: {error}")));
        }
        if let Some(ConfigMapKey { name, key }) = config_map {
            let data = self.manifest.config_map(name)?;
            let value = data.get(key).cloned();
            return value.ok_or_else(|| Error::Usage(format!("{what}: ConfigMap {name} has no key {key}")));
        }
        Ok(inline.unwrap_or_default().as_bytes().to_vec())
    }
}

/// What the images of a build are made from.
#[derive(Clone, Copy)]
struct Images<'a> {
    patches: &'a [PatchInput],
    args: &'a BTreeMap<String, String>,
    upstream: &'a Commit,
    series: &'a Series,
}

/// The sources of libraries by component, and the Python distributions that they are the source of.
fn of_libraries(libraries: &[Planned]) -> (Vec<(&str, &str)>, BTreeMap<String, String>) {
    let (mut sources, mut distributions) = (Vec::new(), BTreeMap::new());
    for library in libraries {
        let (Some(made), name) = (&library.build, &library.component) else {
            continue;
        };
        sources.extend(
            made.contexts
                .get(name)
                .map(|source| (name.as_str(), source.as_str())),
        );
        let found = made.distributions.get(name);
        distributions.extend(found.map(|distribution| (name.clone(), distribution.clone())));
    }
    (sources, distributions)
}

/// The patches on the upstream's tree.
fn applied(spec: Option<&Patches>, upstream: &Commit, patches: &[PatchInput]) -> Result<Series, Error> {
    let options = patch::Options {
        strip: spec.and_then(|patches| patches.strip).map(usize::from),
        directory: spec
            .and_then(|patches| patches.directory.clone())
            .unwrap_or_default()
            .into(),
        ..patch::Options::default()
    };
    let objects = upstream.held.objects();
    Ok(patch::apply(
        &*objects,
        upstream.tree,
        patches,
        Sequence::Stacked,
        &options,
    )?)
}
