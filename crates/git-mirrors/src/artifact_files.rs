//! Everything that a Flux source published, for browsing: what is in each folder, and the files
//! that are asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::time::Instant;

use super::artifact::{ArchiveEntry, Artifact, ArtifactLimits, Download};
use super::error::bytes;
use super::files::plain_path;
use super::{Error, Mirrors, SourceFile};

/// The most bytes that all names in an artifact may take, the paths of folders included.
const MOST_NAMES: usize = 32 << 20;

/// A downloaded artifact that matches its digest.
pub struct OpenedArtifact<'a> {
    artifact: Artifact,
    limits: ArtifactLimits,
    packed: Download<'a>,
    /// What is in each folder, by its path.
    folders: HashMap<String, Vec<ArtifactEntry>>,
}

/// A name in a folder of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactEntry {
    /// The name, without a folder.
    pub name: String,
    /// What it is.
    pub kind: ArtifactKind,
}

/// What a name in an artifact stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArtifactKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// Where it leads, as written.
        target: String,
    },
    /// A hard link or a special file, or a name that is not UTF-8.
    Other,
}

impl Mirrors {
    /// Downloads an artifact, checks its digest, and lists its contents. Its path and suffix are
    /// ignored.
    ///
    /// # Errors
    ///
    /// As for [`Mirrors::fetch_artifact`].
    pub fn open_artifact(
        &self,
        artifact: &Artifact,
        limits: &ArtifactLimits,
        deadline: Instant,
    ) -> Result<OpenedArtifact<'_>, Error> {
        let packed = self.download_artifact(artifact, limits, deadline)?;
        let mut listing = Listing {
            artifact,
            folders: HashMap::from([(String::new(), BTreeMap::new())]),
            names_left: MOST_NAMES,
        };
        packed.scan(artifact, limits, |entry, _| listing.take(entry))?;
        let folders = listing.folders.into_iter().map(|(path, entries)| {
            let entries = entries.into_iter();
            (
                path,
                entries.map(|(name, kind)| ArtifactEntry { name, kind }).collect(),
            )
        });
        Ok(OpenedArtifact {
            artifact: artifact.clone(),
            limits: *limits,
            packed,
            folders: folders.collect(),
        })
    }
}

impl OpenedArtifact<'_> {
    /// What is directly in a folder, sorted by name as bytes; `None` if there is no such folder.
    /// The root is "".
    #[must_use]
    pub fn entries(&self, folder: &str) -> Option<&[ArtifactEntry]> {
        self.folders.get(folder).map(Vec::as_slice)
    }

    /// Reads the files at these paths, in one go; their names are their paths.
    ///
    /// # Errors
    ///
    /// [`Error::FileNotFound`] if one does not exist or is not a file; [`Error::TooLarge`] for more
    /// than the limits on files allow, or more than `file_bytes` in one; [`Error::Corrupt`] if one
    /// occurs twice.
    pub fn read_files(&self, paths: &BTreeSet<String>, file_bytes: u64) -> Result<Vec<SourceFile>, Error> {
        let limits = &self.limits.files;
        if paths.len() > limits.count {
            return Err(Error::TooLarge {
                what: format!("the number of files of the artifact {}", self.artifact.url),
                limit: limits.count.to_string(),
            });
        }
        let mut read: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut left = limits.total;
        self.packed.scan(&self.artifact, &self.limits, |entry, damaged| {
            let path = plain_path(&String::from_utf8_lossy(&entry.path_bytes()))?;
            if !entry.header().entry_type().is_file() || !paths.contains(&path) {
                return Ok(());
            }
            let limit = file_bytes.min(limits.file).min(left);
            if entry.size() > limit {
                return Err(Error::TooLarge {
                    what: path,
                    limit: bytes(limit),
                });
            }
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(|error| damaged(&error))?;
            left -= content.len() as u64;
            if read.insert(path.clone(), content).is_some() {
                return Err(Error::Corrupt {
                    what: format!("the artifact {}", self.artifact.url),
                    reason: format!("it contains {path} twice"),
                });
            }
            Ok(())
        })?;
        if let Some(missing) = paths.iter().find(|path| !read.contains_key(*path)) {
            return Err(Error::FileNotFound {
                path: missing.clone(),
                revision: self.artifact.url.to_string(),
            });
        }
        let files = read.into_iter();
        Ok(files
            .map(|(name, content)| SourceFile { name, content })
            .collect())
    }
}

/// What is in each folder, as far as the archive was read.
struct Listing<'a> {
    artifact: &'a Artifact,
    folders: HashMap<String, BTreeMap<String, ArtifactKind>>,
    /// Bytes that names may still take.
    names_left: usize,
}

impl Listing<'_> {
    fn take(&mut self, entry: &ArchiveEntry<'_>) -> Result<(), Error> {
        let raw = entry.path_bytes();
        let is_text = std::str::from_utf8(&raw).is_ok();
        let path = plain_path(&String::from_utf8_lossy(&raw))?;
        let kind = entry.header().entry_type();
        let kind = if kind.is_dir() {
            ArtifactKind::Folder
        } else if !is_text {
            ArtifactKind::Other
        } else if kind.is_file() {
            ArtifactKind::File
        } else if kind.is_symlink() {
            let target = entry.link_name_bytes().unwrap_or_default();
            ArtifactKind::Link {
                target: String::from_utf8_lossy(&target).into_owned(),
            }
        } else {
            ArtifactKind::Other
        };
        self.insert(&path, kind)
    }

    /// Records what is at a path, and the folders above it.
    fn insert(&mut self, path: &str, kind: ArtifactKind) -> Result<(), Error> {
        let (mut path, mut kind) = (path, kind);
        while !path.is_empty() {
            let is_folder = kind == ArtifactKind::Folder;
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let is_known = self.folders.contains_key(folder);
            if is_folder && !self.folders.contains_key(path) {
                self.spend(path.len())?;
                self.folders.insert(path.to_owned(), BTreeMap::new());
            }
            self.spend(name.len())?;
            let entries = self.folders.entry(folder.to_owned()).or_default();
            entries.insert(name.to_owned(), kind);
            if is_known {
                break;
            }
            self.spend(folder.len())?;
            (path, kind) = (folder, ArtifactKind::Folder);
        }
        Ok(())
    }

    fn spend(&mut self, count: usize) -> Result<(), Error> {
        let left = self.names_left.checked_sub(count);
        self.names_left = left.ok_or_else(|| Error::TooLarge {
            what: format!("the names in the artifact {}", self.artifact.url),
            limit: bytes(MOST_NAMES as u64),
        })?;
        Ok(())
    }
}
