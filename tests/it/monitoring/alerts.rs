//! The alerts, tested by promtool: their syntax, and when each of them fires.

use super::{path, rules, yaml};
use crate::support::program::program;

fn promtool(arguments: &[&str], folder: &std::path::Path) -> String {
    let output = program("promtool")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn each_alert_fires_when_it_should_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [
        ("charts/patchset/files/alerts.yaml", "alerts.yaml"),
        ("tests/it/monitoring/alerts.yaml", "tests.yaml"),
    ] {
        std::fs::copy(path(from), folder.path().join(to)).unwrap();
    }
    let rules = rules();
    let checked = promtool(
        &["check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml"],
        folder.path(),
    );
    assert!(
        checked.contains(&format!("{} rules found", rules.len())),
        "{checked}"
    );
    promtool(&["test", "rules", "tests.yaml"], folder.path());

    let tests = yaml("tests/it/monitoring/alerts.yaml");
    let cases: Vec<_> = tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .collect();
    for rule in rules {
        let of_this = cases.iter().filter(|case| case["alertname"] == rule["alert"]);
        let (mut firing, mut silent) = (0, 0);
        for case in of_this {
            match case["exp_alerts"].as_array() {
                Some(expected) if !expected.is_empty() => firing += 1,
                _ => silent += 1,
            }
        }
        assert!(firing > 0 && silent > 0, "no test of {}", rule["alert"]);
    }
}
