//! Where the components' repositories are: in a folder, or behind a URL.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::task::{Baseline, SeriesTask};
use crate::cli::error::Error;
use crate::cli::git_login::GitLogins;
use crate::cli::input;
use crate::cli::local_refresh::Blobs;
use crate::cli::upstream_history::{
    HistoryOptions, MirroredUpstream, RefreshTrial, SeriesAtCommit, SeriesHistory,
};
use crate::patch::{
    self, ObjectError, Objects, Oid, Options, PatchInput, PatchReport, PatchState, Sequence, TreeEntry,
    touched_paths,
};
use crate::plan::history_search::{AppliedPatches, SeriesRefresh};
use crate::refresh::{FindBlob, PatchRefresh, RefreshOptions};
use crate::source::local::{self, LocalRepository};
use crate::source::{
    self, Freshness, MirrorConfig, Mirrors, PartialSnapshot, RefSpec, RepoUrl, Resolved, Transports,
    Upstream, mirror_config,
};

/// How old a look at an upstream's refs may be: one serves all releases.
const SHARED: Duration = Duration::from_secs(60);

/// The components' repositories.
pub(super) enum Upstreams {
    /// Clones in a folder.
    Folder(PathBuf),
    /// Repositories below a URL.
    Url {
        base: String,
        mirrors: Box<Mirrors>,
        logins: GitLogins,
        timeout: Duration,
    },
}

/// How series are applied, and how their histories are searched.
#[derive(Clone, Copy)]
pub(super) struct SeriesSettings<'a> {
    pub(super) engine: &'a Options,
    pub(super) history: &'a HistoryOptions,
}

impl SeriesSettings<'_> {
    /// How the history is searched for patches that applied on a commit, where one is known.
    fn history(&self, applied_on: Option<Oid>) -> HistoryOptions {
        match applied_on {
            Some(commit) => self.history.after(commit),
            None => self.history.clone(),
        }
    }
}

impl Upstreams {
    /// Takes what has a scheme or `user@host:` for a URL, and the rest for a folder.
    ///
    /// # Errors
    ///
    /// Where there is no such folder, or the cache cannot be used.
    pub(super) fn new(base: &str, cache: Option<&Path>, timeout: Duration) -> Result<Self, Error> {
        let folder = PathBuf::from(base);
        if folder.is_dir() {
            local::trust_stored_objects();
            return Ok(Self::Folder(folder));
        }
        if !base.contains(':') {
            return Err(Error::Usage(format!(
                "--upstream {base}: there is no such folder; for repositories on a server write a URL, such as https://opendev.org/openstack"
            )));
        }
        let base = base.trim_end_matches('/').to_owned();
        let url: RepoUrl = format!("{base}/component").parse()?;
        let config = MirrorConfig {
            // Whoever names the address allows its way.
            transports: Transports::NONE.and(url.scheme()),
            ..mirror_config(input::cache(cache)?)
        };
        Ok(Self::Url {
            base,
            mirrors: Box::new(Mirrors::open(config)?),
            logins: GitLogins::default(),
            timeout,
        })
    }

    /// Applies a series to its component at a tag, branch or commit, searches the component's
    /// history for the patches that do not apply, and makes them anew as far as that goes.
    ///
    /// # Errors
    ///
    /// A sentence, where the component's tree cannot be had.
    pub(super) fn apply(
        &self,
        task: &SeriesTask,
        settings: SeriesSettings<'_>,
    ) -> Result<CheckedSeries, String> {
        let component = match &task.organisation {
            Some(organisation) => format!("{organisation}/{}", task.component),
            None => task.component.clone(),
        };
        let checked = match self {
            Self::Folder(folder) => {
                let bare = &task.component;
                let names = [
                    component.clone(),
                    format!("{component}.git"),
                    bare.clone(),
                    format!("{bare}.git"),
                ];
                let Some(path) = names
                    .iter()
                    .map(|name| folder.join(name))
                    .find(|path| path.is_dir())
                else {
                    return Err(format!(
                        "there is no {component} or {component}.git in {}",
                        folder.display()
                    ));
                };
                check_clone(&path, task, settings)
            }
            Self::Url {
                base,
                mirrors,
                logins,
                timeout,
            } => {
                let served = ServedComponent {
                    mirrors,
                    logins,
                    url: format!("{base}/{component}"),
                    deadline: Instant::now() + *timeout,
                };
                served.check(task, settings)
            }
        };
        checked.map_err(|error| error.to_string())
    }
}

