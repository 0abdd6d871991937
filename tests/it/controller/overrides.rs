//! A `ConstraintOverride` through its life: good, partly useless, broken and repaired overrides,
//! and its merged file.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use patchset_api::ConstraintOverride;
use patchset_api::constraint_override::{ConstraintOverrideStatus, OverrideState};
use serde_json::{Value, json};
use upper_constraints::digest;

use super::{Stage, assert_well_formed, condition, shown};
use crate::constraints::corpus;
use crate::support::git_server::Fault;

/// The upper constraints of the tests.
const UPPER: &str = "# upstream's\nalpha===1.0\nBeta===2.0;python_version<'3.10'\nBeta===2.1;python_version>='3.10'\ngamma===3.0\n";

impl Stage {
    async fn apply_override(&self, name: &str, spec: &Value) -> ConstraintOverride {
        self.try_apply_kind(name, spec).await.unwrap()
    }

    async fn override_ready(&self, name: &str, status: &str, reason: &str) -> ConstraintOverride {
        let object = self.ready_kind(name, status, reason).await;
        assert_well_formed(&object);
        object
    }

    /// The merged file of a resource.
    async fn merged(&self, name: &str) -> String {
        let map = self.merged_map(name).await;
        map.data.unwrap()["upper-constraints.txt"].clone()
    }

    async fn merged_map(&self, name: &str) -> ConfigMap {
        self.api::<ConfigMap>()
            .get(&format!("{name}-constraints"))
            .await
            .unwrap()
    }

    /// Upper constraints from Git, overrides as given.
    fn override_spec(&self, overrides: &Value) -> Value {
        json!({
            "release": "2025.2", "interval": "1s",
            "upperConstraints": { "git": {
                "url": self.server.url("upstream"), "ref": { "branch": "main" }, "path": "upper-constraints.txt"
            } },
            "overrides": overrides
        })
    }

    /// A stage whose upstream has constraints.
    async fn with_constraints(name: &str) -> Self {
        let stage = Self::new(name).await;
        stage
            .upstream
            .commit(&[("upper-constraints.txt", UPPER)], "constraints");
        stage
    }
}

fn status(object: ConstraintOverride) -> ConstraintOverrideStatus {
    object.status.unwrap()
}

fn states(status: &ConstraintOverrideStatus) -> Vec<(&str, OverrideState)> {
    status
        .results
        .iter()
        .map(|result| (result.package.as_str(), result.state))
        .collect()
}

