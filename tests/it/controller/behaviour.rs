//! Manners: no writes without news, suspension, requests, many objects on one upstream, endpoints.

use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use patchset_api::{ConstraintOverride, PatchSet};
use serde_json::{Value, json};

use super::{GOOD, PATIENCE, Stage, build, get, inline, shown};
use crate::support::git_server::GitServer;
use crate::support::registry::Registry;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_costs_no_write_no_event_and_no_fetch() {
    let stage = Stage::new("quiet").await;
    stage
        .apply("quiet", &stage.spec_with(&inline(&[("0001-five.patch", GOOD)])))
        .await;
    let before = stage.ready("quiet", "True", "Succeeded").await.resource_version();
    let (packs, looks) = (stage.server.packs(), stage.server.looks());
    stage.looks(3).await;
    let after = stage
        .api::<PatchSet>()
        .get("quiet")
        .await
        .unwrap()
        .resource_version();
    assert_eq!(before, after);
    assert_eq!(stage.server.packs(), packs);
    assert!(
        stage.server.looks() > looks,
        "the interval passed, and nobody looked"
    );
    // That it applies from the first is reported by the status alone.
    assert_eq!(stage.events("quiet").await, []);
}

/// The requests to the API server that the controller logged, except for its watches and for those
/// that check whether Flux's kinds have been installed.
pub fn asked(log: &str) -> Vec<String> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["message"] == "requesting")
        .map(|line| {
            let part = |name: &str| line["span"][name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", part("http.method"), part("http.url"))
        })
        .filter(|request| !request.contains("watch=true") && !request.contains("source.toolkit.fluxcd.io"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_object_is_one_write_where_nothing_takes_long() {
    let stage = Stage::new("one-write").await;
    let spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    let names = ["a", "b", "c", "d"];
    for name in names {
        stage.apply(name, &spec).await;
        stage.ready(name, "True", "Succeeded").await;
    }
    stage.looks(4).await;
    let mut writes = asked(&stage.controller.log());
    writes.retain(|request| !request.starts_with("GET "));
    let of = |name: &str| {
        let status = format!("/patchsets/{name}/status?");
        writes.iter().filter(|write| write.contains(&status)).count()
    };
    let counts = names.map(of);
    assert_eq!(counts.iter().sum::<usize>(), writes.len(), "{writes:?}");
    // An object that takes longer than a second first reports that it has begun.
    assert!(
        counts.contains(&1) && counts.iter().all(|count| *count <= 2),
        "{counts:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_built_and_delivered_costs_nothing_but_looks_at_refs() {
    let registry = Registry::open();
    let stage = build::stage("free", &registry).await;
    let mut service = build::spec(&stage, &registry);
    service["upstream"]["ref"] = json!({ "branch": "main" });
    service["build"]["source"]["version"] = json!("1.0.0");
    service["libraries"] = json!([{ "name": "lib" }]);
    service["constraints"] = json!({ "name": "co" });
    service["delivery"] = json!({ "configMap": { "name": "images" } });
    stage.config_map("patches", &[("0001-five.patch", GOOD)]).await;
    service["patches"] = json!({ "configMap": { "name": "patches" } });
    let mut library = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    library["component"] = json!("my-lib");
    library["level"] = json!("Library");
    library["build"] =
        json!({ "engine": "External", "source": { "repository": format!("{}/source", registry.host) } });
    let constraints = json!({
        "release": "2025.2", "interval": "1s",
        "upperConstraints": { "inline": "alpha===1.0\n" },
        "overrides": { "entries": [{ "name": "alpha", "version": "1.1" }] }
    });
    stage.apply("lib", &library).await;
    stage
        .try_apply_kind::<ConstraintOverride>("co", &constraints)
        .await
        .unwrap();
    stage.apply("free", &service).await;
    let waiting = build::build_of(&stage.ready("free", "Unknown", "AwaitingImage").await);
    build::build_as_told(&waiting, waiting.inputs_digest.as_str());
    stage.ready("free", "True", "Succeeded").await;
    // Each write comes back as a change once, and causes a look.
    stage.looks(4).await;

    let count = || {
        (
            asked(&stage.controller.log()),
            registry.log().matches("/v2/").count(),
            stage.server.packs(),
        )
    };
    let (before, looks, begun) = (count(), stage.server.looks(), Instant::now());
    stage.looks(8).await;
    let (after, looks) = (count(), stage.server.looks() - looks);
    assert_eq!(
        after.0[before.0.len()..],
        [] as [String; 0],
        "the API server was asked"
    );
    assert_eq!(
        (after.1, after.2),
        (before.1, before.2),
        "the registry was asked, or a pack fetched"
    );
    // One look serves both objects on the upstream, for most of the interval.
    let most = 1 + begun.elapsed().as_millis() / 900;
    let looks = u128::try_from(looks).unwrap();
    assert!((1..=most).contains(&looks), "{looks} looks, at most {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_commit_costs_no_network_at_all() {
    let stage = Stage::new("pinned").await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["upstream"]["ref"] = json!({ "commit": stage.upstream.git(&["rev-parse", "main"]) });
    stage.apply("pinned", &spec).await;
    stage.ready("pinned", "True", "Succeeded").await;
    let counts = (stage.server.packs(), stage.server.looks());
    stage.looks(3).await;
    assert_eq!((stage.server.packs(), stage.server.looks()), counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_objects_on_one_upstream_share_looks() {
    let rest = Duration::from_secs(10);
    let stage = Stage::with("many", &["--min-interval=10s"], GitServer::http).await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["interval"] = json!("1m");
    let begin = Instant::now();
    for n in 0..20 {
        stage.apply(&format!("p{n}"), &spec).await;
    }
    for n in 0..20 {
        stage.ready(&format!("p{n}"), "True", "Succeeded").await;
    }
    assert_eq!(stage.server.packs(), 1);
    assert_looks_are_rare(&stage, begin, rest);
}

/// Asserts that an upstream is looked at no more than once in this time.
fn assert_looks_are_rare(stage: &Stage, begin: Instant, rest: Duration) {
    let looks = u128::try_from(stage.server.looks()).unwrap();
    let most = 1 + begin.elapsed().as_millis() / rest.as_millis();
    assert!((1..=most).contains(&looks), "{looks} looks, at most {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_created_changed_or_restarted_an_upstream_is_left_in_peace() {
    let rest = Duration::from_secs(20);
    let options = ["--min-interval=20s"];
    let mut stage = Stage::with("peace", &options, GitServer::http).await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["interval"] = json!("1h");
    let begin = Instant::now();
    for n in 0..5 {
        stage.apply(&format!("p{n}"), &spec).await;
    }
    for n in 0..5 {
        stage.ready(&format!("p{n}"), "True", "Succeeded").await;
    }
    assert_looks_are_rare(&stage, begin, rest);
    // A spec that fails, and one that is mended.
    for (branch, status, reason) in [("none", "False", "RefNotFound"), ("main", "True", "Succeeded")] {
        spec["upstream"]["ref"] = json!({ "branch": branch });
        for n in 0..5 {
            stage.apply(&format!("p{n}"), &spec).await;
        }
        for n in 0..5 {
            stage.ready(&format!("p{n}"), status, reason).await;
        }
        assert_looks_are_rare(&stage, begin, rest);
    }
    // And the same after a restart, which writes nothing either.
    let client = stage.api::<PatchSet>();
    let versions = || async {
        let objects = client.list(&ListParams::default()).await.unwrap();
        objects
            .iter()
            .map(ResourceExt::resource_version)
            .collect::<Vec<_>>()
    };
    let before = versions().await;
    stage.controller.kill();
    stage.controller.restart();
    stage
        .controller
        .until_reconciled("PatchSet", "Unchanged", 5)
        .await;
    assert_looks_are_rare(&stage, begin, rest);
    assert_eq!(versions().await, before, "a restart wrote something");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_what_is_fresh_costs_no_request() {
    let mut stage = Stage::new("fresh").await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["interval"] = json!("1h");
    for n in 0..3 {
        stage.apply(&format!("p{n}"), &spec).await;
    }
    for n in 0..3 {
        stage.ready(&format!("p{n}"), "True", "Succeeded").await;
    }
    stage.controller.kill();
    let counts = (stage.server.packs(), stage.server.looks());
    stage.controller.restart();
    stage
        .controller
        .until_reconciled("PatchSet", "Unchanged", 3)
        .await;
    assert_eq!((stage.server.packs(), stage.server.looks()), counts);
    // With another login it is another upstream, whatever is known of this one.
    stage
        .secret("login", &[("username", "ann"), ("password", "any")])
        .await;
    spec["upstream"]["secretRef"] = json!({ "name": "login" });
    stage.apply("p0", &spec).await;
    stage.ready("p0", "True", "Succeeded").await;
    assert!(stage.server.looks() > counts.1, "a login was not tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_served_by_an_older_look_is_looked_at_once_more() {
    let stage = Stage::with("older", &["--min-interval=5s"], GitServer::http).await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["interval"] = json!("1h");
    stage.apply("first", &spec).await;
    stage.ready("first", "True", "Succeeded").await;
    stage
        .upstream
        .commit(&[("file.txt", "all different\n")], "a conflict");
    stage.apply("second", &spec).await;
    stage.ready("second", "False", "PatchConflict").await;
    // The same for a ref that the look did not show at all.
    stage.upstream.git(&["branch", "pushed-a-moment-before"]);
    spec["upstream"]["ref"] = json!({ "branch": "pushed-a-moment-before" });
    stage.apply("third", &spec).await;
    stage.ready("third", "False", "PatchConflict").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_look_is_one_for_all_and_work_for_those_whose_ref_moved() {
    let stage = Stage::with("second", &["--min-interval=20s"], GitServer::http).await;
    stage.upstream.git(&["branch", "stable"]);
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["interval"] = json!("1h");
    stage.apply("first", &spec).await;
    stage.ready("first", "True", "Succeeded").await;
    let mut of_stable = spec.clone();
    of_stable["upstream"]["ref"] = json!({ "branch": "stable" });
    stage.apply("moved", &of_stable).await;
    for n in 0..4 {
        stage.apply(&format!("p{n}"), &spec).await;
    }
    stage.ready("moved", "True", "Succeeded").await;
    let commit = ["commit-tree", "stable^{tree}", "-p", "stable", "-m", "pushed"];
    let commit = stage.upstream.git(&commit);
    stage.upstream.git(&["update-ref", "refs/heads/stable", &commit]);
    stage
        .wait("moved", "at the commit that was pushed", |object| {
            let upstream = object.status.as_ref().unwrap().upstream.as_ref().unwrap();
            upstream.commit.as_str() == commit
        })
        .await;
    assert_eq!(stage.server.looks(), 2);
    // One for each object, and one for the object whose ref moved.
    stage.controller.until_reconciled("PatchSet", "", 7).await;
    assert_eq!(stage.controller.reconciliations("PatchSet", ""), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_many_objects_is_one_look() {
    let mut stage = Stage::new("requests").await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["interval"] = json!("1h");
    for n in 0..15 {
        stage.apply(&format!("p{n}"), &spec).await;
    }
    for n in 0..15 {
        stage.ready(&format!("p{n}"), "True", "Succeeded").await;
    }
    // All of them wait when the controller starts.
    stage.controller.kill();
    let looks = stage.server.looks();
    for n in 0..15 {
        stage
            .annotate(&format!("p{n}"), "reconcile.fluxcd.io/requestedAt", "now")
            .await;
    }
    stage.controller.restart();
    for n in 0..15 {
        stage
            .wait(&format!("p{n}"), "answered", |object| {
                let status = object.status.as_ref().unwrap();
                status.last_handled_reconcile_at.as_deref() == Some("now")
            })
            .await;
    }
    assert_eq!(stage.server.looks(), looks + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_no_time_is_written_once() {
    let stage = Stage::new("written").await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["interval"] = json!("1s");
    let made = stage.apply("first", &spec).await;
    stage.ready("first", "True", "Succeeded").await;
    stage
        .controller
        .until_reconciled("PatchSet", "Unchanged", 1)
        .await;
    drop(made);
    // The upstream is known: nothing takes time.
    let before = writes(&stage);
    stage.apply("second", &spec).await;
    stage.ready("second", "True", "Succeeded").await;
    stage.looks(4).await;
    // A busy machine may take longer than a second for it.
    let told = stage.controller.log().matches("looking at generation").count();
    assert!(writes(&stage) - before <= 1 + told, "{}", stage.controller.log());
}

/// The number of statuses that the controller wrote.
fn writes(stage: &Stage) -> usize {
    let asked = asked(&stage.controller.log());
    asked.iter().filter(|request| request.contains("/status")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_object_is_left_alone_until_it_is_resumed() {
    let stage = Stage::new("suspend").await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["suspend"] = json!(true);
    stage.apply("suspend", &spec).await;
    stage
        .controller
        .until_reconciled("PatchSet", "Suspended", 1)
        .await;
    assert_eq!(stage.api::<PatchSet>().get("suspend").await.unwrap().status, None);
    assert_eq!(stage.server.looks(), 0);

    spec["suspend"] = json!(false);
    stage.apply("suspend", &spec).await;
    let good = stage.ready("suspend", "True", "Succeeded").await;
    stage.apply("awake", &spec).await;
    stage.ready("awake", "True", "Succeeded").await;
    spec["suspend"] = json!(true);
    stage.apply("suspend", &spec).await;
    stage
        .controller
        .until_reconciled("PatchSet", "Suspended", 2)
        .await;
    stage
        .upstream
        .commit(&[("file.txt", "all different\n")], "a conflict");
    stage.ready("awake", "False", "PatchConflict").await;
    stage.looks(3).await;
    let still = stage.api::<PatchSet>().get("suspend").await.unwrap();
    assert_eq!(still.status, good.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_at_once_and_acknowledged() {
    let stage = Stage::new("request").await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["interval"] = json!("1h");
    stage.apply("request", &spec).await;
    stage.ready("request", "True", "Succeeded").await;
    stage
        .upstream
        .commit(&[("file.txt", "all different\n")], "a conflict");
    stage
        .annotate(
            "request",
            "reconcile.fluxcd.io/requestedAt",
            "2026-01-01T00:00:00Z",
        )
        .await;
    let object = stage.ready("request", "False", "PatchConflict").await;
    assert_eq!(
        object.status.unwrap().last_handled_reconcile_at.as_deref(),
        Some("2026-01-01T00:00:00Z")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_read_does_not_stop_the_others() {
    let stage = Stage::new("unreadable").await;
    stage.apply("bad", &stage.spec()).await;
    stage.ready("bad", "True", "Succeeded").await;
    // The status subresource accepts whatever another version of the definition may have left.
    let odd = json!({ "status": { "observedGeneration": 1, "conditions": [{
        "type": "Ready", "status": "True", "reason": "Odd", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"
    }] } });
    stage
        .api::<PatchSet>()
        .patch_status("bad", &PatchParams::default(), &Patch::Merge(&odd))
        .await
        .unwrap();
    stage.apply("good", &stage.spec()).await;
    stage.ready("good", "True", "Succeeded").await;
    let healed = stage
        .wait("bad", "healed", |object| {
            shown(object, "Ready") == "True/Succeeded"
        })
        .await;
    assert_eq!(shown(&healed, "SourceResolved"), "True/Succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoints_tell_what_an_operator_expects() {
    let stage = Stage::new("endpoints").await;
    stage
        .apply(
            "endpoints",
            &stage.spec_with(&inline(&[("0001-five.patch", GOOD)])),
        )
        .await;
    stage.ready("endpoints", "True", "Succeeded").await;
    let (health, metrics) = (stage.controller.health.clone(), stage.controller.metrics.clone());
    let answers = tokio::task::spawn_blocking(move || {
        (
            get(&health, "/healthz").0,
            get(&health, "/readyz").0,
            get(&metrics, "/metrics"),
        )
    });
    let (healthz, readyz, (status, text)) = answers.await.unwrap();
    assert_eq!((healthz, readyz, status), (200, 200, 200));
    for line in [
        r#"patchset_reconciliations_total{kind="PatchSet",outcome="Changed"} 1"#,
        r#"ready="True",reason="Succeeded",suspended="false""#,
        r#"name="endpoints",component="demo",release="2025.2",state="Clean"} 1"#,
        "patchset_mirror_fetches_total 1",
        "patchset_reconcile_duration_seconds_count",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_replicas_works_and_both_are_ready() {
    let mut stage = Stage::with(
        "leader",
        &["--enable-leader-election"],
        crate::support::git_server::GitServer::http,
    )
    .await;
    stage.apply("leader", &stage.spec()).await;
    stage.ready("leader", "True", "Succeeded").await;
    let second = stage.another_controller(&["--enable-leader-election"]).await;
    let health = format!("http://{}/readyz", second.health);
    let end = Instant::now() + PATIENCE;
    while !reqwest::get(&health)
        .await
        .is_ok_and(|answer| answer.status().is_success())
    {
        assert!(Instant::now() < end, "the second is not ready:\n{}", second.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(second.log().contains("waiting for leadership"));
    assert!(!second.log().contains("\"leading\""), "both lead");
    stage.controller.kill();
    stage.upstream.commit(&[("file.txt", "all different\n")], "move");
    let commit = stage.upstream.git(&["rev-parse", "main"]);
    stage
        .wait("leader", "taken over", |object| {
            object
                .status
                .as_ref()
                .and_then(|s| s.upstream.as_ref())
                .is_some_and(|u| u.commit.as_str() == commit)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selector_leaves_other_objects_alone() {
    let selector = "--watch-label-selector=sharding.fluxcd.io/key=one";
    let stage = Stage::with("shard", &[selector], crate::support::git_server::GitServer::http).await;
    stage.apply("theirs", &stage.spec()).await;
    stage.apply("ours", &stage.spec()).await;
    let label = json!({ "metadata": { "labels": { "sharding.fluxcd.io/key": "one" } } });
    let api = stage.api::<PatchSet>();
    api.patch("ours", &PatchParams::default(), &Patch::Merge(&label))
        .await
        .unwrap();
    stage.ready("ours", "True", "Succeeded").await;
    assert_eq!(api.get("theirs").await.unwrap().status, None);
}
