//! Which repository: from the address that Git has.

use reqwest::Url;

use super::{BaseUrl, Error, Kind};
use crate::rest::{Place, invalid};

const WHAT: &str = "address of a repository";
const EXAMPLE: &str =
    "write https://host/owner/name.git, ssh://git@host/owner/name.git or git@host:owner/name.git";

/// A repository at a server whose API is spoken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    pub(super) place: Place,
}

impl Repository {
    /// A repository by the address that Git has for it: `https://`, `http://`, `ssh://` or `git@host:owner/name`. Of GitLab
    /// it may be in groups of groups. Without the address of the API it is the one that the site has by convention, over
    /// TLS but for a site at `http://`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for what is no address of a repository at such a server, or none of an API.
    pub fn parse(kind: Kind, git_url: &str, api: Option<&str>) -> Result<Self, Error> {
        let (site, path) = split(git_url.trim())?;
        let base = match api {
            Some(address) => BaseUrl::of(kind, address)?,
            None => BaseUrl::of_site(kind, &site)?,
        };
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let below = base.below(kind);
        let path = match path.strip_prefix(below) {
            Some(rest) if !below.is_empty() && rest.starts_with('/') => rest.trim_start_matches('/'),
            _ => path,
        };
        let Some((owner, name)) = path.rsplit_once('/') else {
            return Err(invalid(
                WHAT,
                path,
                "it needs the owner's and the repository's name",
            ));
        };
        if kind != Kind::GitLab && owner.contains('/') {
            return Err(invalid(
                WHAT,
                path,
                "it has more than the owner's and the repository's name: where the site is not at the root of its host, give the address of its API",
            ));
        }
        Ok(Self {
            place: Place::new(kind, base, owner, name)?,
        })
    }

    /// Whose API is spoken.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.place.kind
    }

    /// Where the API begins.
    #[must_use]
    pub fn base_url(&self) -> &BaseUrl {
        &self.place.base
    }

    /// `owner/name`; of GitLab with all its groups.
    #[must_use]
    pub fn full_name(&self) -> String {
        self.place.full_name()
    }
}

/// The site that an address is at, and the path there.
fn split(text: &str) -> Result<(Url, String), Error> {
    // What cannot be read may hold a login all the same, and is not shown.
    let unreadable = || invalid(WHAT, "the address", EXAMPLE);
    if text.len() > 2048 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(unreadable());
    }
    let (address, path) = if text.contains("://") {
        let url = Url::parse(text).map_err(|_| unreadable())?;
        if url.password().is_some() {
            return Err(invalid(
                WHAT,
                url.host_str().unwrap_or_default(),
                "it holds a password, which belongs into the Secret",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid(
                WHAT,
                url.host_str().unwrap_or_default(),
                "it has a query or a fragment",
            ));
        }
        let path = url.path().to_owned();
        (url, path)
    } else {
        let (authority, path) = text.split_once(':').ok_or_else(unreadable)?;
        // `user:password@host:path` is split at its first colon.
        if authority.contains('/') || path.split('/').next().is_some_and(|part| part.contains('@')) {
            return Err(unreadable());
        }
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let url = Url::parse(&format!("ssh://{host}/")).map_err(|_| unreadable())?;
        (url, path.to_owned())
    };
    let host = address.host_str().unwrap_or_default();
    let site = match address.scheme() {
        "https" | "http" => {
            let port = address.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{host}{port}/", address.scheme())
        }
        // The port of SSH is not that of the site, and some sites have a host of its own for it.
        "ssh" | "git+ssh" | "ssh+git" => {
            let host = match host {
                "ssh.github.com" => "github.com",
                "altssh.gitlab.com" => "gitlab.com",
                host => host,
            };
            format!("https://{host}/")
        }
        _ => return Err(unreadable()),
    };
    let site = Url::parse(&site).map_err(|_| unreadable())?;
    Ok((site, path))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        Kind::GitHub,
        "https://github.com/acme/gitops.git",
        "https://api.github.com",
        "acme/gitops"
    )]
    #[case(
        Kind::GitHub,
        "git@github.com:acme/gitops.git",
        "https://api.github.com",
        "acme/gitops"
    )]
    #[case(
        Kind::GitHub,
        "ssh://git@ssh.github.com:443/acme/gitops.git",
        "https://api.github.com",
        "acme/gitops"
    )]
    #[case(
        Kind::GitHub,
        "ssh://git@github.example.org/acme/git.ops",
        "https://github.example.org/api/v3",
        "acme/git.ops"
    )]
    #[case(
        Kind::GitHub,
        "https://acme.ghe.com/acme/gitops",
        "https://api.acme.ghe.com",
        "acme/gitops"
    )]
    #[case(
        Kind::GitLab,
        "gitlab.com:infra/apps/prod.git",
        "https://gitlab.com/api/v4",
        "infra/apps/prod"
    )]
    #[case(
        Kind::GitLab,
        "ssh://git@gitlab.example.org:2222/a/b/c/d",
        "https://gitlab.example.org/api/v4",
        "a/b/c/d"
    )]
    #[case(
        Kind::Gitea,
        "http://127.0.0.1:3000/acme/gitops.git/",
        "http://127.0.0.1:3000/api/v1",
        "acme/gitops"
    )]
    #[case(
        Kind::Gitea,
        "ssh://git@[::1]:2222/acme/gitops.git",
        "https://[::1]/api/v1",
        "acme/gitops"
    )]
    fn addresses_of_git_name_a_repository_and_its_api(
        #[case] kind: Kind,
        #[case] address: &str,
        #[case] base: &str,
        #[case] name: &str,
    ) {
        let repository = Repository::parse(kind, address, None).unwrap();
        assert_eq!(repository.base_url().to_string(), base);
        assert_eq!(repository.full_name(), name);
    }

    #[rstest]
    #[case(
        Kind::Gitea,
        "https://example.org/git/acme/gitops.git",
        "https://example.org/git/api/v1",
        "acme/gitops"
    )]
    #[case(
        Kind::GitLab,
        "https://example.org/gitlab/infra/apps/prod",
        "https://example.org/gitlab/api/v4",
        "infra/apps/prod"
    )]
    #[case(
        Kind::GitLab,
        "git@example.org:gitlabber/prod",
        "https://example.org/gitlab/api/v4",
        "gitlabber/prod"
    )]
    fn an_api_may_be_elsewhere(
        #[case] kind: Kind,
        #[case] address: &str,
        #[case] api: &str,
        #[case] name: &str,
    ) {
        let repository = Repository::parse(kind, address, Some(api)).unwrap();
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
        let error = Repository::parse(Kind::GitHub, address, None).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hidden"), "{error:?}");
    }
}
