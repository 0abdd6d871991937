//! Has an image built by a Job: one attempt after the other, until the registry has it.

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt};
use patchset_api::build::{Attempt, Build, BuildStatus, Builder};
use patchset_api::duration::DurationError;
use patchset_api::referent::ObjectKey;
use patchset_api::{InputsDigest, PatchSet, reason};
use serde_json::Value;

use super::attempts::{self, timeout};
use super::engine::{self, BuildEngine, CANCEL_WITHIN};
use super::task::BuildTask;
use crate::build_request::{JobOrder, TemplatePlace, check_pod_template, job, job_name, labels};
use crate::controller::context::Context;
use crate::controller::context::journal::Interrupted;
use crate::controller::context::service_account::service_account;
use crate::controller::state::job_status::{JobPurpose, job_end};
use crate::controller::state::jobs::{ASK_FOR_PLACE_AGAIN, NewJob, inputs_of, number_of, target_of};
use crate::plan::attempt::{AttemptState, begin_attempt};
use crate::plan::conditions::seconds;
use crate::plan::inputs_hasher::InputsHasher;
use crate::plan::lifecycle::Next;
use crate::plan::patch_set::{BuildOutcome, Pending};
use crate::plan::{Failure, Step};

/// The annotation with a digest of how a Job builds.
const RECIPE_ANNOTATION: &str = "patching.c5c3.io/recipe";
const RECIPE_POINTER: &str = "/metadata/annotations/patching.c5c3.io~1recipe";

/// The Jobs of a `PatchSet`, and what they build.
struct JobEngine<'a> {
    task: &'a BuildTask<'a>,
    jobs: Vec<Arc<Job>>,
}

/// Looks for the image, and starts or follows the attempt that is due.
pub async fn build(task: &BuildTask<'_>, mut planned: BuildStatus) -> Result<BuildOutcome, Interrupted> {
    let patch_set = task.turn.object;
    let uid = patch_set.uid().unwrap_or_default();
    let jobs = &task.turn.context.jobs;
    let jobs = jobs.of_patch_set(&task.turn.namespace(), &uid, JobPurpose::Build);
    // What another engine began is no attempt of this one.
    let attempt = planned.attempt.take().filter(|attempt| {
        attempt.name == job_name(&patch_set.name_any(), &planned.inputs_digest, attempt.number)
    });
    // One that is being removed, or pushes to another tag, only takes up its number.
    let is_other =
        |job: &Job| job.metadata.deletion_timestamp.is_some() || target_of(job).as_ref() != Some(task.target);
    planned.attempt = newest_attempt(attempt, &jobs, &planned.inputs_digest, is_other);
    Box::pin(engine::build(&JobEngine { task, jobs }, task, planned)).await
}

