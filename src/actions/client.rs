//! The client.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{ETAG, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::answers::{About, refusal};
use super::run::{State, WireRun};
use super::{Config, Credentials, Error, RequestId, Run, RunId, Workflow};
use crate::rest::{self, Answer, Ask, Permissions, has_next, read};

/// The largest inputs of a dispatch, in characters (GitHub's limit).
const LARGEST_INPUTS: usize = 65_535;
/// How many pages of 100 are read: GitHub lists no more than 1,000 runs of a search.
const PAGES: u32 = 10;
/// How far a look for a run reaches back before the time that it is given, for clocks that differ.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// How many runs are remembered for conditional requests.
const REMEMBERED: usize = 512;

/// What the tokens of an App are for: to start, follow and cancel runs.
const PERMISSIONS: Permissions = Permissions {
    wanted: &[("actions", "write")],
    shown: "Actions: read and write",
};

/// A client for one login.
///
/// It is meant to be kept: it holds the tokens of a GitHub App, remembers runs so that looking at an unchanged one costs
/// no request of the rate limit, and sends nothing while the server wants no requests.
pub struct Client {
    pub(super) rest: rest::Client,
    pub(super) log_bytes: usize,
    seen: Mutex<HashMap<Url, (HeaderValue, Run)>>,
}

#[derive(Deserialize)]
struct Dispatched {
    workflow_run_id: Option<RunId>,
}

#[derive(Deserialize)]
struct Runs {
    workflow_runs: Vec<WireRun>,
}

impl Client {
    /// Makes a client.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] or [`Error::Unavailable`] where TLS cannot be set up.
    pub fn new(config: &Config, credentials: Credentials) -> Result<Self, Error> {
        Ok(Self {
            rest: rest::Client::new(&config.requests(), credentials, &PERMISSIONS)?,
            log_bytes: config.log_bytes,
            seen: Mutex::default(),
        })
    }

