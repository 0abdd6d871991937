//! Where patches are, and those of a ConfigMap or of a spec itself.

use std::collections::BTreeMap;

use git_apply_engine::PatchInput;
use patchset_api::patch_set::{InlinePatch, Patches};

use crate::layout::{
    ContentLimits, FileKind, FilesError, FolderEntry, FolderPatches, LayoutError, RepositoryFiles,
};

/// Where a spec's patches are, in words; `None` if they are in the spec itself.
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
/// If a key lists patches that do not exist.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_place_of_patches_is_told_in_words() {
        for (patches, expected) in [
            (
                json!({ "git": { "url": "https://e/p", "ref": { "branch": "main" }, "path": "glance" } }),
                Some("glance of https://e/p"),
            ),
            (
                json!({ "sourceRef": { "kind": "GitRepository", "name": "team" } }),
                Some("the root of GitRepository team"),
            ),
            (
                json!({ "sourceRef": { "kind": "GitRepository", "name": "team" }, "path": "glance" }),
                Some("glance of GitRepository team"),
            ),
            (
                json!({ "branch": { "branch": "ours" } }),
                Some("branch ours of the upstream"),
            ),
            (
                json!({ "branch": { "branch": "ours", "url": "https://e/f" } }),
                Some("branch ours of https://e/f"),
            ),
            (json!({ "configMap": { "name": "map" } }), Some("ConfigMap map")),
            (json!({ "inline": [] }), None),
        ] {
            let read: Patches = serde_json::from_value(patches.clone()).unwrap();
            assert_eq!(describe_location(&read).as_deref(), expected, "{patches}");
        }
    }

    #[test]
    fn patches_of_a_config_map_are_its_keys_and_those_of_a_spec_come_by_name() {
        let keys = [("b.patch", "second"), ("a.patch", "first"), ("README", "text")];
        let data = keys.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
        let read = of_config_map(&BTreeMap::from(data)).unwrap().patches;
        let inline = [("b.patch", "second"), ("a.patch", "first")].map(|(name, content)| {
            serde_json::from_value(json!({ "name": name, "content": content })).unwrap()
        });
        for patches in [read, of_spec(&inline).patches] {
            let found: Vec<(&str, &[u8])> = patches
                .iter()
                .map(|patch| (patch.name.as_str(), &patch.bytes[..]))
                .collect();
            assert_eq!(found, [("a.patch", &b"first"[..]), ("b.patch", b"second")]);
        }
    }

    #[test]
    fn keys_are_files_of_a_folder_without_others() {
        let data = BTreeMap::from([("a.patch".to_owned(), b"text".to_vec())]);
        let files = ConfigMapFiles(&data);
        assert_eq!(files.entries("").unwrap().unwrap()[0].name, "a.patch");
        assert_eq!(files.entries("folder").unwrap(), None);
        assert_eq!(files.read("a.patch", 4).unwrap(), b"text");
        assert!(matches!(
            files.read("a.patch", 3),
            Err(FilesError::TooLarge { limit: 3, .. })
        ));
        assert!(matches!(
            files.read("b.patch", 4),
            Err(FilesError::NotFound { .. })
        ));
    }
}
