//! What the servers' APIs have in common here, whatever they call it.

use reqwest::{Method, Url};
use serde_json::Value;

use super::request::{Draft, PullRequest};
use crate::rest::{Kind, Place};

/// Which requests are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that can be merged.
    Open,
    /// All that there ever were.
    Any,
}

/// A request as a server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) request: PullRequest,
    pub(super) title: String,
    /// Whether the server says that it is a draft.
    pub(super) is_draft: bool,
    pub(super) body: String,
    pub(super) labels: Vec<String>,
}

/// What of a request is to be changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes<'a> {
    pub(super) title: Option<String>,
    pub(super) body: Option<&'a str>,
    /// Labels to add, where they are part of the request.
    pub(super) labels: Vec<&'a str>,
}

/// How a server wants to be asked, and what it answers.
pub(super) trait Dialect: Sync {
    /// What it calls a request.
    fn noun(&self) -> &'static str;

    /// How many pages of a list are read at most.
    fn pages(&self) -> u32;

    /// The states that are looked through, one after the other.
    fn states(&self, which: Which) -> &'static [&'static str];

    /// A page of the requests between two branches, newest first. It may have others as well.
    fn list(&self, place: &Place, head: &str, base: &str, state: &str, page: u32) -> Url;

    /// Where a server tells of one request between two branches, whichever it is, and answers 404 where there is none.
    fn any(&self, _place: &Place, _head: &str, _base: &str) -> Option<Url> {
        None
    }

    /// The requests of a page that are between two branches of the repository itself.
    fn listed(&self, answer: &[u8], head: &str, base: &str) -> serde_json::Result<Vec<Found>>;

    /// Where requests are opened.
    fn all(&self, place: &Place) -> Url;

    /// Where one is.
    fn one(&self, place: &Place, number: u64) -> Url;

    /// One that was looked at, opened or changed.
    fn found(&self, answer: &[u8]) -> serde_json::Result<Found>;

    /// What opens one.
    fn opening(&self, draft: &Draft<'_>) -> Value;

    /// Whether labels are part of what opens and changes a request.
    fn takes_labels(&self) -> bool;

    /// How a request is changed.
    fn change(&self) -> Method;

    /// What changes one.
    fn changing(&self, changes: &Changes<'_>) -> Value;

    /// What closes one.
    fn closing(&self) -> Value;
}

/// How a server of some kind wants to be asked.
pub(super) fn dialect(kind: Kind) -> &'static dyn Dialect {
    match kind {
        Kind::GitHub => &super::github::GitHub,
        Kind::GitLab => &super::gitlab::GitLab,
        Kind::Gitea => &super::gitea::Gitea,
    }
}

/// A page for people, as a server names it.
pub(super) fn page(address: Option<String>) -> String {
    let address = address.filter(|address| address.len() <= 2048);
    let url = address.and_then(|address| Url::parse(&address).ok());
    let url = url.filter(|url| matches!(url.scheme(), "https" | "http"));
    url.map(String::from).unwrap_or_default()
}