    /// Starts a workflow with the inputs `request_id` and `build`, the latter one JSON text. It gives the run's number,
    /// which servers before Enterprise Server 3.21 do not tell: there [`Client::find_run`] finds it a few seconds later.
    ///
    /// # Errors
    ///
    /// [`Error::Ambiguous`] where a run may have been started although no answer says so: look for it before dispatching
    /// again. After all other errors no run was started.
    pub async fn dispatch(
        &self,
        workflow: &Workflow,
        request_id: &RequestId,
        build: &str,
    ) -> Result<Option<RunId>, Error> {
        if build.chars().count() + request_id.as_str().len() > LARGEST_INPUTS {
            return Err(Error::TooLarge {
                what: format!("what {} is started with", workflow.named()),
                limit: format!("the {LARGEST_INPUTS} characters that GitHub takes"),
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
            return Err(refusal(&answer, workflow, &workflow.named(), About::Workflow));
        }
        let told = serde_json::from_slice::<Dispatched>(&answer.body).ok();
        Ok(told.and_then(|told| told.workflow_run_id))
    }

    async fn dispatch_once(&self, workflow: &Workflow, body: &serde_json::Value) -> Result<Answer, Error> {
        let url = workflow.actions(&["workflows", &workflow.file, "dispatches"]);
        let what = workflow.named();
        let mut ask = Ask::new(Method::POST, url, &what);
        ask.body = Some(body.to_string().into_bytes());
        ask.once = true;
        self.rest.call(&workflow.place, &ask).await
    }

    /// Finds the run that has a request's id in its title, among those that were dispatched since a time (with five
    /// minutes to spare for clocks that differ). Where there are several it is the first of them.
    ///
    /// A run is listed some seconds after its dispatch: that there is none means something only later.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] where there are more than 1,000 runs and it is not among them: then it is not known whether
    /// there is one.
    pub async fn find_run(
        &self,
        workflow: &Workflow,
        request_id: &RequestId,
        since: Timestamp,
    ) -> Result<Option<Run>, Error> {
        let since = since.checked_sub(SKEW).unwrap_or(Timestamp::UNIX_EPOCH);
        let created = since.strftime(">=%Y-%m-%dT%H:%M:%SZ").to_string();
        let what = workflow.named();
        for page in 1..=PAGES {
            let mut url = workflow.actions(&["workflows", &workflow.file, "runs"]);
            url.query_pairs_mut()
                .append_pair("event", "workflow_dispatch")
                .append_pair("created", &created)
                .append_pair("exclude_pull_requests", "true")
                .append_pair("per_page", "100")
                .append_pair("page", &page.to_string());
            let answer = self.get(workflow, url, &what, None).await?;
            if !answer.status.is_success() {
                return Err(refusal(&answer, workflow, &what, About::Workflow));
            }
            let runs: Runs = read(&answer, &workflow.place.base.host(), &what)?;
            let titled = |run: &WireRun| {
                let titles = [&run.display_title, &run.name];
                titles.into_iter().flatten().any(|title| request_id.is_in(title))
            };
            let found = runs.workflow_runs.into_iter().filter(titled);
            if let Some(run) = found.min_by_key(|run| run.id) {
                return Ok(Some(run.into()));
            }
            if !has_next(&answer) {
                return Ok(None);
            }
        }
        Err(Error::TooLarge {
            what: format!("the number of runs of {what} since {since}"),
            limit: format!("the {} that can be looked through", PAGES * 100),
        })
    }

    /// Looks at a run. An unchanged one costs no request of the rate limit.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] where it is not there any more; any other but [`Error::Ambiguous`].
    pub async fn run(&self, workflow: &Workflow, id: RunId) -> Result<Run, Error> {
        let url = workflow.actions(&["runs", &id.to_string()]);
        let what = run_of(workflow, id);
        let known = self.seen().get(&url).cloned();
        let etag = known.as_ref().map(|(etag, _)| etag.clone());
        let answer = self.get(workflow, url.clone(), &what, etag).await?;
        if let (StatusCode::NOT_MODIFIED, Some((_, run))) = (answer.status, known) {
            return Ok(run);
        }
        if !answer.status.is_success() {
            self.seen().remove(&url);
            return Err(refusal(&answer, workflow, &what, About::Run));
        }
        let run: Run = read::<WireRun>(&answer, &workflow.place.base.host(), &what)?.into();
        let mut seen = self.seen();
        match answer.headers.get(ETAG) {
            // What is over is hardly looked at again.
            Some(etag) if !matches!(run.state, State::Completed(_)) => {
                if seen.len() >= REMEMBERED && !seen.contains_key(&url) {
                    seen.clear();
                }
                seen.insert(url, (etag.clone(), run.clone()));
            }
            _ => drop(seen.remove(&url)),
        }
        Ok(run)
    }

    /// Asks for a run to be cancelled, which takes a while. It gives whether there was anything to cancel: not so for a
    /// run that is over.
    ///
    /// # Errors
    ///
    /// As for [`Client::run`].
    pub async fn cancel(&self, workflow: &Workflow, id: RunId) -> Result<bool, Error> {
        let what = format!("to cancel {}", run_of(workflow, id));
        let url = workflow.actions(&["runs", &id.to_string(), "cancel"]);
        let ask = Ask::new(Method::POST, url, &what);
        let answer = self
            .rest
            .retried(|| self.rest.call(&workflow.place, &ask))
            .await?;
        if answer.status == StatusCode::CONFLICT {
            // GitHub says so of a run that is over, and of one that cannot be cancelled yet.
            let run = self.run(workflow, id).await?;
            if matches!(run.state, State::Completed(_)) {
                return Ok(false);
            }
        }
        if !answer.status.is_success() {
            return Err(refusal(&answer, workflow, &what, About::Run));
        }
        Ok(true)
    }

    /// Gets something, and tries again where that fails on the way.
    pub(super) async fn get(
        &self,
        workflow: &Workflow,
        url: Url,
        what: &str,
        etag: Option<HeaderValue>,
    ) -> Result<Answer, Error> {
        let mut ask = Ask::new(Method::GET, url, what);
        ask.etag = etag;
        self.rest.retried(|| self.rest.call(&workflow.place, &ask)).await
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<Url, (HeaderValue, Run)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run as messages name it.
pub(super) fn run_of(workflow: &Workflow, id: RunId) -> String {
    format!("run {id} of {}", workflow.full_name())
}
