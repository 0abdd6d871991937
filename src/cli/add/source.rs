//! What a user names to take a patch from: a file, a commit, a pull request or a change at Gerrit.

use std::path::{Path, PathBuf};

use url::Url;

use crate::cli::error::Error;

/// Where patches are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AddedSource {
    /// A file of patches; `-` for standard input.
    File(PathBuf),
    /// A revision, or a range of them, of the component's upstream or of `--from`.
    Revision(String),
    /// A commit of a repository on a server.
    Commit {
        /// The repository's address.
        repository: String,
        /// 7 to 40 hexadecimal digits.
        commit: String,
    },
    /// A pull or merge request.
    PullRequest(PullRequest),
    /// A change at Gerrit.
    Review(Review),
}

/// A pull or merge request of a repository on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PullRequest {
    pub(super) forge: PullForge,
    /// The scheme, host and port.
    pub(super) site: String,
    /// The repository's path on it.
    pub(super) path: String,
    pub(super) number: u64,
}

/// Whose pull requests they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PullForge {
    GitHub,
    GitLab,
    Gitea,
}

/// A change at Gerrit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Review {
    /// The server; `None` where it is that of the upstream.
    pub(super) server: Option<String>,
    /// The project, where the address names it.
    pub(super) project: Option<String>,
    pub(super) change: ReviewName,
}

/// How a change at Gerrit is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReviewName {
    Number {
        number: u64,
        /// The patch set; the latest where none is named.
        patch_set: Option<u64>,
    },
    /// Its `Change-Id`, which it shares with its backports.
    ChangeId(String),
}

/// What can be named.
const FORMS: &str = "give the page of a commit, a pull request or a Gerrit change, the number of a Gerrit \
                     change, a revision of the upstream, or a patch file";

impl AddedSource {
    /// Reads what a user names. An existing file takes precedence over everything else.
    ///
    /// # Errors
    ///
    /// If it is an address of no known form.
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        if text == "-" || Path::new(text).is_file() {
            return Ok(Self::File(PathBuf::from(text)));
        }
        if Path::new(text).is_dir() {
            return Err(Error::Usage(format!("{text} is a folder: {FORMS}")));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            let found = Url::parse(text)
                .ok()
                .filter(|_| matches!(scheme, "http" | "https"));
            return found
                .and_then(|url| of_page(&url))
                .ok_or_else(|| Error::Usage(format!("{text} is not a known page: {FORMS}")));
        }
        if [".patch", ".diff", ".mbox"].iter().any(|end| text.ends_with(end)) {
            return Err(Error::Usage(format!("{text}: there is no such file")));
        }
        let review = |change| {
            Self::Review(Review {
                server: None,
                project: None,
                change,
            })
        };
        // A commit id of digits alone has to be written with more of them.
        if let Some(number) = number(text).filter(|_| text.len() <= 7) {
            return Ok(review(ReviewName::Number {
                number,
                patch_set: None,
            }));
        }
        if is_change_id(text) {
            return Ok(review(ReviewName::ChangeId(text.to_owned())));
        }
        if text.trim().is_empty() || text.starts_with('-') {
            return Err(Error::Usage(format!("{text:?} names nothing: {FORMS}")));
        }
        Ok(Self::Revision(text.to_owned()))
    }
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

fn is_change_id(text: &str) -> bool {
    let rest = text.strip_prefix('I').unwrap_or_default();
    rest.len() == 40 && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn commit_id(text: &str) -> Option<String> {
    let id = text.trim_end_matches(".patch").trim_end_matches(".diff");
    let is_id = (7..=40).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_ascii_lowercase())
}

/// The scheme, host and port of an address.
fn site(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    Some(format!("{}://{host}{port}", url.scheme()))
}

