//! Sortable tags, chosen as Flux's image policies do, by the example in `docs/operations.md`.

use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{WatchEvent, WatchParams};
use patchset_api::PatchSet;
use patchset_api::build::ImageStatus;
use regex::Regex;
use serde_json::{Value, json};

use super::build::{build_as_told, build_of, spec, stage};
use super::{PATIENCE, Stage, assert_well_formed, condition};
use crate::support::registry::Registry;

/// The documents of the YAML examples in `docs/operations.md`.
fn examples() -> Vec<Value> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let blocks = text.split("```yaml\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .filter(|block| block.contains("kind: ImagePolicy"))
        .flat_map(|block| serde_saphyr::from_multiple::<Value>(block).unwrap())
        .collect()
}

/// The template of the example.
fn template() -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let found = Regex::new(r#"sortableTag: "([^"]+)""#).unwrap().captures(&text);
    found.unwrap()[1].to_owned()
}

/// Flux's choice: tags that the pattern matches, by the extracted number.
struct Policy {
    pattern: Regex,
    extract: String,
}

impl Policy {
    fn of_the_example() -> Self {
        let examples = examples();
        let of_kind = |kind: &str| examples.iter().find(|object| object["kind"] == kind).unwrap();
        let policy = &of_kind("ImagePolicy")["spec"];
        assert_eq!(policy["policy"]["numerical"]["order"], "asc");
        assert_eq!(
            policy["imageRepositoryRef"]["name"],
            of_kind("ImageRepository")["metadata"]["name"]
        );
        Self {
            pattern: Regex::new(policy["filterTags"]["pattern"].as_str().unwrap()).unwrap(),
            extract: policy["filterTags"]["extract"].as_str().unwrap().to_owned(),
        }
    }

    fn number(&self, tag: &str) -> Option<f64> {
        let captures = self.pattern.captures(tag)?;
        let mut extracted = String::new();
        captures.expand(&self.extract, &mut extracted);
        Some(extracted.parse().unwrap())
    }

    /// The matching tags, with the chosen one last.
    fn sorted(&self, registry: &Registry) -> Vec<String> {
        let mut tags: Vec<(f64, String)> = registry
            .tags("demo")
            .into_iter()
            .filter_map(|tag| Some((self.number(&tag)?, tag)))
            .collect();
        tags.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(
            tags.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "some are alike: {tags:?}"
        );
        tags.into_iter().map(|(_, tag)| tag).collect()
    }
}

fn tags(registry: &Registry) -> Vec<String> {
    let policy = Policy::of_the_example();
    tokio::task::block_in_place(|| policy.sorted(registry))
}

fn image(object: &PatchSet) -> ImageStatus {
    *object.status.as_ref().unwrap().image.clone().unwrap()
}

fn sortable(image: &ImageStatus) -> &str {
    &image.sortable_tag.as_ref().unwrap().tag
}

/// The image of a `PatchSet` that is ready with this argument.
async fn ready_with(stage: &Stage, spec: &mut Value, greeting: &str) -> ImageStatus {
    spec["build"]["args"]["GREETING"] = json!(greeting);
    stage.apply("demo", spec).await;
    image(&stage.ready("demo", "True", "Succeeded").await)
}

