//! The objects of a repository as the patch engine reads them.

use std::cell::OnceCell;

use bstr::ByteSlice;
use bytes::Bytes;
use git_apply_engine::{EntryMode, ObjectError, Objects, Oid, TreeEntry};
use git2::{ObjectType, Odb, Repository};
use gix_object::Kind;

use super::error::bytes;
use super::gitoxide_objects::{GitoxideObjects, LARGEST_BLOB};
use super::object_header;
use super::pack::LARGEST_TREE;

/// What is done about an object whose contents do not match its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Integrity {
    /// It is trusted, as by Git.
    Trusted,
    /// It is refused. What a server sent was hashed with collision detection when it was taken in,
    /// so a plain hash, for which processors have instructions, is enough to detect damage.
    Checked,
}

/// A repository, and the reader of its objects. Gitoxide reads them; what it does not return, for
/// whatever reason, is left to libgit2 to return or to refuse.
pub(super) struct ObjectReader {
    repository: Repository,
    integrity: Integrity,
    /// Opened by the first read.
    objects: OnceCell<Option<Box<GitoxideObjects>>>,
}

impl ObjectReader {
    pub(super) fn new(repository: Repository, integrity: Integrity) -> Self {
        Self {
            repository,
            integrity,
            objects: OnceCell::new(),
        }
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// gitoxide's reader; `None` if it cannot open the repository.
    fn objects(&self) -> Option<&GitoxideObjects> {
        let objects = self.objects.get_or_init(|| {
            let objects = GitoxideObjects::open(self.repository.commondir().join("objects"))?;
            Some(Box::new(match self.integrity {
                Integrity::Trusted => objects,
                Integrity::Checked => objects.keeping_bases(),
            }))
        });
        objects.as_deref()
    }

    /// Returns what `parse` makes of an object's contents; `None` if libgit2 has to be asked.
    pub(super) fn read<T>(
        &self,
        id: Oid,
        kind: Kind,
        limit: u64,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let objects = self.objects()?;
        let id_of: fn(&[u8]) -> Oid = match (self.integrity, kind) {
            (Integrity::Trusted, _) => return objects.read(id, kind, limit, parse),
            (Integrity::Checked, Kind::Blob) => Oid::of_blob,
            (Integrity::Checked, Kind::Tree) => Oid::of_tree,
            (Integrity::Checked, Kind::Commit | Kind::Tag) => return None,
        };
        // Nothing is unpacked before it is known to be of that kind and no larger.
        objects.size(id, kind).filter(|size| *size <= limit)?;
        let parse = |contents: &[u8]| (id_of(contents) == id).then(|| parse(contents))?;
        objects.read(id, kind, limit, parse)
    }
}

impl Objects for ObjectReader {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        let entries = self.read(id, Kind::Tree, LARGEST_TREE, parse_tree);
        entries.map_or_else(|| read_tree(&self.repository, id), Ok)
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        let contents = self.read(id, Kind::Blob, LARGEST_BLOB, |contents| {
            Some(Bytes::copy_from_slice(contents))
        });
        contents.map_or_else(|| read_blob(&self.repository, id), Ok)
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        let size = self.objects().and_then(|objects| objects.size(id, Kind::Blob));
        size.map_or_else(|| read_blob_size(&self.repository, id), Ok)
    }
}

/// libgit2's error in the engine's terms.
pub(super) fn failed(id: Oid, error: &git2::Error) -> ObjectError {
    match error.code() {
        git2::ErrorCode::NotFound => ObjectError::NotFound(id),
        _ => ObjectError::Failed {
            id,
            message: error.message().to_owned(),
        },
    }
}

/// Checks an object's size and kind before it is read.
pub(super) fn check(odb: &Odb<'_>, id: Oid, expected: ObjectType, limit: u64) -> Result<(), ObjectError> {
    let (size, kind) = object_header::read(odb, id.into()).map_err(|error| failed(id, &error))?;
    if kind != expected {
        return Err(ObjectError::WrongKind(id));
    }
    if size > limit {
        return Err(ObjectError::TooLarge {
            id,
            limit: bytes(limit),
        });
    }
    Ok(())
}

/// The entries of a tree as Git stores it; `None` if libgit2 would not take them (`parse_mode` and
/// `tree_parse` in its tree.c), or has to say what is wrong with them.
///
/// gitoxide's own reader takes some modes for a folder's that Git and libgit2 do not.
fn parse_tree(contents: &[u8]) -> Option<Vec<TreeEntry>> {
    let (mut entries, mut rest) = (Vec::new(), contents);
    while !rest.is_empty() {
        let (mode, after) = rest.split_once_str(" ")?;
        let (name, after) = after.split_once_str("\0")?;
        let (id, after) = after.split_first_chunk::<20>()?;
        let is_mode = (1..=6).contains(&mode.len()) && mode.iter().all(|digit| matches!(digit, b'0'..=b'7'));
        let is_name = (1..=usize::from(u16::MAX)).contains(&name.len());
        if !is_mode || !is_name {
            return None;
        }
        let bits = mode
            .iter()
            .fold(0, |bits, digit| bits << 3 | u32::from(digit - b'0'));
        entries.push(TreeEntry {
            mode: EntryMode::from_bits(u16::try_from(bits).ok()?.into()),
            name: name.into(),
            id: Oid::from_bytes(*id),
        });
        rest = after;
    }
    Some(entries)
}

/// The entries of a tree.
fn read_tree(repository: &Repository, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
    let odb = repository.odb().map_err(|error| failed(id, &error))?;
    check(&odb, id, ObjectType::Tree, LARGEST_TREE)?;
    let tree = repository
        .find_tree(id.into())
        .map_err(|error| failed(id, &error))?;
    let entries = tree.iter().map(|entry| TreeEntry {
        mode: EntryMode::from_bits(u32::try_from(entry.filemode_raw()).unwrap_or(0)),
        name: entry.name_bytes().into(),
        id: from_git2(entry.id()),
    });
    Ok(entries.collect())
}

