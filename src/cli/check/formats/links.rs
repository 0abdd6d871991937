//! Where the files that were checked are: in their repository, and on the web.

use url::Url;

use crate::cli::local_files::LocalFolder;

/// Where the files are.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    /// The folder that was checked, relative to the repository; empty for its root.
    prefix: String,
    /// The address before a file's path.
    files: Option<Url>,
}

impl Links {
    /// Finds out from the repository, and from what GitHub Actions and GitLab CI say in the
    /// environment.
    pub(super) fn new(folder: &LocalFolder, environment: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let github = || {
            let (server, repository) = (set("GITHUB_SERVER_URL")?, set("GITHUB_REPOSITORY")?);
            Some(format!("{server}/{repository}/blob/{}", set("GITHUB_SHA")?))
        };
        let gitlab = || {
            Some(format!(
                "{}/-/blob/{}",
                set("CI_PROJECT_URL")?,
                set("CI_COMMIT_SHA")?
            ))
        };
        let files = github().or_else(gitlab).and_then(|url| Url::parse(&url).ok());
        Self {
            prefix: folder.path.clone(),
            files,
        }
    }

    /// A file's path from the root of the repository.
    pub(super) fn path(&self, path: &str) -> String {
        if self.prefix.is_empty() {
            path.to_owned()
        } else {
            format!("{}/{path}", self.prefix)
        }
    }

    /// Where to read a file on the web, at a line.
    pub(super) fn url(&self, path: &str, line: Option<usize>) -> Option<String> {
        let mut url = self.files.clone()?;
        url.path_segments_mut().ok()?.extend(self.path(path).split('/'));
        url.set_fragment(line.map(|line| format!("L{line}")).as_deref());
        Some(url.into())
    }
}
