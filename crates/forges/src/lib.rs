#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod client;
mod comments;
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
mod reviewers;
mod server;
mod title;

pub use client::{AskAgain, PullRequestClient};
pub use dialect::ServerRequest;
pub use git_access::{GitAccess, GitPurpose};
pub use request::{DesiredPullRequest, MissingLabels, PullRequest, PullRequestState, Readiness};
pub use reviewers::MissingReviewers;

pub use forge_rest::{
    ApiBaseUrl, Error, ForgeCredentials, ForgeKind, ForgeRepository, PlainHttp, RequestConfig,
};
