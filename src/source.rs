//! What a spec says of a source (`GitRef`, `VerificationMode`), in the terms of `git-mirrors`, and
//! the files of a Flux artifact for layouts.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

#[cfg(feature = "controller")]
use git_mirrors::SignedObjects;
use git_mirrors::{Agent, ArtifactKind, Error, MirrorConfig, OpenedArtifact, RefSpec, Revision};
use patchset_api::common::GitRef;
#[cfg(feature = "controller")]
use patchset_api::common::VerificationMode;

use crate::layout::{FileKind, FilesError, FolderEntry, RepositoryFiles};

/// Configures mirrors in a folder, with the library's bounds and this program's name.
#[must_use]
pub fn mirror_config(root: impl Into<PathBuf>) -> MirrorConfig {
    MirrorConfig {
        agent: Agent {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
        },
        ..MirrorConfig::new(root)
    }
}

/// The ref that a spec names.
///
/// # Errors
///
/// [`Error::RefInvalid`] if it names none or several, or a range that is not one.
pub fn ref_spec(git: &GitRef) -> Result<RefSpec, Error> {
    match (&git.branch, &git.tag, &git.commit, &git.semver) {
        (Some(branch), None, None, None) => Ok(RefSpec::Branch(branch.clone())),
        (None, Some(tag), None, None) => Ok(RefSpec::Tag(tag.clone())),
        (None, None, Some(commit), None) => Ok(RefSpec::Commit(commit.clone())),
        (None, None, None, Some(range)) => range.parse().map(RefSpec::Semver),
        _ => Err(Error::RefInvalid {
            wanted: "ref".to_owned(),
            reason: "set exactly one of branch, tag, commit and semver".to_owned(),
        }),
    }
}

/// A revision as a status has it.
#[must_use]
pub fn api_revision(revision: &Revision) -> patchset_api::Revision {
    patchset_api::Revision {
        name: revision.name().map(ToOwned::to_owned),
        commit: revision.commit(),
    }
}

/// What has to be signed, as a spec says it.
#[cfg(feature = "controller")]
#[must_use]
pub fn signed_objects(mode: VerificationMode) -> SignedObjects {
    match mode {
        VerificationMode::HEAD => SignedObjects::Commit,
        VerificationMode::Tag => SignedObjects::Tag,
        VerificationMode::TagAndHEAD => SignedObjects::TagAndCommit,
    }
}

/// The files of a Flux artifact, as layouts read them.
///
/// Each file that is read takes a pass over the archive, so files that are known in advance are
/// best read at once by [`keep`](Self::keep).
pub struct ArtifactFiles<'a> {
    artifact: OpenedArtifact<'a>,
    kept: RefCell<HashMap<String, Vec<u8>>>,
}

impl<'a> ArtifactFiles<'a> {
    /// The files of an artifact.
    #[must_use]
    pub fn new(artifact: OpenedArtifact<'a>) -> Self {
        Self {
            artifact,
            kept: RefCell::default(),
        }
    }

    /// Reads files ahead for [`RepositoryFiles::read`].
    ///
    /// # Errors
    ///
    /// As for [`OpenedArtifact::read_files`].
    pub fn keep(&self, paths: &BTreeSet<String>) -> Result<(), Error> {
        let files = self.artifact.read_files(paths, u64::MAX)?;
        let mut kept = self.kept.borrow_mut();
        kept.extend(files.into_iter().map(|file| (file.name, file.content)));
        Ok(())
    }
}

impl RepositoryFiles for ArtifactFiles<'_> {
    fn entries(&self, folder: &str) -> Result<Option<Vec<FolderEntry>>, FilesError> {
        let entries = self.artifact.entries(folder).map(|entries| {
            entries.iter().map(|entry| FolderEntry {
                name: entry.name.clone(),
                kind: match &entry.kind {
                    ArtifactKind::File => FileKind::File,
                    ArtifactKind::Folder => FileKind::Folder,
                    ArtifactKind::Link { target } => FileKind::Link {
                        target: target.clone(),
                    },
                    ArtifactKind::Other => FileKind::Other,
                },
            })
        });
        Ok(entries.map(Iterator::collect))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
        let too_large = || FilesError::TooLarge {
            path: path.to_owned(),
            limit,
        };
        if let Some(content) = self.kept.borrow().get(path) {
            return if content.len() as u64 > limit {
                Err(too_large())
            } else {
                Ok(content.clone())
            };
        }
        let read = self
            .artifact
            .read_files(&BTreeSet::from([path.to_owned()]), limit);
        match read {
            Ok(files) => Ok(files
                .into_iter()
                .next()
                .map(|file| file.content)
                .unwrap_or_default()),
            Err(Error::FileNotFound { .. }) => Err(FilesError::NotFound {
                path: path.to_owned(),
            }),
            Err(Error::TooLarge { what, .. }) if what == path => Err(too_large()),
            Err(error) => Err(FilesError::Unreadable {
                path: path.to_owned(),
                source: Box::new(error),
            }),
        }
    }
}
