//! What servers refuse and what they get wrong: advice for each case, and no login in any message.

use axum::http::Method;
use forges::{
    DesiredPullRequest, Error, ForgeCredentials, ForgeKind, ForgeRepository, PullRequestClient, RequestConfig,
};
use jiff::{SignedDuration, Timestamp};
use rstest::rstest;

use super::{client, config, repository, request, secret, start, token};
use crate::support::forge::{Fault, Forge, TOKEN, path};

fn instead(status: u16, body: &str) -> Fault {
    Fault::Instead(status, Vec::new(), body.to_owned())
}

#[rstest]
#[case(ForgeKind::GitHub, "Bad credentials")]
#[case(ForgeKind::GitLab, "401 Unauthorized")]
#[case(ForgeKind::Gitea, "invalid username, password or token")]
#[tokio::test]
async fn a_wrong_token_is_told_and_not_shown(#[case] kind: ForgeKind, #[case] said: &str) {
    let forge = Forge::start(kind).await;
    let credentials = ForgeCredentials::from_secret(&secret(&[("token", "wrong-hidden")])).unwrap();
    let client = PullRequestClient::new(&config(&forge), repository(&forge), credentials).unwrap();
    let error = client.ensure(&request("One", "", &[])).await.unwrap_err();
    assert!(matches!(error, Error::Authentication { .. }), "{error:?}");
    assert!(!error.is_transient());
    let text = format!("{error} {error:?}");
    assert!(text.starts_with(&forge.host) && text.contains(said), "{text}");
    assert!(
        text.contains("has not expired") && !text.contains("hidden"),
        "{text}"
    );
    assert_eq!(forge.state().requests.len(), 1);
}

#[rstest]
#[case(
    ForgeKind::GitHub,
    r#"{"message": "Resource not accessible by personal access token"}"#,
    &["Pull requests: read and write", "Resource not accessible"]
)]
#[case(
    ForgeKind::GitHub,
    r#"{"message": "Resource protected by organization SAML enforcement."}"#,
    &["single sign-on"]
)]
#[case(
    ForgeKind::GitLab,
    r#"{"error": "insufficient_scope", "error_description": "The request requires higher privileges than provided by the access token.", "scope": "api"}"#,
    &["scope api", "Developer", "higher privileges"]
)]
#[case(ForgeKind::GitLab, r#"{"message": "403 Forbidden"}"#, &["scope api", "Developer"])]
#[case(
    ForgeKind::Gitea,
    r#"{"message": "token does not have at least one of required scope(s), required=[write:repository], token scope=read:user"}"#,
    &["write:repository", "required scope"]
)]
#[case(ForgeKind::Gitea, "", &["write:repository"])]
#[tokio::test]
async fn a_login_that_may_not_is_told_what_to_grant(
    #[case] kind: ForgeKind,
    #[case] body: &str,
    #[case] parts: &[&str],
    #[values(Method::GET, Method::POST)] method: Method,
) {
    let (forge, client) = start(kind).await;
    forge.fault(method, instead(403, body));
    let error = client.ensure(&request("One", "", &[])).await.unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error:?}");
    let text = error.to_string();
    let about = format!("request from patchset/prod to main of {}", path(kind));
    assert!(text.contains(&about), "{text}");
    for part in parts {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn labels_of_gitea_need_a_scope_of_their_own() {
    let (forge, client) = start(ForgeKind::Gitea).await;
    client.ensure(&request("One", "", &[])).await.unwrap();
    forge.fault(Method::POST, instead(403, ""));
    let labels = ["bug".to_owned()];
    let ensured = client.ensure(&request("One", "", &labels)).await.unwrap();
    let text = ensured.missing_labels.unwrap().reason;
    assert!(
        text.contains("the labels of pull request 1") && text.contains("write:issue"),
        "{text}"
    );
}

#[rstest]
#[case(ForgeKind::GitHub, "GitHub hides")]
#[case(ForgeKind::GitLab, "GitLab hides")]
#[case(ForgeKind::Gitea, "Gitea hides")]
#[tokio::test]
async fn a_repository_that_is_not_seen_is_told(#[case] kind: ForgeKind, #[case] part: &str) {
    let forge = Forge::start(kind).await;
    let other = forge.git_url.replace("gitops", "nothing");
    let other = ForgeRepository::from_git_url(kind, &other, None).unwrap();
    let client = PullRequestClient::new(&config(&forge), other, token()).unwrap();
    for error in [
        client.ensure(&request("One", "", &[])).await.unwrap_err(),
        client.find("patchset/prod", "main").await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(part) && text.contains("nothing"), "{text}");
    }
    assert_eq!(forge.writes(), 0);
}

