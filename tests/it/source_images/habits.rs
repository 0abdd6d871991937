//! Variations among honest registries: logins, tokens, answers.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rstest::rstest;
use serde_json::json;
use source_images::{Credentials, Error, Registry as Client, RegistryConfig};

use super::{image_reference, upstream};
use crate::support::crafted::{INDEX, MANIFEST, digest, distribution};
use crate::support::fake_registry::{
    Asks, FakeRegistry, Habit, IDENTITY_TOKEN, PASSWORD, Profile, Says, USER, basic, complaint,
};
use crate::support::measured::{Measured, run};
use crate::support::registry::Registry;
use crate::support::tls::Authority;
use crate::support::token_server::TokenServer;

/// `patchset source --push` to a registry without TLS.
pub fn push(root: &Path, host: &str, reference: &str) -> Measured {
    run(command(root, reference).args(["--plain-http", host]))
}

/// The same, without saying that there is no TLS. `root` has the `config.json`, and is where the
/// source is created.
pub fn command(root: &Path, reference: &str) -> Command {
    let repo = root.join("component.git");
    if !repo.exists() {
        upstream(root);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchset"));
    command
        .args(["source", "--ref", "1.2.3", "--push", reference, "--repo"])
        .arg(&repo)
        .env("DOCKER_CONFIG", root);
    command
}

/// Writes a `config.json` with ann's login for a key.
pub fn log_in(root: &Path, key: &str) {
    let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let config = json!({ "auths": { key: { "auth": auth } } });
    std::fs::write(root.join("config.json"), config.to_string()).unwrap();
}

/// A client with ann's login.
pub fn client(host: &str) -> Client {
    let auth = json!({ "auths": { host: { "username": USER, "password": PASSWORD } } });
    let credentials = Credentials::parse("test", auth.to_string().as_bytes()).unwrap();
    let config = RegistryConfig {
        plain_http: vec![host.to_owned()],
        retries: 1,
        ..RegistryConfig::default()
    };
    Client::new(config, credentials)
}

fn succeeded(pushed: &Measured, host: &str) {
    assert_eq!(pushed.code, Some(0), "{}", pushed.stderr);
    assert!(
        pushed.stdout.starts_with(&format!("{host}/")),
        "{}",
        pushed.stdout
    );
    for secret in [PASSWORD, IDENTITY_TOKEN] {
        assert!(!pushed.stderr.contains(secret), "{}", pushed.stderr);
    }
}

/// Everything that a registry may leave out of, or add to, its answers to a push.
#[rstest]
#[case::no_location(vec![Habit::after(Method::PUT, "/manifests/", Says::new(201, ""))])]
#[case::status_200(vec![Habit::after(Method::PUT, "/manifests/", Says::new(200, "{}"))])]
#[case::token_server_down(vec![Habit::instead(Method::GET, "/token", Says::new(503, "")).times(2)])]
#[case::limited(vec![Habit::instead(Method::GET, "/token", Says::new(429, "").with("retry-after", "1")).times(1)])]
#[case::no_name(vec![Habit::instead(Method::HEAD, "/manifests/", complaint(404, "NAME_UNKNOWN", "no such name"))])]
#[case::asks_late(vec![Habit::instead(Method::GET, "/v2/", Says::new(404, "")).times(1)])]
fn a_push_succeeds(#[case] habits: Vec<Habit>) {
    let root = tempfile::tempdir().unwrap();
    let registry = FakeRegistry::start(Profile {
        asks: Asks::Bearer(String::new()),
        habits,
        ..Profile::default()
    });
    log_in(root.path(), &registry.host);
    let pushed = push(
        root.path(),
        &registry.host,
        &format!("{}/team/a:1", registry.host),
    );
    succeeded(&pushed, &registry.host);
    assert!(registry.manifest("team/a", "1").is_some());
    let state = registry.state();
    let mut tokens = state.seen.iter().filter(|seen| seen.path.starts_with("/token"));
    // One scope for everything that a push does, including its looks.
    assert!(tokens.all(|seen| seen.path.contains("scope=repository%3Ateam%2Fa%3Apull%2Cpush")));
    let with_password = state
        .seen
        .iter()
        .filter(|seen| seen.login.as_deref() == Some(&basic()));
    assert!(with_password.count() >= 1);
}

#[test]
fn a_wait_that_the_registry_asks_for_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let registry = FakeRegistry::start(Profile::default());
    registry.habit(
        Habit::instead(
            Method::PUT,
            "/manifests/",
            Says::new(429, "").with("retry-after", "3"),
        )
        .times(1),
    );
    let begun = Instant::now();
    let pushed = push(root.path(), &registry.host, &format!("{}/a:1", registry.host));
    succeeded(&pushed, &registry.host);
    assert!(begun.elapsed().as_secs() >= 3);
}

