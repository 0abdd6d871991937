//! `releases/<release>/source-refs.yaml`: the upstream ref that each component is built from.

use std::collections::BTreeMap;

use serde_saphyr::Spanned;

use super::yaml;

/// The largest file, in bytes.
const LARGEST: usize = 1 << 20;

/// How many components a message lists.
const LISTED: usize = 20;

/// Why a ref could not be read. Messages start with what is wrong, without the file's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceRefsError {
    /// The file is larger than the limit.
    #[error("has {0} bytes, more than {LARGEST}")]
    TooLarge(usize),
    /// The file is not text.
    #[error("is not UTF-8")]
    Encoding,
    /// The file is not a mapping.
    #[error("is not a mapping of components to refs: {0}")]
    Syntax(String),
    /// A ref that YAML reads as a number, which may lose digits: `2.10` is `2.1`.
    #[error("the ref of {component} is read as the number {number}; put it in quotes")]
    Number {
        /// The component.
        component: String,
        /// The number.
        number: String,
    },
    /// A ref that is neither text nor a number, or a number out of range, as YAML reads a commit
    /// such as `12e45678…`.
    #[error("the ref of {0} is not read as text; put it in quotes")]
    NoText(String),
    /// The file does not name the component.
    #[error("has no entry {component:?}; it has {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    Absent {
        /// The component.
        component: String,
        /// Components that the file names.
        known: Vec<String>,
    },
}

/// The refs of one release.
#[derive(Clone, Debug, Default)]
pub struct SourceRefs(BTreeMap<String, Spanned<serde_json::Value>>);

impl SourceRefs {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If it is not a mapping. Individual refs are checked by [`SourceRefs::get`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SourceRefsError> {
        if bytes.len() > LARGEST {
            return Err(SourceRefsError::TooLarge(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| SourceRefsError::Encoding)?;
        // A ref that is a number out of range is a fault of its component alone.
        let options = serde_saphyr::options! {
            non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
        };
        // A file with only comments names no component.
        let refs: Option<BTreeMap<String, Spanned<serde_json::Value>>> =
            serde_saphyr::from_str_with_options(text, options)
                .map_err(|error| SourceRefsError::Syntax(yaml::fault(&error)))?;
        Ok(Self(refs.unwrap_or_default()))
    }

    /// The components, sorted.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The line with a component's ref, from 1.
    #[must_use]
    pub fn line(&self, component: &str) -> Option<usize> {
        let line = self.0.get(component)?.referenced.line();
        usize::try_from(line).ok().filter(|line| *line > 0)
    }

    /// The ref of a component: a branch, tag or commit.
    ///
    /// # Errors
    ///
    /// If there is none, or it is not text.
    pub fn get(&self, component: &str) -> Result<&str, SourceRefsError> {
        match self.0.get(component).map(|found| &found.value) {
            Some(serde_json::Value::String(value)) if !value.is_empty() => Ok(value),
            Some(serde_json::Value::Number(number)) => Err(SourceRefsError::Number {
                component: component.to_owned(),
                number: number.to_string(),
            }),
            Some(_) => Err(SourceRefsError::NoText(component.to_owned())),
            None => Err(SourceRefsError::Absent {
                component: component.to_owned(),
                known: self.components().take(LISTED).map(ToOwned::to_owned).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_are_texts() {
        let refs =
            SourceRefs::parse(b"# why\nglance: \"31.1.0\"\nnova: stable/2025.2\nbad: 2.10\nworse: [1]\n")
                .unwrap();
        assert_eq!(refs.get("glance"), Ok("31.1.0"));
        assert_eq!(
            ["glance", "nova", "none"].map(|name| refs.line(name)),
            [Some(2), Some(3), None]
        );
        assert_eq!(refs.get("nova"), Ok("stable/2025.2"));
        assert!(
            refs.get("bad")
                .unwrap_err()
                .to_string()
                .contains("put it in quotes")
        );
        assert!(matches!(refs.get("worse"), Err(SourceRefsError::NoText(_))));
        // Commits that YAML reads as numbers too large to hold.
        for commit in [
            "12e4567890123456789012345678901234567890",
            "1234567890123456789012345678901234567890",
        ] {
            let refs = SourceRefs::parse(format!("glance: {commit}\nnova: \"1\"\n").as_bytes()).unwrap();
            assert_eq!(refs.get("nova"), Ok("1"), "{commit}");
            let error = refs.get("glance").unwrap_err().to_string();
            assert!(error.contains("put it in quotes"), "{error}");
        }
        let absent = refs.get("none").unwrap_err().to_string();
        assert_eq!(absent, "has no entry \"none\"; it has bad, glance, nova, worse");
    }

    #[test]
    fn what_is_no_mapping_is_refused() {
        assert_eq!(
            SourceRefs::parse(b"# nothing yet\n")
                .unwrap()
                .components()
                .count(),
            0
        );
        assert!(SourceRefs::parse(b"- a\n").is_err());
        assert!(SourceRefs::parse(b"\xff").is_err());
        assert!(SourceRefs::parse(&vec![b' '; LARGEST + 1]).is_err());
    }
}
