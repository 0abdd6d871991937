//! Where a server's API begins, and whose API it is.

use std::fmt;

use reqwest::Url;

use super::Error;
use super::error::invalid;

/// Whose API a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// GitHub, or GitHub Enterprise Server: the REST API, version 2022-11-28.
    GitHub,
    /// GitLab: the REST API, version 4.
    GitLab,
    /// Gitea or Forgejo: the API, version 1.
    Gitea,
}

impl Kind {
    /// Its name, for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::Gitea => "Gitea",
        }
    }

    const fn address(self) -> &'static str {
        match self {
            Self::GitHub => "address of a GitHub API",
            Self::GitLab => "address of a GitLab API",
            Self::Gitea => "address of a Gitea API",
        }
    }

    const fn example(self) -> &'static str {
        match self {
            Self::GitHub => "write for instance https://api.github.com, or https://github.example.org/api/v3",
            Self::GitLab => {
                "write for instance https://gitlab.com/api/v4, or https://gitlab.example.org/api/v4"
            }
            Self::Gitea => "write for instance https://gitea.example.org/api/v1",
        }
    }

    /// What the path of an API ends with on a server of one's own.
    const fn path(self) -> &'static str {
        match self {
            Self::GitHub => "/api/v3",
            Self::GitLab => "/api/v4",
            Self::Gitea => "/api/v1",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a server's REST API begins: `https://api.github.com`, `https://HOST/api/v3` of GitHub Enterprise Server,
/// `https://HOST/api/v4` of GitLab, `https://HOST/api/v1` of Gitea.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// The address of github.com's API.
    pub const GITHUB: &str = "https://api.github.com";

    /// Reads the address of a GitHub API. Whether one without TLS is spoken to is for [`super::Config::plain_http`] to
    /// say.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for what is no `https` or `http` address, or holds a login, a query or a fragment.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::of(Kind::GitHub, text)
    }

    /// Reads the address of an API.
    ///
    /// # Errors
    ///
    /// As for [`BaseUrl::parse`]; also where the path is not that of GitLab's or Gitea's API.
    pub fn of(kind: Kind, text: &str) -> Result<Self, Error> {
        let wrong = |reason| invalid(kind.address(), text, reason);
        let text = text.trim();
        let mut url = Url::parse(text).map_err(|_| {
            // What cannot be read may hold a login all the same, and is not shown.
            invalid(kind.address(), "the address", kind.example())
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid(
                kind.address(),
                url.host_str().unwrap_or_default(),
                "it holds a login, which belongs into the Secret",
            ));
        }
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
            return Err(wrong(kind.example()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it has a query or a fragment"));
        }
        let site = url.host_str().unwrap_or_default();
        if kind == Kind::GitHub && matches!(site, "github.com" | "www.github.com") {
            return Err(wrong(
                "that is the site, not its API: write https://api.github.com",
            ));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if kind != Kind::GitHub && !path.ends_with(kind.path()) {
            return Err(wrong(kind.example()));
        }
        url.set_path(&path);
        Ok(Self(url))
    }

    /// Where the API of a site is by convention: the scheme, host and port under which its repositories are.
    pub(crate) fn of_site(kind: Kind, site: &Url) -> Result<Self, Error> {
        let host = host(site);
        let address = match kind {
            Kind::GitHub if host == "github.com" || host == "www.github.com" => Self::GITHUB.to_owned(),
            // GitHub Enterprise Cloud with data residency.
            Kind::GitHub if host.ends_with(".ghe.com") => format!("https://api.{host}"),
            _ => format!("{}://{host}{}", site.scheme(), kind.path()),
        };
        Self::of(kind, &address)
    }

    /// The path below which a site has its repositories, for sites that are not at the root of their host.
    pub(crate) fn below(&self, kind: Kind) -> &str {
        self.0
            .path()
            .strip_suffix(kind.path())
            .unwrap_or_default()
            .trim_matches('/')
    }

    /// The address of something below it. Each part is one segment, whatever it holds.
    pub(crate) fn at<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        url
    }

    /// Host and port, as messages name them.
    pub(crate) fn host(&self) -> String {
        host(&self.0)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// Host and port of an address, the port where it is not the scheme's own.
pub(crate) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_address_stay_parts() {
        let base = BaseUrl::parse("https://github.example.org/api/v3/").unwrap();
        assert_eq!(base.to_string(), "https://github.example.org/api/v3");
        assert_eq!(
            base.at(["repos", "a/../b", "x?y"]).as_str(),
            "https://github.example.org/api/v3/repos/a%2F..%2Fb/x%3Fy"
        );
        for wrong in [
            "github.example.org",
            "ssh://github.example.org",
            "https://github.com",
            "https://api.github.com?x=y",
            "https://user:hidden@api.github.com",
            "https://user:hidden@[broken",
        ] {
            let error = BaseUrl::parse(wrong).unwrap_err().to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn an_api_is_told_from_its_site() {
        for (kind, good) in [
            (Kind::GitLab, "https://gitlab.com/api/v4/"),
            (Kind::GitLab, "https://example.org/gitlab/api/v4"),
            (Kind::Gitea, "http://gitea.example.org:3000/api/v1"),
        ] {
            assert!(BaseUrl::of(kind, good).is_ok(), "{good}");
        }
        for (kind, site, part) in [
            (Kind::GitLab, "https://gitlab.com", "/api/v4"),
            (Kind::GitLab, "https://gitlab.com/api/v3", "/api/v4"),
            (Kind::Gitea, "https://gitea.example.org/", "/api/v1"),
        ] {
            let error = BaseUrl::of(kind, site).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
