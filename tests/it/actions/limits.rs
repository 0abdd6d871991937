//! No request is sent while a server wants none.

use jiff::{SignedDuration, Timestamp};
use patchset::actions::{ActionsClient, Error, RunId};
use rstest::rstest;

use super::{client, plain_http, request, token, workflow};
use crate::support::github::{Fault, GitHub, Run};

fn until(error: &Error) -> Timestamp {
    match error {
        Error::Limited { until, .. } => *until,
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case::retry_after(403, vec![("retry-after", "30".to_owned())], "", 30)]
#[case::secondary(403, vec![("x-ratelimit-remaining", "4000".to_owned())], "You have exceeded a secondary rate limit.", 60)]
#[case::untold(429, vec![], "", 60)]
#[tokio::test]
async fn a_limit_has_an_end_and_holds_until_then(
    #[case] status: u16,
    #[case] headers: Vec<(&'static str, String)>,
    #[case] message: &str,
    #[case] seconds: i64,
) {
    let github = GitHub::start().await;
    let (client, workflow) = (client(&github), workflow(&github));
    let body = format!(r#"{{"message": "{message}"}}"#);
    github.fault("dispatches", Fault::Instead(status, headers, body));
    let before = Timestamp::now();
    let error = client.dispatch(&workflow, &request(), "{}").await.unwrap_err();
    let wait = SignedDuration::from_secs(seconds);
    assert!(until(&error) >= before + wait && until(&error) <= Timestamp::now() + wait);
    assert!(error.is_transient());
    // Until then no request of any kind is sent.
    let again = client.look_at_run(&workflow, RunId(7)).await.unwrap_err();
    assert_eq!(until(&again), until(&error));
    assert_eq!(github.state().requests.len(), 1);
    // Another server has limits of its own.
    let (other, here) = (GitHub::start().await, github.host.clone());
    let config = plain_http(vec![here, other.host.clone()]);
    let client = ActionsClient::new(&config, token()).unwrap();
    let body = format!(r#"{{"message": "{message}"}}"#);
    github.fault("dispatches", Fault::Instead(429, Vec::new(), body));
    until(&client.dispatch(&workflow, &request(), "{}").await.unwrap_err());
    let elsewhere = super::workflow(&other);
    client.dispatch(&elsewhere, &request(), "{}").await.unwrap();
}

#[tokio::test]
async fn requests_go_on_when_the_limit_is_over() {
    let github = GitHub::start().await;
    let (client, workflow) = (client(&github), workflow(&github));
    github.state().runs.push(Run::new(7, "Build", Timestamp::now()));
    let reset = Timestamp::now().as_second() + 2;
    let headers = vec![
        ("x-ratelimit-remaining", "0".to_owned()),
        ("x-ratelimit-reset", reset.to_string()),
    ];
    github.fault("runs/7", Fault::Instead(403, headers, String::new()));
    let error = client.look_at_run(&workflow, RunId(7)).await.unwrap_err();
    let end = until(&error);
    assert!((end.as_second() - reset).abs() <= 1, "{end} {reset}");
    let left = end.duration_since(Timestamp::now()) + SignedDuration::from_millis(20);
    tokio::time::sleep(left.unsigned_abs()).await;
    client.look_at_run(&workflow, RunId(7)).await.unwrap();
    assert_eq!(github.count("runs/7"), 2);
}
