//! Finds what the objects of a manifest name, and reads it.

use std::collections::BTreeMap;

use git_mirrors::{FileLimits, plain_path};
use patchset_api::build::{Build, DockerfileSource};
use patchset_api::common::{ConfigMapKey, GitPath};
use patchset_api::patch_set::Patches;
use patchset_api::{ConstraintOverride, PatchSetSpec};
use source_images::layer::Contents;

use super::manifest::ManifestObjects;
use super::places::{HeldCommit, HeldTree, SourcePlaces};
use crate::cli::error::Error;
use crate::layout::{ContentLimits, FolderPatches, TreeFiles, read_file};
use crate::plan::constraint_override::merge_files;
use crate::plan::patch_inputs::{of_config_map, of_spec};
use crate::recipe::dockerfile::{files_of_config_map, files_of_spec};
use crate::recipe::{self, FolderContents, Located};

/// Where the patches of a PatchSet are: in a folder of a tree, or at hand. `None` if it names none.
pub(super) type HeldPatches = Option<Located<(HeldTree, String), FolderPatches>>;

/// What a manifest holds, and what is in the places that it names.
#[derive(Clone, Copy)]
pub(super) struct ContentReader<'a> {
    pub(super) manifest: &'a ManifestObjects,
    pub(super) places: &'a SourcePlaces<'a>,
}

/// Where a ConstraintOverride has one of its files.
struct NamedText<'a> {
    what: &'a str,
    git: Option<&'a GitPath>,
    config_map: Option<&'a ConfigMapKey>,
    inline: Option<&'a str>,
}

impl ContentReader<'_> {
    pub(super) fn locate_patches(self, patches: Option<&Patches>) -> Result<HeldPatches, Error> {
        let Some(patches) = patches else {
            return Ok(None);
        };
        if let Some(git) = &patches.git {
            let held = self.places.repository("the patches' repository", git)?;
            return Ok(Some(Located::At((held, git.path.clone()))));
        }
        if let Some(reference) = &patches.source_ref {
            let held = self.places.flux_source(reference)?;
            let path = patches.path.clone().unwrap_or_default();
            return Ok(Some(Located::At((held, path))));
        }
        if patches.branch.is_some() {
            // They are known once the upstream's commit is: see `branch_patches`.
            return Ok(Some(Located::Given(FolderPatches::default())));
        }
        Ok(Some(Located::Given(match &patches.config_map {
            Some(reference) => of_config_map(self.manifest.config_map(&reference.name)?)
                .map_err(|error| Error::Usage(format!("ConfigMap {}: {error}", reference.name)))?,
            None => of_spec(patches.inline.as_deref().unwrap_or_default()),
        })))
    }

    /// The patches of a branch, for the upstream's commit; `None` where the spec names none.
    pub(super) fn branch_patches(
        self,
        spec: &PatchSetSpec,
        upstream: &HeldCommit,
    ) -> Result<Option<FolderPatches>, Error> {
        let branch = spec.patches.as_ref().and_then(|patches| patches.branch.as_ref());
        let Some(branch) = branch else {
            return Ok(None);
        };
        let url = branch.url.as_ref().unwrap_or(&spec.upstream.url);
        self.places.branch(url, branch, upstream).map(Some)
    }

    pub(super) fn dockerfile(self, from: &DockerfileSource) -> Result<FolderContents, Error> {
        if let Some(git) = &from.git {
            let held = self.places.repository("the Dockerfile's repository", git)?;
            let folder = held.files().folder(&git.path);
            return Ok(FolderContents {
                contents: Contents {
                    tree: Some(folder.map_err(|error| Error::Usage(format!("build.dockerfile: {error}")))?),
                    files: Vec::new(),
                },
                objects: held.objects(),
            });
        }
        let Some(map) = &from.config_map else {
            return Ok(files_of_spec(from).into());
        };
        let files = files_of_config_map(from, self.manifest.config_map(&map.name)?);
        files.map(Into::into).ok_or_else(|| {
            Error::Usage(format!(
                "build.dockerfile: ConfigMap {} has no key {}",
                map.name,
                from.file()
            ))
        })
    }

    /// The merged constraints.
    pub(super) fn constraints(self, name: &str) -> Result<Vec<u8>, Error> {
        let ConstraintOverride { spec, .. } = self.manifest.constraint_override(name)?;
        let (upper, overrides) = (&spec.upper_constraints, &spec.overrides);
        let wrong =
            |error: &dyn std::fmt::Display| Error::Usage(format!("ConstraintOverride {name}: {error}"));
        let base = NamedText {
            what: "the upper constraints",
            git: upper.git.as_ref(),
            config_map: upper.config_map.as_ref(),
            inline: upper.inline.as_deref(),
        };
        let base = self.text(&base).map_err(|error| wrong(&error))?;
        let text = NamedText {
            what: "the overrides",
            git: overrides.git.as_ref(),
            config_map: overrides.config_map.as_ref(),
            inline: overrides.inline.as_deref(),
        };
        let overrides = match &overrides.entries {
            Some(_) => Vec::new(),
            None => self.text(&text).map_err(|error| wrong(&error))?,
        };
        let merged = merge_files(spec, &base, &overrides).map_err(|refusal| wrong(&refusal.message))?;
        Ok(merged.text.into_bytes())
    }

    fn text(self, text: &NamedText<'_>) -> Result<Vec<u8>, Error> {
        let what = text.what;
        if let Some(git) = text.git {
            let held = self.places.repository(what, git)?;
            return read_in(&held, what, &git.path);
        }
        if let Some(ConfigMapKey { name, key }) = text.config_map {
            let value = self.manifest.config_map(name)?.get(key).cloned();
            return value.ok_or_else(|| Error::Usage(format!("{what}: ConfigMap {name} has no key {key}")));
        }
        Ok(text.inline.unwrap_or_default().as_bytes().to_vec())
    }
}