/// The contents of a blob.
fn read_blob(repository: &Repository, id: Oid) -> Result<Bytes, ObjectError> {
    let odb = repository.odb().map_err(|error| failed(id, &error))?;
    check(&odb, id, ObjectType::Blob, LARGEST_BLOB)?;
    let object = odb.read(id.into()).map_err(|error| failed(id, &error))?;
    Ok(Bytes::copy_from_slice(object.data()))
}

/// The size of a blob in bytes.
fn read_blob_size(repository: &Repository, id: Oid) -> Result<u64, ObjectError> {
    let odb = repository.odb().map_err(|error| failed(id, &error))?;
    match object_header::read(&odb, id.into()).map_err(|error| failed(id, &error))? {
        (size, ObjectType::Blob) => Ok(size),
        _ => Err(ObjectError::WrongKind(id)),
    }
}

/// The id from libgit2's.
///
/// Repositories with SHA-256 are not opened, so all ids have 20 bytes.
pub(super) fn from_git2(id: git2::Oid) -> Oid {
    let mut bytes = [0; 20];
    for (byte, given) in bytes.iter_mut().zip(id.as_bytes()) {
        *byte = *given;
    }
    Oid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Trees that no Git writes but a server can send.
    #[test]
    fn a_tree_has_the_entries_that_libgit2_reads_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(folder.path()).unwrap();
        let odb = repository.odb().unwrap();
        let modes = [
            "40000", "040000", "100644", "100755", "120000", "160000", "140000", "140644", "177777", "0", "",
            "200000", "240000", "1000000", "+40000", "0x4000", "8", " 40000",
        ];
        let long = "n".repeat(1 << 16);
        let names = [
            ("100644", "name"),
            ("100644", ""),
            ("100644", &long),
            ("100644", &long[1..]),
        ];
        let forms = modes.map(|mode| (mode, "name"));
        let mut taken = 0;
        for (mode, name) in forms.into_iter().chain(names) {
            let mut contents = format!("{mode} {name}\0").into_bytes();
            contents.extend([7; 20]);
            let id = from_git2(odb.write(ObjectType::Tree, &contents).unwrap());
            let by_libgit2 = read_tree(&repository, id);
            match parse_tree(&contents) {
                Some(entries) => {
                    assert_eq!(
                        Ok(entries),
                        by_libgit2.map_err(|error| error.to_string()),
                        "{mode} {name}"
                    );
                    taken += 1;
                }
                None => assert!(
                    by_libgit2.is_err() || mode.starts_with(['+', ' ']),
                    "{mode} {name}"
                ),
            }
        }
        assert_eq!(taken, 12);
        for cut in ["40000", "40000 name", "40000 name\0short"] {
            assert_eq!(parse_tree(cut.as_bytes()), None);
        }
    }

    #[test]
    fn what_has_another_kind_or_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(folder.path()).unwrap();
        let blob = from_git2(repository.blob(b"one").unwrap());
        let lacking = Oid::of_blob(b"lacking");
        for integrity in [Integrity::Trusted, Integrity::Checked] {
            let reader = ObjectReader::new(Repository::open_bare(folder.path()).unwrap(), integrity);
            assert_eq!(reader.blob_size(blob).unwrap(), 3);
            assert!(matches!(reader.tree(blob), Err(ObjectError::WrongKind(_))));
            assert!(matches!(reader.blob(lacking), Err(ObjectError::NotFound(_))));
            assert!(matches!(reader.tree(lacking), Err(ObjectError::NotFound(_))));
            assert!(matches!(reader.blob_size(lacking), Err(ObjectError::NotFound(_))));
        }
    }

    #[test]
    fn contents_of_another_id_are_refused_where_ids_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(folder.path()).unwrap();
        let file = |id: git2::Oid| {
            let (first, rest) = (&id.to_string()[..2], &id.to_string()[2..]);
            folder.path().join("objects").join(first).join(rest)
        };
        let replace = |id: git2::Oid, by: git2::Oid| {
            fs::remove_file(file(id)).unwrap();
            fs::copy(file(by), file(id)).unwrap();
        };
        let tree_with = |blob: git2::Oid| {
            let mut tree = repository.treebuilder(None).unwrap();
            tree.insert("file", blob, 0o100_644).unwrap();
            tree.write().unwrap()
        };
        let blobs = [&b"one"[..], b"two"].map(|contents| repository.blob(contents).unwrap());
        let trees = blobs.map(tree_with);
        let read = |integrity| {
            let reader = ObjectReader::new(Repository::open_bare(folder.path()).unwrap(), integrity);
            let (blob, tree) = (from_git2(blobs[0]), from_git2(trees[0]));
            (reader.blob(blob), reader.tree(tree))
        };
        let (blob, tree) = read(Integrity::Checked);
        assert_eq!(
            (&blob.unwrap()[..], tree.unwrap()[0].id),
            (&b"one"[..], from_git2(blobs[0]))
        );

        replace(blobs[0], blobs[1]);
        replace(trees[0], trees[1]);
        let (blob, tree) = read(Integrity::Trusted);
        assert_eq!(
            (&blob.unwrap()[..], tree.unwrap()[0].id),
            (&b"two"[..], from_git2(blobs[1]))
        );
        let (blob, tree) = read(Integrity::Checked);
        assert!(matches!(blob, Err(ObjectError::Failed { .. })), "{blob:?}");
        assert!(matches!(tree, Err(ObjectError::Failed { .. })), "{tree:?}");
    }
}
