//! The manifest of a Job that tests an image.

use std::collections::BTreeMap;
use std::time::Duration;

use image_references::ImageReference;
use patchset_api::image_test::{ImageTest, TestOrigin};
use patchset_api::{InputsDigest, Recorded};
use serde_json::{Value, json};

use super::job::{
    COMPONENT_LABEL, INPUTS_ANNOTATION, MANAGED_BY, OWNER_LABEL, TARGET_ANNOTATION, TEST_COMPONENT,
    name_stem, one_attempt,
};
use super::overlay::overlay;
use super::test_results::{MOST_COMPRESSED, MOST_RESULTS, RESULTS_BEGIN, RESULTS_END};

/// The name of the container that tests.
pub const TEST_CONTAINER: &str = "test";

/// Digits of the digest over image and test in a Job's name.
const DIGITS: usize = 9;

/// Where files of the spec are mounted.
const FILES: &str = "/patchset";

/// The annotation of a pod that has the file with the excludes.
const EXCLUDES_ANNOTATION: &str = "patching.c5c3.io/test-excludes";

/// Runs the command, and puts the file with its results at the end of the log.
///
/// They are compressed and split into lines, and the last line has their number, so that they can
/// be requested as the end of the log, however long it is.
const WITH_RESULTS: &str = r#""$@"
code=$?
results=
if [ -f "$PATCHSET_RESULTS" ]; then
    results=$(head -c "$PATCHSET_RESULTS_MOST" "$PATCHSET_RESULTS" | gzip -c | head -c "$PATCHSET_RESULTS_COMPRESSED" | base64)
fi
lines=$(printf '%s\n' "$results" | wc -l)
printf '\n%s\n%s\n%s %s\n' "$PATCHSET_RESULTS_BEGIN" "$results" "$PATCHSET_RESULTS_END" $lines
exit $code
"#;

/// One attempt at a test of an image.
#[derive(Clone, Debug)]
pub struct TestOrder<'a> {
    /// The `PatchSet`'s name.
    pub patch_set: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// Its reference as the owner.
    pub owner: Value,
    /// The number of the attempt, from 1.
    pub number: u32,
    /// The digest over the image and what is run.
    pub run_digest: &'a InputsDigest,
    /// The test.
    pub test: &'a ImageTest,
    /// The image that is tested, by its digest.
    pub image: &'a Recorded<ImageReference>,
    /// The image with the patched source, by its digest.
    pub source: Option<&'a Recorded<ImageReference>>,
    /// The contents of the file with the excludes, if one is asked for.
    pub excludes: Option<&'a str>,
    /// How long it may take.
    pub timeout: Duration,
    /// How long it is kept when it is over.
    pub keep: Duration,
    /// The Secret of type `kubernetes.io/dockerconfigjson` for the registries.
    pub secret: Option<&'a str>,
    /// The service account that its pods run as; that of the namespace where absent.
    pub service_account: Option<&'a str>,
}

/// The name of an attempt's Job. No build has it: the digits of builds are hexadecimal.
#[must_use]
pub fn test_job_name(patch_set: &str, run_digest: &InputsDigest, number: u32) -> String {
    format!("{}-t{}-{number}", name_stem(patch_set), run_digest.digits(DIGITS))
}

/// The manifest of the Job.
#[must_use]
pub fn test_job(order: &TestOrder<'_>) -> Value {
    let labels = json!({
        MANAGED_BY.0: MANAGED_BY.1, OWNER_LABEL: order.uid, COMPONENT_LABEL: TEST_COMPONENT,
    });
    let mut template = template(order, &labels);
    if let Some(over) = &order.test.pod_template {
        overlay(&mut template, &over.0);
    }
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": test_job_name(order.patch_set, order.run_digest, order.number),
            "labels": labels,
            "annotations": { INPUTS_ANNOTATION: order.run_digest, TARGET_ANNOTATION: order.image },
            "ownerReferences": [order.owner],
        },
        "spec": one_attempt(&template, order.timeout, order.keep),
    })
}

fn template(order: &TestOrder<'_>, labels: &Value) -> Value {
    let test = order.test;
    let mut env = test.env.clone();
    let (mut volumes, mut mounts, mut annotations) = (Vec::new(), Vec::new(), json!({}));
    if let Some(excludes) = order.excludes {
        annotations[EXCLUDES_ANNOTATION] = excludes.into();
        env.insert("PATCHSET_EXCLUDES".to_owned(), format!("{FILES}/excludes"));
        let field = format!("metadata.annotations['{EXCLUDES_ANNOTATION}']");
        volumes.push(json!({ "name": "patchset", "downwardAPI": {
            "items": [{ "path": "excludes", "fieldRef": { "fieldPath": field } }],
        } }));
        mounts.push(json!({ "name": "patchset", "mountPath": FILES, "readOnly": true }));
    }
    if let (Some(path), Some(source)) = (test.source_path(), order.source) {
        env.insert("PATCHSET_SOURCE".to_owned(), path.to_owned());
        volumes.push(json!({ "name": "source", "image": {
            "reference": source, "pullPolicy": "IfNotPresent",
        } }));
        mounts.push(json!({ "name": "source", "mountPath": path, "readOnly": true }));
    }
    let command = command(test, &mut env);
    let env: Vec<Value> = env
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    let image = match (test.from, &test.image) {
        (TestOrigin::Source, Some(image)) => image,
        (TestOrigin::Source, None) | (TestOrigin::Image, _) => order.image.as_str(),
    };
    let mut template = json!({
        "metadata": { "labels": labels, "annotations": annotations },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 5,
            "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": TEST_CONTAINER,
                "image": image,
                "command": command,
                "args": test.args,
                "env": env,
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                },
                "volumeMounts": mounts,
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }],
            "volumes": volumes,
        },
    });
    if let Some(secret) = order.secret {
        template["spec"]["imagePullSecrets"] = json!([{ "name": secret }]);
    }
    if let Some(account) = order.service_account {
        template["spec"]["serviceAccountName"] = account.into();
    }
    template
}

