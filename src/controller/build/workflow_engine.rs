//! Has an image built by a workflow of GitHub Actions: one run after the other, until the registry
//! has it.
//!
//! A dispatch is not idempotent: repeating one starts a second run. So an attempt is written to the
//! status before its run is requested, under a name that the run carries in its title, and if it is
//! uncertain whether a run was requested, that run is looked for first.

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use patchset_api::build::{Attempt, BuildStatus, RunConclusion};
use patchset_api::referent::ObjectKey;
use patchset_api::{InputsDigest, PatchSet, reason};

use super::attempts::{self, superseded_build, timeout};
use super::engine::{self, BuildEngine, CANCEL_WITHIN};
use super::github::{connect, failure_of_github};
use super::task::BuildTask;
use crate::actions::{ActionsClient, Conclusion, Error, RequestId, Run, RunId, RunState, Workflow};
use crate::build_request::{BuildRequest, job_name};
use crate::controller::context::journal::Interrupted;
use crate::controller::state::build_log::tail;
use crate::controller::state::workflows::{FollowedRun, WorkflowRequestState, Workflows};
use crate::plan::attempt::{AttemptState, begin_attempt};
use crate::plan::lifecycle::Next;
use crate::plan::patch_set::{BuildOutcome, Pending};
use crate::plan::{Failure, Step};

/// How often a run is looked at. An unchanged one costs nothing of the rate limit.
const POLL: Duration = Duration::from_secs(5);

/// How long a run may take to be listed after its dispatch. Until then, its absence means nothing.
pub const LISTED_WITHIN: Duration = Duration::from_secs(30);

/// How much of a failed job's log is reported, in lines.
const LOG_LINES: usize = 30;

/// A workflow, what is known of its runs, and what they build.
struct WorkflowEngine<'a> {
    task: &'a BuildTask<'a>,
    workflow: Workflow,
    client: Arc<ActionsClient>,
    memory: &'a Workflows,
}

/// Looks for the image, and asks for or follows the run that is due.
pub async fn build(task: &BuildTask<'_>, mut planned: BuildStatus) -> Result<BuildOutcome, Interrupted> {
    // What another engine began is no attempt of this one.
    let attempt = planned.attempt.take();
    planned.attempt = attempt.filter(|attempt| is_run_of(task.turn.object, &planned, attempt));
    match WorkflowEngine::connect(task).await {
        Ok(engine) => Box::pin(engine::build(&engine, task, planned)).await,
        // The former attempt stays in the status until it is certain that it is over.
        Err(failure) => {
            let has_former = former_attempt(task, &planned).is_some();
            Ok(BuildOutcome::Failed(failure, (!has_former).then_some(planned)))
        }
    }
}

/// The attempt of this engine under way at what is not wanted any more.
fn former_attempt<'a>(
    task: &'a BuildTask<'_>,
    planned: &BuildStatus,
) -> Option<(&'a BuildStatus, &'a Attempt)> {
    let former = superseded_build(&task.status, planned)?;
    let attempt = former.attempt.as_ref()?;
    is_run_of(task.turn.object, former, attempt).then_some((former, attempt))
}

fn look_again_soon(planned: BuildStatus) -> BuildOutcome {
    let message = "the run is looked at again".to_owned();
    BuildOutcome::Awaited {
        plan: planned,
        pending: Pending::new(reason::BUILDING, message, Next::After(POLL)),
    }
}

