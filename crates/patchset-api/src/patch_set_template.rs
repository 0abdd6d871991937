//! Parts of a `PatchSet`'s spec with variables in their strings, and the schema that bounds their
//! fields and depth at admission.

use std::borrow::Cow;
use std::sync::LazyLock;

use kube::CustomResourceExt;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::PatchSet;

/// What a schema keeps from that of a `PatchSet`: types. Strings may contain variables, which
/// patterns and enums would refuse, and parts of a `PatchSet` may omit what it requires.
const KEPT: [&str; 6] = [
    "type",
    "properties",
    "items",
    "additionalProperties",
    "nullable",
    "x-kubernetes-int-or-string",
];

/// The JSON pointer to the schema of a spec in a definition.
const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

/// The schema of a `PatchSet`'s spec, as its definition has it.
pub static PATCH_SET_SPEC: LazyLock<Value> = LazyLock::new(|| {
    let definition = serde_json::to_value(PatchSet::crd()).unwrap_or_default();
    definition.pointer(SPEC).cloned().unwrap_or_default()
});

/// Parts of a `PatchSet`'s spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TemplateSpec(pub Value);

impl JsonSchema for TemplateSpec {
    fn schema_name() -> Cow<'static, str> {
        "TemplateSpec".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = PATCH_SET_SPEC.clone();
        if let Value::Object(schema) = &mut schema {
            reduce(schema);
        }
        Schema::try_from(schema).unwrap_or_default()
    }
}

/// Reduces a schema to types. Any field may be null, which removes it.
fn reduce(schema: &mut Map<String, Value>) {
    schema.retain(|key, _| KEPT.contains(&key.as_str()));
    if let Some(Value::Object(items)) = schema.get_mut("items") {
        reduce(items);
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, field) in properties.into_iter().flatten() {
        // This schema itself says where a null is allowed.
        if name == "podTemplate" {
            continue;
        }
        reduce_field(field);
    }
    if let Some(values) = schema.get_mut("additionalProperties") {
        reduce_field(values);
    }
}

fn reduce_field(schema: &mut Value) {
    if let Value::Object(schema) = schema {
        reduce(schema);
        schema.insert("nullable".to_owned(), json!(true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All keys of a schema, except names of fields and the contents of a pod template.
    fn keys(schema: &Value, found: &mut Vec<String>) {
        let Value::Object(schema) = schema else { return };
        for (key, value) in schema {
            found.push(key.clone());
            match key.as_str() {
                "properties" => {
                    let fields = value.as_object().unwrap().iter();
                    let fields = fields.filter(|(name, _)| *name != "podTemplate");
                    fields.for_each(|(_, field)| keys(field, found));
                }
                _ => keys(value, found),
            }
        }
    }

    #[test]
    fn a_template_may_have_any_field_of_a_patch_set_and_needs_none() {
        let schema = TemplateSpec::json_schema(&mut SchemaGenerator::default()).to_value();
        let whole = PATCH_SET_SPEC["properties"].as_object().unwrap();
        let fields = schema["properties"].as_object().unwrap();
        assert!(fields.len() > 10);
        assert_eq!(
            fields.keys().collect::<Vec<_>>(),
            whole.keys().collect::<Vec<_>>()
        );
        let image = &schema["properties"]["build"]["properties"]["image"]["properties"];
        assert_eq!(image["repository"], json!({ "type": "string", "nullable": true }));
        let mut found = Vec::new();
        keys(&schema, &mut found);
        let unknown: Vec<_> = found.iter().filter(|key| !KEPT.contains(&key.as_str())).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let pod = "/properties/build/properties/job/properties/podTemplate";
        assert_eq!(
            schema.pointer(pod),
            PATCH_SET_SPEC["properties"].pointer(&pod["/properties".len()..])
        );
    }
}
