//! Local repositories, compared with what libgit2 reads from them.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use git_apply_engine::{ObjectError, Objects, Oid};
use git_format_patch::RawCommits;
use git_mirrors::local::LocalRepository;
use test_repositories::{RepositoryStore, WorkingRepository};

/// A repository whose objects are partly in a pack, one the delta of another, and partly files.
fn repository() -> WorkingRepository {
    let repository = WorkingRepository::new();
    let line = |number: u32| format!("line {number} of {}\n", number.wrapping_mul(0x9e37_79b9));
    for round in 0..6 {
        let lines: String = (0..400).map(|number| line(number + 10 * round)).collect();
        repository.write("nova/compute/manager.py", &lines);
        repository.write(format!("nova/{round}"), format!("{round}\n"));
        repository.git(&["add", "."]);
        repository.git(&["commit", "-qm", "Change it"]);
        if round == 3 {
            repository.git(&["repack", "-adq"]);
        }
    }
    repository
}

/// All objects, as `git cat-file` lists them: id and kind.
fn objects(repository: &WorkingRepository) -> Vec<(Oid, String)> {
    let format = "--batch-check=%(objectname) %(objecttype)";
    let listed = repository.git(&["cat-file", "--batch-all-objects", format]);
    let pair = |line: &str| {
        let (id, kind) = line.split_once(' ').unwrap();
        (id.parse().unwrap(), kind.to_owned())
    };
    listed.lines().map(pair).collect()
}

/// Checks that each object is read as libgit2 reads it, and only as its own kind.
fn reads_the_same(local: &LocalRepository, repository: &WorkingRepository) {
    let theirs = RepositoryStore::open(&repository.path().join(".git"));
    for (id, kind) in objects(repository) {
        match kind.as_str() {
            "blob" => {
                assert_eq!(local.blob(id), theirs.blob(id));
                assert_eq!(local.blob_size(id), theirs.blob_size(id));
                assert_eq!(local.tree(id), Err(ObjectError::WrongKind(id)));
                assert_eq!(local.raw_commit(id), Err(ObjectError::WrongKind(id)));
            }
            "tree" => {
                assert_eq!(local.tree(id), theirs.tree(id));
                assert_eq!(local.blob(id), Err(ObjectError::WrongKind(id)));
                assert_eq!(local.blob_size(id), Err(ObjectError::WrongKind(id)));
            }
            _ => {
                assert_eq!(local.raw_commit(id), Ok(repository.commit_bytes(id)));
                assert_eq!(local.blob(id), Err(ObjectError::WrongKind(id)));
            }
        }
    }
}

/// The files of the packs that have this ending.
fn pack_files(repository: &WorkingRepository, ending: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(repository.path().join(".git/objects/pack")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect()
}

/// Replaces a file that Git made read-only.
fn replace(path: &Path, contents: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, contents).unwrap();
}

#[test]
fn packs_and_files_are_read_as_libgit2_reads_them() {
    let repository = repository();
    assert!(objects(&repository).len() > 20);
    assert_eq!(pack_files(&repository, "pack").len(), 1);
    let local = LocalRepository::open(repository.path()).unwrap();
    reads_the_same(&local, &repository);
    let absent = Oid::of_blob(b"nobody has this");
    assert_eq!(local.blob(absent), Err(ObjectError::NotFound(absent)));
    assert_eq!(local.blob_size(absent), Err(ObjectError::NotFound(absent)));
    assert_eq!(local.tree(absent), Err(ObjectError::NotFound(absent)));
    assert_eq!(local.raw_commit(absent), Ok(None));
}

#[test]
fn a_clone_that_borrows_and_a_linked_working_tree_have_what_their_repository_has() {
    let repository = repository();
    let folder = tempfile::tempdir().unwrap();
    let (clone, linked) = (folder.path().join("clone"), folder.path().join("linked"));
    let path = repository.path().to_str().unwrap();
    repository.git(&["clone", "-q", "--shared", path, clone.to_str().unwrap()]);
    repository.git(&["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
    for folder in [clone, linked] {
        let local = LocalRepository::open(&folder).unwrap();
        reads_the_same(&local, &repository);
    }
}

#[test]
fn what_comes_while_the_repository_is_open_is_read() {
    let repository = repository();
    let local = LocalRepository::open(repository.path()).unwrap();
    reads_the_same(&local, &repository);
    // More packs than there is initial capacity for.
    for number in 0..40 {
        repository.write("new", format!("{number}\n"));
        repository.git(&["add", "."]);
        repository.git(&["commit", "-qm", "Add one"]);
        repository.git(&["repack", "-dq"]);
        let id = repository.id("HEAD:new");
        assert_eq!(local.blob(id).unwrap(), format!("{number}\n"));
    }
    assert!(pack_files(&repository, "pack").len() > 40);
    // And one that replaces all of them.
    repository.git(&["repack", "-adq"]);
    reads_the_same(&local, &repository);
}

#[test]
fn a_damaged_pack_ends_no_process() {
    let repository = repository();
    let ids = objects(&repository);
    for ending in ["pack", "idx"] {
        let file = pack_files(&repository, ending).remove(0);
        let whole = fs::read(&file).unwrap();
        let mut failed = 0;
        for number in 0..60 {
            let mut damaged = whole.clone();
            let at = 12 + number * (whole.len() - 12) / 60;
            damaged[at] ^= 0x55;
            replace(&file, &damaged);
            let local = LocalRepository::open(repository.path()).unwrap();
            for (id, kind) in &ids {
                let outcome = match kind.as_str() {
                    "blob" => local.blob(*id).map(|_| ()),
                    "tree" => local.tree(*id).map(|_| ()),
                    _ => local.raw_commit(*id).map(|_| ()),
                };
                failed += usize::from(outcome.is_err());
            }
        }
        replace(&file, &whole);
        assert!(failed > 0, "{ending}");
    }
    reads_the_same(&LocalRepository::open(repository.path()).unwrap(), &repository);
}
