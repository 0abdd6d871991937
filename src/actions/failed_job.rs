//! Why a run failed: the end of the failed job's log.

use foreign_text::printable;
use forge_rest::{Error, Fetched, RedirectTarget, describe_failure, host_and_port};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Response, StatusCode};
use serde::Deserialize;

use super::log_tail::LogTail;
use super::refusal::{ActionsSubject, refusal};
use super::{ActionsClient, Conclusion, RunId, Workflow};

/// How many pages of 100 jobs are looked through.
const MAX_PAGES: u32 = 5;
/// How many redirects to a log are followed.
const MAX_REDIRECTS: usize = 3;
/// The longest name of a job or step, and the longest address of a page, in characters.
const MAX_NAME_CHARACTERS: usize = 200;
const MAX_ADDRESS_CHARACTERS: usize = 2000;

/// A job that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedJob {
    /// Its name.
    pub name: String,
    /// The step that failed first.
    pub step: Option<String>,
    /// Its page, for people.
    pub html_url: Option<String>,
    /// The last lines of its log up to the last error in it, without times, colours and control
    /// characters. Empty where the server has no log (any more).
    pub tail: Vec<String>,
    /// Whether the log was read to its end. It is not if it is larger than
    /// [`super::ActionsConfig::max_log_bytes`] and the server sends no part of it.
    pub complete: bool,
}

#[derive(Deserialize)]
struct JobList {
    jobs: Vec<RunJob>,
}

#[derive(Deserialize)]
struct RunJob {
    id: u64,
    name: Option<String>,
    conclusion: Option<Conclusion>,
    html_url: Option<String>,
    #[serde(default)]
    steps: Vec<JobStep>,
}

#[derive(Deserialize)]
struct JobStep {
    name: Option<String>,
    conclusion: Option<Conclusion>,
}

fn has_failed(conclusion: Option<&Conclusion>) -> bool {
    matches!(conclusion, Some(Conclusion::Failure | Conclusion::TimedOut))
}

impl ActionsClient {
    /// The first job that failed or took too long in a run's last attempt, with the last lines of
    /// its log.
    ///
    /// `None` where no job did, as in a run that was cancelled or whose workflow cannot be read.
    ///
    /// The runner cleans up after a failed step: the lines end with the last error rather than with
    /// the cleanup.
    ///
    /// # Errors
    ///
    /// As for [`ActionsClient::look_at_run`]; [`Error::Address`] if the log is at a host that must
    /// not be connected to.
    pub async fn failed_log_tail(
        &self,
        workflow: &Workflow,
        id: RunId,
        lines: usize,
    ) -> Result<Option<FailedJob>, Error> {
        let Some(job) = self.failed_job(workflow, id).await? else {
            return Ok(None);
        };
        let what = format!("the log of job {} in {}", job.id, workflow.run_name(id));
        let step = job.steps.into_iter();
        let mut found = FailedJob {
            name: printable(&job.name.unwrap_or_default(), MAX_NAME_CHARACTERS),
            step: step
                .filter(|step| has_failed(step.conclusion.as_ref()))
                .find_map(|step| step.name)
                .map(|name| printable(&name, MAX_NAME_CHARACTERS)),
            html_url: job.html_url.map(|url| printable(&url, MAX_ADDRESS_CHARACTERS)),
            tail: Vec::new(),
            complete: true,
        };
        let url = workflow.actions_url(&["jobs", &job.id.to_string(), "logs"]);
        let mut answer = self.get(workflow, url, &what, None).await?;
        match answer.status {
            status if status.is_success() => {
                let mut tail = LogTail::of_whole_log(lines);
                tail.take(&answer.body);
                found.tail = tail.into_lines();
            }
            status if status.is_redirection() => {
                let target = match answer.redirect.take() {
                    Some(target) => target?,
                    None => return Err(refusal(&answer, workflow, &what, ActionsSubject::Run)),
                };
                let read = || self.read_log_end(&target, &what, lines);
                let end = self.rest.retry(read).await?;
                found.complete = end.is_complete;
                found.tail = end.tail.into_lines();
            }
            // A runner that died left no log, and logs are deleted after some months.
            StatusCode::NOT_FOUND | StatusCode::GONE => {}
            _ => return Err(refusal(&answer, workflow, &what, ActionsSubject::Run)),
        }
        Ok(Some(found))
    }

