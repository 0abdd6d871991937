//! What a `build.job.podTemplate` may hold, so that a build gets no right that whoever runs the
//! controller did not give.

use serde_json::{Map, Value};

use crate::text::printable;

/// What `build.job.podTemplate` may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PodTemplatePolicy {
    /// Anything: whoever may write a `PatchSet` may run any pod in its namespace.
    Allowed,
    /// What says where a build runs, how much it may take and what it caches, and the security
    /// context that the builders need.
    #[default]
    Restricted,
    /// Nothing.
    Forbidden,
}

/// What a policy refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedTemplate {
    /// Any template.
    #[error(
        "build.job.podTemplate is not allowed by this controller (--job-pod-template=Forbidden): take it out"
    )]
    Whole,
    /// One field of it.
    #[error(
        "build.job.podTemplate.{field} is not allowed by this controller (--job-pod-template=Restricted): {advice}"
    )]
    Field {
        /// The field, for instance `spec.hostPID`.
        field: String,
        /// What to do instead.
        advice: &'static str,
    },
}

const TAKE_OUT: &str = "take it out, or ask whoever runs the controller";

/// The longest name of a field that is repeated in a message, in characters.
const LONGEST_NAME: usize = 60;

/// Refuses what the policy does not allow.
///
/// What is not listed is refused, also where it is null, because that takes away what the
/// controller set.
///
/// # Errors
///
/// The first field that is not allowed.
pub fn check_pod_template(template: &Value, policy: PodTemplatePolicy) -> Result<(), RefusedTemplate> {
    match policy {
        PodTemplatePolicy::Allowed => Ok(()),
        PodTemplatePolicy::Forbidden => Err(RefusedTemplate::Whole),
        PodTemplatePolicy::Restricted => {
            let users = match template.pointer("/spec/hostUsers") {
                Some(Value::Bool(false)) => UserNamespace::Own,
                _ => UserNamespace::Node,
            };
            walk(&TEMPLATE, template, "", users)
        }
    }
}

/// What a value may be. A null, which removes what the controller set, may stand for each value
/// that is listed.
enum Rule {
    /// Anything: it names nothing but nodes, quantities and labels.
    Any,
    /// One of these texts.
    Text(&'static [&'static str]),
    /// `false`, or `true` as well in a user namespace of the pod's own.
    FalseUnlessOwnUsers,
    /// `false`.
    False,
    /// An object with these fields and no others.
    Object(&'static [(&'static str, Rule)]),
    /// A list of such values.
    List(&'static Rule),
}

use Rule::{Any, False, FalseUnlessOwnUsers, List, Object, Text};

const TEMPLATE: Rule = Object(&[
    ("metadata", Object(&[("labels", Any), ("annotations", Any)])),
    ("spec", POD),
]);

const POD: Rule = Object(&[
    ("nodeSelector", Any),
    ("tolerations", Any),
    ("affinity", Any),
    ("topologySpreadConstraints", Any),
    ("priorityClassName", Any),
    ("imagePullSecrets", Any),
    ("hostUsers", False),
    ("resources", RESOURCES),
    ("volumes", List(&VOLUME)),
    ("containers", List(&CONTAINER)),
    (
        "securityContext",
        Object(&[
            ("runAsUser", Any),
            ("runAsGroup", Any),
            ("runAsNonRoot", Any),
            // The group that a claim's files belong to.
            ("fsGroup", Any),
            ("fsGroupChangePolicy", Any),
            ("seccompProfile", PROFILE),
            ("appArmorProfile", PROFILE),
        ]),
    ),
]);