#[test]
fn a_real_registry_takes_tokens_of_a_token_server() {
    let root = tempfile::tempdir().unwrap();
    let tokens = TokenServer::start();
    let registry = Registry::with_tokens(&tokens);
    let reference = format!("{}/team/a:1", registry.host);
    let refused = push(root.path(), &registry.host, &reference);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("refuses the credentials for team/a"),
        "{}",
        refused.stderr
    );
    log_in(root.path(), &registry.host);
    let pushed = push(root.path(), &registry.host, &reference);
    succeeded(&pushed, &registry.host);
}

#[test]
fn an_identity_token_is_taken_to_the_token_server_alone() {
    let root = tempfile::tempdir().unwrap();
    let registry = FakeRegistry::start(Profile {
        asks: Asks::Bearer(String::new()),
        ..Profile::default()
    });
    // As written by `az acr login`.
    let auth = STANDARD.encode("00000000-0000-0000-0000-000000000000:");
    let config = json!({ "auths": { &registry.host: { "auth": auth, "identitytoken": IDENTITY_TOKEN } } });
    std::fs::write(root.path().join("config.json"), config.to_string()).unwrap();
    let pushed = push(root.path(), &registry.host, &format!("{}/a:1", registry.host));
    succeeded(&pushed, &registry.host);
    assert!(registry.count(&Method::POST, "/token") >= 1);
    registry.state().profile.asks = Asks::Basic;
    let refused = push(root.path(), &registry.host, &format!("{}/a:2", registry.host));
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("an identity token"), "{}", refused.stderr);
}

#[test]
fn a_login_for_a_path_is_sent_for_that_path_alone() {
    let root = tempfile::tempdir().unwrap();
    let registry = FakeRegistry::start(Profile {
        asks: Asks::Basic,
        ..Profile::default()
    });
    log_in(root.path(), &format!("{}/team", registry.host));
    for other in ["other/a", "team-b/a"] {
        let refused = push(
            root.path(),
            &registry.host,
            &format!("{}/{other}:1", registry.host),
        );
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("refuses the credentials"),
            "{}",
            refused.stderr
        );
    }
    assert!(registry.state().seen.iter().all(|seen| seen.login.is_none()));
    let pushed = push(
        root.path(),
        &registry.host,
        &format!("{}/team/a:1", registry.host),
    );
    succeeded(&pushed, &registry.host);
}

#[test]
fn wrong_credentials_and_missing_repositories_are_told_as_such() {
    let root = tempfile::tempdir().unwrap();
    let registry = FakeRegistry::start(Profile {
        asks: Asks::Bearer(String::new()),
        ..Profile::default()
    });
    let reference = format!("{}/team/a:1", registry.host);
    let refused = push(root.path(), &registry.host, &reference);
    assert!(
        refused.stderr.contains("refuses the credentials for team/a"),
        "{}",
        refused.stderr
    );
    log_in(root.path(), &registry.host);
    registry.habit(Habit::instead(
        Method::POST,
        "/blobs/uploads/",
        complaint(
            404,
            "NAME_UNKNOWN",
            "the repository with name 'team/a' does not exist",
        ),
    ));
    let refused = push(root.path(), &registry.host, &reference);
    assert!(
        refused
            .stderr
            .contains("there is no repository team/a: create it"),
        "{}",
        refused.stderr
    );
    registry.state().profile.habits.clear();
    registry.habit(Habit::instead(
        Method::PUT,
        "/manifests/",
        complaint(403, "DENIED", "the tag is immutable"),
    ));
    let refused = push(root.path(), &registry.host, &reference);
    assert!(
        refused.stderr.contains("DENIED: the tag is immutable"),
        "{}",
        refused.stderr
    );
}

