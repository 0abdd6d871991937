//! Lays parts of a spec over others.

use serde_json::Value;

/// Where nulls are kept: they are laid over the controller's own template there.
const KEEPS_NULLS: &str = "podTemplate";

/// Lays `over` over `base`: objects are merged, lists whose elements have a key in the schema are
/// merged by it, and anything else is replaced, even by a null. In pod templates, whose schema has
/// no keys, the key is `name`.
pub(super) fn lay_over(base: &mut Value, over: &Value, schema: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                let below = schema_of_field(schema, name);
                lay_over(base.entry(name.clone()).or_insert(Value::Null), value, below);
            }
        }
        (Value::Array(base), Value::Array(over)) => {
            let items = schema.get("items").unwrap_or(&Value::Null);
            match merge_keys(schema, base, over) {
                Some(keys) => {
                    for element in over {
                        let same =
                            |known: &&mut Value| keys.iter().all(|key| known.get(key) == element.get(key));
                        match base.iter_mut().find(same) {
                            Some(known) => lay_over(known, element, items),
                            None => base.push(element.clone()),
                        }
                    }
                }
                None => base.clone_from(over),
            }
        }
        (base, over) => base.clone_from(over),
    }
}

/// Removes nulls, except in pod templates.
pub(super) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            let below = fields.iter_mut().filter(|(name, _)| *name != KEEPS_NULLS);
            below.for_each(|(_, value)| drop_nulls(value));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn schema_of_field<'a>(schema: &'a Value, name: &str) -> &'a Value {
    let named = schema.get("properties").and_then(|fields| fields.get(name));
    named
        .or_else(|| schema.get("additionalProperties"))
        .unwrap_or(&Value::Null)
}

/// The fields by which the elements of a list are told apart.
fn merge_keys<'a>(schema: &'a Value, base: &[Value], over: &[Value]) -> Option<Vec<&'a str>> {
    if let Some(keys) = schema.get("x-kubernetes-list-map-keys") {
        return keys
            .as_array()
            .map(|keys| keys.iter().filter_map(Value::as_str).collect());
    }
    // As `build::overlay` has it.
    let items = schema.get("items")?.get("properties")?;
    let has_all = |key: &str| {
        let mut elements = base.iter().chain(over);
        items.get(key).is_some() && elements.all(|element| element.get(key).is_some_and(Value::is_string))
    };
    ["mountPath", "name"]
        .into_iter()
        .find(|key| has_all(key))
        .map(|key| vec![key])
}

#[cfg(test)]
mod tests {
    use super::*;
    use patchset_api::patch_set_template::PATCH_SET_SPEC;
    use serde_json::json;

    fn laid(mut base: Value, over: &Value) -> Value {
        lay_over(&mut base, over, &PATCH_SET_SPEC);
        base
    }

    #[test]
    fn lists_are_merged_by_the_keys_of_the_definition_and_others_are_replaced() {
        let base = json!({
            "libraries": [{ "name": "a" }], "candidates": [{ "branch": "main" }],
            "build": { "platforms": ["linux/amd64"], "args": { "A": "1", "B": "2" } }
        });
        let over = json!({
            "libraries": [{ "name": "a" }, { "name": "b" }], "candidates": [{ "tag": "1" }],
            "build": { "platforms": ["linux/arm64"], "args": { "B": null, "C": "3" } }
        });
        let mut made = laid(base, &over);
        drop_nulls(&mut made);
        assert_eq!(
            made,
            json!({
                "libraries": [{ "name": "a" }, { "name": "b" }], "candidates": [{ "tag": "1" }],
                "build": { "platforms": ["linux/arm64"], "args": { "A": "1", "C": "3" } }
            })
        );
    }

    #[test]
    fn a_null_of_a_pod_template_goes_on_to_the_patch_set() {
        let pod = |security: Value, env: Value| {
            json!({ "build": { "job": { "podTemplate": { "spec": {
                "securityContext": security, "containers": [{ "name": "build", "env": env }]
            } } } } })
        };
        let base = pod(json!({ "runAsUser": 1 }), json!([{ "name": "A", "value": "1" }]));
        let over = pod(Value::Null, json!([{ "name": "B", "value": "2" }]));
        let mut made = laid(base, &over);
        drop_nulls(&mut made);
        let both = json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }]);
        assert_eq!(made, pod(Value::Null, both));
    }

    #[test]
    fn what_was_removed_may_come_again() {
        let made = laid(
            laid(json!({ "build": { "timeout": "1h" } }), &json!({ "build": null })),
            &json!({ "build": { "retries": 1 } }),
        );
        assert_eq!(made, json!({ "build": { "retries": 1 } }));
    }
}
