//! The image that is delivered, and whose it is.

use std::fmt;
use std::str::FromStr;

/// The longest name of an object and of a namespace (RFC 1123).
const MAX_NAME_BYTES: usize = 253;
const MAX_NAMESPACE_BYTES: usize = 63;

/// A `PatchSet` by its namespace and name.
///
/// As text it is `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatchSetName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A text that is not `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not namespace/name")]
pub struct NameError;

impl PatchSetName {
    /// Puts a namespace and a name together.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Puts a namespace and a name together, if both are names that Kubernetes accepts; otherwise
    /// returns the one that is not.
    pub(super) fn validate<'a>(namespace: &'a str, name: &'a str) -> Result<Self, &'a str> {
        for (part, longest) in [(namespace, MAX_NAMESPACE_BYTES), (name, MAX_NAME_BYTES)] {
            if part.len() > longest || !part.split('.').all(is_dns_label) {
                return Err(part);
            }
        }
        Ok(Self::new(namespace, name))
    }
}

impl fmt::Display for PatchSetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for PatchSetName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (namespace, name) = text.split_once('/').ok_or(NameError)?;
        Self::validate(namespace, name).map_err(|_| NameError)
    }
}

/// Whether a text is a part of a DNS subdomain (RFC 1123), as names of objects are.
fn is_dns_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// An image of a `PatchSet`, as files and messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveredImage {
    /// What it was built for.
    pub patch_set: PatchSetName,
    /// Its repository.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// Its digest.
    pub digest: String,
    /// Repository, tag and digest: `registry.example.org/glance:31.0.0-p2@sha256:…`.
    pub reference: String,
    /// The upstream's revision that it was built from; empty where that is not known.
    pub revision: String,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An image of a `PatchSet` in the namespace `ours`.
    pub fn image(name: &str, tag: &str) -> DeliveredImage {
        DeliveredImage {
            patch_set: PatchSetName::new("ours", name),
            repository: format!("r/{name}"),
            tag: tag.to_owned(),
            digest: "sha256:00".to_owned(),
            reference: format!("r/{name}:{tag}@sha256:00"),
            revision: "31.0.0@sha1:00".to_owned(),
        }
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let name = PatchSetName::new("ours", "glance-2025.2");
        assert_eq!(name.to_string().parse(), Ok(name));
        for wrong in ["ours", "/", "a/", "/a", "a/b/c", "Ours/a", "ours/a\u{1b}[2J"] {
            assert_eq!(wrong.parse::<PatchSetName>(), Err(NameError), "{wrong}");
        }
    }

    #[test]
    fn names_that_kubernetes_lacks_are_refused() {
        let (longest, namespace) = ("a".repeat(253), "a".repeat(63));
        assert!(PatchSetName::validate(&namespace, &longest).is_ok());
        assert!(PatchSetName::validate("a-1", "0.b").is_ok());
        for wrong in ["", "A", "a_b", "-a", "a-", "a..b", ".a", "a.", "ä"] {
            assert_eq!(PatchSetName::validate("ours", wrong), Err(wrong));
            assert_eq!(PatchSetName::validate(wrong, "glance"), Err(wrong));
        }
        let (longer, more) = ("a".repeat(254), "a".repeat(64));
        assert_eq!(PatchSetName::validate("ours", &longer), Err(longer.as_str()));
        assert_eq!(PatchSetName::validate(&more, "glance"), Err(more.as_str()));
    }
}
