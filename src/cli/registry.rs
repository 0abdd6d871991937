//! The registry that a command speaks to, with the user's own credentials.

use std::path::PathBuf;

use clap::Args;
use source_images::{Credentials, Registry, RegistryConfig};

use super::error::Error;
use super::input;

/// The largest `config.json`, in bytes.
const LARGEST: u64 = 1 << 20;

/// How to talk to registries.
#[derive(Debug, Args)]
pub struct RegistryOptions {
    /// A registry (host and port) to talk to without TLS; may be repeated
    #[arg(long, value_name = "HOST")]
    plain_http: Vec<String>,
}

impl RegistryOptions {
    /// Runs something on a registry, and waits for it.
    pub(super) fn run<T, F>(&self, work: impl FnOnce(Registry) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, source_images::Error>>,
    {
        let config = RegistryConfig {
            user_agent: crate::USER_AGENT.to_owned(),
            plain_http: self.plain_http.clone(),
            ..RegistryConfig::default()
        };
        let registry = Registry::new(config, credentials()?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|source| Error::Io {
                path: "the runtime".to_owned(),
                source,
            })?;
        Ok(runtime.block_on(work(registry))?)
    }
}

/// The user's own credentials: `config.json` in `$DOCKER_CONFIG`, or in `~/.docker`.
fn credentials() -> Result<Credentials, Error> {
    let folder = match std::env::var_os("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => match etcetera::home_dir() {
            Ok(home) => home.join(".docker"),
            Err(_) => return Ok(Credentials::default()),
        },
    };
    let path = folder.join("config.json");
    if !path.is_file() {
        return Ok(Credentials::default());
    }
    let document = input::read(&path, LARGEST)?;
    Ok(Credentials::parse(&path.display().to_string(), &document)?)
}
