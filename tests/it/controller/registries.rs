//! Registries that answer as no honest one does, or only some: one PatchSet fails, and nothing
//! else.

use axum::http::Method;
use patchset_api::PatchSet;
use serde_json::{Value, json};

use super::build::build_of;
use super::{GOOD, Stage, assert_well_formed, condition, get, inline};
use crate::support::crafted::INDEX;
use crate::support::fake_registry::{
    Asks, Content, FakeRegistry, Habit, PASSWORD, Profile, Says, Trap, USER, complaint,
};
use crate::support::git_server::GitServer;
use crate::support::measured::peak_of;

/// A spec with a build by another CI, whose images are in a registry that requires a login.
fn spec(stage: &Stage, host: &str) -> Value {
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["upstream"]["ref"] = json!({ "tag": "1.0.0" });
    spec["build"] = json!({
        "engine": "External", "secretRef": { "name": "push" },
        "image": { "repository": format!("{host}/demo"), "tag": "{version}-{inputs}", "movingTags": ["latest"] },
        "source": { "repository": format!("{host}/demo-source") },
    });
    spec
}

/// A stage whose controller may speak to registries without TLS, with a login for all of them.
async fn stage(name: &str, registries: &[&FakeRegistry]) -> Stage {
    let options: Vec<String> = registries
        .iter()
        .map(|registry| format!("--plain-http-registry={}", registry.host))
        .collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let stage = Stage::with(name, &options, GitServer::http).await;
    let login = json!({ "username": USER, "password": PASSWORD });
    let auths: serde_json::Map<String, Value> = registries
        .iter()
        .map(|registry| (registry.host.clone(), login.clone()))
        .collect();
    let config = json!({ "auths": auths }).to_string();
    stage.secret("push", &[(".dockerconfigjson", &config)]).await;
    stage
}

fn registry(habits: Vec<Habit>) -> FakeRegistry {
    FakeRegistry::start(Profile {
        asks: Asks::Bearer(String::new()),
        habits,
        ..Profile::default()
    })
}

fn message_of(object: &PatchSet) -> String {
    condition(object, "Ready").unwrap().message.clone()
}

/// As ECR answers.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_gets_its_document_where_the_registry_tells_no_location() {
    let registry = registry(vec![Habit::after(Method::PUT, "/manifests/", Says::new(201, ""))]);
    let stage = stage("no-location", &[&registry]).await;
    stage.apply("demo", &spec(&stage, &registry.host)).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    let tag = build.target.as_deref().unwrap().rsplit_once(':').unwrap().1;
    let image = registry.image("demo", Some(tag), build.inputs_digest.as_str(), b"");
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_well_formed(&ready);
    let attached = ready.status.unwrap().image.unwrap().sbom.unwrap();
    let artifact = registry.manifest("demo", &attached).unwrap();
    assert_eq!(artifact["subject"]["digest"], image);
    assert!(registry.manifest("demo", "latest").is_some());
    assert!(!stage.controller.log().contains("panicked"));
}

/// As Docker Hub answers a login that may only read.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_awaited_where_the_registry_hides_what_is_not_there() {
    let registry = registry(Vec::new());
    registry.state().profile.hides_from_readers = Some((401, "UNAUTHORIZED"));
    let stage = stage("hidden", &[&registry]).await;
    stage.apply("demo", &spec(&stage, &registry.host)).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    let tag = build.target.as_deref().unwrap().rsplit_once(':').unwrap().1;
    registry.image("demo", Some(tag), build.inputs_digest.as_str(), b"");
    stage.ready("demo", "True", "Succeeded").await;
}

/// As ECR and Harbor answer where tags are immutable.
#[tokio::test(flavor = "multi_thread")]
async fn immutable_tags_are_told_and_an_image_counts_without_its_document() {
    let registry = registry(Vec::new());
    registry.state().profile.keeps_tags = Some(complaint(
        400,
        "TAG_INVALID",
        "The image tag already exists and cannot be overwritten because the repository is immutable.",
    ));
    let stage = stage("immutable", &[&registry]).await;
    registry.image("demo", Some("latest"), "others", b"");
    stage.apply("demo", &spec(&stage, &registry.host)).await;
    let build = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    let tag = build.target.as_deref().unwrap().rsplit_once(':').unwrap().1;
    // Another tool has already attached something to it.
    let image = registry.image("elsewhere", None, build.inputs_digest.as_str(), b"");
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] }).to_string();
    let list = image.replace(':', "-");
    registry.state().manifests.insert(
        ("demo".to_owned(), list.clone()),
        (INDEX.to_owned(), index.clone().into_bytes()),
    );
    registry.image("demo", Some(tag), build.inputs_digest.as_str(), b"");
    let told = message_of(&stage.ready("demo", "False", "TagTaken").await);
    assert!(
        told.contains(
            "the tag latest is immutable in this registry and holds another image: use a tag with {inputs}"
        ),
        "{told}"
    );

    let mut without = spec(&stage, &registry.host);
    without["build"]["image"]
        .as_object_mut()
        .unwrap()
        .remove("movingTags");
    stage.apply("demo", &without).await;
    let ready = stage.ready("demo", "True", "NeedsAttention").await;
    assert_well_formed(&ready);
    let told = message_of(&ready);
    for part in [
        &*format!("the tag {list} has the list"),
        "exempt tags that start with sha256-",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(ready.status.unwrap().image.unwrap().digest.as_str(), image);
    let kept = registry.manifest("demo", &list).unwrap();
    assert_eq!(kept, serde_json::from_str::<Value>(&index).unwrap());
}

