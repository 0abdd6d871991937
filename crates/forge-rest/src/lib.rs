#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod answer;
mod authorization;
mod base_url;
mod client;
mod credentials;
mod error;
mod error_body;
mod git_url;
mod github_app;
mod http;
mod kind;
mod rate_limit;
mod repository;
mod request;
mod request_config;

pub use answer::{ApiAnswer, RedirectTarget, unreadable_answer};
pub use authorization::AppPermissions;
pub use base_url::{ApiBaseUrl, host_and_port};
pub use client::ApiClient;
pub use credentials::ForgeCredentials;
pub use error::{Error, invalid_input};
pub use http::{Fetched, HttpSender, describe_failure};
pub use kind::ForgeKind;
pub use repository::{ForgeRepository, is_identifier};
pub use request::{ApiRequest, Idempotence, RequestPurpose};
pub use request_config::{PlainHttp, RequestConfig};
