//! How long the steps of a `PatchSet` took, as far as its status says when they began and ended.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use patchset_api::build::BuildStatus;
use patchset_api::reason::condition;
use patchset_api::status::PatchSetStatus;

use super::conditions::{FlowStep, duration};

/// Adds the known durations to the steps. A condition's time says when it last changed, which is
/// not a duration.
pub(super) fn add_durations(mut steps: Vec<FlowStep>, status: &PatchSetStatus) -> Vec<FlowStep> {
    for step in &mut steps {
        step.took = match step.condition.as_str() {
            condition::IMAGE_BUILT => status.build.as_deref().and_then(built),
            condition::IMAGE_TESTED => status.build.as_deref().and_then(tested),
            condition::DELIVERED => delivered(status),
            _ => None,
        };
    }
    steps
}

fn seconds(Time(from): &Time, Time(to): &Time) -> Option<i64> {
    let seconds = to.as_second() - from.as_second();
    (seconds >= 0).then_some(seconds)
}

/// How long the last attempt at the build took.
fn built(build: &BuildStatus) -> Option<String> {
    let attempt = build.attempt.as_ref()?;
    let took = seconds(&attempt.started_at, attempt.finished_at.as_ref()?)?;
    Some(match attempt.number {
        0 | 1 => format!("took {}", duration(took)),
        number => format!("attempt {number} took {}", duration(took)),
    })
}

/// How long the tests took, from the beginning of the first to the end of the last; `None` if one
/// still runs, or is recorded with its end as its beginning.
fn tested(build: &BuildStatus) -> Option<String> {
    let results = &build.tests.as_ref()?.results;
    let mut times = Vec::new();
    for result in results {
        let attempt = result.attempt.as_ref()?;
        let finished = attempt.finished_at.as_ref()?;
        if seconds(&attempt.started_at, finished)? == 0 {
            return None;
        }
        times.push((&attempt.started_at, finished));
    }
    let first = times.iter().map(|(started, _)| *started).min_by_key(|at| at.0)?;
    let last = times
        .iter()
        .map(|(_, finished)| *finished)
        .max_by_key(|at| at.0)?;
    Some(format!("took {}", duration(seconds(first, last)?)))
}

/// The time from when the image was seen in the registry until it was delivered.
fn delivered(status: &PatchSetStatus) -> Option<String> {
    let delivered = status.delivered.as_ref()?;
    let mut history = status.history.iter();
    let image = history.find(|record| record.reference == delivered.reference)?;
    let after = seconds(&image.found_at, &delivered.delivered_at)?;
    Some(format!("{} after the image was found", duration(after)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::resources::conditions::steps;
    use serde_json::json;

    fn took(mut status: serde_json::Value) -> Vec<(String, Option<String>)> {
        let conditions = [
            "SourceResolved",
            "PatchesApplicable",
            "ImageBuilt",
            "ImageTested",
            "Delivered",
        ];
        let conditions = conditions.map(|type_| {
            json!({
                "type": type_, "status": "True", "reason": "Succeeded", "message": "m",
                "lastTransitionTime": "2026-01-01T12:00:00Z"
            })
        });
        status["conditions"] = json!(conditions);
        let status: PatchSetStatus = serde_json::from_value(status).unwrap();
        let steps = add_durations(steps(&status.conditions), &status);
        steps.into_iter().map(|step| (step.name, step.took)).collect()
    }

    fn attempt(number: u32, started: &str, finished: Option<&str>) -> serde_json::Value {
        let at = |time: &str| format!("2026-01-01T{time}Z");
        json!({ "number": number, "name": "job", "startedAt": at(started), "finishedAt": finished.map(at) })
    }

    fn test(attempt: &serde_json::Value) -> serde_json::Value {
        json!({
            "name": "unit", "image": format!("sha256:{}", "a".repeat(64)),
            "testDigest": format!("sha256:{}", "b".repeat(64)), "outcome": "Passed", "attempt": attempt
        })
    }

    #[test]
    fn steps_have_the_durations_that_the_status_tells() {
        let reference = format!("r.example.org/app:1@sha256:{}", "a".repeat(64));
        let digest = format!("sha256:{}", "c".repeat(64));
        let told = took(json!({
            "build": {
                "inputsDigest": digest, "contexts": {},
                "attempt": attempt(2, "10:00:00", Some("11:01:05")),
                "tests": { "results": [
                    test(&attempt(1, "11:02:00", Some("11:03:00"))),
                    test(&attempt(1, "11:03:00", Some("11:04:30")))
                ] }
            },
            "history": [{
                "inputsDigest": digest, "revision": format!("main@sha1:{}", "1".repeat(40)),
                "reference": reference, "foundAt": "2026-01-01T11:01:10Z"
            }],
            "delivered": { "reference": reference, "deliveredAt": "2026-01-01T11:04:52Z" }
        }));
        let told: Vec<(&str, &str)> = told
            .iter()
            .map(|(name, took)| (name.as_str(), took.as_deref().unwrap_or_default()))
            .collect();
        assert_eq!(
            told,
            [
                ("Resolved", ""),
                ("Applied", ""),
                ("Built", "attempt 2 took 1 h 1 min"),
                ("Tested", "took 2 min 30 s"),
                ("Delivered", "3 min 42 s after the image was found"),
            ]
        );
    }

    #[test]
    fn no_duration_is_made_up() {
        let digest = format!("sha256:{}", "c".repeat(64));
        let told = took(json!({
            "build": {
                "inputsDigest": digest, "contexts": {},
                "attempt": attempt(1, "10:00:00", None),
                "tests": { "results": [
                    test(&attempt(1, "11:02:00", Some("11:03:00"))),
                    test(&attempt(1, "11:04:30", Some("11:04:30")))
                ] }
            },
            "delivered": {
                "reference": format!("r.example.org/app:1@sha256:{}", "a".repeat(64)),
                "deliveredAt": "2026-01-01T11:04:52Z"
            }
        }));
        assert!(told.iter().all(|(_, took)| took.is_none()), "{told:?}");
    }
}
