//! What a working tree remembers of the series that it was made of, in its Git folder:
//!
//! ```text
//! <git folder>/patchset-edit/
//! ├── state.json
//! └── patches/0, 1, …   the files of the patches as they were
//! ```

use std::path::PathBuf;

use git_apply_engine::{Options, PatchInput};
use serde::{Deserialize, Serialize};

use super::git_tree::GitTree;
use crate::cli::error::Error;

/// The version of the file that this program writes.
const VERSION: u32 = 1;

/// What a working tree remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::cli) struct EditState {
    version: u32,
    /// Whose series it is.
    pub(in crate::cli) component: String,
    pub(in crate::cli) release: String,
    /// What the series was put on, and its commit.
    pub(in crate::cli) reference: String,
    pub(in crate::cli) base: String,
    /// The date of patches that do not state one.
    pub(super) undated: i64,
    /// How names in patches are read.
    pub(super) strip: Option<usize>,
    pub(super) directory: String,
    pub(in crate::cli) patches: Vec<EditedSeriesPatch>,
    /// The number of the patch that waits for the user, from 0.
    pub(in crate::cli) waiting: Option<usize>,
    /// The commit that it goes on top of.
    pub(super) head: String,
}

/// A patch of the series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::cli) struct EditedSeriesPatch {
    pub(in crate::cli) name: String,
    pub(super) strip: Option<u8>,
    /// The commit that stands for it; nothing where it was left out, or is not there yet.
    pub(in crate::cli) commit: Option<String>,
    /// The tree before it where the series last applied.
    pub(super) last_applied: Option<String>,
}

impl EditState {
    pub(super) fn new(component: &str, release: &str, reference: &str, base: String) -> Self {
        Self {
            version: VERSION,
            component: component.to_owned(),
            release: release.to_owned(),
            reference: reference.to_owned(),
            head: base.clone(),
            base,
            undated: 0,
            strip: None,
            directory: String::new(),
            patches: Vec::new(),
            waiting: None,
        }
    }

    /// The date of patches that do not state one, in seconds since the epoch.
    pub(in crate::cli) fn undated(&self) -> i64 {
        self.undated
    }

    fn folder(tree: &GitTree) -> PathBuf {
        tree.git_folder().join("patchset-edit")
    }

    /// How the patches are read.
    pub(super) fn engine(&self) -> Options {
        Options {
            strip: self.strip,
            directory: self.directory.as_str().into(),
            ..Options::default()
        }
    }

    /// Reads what a working tree remembers.
    pub(in crate::cli) fn read(tree: &GitTree) -> Result<Self, Error> {
        let path = Self::folder(tree).join("state.json");
        let shown = tree.folder().display();
        let bytes = std::fs::read(&path).map_err(|_| {
            Error::Usage(format!(
                "{shown} is not a working tree made by patchset edit: name it with --into or --from, or make one with patchset edit COMPONENT/RELEASE"
            ))
        })?;
        let state: Self = serde_json::from_slice(&bytes).map_err(|error| {
            Error::Usage(format!(
                "{}: {error}: another version of patchset wrote it; create a new working tree",
                path.display()
            ))
        })?;
        if state.version != VERSION {
            return Err(Error::Usage(format!(
                "{}: another version of patchset wrote it; create a new working tree",
                path.display()
            )));
        }
        Ok(state)
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self, tree: &GitTree) -> Result<(), Error> {
        let folder = Self::folder(tree);
        let (path, new) = (folder.join("state.json"), folder.join("state.json.new"));
        let failed = |source| Error::Io {
            path: path.display().to_string(),
            source,
        };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        std::fs::write(&new, serde_json::to_vec_pretty(self)?).map_err(failed)?;
        std::fs::rename(&new, &path).map_err(failed)
    }

    /// Keeps the files of the patches.
    pub(super) fn keep_patches(tree: &GitTree, patches: &[PatchInput]) -> Result<(), Error> {
        let folder = Self::folder(tree).join("patches");
        for (at, patch) in patches.iter().enumerate() {
            let path = folder.join(at.to_string());
            let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, &patch.bytes));
            written.map_err(|source| Error::Io {
                path: path.display().to_string(),
                source,
            })?;
        }
        Ok(())
    }

    /// The patches as they were.
    pub(in crate::cli) fn read_patches(&self, tree: &GitTree) -> Result<Vec<PatchInput>, Error> {
        let folder = Self::folder(tree).join("patches");
        let read = |(at, patch): (usize, &EditedSeriesPatch)| {
            let path = folder.join(at.to_string());
            let bytes = std::fs::read(&path).map_err(|source| Error::Io {
                path: path.display().to_string(),
                source,
            })?;
            Ok(PatchInput::new(&patch.name, bytes).with_strip(patch.strip))
        };
        self.patches.iter().enumerate().map(read).collect()
    }
}
