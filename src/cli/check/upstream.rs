//! Where the components' repositories are: in a folder, or behind a URL.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cli::error::Error;
use crate::cli::input;
use crate::patch::{self, Options, PatchInput, Sequence, Series};
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

    /// Applies a series to a component at a tag, branch or commit.
    ///
    /// # Errors
    ///
    /// A sentence, where the component's tree cannot be had.
    pub(super) fn apply(
        &self,
        component: &str,
        reference: &str,
        patches: &[PatchInput],
        options: &Options,
    ) -> Result<Series, String> {
        let applied = match self {
            Self::Folder(folder) => {
                let names = [component.to_owned(), format!("{component}.git")];
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
                let repository = LocalRepository::open(&path).map_err(|error| error.to_string())?;
                let tree = repository
                    .tree_of_ref(reference)
                    .map_err(|error| error.to_string())?;
                patch::apply(&repository, tree, patches, Sequence::Stacked, options)
            }
            Self::Url {
                base,
                mirrors,
                timeout,
            } => {
                let deadline = Instant::now() + *timeout;
                let url = format!("{base}/{component}").parse();
                let upstream =
                    Upstream::anonymous(url.map_err(|error: crate::source::Error| error.to_string())?);
                let want = RefSpec::Any(reference.to_owned());
                let snapshot = mirrors
                    .fetch(&upstream, &want, Freshness::MaxAge(SHARED), deadline)
                    .map_err(|error| error.to_string())?;
                let tree = snapshot.tree_id();
                patch::apply(&snapshot, tree, patches, Sequence::Stacked, options)
            }
        };
        applied.map_err(|error| error.to_string())
    }
}
