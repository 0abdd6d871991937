//! Where people read about a commit.

use git_apply_engine::Oid;

use super::commit::UpstreamCommit;

/// Returns the address of a commit's page, by the address of its upstream: the review in opendev's
/// Gerrit, or the page at GitHub, GitLab, Gitea or cgit; or the result of a template with
/// `{commit}` and `{changeId}`.
///
/// `None` if the upstream is not one of these and there is no template, or the template asks for a
/// `Change-Id` and there is none.
///
/// ```
/// use upstream_history::{UpstreamCommit, commit_url};
///
/// let commit = UpstreamCommit {
///     commit: "3f2a1bc3f2a1bc3f2a1bc3f2a1bc3f2a1bc3f2a1".parse()?,
///     subject: "Refactor the manager".to_owned(),
///     author: "A <a@example.org>".to_owned(),
///     date: 1_746_403_200,
///     change_id: None,
/// };
/// assert_eq!(
///     commit_url("https://github.com/example/manager.git", &commit, None).as_deref(),
///     Some("https://github.com/example/manager/commit/3f2a1bc3f2a1bc3f2a1bc3f2a1bc3f2a1bc3f2a1")
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn commit_url(upstream: &str, commit: &UpstreamCommit, template: Option<&str>) -> Option<String> {
    let id = commit.commit.to_string();
    if let Some(template) = template {
        let change_id = commit.change_id.as_deref();
        if template.contains("{changeId}") && change_id.is_none() {
            return None;
        }
        let filled = template.replace("{commit}", &id);
        return Some(filled.replace("{changeId}", change_id.unwrap_or_default()));
    }
    let (host, path) = host_and_path(upstream)?;
    let name = host.split(':').next().unwrap_or(host);
    if let (true, Some(change_id)) = (
        name == "opendev.org" || name.ends_with(".opendev.org"),
        &commit.change_id,
    ) {
        return Some(format!("https://review.opendev.org/q/{change_id}"));
    }
    match Pages::find(host, path)? {
        Pages::GitHub | Pages::Gitea => Some(format!("https://{host}/{path}/commit/{id}")),
        Pages::GitLab => Some(format!("https://{host}/{path}/-/commit/{id}")),
        // cgit keeps the ending of the repository's folder.
        Pages::Cgit => {
            let path = upstream_path(upstream)?;
            Some(format!("https://{host}/{path}/commit/?id={id}"))
        }
    }
}

/// Returns the page with the commits that one commit of an upstream has and another lacks, for
/// servers with a known address for it: GitHub, GitLab, Gitea, Forgejo.
#[must_use]
pub fn compare_url(upstream: &str, from: Oid, to: Oid) -> Option<String> {
    let (host, path) = host_and_path(upstream)?;
    match Pages::find(host, path)? {
        Pages::GitHub | Pages::Gitea => Some(format!("https://{host}/{path}/compare/{from}...{to}")),
        Pages::GitLab => Some(format!("https://{host}/{path}/-/compare/{from}...{to}")),
        Pages::Cgit => None,
    }
}

/// The software that makes a server's pages.
#[derive(Clone, Copy)]
enum Pages {
    GitHub,
    GitLab,
    Gitea,
    Cgit,
}

impl Pages {
    fn find(host: &str, path: &str) -> Option<Self> {
        let name = host.split(':').next().unwrap_or(host);
        let has = |part: &str| name.split('.').any(|label| label == part);
        if has("github") {
            return Some(Self::GitHub);
        }
        if has("gitlab") {
            return Some(Self::GitLab);
        }
        if name == "opendev.org" || name == "codeberg.org" || has("gitea") || has("forgejo") {
            return Some(Self::Gitea);
        }
        let is_cgit = has("cgit") || name == "git.kernel.org" || path.starts_with("cgit/");
        is_cgit.then_some(Self::Cgit)
    }
}

/// Host (with its port, if served over HTTP) and path of a repository, without a login and the
/// ending `.git`.
fn host_and_path(upstream: &str) -> Option<(&str, &str)> {
    let path = upstream_path(upstream)?;
    let path = path.strip_suffix(".git").unwrap_or(path);
    Some((host(upstream)?, path))
}

fn split(upstream: &str) -> Option<(&str, &str)> {
    if let Some((scheme, rest)) = upstream.split_once("://") {
        let (authority, path) = rest.split_once('/')?;
        let authority = authority.rsplit('@').next()?;
        // The port of SSH and Git is not that of the pages.
        let is_http = scheme == "https" || scheme == "http";
        let host = if is_http {
            authority
        } else {
            authority.split(':').next()?
        };
        return Some((host, path));
    }
    // user@host:path
    let (authority, path) = upstream.split_once(':')?;
    Some((authority.rsplit('@').next()?, path))
}

