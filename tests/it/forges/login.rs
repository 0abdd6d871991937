//! Logins: each server's own header, Apps, private authorities; and no other host gets them.

use axum::http::Method;
use forges::{
    Error, ForgeCredentials, ForgeKind, ForgeRepository, PlainHttp, PullRequestClient, RequestConfig,
};
use rstest::rstest;
use serde_json::json;

use super::{client, config, repository, request, secret, token};
use crate::support::forge::{Fault, Forge, TOKEN, path};
use crate::support::github::keys;
use crate::support::tls::Authority;

#[rstest]
#[case(ForgeKind::GitHub, "Bearer ")]
#[case(ForgeKind::GitLab, "")]
#[case(ForgeKind::Gitea, "token ")]
#[tokio::test]
async fn each_server_gets_the_token_where_it_looks_for_it(#[case] kind: ForgeKind, #[case] scheme: &str) {
    let forge = Forge::start(kind).await;
    for key in ["token", "password", "bearerToken"] {
        let credentials =
            ForgeCredentials::from_secret(&secret(&[(key, &format!("{TOKEN}\n")), ("username", "git")]))
                .unwrap();
        let client = PullRequestClient::new(&config(&forge), repository(&forge), credentials).unwrap();
        client.ensure(&request("One", "", &[])).await.unwrap();
    }
    let login = format!("{scheme}{TOKEN}");
    assert!(
        forge
            .state()
            .requests
            .iter()
            .all(|seen| seen.login.as_ref() == Some(&login))
    );
}

#[tokio::test]
async fn the_password_of_an_ssh_key_is_no_token() {
    let data = secret(&[("identity", "key"), ("password", "hidden"), ("token", TOKEN)]);
    let credentials = ForgeCredentials::from_secret(&data).unwrap();
    let forge = Forge::start(ForgeKind::Gitea).await;
    let client = PullRequestClient::new(&config(&forge), repository(&forge), credentials).unwrap();
    client.ensure(&request("One", "", &[])).await.unwrap();
    let data = secret(&[("identity", "key"), ("password", "hidden")]);
    let error = ForgeCredentials::from_secret(&data).unwrap_err();
    assert!(
        error.to_string().contains("or an access token as token"),
        "{error}"
    );
}

fn app(private: &str) -> ForgeCredentials {
    ForgeCredentials::from_secret(&secret(&[
        ("githubAppID", "4711"),
        ("githubAppInstallationID", "42"),
        ("githubAppPrivateKey", private),
    ]))
    .unwrap()
}

#[tokio::test]
async fn an_app_gets_one_token_for_one_repository_and_pull_requests_alone() {
    let forge = Forge::start(ForgeKind::GitHub).await;
    let (private, public) = keys(&["-traditional"]);
    forge.state().app = Some(("4711".to_owned(), public));
    let client = PullRequestClient::new(&config(&forge), repository(&forge), app(&private)).unwrap();
    for title in ["One", "Two"] {
        client
            .ensure(&request(title, "", &["bug".to_owned()]))
            .await
            .unwrap();
    }
    {
        let mut state = forge.state();
        assert_eq!(state.granted.len(), 1);
        assert_eq!(
            state.granted[0].1,
            json!({"repositories": ["gitops"], "permissions": {"contents": "read", "pull_requests": "write"}})
        );
        // The server revokes it.
        state.granted[0].0 = "withdrawn".to_owned();
    }
    client.ensure(&request("Three", "", &[])).await.unwrap();
    assert_eq!(forge.state().granted.len(), 2);

    let other = forge.git_url.replace("gitops", "other");
    let other = ForgeRepository::from_git_url(ForgeKind::GitHub, &other, None).unwrap();
    let client = PullRequestClient::new(&config(&forge), other, app(&private)).unwrap();
    let error = client.ensure(&request("One", "", &[])).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("for acme/other") && text.contains("Pull requests: read and write"),
        "{text}"
    );
}

