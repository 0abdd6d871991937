//! The comment that marks a value.

use std::fmt;
use std::str::FromStr;

use super::image::{DeliveredImage, PatchSetName};

/// The key of a marker, as Flux has `$imagepolicy`.
pub(super) const MARKER_KEY: &str = "$patchset";

/// The key of Flux's own markers.
const FLUX_KEY: &str = "$imagepolicy";

/// Which part of an image a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageField {
    /// Repository, tag and digest; what a marker without a field stands for.
    Reference,
    /// The repository.
    Repository,
    /// The tag.
    Tag,
    /// The digest.
    Digest,
}

/// Marks a value as an image of a `PatchSet`, or a part of it: `# {"$patchset":
/// "namespace:name:tag"}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Marker {
    /// The `PatchSet`.
    pub patch_set: PatchSetName,
    /// The part.
    pub field: ImageField,
}

/// Why a comment is not a marker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// It is not a JSON object with just the key.
    #[error("write it as {{\"$patchset\": \"namespace:name:tag\"}} with nothing else in the comment ({0})")]
    Json(String),
    /// It has another key.
    #[error("it has the key {0:?}, which is unknown: {MARKER_KEY:?} is the one that marks a value")]
    Key(String),
    /// Flux and this controller would both write the value.
    #[error("it is beside {FLUX_KEY}: only one of the two can write a value")]
    Both,
    /// The text is not a marker.
    #[error("{0:?} is not namespace:name, or namespace:name:field")]
    Parts(String),
    /// A name is invalid.
    #[error("{0:?} is not a valid name for a Kubernetes object")]
    Name(String),
    /// A field is unknown.
    #[error("{0:?} is not a part of an image: use repository, tag, digest or reference")]
    Field(String),
}

impl Marker {
    /// Reads a comment's text, without its `#`.
    ///
    /// `None` if it is not a JSON object with the key.
    pub(super) fn from_comment(comment: &str) -> Option<Result<Self, MarkerError>> {
        let text = comment.trim();
        if !text.starts_with('{') || !text.contains(MARKER_KEY) {
            return None;
        }
        let read: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(text);
        Some(match read {
            Err(error) => Err(MarkerError::Json(error.to_string())),
            Ok(map) if map.contains_key(FLUX_KEY) => Err(MarkerError::Both),
            Ok(map) if map.len() == 1 && !map.contains_key(MARKER_KEY) => {
                let key = map.keys().next().map(String::as_str).unwrap_or_default();
                Err(MarkerError::Key(shorten(key)))
            }
            Ok(map) => match (map.len(), map.get(MARKER_KEY).and_then(|value| value.as_str())) {
                (1, Some(text)) => text.parse(),
                (1, None) => Err(MarkerError::Json(format!("{MARKER_KEY} is not text"))),
                _ => Err(MarkerError::Json("there are other keys".to_owned())),
            },
        })
    }

    /// Returns the part of an image that it marks.
    #[must_use]
    pub fn value_of<'a>(&self, image: &'a DeliveredImage) -> &'a str {
        match self.field {
            ImageField::Reference => &image.reference,
            ImageField::Repository => &image.repository,
            ImageField::Tag => &image.tag,
            ImageField::Digest => &image.digest,
        }
    }
}

impl FromStr for Marker {
    type Err = MarkerError;

    fn from_str(text: &str) -> Result<Self, MarkerError> {
        let mut parts = text.split(':');
        let (Some(namespace), Some(name), field, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(MarkerError::Parts(shorten(text)));
        };
        let patch_set = PatchSetName::validate(namespace, name);
        let patch_set = patch_set.map_err(|part| MarkerError::Name(shorten(part)))?;
        let field = match field {
            None | Some("reference") => ImageField::Reference,
            Some("repository") => ImageField::Repository,
            Some("tag") => ImageField::Tag,
            Some("digest") => ImageField::Digest,
            Some(other) => return Err(MarkerError::Field(shorten(other))),
        };
        Ok(Self { patch_set, field })
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.patch_set.namespace, self.patch_set.name)?;
        match self.field {
            ImageField::Reference => Ok(()),
            ImageField::Repository => f.write_str(":repository"),
            ImageField::Tag => f.write_str(":tag"),
            ImageField::Digest => f.write_str(":digest"),
        }
    }
}

/// At most 100 characters of a text, for messages.
fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_read_as_they_are_written() {
        for (text, field) in [
            ("ours:glance-2025.2", ImageField::Reference),
            ("ours:glance-2025.2:repository", ImageField::Repository),
            ("ours:glance-2025.2:tag", ImageField::Tag),
            ("ours:glance-2025.2:digest", ImageField::Digest),
        ] {
            let marker: Marker = text.parse().unwrap();
            assert_eq!((marker.field, marker.to_string().as_str()), (field, text));
        }
        let whole: Marker = "a:b:reference".parse().unwrap();
        assert_eq!(whole, "a:b".parse().unwrap());
    }

    #[test]
    fn what_is_no_marker_is_told() {
        for (comment, expected) in [
            (r#"{"$patchset": "a:b""#, "nothing else in the comment"),
            (r#"{"$patchset": "a:b"} and more"#, "nothing else in the comment"),
            (r#"{"$patchset": 1}"#, "is not text"),
            (r#"{"$patchset": "a:b", "x": 1}"#, "other keys"),
            (
                r#"{"$patchsets": "a:b"}"#,
                r#"the key "$patchsets", which is unknown: "$patchset" is"#,
            ),
            (
                r#"{"$patchset": "a:b", "$imagepolicy": "a:b"}"#,
                "only one of the two",
            ),
            (r#"{"$patchset": "a"}"#, "namespace:name"),
            (r#"{"$patchset": "a:b:tag:x"}"#, "namespace:name"),
            (
                r#"{"$patchset": "A:b"}"#,
                "not a valid name for a Kubernetes object",
            ),
            (
                r#"{"$patchset": "a.b..c:b"}"#,
                "not a valid name for a Kubernetes object",
            ),
            (
                r#"{"$patchset": "a:"}"#,
                "not a valid name for a Kubernetes object",
            ),
            (
                r#"{"$patchset": "a:b:version"}"#,
                "repository, tag, digest or reference",
            ),
        ] {
            let error = Marker::from_comment(comment).unwrap().unwrap_err().to_string();
            assert!(error.contains(expected), "{comment}: {error}");
        }
        for comment in [
            r#"{"$imagepolicy": "a:b"}"#,
            "see $patchset",
            r#"image: x # {"$patchset": "a:b"}"#,
        ] {
            assert_eq!(Marker::from_comment(comment), None, "{comment}");
        }
    }
}
