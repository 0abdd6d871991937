//! Everything that is requested from a registry, for each service as played by
//! `support/services.rs`.

use std::path::Path;
use std::process::Command;

use axum::http::Method;
use rstest::rstest;
use serde_json::{Value, json};
use source_images::source_image::{SourceImage, describe_constraints};
use source_images::{Credentials, Error, Registry as Client, RegistryConfig};

use super::image_reference;
use crate::support::crafted::{INDEX, MANIFEST, digest};
use crate::support::fake_registry::{Asks, FakeRegistry, Habit, PASSWORD, Parts, Profile, USER, basic};
use crate::support::measured::run;
use crate::support::services::{Service, service};
use crate::support::tls::Authority;

/// The service that the test below plays. It runs in a separate process, which trusts the authority
/// in `SSL_CERT_FILE`.
const SERVICE: &str = "PATCHSET_TEST_SERVICE";

const REPOSITORY: &str = "team/image";

#[rstest]
#[case::docker_hub("docker-hub")]
#[case::ghcr("ghcr")]
#[case::ecr("ecr")]
#[case::gar("gar")]
#[case::acr("acr")]
#[case::quay("quay")]
#[case::harbor("harbor")]
#[case::old_harbor("harbor-old")]
#[case::artifactory("artifactory")]
#[case::old_artifactory("artifactory-old")]
#[case::zot("zot")]
fn a_service_does_all_that_is_asked_of_it(#[case] name: &str) {
    let root = tempfile::tempdir().unwrap();
    let test = std::env::current_exe().unwrap();
    let alone = run(Command::new(test)
        .args([
            "--exact",
            "source_images::services::one_service",
            "--ignored",
            "--nocapture",
        ])
        .env(SERVICE, name)
        .env("SSL_CERT_FILE", root.path().join("ca.pem")));
    assert_eq!(alone.code, Some(0), "{}{}", alone.stdout, alone.stderr);
    assert!(alone.stdout.contains("1 passed"), "{}", alone.stdout);
    assert!(!alone.stderr.contains(PASSWORD), "{}", alone.stderr);
}

#[test]
#[ignore = "a part of the test above, which runs it"]
fn one_service() {
    let name = std::env::var(SERVICE).expect("a service");
    let stage = Stage::new(service(&name));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(stage.whole());
}

/// A service's hosts.
struct Stage {
    service: Service,
    registry: FakeRegistry,
    token_server: Option<FakeRegistry>,
    storage: Option<FakeRegistry>,
}

impl Stage {
    fn new(service: Service) -> Self {
        let authority = Authority::new();
        let trusted = std::env::var_os("SSL_CERT_FILE").expect("a file");
        std::fs::write(Path::new(&trusted), authority.pem()).unwrap();
        let host = |profile: Profile| FakeRegistry::with_tls(profile, authority.server(None));
        let mut profile = service.profile.clone();
        let token_server = service.has_token_server.then(|| {
            host(Profile {
                service: profile.service,
                ..Profile::default()
            })
        });
        let storage = service.has_storage.then(|| host(Profile::default()));
        if let Some(token_server) = &token_server {
            profile.asks = Asks::Bearer(format!("https://{}/token", token_server.host));
        }
        profile.blobs_at = storage.as_ref().map(|storage| storage.host.clone());
        Self {
            registry: host(profile),
            service,
            token_server,
            storage,
        }
    }

    fn client(&self) -> Client {
        let host = &self.registry.host;
        let auth = json!({ "auths": { host: { "username": USER, "password": PASSWORD } } });
        let credentials = Credentials::parse("test", auth.to_string().as_bytes()).unwrap();
        let config = RegistryConfig {
            retries: 2,
            ..RegistryConfig::default()
        };
        Client::new(config, credentials)
    }

    /// A source image whose layer is not small.
    fn image(&self, line: &str) -> SourceImage {
        let repository = image_reference(&format!("{}/{REPOSITORY}", self.registry.host));
        describe_constraints(&repository, "demo", "1", line.repeat(30_000)).unwrap()
    }

    /// The number of requests that changed something.
    fn writes(&self) -> usize {
        let state = self.registry.state();
        let is_read = |method: &Method| matches!(*method, Method::GET | Method::HEAD);
        state.seen.iter().filter(|seen| !is_read(&seen.method)).count()
    }

