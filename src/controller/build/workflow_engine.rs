//! Has an image built by a workflow of GitHub Actions: one run after the other, until the registry has it.
//!
//! A dispatch is no put: one that is repeated starts a second run. So an attempt is written to the status before its run
//! is asked for, under a name that the run carries in its title, and where it is not certain whether a run was asked for,
//! it is looked for before another is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::attempts::{self, superseded, timeout};
use super::github::{connect, of};
use super::search::Search;
use crate::actions::{Client, Conclusion, Error, RequestId, Run, RunId, State, Workflow};
use crate::api::build::{Attempt, Build, BuildStatus};
use crate::api::status::PatchSetStatus;
use crate::api::{PatchSet, reason};
use crate::build::{Request, name};
use crate::controller::context::{Context, Pace};
use crate::controller::state::build_log::tail;
use crate::controller::state::workflows::{FollowedRun, Known, Workflows};
use crate::plan::attempt::{Decision, Seen, begun, decide, observed};
use crate::plan::lifecycle::Next;
use crate::plan::patch_set::Built;
use crate::plan::{Failure, Step};
use crate::source::Freshness;

/// How often a run is looked at. An unchanged one costs nothing of the rate limit.
const POLL: Duration = Duration::from_secs(5);

/// How long a run may take to be listed after its dispatch. Within that time, that there is none means nothing.
pub const LISTED_WITHIN: Duration = Duration::from_secs(30);

/// How long a build that was cancelled may hold up the next one for the same tag.
const CANCEL_WITHIN: Duration = Duration::from_secs(60);

/// How much of a failed job's log is told, in lines.
const LOG_LINES: usize = 30;

/// A workflow, and what is known of its runs.
struct Runs<'a> {
    workflow: Workflow,
    client: Arc<Client>,
    memory: &'a Workflows,
    pace: Pace,
}

/// What following an attempt shows.
enum Followed {
    /// It is under way: who builds, and what holds it up.
    Working(String, Option<String>),
    /// It is over.
    Over(Seen),
}

/// Looks for the image, and asks for or follows the run that is due.
pub async fn build(
    patch_set: &PatchSet,
    build: &Build,
    context: &Arc<Context>,
    known: &PatchSetStatus,
    mut planned: BuildStatus,
    search: &Search<'_>,
) -> Built {
    let now = Timestamp::now();
    // What another engine began is no attempt of this one.
    let is_ours = |build: &BuildStatus, attempt: &Attempt| {
        is_of(&attempt.name, patch_set, &build.inputs_digest, attempt.number)
    };
    planned.attempt = planned
        .attempt
        .take()
        .filter(|attempt| is_ours(&planned, attempt));
    let former = superseded(known, &planned)
        .and_then(|former| Some((former, former.attempt.as_ref()?)))
        .filter(|(former, attempt)| is_ours(former, attempt));
    let runs = match Runs::of(patch_set, build, context, search).await {
        Ok(runs) => runs,
        // The former attempt stays in the status until it is certain that it is over.
        Err(failure) => return Built::Failed(failure, former.is_none().then_some(planned)),
    };
    if let Some((former, attempt)) = former {
        match runs.supersede(former, attempt, &planned).await {
            Ok(None) => {}
            Ok(Some(message)) => {
                return Built::Waiting(reason::BUILD_CANCELLING, message, Next::After(POLL));
            }
            Err(mut failure) => {
                // No build of what is asked for has failed.
                if failure.reason == reason::BUILD_FAILED {
                    failure.reason = reason::BUILD_CANCELLING;
                }
                return Built::Failed(failure, None);
            }
        }
    }
    let mut seen = None;
    if let Some(mut attempt) = planned.attempt.clone().filter(|a| a.finished_at.is_none()) {
        runs.note(patch_set, &attempt);
        let followed = runs
            .follow(patch_set, build, &planned, search, &mut attempt)
            .await;
        runs.note(patch_set, &attempt);
        planned.attempt = Some(attempt);
        match followed {
            Ok(Followed::Working(who, held_up)) => {
                let message = attempts::building(&planned, build, &who, held_up.as_deref());
                return Built::Awaited(planned, reason::BUILDING, message, Next::After(POLL));
            }
            Ok(Followed::Over(over)) => seen = Some(over),
            Err(failure) => return Built::Failed(failure, Some(planned)),
        }
    }
    context.workflows.give_back(patch_set);
    match search.image(&mut planned).await {
        Ok(Some(image)) => {
            attempts::succeeded(&mut planned, now);
            return Built::Image(planned, Box::new(image));
        }
        Ok(None) => {}
        Err(failure) => return Built::Failed(failure, Some(planned)),
    }
    if let Some(seen) = seen {
        planned.attempt = planned
            .attempt
            .map(|attempt| observed(attempt, &seen, search.target, now));
    }
    let afresh = search.pace.freshness == Freshness::Now;
    if afresh {
        attempts::forgive(&mut planned);
    }
    match decide(planned.attempt.as_ref(), build.retries(), afresh, now) {
        Decision::Start(number) => begin(patch_set, build, context, planned, number, afresh),
        Decision::Follow => {
            let message = "the run is looked at again".to_owned();
            Built::Awaited(planned, reason::BUILDING, message, Next::After(POLL))
        }
        Decision::Retry(wait) => attempts::again(planned, build, wait),
        Decision::GiveUp => attempts::given_up(planned, build),
    }
}

