//! Requests that are not needed.

use axum::http::Method;
use forges::{Error, ForgeKind};
use rstest::rstest;

use super::{BASE, HEAD, start};
use crate::support::forge::Fault;

#[rstest]
#[tokio::test]
async fn an_open_one_is_closed_once(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let (forge, client) = start(kind).await;
    forge.add(HEAD, BASE, "open");
    forge.add(HEAD, "release/1.0", "open");
    for _ in 0..2 {
        client.close(1).await.unwrap();
        let state = forge.state();
        assert_eq!((state.pulls[0].state, state.pulls[1].state), ("closed", "open"));
    }
    assert_eq!(forge.writes(), 1);
}

#[rstest]
#[tokio::test]
async fn a_word_is_said_once_before_it_is_closed(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let (forge, client) = start(kind).await;
    forge.add(HEAD, BASE, "open");
    // The comment is made, but the answer is lost; then the request cannot be closed.
    forge.fault(Method::POST, Fault::After(502));
    let closing = if kind == ForgeKind::GitLab {
        Method::PUT
    } else {
        Method::PATCH
    };
    for _ in 0..4 {
        let body = "{}".to_owned();
        forge.fault(closing.clone(), Fault::Instead(503, Vec::new(), body));
    }
    let word = "All of it is there: somebody was faster.\r\n\n/close is no command";
    client.close_with(1, word).await.unwrap_err();
    client.close_with(1, word).await.unwrap();
    client.close_with(1, "another").await.unwrap();
    let state = forge.state();
    assert_eq!(state.pulls[0].state, "closed");
    assert_eq!(state.pulls[0].comments.len(), 1, "{:?}", state.pulls[0].comments);
    let said = &state.pulls[0].comments[0];
    assert!(said.starts_with("All of it is there"), "{said}");
    assert_eq!(said.contains("\\/close"), kind == ForgeKind::GitLab);
}

#[rstest]
#[tokio::test]
async fn what_is_merged_stays_so(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let (forge, client) = start(kind).await;
    forge.add(HEAD, BASE, "merged");
    client.close(1).await.unwrap();
    assert_eq!(forge.state().pulls[0].state, "merged");
    assert_eq!(forge.writes(), 0);
}

#[rstest]
#[tokio::test]
async fn one_that_is_not_there_is_told(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let (_forge, client) = start(kind).await;
    let error = client.close(9).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert!(error.to_string().contains("request 9 of "), "{error}");
}

#[rstest]
#[tokio::test]
async fn an_answer_that_got_lost_is_made_up_for(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let (forge, client) = start(kind).await;
    forge.add(HEAD, BASE, "open");
    let method = if kind == ForgeKind::GitLab {
        Method::PUT
    } else {
        Method::PATCH
    };
    forge.fault(method.clone(), Fault::After(503));
    client.close(1).await.unwrap();
    assert_eq!(forge.state().pulls[0].state, "closed");
    assert_eq!(forge.writes(), 1);
    // Refused, because it was closed in the meantime.
    forge.add(HEAD, BASE, "open");
    forge.fault(method.clone(), Fault::After(422));
    client.close(2).await.unwrap();
    // Refused, and still open.
    forge.add(HEAD, BASE, "open");
    let refusal = Fault::Instead(422, Vec::new(), r#"{"message": "no, never"}"#.to_owned());
    forge.fault(method, refusal);
    let error = client.close(3).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { .. }) && error.to_string().contains("no, never"),
        "{error:?}"
    );
}
