//! GitHub's pull requests, whose form Gitea has taken over.

use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::dialect::{Changes, Dialect, Found, Which, page};
use super::request::{Draft, PullRequest, State};
use crate::rest::Place;

pub(super) struct GitHub;

/// A pull request, as GitHub and Gitea give it.
#[derive(Deserialize)]
pub(super) struct Pull {
    number: u64,
    html_url: Option<String>,
    state: String,
    merged_at: Option<String>,
    /// GitHub has it only where one request is asked for.
    merged: Option<bool>,
    title: Option<String>,
    draft: Option<bool>,
    body: Option<String>,
    labels: Option<Vec<Label>>,
    pub(super) head: Branch,
    pub(super) base: Branch,
}

#[derive(Deserialize)]
pub(super) struct Label {
    name: String,
}

/// A branch of a repository; there is no repository any more where that was deleted.
#[derive(Deserialize)]
pub(super) struct Branch {
    #[serde(rename = "ref")]
    pub(super) reference: Option<String>,
    /// Of Gitea the branch's name, also when the branch is gone.
    pub(super) label: Option<String>,
    repo: Option<Repo>,
}

#[derive(Deserialize)]
struct Repo {
    id: u64,
}

impl Pull {
    /// Whether both branches are of one repository, rather than one of a fork.
    pub(super) fn is_of_one_repository(&self) -> bool {
        let id = |branch: &Branch| branch.repo.as_ref().map(|repo| repo.id);
        id(&self.base).is_some() && id(&self.head) == id(&self.base)
    }
}

impl From<Pull> for Found {
    fn from(pull: Pull) -> Self {
        let state = if pull.merged == Some(true) || pull.merged_at.is_some() {
            State::Merged
        } else if pull.state == "open" {
            State::Open
        } else {
            State::Closed
        };
        let labels = pull.labels.unwrap_or_default().into_iter();
        Self {
            request: PullRequest {
                number: pull.number,
                url: page(pull.html_url),
                state,
                lacks: None,
            },
            is_draft: pull.draft.unwrap_or_default(),
            title: pull.title.unwrap_or_default(),
            body: pull.body.unwrap_or_default(),
            labels: labels.map(|label| label.name).collect(),
        }
    }
}

/// The address of something below a repository.
pub(super) fn below(place: &Place, parts: &[&str]) -> Url {
    let start = ["repos", &place.owner, &place.name];
    place.base.at(start.into_iter().chain(parts.iter().copied()))
}

pub(super) fn opening(draft: &Draft<'_>) -> Value {
    json!({"title": draft.title, "head": draft.head, "base": draft.base, "body": draft.body})
}

pub(super) fn changing(changes: &Changes<'_>) -> Value {
    let fields = [("title", changes.title.as_deref()), ("body", changes.body)];
    let fields = fields.into_iter();
    let fields: Map<_, _> = fields
        .filter_map(|(name, text)| Some((name.to_owned(), Value::from(text?))))
        .collect();
    Value::Object(fields)
}

impl Dialect for GitHub {
    fn noun(&self) -> &'static str {
        "pull request"
    }

    fn pages(&self) -> u32 {
        10
    }

    fn states(&self, which: Which) -> &'static [&'static str] {
        match which {
            Which::Open => &["open"],
            Which::Any => &["all"],
        }
    }

    fn list(&self, place: &Place, head: &str, base: &str, state: &str, page: u32) -> Url {
        let mut url = self.all(place);
        url.query_pairs_mut()
            .append_pair("state", state)
            .append_pair("head", &format!("{}:{head}", place.owner))
            .append_pair("base", base)
            .append_pair("sort", "created")
            .append_pair("direction", "desc")
            .append_pair("per_page", "20")
            .append_pair("page", &page.to_string());
        url
    }

    fn listed(&self, answer: &[u8], head: &str, base: &str) -> serde_json::Result<Vec<Found>> {
        let pulls: Vec<Pull> = serde_json::from_slice(answer)?;
        let fits = |pull: &Pull| {
            pull.is_of_one_repository()
                && pull.head.reference.as_deref() == Some(head)
                && pull.base.reference.as_deref() == Some(base)
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
