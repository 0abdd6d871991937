//! Where patches are, and those of a ConfigMap or of a spec itself.

use std::collections::BTreeMap;

use crate::api::patch_set::{InlinePatch, Patches};
use crate::layout::{
    ContentLimits, FileKind, FilesError, FolderEntry, FolderPatches, LayoutError, RepositoryFiles,
};
use crate::patch::PatchInput;

/// Where a spec has its patches, in words; nothing where it has them itself.
#[must_use]
pub fn describe_location(patches: &Patches) -> Option<String> {
    let folder = |path: &str| match path {
        "" | "." => "the root".to_owned(),
        path => path.to_owned(),
    };
    if let Some(git) = &patches.git {
        return Some(format!("{} of {}", folder(&git.path), git.url));
    }
    if let Some(source) = &patches.source_ref {
        let path = folder(patches.path.as_deref().unwrap_or_default());
        return Some(format!("{path} of {} {}", source.kind.kind(), source.name));
    }
    if let Some(branch) = &patches.branch {
        let repository = branch.url.as_deref().unwrap_or("the upstream");
        return Some(format!("branch {} of {repository}", branch.branch));
    }
    let map = patches.config_map.as_ref();
    map.map(|map| format!("ConfigMap {}", map.name))
}

/// The patches among the keys of a ConfigMap, which is read as a folder.
///
/// # Errors
///
/// Where a key lists patches that are not there.
pub fn of_config_map(data: &BTreeMap<String, Vec<u8>>) -> Result<FolderPatches, LayoutError> {
    FolderPatches::read(&ConfigMapFiles(data), "", &ALL_KEYS)
}

/// A ConfigMap's size is bounded already.
const ALL_KEYS: ContentLimits = ContentLimits {
    file: u64::MAX,
    total: u64::MAX,
    count: usize::MAX,
};

/// The keys of a ConfigMap as files.
struct ConfigMapFiles<'a>(&'a BTreeMap<String, Vec<u8>>);

impl RepositoryFiles for ConfigMapFiles<'_> {
    fn entries(&self, folder: &str) -> Result<Option<Vec<FolderEntry>>, FilesError> {
        let entries = self.0.keys().map(|name| FolderEntry {
            name: name.clone(),
            kind: FileKind::File,
        });
        Ok(folder.is_empty().then(|| entries.collect()))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
        let path = path.to_owned();
        match self.0.get(&path) {
            Some(bytes) if bytes.len() as u64 <= limit => Ok(bytes.clone()),
            Some(_) => Err(FilesError::TooLarge { path, limit }),
            None => Err(FilesError::NotFound { path }),
        }
    }
}

/// The patches in a spec, in the order of their names.
#[must_use]
pub fn of_spec(inline: &[InlinePatch]) -> FolderPatches {
    let mut patches: Vec<PatchInput> = inline
        .iter()
        .map(|patch| PatchInput::new(&patch.name, patch.content.as_bytes()))
        .collect();
    patches.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    FolderPatches { patches, note: None }
}
