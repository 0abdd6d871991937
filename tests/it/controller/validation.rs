//! What `kubectl apply` refuses, and with which message.

use patchset_api::schema::faults;
use patchset_api::{ConstraintOverride, PatchSet, crd, docs};
use serde_json::{Value, json};

use super::Stage;

#[test]
fn the_definitions_are_those_of_the_types() {
    for definition in crd::all() {
        let name = format!("{}_{}.yaml", definition.spec.group, definition.spec.names.plural);
        for folder in ["crds", "charts/patchset/crds"] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(folder)
                .join(&name);
            let stored = std::fs::read_to_string(&path).unwrap();
            assert_eq!(
                stored,
                format!("---\n{}", crd::yaml(&definition).unwrap()),
                "{} is outdated: run `patchset crds --output-dir {folder}`",
                path.display()
            );
        }
    }
}

#[test]
fn the_reference_is_that_of_the_types() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let stored = std::fs::read_to_string(path).unwrap();
    assert_eq!(
        stored,
        docs::markdown(&crd::all()),
        "outdated: run `patchset crds --markdown > docs/api.md`"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_are_accepted() {
    let stage = Stage::new("samples").await;
    let samples = |name: &str| -> Vec<Value> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("config/samples")
            .join(name);
        let samples: Vec<Value> =
            serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(samples.len(), 2);
        samples
    };
    for mut sample in samples("patching_v1alpha1_patchset.yaml") {
        assert_eq!(faults::<PatchSet>(&sample), []);
        sample["spec"]["suspend"] = json!(true);
        let name = sample["metadata"]["name"].as_str().unwrap().to_owned();
        stage.apply(&name, &sample["spec"]).await;
    }
    for mut sample in samples("patching_v1alpha1_constraintoverride.yaml") {
        assert_eq!(faults::<ConstraintOverride>(&sample), []);
        sample["spec"]["suspend"] = json!(true);
        let name = sample["metadata"]["name"].as_str().unwrap().to_owned();
        stage
            .try_apply_kind::<ConstraintOverride>(&name, &sample["spec"])
            .await
            .unwrap();
    }
}

/// What is wrong, the change to a good spec that makes it so, and a part of the message.
type WrongSpec = (&'static str, Value, &'static str);

/// Invalid upstreams.
fn wrong_upstreams() -> Vec<WrongSpec> {
    vec![
        (
            "two refs",
            json!({ "upstream": { "ref": { "branch": "a", "tag": "b" } } }),
            "set exactly one of branch, tag, commit and semver",
        ),
        (
            "no ref",
            json!({ "upstream": { "ref": null } }),
            "set exactly one of ref and refFrom",
        ),
        (
            "refFrom alone",
            json!({ "upstream": { "ref": null, "refFrom": { "path": "refs.yaml" } } }),
            "set patches.git or patches.sourceRef",
        ),
        (
            "a password in the address",
            json!({ "upstream": { "url": "https://ann:secret@example.org/x" } }),
            "put it into a Secret",
        ),
        (
            "no address",
            json!({ "upstream": { "url": "example" } }),
            "write an address such as https://",
        ),
    ]
}

/// Invalid origins of patches.
fn wrong_patches() -> Vec<WrongSpec> {
    vec![
        (
            "two origins",
            json!({ "patches": { "inline": [], "configMap": { "name": "x" } } }),
            "set exactly one of git, sourceRef, configMap, inline and branch",
        ),
        (
            "a login for a branch of the upstream's own repository",
            json!({ "patches": { "branch": { "branch": "team", "secretRef": { "name": "x" } } } }),
            "without url the branch is in the upstream's own repository",
        ),
        (
            "a signed tag of a branch",
            json!({ "patches": { "branch": {
                "branch": "team", "verify": { "mode": "Tag", "secretRef": { "name": "x" } }
            } } }),
            "a branch has no tag",
        ),
        (
            "a file beside a branch",
            json!({
                "upstream": { "ref": null, "refFrom": { "path": "refs.yaml" } },
                "patches": { "branch": { "branch": "team" } }
            }),
            "set patches.git or patches.sourceRef",
        ),
        (
            "an unknown rule on subjects",
            json!({ "patches": { "branch": { "branch": "team", "subjects": "Lax" } } }),
            "supported values",
        ),
        (
            "a path that leaves",
            json!({ "patches": { "git": { "url": "https://example.org/x", "path": "a/../../b" } } }),
            "without '..'",
        ),
        (
            "an absolute path",
            json!({ "patches": { "git": { "url": "https://example.org/x", "path": "/a" } } }),
            "relative to the repository's root",
        ),
    ]
}

