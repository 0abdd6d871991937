//! The REST APIs of GitHub, GitLab and Gitea, for the rooms that use them: who is spoken to, with which login, within
//! which bounds, and what answers mean.
//!
//! Requests are bounded in time and size. None is sent while a server wants none, none to a host that is not meant, and
//! no login follows a redirect.

mod answer;
mod answers;
mod app;
mod authorization;
mod base;
mod client;
mod config;
mod credentials;
mod error;
mod http;
mod place;

pub use base::{BaseUrl, Kind};
pub use config::{Config, PlainHttp};
pub use credentials::{Credentials, SecretData};
pub use error::Error;

pub(crate) use answer::{Answer, Lead};
pub(crate) use answers::{read, unreadable};
pub(crate) use authorization::Permissions;
pub(crate) use base::host;
pub(crate) use client::{Client, has_next};
pub(crate) use error::invalid;
pub(crate) use http::{Ask, Fetched, Http, Purpose, causes};
pub(crate) use place::{Place, named};
