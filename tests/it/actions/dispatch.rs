//! A dispatch starts one run, or none, or the outcome is unknown; never two.

use std::time::Duration;

use jiff::Timestamp;
use patchset::actions::{ActionsClient, ApiBaseUrl, Error, ForgeKind, RunId, Workflow};
use rstest::rstest;

use super::{at, client, patient, plain_http, request, token, workflow};
use crate::support::git_server::free_port;
use crate::support::github::{Details, Fault, GitHub};

#[tokio::test]
async fn a_run_is_started_with_what_it_builds() {
    let github = GitHub::start().await;
    let build = r#"{"image": "registry.example.org/glance", "contexts": {"glance": "…"}}"#;
    let id = client(&github)
        .dispatch(&workflow(&github), &request(), build)
        .await
        .unwrap();
    let state = github.state();
    assert_eq!(id, Some(RunId(state.runs[0].id)));
    assert_eq!(state.runs.len(), 1);
    assert_eq!(state.runs[0].inputs["build"], build);
    assert_eq!(state.runs[0].inputs["request_id"], request().as_str());
}

#[rstest]
#[case(Details::Ignored, 1)]
#[case(Details::Refused, 2)]
#[tokio::test]
async fn older_servers_start_one_run_that_is_found_by_its_title(
    #[case] details: Details,
    #[case] requests: usize,
) {
    let github = GitHub::start().await;
    github.state().details = details;
    let (client, workflow, before) = (client(&github), workflow(&github), Timestamp::now());
    let told = client.dispatch(&workflow, &request(), "{}").await.unwrap();
    assert_eq!(told, None);
    assert_eq!(github.count("dispatches"), requests);
    assert_eq!(github.state().runs.len(), 1);
    let found = client.find_run(&workflow, &request(), before).await.unwrap();
    assert_eq!(found.unwrap().id, RunId(github.state().runs[0].id));
}

#[rstest]
#[case::bad_gateway(Fault::After(502), "status 502")]
#[case::error(Fault::After(500), "status 500")]
#[case::too_late(Fault::After(408), "status 408")]
#[case::silence(Fault::Silence, "no answer in time")]
#[case::cut(Fault::Cut, "")]
#[tokio::test]
async fn what_may_have_started_a_run_is_not_sent_again(#[case] fault: Fault, #[case] part: &str) {
    let github = GitHub::start().await;
    github.fault("dispatches", fault);
    let client = patient(&github, Duration::from_secs(3));
    let (workflow, before) = (workflow(&github), Timestamp::now());
    let error = client.dispatch(&workflow, &request(), "{}").await.unwrap_err();
    assert!(matches!(error, Error::Ambiguous { .. }), "{error:?}");
    assert!(!error.is_transient());
    let text = error.to_string();
    assert!(
        text.contains(part) && text.contains("build.yaml of acme/images at main"),
        "{text}"
    );
    assert_eq!(github.count("dispatches"), 1);
    let found = client.find_run(&workflow, &request(), before).await.unwrap();
    assert_eq!(found.unwrap().id, RunId(github.state().runs[0].id));
}

#[tokio::test]
async fn an_answer_that_breaks_off_has_said_that_the_run_was_started() {
    let github = GitHub::start().await;
    github.fault("dispatches", Fault::CutBody);
    let told = client(&github)
        .dispatch(&workflow(&github), &request(), "{}")
        .await;
    assert_eq!(told.unwrap(), None);
    assert_eq!(github.state().runs.len(), 1);
}

#[tokio::test]
async fn where_nothing_listens_nothing_was_started() {
    let host = format!("127.0.0.1:{}", free_port());
    let config = plain_http(vec![host.clone()]);
    let base = ApiBaseUrl::parse(ForgeKind::GitHub, &format!("http://{host}")).unwrap();
    let workflow = Workflow::new(base, "acme", "images", "build.yaml", "main").unwrap();
    let client = ActionsClient::new(&config, token()).unwrap();
    let error = client.dispatch(&workflow, &request(), "{}").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.is_transient());
    assert!(error.to_string().starts_with(&host), "{error}");
}

#[tokio::test]
async fn nothing_is_sent_without_tls_unless_the_host_may_be() {
    let github = GitHub::start().await;
    let config = plain_http(vec!["127.0.0.1".to_owned()]);
    let client = ActionsClient::new(&config, token()).unwrap();
    let error = client
        .dispatch(&workflow(&github), &request(), "{}")
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Address { .. }), "{error:?}");
    assert!(github.state().requests.is_empty());
}

#[tokio::test]
async fn inputs_that_github_would_not_take_are_not_sent() {
    let github = GitHub::start().await;
    let client = client(&github);
    let error = client
        .dispatch(&workflow(&github), &request(), &"x".repeat(65_536))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    assert!(github.state().requests.is_empty());
}

#[rstest]
#[case::file("images", "other.yaml", "main", &["(404)", "workflow other.yaml of acme/images at main", "may not see"])]
#[case::repository("nothing", "build.yaml", "main", &["(404)", "acme/nothing", "may not see"])]
#[case::reference("images", "build.yaml", "gone", &["No ref found for: gone", "check the branch or tag"])]
#[tokio::test]
async fn a_wrong_name_is_told(
    #[case] repository: &str,
    #[case] file: &str,
    #[case] reference: &str,
    #[case] parts: &[&str],
) {
    let github = GitHub::start().await;
    let workflow = at(&github, "acme", repository, file, reference);
    let error = client(&github)
        .dispatch(&workflow, &request(), "{}")
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&github.host), "{text}");
    for part in parts {
        assert!(text.contains(part), "{text}");
    }
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_workflow_that_cannot_be_started_so_is_told_how() {
    let github = GitHub::start().await;
    let (client, workflow) = (client(&github), workflow(&github));
    github.state().inputs = vec!["request_id"];
    let error = client.dispatch(&workflow, &request(), "{}").await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(
        text.contains(r#"Unexpected inputs provided: ["build"]: declare the inputs request_id and build"#),
        "{text}"
    );
    github.state().has_trigger = false;
    let error = client.dispatch(&workflow, &request(), "{}").await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("add workflow_dispatch to `on`"), "{text}");
    assert!(github.state().runs.is_empty());
}

#[rstest]
#[case(401, "Bad credentials", "has not expired")]
#[case(
    403,
    "Resource not accessible by integration",
    "the repository permission Actions: read and write"
)]
#[case(403, "Resource protected by organization SAML enforcement.", "single sign-on")]
#[case(
    422,
    "Cannot trigger a 'workflow_dispatch' on a disabled workflow",
    "enable the workflow"
)]
#[case(307, "Moved Permanently", "renamed or moved")]
#[tokio::test]
async fn a_refusal_says_what_to_do(#[case] status: u16, #[case] message: &str, #[case] hint: &str) {
    let github = GitHub::start().await;
    let body = format!(r#"{{"message": "{message}"}}"#);
    let location = format!("{}/repositories/1/dispatches", github.base);
    github.fault(
        "dispatches",
        Fault::Instead(status, vec![("location", location)], body),
    );
    let error = client(&github)
        .dispatch(&workflow(&github), &request(), "{}")
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(hint) && text.contains("build.yaml of acme/images"),
        "{text}"
    );
    assert!(status == 307 || text.contains(message), "{text}");
    let kind = match status {
        401 => matches!(error, Error::Authentication { .. }),
        403 => matches!(error, Error::Forbidden { .. }),
        _ => matches!(error, Error::Refused { .. }),
    };
    assert!(kind, "{error:?}");
    assert_eq!(github.state().requests.len(), 1);
}
