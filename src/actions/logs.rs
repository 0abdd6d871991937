//! Why a run failed: the end of the failed job's log.

use std::collections::VecDeque;

use reqwest::header::CONTENT_LENGTH;
use reqwest::{Response, StatusCode};
use serde::Deserialize;

use super::answers::{About, refusal};
use super::client::run_of;
use super::{Client, Error, RunId, Workflow};
use crate::rest::{Fetched, Lead, causes, has_next, host, read};
use crate::text::{printable, printable_lines};

/// How many pages of 100 jobs are looked through.
const PAGES: u32 = 5;
/// How many redirects lead to a log.
const REDIRECTS: usize = 3;
/// The most lines that are kept.
const MOST_LINES: usize = 1_000;
/// The longest line, in characters; and what of it is looked at, in bytes.
const LINE: usize = 1_000;
const LINE_BYTES: usize = 16 << 10;
/// The longest name of a job or step, and the longest address of a page, in characters.
const LONGEST_NAME: usize = 200;
const LONGEST_ADDRESS: usize = 2000;
/// What the runner begins a line with that says why a step failed.
const ERROR: &str = "##[error]";

/// A job that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedJob {
    /// Its name.
    pub name: String,
    /// The step that failed first.
    pub step: Option<String>,
    /// Its page, for people.
    pub html_url: Option<String>,
    /// The last lines of its log up to the last error in it, without times, colours and control characters. Empty where
    /// the server has no log (any more).
    pub tail: Vec<String>,
    /// Whether the log was read to its end. It is not where it is larger than [`super::Config::log_bytes`] and the
    /// server gives no part of it.
    pub complete: bool,
}

#[derive(Deserialize)]
struct Jobs {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    id: u64,
    name: Option<String>,
    conclusion: Option<String>,
    html_url: Option<String>,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    name: Option<String>,
    conclusion: Option<String>,
}

fn failed(conclusion: Option<&str>) -> bool {
    matches!(conclusion, Some("failure" | "timed_out"))
}

impl Client {
    /// The first job that failed or took too long in a run's last attempt, with the last lines of its log. `None` where
    /// no job did, as in a run that was cancelled or whose workflow cannot be read.
    ///
    /// The runner cleans up after a failed step: the lines end with the last error rather than with that.
    ///
    /// # Errors
    ///
    /// As for [`Client::run`]; [`Error::Address`] where the log is at a host that is not spoken to.
    pub async fn failed_log_tail(
        &self,
        workflow: &Workflow,
        id: RunId,
        lines: usize,
    ) -> Result<Option<FailedJob>, Error> {
        let Some(job) = self.failed_job(workflow, id).await? else {
            return Ok(None);
        };
        let what = format!("the log of job {} in {}", job.id, run_of(workflow, id));
        let step = job.steps.into_iter();
        let mut found = FailedJob {
            name: printable(&job.name.unwrap_or_default(), LONGEST_NAME),
            step: step
                .filter(|step| failed(step.conclusion.as_deref()))
                .find_map(|step| step.name)
                .map(|name| printable(&name, LONGEST_NAME)),
            html_url: job.html_url.map(|url| printable(&url, LONGEST_ADDRESS)),
            tail: Vec::new(),
            complete: true,
        };
        let url = workflow.actions(&["jobs", &job.id.to_string(), "logs"]);
        let mut answer = self.get(workflow, url, &what, None).await?;
        let mut tail = Tail::new(lines, false);
        match answer.status {
            status if status.is_success() => tail.take(&answer.body),
            status if status.is_redirection() => {
                let lead = match answer.elsewhere.take() {
                    Some(lead) => lead?,
                    None => return Err(refusal(&answer, workflow, &what, About::Run)),
                };
                let read = self.rest.retried(|| self.log(&lead, &what, lines)).await?;
                found.complete = read.1;
                tail = read.0;
            }
            // A runner that died left no log, and logs are deleted after some months.
            StatusCode::NOT_FOUND | StatusCode::GONE => {}
            _ => return Err(refusal(&answer, workflow, &what, About::Run)),
        }
        found.tail = tail.finish();
        Ok(Some(found))
    }

