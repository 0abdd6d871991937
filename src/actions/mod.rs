//! GitHub Actions: starts a workflow by `workflow_dispatch`, follows its run, and reads why it
//! failed.
//!
//! A dispatch that may have reached the server is never sent again here: it ends as
//! [`Error::Ambiguous`], and the caller looks with [`ActionsClient::find_run`] for the run that
//! carries its [`RequestId`]. For that the workflow has to declare the inputs `request_id` and
//! `build`, and to put the first into its `run-name`.
//!
//! The rules are those of GitHub's REST API, version 2022-11-28, on github.com and on GitHub
//! Enterprise Server.

mod client;
mod config;
mod failed_job;
mod log_tail;
mod refusal;
mod run;
mod workflow;

pub use client::ActionsClient;
pub use config::ActionsConfig;
pub use failed_job::FailedJob;
pub use forge_rest::{ApiBaseUrl, Error, ForgeCredentials, ForgeKind, PlainHttp, RequestConfig};
pub use run::{Conclusion, Run, RunId, RunState};
pub use workflow::{RequestId, Workflow};
