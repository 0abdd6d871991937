//! Every expression of the alerts and the dashboard, evaluated over a real controller's metrics.

use std::collections::{BTreeMap, BTreeSet};

use patchset_api::{ConstraintOverride, PatchRepository, PatchSet};
use regex::{Captures, Regex};
use serde_json::{Value, json};

use super::expressions::asked;
use super::{dashboard, path, rules};
use crate::controller::build::{build_as_told, build_of, spec};
use crate::controller::{GOOD, Stage, inline};
use crate::support::events::{EventServer, Reply};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::{GitServer, free_port};
use crate::support::prometheus::Prometheus;
use crate::support::registry::Registry;
use crate::support::signing::SshKey;
use crate::upkeep::propose_drop;

/// Applies PatchSets whose upstream or patches are wrong.
async fn apply_wrong_sources(stage: &Stage) {
    let patched = |content: &str| stage.spec_with(&inline(&[("0001.patch", content)]));
    let broken = GOOD.replace("-five", "-fünf");
    stage.apply("conflict", &patched(&broken)).await;
    stage.apply("malformed", &patched("@@ -1 +1 @@\nrubbish\n")).await;
    let reversed = GOOD.replace("-five\n+FIVE", "-FIVE\n+five");
    stage.apply("merged", &patched(&reversed)).await;
    let mut asleep = patched(&broken);
    stage.apply("asleep", &asleep).await;
    stage.ready("asleep", "False", "PatchConflict").await;
    asleep["suspend"] = json!(true);
    stage.apply("asleep", &asleep).await;
    let mut unreachable = stage.spec();
    unreachable["upstream"]["url"] = json!(format!("http://127.0.0.1:{}/gone", free_port()));
    stage.apply("unreachable", &unreachable).await;
    let key = SshKey::new("ed25519", None);
    stage.secret("signers", &[("ann.pub", &key.public())]).await;
    let mut unsigned = stage.spec();
    unsigned["upstream"]["verify"] = json!({ "secretRef": { "name": "signers" } });
    stage.apply("unsigned", &unsigned).await;
}

/// Applies PatchSets whose images are built, tested and delivered, or wait for it.
async fn apply_builds(stage: &Stage, registry: &Registry) {
    let good = spec(stage, registry);
    let delivered = |approval: &str| {
        let mut spec = good.clone();
        spec["delivery"] = json!({ "configMap": { "name": "images" }, "approval": approval });
        spec
    };
    stage.apply("good", &delivered("Automatic")).await;
    let build = build_of(&stage.ready("good", "Unknown", "AwaitingImage").await);
    build_as_told(&build, build.inputs_digest.as_str());
    stage.ready("good", "True", "Succeeded").await;
    stage.config_map("theirs", &[("demo_tag", "mine")]).await;
    let mut undelivered = delivered("Automatic");
    undelivered["delivery"]["configMap"]["name"] = json!("theirs");
    stage.apply("undelivered", &undelivered).await;
    stage.apply("approval", &delivered("Manual")).await;
    let mut untested = good.clone();
    untested["build"]["tests"] = json!([{
        "name": "unit", "from": "Image", "command": ["true"], "podTemplate": { "spec": { "hostNetwork": true } },
    }]);
    stage.apply("untested", &untested).await;
    let mut waiting = good.clone();
    waiting["build"]["args"]["GREETING"] = json!("later");
    stage.apply("waiting", &waiting).await;
    let mut taken = good.clone();
    taken["build"]["image"]["tag"] = json!("fixed");
    stage.apply("taken", &taken).await;
    let build = build_of(&stage.ready("taken", "Unknown", "AwaitingImage").await);
    build_as_told(&build, "sha256:other");
}

/// The spec of a `ConstraintOverride` with a text of overrides.
fn constraint_override(overrides: &str) -> Value {
    json!({
        "release": "2025.2",
        "upperConstraints": { "inline": "a===2\n" },
        "overrides": { "inline": overrides }
    })
}

/// Applies ConstraintOverrides: one that is out of date, one that cannot be merged, and one that
/// is fine.
async fn apply_constraint_overrides(stage: &Stage) {
    for (name, text) in [
        ("outdated", "a===1\n"),
        ("unmerged", "a=1\n"),
        ("fine", "a===3\n"),
    ] {
        let made = stage
            .try_apply_kind::<ConstraintOverride>(name, &constraint_override(text))
            .await;
        made.unwrap();
    }
}

/// Applies PatchRepositories: one whose folders follow no layout, and one that asks for no object.
async fn apply_patch_repositories(stage: &Stage) {
    let folders = json!({
        "source": { "git": { "url": stage.server.url("upstream") } },
        "upstream": { "urlTemplate": stage.server.url("{component}") }
    });
    let team = GitRepo::create(stage.root.path(), "team");
    team.commit(&[("releases/2025.2/source-refs.yaml", "demo: main\n")], "refs");
    let mut of_none = folders.clone();
    of_none["source"]["git"]["url"] = json!(stage.server.url("team"));
    of_none["layout"] = json!("ComponentRelease");
    of_none["components"] = json!({ "exclude": ["*"] });
    for (name, spec) in [("folders", &folders), ("of-none", &of_none)] {
        let made = stage.try_apply_kind::<PatchRepository>(name, spec).await;
        made.unwrap();
    }
}

