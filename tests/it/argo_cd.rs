//! How Argo CD tells that an object is healthy: `config/argocd/health.lua`, run by an interpreter
//! of Argo CD's Lua version (5.1).

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::program::program;

/// A value as Lua writes it.
fn lua(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Object(fields) => {
            let mut text = "{".to_owned();
            for (name, value) in fields {
                let _ = write!(text, "[{name:?}]={},", lua(value));
            }
            text + "}"
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(lua).collect();
            format!("{{{}}}", items.join(","))
        }
        other => other.to_string(),
    }
}

fn health(object: &Value) -> (String, String) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/argocd/health.lua");
    let script = std::fs::read_to_string(path).unwrap();
    let whole = format!(
        "obj = {}\nlocal function health() {script}\nend\nlocal found = health()\nio.write(found.status, '\\n', found.message)",
        lua(object)
    );
    let mut child = program("lua5.1")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(whole.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{whole}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (status, message) = text.split_once('\n').unwrap();
    (status.to_owned(), message.to_owned())
}

fn object(conditions: &[(&str, &str, &str)]) -> Value {
    let conditions = conditions.iter().map(|(type_, status, reason)| {
        json!({ "type": type_, "status": status, "reason": reason, "message": format!("because of {reason}") })
    });
    json!({
        "metadata": { "name": "glance", "generation": 3 },
        "spec": { "component": "glance" },
        "status": { "observedGeneration": 3, "conditions": conditions.collect::<Vec<_>>() }
    })
}

#[rstest]
#[case::good(&[("Ready", "True", "Succeeded")], "Healthy")]
#[case::conflict(&[("Ready", "False", "PatchConflict"), ("Stalled", "True", "PatchConflict")], "Degraded")]
#[case::failed(&[("Ready", "False", "BuildFailed")], "Degraded")]
#[case::tried_again(&[("Ready", "False", "FetchFailed"), ("Reconciling", "True", "ProgressingWithRetry")], "Degraded")]
#[case::begun(&[("Ready", "Unknown", "Progressing"), ("Reconciling", "True", "Progressing")], "Progressing")]
#[case::at_work(&[("Ready", "False", "Building"), ("Reconciling", "True", "Progressing")], "Progressing")]
#[case::new(&[], "Progressing")]
fn conditions_say_how_an_object_does(#[case] conditions: &[(&str, &str, &str)], #[case] wanted: &str) {
    let (status, message) = health(&object(conditions));
    assert_eq!(status, wanted);
    if let Some((_, _, reason)) = conditions.first() {
        assert_eq!(message, format!("because of {reason}"));
    }
}

#[test]
fn what_was_not_looked_at_or_is_suspended_says_so() {
    let mut object = object(&[("Ready", "True", "Succeeded")]);
    object["metadata"]["generation"] = json!(4);
    assert_eq!(health(&object).0, "Progressing");
    object["metadata"]["generation"] = json!(3);
    object["spec"]["suspend"] = json!(true);
    assert_eq!(health(&object).0, "Suspended");
    object["status"] = Value::Null;
    assert_eq!(health(&object).0, "Progressing");
}
