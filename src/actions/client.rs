//! The client of GitHub's API that starts workflows and follows their runs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use forge_rest::{ApiAnswer, ApiClient, ApiRequest, AppPermissions, Error, ForgeCredentials};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{ETAG, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::refusal::{ActionsSubject, refusal};
use super::run::{RunState, WireRun};
use super::{ActionsConfig, RequestId, Run, RunId, Workflow};

/// The largest inputs of a dispatch, in characters (GitHub's limit).
const MAX_INPUT_CHARACTERS: usize = 65_535;
/// How many pages of 100 are read: GitHub lists no more than 1,000 runs of a search.
const MAX_PAGES: u32 = 10;
/// How far the search for a run reaches back before the given time, to allow for clock skew.
const CLOCK_MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// How many runs are remembered for conditional requests.
const MOST_KNOWN_RUNS: usize = 512;

/// What the tokens of an App are for: to start, follow and cancel runs.
const PERMISSIONS: AppPermissions = AppPermissions {
    requested: &[("actions", "write")],
    shown: "Actions: read and write",
};

/// A client for one login.
///
/// It is meant to be kept: it holds the tokens of a GitHub App, remembers runs so that looking at
/// an unchanged one costs no request of the rate limit, and sends nothing while the server wants no
/// requests.
pub struct ActionsClient {
    pub(super) rest: ApiClient,
    pub(super) max_log_bytes: usize,
    known_runs: Mutex<HashMap<Url, (HeaderValue, Run)>>,
}

#[derive(Deserialize)]
struct DispatchAnswer {
    workflow_run_id: Option<RunId>,
}

#[derive(Deserialize)]
struct RunList {
    workflow_runs: Vec<WireRun>,
}

impl ActionsClient {
    /// Makes a client.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] or [`Error::Unavailable`] where TLS cannot be set up.
    pub fn new(config: &ActionsConfig, credentials: ForgeCredentials) -> Result<Self, Error> {
        Ok(Self {
            rest: ApiClient::new(&config.requests, credentials, &PERMISSIONS)?,
            max_log_bytes: config.max_log_bytes,
            known_runs: Mutex::default(),
        })
    }

    /// Starts a workflow with the inputs `request_id` and `build`, the latter one JSON text.
    ///
    /// Returns the run's number, which servers before Enterprise Server 3.21 do not send: there
    /// [`ActionsClient::find_run`] finds it a few seconds later.
    ///
    /// # Errors
    ///
    /// [`Error::Ambiguous`] where a run may have been started although no answer says so: look for
    /// it before dispatching again. After all other errors no run was started.
    pub async fn dispatch(
        &self,
        workflow: &Workflow,
        request_id: &RequestId,
        build: &str,
    ) -> Result<Option<RunId>, Error> {
        if build.chars().count() + request_id.as_str().len() > MAX_INPUT_CHARACTERS {
            return Err(Error::TooLarge {
                what: format!("what {} is started with", workflow.display_name()),
                limit: format!("the {MAX_INPUT_CHARACTERS} characters that GitHub takes"),
            });
        }
        let mut body = serde_json::json!({
            "ref": workflow.reference,
            "inputs": {"request_id": request_id.as_str(), "build": build},
            "return_run_details": true,
        });
        let mut answer = self.dispatch_once(workflow, &body).await?;
        // Older Enterprise Servers refuse a key that they do not know.
        if answer.status.is_client_error() && answer.message.contains("return_run_details") {
            if let Some(fields) = body.as_object_mut() {
                fields.remove("return_run_details");
            }
            answer = self.dispatch_once(workflow, &body).await?;
        }
        if !answer.status.is_success() {
            return Err(refusal(
                &answer,
                workflow,
                &workflow.display_name(),
                ActionsSubject::Workflow,
            ));
        }
        let dispatched = serde_json::from_slice::<DispatchAnswer>(&answer.body).ok();
        Ok(dispatched.and_then(|answer| answer.workflow_run_id))
    }

    async fn dispatch_once(&self, workflow: &Workflow, body: &serde_json::Value) -> Result<ApiAnswer, Error> {
        let url = workflow.actions_url(&["workflows", &workflow.file, "dispatches"]);
        let what = workflow.display_name();
        let request = ApiRequest::new(Method::POST, url, &what).with_json(body);
        let request = request.not_idempotent();
        self.rest.send(&workflow.repository, &request).await
    }

