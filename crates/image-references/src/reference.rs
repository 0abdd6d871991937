//! Names of images (the grammar and the short forms of distribution's `reference` package).

use core::net::Ipv6Addr;
use std::fmt;
use std::hash::{Hash, Hasher};
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

/// How much of a wrong text is shown, in characters.
const LONGEST_SHOWN: usize = 300;

/// An image in a registry.
///
/// It is read as `registry/repository:tag@digest`, of which registry, tag and digest may be left
/// out, and written with the registry, and with the tag `latest` where it has neither tag nor
/// digest. Two are equal if they are written the same, however they were given.
#[derive(Clone, Debug)]
pub struct ImageReference {
    /// Registry and repository as they were given.
    given_name: String,
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is not a reference to an image, or not a part of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It is not a reference.
    #[error(
        "{text:?} is not an image: {reason}; write for instance registry.example.org/team/glance-source:2025.2"
    )]
    Image {
        /// As it was given, shortened.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is not a tag. It has the text as it was given, shortened.
    #[error(
        "{0:?} is not a tag: a tag has at most {LONGEST_TAG} letters, digits, '_', '.' and '-', and starts with neither '.' nor '-'"
    )]
    Tag(String),
}

impl ReferenceError {
    /// Makes an error for a text that is not an image, with what is wrong with it.
    #[must_use]
    pub fn new(text: &str, reason: impl Into<String>) -> Self {
        Self::Image {
            text: printable(text, LONGEST_SHOWN),
            reason: reason.into(),
        }
    }
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |reason: &str| ReferenceError::new(text, reason);
        if is_identifier(text) {
            return Err(wrong("64 hexadecimal digits alone name no image of a registry"));
        }
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
            return Err(ReferenceError::Tag(printable(tag, LONGEST_SHOWN)));
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

    /// What makes it the same image as another.
    fn identity(&self) -> (&str, &str, Option<&str>, Option<&Digest>) {
        (&self.registry, &self.repository, self.tag(), self.digest())
    }
}

impl PartialEq for ImageReference {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for ImageReference {}

impl Hash for ImageReference {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
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

/// Splits a name into registry and repository (`splitDockerDomain`). What is before the first slash
/// is a registry if no repository looks like that.
fn split_registry(name: &str) -> (&str, &str) {
    let is_host = |text: &str| {
        text == "localhost" || text.contains(|c: char| matches!(c, '.' | ':') || c.is_ascii_uppercase())
    };
    match name.split_once('/') {
        Some((host, repository)) if is_host(host) => (host, repository),
        _ => (DOCKER_HUB, name),
    }
}

/// Whether a text is what Docker takes for an image's own identifier.
fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
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
    // No form of it that ends in an IPv4 address.
    let is_ipv6 = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inner.is_some_and(|inner| !inner.contains('.') && inner.parse::<Ipv6Addr>().is_ok())
    };
    (is_ipv6(host) || host.split('.').all(is_label)) && port.is_none_or(is_port)
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
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let hex = "1a".repeat(32);
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
            ("MYHOST/a", "MYHOST/a:latest"),
            ("LOCALDOMAIN/library/debian", "LOCALDOMAIN/library/debian:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("[fc00:1:2:3:4:5:6:7]/team/a:1", "[fc00:1:2:3:4:5:6:7]/team/a:1"),
            (&format!("{hex}:1"), &format!("docker.io/library/{hex}:1")),
            (
                &format!("docker.io/{hex}"),
                &format!("docker.io/library/{hex}:latest"),
            ),
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
    fn references_are_compared_by_what_they_mean() {
        let read = |text: &str| text.parse::<ImageReference>().unwrap();
        let all = [
            "python:3",
            "docker.io/library/python:3",
            "index.docker.io/python:3",
        ]
        .map(read);
        assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), 1);
        for other in [
            "python",
            "python:4",
            "r.example/library/python:3",
            "team/python:3",
        ] {
            assert_ne!(read(other), read("python:3"), "{other}");
        }
        assert_ne!(read("python:3"), read("python:3").pinned_to(&Digest::sha256(b"")));
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
            "a/B",
            "foo_Bar/a",
            "fc00::1:5000/a",
            "[fc00::1]",
            "[fc00::1]:5000",
            "[fc00::1]:/a",
            "[fc00::1/a",
            "[]/a",
            "[fe80::1%eth0]:5000/a",
            "[2001:db8:3:4::192.0.2.33]:5000/a",
            &"1a".repeat(32),
        ] {
            assert!(text.parse::<ImageReference>().is_err(), "{text}");
        }
        let long = format!("r.example/{}", "a".repeat(256));
        assert!(long.parse::<ImageReference>().is_err());
        let image = "r.example/a".parse::<ImageReference>().unwrap();
        for tag in ["", "a/b", "..", "a?x=1", &"a".repeat(129)] {
            let error = image.with_tag(tag).unwrap_err().to_string();
            assert!(error.contains("is not a tag"), "{error}");
            assert!(!error.contains("not an image"), "{error}");
        }
    }
}
