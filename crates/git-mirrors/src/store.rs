//! One mirror on disk: a bare repository that holds whole commits without their history.
//!
//! Which commits are held whole is written down under `refs/held/`, after the pack is in place and
//! was checked. Every commit is a shallow root, so `git` itself reads the mirror too.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use git2::{ErrorCode, ObjectType, Odb, Repository};

use super::local::from_git2;
use super::pack::{LARGEST_TREE, PackCheck, PackLimits};
use super::{Error, Oid};

const HELD: &str = "refs/held";
/// Beyond this many packs a mirror is thrown away and fetched anew, because each one slows every
/// lookup.
const MAX_PACKS: usize = 48;
/// Depth of folders that a tree may have.
const MAX_DEPTH: usize = 128;

/// A bare repository in the only folder of a mirror's folder.
///
/// That folder has a new name each time the mirror is built: libgit2 shares open packs by path
/// among all repositories of the process, and would read a rebuilt pack from the damaged one while
/// a reader has that open.
pub(super) struct Store {
    dir: PathBuf,
    repository: Repository,
}

impl Store {
    /// Opens the mirror; `None` where there is none.
    pub(super) fn open(mirror: &Path) -> Result<Option<Self>, Error> {
        if !mirror.exists() {
            return Ok(None);
        }
        let Some(dir) = list(mirror)?.pop() else {
            return Ok(None);
        };
        let repository = Repository::open_bare(&dir).map_err(|error| damaged(&dir, &error))?;
        match repository.head() {
            Ok(_) => {}
            Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => {}
            Err(error) => return Err(damaged(&dir, &error)),
        }
        let store = Self { dir, repository };
        store.shallow()?;
        Ok(Some(store))
    }

    /// Makes an empty mirror; it appears under its name only when complete.
    pub(super) fn create(mirror: &Path) -> Result<Self, Error> {
        let parent = mirror.parent().unwrap_or(mirror);
        let new = tempfile::Builder::new()
            .prefix(NEW)
            .tempdir_in(parent)
            .map_err(|error| Error::io(parent, &error))?;
        let name = new.path().file_name().unwrap_or_default();
        let repository = new.path().join(name).with_extension("git");
        Repository::init_bare(&repository).map_err(|error| io(mirror, &error))?;
        let held = repository.join(HELD);
        fs::create_dir_all(&held).map_err(|error| Error::io(&held, &error))?;
        // An empty folder of this name may be there, and is replaced.
        fs::rename(new.path(), mirror).map_err(|error| Error::io(mirror, &error))?;
        Self::open(mirror)?.ok_or_else(|| Error::Io {
            path: mirror.display().to_string(),
            reason: "vanished while it was made".to_owned(),
        })
    }

