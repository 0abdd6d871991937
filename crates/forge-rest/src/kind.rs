//! Whose API a server speaks.

use std::fmt;

/// Whose API a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForgeKind {
    /// GitHub, or GitHub Enterprise Server: the REST API, version 2022-11-28.
    GitHub,
    /// GitLab: the REST API, version 4.
    GitLab,
    /// Gitea or Forgejo: the API, version 1.
    Gitea,
}

impl ForgeKind {
    /// Its name, for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::Gitea => "Gitea",
        }
    }

    pub(super) const fn api_address(self) -> &'static str {
        match self {
            Self::GitHub => "address of a GitHub API",
            Self::GitLab => "address of a GitLab API",
            Self::Gitea => "address of a Gitea API",
        }
    }

    pub(super) const fn api_example(self) -> &'static str {
        match self {
            Self::GitHub => "write for instance https://api.github.com, or https://github.example.org/api/v3",
            Self::GitLab => {
                "write for instance https://gitlab.com/api/v4, or https://gitlab.example.org/api/v4"
            }
            Self::Gitea => "write for instance https://gitea.example.org/api/v1",
        }
    }

    /// What the path of an API ends with on a self-hosted server.
    pub(super) const fn api_path(self) -> &'static str {
        match self {
            Self::GitHub => "/api/v3",
            Self::GitLab => "/api/v4",
            Self::Gitea => "/api/v1",
        }
    }
}

impl fmt::Display for ForgeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
