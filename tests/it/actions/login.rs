//! Logins: tokens, Apps whose proof openssl verifies, and self-hosted servers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use patchset::actions::{ActionsClient, ApiBaseUrl, Error, ForgeCredentials, ForgeKind, RunId, Workflow};
use rstest::rstest;
use serde_json::json;

use super::{at, config, request, secret, workflow};
use crate::support::github::{Fault, GitHub, Run, TOKEN, keys};
use crate::support::tls::Authority;

fn app(private: &str, installation: &str) -> BTreeMap<String, Vec<u8>> {
    secret(&[
        ("githubAppID", "4711"),
        ("githubAppInstallationID", installation),
        ("githubAppPrivateKey", private),
    ])
}

/// A server that knows an App with a new key, and a client for it.
async fn with_app(form: &[&str]) -> (GitHub, ActionsClient) {
    let github = GitHub::start().await;
    let (private, public) = keys(form);
    github.state().app = Some(("4711".to_owned(), public));
    let credentials = ForgeCredentials::from_secret(&app(&private, "42")).unwrap();
    let client = ActionsClient::new(&config(&github), credentials).unwrap();
    (github, client)
}

#[rstest]
#[case::as_github_gives_it(&["-traditional"])]
#[case::pkcs8(&[])]
#[tokio::test]
async fn an_app_gets_one_token_for_one_repository_and_actions_alone(#[case] form: &[&str]) {
    let (github, client) = with_app(form).await;
    github.state().runs.push(Run::new(7, "Build", Timestamp::now()));
    let workflow = workflow(&github);
    // Several at once, and then one more.
    let looks = (0..5).map(|_| client.look_at_run(&workflow, RunId(7)));
    for run in futures::future::join_all(looks).await {
        run.unwrap();
    }
    client.dispatch(&workflow, &request(), "{}").await.unwrap();
    let state = github.state();
    assert_eq!(state.granted.len(), 1);
    assert_eq!(
        state.granted[0].asked,
        json!({"repositories": ["images"], "permissions": {"actions": "write"}})
    );
    let login = format!("Bearer {}", state.granted[0].token);
    assert!(
        state.requests[1..]
            .iter()
            .all(|seen| seen.login.as_ref() == Some(&login))
    );
}

#[tokio::test]
async fn a_token_is_replaced_five_minutes_before_its_end() {
    let (github, client) = with_app(&["-traditional"]).await;
    github.state().runs.push(Run::new(7, "Build", Timestamp::now()));
    for (lifetime, tokens) in [(290, 1), (290, 2), (400, 3), (400, 3)] {
        github.state().lifetime = lifetime;
        client.look_at_run(&workflow(&github), RunId(7)).await.unwrap();
        assert_eq!(github.state().granted.len(), tokens);
    }
}

#[tokio::test]
async fn a_token_that_was_withdrawn_is_replaced_and_one_run_is_started() {
    let (github, client) = with_app(&["-traditional"]).await;
    let workflow = workflow(&github);
    client.dispatch(&workflow, &request(), "{}").await.unwrap();
    github.state().granted[0].ends = Timestamp::UNIX_EPOCH;
    client.dispatch(&workflow, &request(), "{}").await.unwrap();
    assert_eq!(github.state().granted.len(), 2);
    assert_eq!(github.state().runs.len(), 2);
    // A server whose tokens are expired when they come is not asked forever.
    github.state().lifetime = -10;
    github.state().granted[1].ends = Timestamp::UNIX_EPOCH;
    let error = client.dispatch(&workflow, &request(), "{}").await.unwrap_err();
    assert!(matches!(error, Error::Authentication { .. }), "{error:?}");
    assert_eq!(github.state().granted.len(), 3);
}

#[tokio::test]
async fn before_there_is_a_token_nothing_was_started() {
    let (github, client) = with_app(&["-traditional"]).await;
    github.fault("access_tokens", Fault::After(502));
    let workflow = workflow(&github);
    let error = client.dispatch(&workflow, &request(), "{}").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert_eq!(github.count("dispatches"), 0);
    client.dispatch(&workflow, &request(), "{}").await.unwrap();
}

#[tokio::test]
async fn an_app_that_is_not_what_the_secret_says_is_told() {
    let (github, client) = with_app(&["-traditional"]).await;
    let other = at(&github, "acme", "other", "build.yaml", "main");
    let error = client.dispatch(&other, &request(), "{}").await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("installation 42 of GitHub App 4711, for acme/other"),
        "{text}"
    );
    assert!(text.contains("install the App for this repository"), "{text}");

    let (private, _) = keys(&["-traditional"]);
    for (installation, key_is_right, part) in [
        ("42", false, "check githubAppID and githubAppPrivateKey"),
        ("43", true, "check githubAppInstallationID"),
    ] {
        let (right, public) = keys(&["-traditional"]);
        github.state().app = Some(("4711".to_owned(), public));
        let private = if key_is_right { &right } else { &private };
        let credentials = ForgeCredentials::from_secret(&app(private, installation)).unwrap();
        let client = ActionsClient::new(&config(&github), credentials).unwrap();
        let error = client.dispatch(&workflow(&github), &request(), "{}").await;
        let text = error.unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(github.count("dispatches"), 0);
}