impl BuildEngine for JobEngine<'_> {
    async fn follow(&self, planned: BuildStatus) -> ControlFlow<BuildOutcome, (BuildStatus, AttemptState)> {
        let Some(attempt) = &planned.attempt else {
            return Continue((planned, AttemptState::Gone));
        };
        let key = ObjectKey::new(self.task.turn.namespace(), &attempt.name);
        match self
            .task
            .turn
            .context
            .jobs
            .attempt_state(&key, JobPurpose::Build)
            .await
        {
            Ok(AttemptState::Active(Some(_))) if self.is_outdated(&planned, attempt) => {
                Continue((planned, AttemptState::Outdated))
            }
            Ok(AttemptState::Active(held_up)) => {
                Break(await_attempt(planned, self.task.build, held_up.as_deref()))
            }
            Ok(over) => Continue((planned, over)),
            Err(failure) => Break(BuildOutcome::Failed(failure, Some(planned))),
        }
    }

    /// Cancels builds from other inputs, and those that were given up. One for the same tag has to
    /// be gone before the next may start.
    async fn supersede(&self, planned: &BuildStatus) -> ControlFlow<BuildOutcome> {
        let (context, target, now) = (self.task.turn.context, self.task.target, Timestamp::now());
        let mut in_the_way = None;
        let superseded = self
            .jobs
            .iter()
            .filter(|job| job_end(job).is_none())
            .filter(|job| {
                inputs_of(job).as_ref() != Some(&planned.inputs_digest)
                    || target_of(job).as_ref() != Some(target)
                    || is_over(planned, job)
            });
        for job in superseded {
            if let Err(failure) = cancel(context, job).await {
                return Break(BuildOutcome::Failed(failure, Some(planned.clone())));
            }
            let since = job.metadata.deletion_timestamp.as_ref();
            let since = since.map_or(now, |Time(at)| *at);
            let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
            if target_of(job).as_ref() == Some(target) && waited < CANCEL_WITHIN {
                in_the_way = Some(job.name_any());
            }
        }
        match in_the_way {
            None => Continue(()),
            Some(name) => Break(BuildOutcome::Awaited {
                plan: planned.clone(),
                pending: Pending::new(
                    reason::BUILD_QUEUED,
                    format!("Job {name} is a superseded build for the same tag, and is being cancelled"),
                    Next::Soon,
                ),
            }),
        }
    }

    async fn start(&self, mut planned: BuildStatus, number: u32) -> Result<BuildOutcome, Interrupted> {
        let (patch_set, context) = (self.task.turn.object, self.task.turn.context);
        // What can never begin takes no turn.
        let manifest = match manifest(self.task, &planned, number) {
            Ok(manifest) => manifest,
            Err(failure) => return Ok(BuildOutcome::Failed(failure, Some(planned))),
        };
        let key = ObjectKey::of_object(patch_set);
        let name = job_name(&key.name, &planned.inputs_digest, number);
        let job = ObjectKey::new(&key.namespace, name);
        if let Err(queued) = context.jobs.take_place(&key, &job) {
            let next = Next::After(ASK_FOR_PLACE_AGAIN);
            return Ok(BuildOutcome::Awaited {
                plan: planned,
                pending: Pending::new(reason::BUILD_QUEUED, queued.to_string(), next),
            });
        }
        let (uid, inputs) = (patch_set.uid().unwrap_or_default(), &planned.inputs_digest);
        let new = NewJob {
            key: &job,
            uid: &uid,
            inputs,
            manifest: &manifest,
            purpose: JobPurpose::Build,
        };
        if let Err(failure) = context.jobs.start(&new).await {
            context.jobs.give_up(&job);
            return Ok(BuildOutcome::Failed(failure, Some(planned)));
        }
        tracing::info!(namespace = job.namespace, job = job.name, %inputs, "a build was started");
        let attempt = begin_attempt(number, job.name, planned.attempt.as_ref(), Timestamp::now());
        planned.attempt = Some(attempt);
        Ok(await_attempt(planned, self.task.build, None))
    }
}

impl JobEngine<'_> {
    /// Whether a Job that is held up would be a different one by the current spec: what has to be
    /// changed to let it start is not part of what the image is built from.
    fn is_outdated(&self, planned: &BuildStatus, attempt: &Attempt) -> bool {
        let Some(job) = self.jobs.iter().find(|job| job.name_any() == attempt.name) else {
            return false;
        };
        let recipe = job.annotations().get(RECIPE_ANNOTATION).map(String::as_str);
        let now = manifest(self.task, planned, attempt.number);
        now.is_ok_and(|now| now.pointer(RECIPE_POINTER).and_then(Value::as_str) != recipe)
    }
}

/// The newest attempt: that of the status, or one whose Job was created before the status could be
/// written. The latter is over if its Job is another's.
pub fn newest_attempt(
    recorded: Option<Attempt>,
    jobs: &[Arc<Job>],
    inputs: &InputsDigest,
    is_other: impl Fn(&Job) -> bool,
) -> Option<Attempt> {
    let now = Timestamp::now();
    let job = jobs
        .iter()
        .filter(|job| inputs_of(job).as_ref() == Some(inputs))
        .filter_map(|job| Some((number_of(job)?, job)))
        .max_by_key(|(number, _)| *number);
    match job {
        Some((number, job)) if recorded.as_ref().is_none_or(|recorded| recorded.number < number) => {
            let started = job.creation_timestamp().map_or(now, |Time(at)| at);
            let attempt = begin_attempt(number, job.name_any(), recorded.as_ref(), started);
            Some(Attempt {
                finished_at: is_other(job).then(|| seconds(now)),
                ..attempt
            })
        }
        _ => recorded,
    }
}

fn await_attempt(planned: BuildStatus, build: &Build, held_up: Option<&str>) -> BuildOutcome {
    let name = planned
        .attempt
        .as_ref()
        .map_or("", |attempt| attempt.name.as_str());
    let message = attempts::describe_attempt(&planned, build, &format!("Job {name}"), held_up);
    BuildOutcome::Awaited {
        plan: planned,
        pending: Pending::new(reason::BUILDING, message, Next::Soon),
    }
}

