//! Which ref of its upstream a component is built from, where no file says it.

use std::fmt;
use std::str::FromStr;

/// How a ref follows from a component and a release: `stable/{release}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefTemplate(String);

/// A text that is no template of refs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefTemplateError {
    /// It names nothing.
    #[error("the template of refs is empty")]
    Empty,
    /// An unknown token, or an unmatched brace.
    #[error("the template of refs {template:?} has {token}; there are {{component}} and {{release}}")]
    Token {
        /// The template.
        template: String,
        /// What is not known.
        token: String,
    },
}

impl RefTemplate {
    /// The ref of a component at a release.
    #[must_use]
    pub fn reference(&self, component: &str, release: &str) -> String {
        let mut filled = String::new();
        let mut rest = self.0.as_str();
        // What is filled in is not expanded again.
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let (token, after) = after.split_once('}').unwrap_or((after, ""));
            filled.push_str(if token == "component" { component } else { release });
            rest = after;
        }
        filled.push_str(rest);
        filled
    }
}

impl FromStr for RefTemplate {
    type Err = RefTemplateError;

    fn from_str(text: &str) -> Result<Self, RefTemplateError> {
        if text.trim().is_empty() {
            return Err(RefTemplateError::Empty);
        }
        let rest = text.replace("{component}", "").replace("{release}", "");
        if let Some(at) = rest.find(['{', '}']) {
            let token = rest.get(at..).unwrap_or_default();
            let end = token.find('}').map_or(token.len(), |end| end + 1);
            return Err(RefTemplateError::Token {
                template: text.to_owned(),
                token: token.get(..end).unwrap_or_default().to_owned(),
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for RefTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What comes before a release in the names of branches.
const BEFORE_RELEASE: [&str; 8] = [
    "refs/heads/",
    "stable/",
    "unmaintained/",
    "release/",
    "releases/",
    "debian/",
    "ubuntu/",
    "patches/",
];

/// The release that a branch is for: `stable/2025.2` is for 2025.2, and `main` for main. `/` in the
/// rest becomes `-`, as a release is part of names.
#[must_use]
pub fn release_of_branch(branch: &str) -> String {
    let mut release = branch;
    for before in BEFORE_RELEASE {
        release = release.strip_prefix(before).unwrap_or(release);
    }
    release.replace('/', "-")
}
