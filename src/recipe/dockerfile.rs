//! The folder with the Dockerfile, where it is not in a repository.

use std::collections::BTreeMap;
use std::sync::Arc;

use git_apply_engine::MemoryStore;
use patchset_api::build::DockerfileSource;
use source_images::layer::{Contents, File};

use super::FolderContents;

/// Returns the keys of a ConfigMap as a folder; `None` if none of them is the Dockerfile.
#[must_use]
pub fn files_of_config_map(source: &DockerfileSource, data: &BTreeMap<String, Vec<u8>>) -> Option<Vec<File>> {
    let files = data.iter().map(|(name, content)| File {
        name: name.clone(),
        content: content.clone(),
    });
    data.contains_key(source.file()).then(|| files.collect())
}

/// Returns the folder with just the Dockerfile of the spec.
#[must_use]
pub fn files_of_spec(source: &DockerfileSource) -> Vec<File> {
    vec![File {
        name: source.file().to_owned(),
        content: source.inline.clone().unwrap_or_default().into_bytes(),
    }]
}

impl From<Vec<File>> for FolderContents {
    fn from(files: Vec<File>) -> Self {
        Self {
            contents: Contents { tree: None, files },
            objects: Arc::new(MemoryStore::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(files: &[File]) -> Vec<(&str, &[u8])> {
        let files = files.iter();
        files
            .map(|file| (file.name.as_str(), file.content.as_slice()))
            .collect()
    }

    #[test]
    fn a_config_map_is_a_folder_where_it_has_the_dockerfile() {
        let source = serde_json::json!({ "configMapRef": { "name": "c" }, "file": "Containerfile" });
        let source: DockerfileSource = serde_json::from_value(source).unwrap();
        let mut data = BTreeMap::from([("run.sh".to_owned(), b"true".to_vec())]);
        assert!(files_of_config_map(&source, &data).is_none());
        data.insert("Containerfile".to_owned(), b"FROM scratch".to_vec());
        let files = files_of_config_map(&source, &data).unwrap();
        let expected: [(&str, &[u8]); 2] = [("Containerfile", b"FROM scratch"), ("run.sh", b"true")];
        assert_eq!(named(&files), expected);
    }

    #[test]
    fn a_dockerfile_of_the_spec_is_alone_in_its_folder() {
        let source = serde_json::json!({ "inline": "FROM scratch" });
        let source: DockerfileSource = serde_json::from_value(source).unwrap();
        let expected: [(&str, &[u8]); 1] = [("Dockerfile", b"FROM scratch")];
        assert_eq!(named(&files_of_spec(&source)), expected);
    }
}