impl BuildEngine for WorkflowEngine<'_> {
    /// Makes the run of a former attempt give way.
    async fn make_way(&self, planned: &BuildStatus) -> ControlFlow<BuildOutcome> {
        let Some((former, attempt)) = former_attempt(self.task, planned) else {
            return Continue(());
        };
        match self.cancel_former(former, attempt, planned).await {
            Ok(None) => Continue(()),
            Ok(Some(message)) => Break(BuildOutcome::Waiting(Pending::new(
                reason::BUILD_CANCELLING,
                message,
                Next::After(POLL),
            ))),
            Err(mut failure) => {
                // No build of what is wanted has failed.
                if failure.reason == reason::BUILD_FAILED {
                    failure.reason = reason::BUILD_CANCELLING;
                }
                Break(BuildOutcome::Failed(failure, None))
            }
        }
    }

    async fn follow(
        &self,
        mut planned: BuildStatus,
    ) -> ControlFlow<BuildOutcome, (BuildStatus, AttemptState)> {
        let Some(mut attempt) = planned.attempt.clone() else {
            return Continue((planned, AttemptState::Gone));
        };
        self.record_attempt(&attempt);
        let followed = self.follow_run(&planned, &mut attempt).await;
        self.record_attempt(&attempt);
        // Its page is known only after a look at it.
        let who = match (attempt.run, &attempt.url) {
            (Some(run), Some(_)) => self.name_of(RunId(run)),
            _ => format!("run {}", attempt.name),
        };
        planned.attempt = Some(attempt);
        match followed {
            Ok(AttemptState::Active(held_up)) => {
                let message = attempts::describe_attempt(&planned, self.task.build, &who, held_up.as_deref());
                Break(BuildOutcome::Awaited {
                    plan: planned,
                    pending: Pending::new(reason::BUILDING, message, Next::After(POLL)),
                })
            }
            Ok(over) => Continue((planned, over)),
            Err(failure) => Break(BuildOutcome::Failed(failure, Some(planned))),
        }
    }

    /// If the spec says that the run is the image's test, a failed run takes its image with it.
    fn is_refused(&self, planned: &BuildStatus, seen: Option<&AttemptState>) -> bool {
        let options = self.task.build.github_actions.as_ref();
        let is_test = options.is_some_and(|options| options.conclusion() == RunConclusion::Test);
        let failed = match (seen, &planned.attempt) {
            (Some(seen), _) => *seen != AttemptState::Succeeded,
            (None, Some(attempt)) => attempt.finished_at.is_some() && attempt.failures > 0,
            (None, None) => false,
        };
        is_test && failed
    }

    fn release(&self) {
        self.memory.give_back(self.task.turn.object);
    }

    /// Begins an attempt, if the bounds allow one more build. Its run is requested once the status
    /// has the attempt.
    async fn start(&self, mut planned: BuildStatus, number: u32) -> Result<BuildOutcome, Interrupted> {
        let task = self.task;
        let (patch_set, context) = (task.turn.object, task.turn.context);
        if let Err(failure) = timeout(task.build, context.options.max_build_timeout) {
            return Ok(BuildOutcome::Failed(failure, Some(planned)));
        }
        let limits = context.options.build_limits();
        if let Err(queued) = self.memory.take_place(&context.patch_sets, patch_set, limits) {
            let message = queued.to_string();
            return Ok(BuildOutcome::Awaited {
                plan: planned,
                pending: Pending::new(reason::BUILD_QUEUED, message, Next::Soon),
            });
        }
        let now = Timestamp::now();
        let stem = request_stem(patch_set, &planned.inputs_digest, number);
        let request = format!("{stem}-{}", now.as_millisecond());
        let attempt = begin_attempt(number, request.clone(), planned.attempt.as_ref(), now);
        planned.attempt = Some(attempt);
        let who = format!("run {request}");
        let message = attempts::describe_attempt(&planned, task.build, &who, Some("about to be requested"));
        task.record(&planned, reason::BUILDING, message).await?;
        self.memory.note_recorded(&request);
        Ok(match self.follow(planned).await {
            Continue((planned, _)) => look_again_soon(planned),
            Break(built) => built,
        })
    }
}

/// The name that a run is requested by, without the time, which tells it from an attempt of the
/// same number at the same inputs that was cancelled because others were wanted in between.
fn request_stem(patch_set: &PatchSet, inputs_digest: &InputsDigest, number: u32) -> String {
    let uid: String = patch_set.uid().unwrap_or_default().chars().take(8).collect();
    let stem = patch_set.name_any().replace('.', "-");
    format!("{}-{uid}", job_name(&stem, inputs_digest, number))
}

