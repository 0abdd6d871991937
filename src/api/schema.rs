//! What the API server would refuse of an object, found without one: by the schema of its
//! definition, and by the rules in it.

use std::collections::HashSet;
use std::fmt;

use kube::CustomResourceExt;
use kube::core::cel::Validator;
use regex::Regex;
use serde_json::{Map, Value};

/// What every object has besides what its definition says. The status is not what a person writes.
const COMMON: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// The most faults that are told.
const MOST: usize = 20;

/// The longest value that is repeated in a message, in characters.
const SHOWN: usize = 100;

/// A field that would be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaFault {
    /// The field, for instance `spec.upstream.ref`.
    pub field: String,
    /// Why, and what to write instead.
    pub message: String,
}

impl fmt::Display for SchemaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// What would be refused of an object. A field that is unknown is, too: it would be dropped in
/// silence, or refused by `kubectl apply`.
#[must_use]
pub fn faults<K: CustomResourceExt>(object: &Value) -> Vec<SchemaFault> {
    let refused = |message: &str| {
        vec![SchemaFault {
            field: "the object".to_owned(),
            message: message.to_owned(),
        }]
    };
    let definition = K::crd();
    let version = definition.spec.versions.first();
    let schema = version
        .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref())
        .and_then(|schema| serde_json::to_value(schema).ok());
    let (Some(schema), Value::Object(fields)) = (schema, object) else {
        return refused("is no object");
    };
    let own: Map<String, Value> = fields
        .iter()
        .filter(|(name, _)| !COMMON.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut own = Value::Object(own);
    without_nulls(&mut own);
    let mut faults = Vec::new();
    walk(&schema, &own, "", &mut faults);
    if faults.is_empty()
        && let Err(errors) = Validator::new().validate(&schema, &own, None)
    {
        faults.extend(errors.into_vec().into_iter().map(|error| SchemaFault {
            field: error.field_path,
            message: error.message,
        }));
    }
    faults.truncate(MOST);
    faults
}

/// Takes out what is null: it counts as absent.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// The schema of a field.
fn field<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let named = schema
        .get("properties")
        .and_then(|properties| properties.get(name));
    named.or_else(|| {
        schema
            .get("additionalProperties")
            .filter(|schema| schema.is_object())
    })
}

fn walk(schema: &Value, value: &Value, path: &str, faults: &mut Vec<SchemaFault>) {
    let mut refuse = |message: String| {
        faults.push(SchemaFault {
            field: if path.is_empty() { "the object" } else { path }.to_owned(),
            message,
        });
    };
    let type_ = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    let fits = match type_ {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => true,
    };
    if !fits {
        return refuse(format!("must be of type {type_}, and is {}", shown(value)));
    }
    if let Some(known) = schema.get("enum").and_then(Value::as_array)
        && !known.contains(value)
    {
        let known: Vec<String> = known.iter().filter(|one| !one.is_null()).map(shown).collect();
        return refuse(format!(
            "unsupported value {}; supported values: {}",
            shown(value),
            known.join(", ")
        ));
    }
    let limit = |name: &str| schema.get(name).and_then(Value::as_u64);
    let mut bounds = |what: &str, least: &str, most: &str, length: usize| {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        if let Some(least) = limit(least).filter(|least| length < *least) {
            refuse(format!("has {length} {what}, and should have at least {least}"));
        }
        if let Some(most) = limit(most).filter(|most| length > *most) {
            refuse(format!("has {length} {what}, and may have at most {most}"));
        }
    };
    match value {
        Value::Object(fields) => {
            bounds("fields", "minProperties", "maxProperties", fields.len());
            object(schema, fields, path, faults);
        }
        Value::Array(items) => {
            bounds("items", "minItems", "maxItems", items.len());
            array(schema, items, path, faults);
        }
        Value::String(text) => {
            bounds("characters", "minLength", "maxLength", text.chars().count());
            if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
                && !Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
            {
                refuse(format!("{} should match '{pattern}'", shown(value)));
            }
        }
        Value::Number(number) => {
            let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
            let number = number.as_f64().unwrap_or(f64::NAN);
            if bound("minimum").is_some_and(|least| number < least)
                || bound("maximum").is_some_and(|most| number > most)
            {
                let [least, most] = ["minimum", "maximum"].map(|name| {
                    schema
                        .get(name)
                        .map_or_else(|| "any".to_owned(), ToString::to_string)
                });
                refuse(format!("{number} is not between {least} and {most}"));
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn object(schema: &Value, fields: &Map<String, Value>, path: &str, faults: &mut Vec<SchemaFault>) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            faults.push(SchemaFault {
                field: below(name),
                message: "is required".to_owned(),
            });
        }
    }
    for (name, value) in fields {
        if let Some(schema) = field(schema, name) {
            walk(schema, value, &below(name), faults);
            continue;
        }
        let known = schema.get("properties").and_then(Value::as_object);
        let known: Vec<&str> = known
            .into_iter()
            .flat_map(Map::keys)
            .map(String::as_str)
            .collect();
        faults.push(SchemaFault {
            field: below(name),
            message: format!("is unknown; there are {}", known.join(", ")),
        });
    }
}

fn array(schema: &Value, items: &[Value], path: &str, faults: &mut Vec<SchemaFault>) {
    let of = schema.get("items").unwrap_or(&Value::Null);
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    let mut seen = HashSet::new();
    for (at, item) in items.iter().enumerate() {
        let path = format!("{path}[{at}]");
        walk(of, item, &path, faults);
        let Some(keys) = keys else {
            continue;
        };
        let key: Vec<String> = keys
            .iter()
            .filter_map(|key| Some(item.get(key.as_str()?)?.to_string()))
            .collect();
        if !seen.insert(key.clone()) {
            faults.push(SchemaFault {
                field: path,
                message: format!("{} is there twice", key.join(", ")),
            });
        }
    }
}

/// A value as JSON, cut where it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}