/// The command, wrapped to put its results at the end of the log if they are in a file.
fn command(test: &ImageTest, env: &mut BTreeMap<String, String>) -> Vec<String> {
    let path = test.results.as_ref().and_then(|results| results.path.as_ref());
    let Some(path) = path else {
        return test.command.clone();
    };
    for (name, value) in [
        ("PATCHSET_RESULTS", path.clone()),
        (
            "PATCHSET_RESULTS_MOST",
            MOST_RESULTS.saturating_add(1).to_string(),
        ),
        ("PATCHSET_RESULTS_COMPRESSED", MOST_COMPRESSED.to_string()),
        ("PATCHSET_RESULTS_BEGIN", RESULTS_BEGIN.to_owned()),
        ("PATCHSET_RESULTS_END", RESULTS_END.to_owned()),
    ] {
        env.insert(name.to_owned(), value);
    }
    let wrapper = ["sh", "-c", WITH_RESULTS, "sh"].map(ToOwned::to_owned);
    wrapper.into_iter().chain(test.command.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(test: &Value, excludes: Option<&str>) -> Value {
        let test: ImageTest = serde_json::from_value(test.clone()).unwrap();
        let digest = InputsDigest::from("sha256:0123456789abcdef");
        let reference = |name: &str| Recorded::from(format!("r:5000/{name}@sha256:{}", "0".repeat(64)));
        test_job(&TestOrder {
            patch_set: "glance-2025.2",
            uid: "1",
            owner: json!({}),
            number: 2,
            run_digest: &digest,
            test: &test,
            image: &reference("glance"),
            source: Some(&reference("glance-source")),
            excludes,
            timeout: Duration::from_secs(60),
            keep: Duration::from_secs(3600),
            secret: Some("pull"),
            service_account: None,
        })
    }

    #[test]
    fn a_test_runs_in_the_image_and_has_no_rights() {
        let job = made(
            &json!({ "name": "unit", "from": "Image", "command": ["tox"], "args": ["-e", "py3"] }),
            None,
        );
        assert_eq!(job["metadata"]["name"], "glance-2025.2-t012345678-2");
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["imagePullSecrets"], json!([{ "name": "pull" }]));
        let container = &pod["containers"][0];
        assert_eq!(container["command"], json!(["tox"]));
        assert!(
            container["image"]
                .as_str()
                .unwrap()
                .starts_with("r:5000/glance@sha256:")
        );
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(pod["volumes"], json!([]));
        assert_eq!(job["spec"]["activeDeadlineSeconds"], 60);
    }

    #[test]
    fn what_is_handed_over_is_mounted() {
        let test = json!({
            "name": "unit", "from": "Source", "image": "r/tools:1", "command": ["stestr", "run"],
            "env": { "A": "b" }, "results": { "format": "Subunit", "path": "/tmp/results" },
        });
        let job = made(&test, Some("nova.tests.slow\n"));
        let pod = &job["spec"]["template"];
        assert_eq!(
            pod["metadata"]["annotations"][EXCLUDES_ANNOTATION],
            "nova.tests.slow\n"
        );
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["image"], "r/tools:1");
        assert_eq!(container["command"][4], "stestr");
        let env: BTreeMap<&str, &str> = container["env"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["name"].as_str().unwrap(), one["value"].as_str().unwrap()))
            .collect();
        assert_eq!(env["PATCHSET_EXCLUDES"], "/patchset/excludes");
        assert_eq!((env["PATCHSET_SOURCE"], env["A"]), ("/src", "b"));
        let mounted: Vec<&str> = container["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["mountPath"].as_str().unwrap())
            .collect();
        assert_eq!(mounted, ["/patchset", "/src"]);
        let source = pod["spec"]["volumes"][1]["image"]["reference"].as_str().unwrap();
        assert!(source.starts_with("r:5000/glance-source@sha256:"), "{source}");
    }

    #[test]
    fn names_are_labels_too() {
        let run = InputsDigest::from("sha256:0123456789abcdef");
        let long = test_job_name(&"a".repeat(250), &run, u32::MAX);
        assert!(long.len() <= 63, "{long}");
    }
}
