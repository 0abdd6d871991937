//! Parts of a pod template, and the schema that bounds their fields and their depth at admission.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What a schema keeps from that of Kubernetes. Descriptions would make the definition larger than
/// an annotation may be, and parts of a template may omit fields that a whole one requires.
const KEPT: [&str; 5] = [
    "type",
    "properties",
    "items",
    "additionalProperties",
    "x-kubernetes-int-or-string",
];

/// The fields of metadata that a pod takes from its template.
const METADATA: [&str; 2] = ["labels", "annotations"];

/// What the API server accepts in a pod but not in a template.
const NOT_OF_TEMPLATES: &str = "ephemeralContainers";

/// How deep the controller's template goes, up to
/// `spec.containers[].securityContext.capabilities.add`: a null removes something only down to this
/// depth.
const DEEPEST_NULL: usize = 5;

/// Parts of a pod template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodTemplate(pub Value);

impl JsonSchema for PodTemplate {
    fn schema_name() -> Cow<'static, str> {
        "PodTemplate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let whole = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
        let mut schema = PodTemplateSpec::json_schema(&mut whole.into_generator()).to_value();
        if let Value::Object(schema) = &mut schema {
            reduce(schema, 0);
        }
        Schema::try_from(schema).unwrap_or_default()
    }
}

/// Parts of the pod template of a test. A spec may have several of them, and their schema contains
/// only what is of use to a test: a definition has to fit into an annotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TestPodTemplate(pub Value);

/// The fields of a pod that a test's template may have.
const TEST_POD: [&str; 18] = [
    "nodeSelector",
    "tolerations",
    "affinity",
    "topologySpreadConstraints",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
    "imagePullSecrets",
    "hostUsers",
    "hostNetwork",
    "dnsPolicy",
    "dnsConfig",
    "hostAliases",
    "resources",
    "resourceClaims",
    "volumes",
    "containers",
    "securityContext",
];

/// The fields of its containers.
const TEST_CONTAINER: [&str; 7] = [
    "name",
    "imagePullPolicy",
    "resources",
    "env",
    "volumeMounts",
    "securityContext",
    "workingDir",
];

/// The fields of its volumes.
const TEST_VOLUME: [&str; 3] = ["name", "emptyDir", "persistentVolumeClaim"];

impl JsonSchema for TestPodTemplate {
    fn schema_name() -> Cow<'static, str> {
        "TestPodTemplate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = PodTemplate::json_schema(generator).to_value();
        for (place, kept) in [
            ("/properties/spec/properties", &TEST_POD[..]),
            (
                "/properties/spec/properties/containers/items/properties",
                &TEST_CONTAINER,
            ),
            (
                "/properties/spec/properties/volumes/items/properties",
                &TEST_VOLUME,
            ),
        ] {
            if let Some(Value::Object(fields)) = schema.pointer_mut(place) {
                fields.retain(|name, _| kept.contains(&name.as_str()));
            }
        }
        Schema::try_from(schema).unwrap_or_default()
    }
}

/// Reduces a Kubernetes schema at this depth of a template to types. Any field that the
/// controller's template may have can be null.
fn reduce(schema: &mut Map<String, Value>, depth: usize) {
    schema.retain(|key, _| KEPT.contains(&key.as_str()));
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        // This is `ObjectMeta`, whose `managedFields` may hold anything.
        if properties.contains_key("managedFields") {
            properties.retain(|name, _| METADATA.contains(&name.as_str()));
        }
        properties.remove(NOT_OF_TEMPLATES);
    }
    if let Some(Value::Object(items)) = schema.get_mut("items") {
        reduce(items, depth);
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for field in properties.into_iter().flat_map(Map::values_mut) {
        reduce_field(field, depth + 1);
    }
    if let Some(values) = schema.get_mut("additionalProperties") {
        reduce_field(values, depth + 1);
    }
}

fn reduce_field(schema: &mut Value, depth: usize) {
    if let Value::Object(schema) = schema {
        reduce(schema, depth);
        if depth <= DEEPEST_NULL {
            schema.insert("nullable".to_owned(), json!(true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd;

    /// The limit for the copy that client-side `kubectl apply` stores of an object, as compact
    /// JSON: the annotations of an object may have 256 KiB in total.
    const LARGEST: usize = 256 << 10;

    /// The greatest depth of a value that a schema accepts; none if it is unbounded.
    fn depth(schema: &Value) -> Option<usize> {
        if schema.get("x-kubernetes-preserve-unknown-fields").is_some() {
            return None;
        }
        let fields = schema["properties"].as_object().into_iter().flat_map(Map::values);
        let below = fields.chain(schema.get("items")).chain(
            schema
                .get("additionalProperties")
                .filter(|schema| schema.is_object()),
        );
        let is_closed = schema["type"] != "object"
            || schema.get("properties").is_some()
            || schema.get("additionalProperties").is_some();
        let deepest = below
            .map(depth)
            .try_fold(0, |most, depth| Some(most.max(depth?)))?;
        is_closed.then_some(deepest + 1)
    }

    #[test]
    fn what_a_definition_takes_has_a_bounded_depth_and_fits_an_annotation() {
        for definition in crd::all() {
            let size = serde_json::to_string(&definition).unwrap().len();
            assert!(size < LARGEST, "{size} bytes");
            for version in &definition.spec.versions {
                let schema = version.schema.as_ref().unwrap();
                let schema = serde_json::to_value(schema.open_api_v3_schema.as_ref().unwrap()).unwrap();
                for part in ["spec", "status"] {
                    let depth = depth(&schema["properties"][part]);
                    assert!(depth.is_some_and(|depth| depth < 32), "{part}: {depth:?}");
                }
            }
        }
    }

    #[test]
    fn all_of_a_pod_may_be_written_and_none_of_it_must_be() {
        let schema = PodTemplate::json_schema(&mut SchemaGenerator::default()).to_value();
        let pod = &schema["properties"]["spec"]["properties"];
        for field in [
            "tolerations",
            "hostPID",
            "initContainers",
            "hostUsers",
            "topologySpreadConstraints",
        ] {
            assert_eq!(pod[field]["nullable"], true, "{field}");
        }
        let resources = &pod["containers"]["items"]["properties"]["resources"]["properties"]["limits"];
        assert_eq!(
            resources["additionalProperties"]["x-kubernetes-int-or-string"],
            true
        );
        let text = schema.to_string();
        for key in ["\"required\":[", "managedFields", "\"description\":\""] {
            assert!(!text.contains(key), "{key}");
        }
    }
}
