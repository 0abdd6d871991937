//! Where repositories and Flux's sources are: on this machine, or at their own addresses.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use git_apply_engine::{Objects, Oid, PatchReport};
use git_mirrors::clone::LocalCommit;
use git_mirrors::folder::Folder;
use git_mirrors::local::LocalRepository;
use git_mirrors::{
    Freshness, MirrorConfig, Mirrors, RefSpec, RepoUrl, Resolved, Revision, Scheme, Snapshot, Transports,
    Tree, Upstream,
};
use patchset_api::common::GitPath;
use patchset_api::referent::SourceReference;

use crate::cli::error::Error;
use crate::cli::git_login::GitLogins;
use crate::cli::input;
use crate::cli::upstream_history::{HistoryOptions, MirroredUpstream, SeriesAtCommit, SeriesHistory};
use crate::source::{api_revision, mirror_config, ref_spec};

/// How old a look at a repository's refs may be: one serves a whole plan.
pub(super) const SHARED: Duration = Duration::from_secs(60);

/// Where things are.
#[derive(Debug, Args)]
pub struct PlaceOptions {
    /// Take a repository from this clone instead of its address. NAME is the address, or the last
    /// part of its path; may be repeated
    #[arg(long, value_name = "NAME=GITDIR", value_parser = pair)]
    repo: Vec<(String, PathBuf)>,
    /// Take repositories from the clones in this folder that are named like the last part of their
    /// address
    #[arg(long, value_name = "DIR")]
    upstream: Option<PathBuf>,
    /// Take patches, constraints or a Dockerfile from this folder in its current state, committed
    /// or not. NAME is the repository, or the Flux source; may be repeated
    #[arg(long, value_name = "NAME=DIR", value_parser = pair)]
    folder: Vec<(String, PathBuf)>,
    /// Contact no server: all repositories are on this machine, and tags of images are not resolved
    #[arg(long)]
    pub(super) offline: bool,
    /// Folder for what is fetched from an address [default: patchset/mirrors in the user's cache]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// How long it may take to fetch one repository
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = input::duration)]
    timeout: Duration,
    #[command(flatten)]
    history: HistoryOptions,
}

fn pair(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(path)))
        }
        _ => Err("write NAME=PATH".to_owned()),
    }
}

/// A tree that was found.
#[derive(Clone)]
pub(super) enum HeldTree {
    /// A commit of a clone.
    Clone(Arc<LocalCommit>),
    /// A commit that was fetched.
    Mirror(Arc<Snapshot>),
    /// A folder as it is.
    Folder(Arc<Folder>, PathBuf),
}

impl HeldTree {
    /// Its files.
    pub(super) fn files(&self) -> Tree<'_> {
        match self {
            Self::Clone(commit) => commit.files(),
            Self::Mirror(snapshot) => snapshot.files(),
            Self::Folder(folder, path) => folder.files(path),
        }
    }

    /// The revision of the commit; `None` for a folder.
    pub(super) fn revision(&self) -> Option<patchset_api::Revision> {
        match self {
            Self::Clone(commit) => Some(api_revision(commit.revision())),
            Self::Mirror(snapshot) => Some(api_revision(snapshot.revision())),
            Self::Folder(..) => None,
        }
    }

    /// Its objects.
    pub(super) fn objects(&self) -> Arc<dyn Objects + Send + Sync> {
        match self {
            Self::Clone(commit) => Arc::clone(commit) as Arc<dyn Objects + Send + Sync>,
            Self::Mirror(snapshot) => Arc::clone(snapshot) as Arc<dyn Objects + Send + Sync>,
            Self::Folder(folder, _) => Arc::clone(folder) as Arc<dyn Objects + Send + Sync>,
        }
    }
}

/// A commit that was found.
pub(super) struct HeldCommit {
    pub(super) held: HeldTree,
    pub(super) revision: Revision,
    pub(super) tree: Oid,
    /// The repository's address.
    pub(super) url: RepoUrl,
    origin: CommitOrigin,
}

