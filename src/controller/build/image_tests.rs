//! Runs a test of an image as a Job, one attempt after the other.

use std::time::Duration;

use image_references::ImageReference;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::{Resource, ResourceExt};
use patchset_api::build::ImageStatus;
use patchset_api::image_test::{ImageTestStatus, TestOutcome, TestReport, TestResultsFormat};
use patchset_api::referent::ObjectKey;
use patchset_api::{InputsDigest, Recorded, reason};
use serde_json::Value;

use super::job_engine::{cancel, newest_attempt};
use super::task::BuildTask;
use crate::build_request::test_results::{
    MOST_COMPRESSED, PrintedResults, RESULTS_BEGIN, ResultsError, printed_lines, read_results,
};
use crate::build_request::{
    TEST_CONTAINER, TemplatePlace, TestOrder, check_pod_template, test_job, test_job_name,
};
use crate::controller::context::service_account::service_account;
use crate::controller::state::build_log::tail;
use crate::controller::state::job_status::{JobPurpose, job_end};
use crate::controller::state::jobs::{
    ASK_FOR_PLACE_AGAIN, LOG_BYTES, LOG_LINES, LogPart, NewJob, inputs_of, number_of,
};
use crate::controller::state::slots;
use crate::plan::attempt::{AttemptState, Decision, begin_attempt, decide_next, forgive_failures};
use crate::plan::image_test::{PlannedTest, TestEnd, end_test, give_up};
use crate::plan::lifecycle::Next;
use crate::plan::patch_set::Pending;
use crate::plan::{Failure, Retry, Step};

/// The shortest time to keep a Job that is over: its results have to be read from its pod.
const SHORTEST_KEEP: Duration = Duration::from_secs(600);

/// The most bytes of a log that are read for results.
const MOST_LOG: usize = 4 << 20;

/// A test of an image, and what it is run with.
pub struct TestRun<'a> {
    pub task: &'a BuildTask<'a>,
    /// Its number in the spec, from 0.
    pub at: usize,
    pub planned: &'a PlannedTest<'a>,
    pub image: &'a ImageStatus,
    /// The image with the patched source, by its digest.
    pub source: Option<&'a Recorded<ImageReference>>,
}

/// The outcome of one step of a test.
pub enum TestStep {
    /// It is over: the result says how.
    Over,
    Waiting(Pending),
    Failed(Failure),
}

