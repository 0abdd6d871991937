//! Faults of upstreams and credentials, and recovery from them.

use std::time::Duration;

use serde_json::json;

use super::{BASE, GOOD, Stage, assert_well_formed, condition, inline, shown};
use crate::support::git_server::{Fault, GitServer};

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_ref_is_tried_again_until_it_is_there() {
    let stage = Stage::new("ref").await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["upstream"]["ref"] = json!({ "tag": "2.0.0" });
    stage.apply("ref", &spec).await;
    let object = stage.ready("ref", "False", "RefNotFound").await;
    assert_well_formed(&object);
    assert_eq!(shown(&object, "SourceResolved"), "False/RefNotFound");
    assert_eq!(shown(&object, "Reconciling"), "True/ProgressingWithRetry");
    assert!(
        condition(&object, "Ready")
            .unwrap()
            .message
            .contains("no tag 2.0.0")
    );
    stage
        .upstream
        .git(&["tag", "--annotate", "--message", "two", "2.0.0"]);
    let object = stage.ready("ref", "True", "Succeeded").await;
    let commit = stage.upstream.git(&["rev-parse", "main"]);
    assert_eq!(
        object.status.unwrap().upstream.unwrap().revision.as_str(),
        format!("2.0.0@sha1:{commit}")
    );
}

/// As Gerrit answers if a branch moved between the look and the fetch.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_moved_since_the_look_is_looked_at_anew_at_once() {
    let stage = Stage::new("moved").await;
    let spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    let decline = |times| {
        stage.server.fail(Fault::Decline {
            times,
            status: 200,
            words: "ERR want OID not valid",
        });
    };
    decline(1);
    stage.apply("moved", &spec).await;
    stage.ready("moved", "True", "Succeeded").await;
    let failed = |(reason, _): &(String, String)| reason.ends_with("NotFound");
    let events = stage.events("moved").await;
    assert!(!events.iter().any(failed), "{events:?}");

    stage.upstream.commit(&[("other", "x\n")], "next");
    decline(usize::MAX);
    stage
        .annotate("moved", "reconcile.fluxcd.io/requestedAt", "now")
        .await;
    let object = stage.ready("moved", "False", "RefNotFound").await;
    assert_well_formed(&object);
    let message = &condition(&object, "Ready").unwrap().message;
    assert!(message.contains("main moved after it was looked at"), "{message}");
    assert_eq!(shown(&object, "Reconciling"), "True/ProgressingWithRetry");
    decline(0);
    stage.ready("moved", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_upstream_keeps_the_last_good_result() {
    let stage = Stage::new("unreachable").await;
    stage
        .apply(
            "unreachable",
            &stage.spec_with(&inline(&[("0001-five.patch", GOOD)])),
        )
        .await;
    let good = stage
        .ready("unreachable", "True", "Succeeded")
        .await
        .status
        .unwrap();

    stage.server.fail(Fault::Status(503));
    let object = stage.ready("unreachable", "False", "Unreachable").await;
    assert_well_formed(&object);
    assert_eq!(shown(&object, "SourceResolved"), "False/Unreachable");
    assert_eq!(shown(&object, "PatchesApplicable"), "True/Succeeded");
    assert_eq!(shown(&object, "Reconciling"), "True/ProgressingWithRetry");
    assert_eq!(shown(&object, "Stalled"), "-");
    let status = object.status.unwrap();
    assert_eq!(
        (status.patches, status.patched_tree, status.upstream),
        (good.patches, good.patched_tree, good.upstream)
    );

    stage.server.fail(Fault::None);
    let object = stage.ready("unreachable", "True", "Succeeded").await;
    assert_eq!(shown(&object, "Reconciling"), "-");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_told_and_a_new_secret_is_taken_up_at_once() {
    const RIGHT: &str = "r1ght-pa55word";
    const WRONG: &str = "wr0ng-pa55word";
    let stage = Stage::with("login", &[], |root| GitServer::http(root).basic("ann", RIGHT)).await;
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["interval"] = json!("1h");
    spec["upstream"]["secretRef"] = json!({ "name": "login" });
    stage.apply("login", &spec).await;
    let object = stage.ready("login", "False", "ReferenceNotFound").await;
    assert_well_formed(&object);
    assert!(
        condition(&object, "Ready")
            .unwrap()
            .message
            .contains("/login does not exist")
    );

    stage
        .secret("login", &[("username", "ann"), ("password", WRONG)])
        .await;
    let object = stage.ready("login", "False", "AuthenticationFailed").await;
    assert_well_formed(&object);
    assert_eq!(shown(&object, "Stalled"), "-");

    stage
        .secret("login", &[("username", "ann"), ("password", RIGHT)])
        .await;
    let object = stage.ready("login", "True", "Succeeded").await;

    let said = format!(
        "{}\n{:?}\n{}",
        serde_json::to_string(&object.status).unwrap(),
        stage.events("login").await,
        stage.controller.log()
    );
    assert!(said.contains("AuthenticationFailed"), "the log is read");
    for secret in [RIGHT, WRONG] {
        assert!(!said.contains(secret), "a password was told: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transport_that_is_not_allowed_is_refused_for_good() {
    let stage = Stage::with("transport", &["--allow-transport=https"], GitServer::http).await;
    stage.apply("transport", &stage.spec()).await;
    let object = stage.ready("transport", "False", "AccessDenied").await;
    assert_well_formed(&object);
    assert_eq!(shown(&object, "Stalled"), "True/AccessDenied");
    assert!(
        condition(&object, "Ready")
            .unwrap()
            .message
            .contains("--allow-transport=http")
    );
    assert_eq!(stage.server.looks(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stalls_is_given_up_in_time_and_does_not_stop_the_others() {
    let stage = Stage::new("stall").await;
    let slow = GitServer::http(stage.root.path()).start();
    slow.fail(Fault::StallPack(20));
    let mut spec = stage.spec();
    spec["upstream"]["url"] = json!(slow.url("upstream"));
    spec["timeout"] = json!("2s");
    stage.apply("slow", &spec).await;
    stage
        .apply("quick", &stage.spec_with(&inline(&[("0001-five.patch", GOOD)])))
        .await;
    stage.ready("quick", "True", "Succeeded").await;
    let object = stage.ready("slow", "False", "TimedOut").await;
    assert_eq!(shown(&object, "Reconciling"), "True/ProgressingWithRetry");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_controller_loses_nothing() {
    let mut stage = Stage::new("kill").await;
    let names: Vec<String> = (0..6).map(|n| format!("p{n}")).collect();
    let spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    for round in 0..4_u64 {
        for name in &names {
            stage.apply(name, &spec).await;
        }
        stage
            .upstream
            .commit(&[("other.txt", &round.to_string())], "move");
        tokio::time::sleep(Duration::from_millis(40 * round)).await;
        stage.controller.kill();
        stage.upstream.commit(
            &[("file.txt", &format!("{round}\n{BASE}"))],
            "move while it is away",
        );
        stage.controller.restart();
        let commit = stage.upstream.git(&["rev-parse", "main"]);
        for name in &names {
            let object = stage
                .wait(name, "at the newest commit", |object| {
                    object
                        .status
                        .as_ref()
                        .and_then(|s| s.upstream.as_ref())
                        .is_some_and(|u| u.commit.as_str() == commit)
                        && shown(object, "Ready") == "True/Succeeded"
                })
                .await;
            assert_well_formed(&object);
            assert_eq!(object.status.unwrap().patches[0].offset, Some(1));
        }
    }
}
