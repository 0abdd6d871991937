//! Names of images (the grammar and the short forms of distribution's `reference` package).

use std::fmt;
use std::str::FromStr;

use foreign_text::printable;

use super::digest::Digest;

/// Docker Hub as names have it, its aliases, and the host of its API.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_ALIASES: [&str; 3] = [DOCKER_HUB, "index.docker.io", "registry-1.docker.io"];
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// The prefix of an image as a named context of a build with BuildKit.
const CONTEXT_SCHEME: &str = "docker-image://";

/// The longest repository, in characters.
const LONGEST_REPOSITORY: usize = 255;
/// The longest tag, in characters.
const LONGEST_TAG: usize = 128;

/// An image in a registry.
///
/// It is read as `registry/repository:tag@digest`, of which registry, tag and digest may be left
/// out, and written with the registry, and with the tag `latest` where it has neither tag nor
/// digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageReference {
    /// Registry and repository as they were given.
    given_name: String,
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is not a reference to an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an image: {reason}; write for instance registry.example.org/team/glance-source:2025.2"
)]
pub struct ReferenceError {
    /// As it was given, shortened.
    text: String,
    /// What is wrong with it.
    reason: String,
}

impl ReferenceError {
    /// Makes an error for a text, with what is wrong with it.
    #[must_use]
    pub fn new(text: &str, reason: impl Into<String>) -> Self {
        Self {
            text: printable(text, 300),
            reason: reason.into(),
        }
    }
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |reason: &str| ReferenceError::new(text, reason);
        let (named, digest) = match text.rsplit_once('@') {
            None => (text, None),
            Some((named, digest)) => {
                let digest = digest.parse::<Digest>();
                (named, Some(digest.map_err(|error| wrong(&error.to_string()))?))
            }
        };
        let (name, tag) = match named.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (named, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("its tag has characters that a tag may not have"));
        }
        let (registry, repository) = split_registry(name);
        if !is_registry(registry) {
            return Err(wrong("its registry is not a host and port"));
        }
        let registry = if is_docker_hub(registry) {
            DOCKER_HUB
        } else {
            registry
        };
        let repository = if registry == DOCKER_HUB && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        if repository.len() > LONGEST_REPOSITORY {
            return Err(wrong("its repository is too long"));
        }
        if !repository.split('/').all(is_path_component) {
            return Err(wrong(
                "a repository has lower case letters, digits, and single separators between them",
            ));
        }
        let tag = match (tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(ToOwned::to_owned),
        };
        Ok(Self {
            given_name: name.to_owned(),
            registry: registry.to_owned(),
            repository,
            tag,
            digest,
        })
    }
}

impl ImageReference {
    /// Reads a named context of a build: `docker-image://registry.example.org/base:1`, or the same
    /// with a digest.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`].
    pub fn from_context(text: &str) -> Result<Self, ReferenceError> {
        text.strip_prefix(CONTEXT_SCHEME).unwrap_or(text).parse()
    }

    /// Returns another tag of the same repository.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`] if it is not a tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::new(tag, "it is not a tag"));
        }
        Ok(Self {
            tag: Some(tag.to_owned()),
            digest: None,
            ..self.clone()
        })
    }

    /// Returns the image of the same repository with a digest and no tag, as builders take it.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest.clone()),
            ..self.clone()
        }
    }

    /// Returns the same image with a digest besides its tag, as people read it.
    #[must_use]
    pub fn pinned_to(&self, digest: &Digest) -> Self {
        Self {
            digest: Some(digest.clone()),
            ..self.clone()
        }
    }

    /// Registry and repository as they were given.
    #[must_use]
    pub fn given_name(&self) -> &str {
        &self.given_name
    }

    /// Host and port of the registry, as it stands in names.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Host and port of the registry's API.
    #[must_use]
    pub fn api_host(&self) -> &str {
        if self.registry == DOCKER_HUB {
            DOCKER_HUB_API
        } else {
            &self.registry
        }
    }

    /// The repository.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The digest, if it has one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The tag, if it has one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Writes it with registry and repository as they were given: `python@sha256:…` and not
    /// `docker.io/library/python@sha256:…`.
    #[must_use]
    pub fn as_given(&self) -> String {
        format!("{}{}", self.given_name, Version(self))
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.registry, self.repository, Version(self))
    }
}

