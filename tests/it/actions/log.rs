//! Why a run failed is read from its log, which is at another host that must not see the login.

use jiff::Timestamp;
use patchset::actions::{
    ActionsClient, ActionsConfig, ApiBaseUrl, Error, FailedJob, ForgeKind, RunId, Workflow,
};
use serde_json::{Value, json};

use super::{client, config, token, workflow};
use crate::support::github::{GitHub, Run, SIGNATURE, TOKEN};

fn jobs() -> Value {
    json!([
        {"id": 1, "name": "lint", "conclusion": "success", "steps": []},
        {"id": 2, "name": "cancelled with it", "conclusion": "cancelled", "steps": []},
        {"id": 3, "name": "build (arm64)", "conclusion": "failure", "html_url": "https://github.example.org/job/3",
         "steps": [{"name": "Set up job", "conclusion": "success"}, {"name": "Build", "conclusion": "failure"},
                   {"name": "Push", "conclusion": "skipped"}]},
        {"id": 4, "name": "build (amd64)", "conclusion": "failure", "steps": []},
    ])
}

/// A server with a run that failed, and the failed job's log.
async fn failed(log: &str) -> GitHub {
    let github = GitHub::start().await;
    let mut run = Run::new(7, "Build", Timestamp::now());
    (run.status, run.conclusion) = ("completed", Some("failure"));
    run.jobs = jobs();
    github.state().runs.push(run);
    github.state().logs.insert(3, log.to_owned());
    github
}

fn stamped(lines: &[&str]) -> String {
    let time = "2026-02-03T04:05:06.1234567Z";
    let stamped: Vec<String> = lines.iter().map(|line| format!("{time} {line}\r\n")).collect();
    stamped.concat()
}

async fn tail(github: &GitHub, lines: usize) -> FailedJob {
    let found = client(github)
        .failed_log_tail(&workflow(github), RunId(7), lines)
        .await;
    found.unwrap().unwrap()
}

#[tokio::test]
async fn the_failed_jobs_last_lines_are_read_without_the_login() {
    let log = stamped(&[
        "##[group]Run docker buildx build",
        "\u{1b}[36;1mstep\u{1b}[0m 1",
        "ERROR: No matching distribution found for lhafile===0.3.1",
        "##[error]Process completed with exit code 1.",
        "Post job cleanup.",
        "Cleaning up orphan processes",
    ]);
    let github = failed(&format!("\u{feff}{log}")).await;
    let job = tail(&github, 3).await;
    assert_eq!(job.name, "build (arm64)");
    assert_eq!(job.step.as_deref(), Some("Build"));
    assert_eq!(job.html_url.as_deref(), Some("https://github.example.org/job/3"));
    assert_eq!(
        job.tail,
        [
            "step 1",
            "ERROR: No matching distribution found for lhafile===0.3.1",
            "##[error]Process completed with exit code 1."
        ]
    );
    assert!(job.complete);
    let state = github.state();
    assert_eq!(state.fetched, [(None, None)]);
    let login = format!("Bearer {TOKEN}");
    assert!(
        state
            .requests
            .iter()
            .all(|seen| seen.login.as_ref() == Some(&login))
    );
}

#[tokio::test]
async fn of_a_long_log_the_end_is_read() {
    let log: Vec<String> = (0..50_000).map(|number| format!("line {number}\n")).collect();
    let log = log.concat();
    let github = failed(&log).await;
    let config = ActionsConfig {
        max_log_bytes: 10_000,
        ..config(&github)
    };
    let client = ActionsClient::new(&config, token()).unwrap();
    let look = async || {
        let found = client.failed_log_tail(&workflow(&github), RunId(7), 2).await;
        found.unwrap().unwrap()
    };
    let job = look().await;
    assert_eq!(job.tail, ["line 49998", "line 49999"]);
    assert!(job.complete);
    let range = format!("bytes={}-", log.len() - 10_000);
    assert_eq!(github.state().fetched, [(None, None), (None, Some(range))]);

    // The first line of a part is cut, and not shown.
    let found = client.failed_log_tail(&workflow(&github), RunId(7), 1_000).await;
    let lines = found.unwrap().unwrap().tail;
    assert!(lines.len() > 700 && lines.iter().all(|line| line.starts_with("line ")));

    github.state().gives_parts = false;
    let job = look().await;
    assert!(!job.complete);
    assert!(job.tail[0] == "line 1109", "{:?}", job.tail);
}