fn host(upstream: &str) -> Option<&str> {
    let (host, _) = split(upstream)?;
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
    (!host.is_empty() && host.chars().all(is_host)).then_some(host)
}

fn upstream_path(upstream: &str) -> Option<&str> {
    let (_, path) = split(upstream)?;
    let path = path.trim_matches('/');
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/.-_~+".contains(c);
    (!path.is_empty() && path.chars().all(is_path)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_compare_two_commits() {
        let ids = ["1", "2"].map(|digit| digit.repeat(40));
        let url = |upstream: &str| {
            let [from, to] = ids.each_ref().map(|id| id.parse().unwrap());
            let url = compare_url(upstream, from, to)?;
            Some(url.replace(&ids[0], "A").replace(&ids[1], "B"))
        };
        for (upstream, page) in [
            (
                "git@github.com:a/b.git",
                Some("https://github.com/a/b/compare/A...B"),
            ),
            (
                "https://gitlab.com/a/b",
                Some("https://gitlab.com/a/b/-/compare/A...B"),
            ),
            (
                "https://opendev.org/a/b",
                Some("https://opendev.org/a/b/compare/A...B"),
            ),
            ("https://git.kernel.org/a/b", None),
            ("https://example.org/a/b", None),
            ("https://github.com/a\"b", None),
        ] {
            assert_eq!(url(upstream).as_deref(), page, "{upstream}");
        }
    }

    #[test]
    fn pages_of_the_servers_that_are_known() {
        let id = "1234567890123456789012345678901234567890";
        let mut commit = UpstreamCommit {
            commit: id.parse().unwrap(),
            subject: String::new(),
            author: String::new(),
            date: 0,
            change_id: None,
        };
        let url = |upstream: &str, commit: &UpstreamCommit| {
            let url = commit_url(upstream, commit, None);
            url.map(|url| url.replace(id, "ID"))
        };
        let pages = [
            (
                "https://opendev.org/openstack/nova",
                "https://opendev.org/openstack/nova/commit/ID",
            ),
            ("https://github.com/a/b.git", "https://github.com/a/b/commit/ID"),
            ("git@github.com:a/b.git", "https://github.com/a/b/commit/ID"),
            (
                "ssh://git@gitlab.example.org:2222/a/b/c.git",
                "https://gitlab.example.org/a/b/c/-/commit/ID",
            ),
            ("https://u:p@gitlab.com/a/b", "https://gitlab.com/a/b/-/commit/ID"),
            (
                "https://gitea.example.org:3000/a/b.git/",
                "https://gitea.example.org:3000/a/b/commit/ID",
            ),
            ("https://codeberg.org/a/b", "https://codeberg.org/a/b/commit/ID"),
            (
                "https://git.kernel.org/pub/scm/git/git.git",
                "https://git.kernel.org/pub/scm/git/git.git/commit/?id=ID",
            ),
        ];
        for (upstream, page) in pages {
            assert_eq!(url(upstream, &commit).as_deref(), Some(page), "{upstream}");
        }
        for upstream in [
            "https://example.org/a",
            "/srv/git/a",
            "file:///srv/a",
            "",
            "https://github.com/",
        ] {
            assert_eq!(url(upstream, &commit), None, "{upstream}");
        }
        commit.change_id = Some("I1".to_owned());
        assert_eq!(
            url("https://opendev.org/openstack/nova", &commit).as_deref(),
            Some("https://review.opendev.org/q/I1")
        );
    }

    #[test]
    fn templates_say_where_others_are() {
        let mut commit = UpstreamCommit {
            commit: "1".repeat(40).parse().unwrap(),
            subject: String::new(),
            author: String::new(),
            date: 0,
            change_id: None,
        };
        let url = |template: &str, commit: &UpstreamCommit| commit_url("", commit, Some(template));
        let by_commit = url("https://x/{commit}", &commit).unwrap();
        assert_eq!(by_commit, format!("https://x/{}", "1".repeat(40)));
        assert_eq!(url("https://x/q/{changeId}", &commit), None);
        commit.change_id = Some("I2".to_owned());
        assert_eq!(
            url("https://x/q/{changeId}", &commit).as_deref(),
            Some("https://x/q/I2")
        );
    }
}
