//! Requests that are not needed any more.

use axum::http::Method;
use patchset::forge::{Error, ForgeKind};
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
    // Refused, because it was closed in between.
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
