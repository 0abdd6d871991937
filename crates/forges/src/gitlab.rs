//! GitLab's merge requests.

use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::dialect::{
    Dialect, LabelPlacement, ListPage, RequestChanges, RequestFilter, ServerRequest, page_address,
    present_fields,
};
use super::request::{Branches, PreparedRequest, PullRequest, PullRequestState};
use super::title::title_to_open;
use forge_rest::ForgeRepository;

pub(super) struct GitLabDialect;

#[derive(Deserialize)]
struct WireMergeRequest {
    iid: u64,
    web_url: Option<String>,
    state: MergeRequestState,
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

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum MergeRequestState {
    Merged,
    Closed,
    /// `opened`, and `locked` while it is being merged.
    #[serde(other)]
    Open,
}

impl From<WireMergeRequest> for ServerRequest {
    fn from(merge: WireMergeRequest) -> Self {
        let state = match merge.state {
            MergeRequestState::Merged => PullRequestState::Merged,
            MergeRequestState::Closed => PullRequestState::Closed,
            MergeRequestState::Open => PullRequestState::Open,
        };
        Self {
            request: PullRequest {
                number: merge.iid,
                url: page_address(merge.web_url),
                state,
                missing_labels: None,
            },
            is_draft: merge.draft.unwrap_or_default(),
            title: merge.title.unwrap_or_default(),
            body: merge.description.unwrap_or_default(),
            labels: merge.labels.unwrap_or_default(),
        }
    }
}

impl Dialect for GitLabDialect {
    fn request_noun(&self) -> &'static str {
        "merge request"
    }

    fn max_pages(&self) -> u32 {
        10
    }

    fn states(&self, filter: RequestFilter) -> &'static [&'static str] {
        match filter {
            RequestFilter::Open => &["opened", "locked"],
            RequestFilter::Any => &["all"],
        }
    }

    fn list_url(&self, repository: &ForgeRepository, page: ListPage<'_>) -> Url {
        let mut url = self.collection_url(repository);
        url.query_pairs_mut()
            .append_pair("scope", "all")
            .append_pair("state", page.state)
            .append_pair("source_branch", page.branches.head)
            .append_pair("target_branch", page.branches.base)
            .append_pair("order_by", "created_at")
            .append_pair("sort", "desc")
            .append_pair("per_page", "20")
            .append_pair("page", &page.number.to_string());
        url
    }

    fn read_list(&self, answer: &[u8], branches: Branches<'_>) -> serde_json::Result<Vec<ServerRequest>> {
        let merges: Vec<WireMergeRequest> = serde_json::from_slice(answer)?;
        // Forks may have a branch of the same name.
        let is_between = |merge: &WireMergeRequest| {
            merge.source_project_id == Some(merge.target_project_id)
                && merge.source_branch == branches.head
                && merge.target_branch == branches.base
        };
        let between = merges.into_iter().filter(is_between);
        Ok(between.map(ServerRequest::from).collect())
    }

    fn collection(&self) -> &'static str {
        "merge_requests"
    }

    fn read_one(&self, answer: &[u8]) -> serde_json::Result<ServerRequest> {
        serde_json::from_slice::<WireMergeRequest>(answer).map(ServerRequest::from)
    }

    fn opening_body(&self, request: &PreparedRequest<'_>) -> Value {
        let mut body = json!({
            "source_branch": request.branches.head, "target_branch": request.branches.base,
            "title": title_to_open(request, "Draft:"), "description": request.body,
        });
        if !request.labels.is_empty() {
            body["labels"] = request.labels.join(",").into();
        }
        body
    }

    fn label_placement(&self) -> LabelPlacement {
        LabelPlacement::InRequest
    }

    fn change_method(&self) -> Method {
        Method::PUT
    }

    fn change_body(&self, changes: &RequestChanges<'_>) -> Value {
        let labels = (!changes.labels.is_empty()).then(|| changes.labels.join(","));
        present_fields([
            ("title", changes.title.as_deref()),
            ("description", changes.body),
            ("add_labels", labels.as_deref()),
        ])
    }

    fn closing_body(&self) -> Value {
        json!({"state_event": "close"})
    }

    fn comments_url(&self, repository: &ForgeRepository, number: u64) -> Url {
        repository.endpoint(&[self.collection(), &number.to_string(), "notes"])
    }
}
