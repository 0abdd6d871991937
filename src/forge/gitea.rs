//! Gitea's and Forgejo's pull requests.
//!
//! Their lists cannot be narrowed to a branch that is to be merged, older ones not even to the other: they are read page
//! by page, newest first.

use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::dialect::{Changes, Dialect, Found, Which};
use super::github::{Pull, below, changing, opening};
use super::request::Draft;
use crate::rest::Place;

pub(super) struct Gitea;

impl Dialect for Gitea {
    fn noun(&self) -> &'static str {
        "pull request"
    }

    fn pages(&self) -> u32 {
        20
    }

    fn states(&self, which: Which) -> &'static [&'static str] {
        match which {
            Which::Open => &["open"],
            Which::Any => &["all"],
        }
    }

    fn list(&self, place: &Place, _head: &str, base: &str, state: &str, page: u32) -> Url {
        let mut url = self.all(place);
        // Without `sort` they come newest first. A server gives at most 50 unless it is set up otherwise.
        url.query_pairs_mut()
            .append_pair("state", state)
            .append_pair("base_branch", base)
            .append_pair("limit", "50")
            .append_pair("page", &page.to_string());
        url
    }

    fn any(&self, place: &Place, head: &str, base: &str) -> Option<Url> {
        Some(below(place, &["pulls", base, head]))
    }

    fn listed(&self, answer: &[u8], head: &str, base: &str) -> serde_json::Result<Vec<Found>> {
        let pulls: Vec<Pull> = serde_json::from_slice(answer)?;
        // When the branch is gone, `ref` is the request's own.
        let fits = |pull: &Pull| {
            pull.is_of_one_repository()
                && pull.head.label.as_deref() == Some(head)
                && pull.base.label.as_deref() == Some(base)
        };
        Ok(pulls.into_iter().filter(fits).map(Found::from).collect())
    }

    fn all(&self, place: &Place) -> Url {
        below(place, &["pulls"])
    }

    fn one(&self, place: &Place, number: u64) -> Url {
        below(place, &["pulls", &number.to_string()])
    }

    fn found(&self, answer: &[u8]) -> serde_json::Result<Found> {
        serde_json::from_slice::<Pull>(answer).map(Found::from)
    }

    fn opening(&self, draft: &Draft<'_>) -> Value {
        opening(draft)
    }

    fn takes_labels(&self) -> bool {
        false
    }

    fn change(&self) -> Method {
        Method::PATCH
    }

    fn changing(&self, changes: &Changes<'_>) -> Value {
        changing(changes)
    }

    fn closing(&self) -> Value {
        json!({"state": "closed"})
    }
}