/// Reads the patches, in the order in which they apply.
pub(super) fn read_patches(located: HeldPatches) -> Result<FolderPatches, Error> {
    let (held, path) = match located {
        None => return Ok(FolderPatches::default()),
        Some(Located::Given(patches)) => return Ok(patches),
        Some(Located::At(place)) => place,
    };
    let wrong = |error: &dyn std::fmt::Display| Error::Usage(format!("the patches: {error}"));
    let path = plain_path(&path).map_err(|error| wrong(&error))?;
    let objects = held.objects();
    let root = held.files().folder("")?;
    let files = TreeFiles::new(&*objects, root);
    FolderPatches::read(&files, &path, &ContentLimits::default()).map_err(|error| wrong(&error))
}

/// Reads a component's build arguments from where `build.extraPackagesFrom` says.
pub(super) fn read_arguments(
    spec: &PatchSetSpec,
    build: &Build,
    located: &HeldPatches,
) -> Result<BTreeMap<String, String>, Error> {
    let Some(from) = &build.extra_packages_from else {
        return Ok(BTreeMap::new());
    };
    let bytes = read_beside(located, "build.extraPackagesFrom", &from.path)?;
    Ok(recipe::read_arguments(&from.path, &bytes, &spec.component.0)?)
}

/// Reads one file beside the patches. `field` is what asks for it.
pub(super) fn read_beside(located: &HeldPatches, field: &str, path: &str) -> Result<Vec<u8>, Error> {
    match located {
        Some(Located::At((held, _))) => read_in(held, field, path),
        None | Some(Located::Given(_)) => Err(Error::Usage(format!(
            "{field} needs patches.git or patches.sourceRef"
        ))),
    }
}

/// Reads a file, following links inside its tree. `what` is what asks for it.
fn read_in(held: &HeldTree, what: &str, path: &str) -> Result<Vec<u8>, Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::Usage(format!("{what}: {error}"));
    let path = plain_path(path).map_err(|error| wrong(&error))?;
    let objects = held.objects();
    let files = TreeFiles::new(&*objects, held.files().folder("")?);
    read_file(&files, "", &path, FileLimits::default().file).map_err(|error| wrong(&error))
}