    async fn failed_job(&self, workflow: &Workflow, id: RunId) -> Result<Option<RunJob>, Error> {
        let what = format!("the jobs of {}", workflow.run_name(id));
        for page in 1..=MAX_PAGES {
            let mut url = workflow.actions_url(&["runs", &id.to_string(), "jobs"]);
            url.query_pairs_mut()
                .append_pair("filter", "latest")
                .append_pair("per_page", "100")
                .append_pair("page", &page.to_string());
            let answer = self.get(workflow, url, &what, None).await?;
            if !answer.status.is_success() {
                return Err(refusal(&answer, workflow, &what, ActionsSubject::Run));
            }
            let list: JobList = answer.read_json(&workflow.repository.host(), &what)?;
            let mut jobs = list.jobs.into_iter();
            let first = jobs.find(|job| has_failed(job.conclusion.as_ref()));
            if first.is_some() || !answer.has_next_page() {
                return Ok(first);
            }
        }
        Ok(None)
    }

    /// Reads the end of a log.
    async fn read_log_end(&self, target: &RedirectTarget, what: &str, lines: usize) -> Result<LogEnd, Error> {
        let limit = self.max_log_bytes;
        let Some((response, target)) = self.follow_redirects(target.clone(), what).await? else {
            return Ok(LogEnd {
                tail: LogTail::of_whole_log(lines),
                is_complete: true,
            });
        };
        let length = response
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let start = length.and_then(|length| length.checked_sub(u64::try_from(limit).ok()?));
        let Some(start) = start.filter(|start| *start > 0) else {
            return LogTail::of_whole_log(lines).read(response, limit, what).await;
        };
        match self.rest.fetch(&target, what, Some(start)).await? {
            Fetched::Found(part) if part.status() == StatusCode::PARTIAL_CONTENT => {
                drop(response);
                LogTail::of_part(lines).read(part, limit, what).await
            }
            // Better its beginning than nothing.
            _ => LogTail::of_whole_log(lines).read(response, limit, what).await,
        }
    }

    /// Follows redirects to the log; `None` if there is none.
    async fn follow_redirects(
        &self,
        mut target: RedirectTarget,
        what: &str,
    ) -> Result<Option<(Response, RedirectTarget)>, Error> {
        let refused = |target: &RedirectTarget, reason: String| Error::Refused {
            host: host_and_port(&target.url),
            what: what.to_owned(),
            reason,
        };
        for _ in 0..=MAX_REDIRECTS {
            match self.rest.fetch(&target, what, None).await? {
                Fetched::Found(response) => return Ok(Some((response, target))),
                Fetched::Redirected(further) => target = further,
                Fetched::Refused(StatusCode::NOT_FOUND | StatusCode::GONE) => return Ok(None),
                Fetched::Refused(status) => {
                    return Err(refused(&target, format!("status {}", status.as_u16())));
                }
            }
        }
        Err(refused(&target, format!("more than {MAX_REDIRECTS} redirects")))
    }
}

/// The end of a log, as far as it was read.
struct LogEnd {
    tail: LogTail,
    /// Whether that is the log's own end.
    is_complete: bool,
}

impl LogTail {
    /// Reads an answer to its end, or up to `limit` bytes of it.
    async fn read(mut self, mut response: Response, limit: usize, what: &str) -> Result<LogEnd, Error> {
        let host = host_and_port(response.url());
        let mut left = limit;
        loop {
            let piece = response.chunk().await.map_err(|error| Error::Unavailable {
                host: host.clone(),
                what: what.to_owned(),
                reason: describe_failure(error),
            })?;
            let Some(piece) = piece else {
                return Ok(LogEnd {
                    tail: self,
                    is_complete: true,
                });
            };
            let taken = &piece[..piece.len().min(left)];
            self.take(taken);
            if taken.len() < piece.len() {
                return Ok(LogEnd {
                    tail: self,
                    is_complete: false,
                });
            }
            left -= piece.len();
        }
    }
}