/// Invalid single values.
fn wrong_values() -> Vec<WrongSpec> {
    vec![
        (
            "a short commit",
            json!({ "upstream": { "ref": { "branch": null, "commit": "abc" } } }),
            "should match '^[0-9a-f]{7,40}$'",
        ),
        ("no duration", json!({ "interval": "5 minutes" }), "spec.interval"),
        (
            "the same name twice",
            json!({ "patches": { "inline": [{ "name": "a.patch", "content": "x" }, { "name": "a.patch", "content": "y" }] } }),
            "a.patch",
        ),
        (
            "an unknown level",
            json!({ "level": "Kernel" }),
            "supported values",
        ),
    ]
}

/// Invalid settings of the upkeep.
fn wrong_upkeep() -> Vec<WrongSpec> {
    vec![
        (
            "upkeep by nobody's request",
            json!({ "upkeep": { "drop": "PullRequest" } }),
            "set pullRequest with its provider and Secret",
        ),
        (
            "upkeep of what is in no repository",
            json!({ "upkeep": { "pullRequest": { "provider": "Gitea", "secretRef": { "name": "x" } } } }),
            "changes the repository of the patches: set patches.git",
        ),
        (
            "a branch with its prefix",
            json!({ "upkeep": { "branch": "refs/heads/x" } }),
            "write the branch without refs/heads/",
        ),
        (
            "an unknown action",
            json!({ "upkeep": { "refresh": "Push" } }),
            "supported values",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_object_is_refused_with_what_to_write_instead() {
    let stage = Stage::new("wrong").await;
    let good = stage.spec();
    let object = json!({ "metadata": { "name": "good" }, "spec": good, "status": { "odd": 1 } });
    assert_eq!(faults::<PatchSet>(&object), []);
    let cases = [wrong_upstreams(), wrong_patches(), wrong_values(), wrong_upkeep()].concat();
    for (name, change, sentence) in cases {
        assert_refused(&stage, name, &change, sentence).await;
    }
}

/// Asserts that the API server refuses a changed spec with a sentence, and that the commands say
/// the same without one.
async fn assert_refused(stage: &Stage, name: &str, change: &Value, sentence: &str) {
    let mut spec = stage.spec();
    merge(&mut spec, change);
    let error = stage
        .try_apply("wrong", &spec)
        .await
        .err()
        .map(|error| error.to_string());
    let error = error.unwrap_or_else(|| panic!("{name} was accepted"));
    assert!(error.contains(sentence), "{name}: {error}");
    let object = json!({ "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet", "metadata": { "name": "wrong" },
        "spec": spec });
    let told: Vec<String> = faults::<PatchSet>(&object)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        told.iter().any(|fault| fault.contains(sentence)),
        "{name}: {told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_tag_is_asked_for_where_a_tag_is_named() {
    let stage = Stage::new("signed-tags").await;
    let verify = |mode: &str| json!({ "mode": mode, "secretRef": { "name": "x" } });
    let patches = json!({ "url": "https://example.org/x", "path": "a", "verify": verify("TagAndHEAD") });
    for (name, change, sentence) in [
        (
            "a branch",
            json!({ "upstream": { "verify": verify("Tag") } }),
            "set ref.tag, ref.semver or refFrom, or use HEAD",
        ),
        (
            "the default branch",
            json!({ "patches": { "git": patches } }),
            "set ref.tag or ref.semver, or use HEAD",
        ),
        (
            "an unknown mode",
            json!({ "upstream": { "verify": verify("head") } }),
            "supported values",
        ),
    ] {
        assert_refused(&stage, name, &change, sentence).await;
    }
    for git in [
        json!({ "tag": "1", "branch": null }),
        json!({ "semver": ">=1", "branch": null }),
    ] {
        let mut signed = stage.spec();
        let upstream = json!({ "ref": git, "verify": verify("TagAndHEAD") });
        merge(&mut signed, &json!({ "suspend": true, "upstream": upstream }));
        stage.apply("signed", &signed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_are_filled_in() {
    let stage = Stage::new("defaults").await;
    let spec = json!({
        "component": "demo", "release": "2025.2", "suspend": true,
        "upstream": { "url": "git@example.org:x.git", "ref": { "branch": "main" } }
    });
    let object = stage.apply("defaults", &spec).await;
    let filled = serde_json::to_value(&object.spec).unwrap();
    assert_eq!(
        (
            &filled["interval"],
            &filled["timeout"],
            &filled["level"],
            &filled["mergedPatches"]
        ),
        (&json!("5m"), &json!("2m"), &json!("Service"), &json!("Fail"))
    );
}

/// JSON merge patch (RFC 7396).
fn merge(into: &mut Value, change: &Value) {
    let (Value::Object(into), Value::Object(change)) = (&mut *into, change) else {
        *into = change.clone();
        return;
    };
    for (key, value) in change {
        if value.is_null() {
            into.remove(key);
        } else {
            merge(into.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
