//! Adds labels to requests.

use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Error;
use super::dialect::{LabelPlacement, RequestChanges};
use super::refusal::RefusedOperation;
use super::request::{MissingLabels, missing_labels, same_label};
use super::server::Server;
use forge_rest::{ApiClient, ApiRequest, ForgeKind};

/// How many pages of a repository's or organisation's labels are read at most.
const MAX_PAGES: u32 = 20;
/// The colour of labels that are made here: the one that GitHub gives to those that it makes.
const COLOUR: &str = "#ededed";

/// A label of Gitea.
#[derive(Deserialize)]
struct GiteaLabel {
    id: u64,
    name: String,
}

/// Labels, by whether their number is known.
struct LabelIds<'a> {
    missing: Vec<&'a str>,
    ids: Vec<Value>,
}

/// Who may own labels in Gitea.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LabelOwner {
    Repository,
    Organisation,
}

/// Adds labels to requests of one repository.
pub(super) struct Labels<'a> {
    pub(super) server: &'a Server,
    /// Makes labels where a GitHub App may.
    pub(super) label_maker: Option<&'a ApiClient>,
}

impl Labels<'_> {
    /// Adds labels to a request that lacks them.
    ///
    /// Returns those that it still lacks: the request is open, and goes on without them.
    pub(super) async fn add(&self, number: u64, labels: &[&str]) -> Result<Option<MissingLabels>, Error> {
        match self.server.dialect.label_placement() {
            LabelPlacement::InRequest => self.add_by_change(number, labels).await,
            LabelPlacement::Beside => self.add_beside(number, labels).await,
        }
    }

    async fn add_by_change(&self, number: u64, labels: &[&str]) -> Result<Option<MissingLabels>, Error> {
        let changes = RequestChanges {
            labels: labels.to_vec(),
            ..RequestChanges::default()
        };
        let answer = self.server.change(number, &changes).await?;
        let what = self.server.request_name(number);
        let there = self.server.read_request(&answer, &what)?.labels;
        let missing = missing_labels(labels, &there);
        Ok((!missing.is_empty()).then(|| self.labels_left_out(number, &missing)))
    }

    /// Returns labels that a server silently left out.
    pub(super) fn labels_left_out(&self, number: u64, labels: &[&str]) -> MissingLabels {
        MissingLabels {
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            reason: format!(
                "{}: {} has left them out: create them in the project, or give the token a role that may",
                self.server.repository.host(),
                self.server.request_name(number)
            ),
        }
    }

    /// Adds labels all together, and one by one if that is refused.
    async fn add_beside(&self, number: u64, labels: &[&str]) -> Result<Option<MissingLabels>, Error> {
        let Some(refusal) = refusal_of_labels(self.add_all(number, labels).await)? else {
            return Ok(None);
        };
        let mut refused = Vec::new();
        for label in labels {
            // A single label was already asked for alone.
            let is_refused =
                labels.len() == 1 || refusal_of_labels(self.add_all(number, &[label]).await)?.is_some();
            if is_refused {
                refused.push((*label).to_owned());
            }
        }
        Ok((!refused.is_empty()).then(|| MissingLabels {
            labels: refused,
            reason: refusal.to_string(),
        }))
    }

    /// Adds labels to a request, all or none. GitHub makes missing labels itself; for Gitea they
    /// are made here.
    async fn add_all(&self, number: u64, labels: &[&str]) -> Result<(), Error> {
        let repository = &self.server.repository;
        let what = format!("the labels of {}", self.server.request_name(number));
        let labels: Vec<Value> = match repository.kind() {
            ForgeKind::Gitea => self.gitea_ids(labels, &what).await?,
            ForgeKind::GitHub | ForgeKind::GitLab => labels.iter().map(|label| (*label).into()).collect(),
        };
        let url = repository.endpoint(&["issues", &number.to_string(), "labels"]);
        let request = ApiRequest::new(Method::POST, url, &what).with_json(&json!({"labels": labels}));
        let answer = self.server.client.send(repository, &request).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        if answer.status == StatusCode::FORBIDDEN
            && let Some(label_maker) = self.label_maker
        {
            match label_maker.send(repository, &request).await {
                Ok(answer) if answer.status.is_success() => return Ok(()),
                Err(error) if !is_refusal(&error) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Err(self.server.refusal(&answer, &what, RefusedOperation::Labels))
    }

    /// Returns Gitea's numbers of labels, making those that do not exist.
    async fn gitea_ids(&self, labels: &[&str], what: &str) -> Result<Vec<Value>, Error> {
        let server = self.server;
        let mut found = LabelIds {
            missing: labels.to_vec(),
            ids: Vec::new(),
        };
        for owner in [LabelOwner::Repository, LabelOwner::Organisation] {
            self.look_for(&mut found, owner, what).await?;
        }
        for label in found.missing {
            let body = json!({"name": label, "color": COLOUR});
            let answer = server
                .post(self.list_url(LabelOwner::Repository), what, &body)
                .await?;
            if !answer.status.is_success() {
                return Err(server.refusal(&answer, what, RefusedOperation::Labels));
            }
            let made: GiteaLabel = answer.read_json(&server.repository.host(), what)?;
            found.ids.push(made.id.into());
        }
        Ok(found.ids)
    }

    /// Looks for labels among the existing ones.
    async fn look_for(&self, found: &mut LabelIds<'_>, owner: LabelOwner, what: &str) -> Result<(), Error> {
        let server = self.server;
        for page in 1..=MAX_PAGES {
            if found.missing.is_empty() {
                return Ok(());
            }
            let mut url = self.list_url(owner);
            url.query_pairs_mut()
                .append_pair("limit", "50")
                .append_pair("page", &page.to_string());
            let answer = server.get(url, what).await?;
            if answer.status.is_client_error() && owner == LabelOwner::Organisation {
                // The owner is a user, or the token may not read the organisation's labels.
                return Ok(());
            }
            if !answer.status.is_success() {
                return Err(server.refusal(&answer, what, RefusedOperation::Labels));
            }
            let there: Vec<GiteaLabel> = answer.read_json(&server.repository.host(), what)?;
            let LabelIds { missing, ids } = found;
            missing.retain(|label| {
                let known = there.iter().find(|known| same_label(&known.name, label));
                ids.extend(known.map(|known| Value::from(known.id)));
                known.is_none()
            });
            if !answer.has_next_page() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn list_url(&self, owner: LabelOwner) -> Url {
        let repository = &self.server.repository;
        match owner {
            LabelOwner::Repository => repository.endpoint(&["labels"]),
            LabelOwner::Organisation => {
                repository
                    .base_url()
                    .endpoint(["orgs", repository.owner(), "labels"])
            }
        }
    }
}

/// Separates a refusal of labels, `Some`, from other errors.
fn refusal_of_labels(result: Result<(), Error>) -> Result<Option<Error>, Error> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if is_refusal(&error) => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

/// Whether a server refuses what a request is to be given: it was reached, and took the login.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::Forbidden { .. } | Error::NotFound { .. } | Error::Refused { .. }
    )
}