impl TestRun<'_> {
    /// Follows the attempt under way, or starts the one that is due.
    pub async fn step(&self, result: &mut ImageTestStatus) -> TestStep {
        let context = self.task.turn.context;
        let run_digest = self.planned.run_digest(&self.image.digest);
        let uid = self.task.turn.object.uid().unwrap_or_default();
        let namespace = self.task.turn.namespace();
        let jobs = context.jobs.of_patch_set(&namespace, &uid, JobPurpose::Test);
        let is_removed = |job: &Job| job.metadata.deletion_timestamp.is_some();
        result.attempt = newest_attempt(result.attempt.take(), &jobs, &run_digest, is_removed);
        let under_way = result.attempt.as_ref();
        let under_way = under_way.filter(|attempt| attempt.finished_at.is_none());
        if let Some(attempt) = under_way {
            let key = ObjectKey::new(&namespace, &attempt.name);
            let end = match context.jobs.attempt_state(&key, JobPurpose::Test).await {
                Ok(AttemptState::Active(held_up)) => return self.waiting(result, held_up.as_deref()),
                Ok(job) => self.read_end(&key, job).await,
                Err(failure) => Err(failure),
            };
            match end {
                Ok(end) => end_test(result, end, Timestamp::now()),
                Err(failure) => return TestStep::Failed(failure),
            }
            if result.outcome == TestOutcome::Passed {
                return TestStep::Over;
            }
        }
        if self.task.turn.budget.is_asked_for() {
            result.attempt = result.attempt.take().map(forgive_failures);
        }
        let retries = self.planned.test.retries();
        match decide_next(result.attempt.as_ref(), retries, Timestamp::now()) {
            Decision::Start(number) => match self.start(result, number, &run_digest).await {
                Ok(step) => step,
                Err(failure) => TestStep::Failed(failure),
            },
            Decision::Follow => self.waiting(result, None),
            Decision::Retry(wait) => TestStep::Failed(Failure {
                retry: Retry::After(wait),
                ..self.failure(result, "it will be tried again")
            }),
            Decision::GiveUp => {
                give_up(result);
                TestStep::Over
            }
        }
    }

    /// The failure of the test, and what follows from it.
    pub fn failure(&self, result: &ImageTestStatus, then: &str) -> Failure {
        let attempts = match &result.attempt {
            Some(attempt) if attempt.failures > 0 => format!(
                " (attempt {} of {})",
                attempt.failures,
                self.planned
                    .test
                    .retries()
                    .saturating_add(1)
                    .max(attempt.failures)
            ),
            _ => String::new(),
        };
        Failure::retried(
            Step::Test,
            reason::TEST_FAILED,
            format!(
                "test {} of {} failed{attempts}: {}; {then}",
                result.name,
                self.image.reference,
                result.message.as_deref().unwrap_or("for an unknown reason"),
            ),
        )
    }

    fn waiting(&self, result: &ImageTestStatus, held_up: Option<&str>) -> TestStep {
        let attempt = result.attempt.as_ref();
        let message = format!(
            "Job {} tests {} ({}, attempt {} of {})",
            attempt.map_or("", |attempt| attempt.name.as_str()),
            self.image.reference,
            result.name,
            attempt.map_or(0, |attempt| attempt.failures).saturating_add(1),
            self.planned.test.retries().saturating_add(1),
        );
        let message = match held_up {
            Some(held_up) => format!("{message}: {held_up}"),
            None => message,
        };
        TestStep::Waiting(Pending::new(reason::TESTING, message, Next::Soon))
    }

    /// Starts an attempt, if the bounds allow one more Job.
    async fn start(
        &self,
        result: &mut ImageTestStatus,
        number: u32,
        run_digest: &InputsDigest,
    ) -> Result<TestStep, Failure> {
        let (patch_set, context) = (self.task.turn.object, self.task.turn.context);
        // What can never begin takes no turn.
        let manifest = self.manifest(run_digest, number)?;
        self.supersede(run_digest, number).await?;
        let key = ObjectKey::of_object(patch_set);
        let name = test_job_name(&key.name, run_digest, number);
        let job = ObjectKey::new(&key.namespace, name);
        if let Err(queued) = context.jobs.take_place(&key, &job) {
            let message = format!("test {}: {queued}", result.name);
            let next = Next::After(ASK_FOR_PLACE_AGAIN);
            return Ok(TestStep::Waiting(Pending::new(reason::TESTING, message, next)));
        }
        let new = NewJob {
            key: &job,
            uid: &patch_set.uid().unwrap_or_default(),
            inputs: run_digest,
            manifest: &manifest,
            purpose: JobPurpose::Test,
        };
        if let Err(failure) = context.jobs.start(&new).await {
            context.jobs.give_up(&job);
            return Err(failure);
        }
        tracing::info!(namespace = job.namespace, job = job.name, image = %self.image.reference, "a test was started");
        let attempt = begin_attempt(number, job.name, result.attempt.as_ref(), Timestamp::now());
        result.attempt = Some(attempt);
        result.message = None;
        Ok(self.waiting(result, None))
    }

    /// Cancels tests of other images, other tests, and attempts that were given up.
    async fn supersede(&self, run_digest: &InputsDigest, number: u32) -> Result<(), Failure> {
        let context = self.task.turn.context;
        let uid = self.task.turn.object.uid().unwrap_or_default();
        let jobs = context
            .jobs
            .of_patch_set(&self.task.turn.namespace(), &uid, JobPurpose::Test);
        let live = jobs.iter().filter(|job| job_end(job).is_none());
        let superseded = live.filter(|job| {
            inputs_of(job).as_ref() != Some(run_digest) || number_of(job).is_some_and(|known| known < number)
        });
        for job in superseded {
            cancel(context, job).await?;
        }
        Ok(())
    }

    fn manifest(&self, run_digest: &InputsDigest, number: u32) -> Result<Value, Failure> {
        let (task, test) = (self.task, self.planned.test);
        let (patch_set, options) = (task.turn.object, &task.turn.context.options);
        let field = format!("build.tests[{}]", self.at);
        let refused = |reason, message: String| Failure::stalled(Step::Test, reason, message);
        let invalid = |message: String| refused(reason::INVALID_SPEC, format!("{field}: {message}"));
        if let Some(template) = &test.pod_template {
            let place = TemplatePlace {
                field: &format!("{field}.podTemplate"),
                container: TEST_CONTAINER,
            };
            check_pod_template(&template.0, place, options.job_pod_template)
                .map_err(|error| refused(reason::ACCESS_DENIED, error.to_string()))?;
        }
        let wanted = test.timeout().map_err(|error| invalid(error.to_string()))?;
        let longest = options.max_build_timeout;
        if test.timeout.is_some() && wanted > longest {
            return Err(refused(
                reason::ACCESS_DENIED,
                format!(
                    "{field}.timeout is longer than the {} seconds that this controller allows (--max-build-timeout): shorten it",
                    longest.as_secs()
                ),
            ));
        }
        let job_options = task.build.job.clone().unwrap_or_default();
        let keep = job_options.keep().map_err(|error| invalid(error.to_string()))?;
        let account = job_options.service_account_name.as_ref();
        let account = account.or(service_account(patch_set, options));
        let owner = patch_set.controller_owner_ref(&());
        Ok(test_job(&TestOrder {
            patch_set: &patch_set.name_any(),
            uid: patch_set.metadata.uid.as_deref().unwrap_or_default(),
            owner: serde_json::to_value(owner).map_err(|error| invalid(error.to_string()))?,
            number,
            run_digest,
            test,
            image: &self.image.reference,
            source: self.source,
            excludes: self.planned.excludes.as_deref(),
            timeout: wanted.min(longest),
            keep: keep.max(SHORTEST_KEEP),
            secret: task.build.secret_ref.as_ref().map(|secret| secret.name.as_str()),
            service_account: account.map(|account| account.0.as_str()),
        }))
    }

    /// How an attempt whose Job is over ended, with what it wrote.
    async fn read_end(&self, key: &ObjectKey, job: AttemptState) -> Result<TestEnd, Failure> {
        let results = self.planned.test.results.as_ref();
        let is_over = matches!(job, AttemptState::Succeeded | AttemptState::Failed { .. });
        let Some(results) = results.filter(|_| is_over) else {
            return Ok(TestEnd { job, report: None });
        };
        let read = match results.path {
            None => self.read_whole_log(key).await?,
            Some(_) => self.read_printed(key).await?,
        };
        let Some(read) = read else {
            let gone = "its pod is gone, and its results with it".to_owned();
            return Ok(TestEnd {
                job,
                report: Some(Err(gone)),
            });
        };
        let job = match job {
            AttemptState::Failed { why, log } => AttemptState::Failed {
                why,
                log: read.log.or(log),
            },
            other => other,
        };
        let report = match read.results {
            Ok(bytes) => parsed(bytes, results.format).await,
            Err(error) => Err(error),
        };
        let report = report.map_err(|error| error.to_string());
        Ok(TestEnd {
            job,
            report: Some(report),
        })
    }

    /// Results that are the log, or stand in it.
    async fn read_whole_log(&self, key: &ObjectKey) -> Result<Option<ReadLog>, Failure> {
        let part = LogPart {
            lines: None,
            bytes: MOST_LOG + 1,
        };
        let log = self.task.turn.context.jobs.read_test_log(key, part).await?;
        Ok(log.map(|log| ReadLog {
            log: None,
            results: if log.len() > MOST_LOG {
                Err(ResultsError::TooLarge { most: MOST_LOG })
            } else {
                Ok(log)
            },
        }))
    }

    /// Results that were put at the end of the log, and the lines before them.
    async fn read_printed(&self, key: &ObjectKey) -> Result<Option<ReadLog>, Failure> {
        let jobs = &self.task.turn.context.jobs;
        let read = async |lines, bytes| {
            let part = LogPart {
                lines: Some(lines),
                bytes,
            };
            jobs.read_test_log(key, part).await
        };
        let Some(end) = read(2, LOG_BYTES).await? else {
            return Ok(None);
        };
        let missing = ReadLog {
            log: None,
            results: Err(ResultsError::Missing),
        };
        let Some(lines) = printed_lines(&end) else {
            return Ok(Some(missing));
        };
        let Some(printed) = read(lines, 2 * MOST_COMPRESSED).await? else {
            return Ok(None);
        };
        let before = read(lines.saturating_add(LOG_LINES), LOG_BYTES).await?;
        let before = before.map(|log| tail_before_results(&log));
        Ok(Some(ReadLog {
            log: before.filter(|log| !log.is_empty()),
            results: PrintedResults::find(&printed).map_or(missing.results, |found| found.results),
        }))
    }
}

