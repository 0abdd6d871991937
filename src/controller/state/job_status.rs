//! The state of builds and tests by Jobs, from what Kubernetes says of Jobs and pods.

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use kube::ResourceExt;
use patchset_api::conditions::Truth;

use crate::build_request::{COMPONENT_LABEL, TEST_COMPONENT, TEST_CONTAINER};
use crate::plan::Step;

/// What a Job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobPurpose {
    /// It builds an image.
    Build,
    /// It tests one.
    Test,
}

impl JobPurpose {
    /// What a Job is for, by its labels.
    pub fn from_labels(job: &Job) -> Self {
        match job.labels().get(COMPONENT_LABEL).map(String::as_str) {
            Some(TEST_COMPONENT) => Self::Test,
            _ => Self::Build,
        }
    }

    /// The step that it is part of.
    pub fn step(self) -> Step {
        match self {
            Self::Build => Step::Build,
            Self::Test => Step::Test,
        }
    }

    /// The container that does the work.
    pub fn container(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Test => TEST_CONTAINER,
        }
    }

    /// The field of the spec that the Job is made from.
    pub fn field(self) -> &'static str {
        match self {
            Self::Build => "build.job",
            Self::Test => "build.tests",
        }
    }

    /// The field that says how long it may take.
    fn timeout_field(self) -> &'static str {
        match self {
            Self::Build => "build.timeout",
            Self::Test => "its timeout in build.tests",
        }
    }

    /// The field that has parts of its pod template.
    fn template_field(self) -> &'static str {
        match self {
            Self::Build => "build.job.podTemplate",
            Self::Test => "its podTemplate in build.tests",
        }
    }
}

/// A Job whose end is explained.
#[derive(Clone, Copy, Debug)]
pub struct JobToExplain<'a> {
    pub name: &'a str,
    pub purpose: JobPurpose,
}

/// How a Job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// It did all that it should.
    Complete,
    /// It was given up.
    Failed(JobFailure),
}

/// Why a Job was given up, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFailure {
    reason: String,
    message: String,
}

/// What a reason that Kubernetes gives for the state of a Job, pod or container means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReasonKind {
    /// The Job took longer than it may.
    DeadlineExceeded,
    /// A pod had to leave its node.
    TakenOffNode,
    /// A container needed more memory than it may take.
    OutOfMemory,
    /// A container is about to start.
    Starting,
    /// Any other.
    Other,
}

impl From<&str> for ReasonKind {
    fn from(reason: &str) -> Self {
        match reason {
            "DeadlineExceeded" => Self::DeadlineExceeded,
            "Evicted" | "NodeLost" | "Preempting" => Self::TakenOffNode,
            "OOMKilled" => Self::OutOfMemory,
            "ContainerCreating" | "PodInitializing" => Self::Starting,
            _ => Self::Other,
        }
    }
}

/// How a Job ended; `None` if it has not.
pub fn job_end(job: &Job) -> Option<JobEnd> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let find = |type_: &str| {
        let is_true = |condition: &&JobCondition| condition.status.parse() == Ok(Truth::True);
        let mut named = conditions.iter().filter(|condition| condition.type_ == type_);
        named.find(is_true)
    };
    if find("Complete").is_some() {
        return Some(JobEnd::Complete);
    }
    find("Failed").map(|failed| {
        JobEnd::Failed(JobFailure {
            reason: failed.reason.clone().unwrap_or_default(),
            message: failed.message.clone().unwrap_or_default(),
        })
    })
}

