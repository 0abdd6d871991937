//! Runs are found, watched at no cost while nothing changes, and cancelled.

use jiff::{SignedDuration, Timestamp};
use patchset::actions::{Conclusion, Error, RunId, RunState};

use super::{REQUEST, client, request, workflow};
use crate::support::github::{Fault, GitHub, Run};

#[tokio::test]
async fn a_run_is_followed_to_its_end_and_an_unchanged_one_costs_nothing() {
    let github = GitHub::start().await;
    let (client, workflow) = (client(&github), workflow(&github));
    let mut run = Run::new(7, "Build x", Timestamp::now());
    run.script = vec![
        ("queued", None),
        ("queued", None),
        ("in_progress", None),
        ("in_progress", None),
        ("in_progress", None),
        ("completed", Some("failure")),
        ("completed", Some("failure")),
    ];
    github.state().runs.push(run);
    let mut states = Vec::new();
    for _ in 0..7 {
        let run = client.look_at_run(&workflow, RunId(7)).await.unwrap();
        assert_eq!(run.id, RunId(7));
        assert!(run.html_url.ends_with("/runs/7") && run.started.is_some() && run.updated.is_some());
        states.push(run.state);
    }
    let over = RunState::Completed(Conclusion::Failure);
    let expected = [
        RunState::Queued,
        RunState::Queued,
        RunState::InProgress,
        RunState::InProgress,
        RunState::InProgress,
        over.clone(),
        over,
    ];
    assert_eq!(states, expected);
    let charged: Vec<_> = github.state().requests.iter().map(|seen| seen.charged).collect();
    assert_eq!(charged, [true, false, true, false, false, true, true]);
}

#[tokio::test]
async fn a_run_is_found_among_many_by_its_whole_id() {
    let github = GitHub::start().await;
    let now = Timestamp::now();
    let ago = |seconds| now - SignedDuration::from_secs(seconds);
    {
        let mut state = github.state();
        for number in 0..250 {
            let title = format!("Build {REQUEST}{number}");
            state
                .runs
                .push(Run::new(number, &title, ago(number.cast_signed())));
        }
        state
            .runs
            .push(Run::new(501, &format!("Build {REQUEST} again"), ago(230)));
        state
            .runs
            .push(Run::new(500, &format!("Build {REQUEST}"), ago(235)));
        state
            .runs
            .push(Run::new(400, &format!("Build {REQUEST}"), ago(3_600)));
    }
    let (client, workflow) = (client(&github), workflow(&github));
    let found = client.find_run(&workflow, &request(), now).await.unwrap();
    // The first of the two, and not the one from long before.
    assert_eq!(found.unwrap().id, RunId(500));
    assert_eq!(github.count("runs"), 3);
    github.state().runs.retain(|run| run.id < 250);
    assert_eq!(client.find_run(&workflow, &request(), now).await.unwrap(), None);
}

#[tokio::test]
async fn that_a_run_is_not_there_is_not_said_before_all_were_seen() {
    let github = GitHub::start().await;
    let now = Timestamp::now();
    let runs = (0..1_001).map(|number| Run::new(number, "Build", now));
    github.state().runs.extend(runs);
    let error = client(&github)
        .find_run(&workflow(&github), &request(), now)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    assert_eq!(github.count("runs"), 10);
}

#[tokio::test]
async fn a_run_is_cancelled_once() {
    let github = GitHub::start().await;
    let (client, workflow) = (client(&github), workflow(&github));
    github.state().runs.push(Run::new(7, "Build", Timestamp::now()));
    assert!(client.cancel(&workflow, RunId(7)).await.unwrap());
    let run = client.look_at_run(&workflow, RunId(7)).await.unwrap();
    assert_eq!(run.state, RunState::Completed(Conclusion::Cancelled));
    assert!(!client.cancel(&workflow, RunId(7)).await.unwrap());
    let error = client.cancel(&workflow, RunId(8)).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert!(error.to_string().contains("run 8 of acme/images"), "{error}");

    // A conflict for another reason is no success.
    github.state().runs.push(Run::new(9, "Build", Timestamp::now()));
    let body = r#"{"message": "Cannot cancel a run that has not yet queued"}"#.to_owned();
    github.fault("cancel", Fault::Instead(409, Vec::new(), body));
    let error = client.cancel(&workflow, RunId(9)).await.unwrap_err();
    assert!(error.to_string().contains("not yet queued"), "{error}");
}

#[tokio::test]
async fn what_fails_on_the_way_is_read_again() {
    let github = GitHub::start().await;
    github.state().runs.push(Run::new(7, "Build", Timestamp::now()));
    github.fault("runs/7", Fault::After(503));
    github.fault("runs/7", Fault::Cut);
    let (client, workflow) = (client(&github), workflow(&github));
    let run = client.look_at_run(&workflow, RunId(7)).await.unwrap();
    assert_eq!(run.state, RunState::Queued);
    for _ in 0..3 {
        github.fault("runs/7", Fault::After(503));
    }
    let error = client.look_at_run(&workflow, RunId(7)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn answers_that_are_no_answers_are_refused() {
    let github = GitHub::start().await;
    github.state().runs.push(Run::new(7, "Build", Timestamp::now()));
    let (client, workflow) = (client(&github), workflow(&github));
    github.fault("runs/7", Fault::Flood(9 << 20));
    let error = client.look_at_run(&workflow, RunId(7)).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    let page = "<html>A login page</html>".to_owned();
    github.fault("runs/7", Fault::Instead(200, Vec::new(), page));
    let error = client.look_at_run(&workflow, RunId(7)).await.unwrap_err();
    assert!(error.to_string().contains("check the address"), "{error}");
}
