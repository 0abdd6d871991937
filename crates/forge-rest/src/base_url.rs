//! Where a server's API begins.

use std::fmt;

use reqwest::Url;

use super::error::{Error, invalid_input};
use super::kind::ForgeKind;

/// Where a server's REST API begins: `https://api.github.com`, `https://HOST/api/v3` of GitHub
/// Enterprise Server, `https://HOST/api/v4` of GitLab, `https://HOST/api/v1` of Gitea.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiBaseUrl(Url);

impl ApiBaseUrl {
    /// The address of github.com's API.
    pub const GITHUB_COM: &str = "https://api.github.com";

    /// Reads the address of an API.
    ///
    /// [`RequestConfig::plain_http`] decides whether one without TLS is used.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it is not an `https` or `http` address, or holds a login, a query or a
    /// fragment; also if the path is not that of GitLab's or Gitea's API.
    ///
    /// [`RequestConfig::plain_http`]: super::RequestConfig::plain_http
    pub fn parse(kind: ForgeKind, text: &str) -> Result<Self, Error> {
        let wrong = |reason| invalid_input(kind.api_address(), text, reason);
        let text = text.trim();
        let mut url = Url::parse(text).map_err(|_| {
            // An unreadable address may still hold a login, and is not shown.
            invalid_input(kind.api_address(), "the address", kind.api_example())
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid_input(
                kind.api_address(),
                url.host_str().unwrap_or_default(),
                "it contains a login, which belongs in the Secret",
            ));
        }
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
            return Err(wrong(kind.api_example()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it has a query or a fragment"));
        }
        let site = url.host_str().unwrap_or_default();
        if kind == ForgeKind::GitHub && matches!(site, "github.com" | "www.github.com") {
            return Err(wrong(
                "that is the site, not its API: write https://api.github.com",
            ));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if kind != ForgeKind::GitHub && !path.ends_with(kind.api_path()) {
            return Err(wrong(kind.api_example()));
        }
        url.set_path(&path);
        Ok(Self(url))
    }

    /// Returns where a site's API is by convention: on the scheme, host and port of its
    /// repositories.
    pub(super) fn for_site(kind: ForgeKind, site: &Url) -> Result<Self, Error> {
        let host = host_and_port(site);
        let address = match kind {
            ForgeKind::GitHub if host == "github.com" || host == "www.github.com" => {
                Self::GITHUB_COM.to_owned()
            }
            // GitHub Enterprise Cloud with data residency.
            ForgeKind::GitHub if host.ends_with(".ghe.com") => format!("https://api.{host}"),
            _ => format!("{}://{host}{}", site.scheme(), kind.api_path()),
        };
        Self::parse(kind, &address)
    }

    /// The path below which a site has its repositories, for sites that are not at the root of
    /// their host.
    pub(super) fn site_path(&self, kind: ForgeKind) -> &str {
        self.0
            .path()
            .strip_suffix(kind.api_path())
            .unwrap_or_default()
            .trim_matches('/')
    }

    /// Returns the address of something below it.
    ///
    /// Each part is one segment, whatever it holds.
    #[must_use]
    pub fn endpoint<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        url
    }

    /// Returns host and port, as messages name them.
    #[must_use]
    pub fn host(&self) -> String {
        host_and_port(&self.0)
    }
}

impl fmt::Display for ApiBaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// Returns host and port of an address, the port where it is not the scheme's own.
#[must_use]
pub fn host_and_port(url: &Url) -> String {
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
        let base = ApiBaseUrl::parse(ForgeKind::GitHub, "https://github.example.org/api/v3/").unwrap();
        assert_eq!(base.to_string(), "https://github.example.org/api/v3");
        assert_eq!(
            base.endpoint(["repos", "a/../b", "x?y"]).as_str(),
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
            let error = ApiBaseUrl::parse(ForgeKind::GitHub, wrong)
                .unwrap_err()
                .to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn an_api_is_told_from_its_site() {
        for (kind, good) in [
            (ForgeKind::GitLab, "https://gitlab.com/api/v4/"),
            (ForgeKind::GitLab, "https://example.org/gitlab/api/v4"),
            (ForgeKind::Gitea, "http://gitea.example.org:3000/api/v1"),
        ] {
            assert!(ApiBaseUrl::parse(kind, good).is_ok(), "{good}");
        }
        for (kind, site, part) in [
            (ForgeKind::GitLab, "https://gitlab.com", "/api/v4"),
            (ForgeKind::GitLab, "https://gitlab.com/api/v3", "/api/v4"),
            (ForgeKind::Gitea, "https://gitea.example.org/", "/api/v1"),
        ] {
            let error = ApiBaseUrl::parse(kind, site).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
