//! The folder with the Dockerfile, where it is not in a repository.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::FolderContents;
use crate::api::build::DockerfileSource;
use crate::patch::MemoryStore;
use crate::publish::layer::{Contents, File};

/// Returns the folder that the keys of a ConfigMap are; `None` if none of them is the Dockerfile.
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
