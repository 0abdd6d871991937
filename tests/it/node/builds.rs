//! A real OpenStack service, with one patch, a patched library and an overridden version, by
//! BuildKit in a Job.

use patchset_api::build::{ImageStatus, Origin};
use patchset_api::{ConstraintOverride, PatchSet};
use serde_json::{Value, json};

use super::{Node, pod_template};
use crate::controller::{assert_well_formed, inline, shown};
use crate::support::git_server::GitServer;
use crate::support::program::cached;

/// As C5C3 writes them: contexts are bound into one install step.
const DOCKERFILE: &str = "FROM python-base
ARG PIP_PACKAGES
RUN --mount=type=bind,from=upper-constraints,source=upper-constraints.txt,target=/tmp/upper-constraints.txt \\
    --mount=type=bind,from=os-traits,target=/tmp/os-traits,readwrite \\
    --mount=type=bind,from=placement,target=/tmp/placement,readwrite \\
    uv pip install --system --break-system-packages --constraint /tmp/upper-constraints.txt \\
        /tmp/os-traits /tmp/placement ${PIP_PACKAGES}
";

/// A change of the service: the root of its API says so.
const SERVICE_PATCH: &str = "From: Ann <ann@example.org>
Subject: [PATCH] Tell that it is patched

--- a/placement/handlers/root.py
+++ b/placement/handlers/root.py
@@ -31,7 +31,7 @@
         'max_version': max_version,
         'min_version': min_version,
         # for now there is only ever one version, so it must be CURRENT