    async fn failed_job(&self, workflow: &Workflow, id: RunId) -> Result<Option<Job>, Error> {
        let what = format!("the jobs of {}", run_of(workflow, id));
        for page in 1..=PAGES {
            let mut url = workflow.actions(&["runs", &id.to_string(), "jobs"]);
            url.query_pairs_mut()
                .append_pair("filter", "latest")
                .append_pair("per_page", "100")
                .append_pair("page", &page.to_string());
            let answer = self.get(workflow, url, &what, None).await?;
            if !answer.status.is_success() {
                return Err(refusal(&answer, workflow, &what, About::Run));
            }
            let jobs: Jobs = read(&answer, &workflow.place.base.host(), &what)?;
            let first = jobs
                .jobs
                .into_iter()
                .find(|job| failed(job.conclusion.as_deref()));
            if first.is_some() || !has_next(&answer) {
                return Ok(first);
            }
        }
        Ok(None)
    }

    /// Reads the end of a log, and whether that is its end.
    async fn log(&self, lead: &Lead, what: &str, lines: usize) -> Result<(Tail, bool), Error> {
        let limit = self.log_bytes;
        let Some((response, lead)) = self.follow(lead.clone(), what).await? else {
            return Ok((Tail::new(lines, false), true));
        };
        let length = response
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let start = length.and_then(|length| length.checked_sub(u64::try_from(limit).ok()?));
        let Some(start) = start.filter(|start| *start > 0) else {
            return read_tail(response, Tail::new(lines, false), limit, what).await;
        };
        match self.rest.http.fetch(&lead, what, Some(start)).await? {
            Fetched::There(part) if part.status() == StatusCode::PARTIAL_CONTENT => {
                drop(response);
                read_tail(part, Tail::new(lines, true), limit, what).await
            }
            // Better its beginning than nothing.
            _ => read_tail(response, Tail::new(lines, false), limit, what).await,
        }
    }

    /// Follows redirects to what is there; `None` where nothing is.
    async fn follow(&self, mut lead: Lead, what: &str) -> Result<Option<(Response, Lead)>, Error> {
        for _ in 0..=REDIRECTS {
            match self.rest.http.fetch(&lead, what, None).await? {
                Fetched::There(response) => return Ok(Some((response, lead))),
                Fetched::Elsewhere(further) => lead = further,
                Fetched::Refused(StatusCode::NOT_FOUND | StatusCode::GONE) => return Ok(None),
                Fetched::Refused(status) => {
                    return Err(Error::Refused {
                        host: host(&lead.url),
                        what: what.to_owned(),
                        reason: format!("status {}", status.as_u16()),
                    });
                }
            }
        }
        Err(Error::Refused {
            host: host(&lead.url),
            what: what.to_owned(),
            reason: format!("more than {REDIRECTS} redirects"),
        })
    }
}

async fn read_tail(
    mut response: Response,
    mut tail: Tail,
    limit: usize,
    what: &str,
) -> Result<(Tail, bool), Error> {
    let from = host(response.url());
    let mut left = limit;
    loop {
        let piece = response.chunk().await.map_err(|error| Error::Unavailable {
            host: from.clone(),
            what: what.to_owned(),
            reason: causes(error),
        })?;
        let Some(piece) = piece else {
            return Ok((tail, true));
        };
        if piece.len() > left {
            tail.take(&piece[..left]);
            return Ok((tail, false));
        }
        left -= piece.len();
        tail.take(&piece);
    }
}

/// The last lines of a log that comes in pieces, up to the last error in it.
struct Tail {
    most: usize,
    /// The line that has not ended yet, and whether it began before what is read.
    line: Vec<u8>,
    cut: bool,
    /// Up to the last error.
    to_error: VecDeque<String>,
    /// After it.
    after: VecDeque<String>,
}

