//! A real OpenStack service whose own unit tests run in its image, by stestr in a Job, before the
//! image counts.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use patchset_api::image_test::{ImageTestStatus, TestOutcome};
use patchset_api::{ConstraintOverride, PatchSet};
use serde_json::{Value, json};

use super::{Node, Site, pod_template};
use crate::controller::{assert_well_formed, condition, shown};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;
use crate::support::program::cached;

/// The service, with the packages that its tests need.
const DOCKERFILE: &str = "FROM python-base
ARG PIP_PACKAGES
RUN --mount=type=bind,from=upper-constraints,source=upper-constraints.txt,target=/tmp/upper-constraints.txt \\
    --mount=type=bind,from=placement,target=/tmp/placement,readwrite \\
    uv pip install --system --break-system-packages --constraint /tmp/upper-constraints.txt \\
        /tmp/placement ${PIP_PACKAGES}
";

/// What C5C3 runs: stestr over the tests of the source, except for those in a file.
const STESTR: &str = "set -eu
packages=$(python3 -c 'import os, placement; print(os.path.dirname(os.path.dirname(placement.__file__)))')
cd \"$(mktemp -d)\"
stestr --test-path \"$packages/placement/tests/unit\" --top-dir \"$packages\" run \\
    --exclude-list \"$PATCHSET_EXCLUDES\" --subunit >/tmp/results
";

/// A test that, say, fails in a pod without such a name.
const EXCLUDES: &str = "placement.tests.unit.test_deploy\n";

/// A change to a function covered by the service's unit tests: right, and wrong.
fn patch(by: &str) -> String {
    format!(
        "From: Ann <ann@example.org>
Subject: [PATCH] Tell the time of the last change by {by}

--- a/placement/util.py
+++ b/placement/util.py
@@ -144,7 +144,7 @@
         # the current context.
         current_modified = timeutils.utcnow(with_timezone=True)
     if last_modified:
-        last_modified = max(last_modified, current_modified)
+        last_modified = {by}
     else:
         last_modified = current_modified
     return last_modified
"
    )
}

/// The delivered image.
async fn delivered(site: &Site) -> Option<String> {
    let map = site.api::<ConfigMap>().get_opt("images").await.unwrap()?;
    map.data?.get("placement_reference").cloned()
}

fn spec(registry: &str, server: &GitServer) -> Value {
    let mut template = pod_template();
    template["spec"]["containers"] = json!([{ "name": "test" }]);
    json!({
        "component": "placement", "release": "2025.2", "interval": "10s",
        "upstream": { "url": server.url("placement"), "ref": { "tag": "14.0.0" } },
        "patches": { "git": {
            "url": server.url("team"), "ref": { "branch": "main" }, "path": "patches/placement/2025.2",
        } },
        "constraints": { "name": "c-2025.2" },
        "build": {
            "engine": "Job",
            "source": { "repository": format!("{registry}/tested-source") },
            "image": { "repository": format!("{registry}/tested"), "movingTags": ["latest"] },
            "dockerfile": { "inline": DOCKERFILE },
            "contexts": { "python-base": format!("docker-image://{registry}/python:3") },
            "args": { "PIP_PACKAGES": "stestr oslotest" },
            "job": { "podTemplate": pod_template() },
            "tests": [{
                "name": "unit", "from": "Image", "command": ["sh", "-c", STESTR], "retries": 0,
                "podTemplate": template,
                "excludes": { "path": "releases/2025.2/test-excludes/placement.txt" },
                "results": { "format": "Subunit", "path": "/tmp/results" },
            }],
        },
        "delivery": { "configMap": { "name": "images" } },
    })
}

fn result_of(object: &PatchSet) -> ImageTestStatus {
    let build = object.status.as_ref().unwrap().build.as_ref().unwrap();
    build.tests.as_ref().unwrap().results[0].clone()
}

fn image_of(object: &PatchSet) -> String {
    object
        .status
        .as_ref()
        .unwrap()
        .image
        .as_ref()
        .unwrap()
        .reference
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unit_tests_of_a_service_hold_its_image_back_until_the_patch_is_mended() {
    let node = Node::get().await;
    let site = node.site("tested");
    let root = tempfile::tempdir().unwrap();
    let cloned = std::process::Command::new("git")
        .args(["clone", "--quiet", "--bare"])
        .arg(cached("corpus/openstack-placement.git"))
        .arg(root.path().join("placement.git"))
        .status()
        .unwrap();
    assert!(cloned.success());
    let team = GitRepo::create(root.path(), "team");
    let name = "patches/placement/2025.2/0001-last-change.patch";
    let good = patch("max(current_modified, last_modified)");
    team.commit(
        &[
            (name, &good),
            ("releases/2025.2/test-excludes/placement.txt", EXCLUDES),
        ],
        "patches",
    );
    let server = GitServer::http(root.path().to_path_buf()).start();
    let constraints = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/corpus/releases/2025.2/upper-constraints.txt"
    ))
    .unwrap();
    let object = json!({ "spec": {
        "release": "2025.2", "upperConstraints": { "inline": constraints }, "overrides": { "inline": "" },
    } });
    site.apply::<ConstraintOverride>("c-2025.2", &object).await;
    let object = json!({ "spec": spec(&node.registry, &server) });
    site.apply::<PatchSet>("placement", &object).await;

    let ready: PatchSet = site.ready("placement", "True", "Succeeded").await;
    assert_well_formed(&ready);
    assert_eq!(shown(&ready, "ImageTested"), "True/Succeeded");
    let report = result_of(&ready).report.unwrap();
    assert!(report.tests > 100 && report.broken() == 0, "{report:?}");
    let first = image_of(&ready);
    assert_eq!(delivered(&site).await.as_ref(), Some(&first));

    // A patch that breaks a unit test: its image is built, and does not count.
    let broken = patch("min(last_modified, current_modified)");
    team.commit(&[(name, &broken)], "break it");
    let failed: PatchSet = site.ready("placement", "False", "TestFailed").await;
    assert_well_formed(&failed);
    assert_eq!(shown(&failed, "ImageBuilt"), "True/Succeeded");
    let result = result_of(&failed);
    assert_eq!(result.outcome, TestOutcome::Failed);
    let failing = result.report.unwrap();
    assert_eq!(
        (failing.tests, failing.broken()),
        (report.tests, 4),
        "{failing:?}"
    );
    assert!(
        failing.failed[0].contains("test_util.TestPickLastModified"),
        "{failing:?}"
    );
    let message = &condition(&failed, "Ready").unwrap().message;
    assert!(
        message.contains(&format!("4 of {} tests failed", report.tests)),
        "{message}"
    );
    assert_eq!(image_of(&failed), first);
    assert_eq!(delivered(&site).await.as_ref(), Some(&first));
    site.wait_for_event("the failed test", |event| {
        event.reason.as_deref() == Some("TestFailed")
    })
    .await;

    // Fixed: it goes on.
    let mended = patch("last_modified if last_modified > current_modified else current_modified");
    team.commit(&[(name, &mended)], "mend it");
    let ready: PatchSet = site
        .wait("placement", "mended", |object: &PatchSet| {
            shown(object, "Ready") == "True/Succeeded" && image_of(object) != first
        })
        .await;
    assert_eq!(delivered(&site).await, Some(image_of(&ready)));
    let of_tests = ListParams::default().labels("app.kubernetes.io/component=test");
    assert_eq!(site.api::<Job>().list(&of_tests).await.unwrap().items.len(), 3);
}