    /// Removes what a killed fetch left behind.
    ///
    /// The caller holds the mirror's lock, so nobody else writes.
    pub(super) fn sweep(&self) -> Result<(), Error> {
        let packs = self.dir.join("objects/pack");
        for entry in list(&packs)? {
            let name = entry
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let whole = match name.rsplit_once('.') {
                Some((stem, "pack")) => packs.join(format!("{stem}.idx")).exists(),
                Some((stem, "idx")) => packs.join(format!("{stem}.pack")).exists(),
                _ => false,
            };
            if !whole {
                fs::remove_file(&entry).map_err(|error| Error::io(&entry, &error))?;
            }
        }
        for folder in [self.dir.clone(), self.dir.join(HELD)] {
            for entry in list(&folder)? {
                let name = entry
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                if name.starts_with(PART) {
                    fs::remove_file(&entry).map_err(|error| Error::io(&entry, &error))?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn too_many_packs(&self) -> Result<bool, Error> {
        let packs = list(&self.dir.join("objects/pack"))?;
        let count = packs
            .iter()
            .filter(|path| path.extension().is_some_and(|ext| ext == "pack"));
        Ok(count.count() > MAX_PACKS)
    }

    /// Whether the commit is written down as held.
    pub(super) fn holds(&self, commit: Oid) -> bool {
        self.dir.join(HELD).join(commit.to_string()).exists()
    }

    /// Whether an object is there that needs not be a commit.
    pub(super) fn has_object(&self, id: Oid) -> bool {
        self.odb().is_ok_and(|odb| odb.exists(id.into()))
    }

    /// The bytes of an object, as its id is computed from them.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] beyond `at_most` bytes; [`Error::Corrupt`] where it is not there, or of
    /// another kind.
    pub(super) fn read_object(&self, id: Oid, kind: ObjectType, at_most: usize) -> Result<Vec<u8>, Error> {
        let (odb, name) = (self.odb()?, id.into());
        let failed = |error: &git2::Error| damaged(&self.dir, error);
        let (size, found) = odb.read_header(name).map_err(|error| failed(&error))?;
        if found != kind {
            return Err(Error::Corrupt {
                what: id.to_string(),
                reason: format!("it is a {found}, and should be a {kind}"),
            });
        }
        if size > at_most {
            return Err(Error::TooLarge {
                what: format!("{kind} {id}"),
                limit: super::error::bytes(at_most as u64),
            });
        }
        odb.read(name)
            .map(|object| object.data().to_vec())
            .map_err(|error| failed(&error))
    }

    /// The commits that are held, the latest first.
    pub(super) fn held_commits(&self) -> Result<Vec<Oid>, Error> {
        let mut found = Vec::new();
        for path in list(&self.dir.join(HELD))? {
            let oid = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.parse::<Oid>().ok());
            let written = fs::metadata(&path).and_then(|data| data.modified()).ok();
            if let (Some(oid), Some(written)) = (oid, written) {
                found.push((written, oid));
            }
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found.into_iter().map(|(_, oid)| oid).collect())
    }

    /// Checks that a commit is there with every tree and blob below it.
    ///
    /// Trees are read and so verified against their names; of blobs only the presence is looked at.
    /// `check` stops it.
    pub(super) fn verify(&self, commit: Oid, check: &dyn Fn() -> Result<(), Error>) -> Result<(), Error> {
        let odb = self.odb()?;
        let root = git2::Oid::from(self.tree_of(commit)?);
        let mut seen = HashSet::from([root]);
        let mut queue = vec![(root, 0)];
        while let Some((tree, depth)) = queue.pop() {
            check()?;
            self.check_size(&odb, tree)?;
            if depth > MAX_DEPTH {
                return Err(Error::TooLarge {
                    what: format!("the depth of folders in {commit}"),
                    limit: format!("{MAX_DEPTH}"),
                });
            }
            let tree = self
                .repository
                .find_tree(tree)
                .map_err(|error| damaged(&self.dir, &error))?;
            for entry in &tree {
                let (tree, blob) = (ObjectType::Tree, ObjectType::Blob);
                let kind = entry.kind();
                if !(kind == Some(tree) || kind == Some(blob)) || !seen.insert(entry.id()) {
                    continue;
                }
                if kind == Some(tree) {
                    queue.push((entry.id(), depth + 1));
                } else if !odb.exists(entry.id()) {
                    return Err(Error::Corrupt {
                        what: format!("the mirror {}", self.dir.display()),
                        reason: format!("object {} is missing", entry.id()),
                    });
                }
            }
        }
        Ok(())
    }

    /// Takes in a pack.
    ///
    /// `reserve` is told how many bytes it has so far, and `check` stops what takes long.
    pub(super) fn receive(
        &self,
        pack: &mut dyn BufRead,
        limits: PackLimits,
        reserve: &mut dyn FnMut(u64) -> Result<(), Error>,
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let odb = self.odb()?;
        let corrupt = |reason: &dyn std::fmt::Display| Error::Corrupt {
            what: "the pack".to_owned(),
            reason: reason.to_string(),
        };
        let mut contents = PackCheck::new(limits);
        let mut writer = odb.packwriter().map_err(|error| io(&self.dir, &error))?;
        // Deltas are resolved at the end, which may take long.
        writer.progress(|_| check().is_ok());
        let mut size = 0_u64;
        loop {
            check()?;
            let piece = pack.fill_buf().map_err(|error| corrupt(&error))?;
            if piece.is_empty() {
                break;
            }
            let count = piece.len();
            size += count as u64;
            contents.read(piece)?;
            reserve(size)?;
            if let Err(error) = writer.write_all(piece) {
                check()?;
                return Err(corrupt(&error));
            }
            pack.consume(count);
        }
        if let Err(error) = writer.commit() {
            check()?;
            return Err(corrupt(&error.message()));
        }
        drop(writer);
        odb.refresh().map_err(|error| io(&self.dir, &error))
    }

    /// Writes down that a commit is held.
    ///
    /// The caller has verified it.
    pub(super) fn mark_held(&self, commit: Oid) -> Result<(), Error> {
        let mut roots = self.shallow()?;
        if !roots.contains(&commit) {
            roots.push(commit);
            let mut lines = roots.iter().map(Oid::to_string).collect::<Vec<_>>().join("\n");
            lines.push('\n');
            write(&self.dir, "shallow", &lines)?;
        }
        write(&self.dir.join(HELD), &commit.to_string(), &format!("{commit}\n"))
    }

    /// Whether the mirror holds no commit.
    pub(super) fn is_empty(&self) -> bool {
        self.held_commits().is_ok_and(|held| held.is_empty())
    }

    /// Checks the size of a tree or commit before it is read.
    fn check_size(&self, odb: &Odb<'_>, id: git2::Oid) -> Result<(), Error> {
        let (size, _) = odb.read_header(id).map_err(|error| damaged(&self.dir, &error))?;
        if size as u64 > LARGEST_TREE {
            return Err(Error::TooLarge {
                what: format!("the tree or commit {id}"),
                limit: super::error::bytes(LARGEST_TREE),
            });
        }
        Ok(())
    }

    pub(super) fn tree_of(&self, commit: Oid) -> Result<Oid, Error> {
        self.check_size(&self.odb()?, commit.into())?;
        self.repository
            .find_commit(commit.into())
            .map(|commit| from_git2(commit.tree_id()))
            .map_err(|error| damaged(&self.dir, &error))
    }

    pub(super) fn into_repository(self) -> Repository {
        self.repository
    }

    fn odb(&self) -> Result<Odb<'_>, Error> {
        self.repository.odb().map_err(|error| damaged(&self.dir, &error))
    }

    fn shallow(&self) -> Result<Vec<Oid>, Error> {
        let path = self.dir.join("shallow");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(&path, &error)),
        };
        let roots = std::str::from_utf8(&text).ok().and_then(|text| {
            text.lines()
                .map(|line| line.parse::<Oid>().ok().filter(|_| line.len() == 40))
                .collect::<Option<Vec<_>>>()
        });
        roots.ok_or_else(|| Error::Corrupt {
            what: format!("the mirror {}", self.dir.display()),
            reason: "its shallow file is no list of commits".to_owned(),
        })
    }
}

