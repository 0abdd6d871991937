//! A repository on this machine, as a store of objects.

use std::path::Path;

use bytes::Bytes;
use git_apply_engine::{ObjectError, Objects, Oid, TreeEntry, WriteObjects};
use git_format_patch::{CommitStore, RawCommits};
use git2::{ErrorCode, ObjectType, Repository};
use gix_object::Kind;
use upstream_history::{Commit, Commits, HistoryError};

use super::error::bytes;
pub use super::local_error::LocalError;
use super::object_reader::{Integrity, ObjectReader, check, failed, from_git2};
use super::{object_header, refs, safe_directory};

/// The largest commit that is read, in bytes.
const LARGEST_COMMIT: u64 = 4 << 20;

/// A repository on this machine.
pub struct LocalRepository {
    objects: ObjectReader,
}

impl LocalRepository {
    pub(super) fn repository(&self) -> &Repository {
        self.objects.repository()
    }

    /// Opens a Git folder or a working tree. One of another owner is opened only if Git's settings
    /// allow that (`safe.directory`).
    ///
    /// # Errors
    ///
    /// Where there is none, or it is not allowed.
    pub fn open(path: &Path) -> Result<Self, LocalError> {
        let repository = safe_directory::open(path)?;
        Ok(Self {
            objects: ObjectReader::new(repository, Integrity::Trusted),
        })
    }

    /// The folder that has the repository's objects and refs; for a linked working tree, its own
    /// folder below that.
    #[must_use]
    pub fn git_folder(&self) -> &Path {
        self.repository().path()
    }

    /// The latest commit that is in both histories; `None` if there is none, or the clone ends
    /// before it.
    #[must_use]
    pub fn merge_base(&self, one: Oid, other: Oid) -> Option<Oid> {
        self.repository()
            .merge_base(one.into(), other.into())
            .ok()
            .map(from_git2)
    }

    /// The tree that a revision names, in the syntax of `git rev-parse`.
    ///
    /// # Errors
    ///
    /// Where it names none.
    pub fn tree_of(&self, revision: &str) -> Result<Oid, LocalError> {
        // A clone may lack the tree of a commit that it has.
        let tree =
            self.repository()
                .revparse_single(revision)
                .and_then(|object| match object.peel_to_commit() {
                    Ok(commit) => Ok(commit.tree_id()),
                    Err(_) => object.peel_to_tree().map(|tree| tree.id()),
                });
        tree.map(from_git2).map_err(|error| LocalError::Revision {
            retired: self.retired(revision),
            revision: revision.to_owned(),
            message: error.message().to_owned(),
        })
    }
}

impl LocalRepository {
    /// The tag that a revision names, without its prefix.
    ///
    /// Git prefers a tag to a branch of that name (gitrevisions).
    #[must_use]
    pub fn tag_of<'a>(&self, revision: &'a str) -> Option<&'a str> {
        let name = revision
            .strip_prefix("refs/tags/")
            .or_else(|| revision.strip_prefix("tags/"))
            .unwrap_or(revision);
        let found = self.repository().find_reference(&format!("refs/tags/{name}"));
        found.is_ok().then_some(name)
    }

    /// The only blob whose id begins with these hexadecimal digits.
    #[must_use]
    pub fn find_blob(&self, prefix: &str) -> Option<Oid> {
        let short = git2::Oid::from_str(prefix).ok()?;
        let odb = self.repository().odb().ok()?;
        let id = odb.exists_prefix(short, prefix.len()).ok()?;
        let (_, kind) = object_header::read(&odb, id).ok()?;
        (kind == ObjectType::Blob).then(|| from_git2(id))
    }

    /// The commit that a revision names, in the syntax of `git rev-parse`; `None` where it names a
    /// tree, or nothing.
    #[must_use]
    pub fn commit_of(&self, revision: &str) -> Option<Oid> {
        let object = self.repository().revparse_single(revision).ok()?;
        let commit = object.peel(ObjectType::Commit).ok()?;
        Some(from_git2(commit.id()))
    }

    /// The commit of what [`tree_of_ref`](Self::tree_of_ref) finds.
    #[must_use]
    pub fn commit_of_ref(&self, name: &str) -> Option<Oid> {
        let full = self.full_ref(name);
        self.commit_of(full.as_deref().unwrap_or(name))
    }

    /// The branch that is checked out, without `refs/heads/`; `None` if a commit is checked out.
    #[must_use]
    pub fn branch(&self) -> Option<String> {
        let head = self.repository().find_reference("HEAD").ok()?;
        // A branch without a commit counts too.
        let target = head.symbolic_target().ok()??;
        Some(target.strip_prefix("refs/heads/")?.to_owned())
    }

    /// Whether the clone ends before the history does.
    #[must_use]
    pub fn is_shallow(&self) -> bool {
        self.repository().is_shallow()
    }

    /// The address of the remote `origin`, without a login; `None` where there is none.
    #[must_use]
    pub fn origin(&self) -> Option<String> {
        let remote = self.repository().find_remote("origin").ok()?;
        let url = remote.url().ok()?.to_owned();
        Some(without_login(&url))
    }

    pub(crate) fn retired(&self, branch: &str) -> Vec<String> {
        refs::retired(branch, &|full| {
            let branch = full.strip_prefix("refs/heads/");
            let remote = branch.map(|branch| format!("refs/remotes/origin/{branch}"));
            let mut names = [Some(full.to_owned()), remote].into_iter().flatten();
            names.any(|name| self.repository().find_reference(&name).is_ok())
        })
    }

    fn full_ref(&self, name: &str) -> Option<String> {
        ["refs/tags/", "refs/heads/", "refs/remotes/origin/"]
            .into_iter()
            .map(|prefix| format!("{prefix}{name}"))
            .find(|full| self.tree_of(full).is_ok())
    }

    /// The tree of a tag, else a branch, else a branch of `origin`, else a commit of that name: a
    /// value of `source-refs.yaml`.
    ///
    /// # Errors
    ///
    /// Where there is none of that name.
    pub fn tree_of_ref(&self, name: &str) -> Result<Oid, LocalError> {
        if let Some(full) = self.full_ref(name) {
            return self.tree_of(&full);
        }
        if name.len() >= 7 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return self.tree_of(name);
        }
        Err(LocalError::Ref {
            retired: self.retired(name),
            name: name.to_owned(),
            path: self.repository().path().display().to_string(),
        })
    }
}