/// What was read of a log.
struct ReadLog {
    /// Its last lines, without results if these are at its end.
    log: Option<String>,
    results: Result<Vec<u8>, ResultsError>,
}

/// The end of what precedes the results in a log.
fn tail_before_results(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let before = text
        .split_once(RESULTS_BEGIN)
        .map_or(&*text, |(before, _)| before);
    tail(before)
}

/// Reads results, which takes some time if there are many.
async fn parsed(bytes: Vec<u8>, format: TestResultsFormat) -> Result<TestReport, ResultsError> {
    let read = slots::spawn_blocking(move || read_results(&bytes, format)).await;
    read.unwrap_or(Err(ResultsError::Missing))
}

/// Cancels all tests of an object. Failing to cancel one holds nothing up.
pub async fn stop(task: &BuildTask<'_>) {
    let (context, namespace) = (task.turn.context, task.turn.namespace());
    let uid = task.turn.object.uid().unwrap_or_default();
    let jobs = context.jobs.of_patch_set(&namespace, &uid, JobPurpose::Test);
    for job in jobs.iter().filter(|job| job_end(job).is_none()) {
        if let Err(failure) = cancel(context, job).await {
            tracing::warn!(namespace, %failure, "a test of what is not wanted any more could not be cancelled");
        }
    }
}