/// Names of what is being made; anything called so after a crash is rubbish.
pub(super) const NEW: &str = "new-";
/// Names of mirrors on their way out.
pub(super) const OLD: &str = "old-";
const PART: &str = "part-";

/// Throws a mirror away: it loses its name at once, and its files after that.
pub(super) fn remove(dir: &Path) -> Result<(), Error> {
    if !dir.exists() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(dir);
    let grave = tempfile::Builder::new()
        .prefix(OLD)
        .tempdir_in(parent)
        .map_err(|error| Error::io(parent, &error))?;
    fs::rename(dir, grave.path().join("mirror")).map_err(|error| Error::io(dir, &error))?;
    grave.close().map_err(|error| Error::io(dir, &error))
}

/// The size of all files in a folder, in bytes.
pub(super) fn size(dir: &Path) -> u64 {
    let mut total = 0;
    let mut queue = vec![dir.to_owned()];
    while let Some(folder) = queue.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(data) if data.is_dir() => queue.push(entry.path()),
                Ok(data) => total += data.len(),
                Err(_) => {}
            }
        }
    }
    total
}

/// Writes a file so that it is there whole or not at all.
fn write(folder: &Path, name: &str, text: &str) -> Result<(), Error> {
    let path = folder.join(name);
    let failed = |error: &std::io::Error| Error::io(&path, error);
    let mut file = tempfile::Builder::new()
        .prefix(PART)
        .tempfile_in(folder)
        .map_err(|error| failed(&error))?;
    file.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    file.persist(&path).map_err(|error| failed(&error.error))?;
    Ok(())
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Corrupt {
                what: format!("the mirror {}", folder.display()),
                reason: "a folder is missing".to_owned(),
            });
        }
        Err(error) => return Err(Error::io(folder, &error)),
    };
    entries
        .map(|entry| {
            entry
                .map(|entry| entry.path())
                .map_err(|error| Error::io(folder, &error))
        })
        .collect()
}

pub(super) fn damaged(dir: &Path, error: &git2::Error) -> Error {
    Error::Corrupt {
        what: format!("the mirror {}", dir.display()),
        reason: error.message().to_owned(),
    }
}

fn io(dir: &Path, error: &git2::Error) -> Error {
    Error::Io {
        path: dir.display().to_string(),
        reason: error.message().to_owned(),
    }
}
