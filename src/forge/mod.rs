//! Pull requests of GitHub and Gitea, merge requests of GitLab: from one branch of a repository to another, opened once and
//! kept as they should be.
//!
//! [`PullRequestClient::ensure`] looks first and writes only what differs. A request that may have been opened is looked for, and
//! none of the three servers opens a second one between the same branches: so everything here may be repeated.
//!
//! The rules are those of GitHub's REST API, version 2022-11-28, GitLab's version 4 and Gitea's version 1, which Forgejo
//! speaks as well.

mod client;
mod dialect;
mod git_access;
mod gitea;
mod github;
mod gitlab;
mod labels;
mod lookup;
mod pulls;
mod refusal;
mod refused_labels;
mod request;
mod server;
mod title;

pub use client::{AskAgain, PullRequestClient};
pub use git_access::{GitAccess, GitPurpose};
pub use request::{DesiredPullRequest, MissingLabels, PullRequest, PullRequestState};

pub use crate::rest::{
    ApiBaseUrl, Error, ForgeCredentials, ForgeKind, ForgeRepository, PlainHttp, RequestConfig,
};
