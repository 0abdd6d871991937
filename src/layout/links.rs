//! Walks through a repository's folders, and follows links inside of it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::fault::LayoutError;
use super::files::{FileKind, FilesError, FolderEntry, RepositoryFiles};

/// The most links that are followed on the way to one file.
const MOST_LINKS: usize = 16;
/// The most names in a path, with those of the links on the way.
const DEEPEST: usize = 256;
/// The most folders that are read of one repository.
const MOST_FOLDERS: usize = 50_000;
/// The most names in all folders that are read.
const MOST_ENTRIES: usize = 500_000;

type Entries = Option<Rc<[FolderEntry]>>;

/// The files of a repository, each folder read once, within bounds.
pub(super) struct FolderWalk<'a> {
    files: &'a dyn RepositoryFiles,
    /// The folder that paths are relative to. Links may lead out of it, not out of the repository.
    directory: &'a str,
    read: RefCell<HashMap<String, Entries>>,
    entries_left: Cell<usize>,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FoundAt {
    Nothing,
    /// A file; its path from the repository's root, without links.
    File(String),
    /// A folder; its path from the repository's root, without links.
    Folder(String),
    /// Something that is not read: why, as the end of a sentence that begins with its path.
    Refused(String),
}

impl<'a> FolderWalk<'a> {
    pub(super) fn new(files: &'a dyn RepositoryFiles, directory: &'a str) -> Self {
        Self {
            files,
            directory,
            read: RefCell::default(),
            entries_left: Cell::new(MOST_ENTRIES),
        }
    }

    /// What is directly in a folder; `None` where there is none. Its path is one that
    /// [`locate`](Self::locate) gave.
    pub(super) fn entries(&self, folder: &str) -> Result<Entries, LayoutError> {
        if let Some(known) = self.read.borrow().get(folder) {
            return Ok(known.clone());
        }
        if self.read.borrow().len() >= MOST_FOLDERS {
            return Err(LayoutError::TooMuch {
                what: "the number of folders".to_owned(),
                limit: MOST_FOLDERS,
            });
        }
        let mut entries = self.files.entries(folder)?;
        if let Some(entries) = &mut entries {
            entries.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        }
        let entries: Entries = entries.map(Rc::from);
        let count = entries.as_ref().map_or(0, |entries| entries.len());
        let Some(left) = self.entries_left.get().checked_sub(count) else {
            return Err(LayoutError::TooMuch {
                what: "the number of files and folders".to_owned(),
                limit: MOST_ENTRIES,
            });
        };
        self.entries_left.set(left);
        self.read.borrow_mut().insert(folder.to_owned(), entries.clone());
        Ok(entries)
    }

    /// What is at a path from the repository's root that has no links on the way.
    pub(super) fn kind_at(&self, path: &str) -> Result<Option<FileKind>, LayoutError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let entries = self.entries(folder)?;
        let mut entries = entries.iter().flat_map(|entries| entries.iter());
        let found = entries.find(|entry| entry.name == name);
        Ok(found.map(|entry| entry.kind.clone()))
    }

    pub(super) fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
        self.files.read(path, limit)
    }

    /// What is at a path below the directory, through the links on the way.
    pub(super) fn locate(&self, path: &str) -> Result<FoundAt, LayoutError> {
        let refused = |reason: String| Ok(FoundAt::Refused(reason));
        let mut names: VecDeque<String> = self
            .directory
            .split('/')
            .chain(path.split('/'))
            .map(ToOwned::to_owned)
            .collect();
        let mut at: Vec<String> = Vec::new();
        let mut followed = 0;
        while let Some(name) = names.pop_front() {
            match name.as_str() {
                "" | "." => continue,
                ".." if at.pop().is_some() => continue,
                ".." => return refused("leads out of the repository".to_owned()),
                _ => {}
            }
            if at.len() + names.len() > DEEPEST {
                return refused(format!("is nested more than {DEEPEST} folders deep"));
            }
            let folder = at.join("/");
            let Some(entries) = self.entries(&folder)? else {
                return Ok(FoundAt::Nothing);
            };
            let found = entries
                .binary_search_by(|entry| entry.name.as_bytes().cmp(name.as_bytes()))
                .ok()
                .and_then(|at| entries.get(at));
            match found.map(|entry| &entry.kind) {
                Some(FileKind::Folder) => at.push(name),
                Some(FileKind::File) if names.iter().all(|name| name.is_empty() || name == ".") => {
                    at.push(name);
                    return Ok(FoundAt::File(at.join("/")));
                }
                None | Some(FileKind::File) => return Ok(FoundAt::Nothing),
                Some(FileKind::Submodule) => return refused("is a submodule".to_owned()),
                Some(FileKind::Other) => return refused(other_in_words(&name).to_owned()),
                Some(FileKind::Link { target }) => {
                    followed += 1;
                    if followed > MOST_LINKS {
                        return refused(format!(
                            "is a link that loops, or leads through more than {MOST_LINKS} links"
                        ));
                    }
                    if target.starts_with('/') {
                        return refused(format!(
                            "is a link out of the repository, to {}",
                            foreign_text::printable(target, 200)
                        ));
                    }
                    for part in target.split('/').rev() {
                        names.push_front(part.to_owned());
                    }
                }
            }
        }
        Ok(FoundAt::Folder(at.join("/")))
    }
}

/// What is wrong with something that is neither file, folder nor link.
pub(super) fn other_in_words(name: &str) -> &'static str {
    if name.contains(char::REPLACEMENT_CHARACTER) {
        "has a name that is not UTF-8"
    } else {
        "is not a regular file"
    }
}