#[rstest]
#[case::permitted(true)]
#[case::not_permitted(false)]
#[tokio::test]
async fn an_app_makes_labels_where_it_may(#[case] may: bool) {
    let forge = Forge::start(ForgeKind::GitHub).await;
    let (private, public) = keys(&["-traditional"]);
    forge.state().app = Some(("4711".to_owned(), public));
    if may {
        forge.state().app_permissions.push("issues");
    }
    let client = PullRequestClient::new(&config(&forge), repository(&forge), app(&private)).unwrap();
    let labels = ["bug", "new"].map(str::to_owned);
    let ensured = client.ensure(&request("One", "", &labels)).await.unwrap();
    let lacks = ensured
        .missing_labels
        .map(|lacks| lacks.labels)
        .unwrap_or_default();
    let (expected, lacking): (&[&str], &[&str]) = if may {
        (&["bug", "new"], &[])
    } else {
        (&["bug"], &["new"])
    };
    assert_eq!(forge.state().pulls[0].labels, expected);
    assert_eq!(lacks, lacking);
    // The token used to look and open has no further permissions.
    let permissions = json!({"contents": "read", "pull_requests": "write"});
    assert_eq!(forge.state().granted[0].1["permissions"], permissions);
}

#[rstest]
#[tokio::test]
async fn an_app_is_of_github_alone(#[values(ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind) {
    let forge = Forge::start(kind).await;
    let (private, _) = keys(&["-traditional"]);
    let client = PullRequestClient::new(&config(&forge), repository(&forge), app(&private)).unwrap();
    let error = client.ensure(&request("One", "", &[])).await.unwrap_err();
    assert!(matches!(error, Error::Secret(_)), "{error:?}");
    assert!(forge.state().requests.is_empty());
}

#[rstest]
#[tokio::test]
async fn a_server_of_ones_own_is_trusted_by_ca_crt_alone(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
) {
    let authority = Authority::new();
    let forge = Forge::with_tls(kind, authority.server(None)).await;
    let pem = authority.pem();
    for (entries, trusted) in [
        (&[("token", TOKEN), ("ca.crt", pem.as_str())][..], true),
        (&[("token", TOKEN)], false),
    ] {
        let credentials = ForgeCredentials::from_secret(&secret(entries)).unwrap();
        let config = RequestConfig {
            retries: 0,
            ..RequestConfig::default()
        };
        let client = PullRequestClient::new(&config, repository(&forge), credentials).unwrap();
        match client.ensure(&request("One", "", &[])).await {
            Ok(opened) => assert!(trusted && opened.number == 1),
            Err(error) => {
                assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
                assert!(!trusted && error.to_string().contains("certificate"), "{error}");
            }
        }
    }
    assert_eq!(forge.writes(), 1);
}

#[tokio::test]
async fn nothing_is_sent_without_tls_unless_it_may_be() {
    let forge = Forge::start(ForgeKind::GitLab).await;
    let config = RequestConfig {
        plain_http: PlainHttp::default(),
        ..config(&forge)
    };
    let client = PullRequestClient::new(&config, repository(&forge), token()).unwrap();
    let error = client.ensure(&request("One", "", &[])).await.unwrap_err();
    assert!(matches!(error, Error::Address { .. }), "{error:?}");
    assert!(forge.state().requests.is_empty());
}

#[rstest]
#[tokio::test]
async fn a_redirect_is_told_and_gets_no_login(
    #[values(ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea)] kind: ForgeKind,
    #[values(301, 302, 307, 308)] status: u16,
    #[values(Method::GET, Method::POST)] method: Method,
) {
    let (forge, other) = (Forge::start(kind).await, Forge::start(kind).await);
    let location = format!("http://{}/{}", other.host, path(kind));
    let fault = Fault::Instead(status, vec![("location", location)], String::new());
    forge.fault(method, fault);
    let error = client(&forge).ensure(&request("One", "", &[])).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("renamed or moved"), "{error}");
    assert!(other.state().requests.is_empty());
}
