//! Images in a real registry: pushed once, pulled by another tool, and every way that can go wrong.

use std::path::Path;
use std::time::Duration;

use super::{image_reference, source, told, unpacked, upstream};
use crate::support::git_server::free_port;
use crate::support::registry::Registry;

fn arguments<'a>(git: &'a str, registry: &'a Registry, reference: &'a str) -> Vec<&'a str> {
    vec![
        "--repo",
        git,
        "--ref",
        "1.2.3",
        "--plain-http",
        &registry.host,
        "--push",
        reference,
    ]
}

#[test]
fn an_image_is_pushed_once_and_is_what_git_has() {
    let root = tempfile::tempdir().unwrap();
    let repo = upstream(root.path());
    let registry = Registry::open();
    let git = repo.dir.to_str().unwrap();
    let reference = format!("{}/team/component-source:1.2.3", registry.host);
    let first = told(&arguments(git, &registry, &reference));
    assert_eq!(first["existed"], false);
    let pushed = first["reference"].as_str().unwrap();
    assert_eq!(
        pushed,
        format!(
            "{}/team/component-source@{}",
            registry.host,
            first["digest"].as_str().unwrap()
        )
    );

    let uploads = registry.uploads();
    assert_eq!(uploads, 2, "the layer and the configuration");
    assert_eq!(told(&arguments(git, &registry, &reference))["existed"], true);
    let other_tag = reference.replace(":1.2.3", ":again");
    assert_eq!(
        told(&arguments(git, &registry, &other_tag))["digest"],
        first["digest"]
    );
    assert_eq!(registry.uploads(), uploads, "a blob was sent again");

    let tree = unpacked(&registry, pushed, root.path());
    repo.git(&["--work-tree", tree.to_str().unwrap(), "read-tree", "1.2.3"]);
    let changed = repo.git(&["--work-tree", tree.to_str().unwrap(), "status", "--porcelain"]);
    assert_eq!(changed, "", "the layer is not the tree");

    let shown = source(&arguments(git, &registry, &reference)).assert().success();
    assert_eq!(
        String::from_utf8_lossy(&shown.get_output().stdout).trim_end(),
        pushed
    );
}

#[test]
fn a_tag_is_never_moved_to_other_content() {
    let root = tempfile::tempdir().unwrap();
    let repo = upstream(root.path());
    let registry = Registry::open();
    let git = repo.dir.to_str().unwrap();
    let reference = format!("{}/component:taken", registry.host);
    let first = told(&arguments(git, &registry, &reference));
    repo.commit(&[("file.txt", "other\n")], "other");
    repo.git(&["tag", "1.2.4"]);
    let mut other = arguments(git, &registry, &reference);
    other[3] = "1.2.4";
    let refused = source(&other).assert().code(2);
    let text = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(text.contains("already exists with other content"), "{text}");
    assert!(text.contains(first["digest"].as_str().unwrap()), "{text}");
    assert_eq!(told(&arguments(git, &registry, &reference))["existed"], true);
}

/// Runs with credentials in a `config.json`; returns exit status and standard error.
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_added_and_never_moved() {
    use source_images::{Credentials, Error, Registry as Client, RegistryConfig};
    let root = tempfile::tempdir().unwrap();
    let repo = upstream(root.path());
    let registry = Registry::open();
    let push = |tag: &str, version: &str| {
        let reference = format!("{}/component:{tag}", registry.host);
        let mut arguments = arguments(repo.dir.to_str().unwrap(), &registry, &reference);
        arguments.extend(["--component-version", version]);
        told(&arguments)["reference"].as_str().unwrap().to_owned()
    };
    let (one, other) = (push("one", "1.2.3"), push("other", "1.2.4"));
    let config = RegistryConfig {
        plain_http: vec![registry.host.clone()],
        ..RegistryConfig::default()
    };
    let client = Client::new(config, Credentials::default());
    client.add_tag(&image_reference(&one), "sorted").await.unwrap();
    let manifests = || {
        registry
            .log()
            .matches("\"PUT /v2/component/manifests/sorted")
            .count()
    };
    assert_eq!(manifests(), 1);
    client.add_tag(&image_reference(&one), "sorted").await.unwrap();
    let error = client
        .add_tag(&image_reference(&other), "sorted")
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::TagTaken { .. }), "{error}");
    assert_eq!(manifests(), 1, "it was written again");
    assert!(one.ends_with(&registry.digest("component", "sorted")));
    let absent = format!("{}/component@sha256:{}", registry.host, "0".repeat(64));
    assert!(client.add_tag(&image_reference(&absent), "absent").await.is_err());
}

fn with_credentials(root: &Path, registry: &Registry, git: &str, auth: &str) -> (Option<i32>, String) {
    use base64::Engine;
    let auth = base64::engine::general_purpose::STANDARD.encode(auth);
    let config = format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, registry.host);
    std::fs::write(root.join("config.json"), config).unwrap();
    let reference = format!("{}/private:1", registry.host);
    let output = source(&arguments(git, registry, &reference))
        .env("DOCKER_CONFIG", root)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn credentials_are_asked_for_and_never_shown() {
    let root = tempfile::tempdir().unwrap();
    let repo = upstream(root.path());
    let registry = Registry::with_password();
    let git = repo.dir.to_str().unwrap();
    let reference = format!("{}/private:1", registry.host);
    let refused = source(&arguments(git, &registry, &reference)).assert().code(2);
    let text = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(text.contains("refuses the credentials for private"), "{text}");

    let (status, text) = with_credentials(root.path(), &registry, git, "ann:wrongsecret");
    assert_eq!(status, Some(2));
    assert!(text.contains("refuses the credentials"), "{text}");
    assert!(!text.contains("wrongsecret"), "{text}");
    let (status, text) = with_credentials(root.path(), &registry, git, "ann:secret");
    assert_eq!(status, Some(0), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_registry_that_is_away_for_a_moment_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let repo = upstream(root.path());
    let mut registry = Registry::open();
    registry.pause();
    let git = repo.dir.to_str().unwrap().to_owned();
    let reference = format!("{}/component:late", registry.host);
    let host = registry.host.clone();
    let push = std::thread::spawn(move || {
        source(&[
            "--repo",
            &git,
            "--ref",
            "1.2.3",
            "--plain-http",
            &host,
            "--push",
            &reference,
        ])
        .output()
        .unwrap()
    });
    std::thread::sleep(Duration::from_millis(700));
    registry.resume();
    let output = push.join().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn what_cannot_be_pushed_is_told() {
    let root = tempfile::tempdir().unwrap();
    let repo = upstream(root.path());
    let git = repo.dir.to_str().unwrap();
    let away = format!("127.0.0.1:{}", free_port());
    let registry = Registry::open();
    for (reference, host, part) in [
        (format!("{away}/x:1"), away.as_str(), "efused"),
        ("Not An Image".to_owned(), "x", "is not an image"),
        (
            format!("{}/x@sha256:{}", registry.host, "0".repeat(64)),
            registry.host.as_str(),
            "names a digest",
        ),
        // Without permission for plain HTTP it is not attempted.
        (format!("{}/x:1", registry.host), "other:1", &*registry.host),
    ] {
        let failed = source(&[
            "--repo",
            git,
            "--ref",
            "1.2.3",
            "--plain-http",
            host,
            "--push",
            &reference,
        ])
        .assert()
        .code(2);
        let text = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
        assert!(text.contains(part), "{part}: {text}");
    }
}