/// Why a Job failed, in a sentence that says what to do if that is known.
pub fn explain_failure(
    job: JobToExplain<'_>,
    failure: &JobFailure,
    pod: Option<&Pod>,
    log: Option<&str>,
) -> String {
    let (JobToExplain { name, purpose }, JobFailure { reason, message }) = (job, failure);
    if ReasonKind::from(reason.as_str()) == ReasonKind::DeadlineExceeded {
        return format!("{name} took longer than {}", purpose.timeout_field());
    }
    let status = pod.and_then(|pod| pod.status.as_ref());
    if let Some(status) = status
        && let Some(why) = status.reason.as_deref()
        && ReasonKind::from(why) == ReasonKind::TakenOffNode
    {
        let message = status.message.as_deref().unwrap_or_default();
        return format!("{name} was removed from its node ({why}): {message}");
    }
    let ended = status
        .and_then(|status| status.container_statuses.as_ref())
        .and_then(|containers| {
            containers
                .iter()
                .find(|container| container.name == purpose.container())
        })
        .and_then(|container| container.state.as_ref()?.terminated.as_ref());
    let Some(ended) = ended else {
        return format!("{name} failed: {reason}: {message}");
    };
    match ended.reason.as_deref().map(ReasonKind::from) {
        Some(ReasonKind::OutOfMemory) => format!(
            "{name} ran out of memory: raise the limit of the container {} in {}",
            purpose.container(),
            purpose.template_field()
        ),
        _ => match log.and_then(error_line) {
            Some(line) => format!("{name} failed: {line}"),
            None => format!("{name} ended with exit code {}", ended.exit_code),
        },
    }
}

/// The line of a builder's log that has its error: the last that looks like one.
fn error_line(log: &str) -> Option<&str> {
    let tells = |line: &&str| {
        let line = line.trim_start().to_ascii_lowercase();
        line.starts_with("error") || line.contains("failed to solve") || line.contains("fatal")
    };
    let mut lines = log.lines().rev();
    lines
        .find(tells)
        .or_else(|| log.lines().next_back())
        .map(str::trim)
}

/// What keeps a pod from running.
pub fn explain_waiting(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let waiting = |container: &ContainerStatus| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let why = waiting.reason.as_deref()?;
        let is_usual = ReasonKind::from(why) == ReasonKind::Starting;
        (!is_usual).then(|| format!("{why}: {}", waiting.message.as_deref().unwrap_or_default()))
    };
    let of_container = status.container_statuses.iter().flatten().find_map(waiting);
    of_container.or_else(|| {
        let is_false = |condition: &&PodCondition| condition.status.parse() == Ok(Truth::False);
        let conditions = status.conditions.iter().flatten();
        let mut scheduled = conditions.filter(|condition| condition.type_ == "PodScheduled");
        let unscheduled = scheduled.find(is_false)?;
        Some(format!(
            "it cannot be scheduled: {}",
            unscheduled.message.as_deref().unwrap_or_default()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn failures_are_explained() {
        let failed = |reason: &str, message: &str| JobFailure {
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        let why = failed("BackoffLimitExceeded", "Job has reached it");
        let pod = |status: Value| -> Pod { serde_json::from_value(json!({ "status": status })).unwrap() };
        let ended = |reason: &str| {
            pod(
                json!({ "containerStatuses": [{ "name": "build", "image": "", "imageID": "", "ready": false,
                "restartCount": 0, "state": { "terminated": { "exitCode": 1, "reason": reason } } }] }),
            )
        };
        let log = "#5 ERROR: x\nerror: failed to solve: process \"false\" did not complete\n\n";
        for (why, pod, log, expected) in [
            (
                failed("DeadlineExceeded", ""),
                None,
                None,
                "j took longer than build.timeout",
            ),
            (
                why.clone(),
                Some(ended("OOMKilled")),
                Some(log),
                "j ran out of memory: raise the limit of the container build in build.job.podTemplate",
            ),
            (
                why.clone(),
                Some(ended("Error")),
                Some(log),
                "j failed: error: failed to solve: process \"false\" did not complete",
            ),
            (
                why.clone(),
                Some(ended("Error")),
                None,
                "j ended with exit code 1",
            ),
            (
                why.clone(),
                Some(pod(json!({ "reason": "Evicted", "message": "low on disk" }))),
                None,
                "j was removed from its node (Evicted): low on disk",
            ),
            (
                why,
                None,
                None,
                "j failed: BackoffLimitExceeded: Job has reached it",
            ),
        ] {
            let job = JobToExplain {
                name: "j",
                purpose: JobPurpose::Build,
            };
            assert_eq!(explain_failure(job, &why, pod.as_ref(), log), expected);
        }
    }
}
