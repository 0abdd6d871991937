//! A registry that sends more than it may, or something other than it declares.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::Method;
use axum::http::{Response, Uri};
use rstest::rstest;
use serde_json::json;
use sha2::{Digest, Sha256};
use source_images::{Credentials, Error, Layers, Registry, RegistryConfig};

use super::habits::{client, command, log_in, push};
use super::image_reference;
use crate::support::crafted::{digest, distribution};
use crate::support::fake_registry::{
    Asks, Content, FakeRegistry, Habit, PASSWORD, Profile, Says, Trap, complaint,
};
use crate::support::github::listen;
use crate::support::hex;
use crate::support::measured::run;
use crate::support::tls::Authority;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What it sends for a manifest and for a configuration.
#[derive(Clone, Default)]
struct Sends {
    manifest: Option<Vec<u8>>,
    digest: Option<&'static str>,
    config: Option<Vec<u8>>,
}

/// An endless body.
fn endless() -> Body {
    let chunk = Bytes::from(vec![b' '; 65_536]);
    Body::from_stream(futures::stream::repeat_with(move || {
        Ok::<_, std::io::Error>(chunk.clone())
    }))
}

async fn serve(sends: Sends) -> String {
    let (listener, address) = listen().await;
    let sends = Arc::new(sends);
    let app = axum::Router::new().fallback(move |uri: Uri| {
        let sends = Arc::clone(&sends);
        async move {
            let body = |given: &Option<Vec<u8>>| given.clone().map_or_else(endless, Body::from);
            let answer = Response::builder().header("content-type", MANIFEST);
            let answer = match (uri.path().contains("/manifests/"), sends.digest) {
                (true, Some(digest)) => answer.header("docker-content-digest", digest),
                _ => answer,
            };
            let body = match uri.path() {
                "/v2/" => Body::empty(),
                path if path.contains("/manifests/") => body(&sends.manifest),
                _ => body(&sends.config),
            };
            answer.body(body).unwrap()
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    address.to_string()
}

async fn refusal(sends: Sends) -> String {
    let host = serve(sends).await;
    let config = RegistryConfig {
        plain_http: vec![host.clone()],
        ..RegistryConfig::default()
    };
    let registry = Registry::new(config, Credentials::default());
    let looked = registry
        .inspect(&image_reference(&format!("{host}/team/image:1")))
        .await;
    looked.unwrap_err().to_string()
}

fn manifest_of(config: &[u8], size: usize) -> Vec<u8> {
    let digest = hex(&Sha256::digest(config));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": format!("sha256:{digest}"), "size": size },
    });
    manifest.to_string().into_bytes()
}

#[tokio::test]
async fn a_manifest_without_an_end_is_not_read() {
    let told = refusal(Sends::default()).await;
    assert!(told.contains("its manifest is too large"), "{told}");
}

#[tokio::test]
async fn a_configuration_that_is_longer_than_it_says_is_not_read() {
    let sends = Sends {
        manifest: Some(manifest_of(b"{}", 2)),
        ..Sends::default()
    };
    let told = refusal(sends).await;
    assert!(told.contains("its configuration is too large"), "{told}");
}

#[tokio::test]
async fn what_is_not_what_its_digest_says_is_refused() {
    let sends = Sends {
        manifest: Some(manifest_of(b"{}", 2)),
        digest: Some("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        config: Some(b"{}".to_vec()),
    };
    let told = refusal(sends).await;
    assert!(told.contains("does not match its digest"), "{told}");
    let sends = Sends {
        manifest: Some(manifest_of(b"{}", 2)),
        config: Some(b"{ }".to_vec()),
        ..Sends::default()
    };
    let told = refusal(sends).await;
    assert!(
        told.contains("its configuration does not match its digest"),
        "{told}"
    );
}

/// What a hostile registry answers to a push, and the program's message. `TRAP` stands for an
/// address that must never be connected to.
#[rstest]
#[case::token_with_a_line_feed(
    token(r#"{"token": "a\nb"}"#),
    "characters that are not allowed in the header"
)]
#[case::token_that_is_none(token(r#"{"token": ["a"]}"#), "is not a token")]
#[case::token_that_is_deep(token(&"[".repeat(60_000)), "is not a token")]
#[case::token_without_an_end(Habit::instead(Method::GET, "/token", blank(200, 600 << 20)), "is too large")]
#[case::token_server_leads_on(
    Habit::instead(Method::GET, "/token", to(302, "http://TRAP/")),
    "another server, which is not followed"
)]
#[case::manifest_leads_on(
    Habit::instead(Method::HEAD, "/manifests/", to(307, "http://TRAP/latest/meta-data")),
    "http://127.0.0.1, another server"
)]
#[case::manifest_leads_to_itself(
    Habit::instead(Method::HEAD, "/manifests/", to(302, "/v2/team/a/manifests/1")),
    "redirects endlessly"
)]
#[case::manifest_of_an_unknown_digest(
    Habit::instead(Method::HEAD, "/manifests/", Says::new(200, "").with("docker-content-digest", "md5:d41d8cd98f00b204e9800998ecf8427e")),
    "digest of an unknown kind"
)]
#[case::blob_leads_on(
    Habit::instead(Method::HEAD, "/blobs/", to(307, "http://TRAP/")),
    "is not encrypted"
)]
#[case::blob_leads_to_metadata(
    Habit::instead(Method::HEAD, "/blobs/", to(307, "https://169.254.169.254/")),
    "link-local"
)]
#[case::blob_leads_to_a_login(
    Habit::instead(Method::HEAD, "/blobs/", to(307, "https://ann:x@TRAP/")),
    "a login"
)]
#[case::blob_leads_to_no_address(
    Habit::instead(Method::HEAD, "/blobs/", Says::new(307, "")),
    "without saying where"
)]
#[case::upload_to_no_address(upload("http://["), "not an address")]
#[case::upload_to_another_host(upload("http://TRAP/x"), "is not encrypted")]
#[case::upload_to_metadata(upload("https://[::ffff:169.254.169.254]/x"), "link-local")]
#[case::upload_without_a_place(
    Habit::instead(Method::POST, "/uploads/", Says::new(202, "")),
    "without saying where"
)]
#[case::upload_that_leads_on(
    Habit::instead(Method::POST, "/uploads/", to(307, "/v2/")),
    "only for reading"
)]
#[case::manifest_is_put_elsewhere(
    Habit::instead(Method::PUT, "/manifests/", to(307, "http://TRAP/")),
    "only for reading"
)]
#[case::refusal_without_an_end(Habit::instead(Method::PUT, "/manifests/", blank(400, 600 << 20)), "status 400")]
#[case::refusal_of_another_kind(
    Habit::instead(Method::PUT, "/manifests/", Says::new(400, "AKIA-SECRET")),
    "status 400"
)]
#[case::refusal_for_a_terminal(
    Habit::instead(Method::PUT, "/manifests/", complaint(400, "X", &format!("\u{1b}]0;x\u{7}\u{202e}{}", "long ".repeat(1000)))),
    "X: \u{fffd}]0;x\u{fffd}\u{fffd}long"
)]
fn a_push_to_a_hostile_registry_fails_and_says_why(#[case] habit: Habit, #[case] part: &str) {
    let (root, trap) = (tempfile::tempdir().unwrap(), Trap::new());
    let registry = FakeRegistry::start(Profile {
        asks: Asks::Bearer(String::new()),
        ..Profile::default()
    });
    let mut habit = habit;
    for (_, value) in &mut habit.says.headers {
        *value = value.replace("TRAP", &trap.host);
    }
    registry.habit(habit);
    log_in(root.path(), &registry.host);
    let pushed = push(
        root.path(),
        &registry.host,
        &format!("{}/team/a:1", registry.host),
    );
    assert_eq!(pushed.code, Some(2), "{}", pushed.stderr);
    assert!(pushed.stderr.contains(part), "{}", pushed.stderr);
    assert!(pushed.stderr.chars().count() < 1000, "{}", pushed.stderr);
    for hidden in ["panicked", PASSWORD, "AKIA", "meta-data", "\u{7}", "\u{202e}"] {
        assert!(!pushed.stderr.contains(hidden), "{}", pushed.stderr);
    }
    assert_eq!(trap.hits(), 0);
    assert!(pushed.peak < 150 << 10, "{} KiB", pushed.peak);
}

