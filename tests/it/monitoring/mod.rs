//! The alerts, the dashboard and the configuration of kube-state-metrics, against the metrics of a
//! running controller: a real Prometheus scrapes it and evaluates every expression.

mod alerts;
mod expressions;
mod kube_state;
mod real;

use std::path::PathBuf;

use serde_json::Value;

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(path(file)).unwrap()).unwrap()
}

/// The rules of all groups.
fn rules() -> Vec<Value> {
    let alerts = yaml("charts/patchset/files/alerts.yaml");
    let groups = alerts["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

fn dashboard() -> Value {
    let text = std::fs::read_to_string(path("charts/patchset/files/dashboard.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}