    /// Finds the run that has a request's id in its title, among those that were dispatched since a
    /// time (with five minutes to spare for clock skew).
    ///
    /// Returns the first if there are several.
    ///
    /// A run is listed some seconds after its dispatch: until then, its absence means nothing.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] where there are more than 1,000 runs and it is not among them: then it
    /// is not known whether there is one.
    pub async fn find_run(
        &self,
        workflow: &Workflow,
        request_id: &RequestId,
        since: Timestamp,
    ) -> Result<Option<Run>, Error> {
        let since = since.checked_sub(CLOCK_MARGIN).unwrap_or(Timestamp::UNIX_EPOCH);
        let created = since.strftime(">=%Y-%m-%dT%H:%M:%SZ").to_string();
        let what = workflow.display_name();
        for page in 1..=MAX_PAGES {
            let mut url = workflow.actions_url(&["workflows", &workflow.file, "runs"]);
            url.query_pairs_mut()
                .append_pair("event", "workflow_dispatch")
                .append_pair("created", &created)
                .append_pair("exclude_pull_requests", "true")
                .append_pair("per_page", "100")
                .append_pair("page", &page.to_string());
            let answer = self.get(workflow, url, &what, None).await?;
            if !answer.status.is_success() {
                return Err(refusal(&answer, workflow, &what, ActionsSubject::Workflow));
            }
            let runs: RunList = answer.read_json(&workflow.repository.host(), &what)?;
            let is_titled = |run: &WireRun| {
                let titles = [&run.display_title, &run.name];
                titles.into_iter().flatten().any(|title| request_id.is_in(title))
            };
            let found = runs.workflow_runs.into_iter().filter(is_titled);
            if let Some(run) = found.min_by_key(|run| run.id) {
                return Ok(Some(run.into()));
            }
            if !answer.has_next_page() {
                return Ok(None);
            }
        }
        Err(Error::TooLarge {
            what: format!("the number of runs of {what} since {since}"),
            limit: format!("the {} that can be looked through", MAX_PAGES * 100),
        })
    }

    /// Looks at a run.
    ///
    /// An unchanged one costs no request of the rate limit.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if it is gone; any other but [`Error::Ambiguous`].
    pub async fn look_at_run(&self, workflow: &Workflow, id: RunId) -> Result<Run, Error> {
        let url = workflow.actions_url(&["runs", &id.to_string()]);
        let what = workflow.run_name(id);
        let known = self.known_runs().get(&url).cloned();
        let etag = known.as_ref().map(|(etag, _)| etag.clone());
        let answer = self.get(workflow, url.clone(), &what, etag).await?;
        if let (StatusCode::NOT_MODIFIED, Some((_, run))) = (answer.status, known) {
            return Ok(run);
        }
        if !answer.status.is_success() {
            self.known_runs().remove(&url);
            return Err(refusal(&answer, workflow, &what, ActionsSubject::Run));
        }
        let run: WireRun = answer.read_json(&workflow.repository.host(), &what)?;
        let run = Run::from(run);
        let mut known_runs = self.known_runs();
        match answer.headers.get(ETAG) {
            // A completed run is hardly looked at again.
            Some(etag) if !matches!(run.state, RunState::Completed(_)) => {
                if known_runs.len() >= MOST_KNOWN_RUNS && !known_runs.contains_key(&url) {
                    known_runs.clear();
                }
                known_runs.insert(url, (etag.clone(), run.clone()));
            }
            _ => drop(known_runs.remove(&url)),
        }
        Ok(run)
    }

    /// Asks for a run to be cancelled, which takes a while.
    ///
    /// Returns whether there was anything to cancel: false for a run that is over.
    ///
    /// # Errors
    ///
    /// As for [`ActionsClient::look_at_run`].
    pub async fn cancel(&self, workflow: &Workflow, id: RunId) -> Result<bool, Error> {
        let what = format!("to cancel {}", workflow.run_name(id));
        let url = workflow.actions_url(&["runs", &id.to_string(), "cancel"]);
        let request = ApiRequest::new(Method::POST, url, &what);
        let send = || self.rest.send(&workflow.repository, &request);
        let answer = self.rest.retry(send).await?;
        if answer.status == StatusCode::CONFLICT {
            // GitHub says so of a run that is over, and of one that cannot be cancelled yet.
            let run = self.look_at_run(workflow, id).await?;
            if matches!(run.state, RunState::Completed(_)) {
                return Ok(false);
            }
        }
        if !answer.status.is_success() {
            return Err(refusal(&answer, workflow, &what, ActionsSubject::Run));
        }
        Ok(true)
    }

    /// Sends a GET request, and repeats it if it fails on the way.
    pub(super) async fn get(
        &self,
        workflow: &Workflow,
        url: Url,
        what: &str,
        etag: Option<HeaderValue>,
    ) -> Result<ApiAnswer, Error> {
        let request = ApiRequest::get(url, what).with_etag(etag);
        let send = || self.rest.send(&workflow.repository, &request);
        self.rest.retry(send).await
    }

    fn known_runs(&self) -> std::sync::MutexGuard<'_, HashMap<Url, (HeaderValue, Run)>> {
        self.known_runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