fn token(answer: &str) -> Habit {
    Habit::instead(Method::GET, "/token", Says::new(200, answer))
}

fn upload(location: &str) -> Habit {
    Habit::instead(
        Method::POST,
        "/uploads/",
        Says::new(202, "").with("location", location),
    )
}

fn to(status: u16, location: &str) -> Says {
    Says::new(
        status,
        r#"{"errors": [{"code": "AKIA", "message": "of somebody else"}]}"#,
    )
    .with("location", location)
}

fn blank(status: u16, size: usize) -> Says {
    Says {
        content: Content::Blank(size),
        ..Says::new(status, "")
    }
}

/// Where a registry directs the login, and whether it goes there.
#[rstest]
#[case::not_over_tls("http://TRAP/token", "has to be at https")]
#[case::metadata("https://169.254.169.254/token", "link-local")]
#[case::no_address("token", "is not valid")]
#[case::another_scheme("file:///etc/passwd", "has to be at https")]
#[case::a_login("https://a:b@TRAP/token", "has to be at https")]
fn the_login_goes_to_no_realm_that_is_less_safe_than_the_registry(#[case] realm: &str, #[case] part: &str) {
    let (root, trap) = (tempfile::tempdir().unwrap(), Trap::new());
    let authority = Authority::new();
    let asks = Asks::Bearer(realm.replace("TRAP", &trap.host));
    let profile = Profile {
        asks,
        ..Profile::default()
    };
    let registry = FakeRegistry::with_tls(profile, authority.server(None));
    log_in(root.path(), &registry.host);
    let certificate = root.path().join("ca.pem");
    std::fs::write(&certificate, authority.pem()).unwrap();
    let pushed =
        run(command(root.path(), &format!("{}/a:1", registry.host)).env("SSL_CERT_FILE", &certificate));
    assert_eq!(pushed.code, Some(2), "{}", pushed.stderr);
    assert!(pushed.stderr.contains(part), "{}", pushed.stderr);
    assert_eq!(trap.hits(), 0);
}

