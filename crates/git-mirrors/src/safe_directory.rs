//! Repositories of other owners, which Git opens where the user's settings allow it.
//!
//! libgit2 reads `safe.directory` from the files that it knows. Git's other ways to pass settings
//! count too: `GIT_CONFIG_SYSTEM`, `GIT_CONFIG_GLOBAL` and `GIT_CONFIG_COUNT`.

use std::env;
use std::path::{Path, PathBuf};

use git2::{Config, ErrorCode, Repository};

use super::local_error::LocalError;

/// The most settings that are read from the environment.
const MOST_SETTINGS: usize = 1000;

/// The name of the setting.
const SETTING: &str = "safe.directory";

/// Opens a Git folder or a working tree.
///
/// # Errors
///
/// Where there is none, or Git would refuse it because of its owner.
pub(super) fn open(path: &Path) -> Result<Repository, LocalError> {
    let refused = match Repository::open(path) {
        Ok(repository) => return Ok(repository),
        Err(error) => error,
    };
    let failed = |error: &git2::Error| LocalError::Open {
        path: path.display().to_string(),
        message: error.message().to_owned(),
    };
    if refused.code() != ErrorCode::Owner {
        return Err(failed(&refused));
    }
    let folder = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if !allows(&settings(), &folder) {
        return Err(LocalError::Owner {
            path: folder.display().to_string(),
        });
    }
    // What is read from it is the same without its working tree.
    let inner = folder.join(".git");
    let git_folder = if inner.is_dir() { inner } else { folder };
    Repository::open_bare(&git_folder).map_err(|error| failed(&error))
}

/// Whether values of the setting, in their order, allow a repository in this folder.
fn allows(values: &[String], folder: &Path) -> bool {
    let worktree = folder.parent().filter(|_| folder.ends_with(".git"));
    let is_it = |path: &Path| path == folder || Some(path) == worktree || path == folder.join(".git");
    let mut allowed = false;
    for value in values {
        allowed = match value.as_str() {
            // An empty value resets those before it.
            "" => false,
            "*" => true,
            value => {
                let value = expanded(value);
                let below = value.strip_suffix("/*").map(PathBuf::from);
                let is_below = below.is_some_and(|above| folder != above && folder.starts_with(above));
                allowed || is_below || is_it(Path::new(value.trim_end_matches('/')))
            }
        };
    }
    allowed
}

/// A path whose `~/` is the user's home.
fn expanded(value: &str) -> String {
    match (value.strip_prefix("~/"), env::var("HOME")) {
        (Some(rest), Ok(home)) => format!("{home}/{rest}"),
        _ => value.to_owned(),
    }
}

/// The values of the setting from the environment, in Git's order.
fn settings() -> Vec<String> {
    let mut values = Vec::new();
    for file in ["GIT_CONFIG_SYSTEM", "GIT_CONFIG_GLOBAL"] {
        let Some(config) = env::var_os(file).and_then(|path| Config::open(Path::new(&path)).ok()) else {
            continue;
        };
        let Ok(entries) = config.multivar(SETTING, None) else {
            continue;
        };
        // A value that cannot be read allows nothing.
        let _ = entries.for_each(|entry| values.extend(entry.value().map(ToOwned::to_owned)));
    }
    let count = env::var("GIT_CONFIG_COUNT").ok();
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(0_usize);
    for number in 0..count.min(MOST_SETTINGS) {
        let key = env::var(format!("GIT_CONFIG_KEY_{number}")).unwrap_or_default();
        if key.eq_ignore_ascii_case(SETTING) {
            values.extend(env::var(format!("GIT_CONFIG_VALUE_{number}")));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_allow_what_git_lets_them_allow() {
        for (values, allowed) in [
            (&["/srv/nova"][..], true),
            (&["/srv/nova/"], true),
            (&["/srv/nova/.git"], true),
            (&["*"], true),
            (&["/srv/*"], true),
            (&["/srv/nova/*"], false),
            (&["/srv"], false),
            (&["/srv/nova2"], false),
            (&["/srv/nova", ""], false),
            (&["", "/srv/nova"], true),
            (&[], false),
        ] {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            assert_eq!(allows(&values, Path::new("/srv/nova")), allowed, "{values:?}");
        }
        let inner = ["/srv/nova".to_owned()];
        assert!(allows(&inner, Path::new("/srv/nova/.git")));
    }
}
