//! Programs that the tests call: those that `hack/setup.sh` found or got.

use std::path::PathBuf;
use std::process::Command;

/// Where `hack/setup.sh` keeps its downloads.
fn cache() -> Option<PathBuf> {
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .map(|cache| cache.join("patchset"))
}

/// A file or folder that the scripts keep.
pub fn cached(path: &str) -> PathBuf {
    let found = cache().map(|cache| cache.join(path)).filter(|path| path.exists());
    found.unwrap_or_else(|| panic!("no {path} in the cache: hack/test.sh makes it"))
}

/// A command for a program in the Python environment made by `hack/setup.sh`, whose pip has a known
/// version.
pub fn python(name: &str) -> Command {
    let found = cache()
        .map(|cache| cache.join("python/bin").join(name))
        .filter(|file| file.is_file())
        .unwrap_or_else(|| panic!("no Python environment with {name}: hack/setup.sh makes it"));
    Command::new(found)
}

/// A command for a program in `KUBEBUILDER_ASSETS`, on `PATH`, or among the downloads of
/// `hack/setup.sh`.
pub fn program(name: &str) -> Command {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cache = cache().map(|cache| cache.join("bin"));
    let mut folders = assets
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain(cache);
    let found = folders
        .find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()))
        .unwrap_or_else(|| {
            panic!("no {name} on this machine: hack/setup.sh gets it, and hack/test.sh runs that first")
        });
    Command::new(found)
}