#[tokio::test]
async fn a_log_that_is_gone_leaves_the_step() {
    // The log host has an empty log, as for a runner that died.
    let github = failed("").await;
    let job = tail(&github, 5).await;
    assert_eq!((job.step.as_deref(), job.tail.len()), (Some("Build"), 0));
    // GitHub has no log, as after its retention time.
    github.state().logs.clear();
    let job = tail(&github, 5).await;
    assert_eq!((job.step.as_deref(), job.tail.len()), (Some("Build"), 0));
}

#[tokio::test]
async fn a_run_without_a_failed_job_has_no_log() {
    let github = failed("one\n").await;
    github.state().runs[0].jobs = json!([{"id": 2, "name": "build", "conclusion": "cancelled", "steps": []}]);
    let found = client(&github)
        .failed_log_tail(&workflow(&github), RunId(7), 5)
        .await;
    assert_eq!(found.unwrap(), None);
}

#[tokio::test]
async fn a_log_elsewhere_is_not_fetched_and_its_address_stays_secret() {
    let github = failed("one\n").await;
    let other = GitHub::start().await;
    let look = async || {
        let found = client(&github)
            .failed_log_tail(&workflow(&github), RunId(7), 5)
            .await;
        found.unwrap_err()
    };
    github.state().logs_elsewhere = Some(format!("http://{}", other.logs_host));
    let error = look().await;
    assert!(matches!(error, Error::Address { .. }), "{error:?}");
    assert!(error.to_string().contains(&other.logs_host), "{error}");
    assert!(!format!("{error} {error:?}").contains(SIGNATURE));
    assert!(other.state().fetched.is_empty());

    // A host that refuses, and one whose answer cannot be read.
    let host = github.logs_host.clone();
    for (address, part) in [
        (format!("http://{host}/x?y=z&"), "status 401"),
        (format!("https://{host}"), ""),
    ] {
        github.state().logs_elsewhere = Some(address);
        let error = look().await;
        assert!(error.to_string().contains(part), "{error}");
        assert!(
            error
                .to_string()
                .contains("the log of job 3 in run 7 of acme/images")
        );
        assert!(!format!("{error} {error:?}").contains(SIGNATURE));
    }
}

#[tokio::test]
async fn a_log_is_at_no_address_that_is_closer_than_the_server() {
    let github = failed("one\n").await;
    for address in ["https://169.254.169.254/latest?", "https://[fe80::1]/?"] {
        github.state().logs_elsewhere = Some(address.to_owned());
        let found = client(&github)
            .failed_log_tail(&workflow(&github), RunId(7), 5)
            .await;
        let error = found.unwrap_err();
        assert!(matches!(error, Error::Address { .. }), "{error:?}");
        assert!(error.to_string().contains("link-local"), "{error}");
        assert!(!format!("{error} {error:?}").contains(SIGNATURE));
    }
}

#[tokio::test]
async fn an_api_is_at_no_link_local_address() {
    let base = ApiBaseUrl::parse(ForgeKind::GitHub, "https://169.254.169.254").unwrap();
    let workflow = Workflow::new(base, "acme", "images", "build.yaml", "main").unwrap();
    let client = ActionsClient::new(&ActionsConfig::default(), token()).unwrap();
    let error = client.look_at_run(&workflow, RunId(7)).await.unwrap_err();
    assert!(matches!(error, Error::Address { .. }), "{error:?}");
    assert!(error.to_string().contains("link-local"), "{error}");
}
