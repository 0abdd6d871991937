//! The form of pull requests that GitHub defined and Gitea adopted.

use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::dialect::{
    Dialect, LabelPlacement, ListPage, RequestChanges, RequestFilter, ServerRequest, page_address,
    present_fields,
};
use super::request::{Branches, PreparedRequest, PullRequest, PullRequestState, Readiness};
use forge_rest::ForgeRepository;

/// A pull request, as GitHub and Gitea give it.
#[derive(Deserialize)]
pub(super) struct WirePull {
    number: u64,
    html_url: Option<String>,
    state: PullState,
    merged_at: Option<String>,
    /// GitHub has it only in the answer for a single request.
    merged: Option<bool>,
    title: Option<String>,
    draft: Option<bool>,
    body: Option<String>,
    labels: Option<Vec<WireLabel>>,
    pub(super) head: WireBranch,
    pub(super) base: WireBranch,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum PullState {
    Open,
    #[serde(other)]
    Closed,
}

#[derive(Deserialize)]
struct WireLabel {
    name: String,
}

/// A branch of a repository; without the repository if that was deleted.
#[derive(Deserialize)]
pub(super) struct WireBranch {
    #[serde(rename = "ref")]
    pub(super) reference: Option<String>,
    /// For Gitea, the branch's name, even when the branch is gone.
    pub(super) label: Option<String>,
    repo: Option<WireRepository>,
}

#[derive(Deserialize)]
struct WireRepository {
    id: u64,
}

impl WirePull {
    /// Whether both branches are of one repository, rather than one of a fork.
    fn is_of_one_repository(&self) -> bool {
        let id = |branch: &WireBranch| branch.repo.as_ref().map(|repo| repo.id);
        id(&self.base).is_some() && id(&self.head) == id(&self.base)
    }
}

impl From<WirePull> for ServerRequest {
    fn from(pull: WirePull) -> Self {
        let state = if pull.merged == Some(true) || pull.merged_at.is_some() {
            PullRequestState::Merged
        } else if pull.state == PullState::Open {
            PullRequestState::Open
        } else {
            PullRequestState::Closed
        };
        let labels = pull.labels.unwrap_or_default().into_iter();
        Self {
            request: PullRequest {
                number: pull.number,
                url: page_address(pull.html_url),
                state,
                missing_labels: None,
            },
            is_draft: pull.draft.unwrap_or_default(),
            title: pull.title.unwrap_or_default(),
            body: pull.body.unwrap_or_default(),
            labels: labels.map(|label| label.name).collect(),
        }
    }
}

/// What the servers with this form differ in.
pub(super) trait PullsDialect: Sync {
    /// How many pages of a list are read at most.
    fn max_pages(&self) -> u32;

    /// A page of the pull requests between two branches, newest first. It may have others as well.
    fn list_url(&self, pulls: Url, repository: &ForgeRepository, page: ListPage<'_>) -> Url;

    /// Where a server returns some request between two branches, or 404 if there is none.
    fn between_url(&self, _repository: &ForgeRepository, _branches: Branches<'_>) -> Option<Url> {
        None
    }

    /// The name of a pull request's branch.
    fn branch_name<'a>(&self, branch: &'a WireBranch) -> Option<&'a str>;

    /// Whether a field, and not the title, makes a new request a draft.
    fn has_draft_field(&self) -> bool;

    /// The title to open a pull request with.
    fn opening_title(&self, request: &PreparedRequest<'_>) -> String {
        request.title.clone()
    }
}

impl<T: PullsDialect> Dialect for T {
    fn request_noun(&self) -> &'static str {
        "pull request"
    }

    fn max_pages(&self) -> u32 {
        PullsDialect::max_pages(self)
    }

    fn states(&self, filter: RequestFilter) -> &'static [&'static str] {
        match filter {
            RequestFilter::Open => &["open"],
            RequestFilter::Any => &["all"],
        }
    }

    fn list_url(&self, repository: &ForgeRepository, page: ListPage<'_>) -> Url {
        PullsDialect::list_url(self, self.collection_url(repository), repository, page)
    }

    fn between_url(&self, repository: &ForgeRepository, branches: Branches<'_>) -> Option<Url> {
        PullsDialect::between_url(self, repository, branches)
    }

    fn read_list(&self, answer: &[u8], branches: Branches<'_>) -> serde_json::Result<Vec<ServerRequest>> {
        let pulls: Vec<WirePull> = serde_json::from_slice(answer)?;
        let is_between = |pull: &WirePull| {
            pull.is_of_one_repository()
                && self.branch_name(&pull.head) == Some(branches.head)
                && self.branch_name(&pull.base) == Some(branches.base)
        };
        let between = pulls.into_iter().filter(is_between);
        Ok(between.map(ServerRequest::from).collect())
    }

    fn collection(&self) -> &'static str {
        "pulls"
    }

    fn read_one(&self, answer: &[u8]) -> serde_json::Result<ServerRequest> {
        serde_json::from_slice::<WirePull>(answer).map(ServerRequest::from)
    }

    fn opening_body(&self, request: &PreparedRequest<'_>) -> Value {
        let Branches { head, base } = request.branches;
        let title = self.opening_title(request);
        let mut body = json!({"title": title, "head": head, "base": base, "body": request.body});
        if request.readiness == Readiness::Draft && self.has_draft_field() {
            body["draft"] = true.into();
        }
        body
    }

    fn label_placement(&self) -> LabelPlacement {
        LabelPlacement::Beside
    }

    fn change_method(&self) -> Method {
        Method::PATCH
    }

    fn change_body(&self, changes: &RequestChanges<'_>) -> Value {
        present_fields([("title", changes.title.as_deref()), ("body", changes.body)])
    }

    fn closing_body(&self) -> Value {
        json!({"state": "closed"})
    }

    fn comments_url(&self, repository: &ForgeRepository, number: u64) -> Url {
        repository.endpoint(&["issues", &number.to_string(), "comments"])
    }
}