    async fn whole(&self) {
        self.look_for_what_is_not_there().await;
        let image = self.push().await;
        self.find_and_push_again(&image).await;
        self.attach(&image).await;
        self.read_a_base().await;
        self.move_a_tag(&image).await;
        self.logins_stay_where_they_belong();
    }

    async fn look_for_what_is_not_there(&self) {
        let absent = format!("{}/{REPOSITORY}:1", self.registry.host);
        self.registry
            .habit(Habit::instead(Method::GET, "/manifests/", self.service.limit.clone()).times(1));
        let looked = self.client().inspect(&image_reference(&absent)).await.unwrap();
        assert_eq!(looked, None);
        assert_eq!(
            self.client().digest(&image_reference(&absent)).await.unwrap(),
            None
        );
        if self.service.profile.needs_repository.is_some() {
            let error = self.image("absent\n").push(&self.client()).await.unwrap_err();
            assert!(!error.is_transient(), "{error}");
            let told = error.to_string();
            assert!(
                told.contains(&format!("there is no repository {REPOSITORY}: create it")),
                "{told}"
            );
            self.registry.state().repositories = [REPOSITORY, "team/base"].map(ToOwned::to_owned).to_vec();
        }
    }

    /// Pushes an image whose upload is interrupted once; returns its reference by digest.
    async fn push(&self) -> String {
        let image = self.image("one\n");
        let (layer, name) = (image.image.layer.digest.to_string(), image.target.to_string());
        self.registry.state().cuts.push_back(50_000);
        let pushed = image.push(&self.client()).await.unwrap();
        assert!(!pushed.existed);
        assert!(self.registry.state().cuts.is_empty());
        assert!(self.registry.state().blobs.contains_key(&layer));
        let tag = name.rsplit_once(':').unwrap().1;
        assert!(self.registry.manifest(REPOSITORY, tag).is_some());
        let parts = self.registry.count(&Method::PATCH, "");
        let begun = self.registry.count(&Method::POST, "/blobs/uploads/");
        let tried = 2 * usize::from(self.service.profile.needs_repository.is_some());
        match self.service.profile.uploads.parts {
            Parts::Taken(_) => assert_eq!(parts, 1, "it was not gone on with"),
            Parts::Untold | Parts::Refused => {
                assert_eq!(parts, 0);
                assert!(begun >= 3 && begun <= 3 + tried, "{begun}");
            }
        }
        pushed.reference.to_string()
    }

    async fn find_and_push_again(&self, image: &str) {
        let before = self.writes();
        let again = self.image("one\n");
        let name = again.target.to_string();
        assert!(again.push(&self.client()).await.unwrap().existed);
        let found = self
            .client()
            .digest(&image_reference(&name))
            .await
            .unwrap()
            .unwrap();
        assert!(image.ends_with(&found.to_string()));
        assert_eq!(self.writes(), before, "something was sent again");
        if let Some(storage) = &self.storage {
            storage.state().blobs.clone_from(&self.registry.state().blobs);
        }
        let looked = self
            .client()
            .inspect(&image_reference(&name))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(looked.digest, found);
        assert_eq!(looked.labels["org.opencontainers.image.title"], "demo");
    }