/// Where a commit's history is.
enum CommitOrigin {
    Clone(PathBuf),
    Mirror(Box<MirroredCommit>),
}

struct MirroredCommit {
    mirrors: Arc<Mirrors>,
    upstream: Upstream,
    resolved: Resolved,
    /// When to give up.
    deadline: Instant,
}

/// All places of one plan.
pub(super) struct SourcePlaces<'a> {
    options: &'a PlaceOptions,
    mirrors: RefCell<Vec<(Scheme, Arc<Mirrors>)>>,
    logins: GitLogins,
}

impl<'a> SourcePlaces<'a> {
    pub(super) fn new(options: &'a PlaceOptions) -> Result<Self, Error> {
        if let Some(folder) = options.upstream.as_ref().filter(|folder| !folder.is_dir()) {
            return Err(Error::Usage(format!(
                "--upstream {}: there is no such folder",
                folder.display()
            )));
        }
        Ok(Self {
            options,
            mirrors: RefCell::default(),
            logins: GitLogins::default(),
        })
    }

    /// Finds a commit of a repository. `what` names it in messages.
    ///
    /// # Errors
    ///
    /// Where there is no such repository or ref.
    pub(super) fn commit(&self, what: &str, url: &str, want: &RefSpec) -> Result<HeldCommit, Error> {
        let url: RepoUrl = url.parse()?;
        let address = url.to_string();
        if let Some(path) = self.clone_of(&address) {
            let commit = LocalCommit::find(&path, want)
                .map_err(|error| Error::Usage(format!("{what}: {error}; is the clone up to date?")))?;
            let (revision, tree) = (commit.revision().clone(), commit.tree_id());
            return Ok(HeldCommit {
                held: HeldTree::Clone(Arc::new(commit)),
                revision,
                tree,
                url,
                origin: CommitOrigin::Clone(path),
            });
        }
        let last = last_part(&address);
        if self.options.offline {
            return Err(Error::Usage(format!(
                "{what}: {address} is not on this machine: say with --repo {last}=PATH where its clone is"
            )));
        }
        let deadline = self.deadline();
        let mirrors = self.mirrors(url.scheme())?;
        let fetched = self.logins.with_upstream(&url, |upstream| {
            mirrors.resolve_and_fetch(upstream, want, Freshness::MaxAge(SHARED), deadline)
        });
        let (upstream, (resolved, snapshot)) = fetched.map_err(|error| {
            Error::Usage(format!(
                "{what}: {error}; a clone on this machine can be named with --repo {last}=PATH"
            ))
        })?;
        let (revision, tree) = (snapshot.revision().clone(), snapshot.tree_id());
        Ok(HeldCommit {
            held: HeldTree::Mirror(Arc::new(snapshot)),
            revision,
            tree,
            url,
            origin: CommitOrigin::Mirror(Box::new(MirroredCommit {
                mirrors,
                upstream,
                resolved,
                deadline,
            })),
        })
    }

    /// Searches the history of a commit for the patches of a series that do not apply to it, and
    /// puts what upstream has into their reports.
    ///
    /// # Errors
    ///
    /// If the bound of the search is invalid. A failed search is only noted.
    pub(super) fn search_history(
        &self,
        commit: &HeldCommit,
        series: &SeriesAtCommit<'_>,
        reports: &mut [PatchReport],
    ) -> Result<SeriesHistory, Error> {
        let history = &self.options.history;
        match &commit.origin {
            CommitOrigin::Clone(path) => history.search(&LocalRepository::open(path)?, series, reports),
            CommitOrigin::Mirror(mirrored) => {
                let mirror = MirroredUpstream {
                    mirrors: &mirrored.mirrors,
                    upstream: &mirrored.upstream,
                    resolved: &mirrored.resolved,
                    deadline: mirrored.deadline,
                };
                history.search_mirror(&mirror, series, reports)
            }
        }
    }

