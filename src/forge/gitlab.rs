//! GitLab's merge requests.

use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::dialect::{Changes, Dialect, Found, Which, page};
use super::request::{Draft, PullRequest, State};
use crate::rest::Place;

pub(super) struct GitLab;

#[derive(Deserialize)]
struct MergeRequest {
    iid: u64,
    web_url: Option<String>,
    state: String,
    title: Option<String>,
    draft: Option<bool>,
    description: Option<String>,
    labels: Option<Vec<String>>,
    source_branch: String,
    target_branch: String,
    /// None where the fork was deleted.
    source_project_id: Option<u64>,
    target_project_id: u64,
}

impl From<MergeRequest> for Found {
    fn from(merge: MergeRequest) -> Self {
        let state = match merge.state.as_str() {
            "merged" => State::Merged,
            "closed" => State::Closed,
            // `opened`, and `locked` while it is being merged.
            _ => State::Open,
        };
        Self {
            request: PullRequest {
                number: merge.iid,
                url: page(merge.web_url),
                state,
                lacks: None,
            },
            is_draft: merge.draft.unwrap_or_default(),
            title: merge.title.unwrap_or_default(),
            body: merge.description.unwrap_or_default(),
            labels: merge.labels.unwrap_or_default(),
        }
    }
}

impl Dialect for GitLab {
    fn noun(&self) -> &'static str {
        "merge request"
    }

    fn pages(&self) -> u32 {
        10
    }

    fn states(&self, which: Which) -> &'static [&'static str] {
        match which {
            Which::Open => &["opened", "locked"],
            Which::Any => &["all"],
        }
    }

    fn list(&self, place: &Place, head: &str, base: &str, state: &str, page: u32) -> Url {
        let mut url = self.all(place);
        url.query_pairs_mut()
            .append_pair("scope", "all")
            .append_pair("state", state)
            .append_pair("source_branch", head)
            .append_pair("target_branch", base)
            .append_pair("order_by", "created_at")
            .append_pair("sort", "desc")
            .append_pair("per_page", "20")
            .append_pair("page", &page.to_string());
        url
    }

    fn listed(&self, answer: &[u8], head: &str, base: &str) -> serde_json::Result<Vec<Found>> {
        let merges: Vec<MergeRequest> = serde_json::from_slice(answer)?;
        // Forks may have a branch of the same name.
        let fits = |merge: &MergeRequest| {
            merge.source_project_id == Some(merge.target_project_id)
                && merge.source_branch == head
                && merge.target_branch == base
        };
        Ok(merges.into_iter().filter(fits).map(Found::from).collect())
    }

    fn all(&self, place: &Place) -> Url {
        place.base.at(["projects", &place.full_name(), "merge_requests"])
    }

    fn one(&self, place: &Place, number: u64) -> Url {
        place.base.at([
            "projects",
            &place.full_name(),
            "merge_requests",
            &number.to_string(),
        ])
    }

    fn found(&self, answer: &[u8]) -> serde_json::Result<Found> {
        serde_json::from_slice::<MergeRequest>(answer).map(Found::from)
    }

    fn opening(&self, draft: &Draft<'_>) -> Value {
        let mut body = json!({
            "source_branch": draft.head, "target_branch": draft.base,
            "title": draft.title, "description": draft.body,
        });
        if !draft.labels.is_empty() {
            body["labels"] = draft.labels.join(",").into();
        }
        body
    }

    fn takes_labels(&self) -> bool {
        true
    }

    fn change(&self) -> Method {
        Method::PUT
    }

    fn changing(&self, changes: &Changes<'_>) -> Value {
        let labels = (!changes.labels.is_empty()).then(|| changes.labels.join(","));
        let fields = [
            ("title", changes.title.as_deref()),
            ("description", changes.body),
            ("add_labels", labels.as_deref()),
        ];
        let fields = fields.into_iter();
        let fields: Map<_, _> = fields
            .filter_map(|(name, text)| Some((name.to_owned(), Value::from(text?))))
            .collect();
        Value::Object(fields)
    }

    fn closing(&self) -> Value {
        json!({"state_event": "close"})
    }
}