/// An address of this machine that is reachable from outside, if it has one: a server there leads
/// to no loopback address.
#[test]
fn a_registry_leads_to_no_closer_network() {
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let outside = probe.connect("198.51.100.1:9").and_then(|()| probe.local_addr());
    let Some(outside) = outside
        .ok()
        .map(|address| address.ip())
        .filter(|ip| !ip.is_loopback())
    else {
        eprintln!("this machine is on no network: nothing to try");
        return;
    };
    let (root, trap) = (tempfile::tempdir().unwrap(), Trap::new());
    let port = trap.host.rsplit_once(':').unwrap().1.to_owned();
    let registry = FakeRegistry::at(outside, Profile::default(), None);
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let there = format!("https://{host}:{port}/x");
        let realm = Profile {
            asks: Asks::Bearer(there.clone()),
            ..Profile::default()
        };
        let blob = Profile {
            habits: vec![Habit::instead(Method::HEAD, "/blobs/", to(307, &there))],
            ..Profile::default()
        };
        let upload = Profile {
            habits: vec![upload(&there)],
            ..Profile::default()
        };
        for profile in [realm, blob, upload] {
            registry.state().profile = profile;
            let pushed = push(root.path(), &registry.host, &format!("{}/a:1", registry.host));
            assert_eq!(pushed.code, Some(2), "{}", pushed.stderr);
            assert!(
                pushed.stderr.contains("is a loopback address"),
                "{}",
                pushed.stderr
            );
        }
    }
    assert_eq!(trap.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn link_local_addresses_are_not_looked_at_however_they_are_named() {
    for host in [
        "169.254.169.254",
        "0xa9fea9fe:80",
        "2852039166:80",
        "168.63.129.16",
    ] {
        let error = client(host)
            .inspect(&image_reference(&format!("{host}/a:1")))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("link-local"), "{host}: {error}");
        assert!(!error.is_transient(), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_manifest_gets_a_tag() {
    let registry = FakeRegistry::start(Profile::default());
    let client = client(&registry.host);
    let secret = r#"{"Code": "Success", "SecretAccessKey": "hidden"}"#;
    for (content, media_type) in [
        (secret, MANIFEST),
        ("not even JSON", MANIFEST),
        (r#"{"schemaVersion": 2, "manifests": []}"#, MANIFEST),
        (r#"{"schemaVersion": 2, "manifests": []}"#, "application/json"),
    ] {
        let named = digest(content.as_bytes());
        let key = ("a".to_owned(), named.clone());
        let value = (media_type.to_owned(), content.as_bytes().to_vec());
        registry.state().manifests.insert(key, value);
        let reference = format!("{}/a@{named}", registry.host);
        for error in [
            client
                .add_tag(&image_reference(&reference), "1")
                .await
                .unwrap_err(),
            client
                .tag(&image_reference(&reference), &["1".to_owned()])
                .await
                .unwrap_err(),
            client
                .attach(&image_reference(&reference), "application/x", b"1")
                .await
                .map(drop)
                .unwrap_err(),
        ] {
            assert!(matches!(error, Error::Refused { .. }), "{error}");
            assert!(!error.to_string().contains("hidden"), "{error}");
        }
    }
    // Nothing is fetched from another server.
    let trap = Trap::new();
    let image = registry.image("a", None, "x", b"");
    registry.habit(Habit::instead(
        Method::GET,
        "/manifests/",
        to(307, &format!("http://{}/", trap.host)),
    ));
    let error = client
        .add_tag(&image_reference(&format!("{}/a@{image}", registry.host)), "1")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("another server"), "{error}");
    assert_eq!((registry.count(&Method::PUT, ""), trap.hits()), (0, 0));
}

/// Digests of all algorithms are verified, for manifests and blobs.
#[tokio::test(flavor = "multi_thread")]
async fn no_digest_is_believed() {
    let registry = FakeRegistry::start(Profile::default());
    let client = client(&registry.host);
    let image = registry.image("a", Some("1"), "x", b"");
    let bytes = registry.state().manifests[&("a".to_owned(), image)].1.clone();
    let right = format!("sha512:{}", hex(&sha2::Sha512::digest(&bytes)));
    let wrong = format!("sha384:{}", "0".repeat(96));
    for (name, found) in [(&right, true), (&wrong, false)] {
        let key = ("a".to_owned(), name.clone());
        registry
            .state()
            .manifests
            .insert(key, (MANIFEST.to_owned(), bytes.clone()));
        // It declares no digest, or the one that was requested.
        for said in [None, Some(name)] {
            let says = Says::new(200, &String::from_utf8_lossy(&bytes)).with("content-type", MANIFEST);
            let says = said.map_or(says.clone(), |said| says.with("docker-content-digest", said));
            registry.state().profile.habits = vec![Habit::instead(Method::GET, "/manifests/", says)];
            let looked = client
                .inspect(&image_reference(&format!("{}/a@{name}", registry.host)))
                .await;
            match looked {
                Ok(looked) => assert!(found && looked.unwrap().digest.to_string() == *name, "{name}"),
                Err(error) => assert!(
                    !found && error.to_string().contains("does not match its digest"),
                    "{error}"
                ),
            }
        }
    }
    // A layer with different content.
    let blob = format!("sha512:{}", "0".repeat(128));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": { "digest": blob, "size": 2 }, "layers": [{ "digest": blob }],
    });
    let key = ("a".to_owned(), "2".to_owned());
    {
        let mut state = registry.state();
        state.profile.habits.clear();
        state
            .manifests
            .insert(key, (MANIFEST.to_owned(), manifest.to_string().into_bytes()));
        state.blobs.insert(blob.clone(), distribution("x", "1", true));
    }
    let reference = format!("{}/a:2", registry.host);
    let error = client
        .installed_distributions(&image_reference(&reference), &Layers::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("does not match its digest"), "{error}");
    let error = client.inspect(&image_reference(&reference)).await.unwrap_err();
    assert!(error.to_string().contains("does not match its digest"), "{error}");
}
