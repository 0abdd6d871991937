//! Where the components' repositories are: in a folder, or behind a URL.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git_mirrors::{MirrorConfig, Mirrors, RepoUrl, Transports};

use super::component::{ComponentRepository, ServedComponent};
use crate::cli::error::Error;
use crate::cli::git_login::GitLogins;
use crate::cli::input;
use crate::source::mirror_config;

/// The components' repositories.
pub(in crate::cli) enum Upstreams {
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

impl Upstreams {
    /// Takes a base with a scheme or `user@host:` for a URL, and any other for a folder.
    ///
    /// # Errors
    ///
    /// Where there is no such folder, or the cache cannot be used.
    pub(super) fn new(base: &str, cache: Option<&Path>, timeout: Duration) -> Result<Self, Error> {
        let folder = PathBuf::from(base);
        if folder.is_dir() {
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
            // A user who names an address permits its transport.
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

    /// A component's repository; `organisation` is the folder above it on its server, if the layout
    /// has it. Its deadline is the time that one component may take, from this call.
    ///
    /// # Errors
    ///
    /// Where a folder has no clone of it.
    pub(in crate::cli) fn component(
        &self,
        component: &str,
        organisation: Option<&str>,
    ) -> Result<ComponentRepository<'_>, Error> {
        let whole = match organisation {
            Some(organisation) => format!("{organisation}/{component}"),
            None => component.to_owned(),
        };
        match self {
            Self::Folder(folder) => {
                let names = [
                    whole.clone(),
                    format!("{whole}.git"),
                    component.to_owned(),
                    format!("{component}.git"),
                ];
                let clones = names.iter().map(|name| folder.join(name));
                match clones.into_iter().find(|path| path.is_dir()) {
                    Some(path) => Ok(ComponentRepository::Clone(path)),
                    None => Err(Error::Usage(format!(
                        "there is no {whole} or {whole}.git in {}",
                        folder.display()
                    ))),
                }
            }
            Self::Url {
                base,
                mirrors,
                logins,
                timeout,
            } => Ok(ComponentRepository::Served(ServedComponent {
                mirrors,
                logins,
                url: format!("{base}/{whole}"),
                deadline: Instant::now() + *timeout,
            })),
        }
    }
}