/// A series that was applied to a component.
pub(super) struct CheckedSeries {
    pub(super) reports: Vec<PatchReport>,
    pub(super) history: SeriesHistory,
    /// Of each patch; nothing where all apply where they say.
    pub(super) refreshed: Vec<PatchRefresh>,
    /// What became of the patches before the change; a sentence where that cannot be told.
    pub(super) before: Result<Vec<PatchReport>, String>,
}

/// A series of before the change, on the commit that it was for.
struct AppliedBefore {
    tree: Option<Oid>,
    commit: Option<Oid>,
    reports: Result<Vec<PatchReport>, String>,
}

impl AppliedBefore {
    fn unknown(error: &impl ToString) -> Self {
        Self {
            tree: None,
            commit: None,
            reports: Err(error.to_string()),
        }
    }

    fn absent() -> Self {
        Self {
            tree: None,
            commit: None,
            reports: Ok(Vec::new()),
        }
    }
}

fn check_clone(path: &Path, task: &SeriesTask, settings: SeriesSettings<'_>) -> Result<CheckedSeries, Error> {
    let engine = settings.engine;
    let reference = task.reference.name.as_str();
    let repository = LocalRepository::open(path)?;
    let tree = repository.tree_of_ref(reference)?;
    let series = patch::apply(&repository, tree, &task.patches, Sequence::Stacked, engine)?;
    let mut reports = series.patches().to_vec();
    let applied = AppliedPatches {
        patches: &task.patches,
        options: engine,
        sequence: Sequence::Stacked,
    };
    let before = match &task.baseline {
        Baseline::Series { reference, patches } => {
            let apply = || -> Result<AppliedBefore, Error> {
                let tree = repository.tree_of_ref(reference)?;
                let series = patch::apply(&repository, tree, patches, Sequence::Stacked, engine)?;
                Ok(AppliedBefore {
                    tree: Some(tree),
                    commit: repository.commit_of_ref(reference),
                    reports: Ok(series.patches().to_vec()),
                })
            };
            apply().unwrap_or_else(|error| AppliedBefore::unknown(&error))
        }
        Baseline::Ignored | Baseline::Absent => AppliedBefore::absent(),
    };
    let history = settings.history(before.commit);
    let history_found = match repository.commit_of_ref(reference) {
        Some(tip) => {
            let series = SeriesAtCommit {
                tip,
                applied,
                refresh: RefreshTrial::Tried,
            };
            history.search(&repository, &series, &mut reports)?
        }
        None => SeriesHistory::default(),
    };
    let last_applied = history.last_applied(&repository)?.or(before.tree);
    let refresh = SeriesRefresh {
        objects: &repository,
        base: tree,
        series: applied,
        reports: &reports,
        last_applied: &vec![last_applied; reports.len()],
        blobs: &Blobs(&repository),
    };
    Ok(CheckedSeries {
        refreshed: refreshed(&refresh),
        history: history_found,
        reports,
        before: before.reports,
    })
}

/// Makes the patches of a series anew; nothing where all apply where they say, and where what is
/// needed for it cannot be read.
fn refreshed(refresh: &SeriesRefresh<'_>) -> Vec<PatchRefresh> {
    let is_clean = |report: &PatchReport| report.state == PatchState::Clean;
    if refresh.reports.iter().all(is_clean) {
        return Vec::new();
    }
    refresh.run(&RefreshOptions::default()).unwrap_or_default()
}

/// A component's repository on a server.
struct ServedComponent<'a> {
    mirrors: &'a Mirrors,
    logins: &'a GitLogins,
    url: String,
    deadline: Instant,
}

/// A commit of a component, with the upstream that it was had from.
struct ServedCommit<'a> {
    upstream: Upstream,
    resolved: Resolved,
    snapshot: PartialSnapshot<'a>,
}

