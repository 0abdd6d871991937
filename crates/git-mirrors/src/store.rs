//! One mirror on disk: a bare repository that holds commits without their history.
//!
//! Commits that are held whole are recorded under `refs/held/`, after the pack is in place and was
//! checked; those of which only the trees are sure to be there, under `refs/partial/`. What such a
//! commit lacks was filtered, and is not damage. Every commit is a shallow root, and packs from
//! which objects were filtered are marked as git marks its own (`.promisor`), so `git` itself reads
//! the mirror too.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use git2::{ErrorCode, ObjectType, Odb, OdbLookupFlags, Repository};

use super::object_reader::{Integrity, ObjectReader, from_git2};
use super::pack::{LARGEST_TREE, MOST_OBJECTS, PackCheck, PackLimits};
use super::{Error, Oid, object_header};

/// How much of a commit is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Extent {
    /// Every tree, and the blobs that were asked for.
    Trees,
    /// Every tree and every blob.
    Whole,
}

impl Extent {
    /// The folder with the commits that are held to this extent.
    fn folder(self) -> &'static str {
        match self {
            Self::Trees => "refs/partial",
            Self::Whole => "refs/held",
        }
    }
}

/// Beyond this many packs a mirror is thrown away and fetched again, because each one slows every
/// lookup. A commit that patches are tried on takes two, and some more for its history.
const MAX_PACKS: usize = 192;
/// Depth of folders that a tree may have.
const MAX_DEPTH: usize = 128;

