//! Drafts, who is asked for a review, and what people see of a request.

use axum::http::Method;
use forges::{DesiredPullRequest, Error, ForgeKind, PullRequestState, Readiness};
use rstest::rstest;

use super::{BASE, HEAD, request, start};
use crate::support::forge::Fault;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[rstest]
#[case(ForgeKind::GitHub, "Drop two patches")]
#[case(ForgeKind::GitLab, "Draft: Drop two patches")]
#[case(ForgeKind::Gitea, "WIP: Drop two patches")]
#[tokio::test]
async fn a_draft_is_opened_and_what_people_make_of_it_stays(#[case] kind: ForgeKind, #[case] title: &str) {
    let (forge, client) = start(kind).await;
    let wanted = DesiredPullRequest {
        readiness: Readiness::Draft,
        ..request("Drop two patches", "text", &[])
    };
    client.ensure(&wanted).await.unwrap();
    assert_eq!(forge.state().pulls[0].title, title);
    assert_eq!(forge.state().pulls[0].is_draft, kind == ForgeKind::GitHub);
    let found = client.read(HEAD, BASE).await.unwrap().unwrap();
    assert!(found.is_draft && client.has_title(&found, "Drop two patches"));
    assert!(!client.has_title(&found, "Drop three patches"));

    // A person marks it as ready.
    {
        let mut state = forge.state();
        "Drop two patches".clone_into(&mut state.pulls[0].title);
        state.pulls[0].is_draft = false;
    }
    let writes = forge.writes();
    client.ensure(&wanted).await.unwrap();
    assert_eq!(forge.writes(), writes);
    let found = client.read(HEAD, BASE).await.unwrap().unwrap();
    assert!(!found.is_draft && client.has_title(&found, "Drop two patches"));
}

#[rstest]
#[tokio::test]
async fn what_people_see_of_a_request_is_read(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let (forge, client) = start(kind).await;
    assert_eq!(client.read(HEAD, BASE).await.unwrap(), None);
    let labels = names(&["bug"]);
    let body = "one\r\n\n/close\n<!-- hidden -->\n";
    client.ensure(&request("One", body, &labels)).await.unwrap();
    let found = client.read(HEAD, BASE).await.unwrap().unwrap();
    assert_eq!(
        (found.request.number, found.request.state),
        (1, PullRequestState::Open)
    );
    assert_eq!(
        (&*found.title, found.labels.as_slice()),
        ("One", labels.as_slice())
    );
    assert!(client.has_body(&found, body) && !client.has_body(&found, "other"));
    assert!(found.body.contains("<!-- hidden -->"), "{}", found.body);
    for (state, expected) in [
        ("closed", PullRequestState::Closed),
        ("merged", PullRequestState::Merged),
    ] {
        forge.state().pulls[0].state = state;
        let found = client.read(HEAD, BASE).await.unwrap().unwrap();
        assert_eq!(found.request.state, expected);
    }
}

#[rstest]
#[tokio::test]
async fn who_can_be_asked_for_a_review_is_and_others_are_told(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let (forge, client) = start(kind).await;
    client.ensure(&request("One", "", &[])).await.unwrap();
    assert_eq!(client.ask_for_reviews(1, &[]).await.unwrap(), None);
    assert_eq!(
        client.ask_for_reviews(1, &names(&["@ann", "ANN"])).await.unwrap(),
        None
    );
    assert_eq!(forge.state().pulls[0].reviewers, ["ann"]);
    let asked = names(&["ann", "nobody", "ben"]);
    let missing = client.ask_for_reviews(1, &asked).await.unwrap().unwrap();
    assert_eq!(missing.reviewers, ["nobody"]);
    assert!(missing.reason.contains("the reviewers of "), "{}", missing.reason);
    assert_eq!(forge.state().pulls[0].reviewers, ["ann", "ben"]);
    let team = client.ask_for_reviews(1, &names(&["acme/core"])).await.unwrap();
    assert_eq!(team.is_some(), kind == ForgeKind::GitLab, "{team:?}");
    for wrong in ["", "a b", "a\nb"] {
        let error = client.ask_for_reviews(1, &names(&[wrong])).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    }
    assert!(
        client
            .ask_for_reviews(1, &vec!["x".to_owned(); 51])
            .await
            .is_err()
    );
}

#[rstest]
#[tokio::test]
async fn a_server_that_is_away_leaves_nobody_out(
    #[values(ForgeKind::GitHub, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let (forge, client) = start(kind).await;
    client.ensure(&request("One", "", &[])).await.unwrap();
    for _ in 0..8 {
        forge.fault(Method::POST, Fault::Instead(503, Vec::new(), "{}".to_owned()));
    }
    let error = client.ask_for_reviews(1, &names(&["ann"])).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}
