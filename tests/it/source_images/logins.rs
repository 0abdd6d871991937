//! Answers to logins by a registry and its token server: refused, or temporarily unavailable.

use axum::http::Method;
use rstest::rstest;
use source_images::{Credentials, Error, Registry as Client, RegistryConfig};

use super::habits::client;
use super::image_reference;
use crate::support::fake_registry::{Asks, FakeRegistry, Habit, Profile, Says, basic};

fn asking(asks: Asks) -> FakeRegistry {
    FakeRegistry::start(Profile {
        asks,
        ..Profile::default()
    })
}

/// The server that answers a look.
#[derive(Clone, Copy, Debug)]
enum Who {
    TokenServer,
    /// The registry, before it says what it requires.
    Greeting,
    Registry,
}

impl Who {
    fn habit(self, status: u16) -> Habit {
        let path = match self {
            Self::TokenServer => "/token",
            Self::Greeting => "/v2/",
            Self::Registry => "/manifests/",
        };
        Habit::instead(Method::GET, path, Says::new(status, "").with("retry-after", "1"))
    }
}

/// Asserts that every request carries the given login, except the one that asks what is required.
fn is_never_anonymous(registry: &FakeRegistry) {
    for seen in &registry.state().seen {
        assert!(seen.login.is_some() || seen.path == "/v2/", "{seen:?}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_waited_for(
    #[values(Who::TokenServer, Who::Greeting, Who::Registry)] who: Who,
    #[values(408, 429, 500, 502, 503)] status: u16,
) {
    let registry = asking(Asks::Bearer(String::new()));
    let image = registry.image("a", Some("1"), "x", b"");
    let reference = format!("{}/a:1", registry.host);
    registry.habit(who.habit(status).times(1));
    let found = client(&registry.host)
        .inspect(&image_reference(&reference))
        .await
        .unwrap();
    assert_eq!(found.unwrap().digest.to_string(), image);
    is_never_anonymous(&registry);
    // A failure that does not pass.
    registry.state().profile.habits = vec![who.habit(status)];
    registry.state().seen.clear();
    let error = client(&registry.host)
        .inspect(&image_reference(&reference))
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains(&format!("status {status}")), "{error}");
    is_never_anonymous(&registry);
    let habit = who.habit(status);
    let state = registry.state();
    let asked = state.seen.iter().filter(|seen| seen.path.contains(&habit.path));
    assert_eq!(asked.count(), 2, "one more attempt");
}

#[rstest]
#[case::token_server(Who::TokenServer)]
#[case::registry(Who::Registry)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_as_such(#[case] who: Who, #[values(401, 403)] status: u16) {
    let registry = asking(Asks::Bearer(String::new()));
    registry.image("a", Some("1"), "x", b"");
    registry.habit(who.habit(status));
    let reference = format!("{}/a:1", registry.host);
    let error = client(&registry.host)
        .inspect(&image_reference(&reference))
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::Authentication { .. }), "{error}");
    let told = error.to_string();
    assert!(
        told.contains(&format!("refuses the credentials for a (status {status}")),
        "{told}"
    );
    is_never_anonymous(&registry);
}

/// A registry that does not say what it requires gets the login; so does one that requires none,
/// and shows less without it.
#[rstest]
#[case::untold(Asks::BasicUntold)]
#[case::only_to_write(Asks::BasicToWrite)]
#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_sent_without_a_challenge(#[case] asks: Asks) {
    let registry = asking(asks);
    let image = registry.image("a", Some("1"), "x", b"");
    let reference = format!("{}/a:1", registry.host);
    let client = client(&registry.host);
    let found = client.inspect(&image_reference(&reference)).await.unwrap();
    assert_eq!(found.unwrap().digest.to_string(), image);
    client
        .attach(
            &image_reference(&format!("{}/a@{image}", registry.host)),
            "application/x",
            b"1",
        )
        .await
        .unwrap();
    for seen in &registry.state().seen {
        assert!(
            seen.login.as_deref() == Some(&*basic()) || seen.path == "/v2/",
            "{seen:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_challenge_is_told_as_a_refusal() {
    let registry = asking(Asks::BasicUntold);
    registry.image("a", Some("1"), "x", b"");
    let config = RegistryConfig {
        plain_http: vec![registry.host.clone()],
        ..RegistryConfig::default()
    };
    let wrong = format!(
        r#"{{"auths": {{"{}": {{"username": "ann", "password": "another"}}}}}}"#,
        registry.host
    );
    for (document, part) in [
        (
            "{}",
            "status 401: UNAUTHORIZED: who are you?; there is no login for it",
        ),
        (&*wrong, "status 401: UNAUTHORIZED: who are you?)"),
    ] {
        let credentials = Credentials::parse("test", document.as_bytes()).unwrap();
        let client = Client::new(config.clone(), credentials);
        let error = client
            .inspect(&image_reference(&format!("{}/a:1", registry.host)))
            .await
            .unwrap_err();
        assert!(matches!(&error, Error::Authentication { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}