impl ServedComponent<'_> {
    fn check(&self, task: &SeriesTask, settings: SeriesSettings<'_>) -> Result<CheckedSeries, Error> {
        let engine = settings.engine;
        let commit = self.commit(&task.reference.name)?;
        let mut reports = commit.apply(&task.patches, engine)?;
        let applied = AppliedPatches {
            patches: &task.patches,
            options: engine,
            sequence: Sequence::Stacked,
        };
        let series = SeriesAtCommit {
            tip: commit.resolved.commit(),
            applied,
            refresh: RefreshTrial::Tried,
        };
        let mirror = MirroredUpstream {
            mirrors: self.mirrors,
            upstream: &commit.upstream,
            resolved: &commit.resolved,
            deadline: self.deadline,
        };
        let mut base = None;
        let before = match &task.baseline {
            Baseline::Series { reference, patches } => {
                let mut apply = || -> Result<AppliedBefore, Error> {
                    let commit = base.insert(self.commit(reference)?);
                    let reports = commit.apply(patches, engine)?;
                    Ok(AppliedBefore {
                        tree: Some(commit.snapshot.tree_id()),
                        commit: Some(commit.resolved.commit()),
                        reports: Ok(reports),
                    })
                };
                apply().unwrap_or_else(|error| AppliedBefore::unknown(&error))
            }
            Baseline::Ignored | Baseline::Absent => AppliedBefore::absent(),
        };
        let history = settings.history(before.commit);
        let history = history.search_mirror(&mirror, &series, &mut reports)?;
        let objects = EitherCommit {
            first: &commit.snapshot,
            second: base.as_ref().map(|base| &base.snapshot),
        };
        let refresh = SeriesRefresh {
            objects: &objects,
            base: commit.snapshot.tree_id(),
            series: applied,
            reports: &reports,
            last_applied: &vec![before.tree; reports.len()],
            blobs: &objects,
        };
        Ok(CheckedSeries {
            refreshed: refreshed(&refresh),
            history,
            reports,
            before: before.reports,
        })
    }

    /// The trees of a commit, and of its files those that are asked for.
    fn commit(&self, reference: &str) -> Result<ServedCommit<'_>, Error> {
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
                Err(source::Error::Moved { .. }) => once(upstream),
                outcome => outcome,
            })?;
        Ok(ServedCommit {
            upstream,
            resolved,
            snapshot,
        })
    }
}

impl ServedCommit<'_> {
    fn apply(&self, patches: &[PatchInput], engine: &Options) -> Result<Vec<PatchReport>, Error> {
        let snapshot = &self.snapshot;
        snapshot.prefetch_paths(touched_paths(patches, engine))?;
        let series = patch::apply(snapshot, snapshot.tree_id(), patches, Sequence::Stacked, engine);
        match (series, snapshot.fetch_failure()) {
            (Ok(series), _) => Ok(series.patches().to_vec()),
            (Err(patch::Error::Object(_)), Some(failure)) => Err(failure.into()),
            (Err(error), _) => Err(error.into()),
        }
    }
}

/// The objects of two commits.
struct EitherCommit<'a> {
    first: &'a PartialSnapshot<'a>,
    second: Option<&'a PartialSnapshot<'a>>,
}

impl EitherCommit<'_> {
    fn get<T>(&self, get: impl Fn(&PartialSnapshot<'_>) -> Result<T, ObjectError>) -> Result<T, ObjectError> {
        match (get(self.first), self.second) {
            (Err(ObjectError::NotFound(_)), Some(second)) => get(second),
            (outcome, _) => outcome,
        }
    }
}

impl Objects for EitherCommit<'_> {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        self.get(|commit| commit.tree(id))
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        self.get(|commit| commit.blob(id))
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        self.get(|commit| commit.blob_size(id))
    }
}

impl FindBlob for EitherCommit<'_> {
    /// Ids in full alone: what a server has besides is not known.
    fn find_blob(&self, prefix: &str) -> Result<Option<Oid>, ObjectError> {
        let Ok(id) = prefix.parse() else {
            return Ok(None);
        };
        Ok(self.blob_size(id).ok().map(|_| id))
    }
}