/// Whether an attempt at a build is a run that was requested here.
fn is_run_of(patch_set: &PatchSet, build: &BuildStatus, attempt: &Attempt) -> bool {
    let stem = request_stem(patch_set, &build.inputs_digest, attempt.number);
    let rest = attempt.name.strip_prefix(&stem);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

impl<'a> WorkflowEngine<'a> {
    async fn connect(task: &'a BuildTask<'a>) -> Result<Self, Failure> {
        let Some(options) = &task.build.github_actions else {
            return Err(Failure::stalled(
                Step::Build,
                reason::INVALID_SPEC,
                "the engine GitHubActions needs build.githubActions",
            ));
        };
        let (workflow, client) = connect(task.turn.object, options, task.turn.context).await?;
        Ok(Self {
            task,
            workflow,
            client,
            memory: &task.turn.context.workflows,
        })
    }

    /// Records an attempt that is not over, so that its run does not go on when the object is
    /// deleted.
    fn record_attempt(&self, attempt: &Attempt) {
        let patch_set = self.task.turn.object;
        self.memory.follow_run(FollowedRun {
            patch_set: ObjectKey::of_object(patch_set),
            uid: patch_set.uid().unwrap_or_default(),
            workflow: self.workflow.clone(),
            client: Arc::clone(&self.client),
            attempt: attempt.clone(),
        });
    }

    /// What a run is called in messages.
    fn name_of(&self, run: RunId) -> String {
        format!("run {run} of {}", self.workflow.full_name())
    }

    /// Waits for GitHub, at most as long as the reconciliation may take.
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, Error>, Failure> {
        let (budget, what) = (self.task.turn.budget, self.workflow.full_name());
        budget.limit(Step::Build, &what, work).await
    }

    /// Follows an attempt: requests its run if none was requested, looks for it, and looks at it.
    async fn follow_run(
        &self,
        planned: &BuildStatus,
        attempt: &mut Attempt,
    ) -> Result<AttemptState, Failure> {
        let request = RequestId::parse(&attempt.name).map_err(|error| failure_of_github(&error))?;
        let found = match (attempt.run, self.memory.state_of(request.as_str())) {
            (Some(id), _) => match self
                .in_time(self.client.look_at_run(&self.workflow, RunId(id)))
                .await?
            {
                Ok(run) => Some(run),
                Err(Error::NotFound { .. }) => return Ok(AttemptState::Gone),
                Err(error) => return Err(failure_of_github(&error)),
            },
            (None, WorkflowRequestState::Fresh) => {
                return self.dispatch(planned, attempt, &request).await;
            }
            (None, known @ (WorkflowRequestState::Asked(at) | WorkflowRequestState::Answered(at))) => {
                let found = self.find(&request, attempt).await?;
                if found.is_none() && at.elapsed() >= LISTED_WITHIN {
                    if matches!(known, WorkflowRequestState::Asked(_)) {
                        return self.dispatch(planned, attempt, &request).await;
                    }
                    let why = format!(
                        "{} accepted the request, but no run of it has {request} in its title: set its run-name to ${{{{ inputs.request_id }}}}",
                        self.workflow.full_name()
                    );
                    return Ok(AttemptState::Failed { why, log: None });
                }
                found
            }
        };
        let Some(run) = found else {
            let held_up = format!("looking for it at {}", self.workflow.full_name());
            return Ok(AttemptState::Active(Some(held_up)));
        };
        (attempt.run, attempt.url) = (Some(run.id.0), Some(run.html_url.clone()));
        self.judge(&run, attempt).await
    }

    async fn find(&self, request: &RequestId, attempt: &Attempt) -> Result<Option<Run>, Failure> {
        let Time(since) = attempt.started_at;
        self.in_time(self.client.find_run(&self.workflow, request, since))
            .await?
            .map_err(|error| failure_of_github(&error))
    }

    /// Requests the run.
    async fn dispatch(
        &self,
        planned: &BuildStatus,
        attempt: &mut Attempt,
        request: &RequestId,
    ) -> Result<AttemptState, Failure> {
        let (patch_set, task) = (self.task.turn.object, self.task);
        let invalid = |message: String| Failure::stalled(Step::Build, reason::INVALID_SPEC, message);
        let component = &patch_set.spec.component.0;
        let document = BuildRequest::for_build(task.build, planned, component, task.revision)
            .ok_or_else(|| invalid("the engine GitHubActions builds an image: set build.image".to_owned()))?;
        let document = serde_json::to_string(&document).map_err(|error| invalid(error.to_string()))?;
        let note = |state| self.memory.record_state(request.as_str(), state);
        note(WorkflowRequestState::Asked(Instant::now()));
        match self
            .in_time(self.client.dispatch(&self.workflow, request, &document))
            .await?
        {
            Ok(id) => {
                note(WorkflowRequestState::Answered(Instant::now()));
                tracing::info!(
                    namespace = patch_set.namespace(),
                    patch_set = patch_set.name_any(),
                    request = request.as_str(),
                    "a workflow was dispatched"
                );
                attempt.run = id.map(|RunId(id)| id);
                let held_up = format!("requested at {}", self.workflow.full_name());
                Ok(AttemptState::Active(Some(held_up)))
            }
            Err(error @ Error::Ambiguous { .. }) => {
                note(WorkflowRequestState::Asked(Instant::now()));
                Ok(AttemptState::Active(Some(error.to_string())))
            }
            Err(error) => {
                // No run results, so the next attempt need not look for one.
                note(WorkflowRequestState::Fresh);
                Err(failure_of_github(&error))
            }
        }
    }

    /// What a run's state means for its attempt.
    async fn judge(&self, run: &Run, attempt: &Attempt) -> Result<AttemptState, Failure> {
        let who = self.name_of(run.id);
        let conclusion = match &run.state {
            RunState::Completed(conclusion) => conclusion,
            state => {
                let longest = self.task.turn.context.options.max_build_timeout;
                let timeout = timeout(self.task.build, longest)?;
                let Time(begun) = attempt.started_at;
                let since = Timestamp::now().duration_since(run.started.unwrap_or(begun));
                if Duration::try_from(since).is_ok_and(|since| since > timeout) {
                    let cancelled = self.in_time(self.client.cancel(&self.workflow, run.id)).await?;
                    cancelled.map_err(|error| failure_of_github(&error))?;
                    let why = format!("{who} took longer than build.timeout, and was cancelled");
                    return Ok(AttemptState::Failed { why, log: None });
                }
                let held_up = match state {
                    RunState::Queued => Some(format!("it waits for a runner, see {}", run.html_url)),
                    RunState::Waiting => Some(format!("somebody has to approve it, see {}", run.html_url)),
                    _ => None,
                };
                return Ok(AttemptState::Active(held_up));
            }
        };
        let how = match conclusion {
            Conclusion::Success => return Ok(AttemptState::Succeeded),
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
                let log = tail(&job.tail.join("\n"));
                (where_, Some(log).filter(|log| !log.is_empty()))
            }
            Ok(None) => (String::new(), None),
            // The failure is known; a log that cannot be read must not hide it.
            Err(error) if !error.is_transient() => (String::new(), None),
            Err(error) => return Err(failure_of_github(&error)),
        };
        let why = format!("{who} {how}{where_}, see {}", run.html_url);
        Ok(AttemptState::Failed { why, log })
    }

    /// Cancels the run of an attempt at what is not wanted any more. One for the same tag has to be
    /// over before the next may begin. Returns what is waited for.
    async fn cancel_former(
        &self,
        former: &BuildStatus,
        attempt: &Attempt,
        planned: &BuildStatus,
    ) -> Result<Option<String>, Failure> {
        let request = RequestId::parse(&attempt.name).map_err(|error| failure_of_github(&error))?;
        let run = match (attempt.run, self.memory.state_of(request.as_str())) {
            (Some(id), _) => RunId(id),
            (None, WorkflowRequestState::Fresh) => return Ok(None),
            (None, WorkflowRequestState::Asked(at) | WorkflowRequestState::Answered(at)) => {
                match self.find(&request, attempt).await? {
                    Some(run) => run.id,
                    None if at.elapsed() >= LISTED_WITHIN => return Ok(None),
                    None => {
                        return Ok(Some(format!(
                            "run {request} is a superseded build, and is being looked for to cancel it"
                        )));
                    }
                }
            }
        };
        let since = match self.memory.cancelled_at(&self.workflow, run) {
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
                Err(error) => return Err(failure_of_github(&error)),
            },
        };
        if former.target != planned.target || since.elapsed() >= CANCEL_WITHIN {
            return Ok(None);
        }
        match self.in_time(self.client.look_at_run(&self.workflow, run)).await? {
            Ok(run) if matches!(run.state, RunState::Completed(_)) => Ok(None),
            Err(Error::NotFound { .. }) => Ok(None),
            Ok(_) => Ok(Some(format!(
                "{} is a superseded build for the same tag, and is being cancelled",
                self.name_of(run)
            ))),
            Err(error) => Err(failure_of_github(&error)),
        }
    }
}