/// Tag and digest of an image, as they follow its name.
struct Version<'a>(&'a ImageReference);

impl fmt::Display for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tag) = &self.0.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.0.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Whether a host is one of Docker Hub's names.
#[must_use]
pub fn is_docker_hub(host: &str) -> bool {
    DOCKER_HUB_ALIASES.contains(&host)
}

/// Splits a name into registry and repository. What is before the first slash is a registry if no
/// repository looks like that.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((host, repository)) if host.contains(['.', ':']) || host == "localhost" => (host, repository),
        _ => (DOCKER_HUB, name),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit());
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// A part between slashes: letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_path_component(text: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut separator = String::new();
    for byte in text.bytes() {
        if !is_alphanumeric(byte) {
            separator.push(char::from(byte));
            continue;
        }
        let is_separator =
            matches!(separator.as_str(), "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-');
        if !is_separator {
            return false;
        }
        separator.clear();
    }
    separator.is_empty() && text.bytes().next().is_some_and(is_alphanumeric)
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= LONGEST_TAG
        && text.bytes().next().is_some_and(is_word)
        && text
            .bytes()
            .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (text, whole) in [
            (
                "r.example/team/a_b--c.d__e:V_1.2-x",
                "r.example/team/a_b--c.d__e:V_1.2-x",
            ),
            ("r.example:5000/a", "r.example:5000/a:latest"),
            ("localhost/a", "localhost/a:latest"),
            ("a", "docker.io/library/a:latest"),
            ("a:5000", "docker.io/library/a:5000"),
            ("team/a", "docker.io/team/a:latest"),
            ("index.docker.io/team/a", "docker.io/team/a:latest"),
            ("registry-1.docker.io/a", "docker.io/library/a:latest"),
            ("127.0.0.1:5000/a:1", "127.0.0.1:5000/a:1"),
        ] {
            assert_eq!(
                text.parse::<ImageReference>().unwrap().to_string(),
                whole,
                "{text}"
            );
            let pinned = format!("{text}@{digest}");
            let read = pinned.parse::<ImageReference>().unwrap();
            assert_eq!(read.digest().unwrap().to_string(), digest);
        }
        let hub = "a".parse::<ImageReference>().unwrap();
        assert_eq!(
            (hub.registry(), hub.api_host()),
            ("docker.io", "registry-1.docker.io")
        );
    }

    #[test]
    fn a_name_is_written_as_it_was_given_where_that_is_asked_for() {
        let digest = Digest::sha256(b"");
        for (text, given) in [
            ("r:5000/base:1", "r:5000/base"),
            ("r:5000/base", "r:5000/base"),
            ("python:3", "python"),
            ("index.docker.io/team/a", "index.docker.io/team/a"),
        ] {
            let image = text.parse::<ImageReference>().unwrap().with_digest(&digest);
            assert_eq!(image.as_given(), format!("{given}@{digest}"));
            assert_eq!(image.given_name(), given);
        }
        let tagged: ImageReference = "r:5000/base:1".parse().unwrap();
        let pinned = tagged.pinned_to(&digest);
        assert_eq!(pinned.as_given(), format!("r:5000/base:1@{digest}"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "Not An Image",
            "r.example/",
            "r.example/A",
            "r.example/../a",
            "r.example/a/../../b",
            "r.example/a..b",
            "r.example/a___b",
            "r.example/a//b",
            "r.example/a?b",
            "r.example/a%2fb",
            "r.example/a:\u{fc}",
            "r.example/a:x/y@z",
            "r.example/a@sha256:0",
            "r.example/a@md5:d41d8cd98f00b204e9800998ecf8427e",
            "r.example:99999/a",
            "r.example:/a",
            "user@r.example/a",
            "-r.example/a",
            "r..example/a",
            "http://r.example/a",
        ] {
            assert!(text.parse::<ImageReference>().is_err(), "{text}");
        }
        let long = format!("r.example/{}", "a".repeat(256));
        assert!(long.parse::<ImageReference>().is_err());
        let image = "r.example/a".parse::<ImageReference>().unwrap();
        for tag in ["", "a/b", "..", "a?x=1", &"a".repeat(129)] {
            assert!(image.with_tag(tag).is_err(), "{tag}");
        }
    }
}