/// Waits until all objects are in their intended states.
async fn wait_for_states(stage: &Stage) {
    for (name, status, reason) in [
        ("conflict", "False", "PatchConflict"),
        ("malformed", "False", "PatchMalformed"),
        ("merged", "False", "PatchMerged"),
        ("unreachable", "False", "Unreachable"),
        ("unsigned", "False", "SignatureMissing"),
        ("undelivered", "False", "NameTaken"),
        ("untested", "False", "AccessDenied"),
        ("approval", "Unknown", "AwaitingApproval"),
        ("waiting", "Unknown", "AwaitingImage"),
        ("taken", "False", "TagTaken"),
    ] {
        stage.ready_kind::<PatchSet>(name, status, reason).await;
    }
    for (name, status, reason) in [
        ("outdated", "True", "NeedsAttention"),
        ("unmerged", "False", "InvalidOverrides"),
        ("fine", "True", "Succeeded"),
    ] {
        stage.ready_kind::<ConstraintOverride>(name, status, reason).await;
    }
    stage
        .ready_kind::<PatchRepository>("folders", "False", "LayoutInvalid")
        .await;
    stage
        .ready_kind::<PatchRepository>("of-none", "True", "Succeeded")
        .await;
}

/// Objects in all the states that alerts cover, by name.
pub(super) async fn populate(stage: &Stage, registry: &Registry) {
    apply_wrong_sources(stage).await;
    apply_builds(stage, registry).await;
    apply_constraint_overrides(stage).await;
    apply_patch_repositories(stage).await;
    propose_drop(stage, "proposed").await;
    wait_for_states(stage).await;
    let mut paused = constraint_override("a===3\n");
    paused["suspend"] = json!(true);
    let made = stage.try_apply_kind::<ConstraintOverride>("fine", &paused).await;
    made.unwrap();
}

/// The names in the results of an expression.
fn names(results: &[Value]) -> BTreeSet<&str> {
    results
        .iter()
        .map(|labels| labels["name"].as_str().unwrap_or_default())
        .collect()
}

/// Checks that everything an expression refers to exists.
async fn assert_there(prometheus: &Prometheus, expression: &str) -> BTreeSet<String> {
    let asked = asked(expression);
    let mut there: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for metric in &asked.metrics {
        let series = prometheus.series(metric).await;
        assert!(!series.is_empty(), "there is no {metric}: {expression}");
        for (label, value) in series.iter().flat_map(|labels| labels.as_object().unwrap()) {
            let values = there.entry(label.clone()).or_default();
            values.insert(value.as_str().unwrap().to_owned());
        }
    }
    for label in &asked.labels {
        assert!(
            there.contains_key(label),
            "there is no label {label}: {expression}"
        );
    }
    for (label, value) in &asked.values {
        assert!(
            there[label].contains(value),
            "there is no {label}={value:?}: {expression}"
        );
    }
    there.into_keys().collect()
}

/// An expression with the default values of a dashboard's variables.
fn with_defaults(board: &Value, expression: &str) -> String {
    let mut filled = expression.to_owned();
    for variable in board["templating"]["list"].as_array().unwrap() {
        let (name, all) = (variable["name"].as_str().unwrap(), variable["allValue"].as_str());
        if variable["current"]["value"] == json!(["$__all"]) {
            filled = filled.replace(&format!("${name}"), all.unwrap());
        }
    }
    assert!(!filled.contains('$'), "{filled}");
    filled
}