async fn build(stage: &Stage, spec: &mut Value, greeting: &str) -> ImageStatus {
    spec["build"]["args"]["GREETING"] = json!(greeting);
    stage.apply("demo", spec).await;
    let told = build_of(&stage.ready("demo", "Unknown", "AwaitingImage").await);
    build_as_told(&told, told.inputs_digest.as_str());
    let ready = stage.ready("demo", "True", "Succeeded").await;
    assert_well_formed(&ready);
    image(&ready)
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_takes_the_image_that_is_wanted_now() {
    let registry = Registry::open();
    let mut stage = stage("sortable", &registry).await;
    let mut spec = spec(&stage, &registry);
    spec["build"]["image"]["tag"] = json!("{inputs}");
    spec["build"]["image"]["movingTags"] = json!(["{release}"]);
    spec["build"]["image"]["sortableTag"] = json!(template());
    let first = build(&stage, &mut spec, "hello").await;
    assert_eq!(tags(&registry), [sortable(&first)]);
    assert_eq!(registry.digest("demo", sortable(&first)), first.digest.as_str());

    // No tag is added without changes, after a restart, or by a requested look.
    stage.controller.kill();
    stage.controller.restart();
    stage
        .annotate("demo", "reconcile.fluxcd.io/requestedAt", "now")
        .await;
    stage
        .wait("demo", "looked at", |object| {
            object
                .status
                .as_ref()
                .is_some_and(|status| status.last_handled_reconcile_at.as_deref() == Some("now"))
        })
        .await;
    let version = stage
        .api::<PatchSet>()
        .get("demo")
        .await
        .unwrap()
        .resource_version();
    stage.looks(3).await;
    let later = stage.api::<PatchSet>().get("demo").await.unwrap();
    assert_eq!(
        (later.resource_version(), image(&later)),
        (version, first.clone())
    );
    assert_eq!(tags(&registry), [sortable(&first)]);

    // Another image is later, and the former one once more when it is wanted again, without a
    // build.
    let second = build(&stage, &mut spec, "hi").await;
    assert_eq!(tags(&registry), [sortable(&first), sortable(&second)]);
    let uploads = registry.uploads();
    let api = stage.api::<PatchSet>();
    let version = api.get("demo").await.unwrap().resource_version().unwrap();
    let changes = api.watch(&WatchParams::default(), &version).await.unwrap();
    let again = ready_with(&stage, &mut spec, "hello").await;
    // The status has the time before the registry has the tag.
    let is_recorded = |object: &PatchSet| {
        let status = object.status.as_ref().unwrap();
        let of_build = status
            .build
            .as_ref()
            .and_then(|build| build.sortable_tag.as_ref());
        of_build == again.sortable_tag.as_ref() && image(object) == second
    };
    let recorded = changes.any(async |change| match change.unwrap() {
        WatchEvent::Modified(object) => is_recorded(&object),
        _ => false,
    });
    let recorded = tokio::time::timeout(PATIENCE, recorded).await;
    assert_eq!(recorded, Ok(true), "it was recorded with the image alone");
    assert_eq!(again.digest, first.digest);
    assert_eq!(
        tags(&registry),
        [sortable(&first), sortable(&second), sortable(&again)]
    );
    assert_eq!(registry.digest("demo", sortable(&again)), first.digest.as_str());
    assert_eq!(registry.digest("demo", sortable(&second)), second.digest.as_str());
    assert_eq!(registry.uploads(), uploads, "something was built");

    // A controller that is killed at any moment of this adds none twice.
    for round in 0..8_u32 {
        let before = tags(&registry);
        let greeting = if round % 2 == 0 { "hi" } else { "hello" };
        spec["build"]["args"]["GREETING"] = json!(greeting);
        stage.apply("demo", &spec).await;
        tokio::time::sleep(Duration::from_millis(u64::from(round) * 40)).await;
        stage.controller.kill();
        stage.controller.restart();
        let now = ready_with(&stage, &mut spec, greeting).await;
        let after = tags(&registry);
        assert_eq!(after[..before.len()], before, "round {round}");
        assert_eq!(after[before.len()..], [sortable(&now)], "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_does_not_sort_is_refused() {
    let registry = Registry::open();
    let stage = stage("unsortable", &registry).await;
    let good = spec(&stage, &registry);
    let mut timeless = good.clone();
    timeless["build"]["image"]["sortableTag"] = json!("{release}-{sha}");
    let error = stage.try_apply("demo", &timeless).await.unwrap_err().to_string();
    assert!(error.contains("sortableTag has to contain {time}"), "{error}");
    for field in ["tag", "movingTags"] {
        let mut spec = good.clone();
        let template = "{release}-{time}";
        spec["build"]["image"][field] = match field {
            "tag" => json!(template),
            _ => json!([template]),
        };
        stage.apply("demo", &spec).await;
        let refused = stage.ready("demo", "False", "InvalidSpec").await;
        let message = &condition(&refused, "Ready").unwrap().message;
        assert!(
            message.contains("{time} is only for build.image.sortableTag"),
            "{message}"
        );
    }
}