#[tokio::test]
async fn an_app_of_one_server_is_not_shown_to_another() {
    let github = GitHub::start().await;
    let (private, _) = keys(&["-traditional"]);
    let mut data = app(&private, "42");
    let base = "https://github.example.org/api/v3/";
    data.insert("githubAppBaseURL".to_owned(), base.into());
    let credentials = ForgeCredentials::from_secret(&data).unwrap();
    assert_eq!(
        credentials.base_url(),
        Some(&ApiBaseUrl::parse(ForgeKind::GitHub, base).unwrap())
    );
    let client = ActionsClient::new(&config(&github), credentials).unwrap();
    let error = client
        .dispatch(&workflow(&github), &request(), "{}")
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Secret(_)), "{error:?}");
    assert!(github.state().requests.is_empty());
}

#[tokio::test]
async fn a_server_of_ones_own_is_trusted_by_ca_crt_alone() {
    let authority = Authority::new();
    let github = GitHub::with_tls(authority.server(None)).await;
    github.state().runs.push(Run::new(7, "Build", Timestamp::now()));
    let base = ApiBaseUrl::parse(ForgeKind::GitHub, &github.base).unwrap();
    let workflow = Workflow::new(base, "acme", "images", "build.yaml", "main").unwrap();
    let pem = authority.pem();
    for (entries, trusted) in [
        (&[("token", TOKEN), ("ca.crt", pem.as_str())][..], true),
        (&[("token", TOKEN)], false),
    ] {
        let credentials = ForgeCredentials::from_secret(&secret(entries)).unwrap();
        let client = ActionsClient::new(&config(&github), credentials).unwrap();
        match client.dispatch(&workflow, &request(), "{}").await {
            Ok(id) => assert!(trusted && id.is_some()),
            Err(error) => {
                assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
                assert!(!trusted && error.to_string().contains("certificate"), "{error}");
            }
        }
    }
    assert_eq!(github.count("dispatches"), 1);
}

#[test]
fn each_secret_that_cannot_be_used_says_why_and_shows_nothing() {
    let broken = "-----BEGIN RSA PRIVATE KEY-----\nhidden\n-----END RSA PRIVATE KEY-----\n";
    let elliptic = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let complete = |key| {
        [
            ("githubAppID", "1"),
            ("githubAppInstallationID", "2"),
            ("githubAppPrivateKey", key),
        ]
    };
    for (entries, part) in [
        (&[][..], "or an access token as token"),
        (&[("token", " \n")], "or an access token as token"),
        (&[("token", "hid\u{7}den")], "token contains characters"),
        (&[("token", "hidden"), ("password", "hidden")], "keep one"),
        (&[("token", "hidden"), ("githubAppID", "1")], "keep one"),
        (&[("token", "hidden"), ("ca.crt", "hidden")], "ca.crt"),
        (&[("githubAppID", "1")], "needs the key githubAppInstallationID"),
        (&complete("")[..2], "needs the key githubAppPrivateKey"),
        (&complete("hidden"), "not an RSA private key"),
        (&complete(broken), "not an RSA private key"),
        (&complete(&elliptic), "not an RSA private key"),
        (&[("githubAppID", "hidden/../x")], "githubAppID is neither"),
        (
            &[("githubAppID", "1"), ("githubAppInstallationID", "hidden")],
            "githubAppInstallationID is not a number",
        ),
    ] {
        let error = ForgeCredentials::from_secret(&secret(entries)).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(part), "{text}");
        assert!(!text.contains("hidden"), "{text}");
    }
    for key in ["token", "password", "bearerToken"] {
        let read =
            ForgeCredentials::from_secret(&secret(&[(key, " hidden\n"), ("username", "git")])).unwrap();
        assert!(!format!("{read:?}").contains("hidden"));
    }
    let (private, _) = keys(&["-traditional"]);
    let read = ForgeCredentials::from_secret(&app(&private, "42")).unwrap();
    let shown = format!("{read:?}");
    assert!(
        shown.contains("4711") && shown.to_ascii_lowercase().contains("redacted"),
        "{shown}"
    );
    assert!(!shown.contains("PRIVATE") && shown.len() < 500, "{shown}");
}