/// Checks each panel and variable of the dashboard.
async fn assert_dashboard(prometheus: &Prometheus) {
    let board = dashboard();
    let legend = Regex::new(r"\{\{\s*([a-z_]+)\s*\}\}").unwrap();
    let label_values = Regex::new(r"^label_values\(([a-z_]+), ([a-z_]+)\)$").unwrap();
    let mut expressions = 0;
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let plain = expression.replace("$__rate_interval", "1m");
            assert_there(prometheus, &plain).await;
            let filled = with_defaults(&board, &plain);
            let results = prometheus.until(&filled, |results| !results.is_empty()).await;
            // Over time, as drawn: no label of the legend is missing, and no two lines have the
            // same name.
            let format = target["legendFormat"].as_str().unwrap_or_default();
            for label in legend
                .captures_iter(format)
                .map(|captures| captures[1].to_owned())
            {
                let has = |labels: &Value| labels[&label].is_string();
                prometheus.until(&filled, |results| results.iter().all(has)).await;
            }
            let drawn = prometheus.query_range(&filled).await;
            assert!(drawn.len() >= results.len(), "{filled}: {drawn:#?}");
            let mut names = BTreeSet::new();
            let mut has_numbers = false;
            for series in &drawn {
                let name = legend.replace_all(format, |captures: &Captures<'_>| {
                    series["metric"][&captures[1]]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned()
                });
                let is_new = names.insert(name.into_owned());
                assert!(is_new || target["format"] == "table", "{format}: {filled}");
                let values = series["values"].as_array().unwrap().iter();
                let numbers = values.map(|value| value[1].as_str().unwrap().parse::<f64>().unwrap());
                // `NaN` is drawn as a gap, where there was nothing to divide by: an object that was
                // reconciled once has a rate of 0.
                has_numbers |= numbers.clone().any(f64::is_finite);
                let least = panel["fieldConfig"]["defaults"]["min"].as_f64();
                assert!(
                    least.is_none_or(|least| numbers.clone().all(|one| one.is_nan() || one >= least)),
                    "{filled}"
                );
            }
            assert!(has_numbers, "{filled}: {drawn:#?}");
            let columns = &panel["transformations"][0]["options"]["renameByName"];
            for column in columns.as_object().into_iter().flat_map(|columns| columns.keys()) {
                assert!(
                    asked(expression).labels.contains(column),
                    "{column}: {expression}"
                );
            }
            expressions += 1;
        }
    }
    assert!(expressions > 20, "{expressions}");
    for list in board["templating"]["list"].as_array().unwrap() {
        let Some(query) = list["definition"].as_str() else {
            continue;
        };
        let captures = label_values.captures(query).unwrap();
        let labels = assert_there(prometheus, &captures[1]).await;
        assert!(labels.contains(&captures[2]), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_dashboard_ask_for_what_is_there() {
    let registry = Registry::open();
    let refusing = EventServer::start(&[Reply::Status(202), Reply::Status(429)]).await;
    let options = [
        format!("--plain-http-registry={}", registry.host),
        format!("--events-addr={}", refusing.address),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut stage = Stage::with("monitoring", &options, GitServer::http).await;
    let rules_file = path("charts/patchset/files/alerts.yaml");
    let prometheus = Prometheus::scraping(&stage.controller.metrics, &rules_file).await;
    prometheus
        .until("patchset_build_info", |results| !results.is_empty())
        .await;
    populate(&stage, &registry).await;
    refusing.refuse(400);
    stage.apply("told", &stage.spec()).await;
    let dropped = r#"patchset_notifications_total{outcome="Dropped"} > 0"#;
    prometheus.until(dropped, |results| !results.is_empty()).await;

    let expected = BTreeMap::from([
        ("PatchSetPatchesDoNotApply", vec!["conflict", "malformed"]),
        ("PatchSetPatchIsUpstream", vec!["merged"]),
        ("PatchSetSourceFailing", vec!["unreachable"]),
        ("PatchSetSourceUnverified", vec!["unsigned"]),
        ("PatchSetBuildFailing", vec!["taken"]),
        ("PatchSetTestFailing", vec!["untested"]),
        ("PatchSetImageOverdue", vec!["waiting"]),
        ("PatchSetNotDelivered", vec!["undelivered"]),
        ("PatchSetAwaitsApproval", vec!["approval"]),
        ("ConstraintOverrideOutdated", vec!["outdated"]),
        ("ConstraintOverrideNotMerged", vec!["unmerged"]),
        ("PatchRepositoryObjectsNotApplied", vec!["folders"]),
        ("PatchSetEventsDropped", vec![""]),
    ]);
    let used = Regex::new(r"\$labels\.([a-z_]+)").unwrap();
    for rule in rules() {
        let (alert, expression) = (rule["alert"].as_str().unwrap(), rule["expr"].as_str().unwrap());
        assert_there(&prometheus, expression).await;
        let wanted: BTreeSet<&str> = expected.get(alert).into_iter().flatten().copied().collect();
        let results = match alert {
            // The moment decides whether most of them fail.
            "PatchSetReconcilesFailing" => prometheus.query(expression.split('>').next().unwrap()).await,
            _ => {
                prometheus
                    .until(expression, |results| names(results) == wanted)
                    .await
            }
        };
        let texts = rule["annotations"].as_object().unwrap().values();
        for text in texts.map(|text| text.as_str().unwrap()) {
            for captures in used.captures_iter(text) {
                let has = |labels: &Value| labels[&captures[1]].is_string();
                assert!(
                    results.iter().all(has),
                    "{alert} lacks {}: {results:#?}",
                    &captures[1]
                );
            }
        }
    }

    assert_dashboard(&prometheus).await;

    stage.controller.kill();
    prometheus
        .until("absent(patchset_build_info)", |results| !results.is_empty())
        .await;
    assert!(!prometheus.log().contains("level=error"), "{}", prometheus.log());
}