/// Reads the address of a page.
fn of_page(url: &Url) -> Option<AddedSource> {
    let site = site(url)?;
    let path = url.path().trim_end_matches('/');
    if let Some(fragment) = url.fragment().filter(|text| text.starts_with("/c/")) {
        return review(&site, fragment.trim_end_matches('/'));
    }
    if let Some((repository, rest)) = path.split_once("/-/") {
        return of_gitlab(&site, repository, rest);
    }
    if path.contains("/+/") || path.starts_with("/c/") || path.starts_with("/q/") {
        return of_gerrit(&site, path);
    }
    if number(path.trim_start_matches('/').split('/').next()?).is_some() {
        return review(&site, &format!("/c{path}"));
    }
    let id = url.query_pairs().find(|(key, _)| key == "id");
    if let (Some((_, id)), Some((repository, _))) = (id, format!("{path}/").split_once("/commit/")) {
        let repository = repository.strip_prefix("/cgit").unwrap_or(repository);
        return Some(AddedSource::Commit {
            repository: format!("{site}{repository}"),
            commit: commit_id(&id)?,
        });
    }
    let commit_of = |marker: &str| -> Option<AddedSource> {
        let (repository, rest) = path.split_once(marker)?;
        Some(AddedSource::Commit {
            repository: format!("{site}{repository}"),
            commit: commit_id(rest.split('/').next()?)?,
        })
    };
    if let Some(found) = commit_of("/commit/") {
        return Some(found);
    }
    for (marker, forge) in [("/pull/", PullForge::GitHub), ("/pulls/", PullForge::Gitea)] {
        let Some((repository, rest)) = path.split_once(marker) else {
            continue;
        };
        if let Some((_, commit)) = rest.split_once("/commits/") {
            return Some(AddedSource::Commit {
                repository: format!("{site}{repository}"),
                commit: commit_id(commit)?,
            });
        }
        return pull_request(forge, &site, repository, rest);
    }
    None
}

fn pull_request(forge: PullForge, site: &str, repository: &str, rest: &str) -> Option<AddedSource> {
    let first = rest.split('/').next()?;
    let first = first.trim_end_matches(".patch").trim_end_matches(".diff");
    Some(AddedSource::PullRequest(PullRequest {
        forge,
        site: site.to_owned(),
        path: repository.trim_matches('/').to_owned(),
        number: number(first)?,
    }))
}

fn of_gitlab(site: &str, repository: &str, rest: &str) -> Option<AddedSource> {
    if let Some(rest) = rest.strip_prefix("merge_requests/") {
        return pull_request(PullForge::GitLab, site, repository, rest);
    }
    let commit = rest.strip_prefix("commit/")?;
    Some(AddedSource::Commit {
        repository: format!("{site}{repository}"),
        commit: commit_id(commit.split('/').next()?)?,
    })
}

fn of_gerrit(site: &str, path: &str) -> Option<AddedSource> {
    if path.starts_with("/c/") {
        return review(site, path);
    }
    if let Some(id) = path.strip_prefix("/q/") {
        return is_change_id(id).then(|| {
            AddedSource::Review(Review {
                server: Some(site.to_owned()),
                project: None,
                change: ReviewName::ChangeId(id.to_owned()),
            })
        });
    }
    // Gitiles.
    let (repository, commit) = path.split_once("/+/")?;
    let repository = repository.strip_prefix("/plugins/gitiles").unwrap_or(repository);
    Some(AddedSource::Commit {
        repository: format!("{site}{repository}"),
        commit: commit_id(commit.split('/').next()?)?,
    })
}