const CONTAINER: Rule = Object(&[
    // There is one; another name would be another container.
    ("name", Text(&["build"])),
    ("imagePullPolicy", Any),
    ("resources", RESOURCES),
    ("env", List(&Object(&[("name", Any), ("value", Any)]))),
    (
        "volumeMounts",
        List(&Object(&[
            ("name", Any),
            ("mountPath", Any),
            ("subPath", Any),
            ("readOnly", Any),
        ])),
    ),
    (
        "securityContext",
        Object(&[
            ("runAsUser", Any),
            ("runAsGroup", Any),
            ("runAsNonRoot", Any),
            ("readOnlyRootFilesystem", Any),
            ("allowPrivilegeEscalation", Any),
            ("privileged", FalseUnlessOwnUsers),
            (
                "capabilities",
                Object(&[("drop", Any), ("add", List(&Text(&["SETUID", "SETGID"])))]),
            ),
            ("seccompProfile", PROFILE),
            ("appArmorProfile", PROFILE),
        ]),
    ),
]);

const VOLUME: Rule = Object(&[("name", Any), ("emptyDir", Any), ("persistentVolumeClaim", Any)]);

/// Without `claims`, which give devices.
const RESOURCES: Rule = Object(&[("limits", Any), ("requests", Any)]);

/// Without profiles of the node.
const PROFILE: Rule = Object(&[("type", Text(&["Unconfined", "RuntimeDefault"]))]);

/// Whose users the pod's are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UserNamespace {
    /// The node's.
    Node,
    /// Its own: root in it is nobody outside.
    Own,
}

fn walk(rule: &Rule, value: &Value, path: &str, users: UserNamespace) -> Result<(), RefusedTemplate> {
    let refuse = |advice| {
        Err(RefusedTemplate::Field {
            field: path.to_owned(),
            advice,
        })
    };
    match (rule, value) {
        (_, Value::Null) | (Any, _) | (False | FalseUnlessOwnUsers, Value::Bool(false)) => Ok(()),
        (FalseUnlessOwnUsers, _) if users == UserNamespace::Own => Ok(()),
        (FalseUnlessOwnUsers, _) => refuse("set spec.hostUsers: false beside it, or take it out"),
        (False, _) => refuse("only false is"),
        (Text(known), Value::String(text)) if known.contains(&text.as_str()) => Ok(()),
        (Object(known), Value::Object(fields)) => object(known, fields, path, users),
        (List(rule), Value::Array(items)) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(at, item)| walk(rule, item, &format!("{path}[{at}]"), users))
        }
        (Text(_) | Object(_) | List(_), _) => refuse(TAKE_OUT),
    }
}

fn object(
    known: &[(&str, Rule)],
    fields: &Map<String, Value>,
    path: &str,
    users: UserNamespace,
) -> Result<(), RefusedTemplate> {
    for (name, value) in fields {
        let field = match path {
            "" => printable(name, LONGEST_NAME),
            path => format!("{path}.{}", printable(name, LONGEST_NAME)),
        };
        match known.iter().find(|(known, _)| known == name) {
            Some((_, rule)) => walk(rule, value, &field, users)?,
            None => {
                return Err(RefusedTemplate::Field {
                    field,
                    advice: advice(name),
                });
            }
        }
    }
    Ok(())
}