/// Asserts that good overrides are reported and merged, with a commit of upstream.
async fn assert_good(stage: &Stage, good: ConstraintOverride, commit: &str) {
    use OverrideState::{Added, Removed, Updated};
    assert_eq!(shown(&good, "SourceResolved"), "True/Succeeded");
    assert_eq!(shown(&good, "ConstraintsMerged"), "True/Succeeded");
    assert_eq!(
        condition(&good, "Ready").unwrap().message,
        "3 overrides merged; 4 packages are pinned"
    );
    let good = status(good);
    assert_eq!(
        states(&good),
        [("ALPHA", Updated), ("gamma", Removed), ("new", Added)]
    );
    assert_eq!((good.overrides, good.need_attention), (Some(3), Some(0)));
    assert_eq!(good.results[0].message, "1.0 → 1.1 (upgrade)");
    assert_eq!(
        good.upper_constraints_revision.unwrap(),
        format!("main@sha1:{commit}")
    );
    let merged = stage.merged("co").await;
    assert_eq!(
        merged,
        UPPER
            .replace("alpha===1.0", "alpha===1.1")
            .replace("gamma===3.0\n", "new===0.3.1\n")
    );
    let file = good.config_map.unwrap();
    assert_eq!(
        (file.digest.clone(), file.entries),
        (digest(merged.as_bytes()), 4)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn good_then_partly_useless_then_broken_then_repaired() {
    use OverrideState::{Absent, Outdated, Redundant, Updated};
    let stage = Stage::with_constraints("overrides").await;
    let set = async |text| stage.config_map("ours", &[("constraints.txt", text)]).await;
    let commit = stage.upstream.git(&["rev-parse", "main"]);

    set("# ours\nALPHA===1.1\n-gamma\nnew===0.3.1\n").await;
    let spec = stage.override_spec(&json!({ "configMap": { "name": "ours", "key": "constraints.txt" } }));
    stage.apply_override("co", &spec).await;
    let good = stage.override_ready("co", "True", "Succeeded").await;
    assert_good(&stage, good, &commit).await;

    set("alpha===1.0\n-delta\nbeta===1.9\ngamma===3.1\n").await;
    let useless = stage.override_ready("co", "True", "NeedsAttention").await;
    assert_eq!(shown(&useless, "ConstraintsMerged"), "True/NeedsAttention");
    assert_eq!(shown(&useless, "Stalled"), "-");
    let message = condition(&useless, "Ready").unwrap().message.clone();
    assert!(
        message.contains("3 need attention, the first: alpha: upstream pins 1.0 itself: drop the override"),
        "{message}"
    );
    let useless = status(useless);
    assert_eq!(
        states(&useless),
        [
            ("alpha", Redundant),
            ("delta", Absent),
            ("beta", Outdated),
            ("gamma", Updated)
        ]
    );
    assert_eq!((useless.overrides, useless.need_attention), (Some(4), Some(3)));
    assert_eq!(
        stage.merged("co").await,
        "# upstream's\nalpha===1.0\nBeta===1.9\ngamma===3.1\n"
    );

    set("alpha===1.2\nbeta==2\nwhat is this\nAlpha===1\n").await;
    let broken = stage.override_ready("co", "False", "InvalidOverrides").await;
    assert_eq!(shown(&broken, "ConstraintsMerged"), "False/InvalidOverrides");
    assert_eq!(shown(&broken, "Stalled"), "True/InvalidOverrides");
    let message = condition(&broken, "Ready").unwrap().message.clone();
    for part in [
        "line 2: ",
        "write beta===2",
        "line 3: ",
        "line 4: Alpha is overridden twice",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let broken = status(broken);
    assert_eq!(states(&broken), states(&useless), "the last good result stays");
    assert_eq!(broken.config_map, useless.config_map);
    assert_eq!(
        stage.merged("co").await,
        "# upstream's\nalpha===1.0\nBeta===1.9\ngamma===3.1\n"
    );

    set("alpha===1.2\n").await;
    let repaired = stage.override_ready("co", "True", "Succeeded").await;
    assert_eq!(shown(&repaired, "Stalled"), "-");
    assert_eq!(
        stage.merged("co").await,
        UPPER.replace("alpha===1.0", "alpha===1.2")
    );
    told_once_each(&stage).await;
}

/// Asserts that one event reported each change of Ready after the first verdict, which was good.
async fn told_once_each(stage: &Stage) {
    let told: Vec<String> = stage
        .events_once("co", 3)
        .await
        .into_iter()
        .map(|(reason, _)| reason)
        .collect();
    let count = |reason: &str| told.iter().filter(|told| *told == reason).count();
    for (reason, times) in [("Succeeded", 1), ("NeedsAttention", 1), ("InvalidOverrides", 1)] {
        assert_eq!(count(reason), times, "{reason}: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_users_constraints_merge_from_their_repository() {
    let stage = Stage::new("real-overrides").await;
    let (upper, overrides) = (
        corpus("releases/2025.2/upper-constraints.txt"),
        corpus("overrides/2025.2/constraints.txt"),
    );
    stage
        .upstream
        .commit(&[("upper-constraints.txt", &upper)], "upper constraints");
    stage.upstream.git(&["tag", "2025.2"]);
    let ours = crate::support::git_repo::GitRepo::create(stage.root.path(), "ours");
    ours.commit(&[("overrides/2025.2/constraints.txt", &overrides)], "overrides");
    let mut spec = stage.override_spec(&json!({ "git": {
        "url": stage.server.url("ours"), "path": "overrides/2025.2/constraints.txt"
    } }));
    spec["upperConstraints"]["git"]["ref"] = json!({ "tag": "2025.2" });
    spec["builtFromSource"] = json!(["oslo_messaging", "glance-store"]);
    stage.apply_override("real", &spec).await;
    let object = stage.override_ready("real", "True", "Succeeded").await;
    assert_eq!(
        condition(&object, "Ready").unwrap().message,
        "2 overrides merged; 600 packages are pinned"
    );
    let merged = stage.merged("real").await;
    let expected = upper
        .lines()
        .filter(|line| {
            !["horizon=", "oslo.messaging=", "glance_store="]
                .iter()
                .any(|name| line.starts_with(name))
        })
        .chain(["lhafile===0.3.1"])
        .fold(String::new(), |text, line| text + line + "\n");
    assert_eq!(merged, expected);
    let map = stage.merged_map("real").await;
    let owner = &map.owner_references()[0];
    assert_eq!(
        (owner.kind.as_str(), &owner.uid, owner.controller),
        (
            "ConstraintOverride",
            object.metadata.uid.as_ref().unwrap(),
            Some(true)
        )
    );

    // A commit changes the overrides in their repository.
    ours.commit(
        &[("overrides/2025.2/constraints.txt", "lhafile===0.3.2\n")],
        "newer",
    );
    let moved = ours.git(&["rev-parse", "main"]);
    stage
        .wait_kind("real", "at the new overrides", |object: &ConstraintOverride| {
            object
                .status
                .as_ref()
                .and_then(|status| status.overrides_revision.as_ref())
                .is_some_and(|revision| revision.ends_with(&moved))
        })
        .await;
    assert!(stage.merged("real").await.ends_with("lhafile===0.3.2\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_by_hand_is_put_back() {
    let stage = Stage::with_constraints("by-hand").await;
    let spec = stage.override_spec(&json!({ "entries": [{ "name": "alpha", "version": "1.1" }] }));
    stage.apply_override("hand", &spec).await;
    stage.override_ready("hand", "True", "Succeeded").await;
    let expected = UPPER.replace("alpha===1.0", "alpha===1.1");
    assert_eq!(stage.merged("hand").await, expected);

    let maps = stage.api::<ConfigMap>();
    let edit = json!({ "data": { "upper-constraints.txt": "alpha===6.6.6\n" }, "metadata": { "labels": { "mine": "yes" } } });
    maps.patch("hand-constraints", &PatchParams::default(), &Patch::Merge(&edit))
        .await
        .unwrap();
    let mut restored = false;
    for _ in 0..200 {
        restored = stage.merged("hand").await == expected;
        if restored {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(restored, "the edit stays");
    assert_eq!(stage.merged_map("hand").await.labels()["mine"], "yes");

    maps.delete("hand-constraints", &DeleteParams::default())
        .await
        .unwrap();
    let mut back = None;
    for _ in 0..200 {
        back = maps.get_opt("hand-constraints").await.unwrap();
        if back.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        back.expect("it is made again").data.unwrap()["upper-constraints.txt"],
        expected
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_of_somebody_else_is_left_alone() {
    let stage = Stage::with_constraints("taken").await;
    stage
        .config_map("co-constraints", &[("theirs", "precious")])
        .await;
    let spec = stage.override_spec(&json!({ "inline": "alpha===1.1\n" }));
    stage.apply_override("co", &spec).await;
    let refused = stage.override_ready("co", "False", "NameTaken").await;
    assert_eq!(shown(&refused, "ConstraintsMerged"), "False/NameTaken");
    assert_eq!(shown(&refused, "SourceResolved"), "True/Succeeded");
    assert_eq!(stage.merged_map("co").await.data.unwrap()["theirs"], "precious");

    stage
        .api::<ConfigMap>()
        .delete("co-constraints", &DeleteParams::default())
        .await
        .unwrap();
    stage.override_ready("co", "True", "Succeeded").await;
    assert!(stage.merged("co").await.contains("alpha===1.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_costs_no_write_and_no_fetch() {
    let stage = Stage::with_constraints("still").await;
    let spec = stage.override_spec(&json!({ "inline": "alpha===1.1\n" }));
    stage.apply_override("still", &spec).await;
    let before = stage
        .override_ready("still", "True", "Succeeded")
        .await
        .resource_version();
    let map = stage.merged_map("still").await.resource_version();
    let (packs, looks) = (stage.server.packs(), stage.server.looks());
    stage.looks_at::<ConstraintOverride>(3).await;
    let after = stage.api::<ConstraintOverride>().get("still").await.unwrap();
    assert_eq!(before, after.resource_version());
    assert_eq!(stage.merged_map("still").await.resource_version(), map);
    assert_eq!(stage.server.packs(), packs);
    assert!(
        stage.server.looks() > looks,
        "the interval passed, and nobody looked"
    );
    assert_eq!(stage.events("still").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_that_fail_keep_the_last_result_and_come_back() {
    let stage = Stage::with_constraints("sources").await;
    let spec = stage.override_spec(&json!({ "configMap": { "name": "ours", "key": "c" } }));
    stage.apply_override("co", &spec).await;
    let missing = stage.override_ready("co", "False", "ReferenceNotFound").await;
    assert!(
        condition(&missing, "Ready")
            .unwrap()
            .message
            .contains("ours does not exist")
    );
    stage.config_map("ours", &[("other", "alpha===1.1\n")]).await;
    let no_key = stage.override_ready("co", "False", "InvalidReference").await;
    assert!(
        condition(&no_key, "Ready")
            .unwrap()
            .message
            .contains("has no key c; it has other"),
        "{:?}",
        condition(&no_key, "Ready")
    );
    stage.config_map("ours", &[("c", "alpha===1.1\n")]).await;
    let good = status(stage.override_ready("co", "True", "Succeeded").await);

    stage.server.fail(Fault::Status(503));
    let away = stage.override_ready("co", "False", "Unreachable").await;
    assert_eq!(shown(&away, "Reconciling"), "True/ProgressingWithRetry");
    assert_eq!(shown(&away, "ConstraintsMerged"), "True/Succeeded");
    assert_eq!(status(away).results, good.results);
    assert!(stage.merged("co").await.contains("alpha===1.1"));
    stage.server.fail(Fault::None);
    stage.override_ready("co", "True", "Succeeded").await;

    stage.upstream.commit(
        &[("upper-constraints.txt", "alpha===1.0\n-c more.txt\n")],
        "includes",
    );
    let refused = stage.override_ready("co", "False", "InvalidConstraints").await;
    let message = &condition(&refused, "Ready").unwrap().message;
    assert!(
        message.contains("line 2 reads another file (-c more.txt)"),
        "{message}"
    );
    stage.upstream.commit(
        &[("upper-constraints.txt", "alpha===1.0\nnot a constraint\n")],
        "broken",
    );
    let refused = stage
        .wait_kind("co", "broken otherwise", |object: &ConstraintOverride| {
            condition(object, "Ready").is_some_and(|ready| ready.message.contains("\"not a constraint\""))
        })
        .await;
    assert_eq!(shown(&refused, "Ready"), "False/InvalidConstraints");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_override_is_refused_with_what_to_write_instead() {
    let stage = Stage::new("wrong-overrides").await;
    let cases: [(&str, Value, &str); 6] = [
        (
            "two sources",
            json!({ "overrides": { "inline": "a===1", "entries": [] } }),
            "set exactly one of git, configMap, inline and entries",
        ),
        (
            "no constraints",
            json!({ "upperConstraints": {} }),
            "set exactly one of git, configMap and inline",
        ),
        (
            "an entry that does nothing",
            json!({ "overrides": { "entries": [{ "name": "a" }] } }),
            "set either version, or remove: true",
        ),
        (
            "an entry that does both",
            json!({ "overrides": { "entries": [{ "name": "a", "version": "1", "remove": true }] } }),
            "set either version, or remove: true",
        ),
        (
            "no name",
            json!({ "overrides": { "entries": [{ "name": "a b", "version": "1" }] } }),
            "should match",
        ),
        (
            "no package",
            json!({ "builtFromSource": ["a==1"] }),
            "should match",
        ),
    ];
    for (name, change, sentence) in cases {
        let mut spec = json!({
            "release": "2025.2", "upperConstraints": { "inline": "a===1\n" }, "overrides": { "inline": "a===2\n" }
        });
        for (key, value) in change.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let error = stage
            .try_apply_kind::<ConstraintOverride>("wrong", &spec)
            .await
            .expect_err(name)
            .to_string();
        assert!(error.contains(sentence), "{name}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_overrides_by_state() {
    let stage = Stage::with_constraints("override-metrics").await;
    let spec = stage.override_spec(&json!({ "inline": "alpha===1.1\n-delta\n" }));
    stage.apply_override("counted", &spec).await;
    stage.override_ready("counted", "True", "NeedsAttention").await;
    let address = stage.controller.metrics.clone();
    let (_, text) = tokio::task::spawn_blocking(move || super::get(&address, "/metrics"))
        .await
        .unwrap();
    let labels = format!(
        "exported_namespace=\"{}\",name=\"counted\",component=\"\",release=\"2025.2\"",
        stage.namespace
    );
    for line in [
        format!("patchset_overrides{{{labels},state=\"Updated\"}} 1"),
        format!("patchset_overrides{{{labels},state=\"Absent\"}} 1"),
        format!(
            "patchset_resource_info{{kind=\"ConstraintOverride\",{labels},ready=\"True\",reason=\"NeedsAttention\",suspended=\"false\""
        ),
    ] {
        assert!(text.contains(&line), "{line}: {text}");
    }
}
