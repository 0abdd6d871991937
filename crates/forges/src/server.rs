//! A repository's server, as it is asked for requests.

use reqwest::{Method, Url};
use serde_json::Value;

use super::Error;
use super::dialect::{Dialect, RequestChanges, ServerRequest};
use super::gitea::GiteaDialect;
use super::github::GitHubDialect;
use super::gitlab::GitLabDialect;
use super::refusal::{RefusedOperation, refusal};
use super::request::Branches;
use forge_rest::{ApiAnswer, ApiClient, ApiRequest, ForgeKind, ForgeRepository, unreadable_answer};

/// A repository's server, with the login for it.
pub(super) struct Server {
    pub(super) client: ApiClient,
    pub(super) repository: ForgeRepository,
    pub(super) dialect: &'static dyn Dialect,
}

impl Server {
    pub(super) fn new(client: ApiClient, repository: ForgeRepository) -> Self {
        let dialect: &'static dyn Dialect = match repository.kind() {
            ForgeKind::GitHub => &GitHubDialect,
            ForgeKind::GitLab => &GitLabDialect,
            ForgeKind::Gitea => &GiteaDialect,
        };
        Self {
            client,
            repository,
            dialect,
        }
    }

    pub(super) async fn get(&self, url: Url, what: &str) -> Result<ApiAnswer, Error> {
        self.client
            .send(&self.repository, &ApiRequest::get(url, what))
            .await
    }

    pub(super) async fn post(&self, url: Url, what: &str, body: &Value) -> Result<ApiAnswer, Error> {
        let request = ApiRequest::new(Method::POST, url, what).with_json(body);
        self.client.send(&self.repository, &request).await
    }

    /// Changes a request, and returns the answer whatever it is.
    pub(super) async fn send_change(&self, number: u64, body: &Value) -> Result<ApiAnswer, Error> {
        let what = self.request_name(number);
        let url = self.dialect.request_url(&self.repository, number);
        let request = ApiRequest::new(self.dialect.change_method(), url, &what).with_json(body);
        self.client.send(&self.repository, &request).await
    }

    /// Changes a request.
    pub(super) async fn change(&self, number: u64, changes: &RequestChanges<'_>) -> Result<ApiAnswer, Error> {
        let answer = self
            .send_change(number, &self.dialect.change_body(changes))
            .await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(self.refusal(&answer, &self.request_name(number), RefusedOperation::Requests))
    }

    /// Reads a request that was fetched, opened or changed.
    pub(super) fn read_request(&self, answer: &ApiAnswer, what: &str) -> Result<ServerRequest, Error> {
        let request = self.dialect.read_one(&answer.body);
        request.map_err(|error| unreadable_answer(&error, &self.repository.host(), what))
    }

    /// Describes why an answer is not a success.
    pub(super) fn refusal(&self, answer: &ApiAnswer, what: &str, operation: RefusedOperation) -> Error {
        refusal(answer, &self.repository, what, operation)
    }

    /// A request between two branches as messages name it.
    pub(super) fn name_between(&self, branches: Branches<'_>) -> String {
        let (noun, Branches { head, base }) = (self.dialect.request_noun(), branches);
        format!("{noun} from {head} to {base} of {}", self.repository.full_name())
    }

    /// A request as messages name it.
    pub(super) fn request_name(&self, number: u64) -> String {
        let noun = self.dialect.request_noun();
        format!("{noun} {number} of {}", self.repository.full_name())
    }
}