    /// Finds a repository whose revision does not matter: it may be a folder too.
    ///
    /// # Errors
    ///
    /// Where there is no such repository, ref or folder.
    pub(super) fn repository(&self, what: &str, git: &GitPath) -> Result<HeldTree, Error> {
        let url: RepoUrl = git.url.parse()?;
        if let Some(folder) = self.folder(&[&url.to_string(), last_part(&url.to_string())])? {
            return Ok(folder);
        }
        let want = git.ref_.as_ref().map_or(Ok(RefSpec::Default), ref_spec)?;
        Ok(self.commit(what, &git.url, &want)?.held)
    }

    /// Finds what a Flux source publishes.
    ///
    /// # Errors
    ///
    /// Where no folder is given for it.
    pub(super) fn flux_source(&self, reference: &SourceReference) -> Result<HeldTree, Error> {
        let (kind, name) = (reference.kind.kind(), &reference.name);
        let found = self.folder(&[&format!("{kind}/{name}"), name])?;
        found.ok_or_else(|| {
            Error::Usage(format!(
                "patches.sourceRef: what {kind} {name} publishes is in the cluster: say with --folder {name}=DIR where its contents are"
            ))
        })
    }

    fn folder(&self, names: &[&str]) -> Result<Option<HeldTree>, Error> {
        let given = self.options.folder.iter();
        let mut given = given.filter(|(name, _)| names.contains(&name.as_str()));
        let Some((_, path)) = given.next() else {
            return Ok(None);
        };
        Ok(Some(HeldTree::Folder(
            Arc::new(Folder::read(path)?),
            path.clone(),
        )))
    }

    pub(super) fn is_offline(&self) -> bool {
        self.options.offline
    }

    /// The deadline for a fetch that is about to begin.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.timeout
    }

    pub(super) fn clone_of(&self, address: &str) -> Option<PathBuf> {
        let last = last_part(address);
        let given = self.options.repo.iter();
        let mut given = given.filter(|(name, _)| name == address || name == last);
        if let Some((_, path)) = given.next() {
            return Some(path.clone());
        }
        let folder = self.options.upstream.as_deref()?;
        [last.to_owned(), format!("{last}.git")]
            .iter()
            .map(|name| folder.join(name))
            .find(|path| path.is_dir())
    }

    /// The mirrors for one kind of address: a user who names one permits its transport.
    pub(super) fn mirrors(&self, scheme: Scheme) -> Result<Arc<Mirrors>, Error> {
        let mut all = self.mirrors.borrow_mut();
        if let Some((_, mirrors)) = all.iter().find(|(known, _)| *known == scheme) {
            return Ok(Arc::clone(mirrors));
        }
        let config = MirrorConfig {
            transports: Transports::NONE.and(scheme),
            ..mirror_config(input::cache(self.options.cache_dir.as_deref())?)
        };
        let mirrors = Arc::new(Mirrors::open(config)?);
        all.push((scheme, Arc::clone(&mirrors)));
        Ok(mirrors)
    }
}

/// The last part of an address, without `.git`.
pub(super) fn last_part(address: &str) -> &str {
    let path = address.trim_end_matches('/');
    let last = path.rsplit(['/', ':']).next().unwrap_or(path);
    last.strip_suffix(".git").unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_called_by_the_last_part_of_their_address() {
        for (address, name) in [
            ("https://opendev.org/openstack/glance", "glance"),
            ("https://git.example.com/team/deployment.git", "deployment"),
            ("git@git.example.com:deployment.git", "deployment"),
            ("ssh://git@host/a/b/", "b"),
        ] {
            assert_eq!(last_part(address), name);
        }
        assert!(pair("a").is_err());
        assert!(pair("=a").is_err());
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), PathBuf::from("b=c")));
    }
}
