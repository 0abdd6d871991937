#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

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

pub use forge_rest::{
    ApiBaseUrl, Error, ForgeCredentials, ForgeKind, ForgeRepository, PlainHttp, RequestConfig,
};
