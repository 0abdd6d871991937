//! A component's upstream at a ref: its trees and files, and its history.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use git_apply_engine::{
    ObjectError, Objects, Oid, Options, PatchInput, PatchReport, Sequence, TreeEntry, touched_paths,
};
use git_mirrors::local::LocalRepository;
use git_mirrors::{Freshness, Mirrors, PartialSnapshot, RefSpec, RepoUrl, Resolved, Upstream};
use patch_refresh::FindBlob;

use crate::cli::error::Error;
use crate::cli::git_login::GitLogins;
use crate::cli::local_refresh::Blobs;
use crate::cli::upstream_history::{HistoryOptions, MirroredUpstream, SeriesAtCommit, SeriesHistory};

/// How old a look at an upstream's refs may be: one serves all releases.
const SHARED: Duration = Duration::from_secs(60);

/// A component's repository.
pub(in crate::cli) enum ComponentRepository<'a> {
    /// A clone on this machine.
    Clone(PathBuf),
    /// One on a server.
    Served(ServedComponent<'a>),
}

/// A component's repository on a server.
pub(in crate::cli) struct ServedComponent<'a> {
    pub(in crate::cli) mirrors: &'a Mirrors,
    pub(in crate::cli) logins: &'a GitLogins,
    pub(in crate::cli) url: String,
    /// When to give up.
    pub(in crate::cli) deadline: Instant,
}

/// A component at a commit or tree.
pub(in crate::cli) enum ComponentCommit<'a> {
    /// In a clone, whose objects are all there.
    Cloned(ClonedCommit),
    /// On a server, whose files are fetched where they are read.
    Served(Box<ServedCommit<'a>>),
}

/// A commit of a clone.
pub(in crate::cli) struct ClonedCommit {
    pub(in crate::cli) repository: LocalRepository,
    tree: Oid,
    /// Nothing where the ref names a tree.
    commit: Option<Oid>,
}

/// A commit of a server's repository, with the upstream that it was fetched from.
pub(in crate::cli) struct ServedCommit<'a> {
    mirrors: &'a Mirrors,
    deadline: Instant,
    pub(in crate::cli) upstream: Upstream,
    pub(in crate::cli) resolved: Resolved,
    snapshot: PartialSnapshot<'a>,
}

impl<'a> ComponentRepository<'a> {
    /// The component at the tag of a name, else the branch, else the commit.
    ///
    /// # Errors
    ///
    /// Where the repository cannot be used, or has no such ref.
    pub(in crate::cli) fn at(&self, reference: &str) -> Result<ComponentCommit<'a>, Error> {
        match self {
            Self::Clone(path) => {
                let repository = LocalRepository::open(path)?;
                Ok(ComponentCommit::Cloned(ClonedCommit {
                    tree: repository.tree_of_ref(reference)?,
                    commit: repository.commit_of_ref(reference),
                    repository,
                }))
            }
            Self::Served(served) => Ok(ComponentCommit::Served(Box::new(served.at(reference)?))),
        }
    }
}

impl<'a> ServedComponent<'a> {
    /// Fetches the trees of a commit; of its files, only those that are read later.
    fn at(&self, reference: &str) -> Result<ServedCommit<'a>, Error> {
        let url: RepoUrl = self.url.parse()?;
        let want = RefSpec::Any(reference.to_owned());
        let once = |upstream: &Upstream| {
            let freshness = Freshness::MaxAge(SHARED);
            let resolved = self.mirrors.resolve(upstream, &want, freshness, self.deadline)?;
            let snapshot = self
                .mirrors
                .partial_snapshot(upstream, &resolved, self.deadline)?;
            Ok((resolved, snapshot))
        };
        let (upstream, (resolved, snapshot)) =
            self.logins.with_upstream(&url, |upstream| match once(upstream) {
                Err(git_mirrors::Error::Moved { .. }) => once(upstream),
                outcome => outcome,
            })?;
        Ok(ServedCommit {
            mirrors: self.mirrors,
            deadline: self.deadline,
            upstream,
            resolved,
            snapshot,
        })
    }
}

