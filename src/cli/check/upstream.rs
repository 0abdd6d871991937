//! Where the components' repositories are: in a folder, or behind a URL.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cli::error::Error;
use crate::cli::input;
use crate::cli::upstream_history::{HistoryOptions, MirroredUpstream, SeriesAtCommit, SeriesHistory};
use crate::patch::{self, Options, PatchInput, PatchReport, Sequence};
use crate::source::local::{self, LocalRepository};
use crate::source::{
    Freshness, MirrorConfig, Mirrors, RefSpec, RepoUrl, Transports, Upstream, mirror_config,
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
        timeout: Duration,
    },
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
            timeout,
        })
    }

    /// Applies a series to a component, with the folder above it where the layout has one, at a tag, branch or commit, and searches the component's
    /// history for the patches that do not apply.
    ///
    /// # Errors
    ///
    /// A sentence, where the component's tree cannot be had.
    pub(super) fn apply(
        &self,
        component: &str,
        reference: &str,
        patches: &[PatchInput],
        history: &HistoryOptions,
    ) -> Result<CheckedSeries, String> {
        let checked = match self {
            Self::Folder(folder) => {
                let alone = component.rsplit('/').next().unwrap_or(component);
                let names = [component, alone].map(|name| [name.to_owned(), format!("{name}.git")]);
                let names = names.concat();
                let Some(path) = names
                    .iter()
                    .map(|name| folder.join(name))
                    .find(|path| path.is_dir())
                else {
                    return Err(format!(
                        "there is no {} in {}",
                        names.join(" or "),
                        folder.display()
                    ));
                };
                check_clone(&path, reference, patches, history)
            }
            Self::Url {
                base,
                mirrors,
                timeout,
            } => {
                let served = ServedComponent {
                    mirrors,
                    url: format!("{base}/{component}"),
                    timeout: *timeout,
                };
                served.check(reference, patches, history)
            }
        };
        checked.map_err(|error| error.to_string())
    }
}

/// A series that was applied to a component.
pub(super) struct CheckedSeries {
    pub(super) reports: Vec<PatchReport>,
    pub(super) history: SeriesHistory,
}

fn check_clone(
    path: &Path,
    reference: &str,
    patches: &[PatchInput],
    history: &HistoryOptions,
) -> Result<CheckedSeries, Error> {
    let options = Options::default();
    let repository = LocalRepository::open(path)?;
    let tree = repository.tree_of_ref(reference)?;
    let series = patch::apply(&repository, tree, patches, Sequence::Stacked, &options)?;
    let mut reports = series.patches().to_vec();
    let history = match repository.commit_of_ref(reference) {
        Some(tip) => {
            let applied = SeriesAtCommit {
                tip,
                patches,
                options: &options,
                sequence: Sequence::Stacked,
            };
            history.search(&repository, &applied, &mut reports)?
        }
        None => SeriesHistory::default(),
    };
    Ok(CheckedSeries { reports, history })
}

/// A component's repository on a server.
struct ServedComponent<'a> {
    mirrors: &'a Mirrors,
    url: String,
    timeout: Duration,
}

impl ServedComponent<'_> {
    fn check(
        &self,
        reference: &str,
        patches: &[PatchInput],
        history: &HistoryOptions,
    ) -> Result<CheckedSeries, Error> {
        let deadline = Instant::now() + self.timeout;
        let options = Options::default();
        let upstream = Upstream::anonymous(self.url.parse()?);
        let want = RefSpec::Any(reference.to_owned());
        let freshness = Freshness::MaxAge(SHARED);
        let (resolved, snapshot) = self
            .mirrors
            .resolve_and_fetch(&upstream, &want, freshness, deadline)?;
        let series = patch::apply(
            &snapshot,
            snapshot.tree_id(),
            patches,
            Sequence::Stacked,
            &options,
        )?;
        let mut reports = series.patches().to_vec();
        let applied = SeriesAtCommit {
            tip: resolved.commit(),
            patches,
            options: &options,
            sequence: Sequence::Stacked,
        };
        let mirror = MirroredUpstream {
            mirrors: self.mirrors,
            upstream: &upstream,
            resolved: &resolved,
            deadline,
        };
        let history = history.search_mirror(&mirror, &applied, &mut reports)?;
        Ok(CheckedSeries { reports, history })
    }
}