impl Tail {
    fn new(lines: usize, cut: bool) -> Self {
        Self {
            most: lines.clamp(1, MOST_LINES),
            line: Vec::new(),
            cut,
            to_error: VecDeque::new(),
            after: VecDeque::new(),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let mut parts = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            let room = LINE_BYTES.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if parts.peek().is_some() {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = clean(&String::from_utf8_lossy(&self.line));
        self.line.clear();
        if std::mem::take(&mut self.cut) {
            return;
        }
        let is_error = line.starts_with(ERROR);
        self.after.push_back(line);
        if is_error {
            self.to_error.append(&mut self.after);
        }
        for lines in [&mut self.to_error, &mut self.after] {
            lines.drain(..lines.len().saturating_sub(self.most));
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.line.is_empty() {
            self.end_line();
        }
        let lines = if self.to_error.is_empty() {
            self.after
        } else {
            self.to_error
        };
        lines.into()
    }
}

/// A line without the runner's time, colours, control characters, and what a progress bar wrote over.
fn clean(line: &str) -> String {
    let line = line.trim_start_matches('\u{feff}');
    let line = match line.split_once(' ') {
        Some((time, rest)) if time.parse::<jiff::Timestamp>().is_ok() => rest,
        None if line.trim_end().parse::<jiff::Timestamp>().is_ok() => "",
        _ => line,
    };
    let plain = anstream::adapter::strip_str(line).to_string();
    let last = plain.trim_end().rsplit('\r').next().unwrap_or_default();
    let kept = last.chars().filter(|c| *c == '\t' || !c.is_control());
    printable_lines(&kept.take(LINE).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(log: &str, lines: usize, piece: usize) -> Vec<String> {
        let mut tail = Tail::new(lines, false);
        for piece in log.as_bytes().chunks(piece) {
            tail.take(piece);
        }
        tail.finish()
    }

    #[test]
    fn lines_are_cleaned() {
        for (line, clean_line) in [
            ("\u{feff}2026-02-03T04:05:06.1234567Z hello", "hello"),
            ("2026-02-03T04:05:06.1234567Z", ""),
            ("2026-02-03T04:05:06Z   indented", "  indented"),
            (
                "\u{1b}[31;1mred\u{1b}[0m and \u{1b}]8;;x\u{7}link",
                "red and link",
            ),
            ("10%\r50%\r100%\r", "100%"),
            ("a\u{0}b\tc", "ab\tc"),
            ("2026 was a year", "2026 was a year"),
        ] {
            assert_eq!(clean(line), clean_line);
        }
        assert_eq!(clean(&"x".repeat(5_000)).len(), LINE);
    }

    #[test]
    fn the_end_is_the_last_error_however_the_log_is_cut() {
        let log = "one\ntwo\n##[error]three\nfour\n##[error]five\nclean\nup\n";
        for piece in [1, 2, 7, 1_000] {
            assert_eq!(tail(log, 2, piece), ["four", "##[error]five"]);
            assert_eq!(
                tail(log, 9, piece),
                ["one", "two", "##[error]three", "four", "##[error]five"]
            );
            assert_eq!(tail("one\ntwo\nthree", 2, piece), ["two", "three"]);
            assert_eq!(tail("", 2, piece), [""; 0]);
        }
        let many: Vec<String> = (0..5_000).map(|number| format!("{number}\n")).collect();
        let many = many.concat();
        assert_eq!(tail(&many, usize::MAX, 100).len(), MOST_LINES);
        let far = format!("##[error]early\n{many}##[error]late\n{many}");
        assert_eq!(tail(&far, 2, 100), ["4999", "##[error]late"]);
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut read = Tail::new(1, false);
        for _ in 0..100 {
            read.take(&[b'x'; 10_000]);
        }
        assert!(read.line.len() <= LINE_BYTES);
        assert_eq!(read.finish()[0].len(), LINE);
    }
}