/// Whether a Job belongs to an attempt that was given up.
fn is_over(planned: &BuildStatus, job: &Job) -> bool {
    let attempt = planned.attempt.as_ref();
    attempt.is_some_and(|attempt| {
        number_of(job).is_some_and(|number| {
            number < attempt.number || (number == attempt.number && attempt.finished_at.is_some())
        })
    })
}

/// Cancels all builds by Jobs of an object that another engine builds for. Failing to cancel one
/// holds nothing up.
pub async fn stop(patch_set: &PatchSet, context: &Context) {
    let namespace = patch_set.namespace().unwrap_or_default();
    let uid = patch_set.uid().unwrap_or_default();
    let jobs = context.jobs.of_patch_set(&namespace, &uid, JobPurpose::Build);
    for job in jobs.iter().filter(|job| job_end(job).is_none()) {
        if let Err(failure) = cancel(context, job).await {
            tracing::warn!(namespace, %failure, "the build of another engine could not be cancelled");
        }
    }
}

/// Cancels a build or test of what is not wanted any more, unless that was done before.
pub async fn cancel(context: &Context, job: &Job) -> Result<(), Failure> {
    if job.metadata.deletion_timestamp.is_none() {
        context.jobs.cancel(job).await?;
        tracing::info!(
            namespace = job.namespace(),
            job = job.name_any(),
            "a superseded Job was cancelled"
        );
    }
    Ok(())
}

fn manifest(task: &BuildTask<'_>, planned: &BuildStatus, number: u32) -> Result<Value, Failure> {
    let (patch_set, build, context) = (task.turn.object, task.build, task.turn.context);
    let invalid = |message: String| Failure::stalled(Step::Build, reason::INVALID_SPEC, message);
    let unreadable = |error: DurationError| invalid(error.to_string());
    let (Some(dockerfile), Some(source)) = (&planned.dockerfile, &build.dockerfile) else {
        return Err(invalid(
            "the engine Job builds from a Dockerfile: set build.dockerfile".to_owned(),
        ));
    };
    let options = build.job.clone().unwrap_or_default();
    if let Some(template) = &options.pod_template {
        check_pod_template(
            &template.0,
            TemplatePlace::BUILD,
            context.options.job_pod_template,
        )
        .map_err(|refused| Failure::stalled(Step::Build, reason::ACCESS_DENIED, refused.to_string()))?;
    }
    let account = options
        .service_account_name
        .as_ref()
        .or(service_account(patch_set, &context.options));
    let builder = options.builder.unwrap_or_default();
    let image = match (&options.image, builder) {
        (Some(image), _) => image,
        (None, Builder::BuildKit) => &context.options.buildkit_image,
        (None, Builder::Buildah) => &context.options.buildah_image,
    };
    let owner = patch_set.controller_owner_ref(&());
    let mut job = job(&JobOrder {
        patch_set: &patch_set.name_any(),
        uid: patch_set.metadata.uid.as_deref().unwrap_or_default(),
        owner: serde_json::to_value(owner).map_err(|error| invalid(error.to_string()))?,
        number,
        inputs_digest: &planned.inputs_digest,
        target: task.target,
        dockerfile,
        file: source.file(),
        stage: source.stage.as_deref(),
        contexts: &planned.contexts,
        args: &planned.args,
        platforms: &planned.platforms,
        labels: labels(&planned.inputs_digest, &patch_set.spec.component.0, task.revision),
        timeout: timeout(build, context.options.max_build_timeout)?,
        keep: options.keep().map_err(unreadable)?,
        secret: build.secret_ref.as_ref().map(|secret| secret.name.as_str()),
        plain_http: &context.options.plain_http_registry,
        builder,
        image,
        cache: options.cache.as_ref().map(|cache| cache.0.as_str()),
        service_account: account.map(|account| account.0.as_str()),
        pod_template: options.pod_template.as_ref().map(|template| &template.0),
    });
    let recipe = InputsHasher::new("job")
        .with(job["spec"].to_string().as_bytes())
        .digest();
    job["metadata"]["annotations"][RECIPE_ANNOTATION] = recipe.to_string().into();
    Ok(job)
}
