//! What the pod templates of builds and tests may hold, so that neither gets a right that the
//! controller's operator did not grant.

use foreign_text::printable;
use serde_json::{Map, Value};

/// What `build.job.podTemplate` and those of tests may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PodTemplatePolicy {
    /// Anything: whoever may write a `PatchSet` may run any pod in its namespace.
    Allowed,
    /// What says where a pod runs, how much it may take and what it caches, and the security context
    /// that the builders need.
    #[default]
    Restricted,
    /// Nothing.
    Forbidden,
}

/// What a policy refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedTemplate {
    /// Any template.
    #[error("{template} is not allowed by this controller (--job-pod-template=Forbidden): take it out")]
    Whole {
        /// Where the spec has it.
        template: String,
    },
    /// One field of it.
    #[error("{template}.{field} is not allowed by this controller (--job-pod-template=Restricted): {advice}")]
    Field {
        /// Where the spec has the template.
        template: String,
        /// The field, for instance `spec.hostPID`.
        field: String,
        /// What to do instead.
        advice: &'static str,
    },
}

/// A pod template of a spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplatePlace<'a> {
    /// Where the spec has it, for instance `build.job.podTemplate`.
    pub field: &'a str,
    /// The only container of the pod.
    pub container: &'a str,
}

impl TemplatePlace<'static> {
    /// The template of a build.
    pub const BUILD: Self = Self {
        field: "build.job.podTemplate",
        container: "build",
    };
}

const TAKE_OUT: &str = "take it out, or ask whoever runs the controller";

/// The longest name of a field that is repeated in a message, in characters.
const LONGEST_NAME: usize = 60;

/// Refuses what the policy does not allow.
///
/// What is not listed is refused, even if it is null, because a null removes what the controller
/// set.
///
/// # Errors
///
/// The first field that is not allowed.
pub fn check_pod_template(
    template: &Value,
    place: TemplatePlace<'_>,
    policy: PodTemplatePolicy,
) -> Result<(), RefusedTemplate> {
    match policy {
        PodTemplatePolicy::Allowed => Ok(()),
        PodTemplatePolicy::Forbidden => Err(RefusedTemplate::Whole {
            template: place.field.to_owned(),
        }),
        PodTemplatePolicy::Restricted => {
            let users = match template.pointer("/spec/hostUsers") {
                Some(Value::Bool(false)) => UserNamespace::Own,
                _ => UserNamespace::Node,
            };
            TemplateWalk { place, users }.value(&TEMPLATE, template, "")
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
    /// The name of the only container.
    OwnContainer,
    /// `false`; or also `true`, if the pod has a user namespace of its own.
    FalseUnlessOwnUsers,
    /// `false`.
    False,
    /// An object with these fields and no others.
    Object(&'static [(&'static str, Rule)]),
    /// A list of such values.
    List(&'static Rule),
}

use Rule::{Any, False, FalseUnlessOwnUsers, List, Object, OwnContainer, Text};

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
    ("name", OwnContainer),
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

/// The user namespace that the pod is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UserNamespace {
    /// The node's.
    Node,
    /// Its own: root in it is nobody outside.
    Own,
}

/// A template that is being checked.
#[derive(Clone, Copy)]
struct TemplateWalk<'a> {
    place: TemplatePlace<'a>,
    users: UserNamespace,
}

impl TemplateWalk<'_> {
    fn value(self, rule: &Rule, value: &Value, path: &str) -> Result<(), RefusedTemplate> {
        let refuse = |advice| Err(self.refused(path.to_owned(), advice));
        match (rule, value) {
            (_, Value::Null) | (Any, _) | (False | FalseUnlessOwnUsers, Value::Bool(false)) => Ok(()),
            (FalseUnlessOwnUsers, _) if self.users == UserNamespace::Own => Ok(()),
            (FalseUnlessOwnUsers, _) => refuse("set spec.hostUsers: false beside it, or take it out"),
            (False, _) => refuse("only false is"),
            (Text(known), Value::String(text)) if known.contains(&text.as_str()) => Ok(()),
            (OwnContainer, Value::String(name)) if name == self.place.container => Ok(()),
            (Object(known), Value::Object(fields)) => self.object(known, fields, path),
            (List(rule), Value::Array(items)) => {
                let mut items = items.iter().enumerate();
                items.try_for_each(|(at, item)| self.value(rule, item, &format!("{path}[{at}]")))
            }
            (Text(_) | OwnContainer | Object(_) | List(_), _) => refuse(TAKE_OUT),
        }
    }

    fn object(
        self,
        known: &[(&str, Rule)],
        fields: &Map<String, Value>,
        path: &str,
    ) -> Result<(), RefusedTemplate> {
        for (name, value) in fields {
            let field = match path {
                "" => printable(name, LONGEST_NAME),
                path => format!("{path}.{}", printable(name, LONGEST_NAME)),
            };
            match known.iter().find(|(known, _)| known == name) {
                Some((_, rule)) => self.value(rule, value, &field)?,
                None => return Err(self.refused(field, advice(name, self.place))),
            }
        }
        Ok(())
    }

    fn refused(self, field: String, advice: &'static str) -> RefusedTemplate {
        RefusedTemplate::Field {
            template: self.place.field.to_owned(),
            field,
            advice,
        }
    }
}

/// What to do in place of setting a field.
fn advice(field: &str, place: TemplatePlace<'_>) -> &'static str {
    match field {
        "serviceAccountName" | "serviceAccount" => "set build.job.serviceAccountName",
        "image" if place == TemplatePlace::BUILD => "set build.job.image",
        _ => TAKE_OUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use patchset_api::pod_template::PodTemplate;
    use schemars::{JsonSchema, SchemaGenerator};
    use serde_json::json;

    fn refused(template: &Value) -> String {
        match check_pod_template(template, TemplatePlace::BUILD, PodTemplatePolicy::Restricted) {
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

    /// Objects of a template: their name in a message, where the schema has their fields, which of
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

    /// Every field of a Kubernetes pod, except those of the tests above, is refused: with any
    /// value, and with null.
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
        let check = |template: &Value, policy| check_pod_template(template, TemplatePlace::BUILD, policy);
        assert_eq!(check(&template, PodTemplatePolicy::Allowed), Ok(()));
        let refusal = check(&json!({}), PodTemplatePolicy::Forbidden)
            .unwrap_err()
            .to_string();
        assert!(
            refusal.starts_with("build.job.podTemplate is not allowed"),
            "{refusal}"
        );
        let message = refused(&pod(&json!({ "serviceAccountName": "admin" })));
        assert!(message.ends_with("set build.job.serviceAccountName"), "{message}");
    }

    /// The same applies to a test's template, with its own container.
    #[test]
    fn a_test_may_set_what_a_build_may() {
        let place = TemplatePlace {
            field: "build.tests[2].podTemplate",
            container: "test",
        };
        let check = |template: &Value| check_pod_template(template, place, PodTemplatePolicy::Restricted);
        let of =
            |name: &str| pod(&json!({ "containers": [{ "name": name, "resources": { "limits": {} } }] }));
        assert_eq!(check(&of("test")), Ok(()));
        let refusal = check(&of("build")).unwrap_err().to_string();
        assert!(
            refusal.starts_with("build.tests[2].podTemplate.spec.containers[0].name is not allowed"),
            "{refusal}"
        );
        assert!(check(&pod(&json!({ "hostNetwork": true }))).is_err());
        assert!(check(&pod(&json!({ "containers": [{ "name": "test", "image": "x" }] }))).is_err());
    }
}
