//! Values as a status holds them.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value in a status, with the text that it is written as.
///
/// What an earlier version or someone else wrote in its place is kept verbatim, so that the object
/// stays readable and is written back unchanged. Two are equal if their texts are.
#[derive(Clone)]
pub struct Recorded<T> {
    text: String,
    /// Boxed, because a status has many values that are never read.
    value: Option<Box<T>>,
}

impl<T> Recorded<T> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The value; `None` if the text does not parse.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        self.value.as_deref()
    }
}

impl<T: fmt::Display> Recorded<T> {
    /// Records a value in its `Display` form.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self {
            text: value.to_string(),
            value: Some(Box::new(value)),
        }
    }
}

impl<T: FromStr + Clone> Recorded<T> {
    /// The value.
    ///
    /// # Errors
    ///
    /// If the text is not a valid value.
    pub fn to_value(&self) -> Result<T, T::Err> {
        match &self.value {
            Some(value) => Ok(T::clone(value)),
            None => self.text.parse(),
        }
    }
}

impl<T: FromStr> From<String> for Recorded<T> {
    fn from(text: String) -> Self {
        Self {
            value: text.parse().map(Box::new).ok(),
            text,
        }
    }
}

impl<T: FromStr> From<&str> for Recorded<T> {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl<T> Default for Recorded<T> {
    fn default() -> Self {
        Self {
            text: String::new(),
            value: None,
        }
    }
}

impl<T> Deref for Recorded<T> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl<T> PartialEq for Recorded<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Eq for Recorded<T> {}

impl<T> Hash for Recorded<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl<T> fmt::Display for Recorded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<T> fmt::Debug for Recorded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl<T> Serialize for Recorded<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, T: FromStr> Deserialize<'de> for Recorded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl<T> JsonSchema for Recorded<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::Revision;
    use image_references::{Digest, ImageReference};

    /// Reads a value from a status; it must be written as it was read.
    fn read<T: FromStr>(text: &str) -> Recorded<T> {
        let json = serde_json::Value::from(text);
        let read: Recorded<T> = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), json);
        assert_eq!(read.to_string(), text);
        read
    }

    #[test]
    fn what_is_no_value_is_kept_as_it_was_written() {
        for text in ["", "main", "sha1:1f0c", "sha256:00", "Not An Image"] {
            assert_eq!(read::<Revision>(text).value(), None, "{text}");
            assert_eq!(read::<Digest>(text).value(), None, "{text}");
        }
        assert_eq!(read::<ImageReference>("Not An Image").value(), None);
    }

    #[test]
    fn a_value_is_read_and_written_in_the_words_that_it_was_given_in() {
        let digest = Digest::sha256(b"");
        assert_eq!(read(&digest.to_string()).value(), Some(&digest));
        assert_eq!(Recorded::new(digest.clone()), read(&digest.to_string()));
        let image = read::<ImageReference>("team/glance:1");
        assert_eq!(image.value().unwrap().to_string(), "docker.io/team/glance:1");
    }
}