    async fn attach(&self, image: &str) {
        let subject = image.rsplit_once('@').unwrap().1;
        let list = subject.replace(':', "-");
        let others = json!({ "mediaType": MANIFEST, "digest": digest(b"other"), "size": 5 });
        if !self.service.profile.lists_referrers {
            let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [others] });
            let key = (REPOSITORY.to_owned(), list.clone());
            let value = (INDEX.to_owned(), index.to_string().into_bytes());
            self.registry.state().manifests.insert(key, value);
        }
        let attached = self
            .client()
            .attach(&image_reference(image), "application/x", b"1")
            .await
            .unwrap();
        let artifact = &attached.digest().unwrap().to_string();
        let stored = self.registry.manifest(REPOSITORY, artifact).unwrap();
        assert_eq!(stored["subject"]["digest"], subject);
        let listed = self.registry.manifest(REPOSITORY, &list);
        if self.service.profile.lists_referrers {
            assert_eq!(listed, None, "the registry lists it itself");
        } else {
            let entries: Vec<Value> = listed.unwrap()["manifests"].as_array().unwrap().clone();
            assert_eq!(entries[0], others);
            assert_eq!(entries[1]["digest"], *artifact);
            assert_eq!(entries.len(), 2);
        }
        let before = self.registry.count(&Method::PUT, &list);
        let again = self
            .client()
            .attach(&image_reference(image), "application/x", b"1")
            .await
            .unwrap();
        assert_eq!(again, attached);
        assert_eq!(self.registry.count(&Method::PUT, &list), before);
    }

    async fn read_a_base(&self) {
        let base = self.registry.image("team/base", Some("1"), "x", b"base");
        let reference = format!("{}/team/base:1", self.registry.host);
        let found = self.client().digest(&image_reference(&reference)).await.unwrap();
        assert_eq!(found, Some(base.parse().unwrap()));
    }

    async fn move_a_tag(&self, image: &str) {
        self.registry.image(REPOSITORY, Some("moving"), "other", b"other");
        let tags = ["moving".to_owned()];
        let Some(immutable) = &self.service.immutable else {
            return self.client().tag(&image_reference(image), &tags).await.unwrap();
        };
        self.registry.state().profile.keeps_tags = Some(immutable.clone());
        let error = self
            .client()
            .tag(&image_reference(image), &tags)
            .await
            .unwrap_err();
        assert!(matches!(&error, Error::TagImmutable { .. }), "{error}");
        let told = error.to_string();
        for part in [
            "the tag moving is immutable in this registry and holds another image",
            "use a tag with {inputs}",
        ] {
            assert!(told.contains(part), "{told}");
        }
        // The answer to the first attempt is lost; the second is refused because the tag exists.
        let lost = Habit::after(Method::PUT, "/manifests/constraints-", self.service.limit.clone()).times(1);
        self.registry.habit(lost);
        let pushed = self.image("two\n").push(&self.client()).await.unwrap();
        assert!(!pushed.existed);
        // The document is uploaded, and the list of attached documents stays as before.
        let subject = image.rsplit_once('@').unwrap().1;
        let list = subject.replace(':', "-");
        let before = self.registry.manifest(REPOSITORY, &list);
        let attached = self
            .client()
            .attach(&image_reference(image), "application/x", b"2")
            .await;
        if self.service.profile.lists_referrers {
            attached.unwrap();
        } else {
            let error = attached.unwrap_err();
            let Error::NotListed { artifact, tag, .. } = &error else {
                panic!("{error}");
            };
            let named = artifact.rsplit_once('@').unwrap().1;
            assert!(self.registry.manifest(REPOSITORY, named).is_some());
            assert_eq!(*tag, list);
            let told = error.to_string();
            assert!(told.contains("exempt tags that start with sha256-"), "{told}");
            assert_eq!(self.registry.manifest(REPOSITORY, &list), before);
        }
    }

    fn logins_stay_where_they_belong(&self) {
        let state = self.registry.state();
        let is_bearer = matches!(state.profile.asks, Asks::Bearer(_));
        for seen in &state.seen {
            assert!(!seen.path.contains("/referrers/"), "{seen:?}");
            let is_for_tokens = seen.path.contains("scope=");
            match &seen.login {
                Some(login) if is_bearer && !is_for_tokens => {
                    assert!(login.starts_with("Bearer "), "{seen:?}");
                }
                Some(login) => assert_eq!(*login, basic(), "{seen:?}"),
                None => assert!(seen.path == "/v2/", "as nobody: {seen:?}"),
            }
        }
        if let Some(token_server) = &self.token_server {
            let state = token_server.state();
            assert!(!state.seen.is_empty());
            for seen in &state.seen {
                assert_eq!(seen.login.as_deref(), Some(&*basic()), "{seen:?}");
                assert!(seen.path.starts_with("/token?"), "{seen:?}");
            }
        }
        if let Some(storage) = &self.storage {
            let state = storage.state();
            assert!(!state.seen.is_empty());
            assert!(state.seen.iter().all(|seen| seen.login.is_none()));
        }
    }
}