#[test]
fn blobs_are_kept_at_another_host_which_gets_no_login() {
    let root = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let kept = FakeRegistry::with_tls(Profile::default(), authority.server(None));
    let registry = FakeRegistry::with_tls(
        Profile {
            asks: Asks::Basic,
            ..Profile::default()
        },
        authority.server(None),
    );
    // The same in the address that uploads go to.
    let place = format!("https://{}/v2/a/blobs/uploads/session?state=x%2By", kept.host);
    registry.habit(Habit::instead(
        Method::POST,
        "/blobs/uploads/",
        Says::new(202, "").with("location", &place),
    ));
    let layer = format!("https://{}/v2/a/blobs/none", kept.host);
    registry.habit(Habit::instead(
        Method::HEAD,
        "/blobs/",
        Says::new(307, "").with("location", &layer),
    ));
    log_in(root.path(), &registry.host);
    let certificate = root.path().join("ca.pem");
    std::fs::write(&certificate, authority.pem()).unwrap();
    let pushed =
        run(command(root.path(), &format!("{}/a:1", registry.host)).env("SSL_CERT_FILE", &certificate));
    succeeded(&pushed, &registry.host);
    assert_eq!(kept.count(&Method::PUT, "/blobs/uploads/"), 2);
    assert!(kept.state().seen.iter().all(|seen| seen.login.is_none()));
    assert!(registry.count(&Method::PUT, "/blobs/uploads/") == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_attached_is_listed_by_the_registry_or_in_a_tag() {
    let registry = FakeRegistry::start(Profile {
        lists_referrers: true,
        ..Profile::default()
    });
    let image = registry.image("a", None, "x", &distribution("x", "1", false));
    let (reference, list) = (format!("{}/a@{image}", registry.host), image.replace(':', "-"));
    let client = client(&registry.host);
    client
        .attach(&image_reference(&reference), "application/x", b"1")
        .await
        .unwrap();
    assert!(registry.manifest("a", &list).is_none());

    // Without that, in the tag, which keeps the entries of others.
    registry.state().profile.lists_referrers = false;
    let others =
        json!({ "mediaType": MANIFEST, "digest": digest(b"other"), "size": 5, "annotations": { "a": "b" } });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [others] }).to_string();
    let key = ("a".to_owned(), list.clone());
    registry
        .state()
        .manifests
        .insert(key, (INDEX.to_owned(), index.into_bytes()));
    let attached = client
        .attach(&image_reference(&reference), "application/x", b"2")
        .await
        .unwrap();
    let listed = registry.manifest("a", &list).unwrap();
    assert_eq!(listed["manifests"][0], others);
    let named = &attached.digest().unwrap().to_string();
    assert_eq!(listed["manifests"][1]["digest"], *named);
    let artifact = registry.manifest("a", named).unwrap();
    assert_eq!(artifact["subject"]["digest"], image);
    let before = registry.count(&Method::PUT, &list);
    client
        .attach(&image_reference(&reference), "application/x", b"2")
        .await
        .unwrap();
    assert_eq!(registry.count(&Method::PUT, &list), before, "it was listed twice");

    // Only a missing tag means an empty list: otherwise the entries of others would be lost.
    for status in [403, 429, 406, 500] {
        registry.habit(Habit::instead(Method::GET, &list, Says::new(status, "")).times(2));
        let error = client
            .attach(&image_reference(&reference), "application/x", b"3")
            .await
            .unwrap_err();
        assert!(matches!(
            error,
            Error::Authentication { .. } | Error::Unavailable { .. } | Error::Refused { .. }
        ));
        registry.state().profile.habits.clear();
        assert_eq!(registry.manifest("a", &list).unwrap(), listed, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_writes_the_list_at_the_same_time_is_waited_for() {
    let registry = FakeRegistry::start(Profile::default());
    let image = registry.image("a", None, "x", b"");
    let list = image.replace(':', "-");
    // The first write of the list is lost.
    registry.habit(Habit::instead(Method::PUT, &list, Says::new(201, "")).times(1));
    let reference = format!("{}/a@{image}", registry.host);
    client(&registry.host)
        .attach(&image_reference(&reference), "application/x", b"1")
        .await
        .unwrap();
    assert_eq!(
        registry.manifest("a", &list).unwrap()["manifests"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_without_a_media_type_is_tagged_as_what_it_came_as() {
    let registry = FakeRegistry::start(Profile::default());
    let index = json!({ "schemaVersion": 2, "manifests": [] }).to_string();
    let named = digest(index.as_bytes());
    let docker = "application/vnd.docker.distribution.manifest.list.v2+json";
    registry.state().manifests.insert(
        ("a".to_owned(), named.clone()),
        (format!("{docker}; charset=utf-8"), index.into_bytes()),
    );
    let reference = format!("{}/a@{named}", registry.host);
    client(&registry.host)
        .add_tag(&image_reference(&reference), "1")
        .await
        .unwrap();
    assert!(registry.manifest("a", "1").is_some());
    let state = registry.state();
    let put = state.seen.iter().find(|seen| seen.method == Method::PUT).unwrap();
    assert_eq!(put.content_type.as_deref(), Some(docker));
}
