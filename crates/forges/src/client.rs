//! The client that opens, updates, finds and closes pull requests.

use super::comments::Comments;
use super::dialect::{LabelPlacement, RequestChanges, RequestFilter, ServerRequest};
use super::labels::Labels;
use super::lookup::newest_request;
use super::refusal::{RefusedOperation, says_that_it_exists};
use super::refused_labels::RefusedLabels;
use super::request::{
    Branches, DesiredPullRequest, MissingLabels, PreparedRequest, PullRequest, PullRequestState, normal_body,
    one_line_title, text_to_send,
};
use super::reviewers::{MissingReviewers, Reviewers};
use super::server::Server;
use super::title::title_to_set;
use forge_rest::{ApiClient, AppPermissions, Error, ForgeCredentials, ForgeRepository, RequestConfig};

/// What the tokens of a GitHub App are for.
const PERMISSIONS: AppPermissions = AppPermissions {
    requested: &[("contents", "read"), ("pull_requests", "write")],
    shown: "Pull requests: read and write and Contents: read",
};

/// The same for making labels. A request for permissions that the App was not given is refused, so
/// this is a token of its own.
const LABEL_PERMISSIONS: AppPermissions = AppPermissions {
    requested: &[
        ("contents", "read"),
        ("pull_requests", "write"),
        ("issues", "write"),
    ],
    shown: "Issues: read and write, Pull requests: read and write and Contents: read",
};

/// When to ask again for labels that were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskAgain {
    /// After some minutes.
    Later,
    /// Now.
    Now,
}

/// A client for the requests of one repository.
///
/// Meant to be reused: it holds the tokens of a GitHub App, and sends nothing while the server
/// limits requests.
pub struct PullRequestClient {
    server: Server,
    /// Makes labels where a GitHub App may.
    label_maker: Option<ApiClient>,
    refused_labels: RefusedLabels,
}

impl PullRequestClient {
    /// Makes a client.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] or [`Error::Unavailable`] where TLS cannot be set up.
    pub fn new(
        config: &RequestConfig,
        repository: ForgeRepository,
        credentials: ForgeCredentials,
    ) -> Result<Self, Error> {
        let label_maker = credentials
            .is_app()
            .then(|| ApiClient::new(config, credentials.clone(), &LABEL_PERMISSIONS))
            .transpose()?;
        let client = ApiClient::new(config, credentials, &PERMISSIONS)?;
        Ok(Self {
            server: Server::new(client, repository),
            label_maker,
            refused_labels: RefusedLabels::default(),
        })
    }

    /// Ensures that a request is open between two branches, with this title and text and at least
    /// these labels.
    ///
    /// Only what differs is written. A closed request is not reopened: a new one is opened. If
    /// labels cannot be added, it is open without them, and says so
    /// ([`PullRequest::missing_labels`]).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if there is nothing to merge or a branch does not exist; if
    /// [`Error::is_transient`], it may be repeated unchanged.
    pub async fn ensure(&self, request: &DesiredPullRequest<'_>) -> Result<PullRequest, Error> {
        let prepared = PreparedRequest::new(self.server.repository.kind(), request)?;
        let client = &self.server.client;
        client.retry(|| self.ensure_once(&prepared)).await
    }

    async fn ensure_once(&self, prepared: &PreparedRequest<'_>) -> Result<PullRequest, Error> {
        let (server, branches) = (&self.server, prepared.branches);
        if let Some(found) = newest_request(server, branches, RequestFilter::Open).await? {
            return self.update(found, prepared).await;
        }
        let what = server.name_between(branches);
        let url = server.dialect.collection_url(&server.repository);
        let answer = server
            .post(url, &what, &server.dialect.opening_body(prepared))
            .await?;
        if answer.status.is_success() {
            let opened = server.read_request(&answer, &what)?;
            return self.add_missing_labels(opened, prepared).await;
        }
        if !says_that_it_exists(&answer) {
            return Err(server.refusal(&answer, &what, RefusedOperation::Opening));
        }
        match newest_request(server, branches, RequestFilter::Open).await? {
            Some(found) => self.update(found, prepared).await,
            None => Err(Error::Unavailable {
                host: server.repository.host(),
                what,
                reason: format!("{} (and it is not found)", answer.message),
            }),
        }
    }

    /// Returns the newest request between two branches, in any state.
    ///
    /// `None` if there never was one.
    ///
    /// # Errors
    ///
    /// As for [`PullRequestClient::ensure`].
    pub async fn find(&self, head: &str, base: &str) -> Result<Option<PullRequest>, Error> {
        let (server, branches) = (&self.server, Branches::validate(head, base)?);
        let look = || newest_request(server, branches, RequestFilter::Any);
        let found = server.client.retry(look).await?;
        Ok(found.map(|found| found.request))
    }

    /// Like [`PullRequestClient::find`], with title, text and labels.
    ///
    /// # Errors
    ///
    /// As for [`PullRequestClient::ensure`].
    pub async fn read(&self, head: &str, base: &str) -> Result<Option<ServerRequest>, Error> {
        let (server, branches) = (&self.server, Branches::validate(head, base)?);
        let look = || newest_request(server, branches, RequestFilter::Any);
        server.client.retry(look).await
    }

    /// Updates a request, as it was read, to this title and text, and at least these labels.
    ///
    /// Only what differs is written; the request's state stays.
    ///
    /// # Errors
    ///
    /// As for [`PullRequestClient::ensure`].
    pub async fn update_read(
        &self,
        found: &ServerRequest,
        request: &DesiredPullRequest<'_>,
    ) -> Result<PullRequest, Error> {
        let prepared = PreparedRequest::new(self.server.repository.kind(), request)?;
        let client = &self.server.client;
        client.retry(|| self.update(found.clone(), &prepared)).await
    }

