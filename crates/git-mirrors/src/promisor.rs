//! What a partial clone on this machine lacks, and the remote that promised it
//! (git's partial-clone documentation).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bstr::BString;
use git_apply_engine::ObjectError;
use git2::Repository;

use super::commit_fetcher::CommitFetcher;
use super::local::{LocalError, LocalRepository};
use super::mirrors::Mirrors;
use super::safe_directory;
use super::store::Store;
use super::{Error, MirrorConfig, Oid, RepoUrl, Resolved, Upstream};

/// How many folders deep a path may be.
const MAX_DEPTH: usize = 128;

/// The remote of a partial clone.
struct PromisorRemote {
    name: String,
    url: String,
}

impl LocalRepository {
    /// Returns why an object is missing, if it was filtered when the repository was cloned, and not
    /// lost: the repository has a remote that promised it.
    #[must_use]
    pub fn why_missing(&self, error: &ObjectError) -> Option<LocalError> {
        let ObjectError::NotFound(id) = error else {
            return None;
        };
        let remote = promisor(self.repository())?;
        let path = folder(self.repository());
        Some(LocalError::Filtered {
            id: *id,
            path: path.display().to_string(),
            command: format!(
                "git -C {} fetch --refetch --no-filter {}",
                quoted(&path.display().to_string()),
                quoted(&remote.name)
            ),
        })
    }

    /// Fetches into the repository what was filtered of the files at these paths of a tree, and of
    /// the folders on the way to them: from the remote that promised it, without a login.
    ///
    /// `config` bounds what its server may send; its root is not used. Does nothing in a clone that
    /// is whole.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] if the remote's address cannot be parsed; whatever keeps it from being
    /// reached; [`Error::BadPack`] if it does not give what it promised.
    pub fn fetch_filtered(
        &self,
        tree: Oid,
        paths: &BTreeSet<BString>,
        config: &MirrorConfig,
        deadline: Instant,
    ) -> Result<(), Error> {
        let repository = self.repository();
        let Some(remote) = promisor(repository) else {
            return Ok(());
        };
        let path = repository.commondir().to_owned();
        let failed = |error: &git2::Error| Error::Io {
            path: path.display().to_string(),
            reason: error.message().to_owned(),
        };
        let own = safe_directory::open(repository.path()).map_err(|error| Error::Io {
            path: path.display().to_string(),
            reason: error.reason(),
        })?;
        let store = Store::over_clone(own);
        if let Some(folder) = local_folder(&remote.url) {
            let other = safe_directory::open(&folder).map_err(|error| Error::Io {
                path: folder.display().to_string(),
                reason: format!("the remote {} cannot be opened: {}", remote.name, error.reason()),
            })?;
            return fetch_paths(&store, tree, paths, &|lacking| {
                let copied = lacking.iter().try_for_each(|id| copy(&other, repository, *id));
                copied.map_err(|error| failed(&error))
            });
        }
        let url: RepoUrl = remote.url.parse()?;
        let root = tempfile::tempdir().map_err(|error| Error::io(&std::env::temp_dir(), &error))?;
        let mirrors = Mirrors::open(MirrorConfig {
            root: root.path().to_owned(),
            ..config.clone()
        })?;
        let upstream = Upstream::anonymous(url);
        let fetcher = CommitFetcher::new(&mirrors, &upstream, &Resolved::pinned(tree), deadline)?;
        fetch_paths(&store, tree, paths, &|lacking| {
            fetcher.fetch_objects(&store, lacking, &[], fetcher.limits())
        })
    }
}

/// Fetches what is missing on the way to paths, as many objects at once as are known.
fn fetch_paths(
    store: &Store,
    tree: Oid,
    paths: &BTreeSet<BString>,
    fetch: &dyn Fn(&[Oid]) -> Result<(), Error>,
) -> Result<(), Error> {
    // What is missing below a tree is known only once the tree is there.
    for _ in 0..=MAX_DEPTH {
        let mut lacking = BTreeSet::new();
        for path in paths {
            lacking.extend(store.first_lacking(tree, path)?);
        }
        if lacking.is_empty() {
            break;
        }
        fetch(&lacking.into_iter().collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Copies an object from another repository on this machine.
fn copy(from: &Repository, to: &Repository, id: Oid) -> Result<(), git2::Error> {
    let odb = from.odb()?;
    let object = odb.read(id.into())?;
    to.odb()?.write(object.kind(), object.data()).map(drop)
}

/// The remote that promised what the repository lacks; `None` if none did.
fn promisor(repository: &Repository) -> Option<PromisorRemote> {
    let config = repository.config().ok()?;
    let remotes = repository.remotes().ok()?;
    let mut names = remotes.iter().filter_map(|name| name.ok().flatten());
    names.find_map(|name| {
        let is_promisor = config.get_bool(&format!("remote.{name}.promisor")).ok()?;
        let url = config.get_string(&format!("remote.{name}.url")).ok()?;
        is_promisor.then(|| PromisorRemote {
            name: name.to_owned(),
            url,
        })
    })
}

/// Where the repository is, as a person names it.
fn folder(repository: &Repository) -> PathBuf {
    repository.workdir().unwrap_or(repository.path()).to_owned()
}

/// The folder of a remote on this machine (git-clone(1), "Git URLs").
fn local_folder(url: &str) -> Option<PathBuf> {
    match url.strip_prefix("file://") {
        Some(path) => Some(PathBuf::from(path)),
        None => (!url.contains("://") && Path::new(url).is_dir()).then(|| PathBuf::from(url)),
    }
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