/// `/c/PROJECT/+/NUMBER/PATCHSET`, or `/c/NUMBER/PATCHSET`.
fn review(site: &str, path: &str) -> Option<AddedSource> {
    let rest = path.strip_prefix("/c/")?;
    let (project, rest) = match rest.split_once("/+/") {
        Some((project, rest)) => (Some(project.to_owned()), rest),
        None => (None, rest),
    };
    let mut parts = rest.split('/');
    Some(AddedSource::Review(Review {
        server: Some(site.to_owned()),
        project,
        change: ReviewName::Number {
            number: number(parts.next()?)?,
            patch_set: parts.next().and_then(number),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c";

    fn commit(repository: &str, commit: &str) -> AddedSource {
        AddedSource::Commit {
            repository: repository.to_owned(),
            commit: commit.to_owned(),
        }
    }

    fn change(
        server: Option<&str>,
        project: Option<&str>,
        number: u64,
        patch_set: Option<u64>,
    ) -> AddedSource {
        AddedSource::Review(Review {
            server: server.map(ToOwned::to_owned),
            project: project.map(ToOwned::to_owned),
            change: ReviewName::Number { number, patch_set },
        })
    }

    #[test]
    fn commits_are_known_by_their_pages() {
        for (page, repository) in [
            ("https://github.com/a/b/commit/ID", "https://github.com/a/b"),
            ("https://github.com/a/b/commit/ID.patch", "https://github.com/a/b"),
            (
                "https://github.com/a/b/pull/7/commits/ID",
                "https://github.com/a/b",
            ),
            ("https://gitlab.com/a/b/c/-/commit/ID", "https://gitlab.com/a/b/c"),
            (
                "https://opendev.org/openstack/nova/commit/ID",
                "https://opendev.org/openstack/nova",
            ),
            (
                "https://gitea.example.org:3000/a/b/commit/ID#diff",
                "https://gitea.example.org:3000/a/b",
            ),
            (
                "https://git.kernel.org/pub/scm/git/git.git/commit/?id=ID",
                "https://git.kernel.org/pub/scm/git/git.git",
            ),
            (
                "https://git.kernel.org/pub/scm/git/git.git/commit/apply.c?h=next&id=ID",
                "https://git.kernel.org/pub/scm/git/git.git",
            ),
            (
                "https://git.example.org/cgit/a/b/commit/?id=ID",
                "https://git.example.org/a/b",
            ),
            (
                "https://review.example.org/plugins/gitiles/a/b/+/ID",
                "https://review.example.org/a/b",
            ),
            (
                "https://go.googlesource.com/go/+/ID",
                "https://go.googlesource.com/go",
            ),
        ] {
            let found = AddedSource::read(&page.replace("ID", ID)).unwrap();
            assert_eq!(found, commit(repository, ID), "{page}");
        }
        let short = AddedSource::read("https://github.com/a/b/commit/1F0C1F0").unwrap();
        assert_eq!(short, commit("https://github.com/a/b", "1f0c1f0"));
    }

    #[test]
    fn requests_and_changes_are_known_by_their_pages() {
        for (page, forge, site, path) in [
            (
                "https://github.com/a/b/pull/7/files",
                PullForge::GitHub,
                "https://github.com",
                "a/b",
            ),
            (
                "https://gitlab.com/a/b/c/-/merge_requests/7",
                PullForge::GitLab,
                "https://gitlab.com",
                "a/b/c",
            ),
            (
                "http://127.0.0.1:3000/a/b/pulls/7.patch",
                PullForge::Gitea,
                "http://127.0.0.1:3000",
                "a/b",
            ),
        ] {
            let expected = AddedSource::PullRequest(PullRequest {
                forge,
                site: site.to_owned(),
                path: path.to_owned(),
                number: 7,
            });
            assert_eq!(AddedSource::read(page).unwrap(), expected, "{page}");
        }
        let server = Some("https://review.opendev.org");
        for (page, expected) in [
            (
                "https://review.opendev.org/c/openstack/nova/+/926180",
                change(server, Some("openstack/nova"), 926_180, None),
            ),
            (
                "https://review.opendev.org/c/openstack/nova/+/926180/3",
                change(server, Some("openstack/nova"), 926_180, Some(3)),
            ),
            (
                "https://review.opendev.org/926180/",
                change(server, None, 926_180, None),
            ),
            (
                "https://review.opendev.org/#/c/926180/2",
                change(server, None, 926_180, Some(2)),
            ),
            ("926180", change(None, None, 926_180, None)),
        ] {
            assert_eq!(AddedSource::read(page).unwrap(), expected, "{page}");
        }
        let id = format!("I{ID}");
        for (text, server) in [
            (id.clone(), None),
            (format!("https://review.opendev.org/q/{id}"), server),
        ] {
            let expected = AddedSource::Review(Review {
                server: server.map(ToOwned::to_owned),
                project: None,
                change: ReviewName::ChangeId(id.clone()),
            });
            assert_eq!(AddedSource::read(&text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn the_rest_is_a_revision_or_refused() {
        for text in [ID, "12345678", "v1.2", "stable/2025.2", "HEAD~2..HEAD", "Iabc"] {
            assert_eq!(
                AddedSource::read(text).unwrap(),
                AddedSource::Revision(text.to_owned())
            );
        }
        for (text, words) in [
            ("https://example.org/a/b", "is not a known page"),
            ("https://example.org/a/commit/xyz", "is not a known page"),
            ("ssh://example.org/a/commit/1234567", "is not a known page"),
            ("absent.patch", "there is no such file"),
            ("/", "is a folder"),
            ("", "names nothing"),
        ] {
            let error = AddedSource::read(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
