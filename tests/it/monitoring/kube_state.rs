//! `config/monitoring/kube-state-metrics.yaml`, over real objects.
//!
//! kube-state-metrics itself is not run: its handling of the configuration is reproduced by the
//! rules of its `pkg/customresourcestate`: paths, lookups in lists, labels that are left out,
//! strings as numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde::Deserialize;
use serde_json::Value;

use super::path;
use super::real::populate;
use crate::controller::{Stage, get};
use crate::support::git_server::GitServer;
use crate::support::registry::Registry;

type Paths = BTreeMap<String, Vec<String>>;

/// The configuration; fields unknown to its types are refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    kind: String,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resource {
    group_version_kind: Kind,
    metric_name_prefix: String,
    labels_from_path: Paths,
    metrics: Vec<Generator>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_field_names, reason = "they are called so")]
struct Kind {
    group: String,
    version: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Generator {
    name: String,
    #[serde(rename = "help")]
    _help: String,
    each: Each,
    #[serde(default)]
    labels_from_path: Paths,
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum Each {
    Info { info: Info },
    Gauge { gauge: Gauge },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Info {
    labels_from_path: Paths,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Gauge {
    path: Vec<String>,
    #[serde(default)]
    value_from: Vec<String>,
    #[serde(default)]
    labels_from_path: Paths,
    #[serde(default)]
    nil_is_zero: bool,
}

type Labels = BTreeMap<String, String>;

/// The value at a path. `[key=value]` finds an element of a list.
fn at<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, part| {
        match part.strip_prefix('[').and_then(|part| part.strip_suffix(']')) {
            Some(lookup) => {
                let (key, wanted) = lookup.split_once('=').unwrap();
                value.as_array()?.iter().find(|one| one[key] == wanted)
            }
            None => value.get(part),
        }
    })
}

fn labels(object: &Value, paths: &Paths) -> Labels {
    let found = paths.iter().filter_map(|(label, path)| {
        let text = match at(object, path)? {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some((label.clone(), text))
    });
    found.collect()
}

fn number(value: Option<&Value>, nil_is_zero: bool) -> Option<f64> {
    match value {
        None | Some(Value::Null) => nil_is_zero.then_some(0.0),
        Some(Value::String(text)) => match text.to_lowercase().as_str() {
            "true" | "yes" => Some(1.0),
            "false" | "no" | "unknown" => Some(0.0),
            other => panic!("{other} is no number"),
        },
        Some(value) => Some(value.as_f64().unwrap()),
    }
}

/// The series of a metric over one object.
fn series(resource: &Resource, generator: &Generator, object: &Value) -> Vec<(Labels, f64)> {
    let mut base = labels(object, &resource.labels_from_path);
    base.extend(labels(object, &generator.labels_from_path));
    base.insert(
        "customresource_kind".to_owned(),
        resource.group_version_kind.kind.clone(),
    );
    let made = match &generator.each {
        Each::Info { info } => vec![(labels(object, &info.labels_from_path), 1.0)],
        Each::Gauge { gauge } => {
            let value = at(object, &gauge.path);
            let parts: Vec<&Value> = match value {
                Some(Value::Array(parts)) => parts.iter().collect(),
                // For an object it would make a series for each key.
                Some(Value::Object(_)) => panic!("{} is an object", generator.name),
                _ => vec![value.unwrap_or(&Value::Null)],
            };
            let each = parts.into_iter().filter_map(|part| {
                let value = number(at(part, &gauge.value_from), gauge.nil_is_zero)?;
                Some((labels(part, &gauge.labels_from_path), value))
            });
            each.collect()
        }
    };
    let whole = made.into_iter().map(|(own, value)| {
        let mut all = base.clone();
        all.extend(own);
        (all, value)
    });
    whole.collect()
}

/// The label sets of those metrics of the controller whose names begin like this.
fn of_controller(text: &str, metric: &str) -> BTreeSet<Labels> {
    let pair = regex::Regex::new(r#"([a-z_]+)="([^"]*)""#).unwrap();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(metric)?.strip_prefix('{'));
    let labels = lines.map(|line| {
        let pairs = pair
            .captures_iter(line)
            .map(|pair| (pair[1].to_owned(), pair[2].to_owned()));
        pairs.filter(|(_, value)| !value.is_empty()).collect()
    });
    labels.collect()
}

/// The objects of a resource, from the API server.
async fn objects(stage: &Stage, resource: &Resource) -> Vec<Value> {
    let Kind { group, version, kind } = &resource.group_version_kind;
    // Like kube-state-metrics, it finds the plural in the CRDs.
    let definitions = Api::<CustomResourceDefinition>::all(stage.client.clone());
    let definitions = definitions.list(&ListParams::default()).await.unwrap();
    let definition = definitions
        .iter()
        .find(|found| found.spec.group == *group && found.spec.names.kind == *kind)
        .unwrap();
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let api = ApiResource::from_gvk_with_plural(&gvk, &definition.spec.names.plural);
    let api = Api::<DynamicObject>::namespaced_with(stage.client.clone(), &stage.namespace, &api);
    let objects = api.list(&ListParams::default()).await.unwrap().items;
    assert!(objects.len() > 1, "{kind}");
    objects
        .into_iter()
        .map(|object| serde_json::to_value(object).unwrap())
        .collect()
}

/// The labels that both kube-state-metrics and the controller have.
fn common(labels: &Labels, kind: &str) -> Labels {
    const NAMES: [&str; 11] = [
        "exported_namespace",
        "name",
        "component",
        "release",
        "ready",
        "reason",
        "revision",
        "applied",
        "tag",
        "digest",
        "type",
    ];
    let mut kept: Labels = labels
        .iter()
        .filter(|(name, _)| NAMES.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    kept.insert("kind".to_owned(), labels[kind].clone());
    // An object that was never suspended need not say so.
    if labels
        .get("suspended")
        .is_some_and(|suspended| suspended == "true")
    {
        kept.insert("suspended".to_owned(), "true".to_owned());
    }
    kept
}

/// The label sets that one of the controller's metrics has for all objects.
async fn own(stage: &Stage, metric: &str) -> BTreeSet<Labels> {
    let address = stage.controller.metrics.clone();
    let (_, text) = tokio::task::spawn_blocking(move || get(&address, "/metrics"))
        .await
        .unwrap();
    let own = of_controller(&text, metric);
    own.iter().map(|labels| common(labels, "kind")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kube_state_metrics_would_say_what_the_controller_says() {
    let registry = Registry::open();
    let option = format!("--plain-http-registry={}", registry.host);
    let stage = Stage::with("kube-state", &[&option], GitServer::http).await;
    populate(&stage, &registry).await;
    let file = std::fs::read_to_string(path("config/monitoring/kube-state-metrics.yaml")).unwrap();
    let document: Document = serde_saphyr::from_str(&file).unwrap();
    assert_eq!(document.kind, "CustomResourceStateMetrics");

    let mut told: BTreeMap<&str, Vec<(Labels, f64)>> = BTreeMap::new();
    for resource in &document.spec.resources {
        assert_eq!(resource.metric_name_prefix, "");
        let objects = objects(&stage, resource).await;
        for generator in &resource.metrics {
            let all: Vec<_> = objects
                .iter()
                .flat_map(|object| series(resource, generator, object))
                .collect();
            // Each path leads somewhere in at least one object.
            let (Each::Info {
                info: Info { labels_from_path },
            }
            | Each::Gauge {
                gauge: Gauge { labels_from_path, .. },
            }) = &generator.each;
            let paths = [
                &resource.labels_from_path,
                &generator.labels_from_path,
                labels_from_path,
            ];
            for label in paths.into_iter().flat_map(BTreeMap::keys) {
                let has = |(labels, _): &(Labels, f64)| labels.contains_key(label);
                assert!(
                    all.iter().any(has),
                    "{} has never a label {label}",
                    generator.name
                );
            }
            told.entry(&generator.name).or_default().extend(all);
        }
    }
    let labels = |metric: &str| -> BTreeSet<Labels> {
        let series = told[metric].iter();
        series
            .map(|(labels, _)| common(labels, "customresource_kind"))
            .collect()
    };
    // The controller may see the last change a moment later.
    let begun = Instant::now();
    let infos = labels("gotk_resource_info");
    while own(&stage, "patchset_resource_info").await != infos && begun.elapsed() < Duration::from_secs(120) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(own(&stage, "patchset_resource_info").await, infos);

    let mut conditions = labels("patchset_status_condition");
    conditions.extend(labels("constraintoverride_status_condition"));
    conditions.extend(labels("patchrepository_status_condition"));
    assert_eq!(own(&stage, "patchset_resource_condition").await, conditions);
    let value = |metric: &str, name: &str, type_: Option<&str>| {
        let mut series = told[metric].iter();
        let found = series
            .find(|(labels, _)| labels["name"] == name && type_.is_none_or(|type_| labels["type"] == type_));
        found.map(|(_, value)| value.to_string()).unwrap()
    };
    assert_eq!(value("patchset_status_condition", "good", Some("Delivered")), "1");
    assert_eq!(value("patchset_status_condition", "conflict", Some("Ready")), "0");
    let attention = "constraintoverride_overrides_needing_attention";
    assert_eq!(value(attention, "outdated", None), "1");
    assert_eq!(value(attention, "unmerged", None), "0");
    assert_eq!(told.len(), 5);
}