#[rstest]
#[case(ForgeKind::GitHub, "gone", "main", "head is invalid: check that the branch")]
#[case(
    ForgeKind::GitHub,
    "patchset/prod",
    "gone",
    "base is invalid: check the branch to merge into"
)]
#[case(
    ForgeKind::GitHub,
    "release/1.0",
    "main",
    "No commits between main and release/1.0: there is nothing"
)]
#[case(ForgeKind::GitLab, "gone", "main", "does not exist: check that the branch")]
#[case(ForgeKind::Gitea, "gone", "main", "check that both branches exist")]
#[tokio::test]
async fn branches_that_cannot_be_merged_are_told(
    #[case] kind: ForgeKind,
    #[case] head: &str,
    #[case] base: &str,
    #[case] part: &str,
) {
    let (forge, client) = start(kind).await;
    forge.state().merged.push("release/1.0".to_owned());
    let wanted = DesiredPullRequest {
        head,
        base,
        ..request("One", "", &[])
    };
    let error = client.ensure(&wanted).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(part) && !error.is_transient(), "{error:?}");
}

#[rstest]
#[case(ForgeKind::GitHub, 403, vec![("retry-after", "30")], "", 30)]
#[case(ForgeKind::GitHub, 403, vec![("x-ratelimit-remaining", "4000")], "You have exceeded a secondary rate limit.", 60)]
#[case(ForgeKind::GitLab, 429, vec![("retry-after", "20"), ("ratelimit-remaining", "0")], "Retry later", 20)]
#[case(ForgeKind::Gitea, 429, vec![], "", 60)]
#[tokio::test]
async fn a_limit_has_an_end_and_holds_until_then(
    #[case] kind: ForgeKind,
    #[case] status: u16,
    #[case] headers: Vec<(&'static str, &str)>,
    #[case] message: &str,
    #[case] seconds: i64,
) {
    let (forge, client) = start(kind).await;
    let headers = headers.into_iter();
    let headers = headers.map(|(name, value)| (name, value.to_owned())).collect();
    let body = format!(r#"{{"message": "{message}"}}"#);
    forge.fault(Method::POST, Fault::Instead(status, headers, body));
    let before = Timestamp::now();
    let error = client.ensure(&request("One", "", &[])).await.unwrap_err();
    assert!(error.is_transient());
    let Error::Limited { until, .. } = error else {
        panic!("{error:?}");
    };
    let wait = SignedDuration::from_secs(seconds);
    assert!(until >= before + wait && until <= Timestamp::now() + wait);
    // Nothing is sent before.
    let sent = forge.state().requests.len();
    for error in [
        client.ensure(&request("One", "", &[])).await.unwrap_err(),
        client.close(1).await.unwrap_err(),
    ] {
        assert!(
            matches!(error, Error::Limited { until: again, .. } if again == until),
            "{error:?}"
        );
    }
    assert_eq!(forge.state().requests.len(), sent);
}

#[rstest]
#[tokio::test]
async fn what_fails_on_the_way_is_tried_again_and_then_told(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let (forge, client) = start(kind).await;
    forge.fault(Method::GET, instead(503, ""));
    forge.fault(Method::GET, instead(500, "<html>"));
    client.ensure(&request("One", "", &[])).await.unwrap();
    for _ in 0..3 {
        let body = format!(r#"{{"message": "broken {TOKEN}"}}"#);
        forge.fault(Method::GET, instead(500, &body));
    }
    let error = client.ensure(&request("Two", "", &[])).await.unwrap_err();
    assert!(
        matches!(error, Error::Unavailable { .. }) && error.is_transient(),
        "{error:?}"
    );
    let text = format!("{error} {error:?}");
    assert!(text.contains("broken ***") && !text.contains(TOKEN), "{text}");
    assert_eq!(forge.state().pulls[0].title, "One");
}

#[rstest]
#[tokio::test]
async fn answers_are_bounded_and_have_to_be_the_apis(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let forge = Forge::start(kind).await;
    let config = RequestConfig {
        retries: 0,
        ..config(&forge)
    };
    let client = PullRequestClient::new(&config, repository(&forge), token()).unwrap();
    forge.fault(Method::GET, Fault::Flood(9 << 20));
    let error = client.find("patchset/prod", "main").await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    for body in ["<html>", "{}", r#"[{"number": "one"}]"#, "[null]"] {
        forge.fault(Method::GET, instead(200, body));
        let error = client.find("patchset/prod", "main").await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains("check the address"), "{error}");
    }
}

#[tokio::test]
async fn a_page_that_is_no_address_of_the_web_is_left_out() {
    let forge = Forge::start(ForgeKind::Gitea).await;
    let body = r#"[{"number": 1, "html_url": "javascript:alert(1)", "state": "open", "title": "One", "body": "",
        "head": {"label": "patchset/prod", "ref": "patchset/prod", "repo": {"id": 7}},
        "base": {"label": "main", "ref": "main", "repo": {"id": 7}}}]"#;
    forge.fault(Method::GET, instead(200, body));
    let told = client(&forge).ensure(&request("One", "", &[])).await.unwrap();
    assert_eq!(told.url, "");
}
