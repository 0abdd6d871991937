//! A workflow of GitHub Actions: its repository, its file, and the branch or tag that it runs on.

use std::fmt;

use forge_rest::{ApiBaseUrl, Error, ForgeKind, ForgeRepository, invalid_input, is_identifier};
use reqwest::Url;

use super::RunId;

/// A workflow that can be dispatched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workflow {
    pub(super) repository: ForgeRepository,
    pub(super) file: String,
    pub(super) reference: String,
}

impl Workflow {
    /// A workflow by its repository's owner and name, its file's name in `.github/workflows` (or
    /// its number), and the branch or tag that it runs on.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for names that GitHub does not allow.
    pub fn new(
        base_url: ApiBaseUrl,
        owner: &str,
        repository: &str,
        file: &str,
        reference: &str,
    ) -> Result<Self, Error> {
        let repository = ForgeRepository::new(ForgeKind::GitHub, base_url, owner, repository)?;
        let is_file = file
            .rsplit_once('.')
            .is_some_and(|(_, end)| matches!(end, "yml" | "yaml"));
        let is_number = !file.is_empty() && file.bytes().all(|byte| byte.is_ascii_digit());
        if !(is_number || is_file && is_identifier(file, "-_.")) {
            return Err(invalid_input(
                "workflow",
                file,
                "write its file's name in .github/workflows, without the folder: build.yaml",
            ));
        }
        let outside = |c: char| c.is_control() || c.is_whitespace();
        if reference.is_empty() || reference.len() > 255 || reference.contains(outside) {
            return Err(invalid_input(
                "branch or tag",
                reference,
                "write for instance main",
            ));
        }
        Ok(Self {
            repository,
            file: file.to_owned(),
            reference: reference.to_owned(),
        })
    }

    /// `owner/repository`.
    #[must_use]
    pub fn full_name(&self) -> String {
        self.repository.full_name()
    }

    /// The repository with its server, which tells it from one of the same name elsewhere.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}/{}", self.repository.base_url(), self.full_name())
    }

    /// Its name in messages.
    pub(super) fn display_name(&self) -> String {
        format!(
            "workflow {} of {} at {}",
            self.file,
            self.full_name(),
            self.reference
        )
    }

    /// The address of something below the repository's `actions`.
    pub(super) fn actions_url(&self, parts: &[&str]) -> Url {
        let parts = std::iter::once("actions").chain(parts.iter().copied());
        self.repository.endpoint(&parts.collect::<Vec<_>>())
    }

    /// The name of a run in messages.
    pub(super) fn run_name(&self, id: RunId) -> String {
        format!("run {id} of {}", self.full_name())
    }
}

/// Identifies one request for a build.
///
/// The workflow puts it into its `run-name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// Reads one: 8 to 100 letters, digits, `-` and `_`, for instance a UUID.
    ///
    /// Short ones would be found in the titles of other runs.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() < 8 || !is_identifier(text, "-_") {
            return Err(invalid_input(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_github_lacks_are_refused() {
        let base = ApiBaseUrl::parse(ForgeKind::GitHub, ApiBaseUrl::GITHUB_COM).unwrap();
        let make = |owner, repository, file, reference| {
            Workflow::new(base.clone(), owner, repository, file, reference)
        };
        let good = make("acme", "images.d", "build.yaml", "stable/2025.2").unwrap();
        assert_eq!(
            good.display_name(),
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
