//! Repositories that were cloned without all their objects.

use std::time::{Duration, Instant};

use clap::Args;
use git_apply_engine::{Oid, Options as Engine, PatchInput, touched_paths};
use git_mirrors::local::LocalRepository;
use git_mirrors::{Scheme, Transports};

use super::error::Error;
use crate::source::mirror_config;

/// How long the remote of a partial clone may take.
const TIME: Duration = Duration::from_secs(300);

/// What happens to objects that a partial clone lacks.
#[derive(Debug, Args)]
pub(super) struct PartialCloneOptions {
    /// Fetch the patched files that a partial clone lacks, from the remote that it was cloned from
    /// and without a login
    #[arg(long)]
    fetch: bool,
}

impl PartialCloneOptions {
    /// Fetches what is missing of the files that the patches touch, if requested.
    pub(super) fn fetch(
        &self,
        repository: &LocalRepository,
        tree: Oid,
        patches: &[PatchInput],
        engine: &Engine,
    ) -> Result<(), Error> {
        if self.fetch {
            // The remote is one that the user named to git.
            let mut config = mirror_config("");
            config.transports = Transports::SECURE.and(Scheme::Http).and(Scheme::Git);
            let paths = touched_paths(patches, engine);
            repository.fetch_filtered(tree, &paths, &config, Instant::now() + TIME)?;
        }
        Ok(())
    }
}

/// Says of an object that was filtered how to get it.
pub(super) fn explained(repository: &LocalRepository, error: git_apply_engine::Error) -> Error {
    let filtered = match &error {
        git_apply_engine::Error::Object(object) => repository.why_missing(object),
        git_apply_engine::Error::TooMany { .. } => None,
    };
    match filtered {
        Some(filtered) => Error::Usage(format!("{filtered}; or give --fetch")),
        None => error.into(),
    }
}
