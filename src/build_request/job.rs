//! The manifest of a Job that builds an image.

use std::time::Duration;

use patchset_api::InputsDigest;
use serde_json::{Value, json};

use super::builder::{DOCKER_CONFIG, WORKSPACE, container};
use super::job_order::JobOrder;
use super::overlay::overlay;

/// The label that all objects of the controller carry, with its value.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "patchset-controller");

/// The label with the uid of the `PatchSet` that a Job builds for.
pub const OWNER_LABEL: &str = "patching.c5c3.io/patchset-uid";

/// The label that says what a Job is for.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";

/// Its value for a Job that builds.
const BUILD_COMPONENT: &str = "build";

/// Its value for a Job that tests.
pub const TEST_COMPONENT: &str = "test";

/// The annotation that says from what a Job builds.
pub const INPUTS_ANNOTATION: &str = "patching.c5c3.io/inputs";

/// The annotation that says what a Job pushes to.
pub const TARGET_ANNOTATION: &str = "patching.c5c3.io/target";

/// The most characters of the `PatchSet`'s name in that of a Job. A Job's name goes into its pods'
/// labels, and those hold 63 (RFC 1123).
const LONGEST_NAME: usize = 40;

/// Digits of the inputs digest in a Job's name.
const DIGITS: usize = 10;

/// The name of an attempt's Job: the same attempt has the same name, so that it is not started
/// twice.
#[must_use]
pub fn job_name(patch_set: &str, inputs_digest: &InputsDigest, number: u32) -> String {
    let digits = inputs_digest.digits(DIGITS);
    format!("{}-{digits}-{number}", name_stem(patch_set))
}

/// What the names of a `PatchSet`'s Jobs start with.
pub(super) fn name_stem(patch_set: &str) -> String {
    let stem: String = patch_set.chars().take(LONGEST_NAME).collect();
    // A pod's name, which starts with that of its Job, may have dots, and a label's value may not
    // end in one.
    stem.trim_end_matches(['.', '-']).to_owned()
}

/// The manifest of the Job.
#[must_use]
pub fn job(order: &JobOrder<'_>) -> Value {
    let container = container(order);
    let mut env: Vec<Value> = container
        .env
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    let mut volumes = vec![
        json!({ "name": "workspace", "emptyDir": {} }),
        json!({ "name": "state", "emptyDir": {} }),
    ];
    let mut mounts = vec![
        json!({ "name": "workspace", "mountPath": WORKSPACE }),
        json!({ "name": "state", "mountPath": container.state }),
    ];
    if let Some(secret) = order.secret {
        env.push(json!({ "name": "DOCKER_CONFIG", "value": DOCKER_CONFIG }));
        volumes.push(json!({ "name": "docker-config", "secret": {
            "secretName": secret, "items": [{ "key": ".dockerconfigjson", "path": "config.json" }],
        } }));
        mounts.push(json!({ "name": "docker-config", "mountPath": DOCKER_CONFIG, "readOnly": true }));
    }
    let mut args = vec!["build".to_owned()];
    args.extend(container.args);
    let labels = json!({
        MANAGED_BY.0: MANAGED_BY.1, OWNER_LABEL: order.uid, COMPONENT_LABEL: BUILD_COMPONENT,
    });
    let mut template = json!({
        "metadata": { "labels": labels },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            // Half a build is worth nothing: a cancelled one need not shut down gracefully.
            "terminationGracePeriodSeconds": 5,
            "containers": [{
                "name": "build",
                "image": order.image,
                "command": ["sh", "-c", container.script],
                "args": args,
                "env": env,
                "securityContext": container.security,
                "volumeMounts": mounts,
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }],
            "volumes": volumes,
        },
    });
    if let Some(account) = order.service_account {
        template["spec"]["serviceAccountName"] = account.into();
    }
    if let Some(over) = order.pod_template {
        overlay(&mut template, over);
    }
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(order.patch_set, order.inputs_digest, order.number),
            "labels": labels,
            "annotations": { INPUTS_ANNOTATION: order.inputs_digest, TARGET_ANNOTATION: order.target },
            "ownerReferences": [order.owner],
        },
        "spec": one_attempt(&template, order.timeout, order.keep),
    })
}

/// The spec of a Job that runs a pod once.
pub(super) fn one_attempt(template: &Value, timeout: Duration, keep: Duration) -> Value {
    json!({
        // The controller counts and spaces attempts. A pod that the cluster removes is not a failed
        // attempt.
        "backoffLimit": 0,
        "podFailurePolicy": { "rules": [{
            "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }],
        }] },
        "activeDeadlineSeconds": timeout.as_secs().max(1),
        "ttlSecondsAfterFinished": keep.as_secs(),
        "template": template,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_too() {
        let inputs = &InputsDigest::from("sha256:0123456789abcdef");
        assert_eq!(job_name("glance-2025.2", inputs, 1), "glance-2025.2-0123456789-1");
        let long = job_name(
            &format!("{}.{}", "a".repeat(39), "b".repeat(200)),
            inputs,
            u32::MAX,
        );
        assert!(long.len() <= 63, "{long}");
        assert!(!long.contains(".-"), "{long}");
    }
}