/// A bare repository in the only subfolder of a mirror's folder.
///
/// The subfolder has a new name each time the mirror is built: libgit2 shares open packs by path
/// among all repositories of the process, and would read a rebuilt pack from the damaged one while
/// a reader has that open.
pub(super) struct Store {
    dir: PathBuf,
    objects: ObjectReader,
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
        let store = Self {
            dir,
            objects: ObjectReader::new(repository, Integrity::Checked),
        };
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
        let made = Repository::init_bare(&repository).and_then(|made| {
            // So that git takes what packs with that mark lack as filtered, and not as damage.
            made.config()?.set_bool("remote.upstream.promisor", true)
        });
        made.map_err(|error| io(mirror, &error))?;
        for extent in [Extent::Trees, Extent::Whole] {
            let folder = repository.join(extent.folder());
            fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, &error))?;
        }
        // An empty folder of this name may be there, and is replaced.
        fs::rename(new.path(), mirror).map_err(|error| Error::io(mirror, &error))?;
        Self::open(mirror)?.ok_or_else(|| Error::Io {
            path: mirror.display().to_string(),
            reason: "vanished while it was being made".to_owned(),
        })
    }

    /// A store over a user's own clone, to fetch objects into.
    pub(super) fn over_clone(repository: Repository) -> Self {
        Self {
            dir: repository.commondir().to_owned(),
            objects: ObjectReader::new(repository, Integrity::Checked),
        }
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
                Some((stem, "idx" | "promisor")) => packs.join(format!("{stem}.pack")).exists(),
                _ => false,
            };
            if !whole {
                fs::remove_file(&entry).map_err(|error| Error::io(&entry, &error))?;
            }
        }
        let commits = [Extent::Trees, Extent::Whole].map(|extent| self.dir.join(extent.folder()));
        let named = [self.dir.clone(), self.dir.join(HISTORY), self.dir.join(BRANCHES)];
        for folder in named.iter().chain(&commits) {
            for entry in list_if_there(folder)? {
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
        Ok(self.packs()?.len() > MAX_PACKS)
    }

    /// The packs that are there.
    pub(super) fn packs(&self) -> Result<BTreeSet<PathBuf>, Error> {
        let mut packs = list(&self.dir.join("objects/pack"))?;
        packs.retain(|path| path.extension().is_some_and(|ext| ext == "pack"));
        Ok(packs.into_iter().collect())
    }

    /// Marks the packs that are not among the earlier ones: the server left out of them what was
    /// not asked for.
    pub(super) fn mark_filtered(&self, earlier: &BTreeSet<PathBuf>) -> Result<(), Error> {
        let folder = self.dir.join("objects/pack");
        for pack in self.packs()?.difference(earlier) {
            let name = pack.with_extension("promisor");
            let name = name.file_name().unwrap_or_default().to_string_lossy();
            write(&folder, &name, "")?;
        }
        Ok(())
    }

    /// How much of the commit is recorded as held; `None` if nothing is.
    pub(super) fn held_extent(&self, commit: Oid) -> Option<Extent> {
        [Extent::Whole, Extent::Trees]
            .into_iter()
            .find(|extent| self.dir.join(extent.folder()).join(commit.to_string()).exists())
    }

    /// Whether an object is there, which need not be a commit.
    pub(super) fn has_object(&self, id: Oid) -> bool {
        self.odb().is_ok_and(|odb| odb.exists(id.into()))
    }

    /// Those of the objects that are not there, each once.
    pub(super) fn lacking(&self, objects: &[Oid]) -> Result<Vec<Oid>, Error> {
        let odb = self.odb()?;
        let lacks = |id: &&Oid| !odb.exists_ext((**id).into(), OdbLookupFlags::NO_REFRESH);
        let lacking: BTreeSet<Oid> = objects.iter().filter(lacks).copied().collect();
        Ok(lacking.into_iter().collect())
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
        let (size, found) = object_header::read(&odb, name).map_err(|error| failed(&error))?;
        if found != kind {
            return Err(Error::Corrupt {
                what: id.to_string(),
                reason: format!("it is a {found}, but should be a {kind}"),
            });
        }
        if size > at_most as u64 {
            return Err(Error::TooLarge {
                what: format!("{kind} {id}"),
                limit: super::error::bytes(at_most as u64),
            });
        }
        odb.read(name)
            .map(|object| object.data().to_vec())
            .map_err(|error| failed(&error))
    }

    /// The bytes of a commit that has at most `at_most`; `None` if no such commit is there.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it is there but cannot be read.
    pub(super) fn read_commit(&self, id: Oid, at_most: usize) -> Result<Option<Vec<u8>>, Error> {
        let odb = self.odb()?;
        let failed = |error: git2::Error| match error.code() {
            ErrorCode::NotFound => Ok(None),
            _ => Err(damaged(&self.dir, &error)),
        };
        // Looking for what is missing does not read the folder again.
        if !odb.exists_ext(id.into(), OdbLookupFlags::NO_REFRESH) {
            return Ok(None);
        }
        match object_header::read(&odb, id.into()) {
            Ok((size, ObjectType::Commit)) if size <= at_most as u64 => {}
            Ok(_) => return Ok(None),
            Err(error) => return failed(error),
        }
        match odb.read(id.into()) {
            Ok(object) => Ok(Some(object.data().to_vec())),
            Err(error) => failed(error),
        }
    }

    /// The commits that are held to exactly this extent, the latest first.
    pub(super) fn held_commits(&self, extent: Extent) -> Result<Vec<Oid>, Error> {
        let mut commits = self.named_files(extent.folder())?;
        if extent == Extent::Trees {
            commits.retain(|commit| self.held_extent(*commit) == Some(extent));
        }
        Ok(commits)
    }

    /// The commits that files of a folder are named after, the latest first.
    fn named_files(&self, folder: &str) -> Result<Vec<Oid>, Error> {
        let mut found = Vec::new();
        for path in list_if_there(&self.dir.join(folder))? {
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

    /// Checks that a commit is there with every tree below it, and every blob if it has to be
    /// whole; returns how much is there.
    ///
    /// Trees are read and so verified against their names; blobs are only checked to be there.
    /// `check` stops it.
    pub(super) fn verify(
        &self,
        commit: Oid,
        wanted: Extent,
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<Extent, Error> {
        let odb = self.odb()?;
        let mut there = Extent::Whole;
        self.walk(commit, check, &mut |blob| {
            if there == Extent::Trees || odb.exists_ext(blob, OdbLookupFlags::NO_REFRESH) {
                return Ok(());
            }
            there = Extent::Trees;
            if wanted == Extent::Whole {
                return Err(Error::Corrupt {
                    what: format!("the mirror {}", self.dir.display()),
                    reason: format!("object {blob} is missing"),
                });
            }
            Ok(())
        })?;
        Ok(there)
    }

    /// The blobs below a commit whose trees are there.
    pub(super) fn blobs_of(
        &self,
        commit: Oid,
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<HashSet<Oid>, Error> {
        let mut blobs = HashSet::new();
        self.walk(commit, check, &mut |blob| {
            blobs.insert(from_git2(blob));
            Ok(())
        })?;
        Ok(blobs)
    }

    /// Whether there are at most `most` files below a commit whose trees are there.
    pub(super) fn has_few_files(
        &self,
        commit: Oid,
        most: usize,
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut files = 0;
        let walked = self.walk(commit, check, &mut |_| {
            files += 1;
            if files <= most {
                return Ok(());
            }
            Err(Error::TooLarge {
                what: format!("the number of files in {commit}"),
                limit: most.to_string(),
            })
        });
        if files > most {
            return Ok(false);
        }
        walked.map(|()| true)
    }

    /// The first missing object on the way from a tree to the file at a path; `None` if none is
    /// missing, or there is no such file.
    pub(super) fn first_lacking(&self, tree: Oid, path: &[u8]) -> Result<Option<Oid>, Error> {
        let odb = self.odb()?;
        let lacks = |id| !odb.exists_ext(id, OdbLookupFlags::NO_REFRESH);
        let mut tree = git2::Oid::from(tree);
        let mut names = path.split(|byte| *byte == b'/').peekable();
        while let Some(name) = names.next() {
            if lacks(tree) {
                return Ok(Some(from_git2(tree)));
            }
            self.check_size(&odb, tree)?;
            let entries = self
                .repository()
                .find_tree(tree)
                .map_err(|error| damaged(&self.dir, &error))?;
            let Some(entry) = entries.get_name_bytes(name) else {
                return Ok(None);
            };
            match (entry.kind(), names.peek()) {
                (Some(ObjectType::Blob), None) => {
                    return Ok(lacks(entry.id()).then(|| from_git2(entry.id())));
                }
                (Some(ObjectType::Tree), Some(_)) => tree = entry.id(),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Reads every tree below a commit, and passes every blob to `tell` once.
    fn walk(
        &self,
        commit: Oid,
        check: &dyn Fn() -> Result<(), Error>,
        tell: &mut dyn FnMut(git2::Oid) -> Result<(), Error>,
    ) -> Result<(), Error> {
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
                .repository()
                .find_tree(tree)
                .map_err(|error| damaged(&self.dir, &error))?;
            for entry in &tree {
                let (tree, blob) = (ObjectType::Tree, ObjectType::Blob);
                let kind = entry.kind();
                if !(kind == Some(tree) || kind == Some(blob)) || !seen.insert(entry.id()) {
                    continue;
                }
                // What was filtered takes no room in a pack, so its number has no other bound.
                if seen.len() > MOST_OBJECTS as usize {
                    return Err(Error::TooLarge {
                        what: format!("the number of files and folders in {commit}"),
                        limit: MOST_OBJECTS.to_string(),
                    });
                }
                if kind == Some(tree) {
                    queue.push((entry.id(), depth + 1));
                } else {
                    tell(entry.id())?;
                }
            }
        }
        Ok(())
    }

    /// Takes in a pack.
    ///
    /// `reserve` is called with the number of bytes so far, and `check` stops what takes long.
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

    /// Records how much of a commit is held.
    ///
    /// The caller has verified it.
    pub(super) fn mark_held(&self, commit: Oid, extent: Extent) -> Result<(), Error> {
        let mut roots = self.shallow()?;
        if !roots.contains(&commit) {
            roots.push(commit);
            let mut lines = roots.iter().map(Oid::to_string).collect::<Vec<_>>().join("\n");
            lines.push('\n');
            write(&self.dir, "shallow", &lines)?;
        }
        let folder = self.dir.join(extent.folder());
        fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, &error))?;
        write(&folder, &commit.to_string(), &format!("{commit}\n"))
    }

    /// Whether the mirror holds no commit.
    pub(super) fn is_empty(&self) -> bool {
        [Extent::Trees.folder(), Extent::Whole.folder(), HISTORY]
            .into_iter()
            .all(|folder| self.named_files(folder).is_ok_and(|held| held.is_empty()))
    }

    /// The records of the histories that are there, by their tips, the latest first.
    pub(super) fn histories(&self) -> Result<Vec<(Oid, String)>, Error> {
        let read = |tip: Oid| {
            let text = fs::read_to_string(self.dir.join(HISTORY).join(tip.to_string())).ok()?;
            Some((tip, text))
        };
        Ok(self.named_files(HISTORY)?.into_iter().filter_map(read).collect())
    }

    /// Records that the history of a commit is there, with `text` about it. Records beyond the
    /// latest `most` are forgotten.
    pub(super) fn mark_history(&self, tip: Oid, text: &str, most: usize) -> Result<(), Error> {
        self.mark(HISTORY, tip, text, most)
    }

    /// Writes a file named after a commit into a folder, of which the latest `most` are kept.
    fn mark(&self, folder_name: &str, commit: Oid, text: &str, most: usize) -> Result<(), Error> {
        let folder = self.dir.join(folder_name);
        fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, &error))?;
        write(&folder, &commit.to_string(), text)?;
        for old in self.named_files(folder_name)?.into_iter().skip(most) {
            let path = folder.join(old.to_string());
            fs::remove_file(&path).map_err(|error| Error::io(&path, &error))?;
        }
        Ok(())
    }

    /// The commit that a branch with this tip is on top of, as recorded for another commit; `None`
    /// if it was not.
    pub(super) fn branch_base(&self, tip: Oid, onto: Oid) -> Option<Oid> {
        let text = fs::read_to_string(self.dir.join(BRANCHES).join(tip.to_string())).ok()?;
        let (known, base) = text.trim_end().split_once(' ')?;
        (known == onto.to_string()).then(|| base.parse().ok()).flatten()
    }

    /// Records what a branch is on top of. Those beyond the latest `most` are forgotten.
    pub(super) fn mark_branch_base(&self, tip: Oid, onto: Oid, base: Oid, most: usize) -> Result<(), Error> {
        self.mark(BRANCHES, tip, &format!("{onto} {base}\n"), most)
    }

    /// Checks the size of a tree or commit before it is read.
    fn check_size(&self, odb: &Odb<'_>, id: git2::Oid) -> Result<(), Error> {
        let (size, _) = object_header::read(odb, id).map_err(|error| damaged(&self.dir, &error))?;
        if size > LARGEST_TREE {
            return Err(Error::TooLarge {
                what: format!("the tree or commit {id}"),
                limit: super::error::bytes(LARGEST_TREE),
            });
        }
        Ok(())
    }

    pub(super) fn tree_of(&self, commit: Oid) -> Result<Oid, Error> {
        self.check_size(&self.odb()?, commit.into())?;
        self.repository()
            .find_commit(commit.into())
            .map(|commit| from_git2(commit.tree_id()))
            .map_err(|error| damaged(&self.dir, &error))
    }

    pub(super) fn repository(&self) -> &Repository {
        self.objects.repository()
    }

    pub(super) fn objects(&self) -> &ObjectReader {
        &self.objects
    }

    pub(super) fn into_objects(self) -> ObjectReader {
        self.objects
    }

    fn odb(&self) -> Result<Odb<'_>, Error> {
        self.repository()
            .odb()
            .map_err(|error| damaged(&self.dir, &error))
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
            reason: "its shallow file is not a list of commits".to_owned(),
        })
    }
}

/// The folder with what is known of histories, a file for each tip.
const HISTORY: &str = "history";
/// The folder with what branches are on top of, a file for each tip.
const BRANCHES: &str = "branches";

/// The prefix of what is being made; anything with it after a crash is a leftover.
pub(super) const NEW: &str = "new-";
/// The prefix of mirrors that are being removed.
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

/// Lists a folder, which need not exist.
fn list_if_there(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if folder.exists() {
        list(folder)
    } else {
        Ok(Vec::new())
    }
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
