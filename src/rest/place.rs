//! Which repository, at which server.

use super::error::invalid;
use super::{BaseUrl, Error, Kind};

/// A repository, as its server's API knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) base: BaseUrl,
    /// A user or organisation; of GitLab the group with the groups that it is in (`infra/apps`).
    pub(crate) owner: String,
    pub(crate) name: String,
}

impl Place {
    /// A repository by its owner and name.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for names that servers of its kind do not have.
    pub(crate) fn new(kind: Kind, base: BaseUrl, owner: &str, name: &str) -> Result<Self, Error> {
        let is_owner = match kind {
            Kind::GitHub => named(owner, "-_"),
            Kind::GitLab => owner.split('/').all(segment),
            Kind::Gitea => segment(owner),
        };
        if !is_owner || owner.len() > 1024 {
            return Err(invalid(
                "owner of a repository",
                owner,
                "write the user or organisation as in the repository's address",
            ));
        }
        if !segment(name) {
            return Err(invalid(
                "repository's name",
                name,
                "write the last part of the repository's address",
            ));
        }
        Ok(Self {
            kind,
            base,
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }

    /// `owner/name`.
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

fn segment(text: &str) -> bool {
    named(text, "-_.") && !matches!(text, "." | "..")
}

/// Whether a text is 1 to 100 letters, digits and some more characters.
pub(crate) fn named(text: &str, more: &str) -> bool {
    (1..=100).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}