    /// Whether a request has a title, apart from what makes it a draft.
    #[must_use]
    pub fn has_title(&self, found: &ServerRequest, title: &str) -> bool {
        title_to_set(self.server.repository.kind(), found, &one_line_title(title)).is_none()
    }

    /// Whether a request has a text, as the server keeps it.
    #[must_use]
    pub fn has_body(&self, found: &ServerRequest, body: &str) -> bool {
        normal_body(&found.body) == text_to_send(self.server.repository.kind(), body)
    }

    /// Asks people and teams (`owner/team`) to review a request.
    ///
    /// Returns those who could not be asked: the request is open, and goes on without them.
    ///
    /// # Errors
    ///
    /// As for [`PullRequestClient::ensure`].
    pub async fn ask_for_reviews(
        &self,
        number: u64,
        reviewers: &[String],
    ) -> Result<Option<MissingReviewers>, Error> {
        let asking = Reviewers { server: &self.server };
        let client = &self.server.client;
        client.retry(|| asking.ask(number, reviewers)).await
    }

    /// Comments on an open request, once, and closes it.
    ///
    /// One that is not open stays as it is.
    ///
    /// # Errors
    ///
    /// As for [`PullRequestClient::close`].
    pub async fn close_with(&self, number: u64, comment: &str) -> Result<(), Error> {
        let server = &self.server;
        let is_open = || async { Ok(self.state(number).await? == PullRequestState::Open) };
        if !server.client.retry(is_open).await? {
            return Ok(());
        }
        let comments = Comments { server };
        server.client.retry(|| comments.say_once(number, comment)).await?;
        self.close(number).await
    }

    /// Closes a request.
    ///
    /// One that is not open stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] where there is no such request; others as for
    /// [`PullRequestClient::ensure`].
    pub async fn close(&self, number: u64) -> Result<(), Error> {
        self.server.client.retry(|| self.close_once(number)).await
    }

    async fn close_once(&self, number: u64) -> Result<(), Error> {
        if self.state(number).await? != PullRequestState::Open {
            return Ok(());
        }
        let server = &self.server;
        let answer = server.send_change(number, &server.dialect.closing_body()).await?;
        // It may have been merged or closed in between.
        if answer.status.is_success() || self.state(number).await? != PullRequestState::Open {
            return Ok(());
        }
        Err(server.refusal(&answer, &server.request_name(number), RefusedOperation::Requests))
    }

    async fn state(&self, number: u64) -> Result<PullRequestState, Error> {
        let server = &self.server;
        let what = server.request_name(number);
        let url = server.dialect.request_url(&server.repository, number);
        let answer = server.get(url, &what).await?;
        if !answer.status.is_success() {
            return Err(server.refusal(&answer, &what, RefusedOperation::Requests));
        }
        Ok(server.read_request(&answer, &what)?.request.state)
    }

    /// Adds labels that a request could not be given before.
    ///
    /// Returns those that it still lacks.
    ///
    /// # Errors
    ///
    /// As for [`PullRequestClient::ensure`].
    pub async fn add_labels(
        &self,
        number: u64,
        labels: &[String],
        again: AskAgain,
    ) -> Result<Option<MissingLabels>, Error> {
        let refused = self.refused_labels.recall(number, labels);
        if let Some(missing) = refused.filter(|_| again == AskAgain::Later) {
            return Ok(Some(missing));
        }
        let names: Vec<&str> = labels.iter().map(String::as_str).collect();
        let (client, writer) = (&self.server.client, self.labels());
        let missing = client.retry(|| writer.add(number, &names)).await?;
        self.refused_labels.remember(number, missing.as_ref());
        Ok(missing)
    }

    fn labels(&self) -> Labels<'_> {
        Labels {
            server: &self.server,
            label_maker: self.label_maker.as_ref(),
        }
    }

    /// Changes what differs.
    async fn update(
        &self,
        mut found: ServerRequest,
        prepared: &PreparedRequest<'_>,
    ) -> Result<PullRequest, Error> {
        let server = &self.server;
        let mut changes = RequestChanges {
            title: title_to_set(server.repository.kind(), &found, &prepared.title),
            body: (normal_body(&found.body) != prepared.body).then_some(prepared.body.as_str()),
            labels: Vec::new(),
        };
        if server.dialect.label_placement() == LabelPlacement::InRequest {
            changes.labels = prepared.missing_labels(&found.labels);
        }
        if changes != RequestChanges::default() {
            let number = found.request.number;
            let answer = server.change(number, &changes).await?;
            if !changes.labels.is_empty() {
                found.labels = server.read_request(&answer, &server.request_name(number))?.labels;
            }
        }
        self.add_missing_labels(found, prepared).await
    }

    /// Adds the labels that a request lacks, if they are not part of it.
    async fn add_missing_labels(
        &self,
        found: ServerRequest,
        prepared: &PreparedRequest<'_>,
    ) -> Result<PullRequest, Error> {
        let missing = prepared.missing_labels(&found.labels);
        let number = found.request.number;
        let missing_labels = if missing.is_empty() {
            None
        } else {
            match self.server.dialect.label_placement() {
                LabelPlacement::InRequest => Some(self.labels().labels_left_out(number, &missing)),
                LabelPlacement::Beside => self.labels().add(number, &missing).await?,
            }
        };
        self.refused_labels.remember(number, missing_labels.as_ref());
        Ok(PullRequest {
            missing_labels,
            ..found.request
        })
    }
}