-        'status': 'CURRENT',
+        'status': 'PATCHED',
         'links': [{
             # Point back to this same URL as the root of this version.
             # NOTE(cdent): We explicitly want this to be a relative-URL
";

/// A new module of the library, which is installed only where packaging lists it.
const LIBRARY_PATCH: &str = "From: Ann <ann@example.org>
Subject: [PATCH] Add a trait

diff --git a/os_traits/c5c3.py b/os_traits/c5c3.py
new file mode 100644
--- /dev/null
+++ b/os_traits/c5c3.py
@@ -0,0 +1 @@
+TRAITS = ['PATCHED']
";

const PROBE: &str = "
import importlib.metadata, webob, os_traits, microversion_parse
from placement import microversion
from placement.handlers import root
request = webob.Request.blank('/')
request.environ[microversion.MICROVERSION_ENVIRON] = microversion_parse.Version(1, 0)
print(request.get_response(root.home).json['versions'][0]['status'])
print(os_traits.C5C3_PATCHED)
for name in ['openstack-placement', 'os-traits', 'WebOb', 'Routes']:
    print(name, importlib.metadata.version(name))
";

fn build(registry: &str, name: &str) -> Value {
    json!({
        "engine": "Job",
        "source": { "repository": format!("{registry}/{name}-source") },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_a_patch_a_library_and_an_override_becomes_an_image_that_runs() {
    let node = Node::get().await;
    let site = node.site("placement");
    let registry = &node.registry;
    let root = tempfile::tempdir().unwrap();
    for (name, from) in [("placement", "openstack-placement"), ("os-traits", "os-traits")] {
        let cloned = std::process::Command::new("git")
            .args(["clone", "--quiet", "--bare"])
            .arg(cached(&format!("corpus/{from}.git")))
            .arg(root.path().join(format!("{name}.git")))
            .status()
            .unwrap();
        assert!(cloned.success());
    }
    let server = GitServer::http(root.path().to_path_buf()).start();
    let constraints = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/corpus/releases/2025.2/upper-constraints.txt"
    ))
    .unwrap();
    site.apply::<ConstraintOverride>(
        "c-2025.2",
        &json!({ "spec": {
        "release": "2025.2", "upperConstraints": { "inline": constraints },
        "overrides": { "inline": "WebOb===1.8.8  # downgrade: to be seen in the image\n" }
    } }),
    )
    .await;
    site.apply::<PatchSet>(
        "os-traits-2025.2",
        &json!({ "spec": {
        "component": "os-traits", "release": "2025.2", "level": "Library",
        "upstream": { "url": server.url("os-traits"), "ref": { "tag": "3.5.0" } },
        "patches": inline(&[("0001-trait.patch", LIBRARY_PATCH)]),
        "build": build(registry, "os-traits"),
    } }),
    )
    .await;
    let mut service = json!({
        "component": "placement", "release": "2025.2",
        "upstream": { "url": server.url("placement"), "ref": { "tag": "14.0.0" } },
        "patches": inline(&[("0001-status.patch", SERVICE_PATCH)]),
        "libraries": [{ "name": "os-traits-2025.2" }], "constraints": { "name": "c-2025.2" },
        "build": build(registry, "placement"),
    });
    service["build"]["image"] = json!({
        "repository": format!("{registry}/placement"), "tag": "{version}-p{patches}-{inputs}", "movingTags": ["{version}", "{release}"]
    });
    service["build"]["dockerfile"] = json!({ "inline": DOCKERFILE });
    service["build"]["contexts"] = json!({ "python-base": format!("docker-image://{registry}/python:3") });
    service["build"]["job"] = json!({ "podTemplate": pod_template() });
    site.apply::<PatchSet>("placement-2025.2", &json!({ "spec": service }))
        .await;

    let ready: PatchSet = site.ready("placement-2025.2", "True", "Succeeded").await;
    assert_well_formed(&ready);
    assert_eq!(shown(&ready, "ImageBuilt"), "True/Succeeded");
    let status = ready.status.as_ref().unwrap();
    let image = status.image.as_ref().unwrap();
    assert_eq!(status.build.as_ref().unwrap().attempt.as_ref().unwrap().number, 1);
    assert_tells_what_it_is_made_of(registry, image).await;
    let printed = site
        .run("probe", &image.reference, &["python3", "-c", PROBE])
        .await;
    assert_eq!(
        printed.lines().collect::<Vec<_>>(),
        [
            "PATCHED",
            "C5C3_PATCHED",
            "openstack-placement 14.0.0",
            "os-traits 3.5.0",
            "WebOb 1.8.8",
            "Routes 2.5.1"
        ]
    );
    // The moving tags are the same image.
    for tag in ["14.0.0", "2025.2"] {
        let moved = format!("{registry}/placement:{tag}");
        let digest = digest_of(&moved);
        assert_eq!(digest, image.digest.as_str(), "{moved}");
    }
}

/// Both come from their patched source, and the image says what they were patched with.
async fn assert_tells_what_it_is_made_of(registry: &str, image: &ImageStatus) {
    let installed: Vec<(&str, Option<&str>, Origin)> = image
        .installed
        .iter()
        .flatten()
        .map(|one| (one.name.as_str(), one.version.as_deref(), one.origin))
        .collect();
    assert_eq!(
        installed,
        [
            ("openstack-placement", Some("14.0.0"), Origin::Source),
            ("os-traits", Some("3.5.0"), Origin::Source)
        ]
    );
    let (digest, document) = attached(registry, "placement", &image.digest).await;
    assert_eq!(image.sbom.as_deref(), Some(digest.as_str()));
    assert_eq!(
        document["metadata"]["component"]["purl"],
        "pkg:pypi/openstack-placement@14.0.0"
    );
    let components: Vec<&str> = document["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["purl"].as_str().unwrap())
        .collect();
    assert_eq!(components, ["pkg:pypi/os-traits@3.5.0", "pkg:pypi/webob@1.8.8"]);
}

/// The only document that is attached to an image.
async fn attached(registry: &str, repository: &str, image: &str) -> (String, Value) {
    let get = async |path: String| -> Value {
        let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
        let answer = reqwest::Client::new()
            .get(format!("http://{registry}/v2/{repository}/{path}"))
            .header("Accept", accept)
            .send()
            .await
            .unwrap();
        serde_json::from_slice(&answer.error_for_status().unwrap().bytes().await.unwrap()).unwrap()
    };
    let index = get(format!("manifests/{}", image.replace(':', "-"))).await;
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    let digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let artifact = get(format!("manifests/{digest}")).await;
    let blob = artifact["layers"][0]["digest"].as_str().unwrap();
    let document = get(format!("blobs/{blob}")).await;
    (digest, document)
}

/// The digest that a registry has for a tag.
fn digest_of(reference: &str) -> String {
    let output = crate::support::program::program("skopeo")
        .args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}"])
        .arg(format!("docker://{reference}"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
