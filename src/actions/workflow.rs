//! Which workflow, where.

use std::fmt;

use reqwest::Url;

use super::Error;

/// Where a server's REST API begins: `https://api.github.com`, or `https://HOST/api/v3` of GitHub Enterprise Server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// The address of github.com's API.
    pub const GITHUB: &str = "https://api.github.com";

    /// Reads an address. Whether one without TLS is spoken to is for [`super::Config::plain_http`] to say.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for what is no `https` or `http` address, or holds a login, a query or a fragment.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |reason| invalid("address of a GitHub API", text, reason);
        let text = text.trim();
        let mut url = Url::parse(text).map_err(|_| {
            // What cannot be read may hold a login all the same, and is not shown.
            Error::Invalid {
                what: "address of a GitHub API",
                text: "the address".to_owned(),
                reason: "write for instance https://api.github.com, or https://github.example.org/api/v3",
            }
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Invalid {
                what: "address of a GitHub API",
                text: url.host_str().unwrap_or_default().to_owned(),
                reason: "it holds a login, which belongs into the Secret",
            });
        }
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
            return Err(wrong(
                "write for instance https://api.github.com, or https://github.example.org/api/v3",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it has a query or a fragment"));
        }
        if url
            .host_str()
            .is_some_and(|host| host == "github.com" || host == "www.github.com")
        {
            return Err(wrong(
                "that is the site, not its API: write https://api.github.com",
            ));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }

    /// The address of something below it. Each part is one segment, whatever it holds.
    pub(super) fn at<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        url
    }

    /// Host and port, as messages name them.
    pub(super) fn host(&self) -> String {
        host(&self.0)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// Host and port of an address, the port where it is not the scheme's own.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// A workflow that can be dispatched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workflow {
    pub(super) base: BaseUrl,
    pub(super) owner: String,
    pub(super) repository: String,
    pub(super) file: String,
    pub(super) reference: String,
}

impl Workflow {
    /// A workflow by its repository's owner and name, its file's name in `.github/workflows` (or its number), and the
    /// branch or tag that it runs on.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for names that GitHub does not have.
    pub fn new(
        base: BaseUrl,
        owner: &str,
        repository: &str,
        file: &str,
        reference: &str,
    ) -> Result<Self, Error> {
        if !named(owner, "-_") {
            return Err(invalid(
                "owner of a repository",
                owner,
                "write the user or organisation as in the repository's address",
            ));
        }
        if !named(repository, "-_.") || matches!(repository, "." | "..") {
            return Err(invalid(
                "repository's name",
                repository,
                "write the last part of the repository's address",
            ));
        }
        let is_file = file
            .rsplit_once('.')
            .is_some_and(|(_, end)| matches!(end, "yml" | "yaml"));
        let is_number = !file.is_empty() && file.bytes().all(|byte| byte.is_ascii_digit());
        if !(is_number || is_file && named(file, "-_.")) {
            return Err(invalid(
                "workflow",
                file,
                "write its file's name in .github/workflows, without the folder: build.yaml",
            ));
        }
        let outside = |c: char| c.is_control() || c.is_whitespace();
        if reference.is_empty() || reference.len() > 255 || reference.contains(outside) {
            return Err(invalid("branch or tag", reference, "write for instance main"));
        }
        Ok(Self {
            base,
            owner: owner.to_owned(),
            repository: repository.to_owned(),
            file: file.to_owned(),
            reference: reference.to_owned(),
        })
    }

    /// `owner/repository`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.repository)
    }

    /// As messages name it.
    pub(super) fn named(&self) -> String {
        format!(
            "workflow {} of {} at {}",
            self.file,
            self.full_name(),
            self.reference
        )
    }

    /// The address of something below the repository's `actions`.
    pub(super) fn actions(&self, parts: &[&str]) -> Url {
        let start = ["repos", &self.owner, &self.repository, "actions"];
        self.base.at(start.into_iter().chain(parts.iter().copied()))
    }
}

fn named(text: &str, more: &str) -> bool {
    (1..=100).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

/// What tells one request for a build from all others. The workflow puts it into its `run-name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// Reads one: 8 to 100 letters, digits, `-` and `_`, for instance a UUID. Short ones would be found in the titles of
    /// other runs.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() < 8 || !named(text, "-_") {
            return Err(invalid(
                "request id",
                text,
                "it takes 8 to 100 letters, digits, - and _",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// As it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a title holds this id, and not a longer one that begins or ends with it.
    pub(super) fn is_in(&self, title: &str) -> bool {
        title.match_indices(&self.0).any(|(start, found)| {
            let before = title[..start].chars().next_back();
            let after = title[start + found.len()..].chars().next();
            [before, after]
                .into_iter()
                .flatten()
                .all(|c| !c.is_alphanumeric())
        })
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn invalid(what: &'static str, text: &str, reason: &'static str) -> Error {
    Error::Invalid {
        what,
        text: text.chars().take(100).collect(),
        reason,
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
    fn names_that_github_lacks_are_refused() {
        let base = BaseUrl::parse(BaseUrl::GITHUB).unwrap();
        let make = |owner, repository, file, reference| {
            Workflow::new(base.clone(), owner, repository, file, reference)
        };
        let good = make("acme", "images.d", "build.yaml", "stable/2025.2").unwrap();
        assert_eq!(
            good.named(),
            "workflow build.yaml of acme/images.d at stable/2025.2"
        );
        assert!(make("acme", "images", "12345", "main").is_ok());
        for (owner, repository, file, reference) in [
            ("", "images", "build.yaml", "main"),
            ("acme/other", "images", "build.yaml", "main"),
            ("acme", "..", "build.yaml", "main"),
            ("acme", "images", ".github/workflows/build.yaml", "main"),
            ("acme", "images", "build", "main"),
            ("acme", "images", "", "main"),
            ("acme", "images", "build.yaml", ""),
            ("acme", "images", "build.yaml", "ma in"),
        ] {
            assert!(matches!(
                make(owner, repository, file, reference),
                Err(Error::Invalid { .. })
            ));
        }
    }

    #[test]
    fn an_id_is_found_as_a_whole() {
        let id = RequestId::parse("0d1f-request").unwrap();
        for title in [
            "0d1f-request",
            "build 0d1f-request",
            "x-0d1f-request-y",
            "(0d1f-request)",
        ] {
            assert!(id.is_in(title), "{title}");
        }
        for title in ["", "0d1f-request2", "a0d1f-request", "0d1f-reques"] {
            assert!(!id.is_in(title), "{title}");
        }
        assert!(id.is_in("0d1f-request2, 0d1f-request"));
        assert!(RequestId::parse("short").is_err());
        assert!(RequestId::parse("with a space").is_err());
    }
}