impl ComponentCommit<'_> {
    /// The commit's tree.
    pub(in crate::cli) fn tree_id(&self) -> Oid {
        match self {
            Self::Cloned(cloned) => cloned.tree,
            Self::Served(served) => served.snapshot.tree_id(),
        }
    }

    /// The commit; `None` where the ref names a tree.
    pub(in crate::cli) fn commit(&self) -> Option<Oid> {
        match self {
            Self::Cloned(cloned) => cloned.commit,
            Self::Served(served) => Some(served.resolved.commit()),
        }
    }

    /// The upstream's address, without a login; `None` where a clone has no `origin`.
    pub(in crate::cli) fn url(&self) -> Option<String> {
        match self {
            Self::Cloned(cloned) => cloned.repository.origin(),
            Self::Served(served) => Some(served.upstream.url().to_string()),
        }
    }

    /// Applies patches, each on top of those before it.
    ///
    /// # Errors
    ///
    /// Where the files that they touch cannot be had.
    pub(in crate::cli) fn apply(
        &self,
        patches: &[PatchInput],
        engine: &Options,
    ) -> Result<git_apply_engine::Series, Error> {
        let apply = || git_apply_engine::apply(self, self.tree_id(), patches, Sequence::Stacked, engine);
        match self {
            Self::Cloned(cloned) => apply().map_err(|error| {
                let filtered = match &error {
                    git_apply_engine::Error::Object(object) => cloned.repository.why_missing(object),
                    git_apply_engine::Error::TooMany { .. } => None,
                };
                filtered.map_or_else(|| error.into(), Error::from)
            }),
            Self::Served(served) => {
                served.snapshot.prefetch_paths(touched_paths(patches, engine))?;
                match (apply(), served.snapshot.fetch_failure()) {
                    (Err(git_apply_engine::Error::Object(_)), Some(failure)) => Err(failure.into()),
                    (applied, _) => Ok(applied?),
                }
            }
        }
    }

    /// Searches the component's history for patches that do not apply, and puts what upstream has
    /// into their reports. A tree has no history.
    ///
    /// # Errors
    ///
    /// Where the bound of the search cannot be used. That the history cannot be searched is a note.
    pub(in crate::cli) fn search(
        &self,
        history: &HistoryOptions,
        series: &SeriesAtCommit<'_>,
        reports: &mut [PatchReport],
    ) -> Result<SeriesHistory, Error> {
        match self {
            Self::Cloned(cloned) => history.search(&cloned.repository, series, reports),
            Self::Served(served) => {
                let mirror = MirroredUpstream {
                    mirrors: served.mirrors,
                    upstream: &served.upstream,
                    resolved: &served.resolved,
                    deadline: served.deadline,
                };
                history.search_mirror(&mirror, series, reports)
            }
        }
    }

    /// The tree of the revision on which the patches applied, where the options name one.
    ///
    /// # Errors
    ///
    /// Where the bound is neither a date nor a revision.
    pub(in crate::cli) fn last_applied(&self, history: &HistoryOptions) -> Result<Option<Oid>, Error> {
        match self {
            Self::Cloned(cloned) => history.last_applied(&cloned.repository),
            Self::Served(_) => Ok(None),
        }
    }
}

impl Objects for ComponentCommit<'_> {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        match self {
            Self::Cloned(cloned) => cloned.repository.tree(id),
            Self::Served(served) => served.snapshot.tree(id),
        }
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        match self {
            Self::Cloned(cloned) => cloned.repository.blob(id),
            Self::Served(served) => served.snapshot.blob(id),
        }
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        match self {
            Self::Cloned(cloned) => cloned.repository.blob_size(id),
            Self::Served(served) => served.snapshot.blob_size(id),
        }
    }
}

impl FindBlob for ComponentCommit<'_> {
    /// On a server, only full ids are found: what else it has is not known.
    fn find_blob(&self, prefix: &str) -> Result<Option<Oid>, ObjectError> {
        match self {
            Self::Cloned(cloned) => Blobs(&cloned.repository).find_blob(prefix),
            Self::Served(served) => {
                let Ok(id) = prefix.parse() else {
                    return Ok(None);
                };
                Ok(served.snapshot.blob_size(id).ok().map(|_| id))
            }
        }
    }
}