/// An answer that leads to another server.
fn answer_with_location(status: u16, away: &str) -> Says {
    Says::new(status, "AKIA").with("location", away)
}

/// What hostile registries do, by name, with the message for each.
fn hostile_habits(away: &str) -> [(&'static str, Habit, &'static str); 7] {
    let large = Says {
        content: Content::Blank(600 << 20),
        ..Says::new(200, "")
    };
    [
        (
            "line-feed",
            Habit::instead(Method::GET, "/token", Says::new(200, r#"{"token": "a\nb"}"#)),
            "are not allowed",
        ),
        ("large", Habit::instead(Method::GET, "/token", large), "too large"),
        (
            "token",
            Habit::instead(Method::GET, "/token", answer_with_location(302, away)),
            "another server",
        ),
        (
            "no-address",
            Habit::instead(
                Method::POST,
                "/uploads/",
                Says::new(202, "").with("location", "http://["),
            ),
            "not an address",
        ),
        (
            "upload",
            Habit::instead(Method::POST, "/uploads/", answer_with_location(202, away)),
            "not encrypted",
        ),
        (
            "manifest",
            Habit::instead(Method::HEAD, "/manifests/", answer_with_location(307, away)),
            "another server",
        ),
        (
            "realm",
            Habit::instead(
                Method::GET,
                "/v2/",
                Says::new(401, "").with("www-authenticate", "Bearer realm=\"http://169.254.169.254/\""),
            ),
            "link-local",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_registry_fails_its_own_object_alone() {
    let trap = Trap::new();
    let away = format!("http://{}/latest/meta-data", trap.host);
    let hostile = hostile_habits(&away).map(|(name, habit, part)| (name, registry(vec![habit]), part));
    let (honest, moved) = (registry(Vec::new()), registry(Vec::new()));
    let all: Vec<&FakeRegistry> = hostile
        .iter()
        .map(|(_, registry, _)| registry)
        .chain([&honest, &moved])
        .collect();
    let stage = stage("hostile-registries", &all).await;
    for (name, registry, _) in &hostile {
        stage.apply(name, &spec(&stage, &registry.host)).await;
    }
    for (name, _, part) in &hostile {
        let refused = stage.ready(name, "False", "RegistryRefused").await;
        assert_well_formed(&refused);
        let message = message_of(&refused);
        assert!(
            message.contains(part) && message.len() < 1000,
            "{name}: {message}"
        );
        for hidden in ["AKIA", "meta-data", PASSWORD] {
            assert!(!message.contains(hidden), "{name}: {message}");
        }
    }

    // An image whose manifest leads elsewhere gets no tag, and the redirect's target is not
    // fetched.
    stage.apply("moved", &spec(&stage, &moved.host)).await;
    let build = build_of(&stage.ready("moved", "Unknown", "AwaitingImage").await);
    let tag = build.target.as_deref().unwrap().rsplit_once(':').unwrap().1;
    let by_digest = "/v2/demo/manifests/sha256:";
    moved.habit(Habit::instead(
        Method::GET,
        by_digest,
        answer_with_location(307, &away),
    ));
    moved.image("demo", Some(tag), build.inputs_digest.as_str(), b"");
    let refused = stage.ready("moved", "False", "RegistryRefused").await;
    assert!(
        message_of(&refused).contains("another server"),
        "{}",
        message_of(&refused)
    );
    assert!(moved.manifest("demo", "latest").is_none());
    assert_eq!(moved.count(&Method::PUT, "/v2/demo/"), 0);

    // Everything else goes on.
    stage.apply("honest", &spec(&stage, &honest.host)).await;
    stage.ready("honest", "Unknown", "AwaitingImage").await;
    assert_eq!(trap.hits(), 0);
    let health = tokio::task::block_in_place(|| get(&stage.controller.health, "/healthz"));
    assert_eq!(health.0, 200);
    let peak = peak_of(stage.controller.pid()).unwrap();
    assert!(peak < 300 << 10, "{peak} KiB");
    let log = stage.controller.log();
    for hidden in ["panicked", "AKIA", PASSWORD] {
        assert!(!log.contains(hidden), "{hidden} is in the log");
    }
}