/// Begins an attempt, where the bounds allow one more build: its run is asked for when the status has it.
fn begin(
    patch_set: &PatchSet,
    build: &Build,
    context: &Context,
    mut planned: BuildStatus,
    number: u32,
    afresh: bool,
) -> Built {
    if let Err(failure) = timeout(build, context.options.max_build_timeout) {
        return Built::Failed(failure, Some(planned));
    }
    let limits = context.options.build_limits();
    if let Err(queued) = context
        .workflows
        .take_place(&context.patch_sets, patch_set, limits)
    {
        return Built::Awaited(planned, reason::BUILD_QUEUED, queued.to_string(), Next::Soon);
    }
    let now = Timestamp::now();
    let request = format!(
        "{}-{}",
        stem(patch_set, &planned.inputs_digest, number),
        now.as_millisecond()
    );
    let attempt = begun(number, request.clone(), planned.attempt.as_ref(), afresh, now);
    planned.attempt = Some(attempt);
    let message = attempts::building(
        &planned,
        build,
        &format!("run {request}"),
        Some("about to be asked for"),
    );
    Built::Awaited(planned, reason::BUILDING, message, Next::Now)
}

/// What a run is asked for by, but for the time, which tells it from an attempt of the same number at the same inputs that was
/// cancelled because others were asked for in between.
fn stem(patch_set: &PatchSet, inputs_digest: &str, number: u32) -> String {
    let uid: String = patch_set.uid().unwrap_or_default().chars().take(8).collect();
    let stem = patch_set.name_any().replace('.', "-");
    format!("{}-{uid}", name(&stem, inputs_digest, number))
}

