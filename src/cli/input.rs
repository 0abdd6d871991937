//! Files that commands read.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;
use patchset_api::FluxDuration;

use super::error::Error;

/// The most bytes of a file that are read if no smaller limit is given.
pub(super) const LARGEST: u64 = 64 << 20;

/// Reads a file, or standard input for `-`.
///
/// Reads at most one byte more than `limit`, so that the caller can say that it is too much.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Io {
        path: path.display().to_string(),
        source,
    };
    let mut bytes = Vec::new();
    let limit = limit.saturating_add(1);
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        // Room for one more byte lets the read see the end.
        let size = file.metadata().map_or(0, |found| found.len().saturating_add(1));
        bytes.reserve_exact(usize::try_from(size.min(limit)).unwrap_or_default());
        file.take(limit).read_to_end(&mut bytes)
    }
    .map_err(failed)?;
    Ok(bytes)
}

/// The entries of a folder, sorted by the bytes of their names.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Io {
        path: folder.display().to_string(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort_by(|a, b| {
        a.as_os_str()
            .as_encoded_bytes()
            .cmp(b.as_os_str().as_encoded_bytes())
    });
    Ok(paths)
}

/// The folder for what is fetched: the one that is given, or one in the user's cache.
pub(super) fn cache(given: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let strategy = etcetera::choose_base_strategy().map_err(|error| {
        Error::Usage(format!(
            "{error}: say with --cache-dir where to keep what is fetched"
        ))
    })?;
    Ok(strategy.cache_dir().join("patchset/mirrors"))
}

/// Reads a duration as the resources write it, for instance `5m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    FluxDuration::new(text).get().map_err(|error| error.to_string())
}
