//! Which repository, at which server.

use reqwest::Url;

use super::base_url::ApiBaseUrl;
use super::error::{Error, invalid_input};
use super::git_url::{GIT_ADDRESS, split_git_url};
use super::kind::ForgeKind;

/// A repository, as its server's API knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ForgeRepository {
    /// Whose API is spoken.
    pub(super) kind: ForgeKind,
    /// Where the API begins.
    pub(super) base_url: ApiBaseUrl,
    /// A user or organisation; for GitLab, the group with its parent groups (`infra/apps`).
    owner: String,
    /// Its name.
    pub(super) name: String,
}

impl ForgeRepository {
    /// A repository by its owner and name.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for names that servers of its kind do not allow.
    pub fn new(kind: ForgeKind, base_url: ApiBaseUrl, owner: &str, name: &str) -> Result<Self, Error> {
        let is_owner = match kind {
            ForgeKind::GitHub => is_identifier(owner, "-_"),
            ForgeKind::GitLab => owner.split('/').all(is_path_segment),
            ForgeKind::Gitea => is_path_segment(owner),
        };
        if !is_owner || owner.len() > 1024 {
            return Err(invalid_input(
                "owner of a repository",
                owner,
                "write the user or organisation as in the repository's address",
            ));
        }
        if !is_path_segment(name) {
            return Err(invalid_input(
                "repository's name",
                name,
                "write the last part of the repository's address",
            ));
        }
        Ok(Self {
            kind,
            base_url,
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Returns a repository by its Git address: `https://`, `http://`, `ssh://` or
    /// `git@host:owner/name`.
    ///
    /// A GitLab repository may be in nested groups. Without the address of the API, the site's
    /// conventional one is used, over TLS except for a site at `http://`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it is not the address of a repository at such a server, or of an API.
    pub fn from_git_url(kind: ForgeKind, git_url: &str, api: Option<&str>) -> Result<Self, Error> {
        let (site, path) = split_git_url(git_url.trim())?;
        let base_url = match api {
            Some(address) => ApiBaseUrl::parse(kind, address)?,
            None => ApiBaseUrl::for_site(kind, &site)?,
        };
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let site_path = base_url.site_path(kind);
        let path = match path.strip_prefix(site_path) {
            Some(rest) if !site_path.is_empty() && rest.starts_with('/') => rest.trim_start_matches('/'),
            _ => path,
        };
        let Some((owner, name)) = path.rsplit_once('/') else {
            return Err(invalid_input(
                GIT_ADDRESS,
                path,
                "it needs the owner's and the repository's name",
            ));
        };
        if kind != ForgeKind::GitLab && owner.contains('/') {
            return Err(invalid_input(
                GIT_ADDRESS,
                path,
                "it has more than the owner's and the repository's name: where the site is not at the root of its host, give the address of its API",
            ));
        }
        Self::new(kind, base_url, owner, name)
    }

    /// Returns whose API is spoken.
    #[must_use]
    pub fn kind(&self) -> ForgeKind {
        self.kind
    }

    /// Returns where the API begins.
    #[must_use]
    pub fn base_url(&self) -> &ApiBaseUrl {
        &self.base_url
    }

    /// Returns host and port of the API, as messages name the server.
    #[must_use]
    pub fn host(&self) -> String {
        self.base_url.host()
    }

    /// Returns the user or organisation that it belongs to; for GitLab, the group with its parent
    /// groups.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Returns the address of something below the repository.
    ///
    /// Each part is one segment, whatever it holds.
    #[must_use]
    pub fn endpoint(&self, parts: &[&str]) -> Url {
        let full_name = self.full_name();
        let start = match self.kind {
            ForgeKind::GitHub | ForgeKind::Gitea => vec!["repos", &self.owner, &self.name],
            ForgeKind::GitLab => vec!["projects", &full_name],
        };
        self.base_url
            .endpoint(start.into_iter().chain(parts.iter().copied()))
    }

    /// Returns `owner/name`; for GitLab with all its groups.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

fn is_path_segment(text: &str) -> bool {
    is_identifier(text, "-_.") && !matches!(text, "." | "..")
}

/// Whether a text is 1 to 100 letters, digits and characters of `more`.
#[must_use]
pub fn is_identifier(text: &str, more: &str) -> bool {
    (1..=100).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        ForgeKind::GitHub,
        "https://github.com/acme/gitops.git",
        "https://api.github.com",
        "acme/gitops"
    )]
    #[case(
        ForgeKind::GitHub,
        "git@github.com:acme/gitops.git",
        "https://api.github.com",
        "acme/gitops"
    )]
    #[case(
        ForgeKind::GitHub,
        "ssh://git@ssh.github.com:443/acme/gitops.git",
        "https://api.github.com",
        "acme/gitops"
    )]
    #[case(
        ForgeKind::GitHub,
        "ssh://git@github.example.org/acme/git.ops",
        "https://github.example.org/api/v3",
        "acme/git.ops"
    )]
    #[case(
        ForgeKind::GitHub,
        "https://acme.ghe.com/acme/gitops",
        "https://api.acme.ghe.com",
        "acme/gitops"
    )]
    #[case(
        ForgeKind::GitLab,
        "gitlab.com:infra/apps/prod.git",
        "https://gitlab.com/api/v4",
        "infra/apps/prod"
    )]
    #[case(
        ForgeKind::GitLab,
        "ssh://git@gitlab.example.org:2222/a/b/c/d",
        "https://gitlab.example.org/api/v4",
        "a/b/c/d"
    )]
    #[case(
        ForgeKind::Gitea,
        "http://127.0.0.1:3000/acme/gitops.git/",
        "http://127.0.0.1:3000/api/v1",
        "acme/gitops"
    )]
    #[case(
        ForgeKind::Gitea,
        "ssh://git@[::1]:2222/acme/gitops.git",
        "https://[::1]/api/v1",
        "acme/gitops"
    )]
    fn addresses_of_git_name_a_repository_and_its_api(
        #[case] kind: ForgeKind,
        #[case] address: &str,
        #[case] base: &str,
        #[case] name: &str,
    ) {
        let repository = ForgeRepository::from_git_url(kind, address, None).unwrap();
        assert_eq!(repository.base_url().to_string(), base);
        assert_eq!(repository.full_name(), name);
    }

    #[rstest]
    #[case(
        ForgeKind::Gitea,
        "https://example.org/git/acme/gitops.git",
        "https://example.org/git/api/v1",
        "acme/gitops"
    )]
    #[case(
        ForgeKind::GitLab,
        "https://example.org/gitlab/infra/apps/prod",
        "https://example.org/gitlab/api/v4",
        "infra/apps/prod"
    )]
    #[case(
        ForgeKind::GitLab,
        "git@example.org:gitlabber/prod",
        "https://example.org/gitlab/api/v4",
        "gitlabber/prod"
    )]
    fn an_api_may_be_elsewhere(
        #[case] kind: ForgeKind,
        #[case] address: &str,
        #[case] api: &str,
        #[case] name: &str,
    ) {
        let repository = ForgeRepository::from_git_url(kind, address, Some(api)).unwrap();
        assert_eq!(repository.base_url().to_string(), api);
        assert_eq!(repository.full_name(), name);
    }

    #[rstest]
    #[case("https://github.com/acme")]
    #[case("https://github.com/acme/team/gitops")]
    #[case("https://github.com/acme/..")]
    #[case("https://github.com/acme/git%2Fops")]
    #[case("https://user:hidden@github.com/acme/gitops")]
    #[case("user:hidden@github.com:acme/gitops")]
    #[case("https://user:hidden@[broken/acme/gitops")]
    #[case("https://github.com/acme/gitops?token=hidden")]
    #[case("file:///acme/gitops")]
    #[case("git://github.com/acme/gitops")]
    #[case("/acme/gitops")]
    #[case("gitops")]
    fn other_addresses_are_refused_and_not_shown(#[case] address: &str) {
        let error = ForgeRepository::from_git_url(ForgeKind::GitHub, address, None).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hidden"), "{error:?}");
    }
}