/// What to do in place of a field that has a place of its own.
fn advice(field: &str) -> &'static str {
    match field {
        "serviceAccountName" | "serviceAccount" => "set build.job.serviceAccountName",
        "image" => "set build.job.image",
        _ => TAKE_OUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::pod_template::PodTemplate;
    use schemars::{JsonSchema, SchemaGenerator};
    use serde_json::json;

    fn refused(template: &Value) -> String {
        match check_pod_template(template, PodTemplatePolicy::Restricted) {
            Ok(()) => String::new(),
            Err(refused) => refused.to_string(),
        }
    }

    fn pod(spec: &Value) -> Value {
        json!({ "spec": spec })
    }

    fn container(fields: &Value) -> Value {
        let mut container = json!({ "name": "build" });
        for (name, value) in fields.as_object().unwrap() {
            container[name] = value.clone();
        }
        pod(&json!({ "containers": [container] }))
    }

    #[test]
    fn what_places_and_bounds_a_build_is_allowed() {
        let whole = json!({
            "metadata": { "labels": { "team": "a" }, "annotations": { "a": "b" } },
            "spec": {
                "nodeSelector": { "disk": "ssd" },
                "tolerations": [{ "key": "build", "operator": "Exists" }],
                "affinity": { "nodeAffinity": {} },
                "topologySpreadConstraints": [{ "maxSkew": 1 }],
                "priorityClassName": "low",
                "imagePullSecrets": [{ "name": "pull" }],
                "resources": { "limits": { "cpu": 2 } },
                "securityContext": { "fsGroup": 1000, "seccompProfile": { "type": "RuntimeDefault" } },
                "volumes": [
                    { "name": "state", "emptyDir": null, "persistentVolumeClaim": { "claimName": "cache" } },
                    { "name": "more", "emptyDir": { "sizeLimit": "1Gi" } },
                ],
                "containers": [{
                    "name": "build", "imagePullPolicy": "Always",
                    "resources": { "limits": { "memory": "4Gi" } },
                    "env": [{ "name": "BUILDER_FLAGS", "value": "--debug" }],
                    "volumeMounts": [{ "name": "more", "mountPath": "/more", "subPath": "a", "readOnly": true }],
                    "securityContext": {
                        "runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": null, "privileged": false,
                        "allowPrivilegeEscalation": true, "readOnlyRootFilesystem": false,
                        "capabilities": { "drop": ["ALL"], "add": ["SETUID", "SETGID"] },
                        "seccompProfile": { "type": "Unconfined" }, "appArmorProfile": { "type": "Unconfined" },
                    },
                }],
            },
        });
        assert_eq!(refused(&whole), "");
    }

    #[test]
    fn privileges_are_for_a_user_namespace_alone() {
        let mut template = container(&json!({ "securityContext": { "privileged": true, "runAsUser": 0 } }));
        for users in [None, Some(json!(null))] {
            if let Some(users) = users {
                template["spec"]["hostUsers"] = users;
            }
            let message = refused(&template);
            assert!(
                message.contains("containers[0].securityContext.privileged"),
                "{message}"
            );
            assert!(message.contains("hostUsers: false"), "{message}");
        }
        template["spec"]["hostUsers"] = json!(false);
        assert_eq!(refused(&template), "");
        template["spec"]["hostUsers"] = json!(true);
        assert!(refused(&template).contains("spec.hostUsers"));
    }

    /// Objects of a template: how a message names them, where the schema has their fields, which of
    /// these are allowed, and a template with such an object.
    type PolicyPlace = (&'static str, &'static str, &'static str, fn(&Value) -> Value);

    const PLACES: [PolicyPlace; 8] = [
        (
            "spec",
            "",
            "nodeSelector tolerations affinity topologySpreadConstraints priorityClassName imagePullSecrets \
             hostUsers resources volumes containers securityContext",
            pod,
        ),
        (
            "spec.securityContext",
            "/securityContext/properties",
            "runAsUser runAsGroup runAsNonRoot fsGroup fsGroupChangePolicy seccompProfile appArmorProfile",
            |object| pod(&json!({ "securityContext": object })),
        ),
        (
            "spec.volumes[0]",
            "/volumes/items/properties",
            "name emptyDir persistentVolumeClaim",
            |object| pod(&json!({ "volumes": [object] })),
        ),
        (
            "spec.containers[0]",
            "/containers/items/properties",
            "name imagePullPolicy resources env volumeMounts securityContext",
            container,
        ),
        (
            "spec.containers[0].securityContext",
            "/containers/items/properties/securityContext/properties",
            "runAsUser runAsGroup runAsNonRoot readOnlyRootFilesystem allowPrivilegeEscalation privileged \
             capabilities seccompProfile appArmorProfile",
            |object| container(&json!({ "securityContext": object })),
        ),
        (
            "spec.containers[0].env[0]",
            "/containers/items/properties/env/items/properties",
            "name value",
            |object| container(&json!({ "env": [object] })),
        ),
        (
            "spec.containers[0].volumeMounts[0]",
            "/containers/items/properties/volumeMounts/items/properties",
            "name mountPath subPath readOnly",
            |object| container(&json!({ "volumeMounts": [object] })),
        ),
        (
            "spec.containers[0].resources",
            "/containers/items/properties/resources/properties",
            "limits requests",
            |object| container(&json!({ "resources": object })),
        ),
    ];

    const DANGEROUS: &str = "automountServiceAccountToken serviceAccountName hostPID hostIPC hostNetwork hostPath \
        secret configMap projected csi downwardAPI ephemeral envFrom valueFrom initContainers command args image \
        lifecycle shareProcessNamespace dnsConfig nodeName runtimeClassName procMount sysctls seLinuxOptions \
        mountPropagation claims ports";

    /// Each field of a pod that Kubernetes has, but for those of the tests above, is refused: with
    /// any value, and with null.
    #[test]
    fn nothing_else_is() {
        let schema = PodTemplate::json_schema(&mut SchemaGenerator::default()).to_value();
        let mut tried = Vec::new();
        for (path, pointer, listed, template) in PLACES {
            let fields = schema.pointer(&format!("/properties/spec/properties{pointer}"));
            let fields = fields.unwrap().as_object().unwrap().keys().map(String::as_str);
            let listed: Vec<&str> = listed.split_whitespace().collect();
            let (known, others): (Vec<&str>, Vec<&str>) = fields.partition(|name| listed.contains(name));
            assert_eq!(known.len(), listed.len(), "{path} has {known:?}");
            for name in others.iter().chain(&["$patch"]) {
                for value in [json!(null), json!({}), json!(true), json!("x"), json!([])] {
                    let message = refused(&template(&json!({ *name: value })));
                    let field = format!("build.job.podTemplate.{path}.{name} is not allowed");
                    assert!(message.starts_with(&field), "{field}: {message:?}");
                }
                tried.push((*name).to_owned());
            }
        }
        for dangerous in DANGEROUS.split_whitespace() {
            assert!(
                tried.iter().any(|name| name == dangerous),
                "{dangerous} was not tried"
            );
        }
        assert!(refused(&json!({ "metadata": { "finalizers": [] } })).contains("metadata.finalizers is"));
        assert!(refused(&json!({ "status": null })).contains("podTemplate.status is"));
    }

    #[test]
    fn values_that_give_more_are_refused() {
        for template in [
            pod(&json!({ "containers": [{ "name": "other", "image": "x" }] })),
            pod(&json!({ "containers": [{ "name": "build" }, { "name": "sidecar" }] })),
            pod(&json!({ "containers": { "name": "build" } })),
            pod(&json!({ "containers": ["build"] })),
            pod(&json!("x")),
            json!([]),
            container(&json!({ "securityContext": { "capabilities": { "add": ["SETUID", "SYS_ADMIN"] } } })),
            container(&json!({ "securityContext": { "capabilities": { "add": "SYS_ADMIN" } } })),
            container(&json!({ "securityContext": { "seccompProfile": { "type": "Localhost" } } })),
            container(&json!({ "securityContext": { "seccompProfile": { "localhostProfile": "x" } } })),
            container(&json!({ "securityContext": { "privileged": "true" } })),
        ] {
            assert_ne!(refused(&template), "", "{template}");
        }
    }

    #[test]
    fn the_policy_may_allow_all_or_nothing() {
        let template = pod(&json!({ "hostPID": true }));
        assert_eq!(check_pod_template(&template, PodTemplatePolicy::Allowed), Ok(()));
        assert_eq!(
            check_pod_template(&json!({}), PodTemplatePolicy::Forbidden),
            Err(RefusedTemplate::Whole)
        );
        let message = refused(&pod(&json!({ "serviceAccountName": "admin" })));
        assert!(message.ends_with("set build.job.serviceAccountName"), "{message}");
    }
}