/// Whether this is what a run was asked for by.
fn is_of(request: &str, patch_set: &PatchSet, inputs_digest: &str, number: u32) -> bool {
    let rest = request.strip_prefix(&stem(patch_set, inputs_digest, number));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

impl<'a> Runs<'a> {
    async fn of(
        patch_set: &PatchSet,
        build: &Build,
        context: &'a Context,
        search: &Search<'_>,
    ) -> Result<Self, Failure> {
        let Some(options) = &build.github_actions else {
            return Err(Failure::stalled(
                Step::Build,
                reason::INVALID_SPEC,
                "the engine GitHubActions needs build.githubActions",
            ));
        };
        let (workflow, client) = connect(patch_set, options, context).await?;
        Ok(Self {
            workflow,
            client,
            memory: &context.workflows,
            pace: search.pace,
        })
    }

    /// Notes an attempt that is not over, so that its run does not go on when the object is deleted.
    fn note(&self, patch_set: &PatchSet, attempt: &Attempt) {
        self.memory.follow(FollowedRun {
            namespace: patch_set.namespace().unwrap_or_default(),
            name: patch_set.name_any(),
            uid: patch_set.uid().unwrap_or_default(),
            workflow: self.workflow.clone(),
            client: Arc::clone(&self.client),
            attempt: attempt.clone(),
        });
    }

    /// Waits for GitHub, and not longer than the reconciliation may take.
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, Error>, Failure> {
        tokio::time::timeout_at(self.pace.deadline.into(), work)
            .await
            .map_err(|_| {
                Failure::retried(
                    Step::Build,
                    reason::TIMED_OUT,
                    format!("{}: not done within spec.timeout", self.workflow.full_name()),
                )
            })
    }

    /// Follows an attempt: asks for its run where none was asked for, looks for it, and looks at it.
    async fn follow(
        &self,
        patch_set: &PatchSet,
        build: &Build,
        planned: &BuildStatus,
        search: &Search<'_>,
        attempt: &mut Attempt,
    ) -> Result<Followed, Failure> {
        let request = RequestId::parse(&attempt.name).map_err(|error| of(&error))?;
        let found = match (attempt.run, self.memory.known(request.as_str())) {
            (Some(id), _) => match self.in_time(self.client.run(&self.workflow, RunId(id))).await? {
                Ok(run) => Some(run),
                Err(Error::NotFound { .. }) => return Ok(Followed::Over(Seen::Gone)),
                Err(error) => return Err(of(&error)),
            },
            (None, Known::Fresh) => {
                return self
                    .dispatch(patch_set, build, planned, search, attempt, &request)
                    .await;
            }
            (None, known @ (Known::Asked(at) | Known::Answered(at))) => {
                let found = self.find(&request, attempt).await?;
                if found.is_none() && at.elapsed() >= LISTED_WITHIN {
                    if matches!(known, Known::Asked(_)) {
                        return self
                            .dispatch(patch_set, build, planned, search, attempt, &request)
                            .await;
                    }
                    let why = format!(
                        "{} took the request, and no run of it has {request} in its title: set its run-name to ${{{{ inputs.request_id }}}}",
                        self.workflow.full_name()
                    );
                    return Ok(Followed::Over(Seen::Failed(why, None)));
                }
                found
            }
        };
        let Some(run) = found else {
            return Ok(Followed::Working(
                format!("run {request}"),
                Some(format!("looking for it at {}", self.workflow.full_name())),
            ));
        };
        (attempt.run, attempt.url) = (Some(run.id.0), Some(run.html_url.clone()));
        self.judge(&run, build, attempt).await
    }

    async fn find(&self, request: &RequestId, attempt: &Attempt) -> Result<Option<Run>, Failure> {
        let Time(since) = attempt.started_at;
        self.in_time(self.client.find_run(&self.workflow, request, since))
            .await?
            .map_err(|error| of(&error))
    }

    /// Asks for the run.
    async fn dispatch(
        &self,
        patch_set: &PatchSet,
        build: &Build,
        planned: &BuildStatus,
        search: &Search<'_>,
        attempt: &mut Attempt,
        request: &RequestId,
    ) -> Result<Followed, Failure> {
        let invalid = |message: String| Failure::stalled(Step::Build, reason::INVALID_SPEC, message);
        let component = &patch_set.spec.component.0;
        let document = Request::of(build, planned, component, search.revision)
            .ok_or_else(|| invalid("the engine GitHubActions builds an image: set build.image".to_owned()))?;
        let document = serde_json::to_string(&document).map_err(|error| invalid(error.to_string()))?;
        let asked = || self.memory.note(request.as_str(), Known::Asked(Instant::now()));
        asked();
        match self
            .in_time(self.client.dispatch(&self.workflow, request, &document))
            .await?
        {
            Ok(id) => {
                self.memory
                    .note(request.as_str(), Known::Answered(Instant::now()));
                tracing::info!(
                    namespace = patch_set.namespace(),
                    patch_set = patch_set.name_any(),
                    request = request.as_str(),
                    "a workflow was dispatched"
                );
                attempt.run = id.map(|RunId(id)| id);
                let repository = self.workflow.full_name();
                Ok(Followed::Working(
                    format!("run {request}"),
                    Some(format!("asked for at {repository}")),
                ))
            }
            Err(error @ Error::Ambiguous { .. }) => {
                asked();
                Ok(Followed::Working(
                    format!("run {request}"),
                    Some(error.to_string()),
                ))
            }
            Err(error) => {
                // No run comes of it, so that the next attempt need not look for one.
                self.memory.note(request.as_str(), Known::Fresh);
                Err(of(&error))
            }
        }
    }

    /// What a run's state means for its attempt.
    async fn judge(&self, run: &Run, build: &Build, attempt: &Attempt) -> Result<Followed, Failure> {
        let who = format!("run {} of {}", run.id, self.workflow.full_name());
        let conclusion = match &run.state {
            State::Completed(conclusion) => conclusion,
            state => {
                let timeout = build.timeout().map_err(|error| {
                    Failure::stalled(
                        Step::Build,
                        reason::INVALID_SPEC,
                        format!("build.timeout: {error}"),
                    )
                })?;
                let Time(begun) = attempt.started_at;
                let since = Timestamp::now().duration_since(run.started.unwrap_or(begun));
                if Duration::try_from(since).is_ok_and(|since| since > timeout) {
                    let cancelled = self.in_time(self.client.cancel(&self.workflow, run.id)).await?;
                    cancelled.map_err(|error| of(&error))?;
                    let why = format!("{who} took longer than build.timeout, and was cancelled");
                    return Ok(Followed::Over(Seen::Failed(why, None)));
                }
                let held_up = match state {
                    State::Queued => Some(format!("it waits for a runner, see {}", run.html_url)),
                    State::Waiting => Some(format!("somebody has to approve it, see {}", run.html_url)),
                    _ => None,
                };
                return Ok(Followed::Working(who, held_up));
            }
        };
        let how = match conclusion {
            Conclusion::Success => return Ok(Followed::Over(Seen::Succeeded)),
            Conclusion::Failure => "failed",
            Conclusion::Cancelled => "was cancelled",
            Conclusion::TimedOut => "took longer than the workflow allows",
            Conclusion::Other(word) => word,
        };
        let job = self
            .in_time(self.client.failed_log_tail(&self.workflow, run.id, LOG_LINES))
            .await?;
        let (where_, log) = match job {
            Ok(Some(job)) => {
                let step = job.step.as_deref().map(|step| format!(", step {step}"));
                let where_ = format!(" in job {}{}", job.name, step.unwrap_or_default());
                (
                    where_,
                    Some(tail(&job.tail.join("\n"))).filter(|log| !log.is_empty()),
                )
            }
            Ok(None) => (String::new(), None),
            // That it failed is known; that its log cannot be had must not hide it.
            Err(error) if !error.is_transient() => (String::new(), None),
            Err(error) => return Err(of(&error)),
        };
        let why = format!("{who} {how}{where_}, see {}", run.html_url);
        Ok(Followed::Over(Seen::Failed(why, log)))
    }

    /// Cancels the run of an attempt at what is not wanted any more. One for the same tag has to be over before the next
    /// may begin. Gives what is waited for.
    async fn supersede(
        &self,
        former: &BuildStatus,
        attempt: &Attempt,
        planned: &BuildStatus,
    ) -> Result<Option<String>, Failure> {
        let request = RequestId::parse(&attempt.name).map_err(|error| of(&error))?;
        let run = match (attempt.run, self.memory.known(request.as_str())) {
            (Some(id), _) => RunId(id),
            (None, Known::Fresh) => return Ok(None),
            (None, Known::Asked(at) | Known::Answered(at)) => match self.find(&request, attempt).await? {
                Some(run) => run.id,
                None if at.elapsed() >= LISTED_WITHIN => return Ok(None),
                None => {
                    return Ok(Some(format!(
                        "run {request} builds what is superseded, and is looked for to be cancelled"
                    )));
                }
            },
        };
        let since = match self.memory.cancelled(&self.workflow, run) {
            Some(since) => since,
            None => match self.in_time(self.client.cancel(&self.workflow, run)).await? {
                Ok(true) => {
                    tracing::info!(
                        run = run.0,
                        repository = self.workflow.full_name(),
                        "a superseded build was cancelled"
                    );
                    self.memory.note_cancelled(&self.workflow, run);
                    Instant::now()
                }
                Ok(false) | Err(Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(of(&error)),
            },
        };
        if former.target != planned.target || since.elapsed() >= CANCEL_WITHIN {
            return Ok(None);
        }
        match self.in_time(self.client.run(&self.workflow, run)).await? {
            Ok(run) if matches!(run.state, State::Completed(_)) => Ok(None),
            Err(Error::NotFound { .. }) => Ok(None),
            Ok(_) => Ok(Some(format!(
                "run {run} of {} builds what is superseded for the same tag, and is being cancelled",
                self.workflow.full_name()
            ))),
            Err(error) => Err(of(&error)),
        }
    }
}