/// An address without user name and password.
fn without_login(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit('@').next().unwrap_or(authority);
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
    }
}

impl Objects for LocalRepository {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        self.objects.tree(id)
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        self.objects.blob(id)
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        self.objects.blob_size(id)
    }
}

impl RawCommits for LocalRepository {
    fn raw_commit(&self, id: Oid) -> Result<Option<Vec<u8>>, ObjectError> {
        let contents = self.objects.read(id, Kind::Commit, LARGEST_COMMIT, |contents| {
            Some(contents.to_vec())
        });
        if contents.is_some() {
            return Ok(contents);
        }
        let odb = self.repository().odb().map_err(|error| failed(id, &error))?;
        match check(&odb, id, ObjectType::Commit, LARGEST_COMMIT) {
            // Beyond the end of a shallow clone.
            Err(ObjectError::NotFound(_)) => return Ok(None),
            checked => checked?,
        }
        let object = odb.read(id.into()).map_err(|error| failed(id, &error))?;
        Ok(Some(object.data().to_vec()))
    }
}

impl CommitStore for LocalRepository {}

impl Commits for LocalRepository {
    fn commit(&self, id: Oid) -> Result<Option<Commit>, HistoryError> {
        let commit = self.objects.read(id, Kind::Commit, LARGEST_COMMIT, |contents| {
            Commit::parse(id, contents).ok()
        });
        if commit.is_some() {
            return Ok(commit);
        }
        let failed = |error: &git2::Error| HistoryError::Failed {
            message: format!("{id}: {}", error.message()),
        };
        let odb = self.repository().odb().map_err(|error| failed(&error))?;
        match object_header::read(&odb, id.into()) {
            // Beyond the end of a shallow clone.
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
            Ok((size, ObjectType::Commit)) if size <= LARGEST_COMMIT => {}
            Ok(_) => {
                return Err(HistoryError::Failed {
                    message: format!("{id} is not a commit, or has more than {}", bytes(LARGEST_COMMIT)),
                });
            }
        }
        let object = odb.read(id.into()).map_err(|error| failed(&error))?;
        Commit::parse(id, object.data())
            .map(Some)
            .map_err(|error| HistoryError::Commit { id, error })
    }
}

impl WriteObjects for LocalRepository {
    fn write_blob(&mut self, contents: &[u8]) -> Result<Oid, ObjectError> {
        let id = Oid::of_blob(contents);
        self.repository()
            .blob(contents)
            .map(from_git2)
            .map_err(|error| failed(id, &error))
    }

    fn write_tree(&mut self, entries: &[TreeEntry]) -> Result<Oid, ObjectError> {
        let bytes = git_apply_engine::serialise_tree(entries);
        let id = Oid::of_tree(&bytes);
        let odb = self.repository().odb().map_err(|error| failed(id, &error))?;
        odb.write(ObjectType::Tree, &bytes)
            .map(from_git2)
            .map_err(|error| failed(id, &error))
    }
}
