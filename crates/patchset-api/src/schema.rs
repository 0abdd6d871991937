//! Finds what the API server would refuse in an object, without an API server: by the schema of the
//! object's definition and the rules in it.

use std::collections::{HashMap, HashSet};
use std::fmt;

use kube::CustomResourceExt;
use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use regex::Regex;
use serde_json::{Map, Value, json};

/// What every object has in addition to what its definition says. People do not write the status.
const COMMON: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// The maximum number of faults reported.
const MOST: usize = 20;

/// The length in characters at which a value is cut in a message.
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

/// What a kind's definition requires of its objects, compiled once for many of them.
pub struct SchemaRules {
    schema: Value,
    patterns: Patterns,
    rules: CompiledSchema,
}

/// The compiled patterns of a schema, by their source.
type Patterns = HashMap<String, Regex>;

impl SchemaRules {
    /// The rules of a kind.
    #[must_use]
    pub fn new<K: CustomResourceExt>() -> Self {
        let definition = K::crd();
        let version = definition.spec.versions.first();
        let schema = version
            .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref())
            .and_then(|schema| serde_json::to_value(schema).ok())
            .unwrap_or_default();
        let mut patterns = Patterns::new();
        collect_patterns(&schema, &mut patterns);
        Self {
            rules: compile_schema(&schema),
            patterns,
            schema,
        }
    }

    /// What would be refused in an object. This includes unknown fields: they would be dropped
    /// silently, or refused by `kubectl apply`.
    #[must_use]
    pub fn faults(&self, object: &Value) -> Vec<SchemaFault> {
        let Value::Object(fields) = object else {
            return vec![SchemaFault {
                field: "the object".to_owned(),
                message: "is not an object".to_owned(),
            }];
        };
        let own: Map<String, Value> = fields
            .iter()
            .filter(|(name, _)| !COMMON.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut own = Value::Object(own);
        without_nulls(&mut own);
        let mut walk = Walk {
            patterns: &self.patterns,
            faults: Vec::new(),
        };
        walk.value(&self.schema, &own, "");
        let mut faults = walk.faults;
        if faults.is_empty() {
            // Rules on the object as a whole look at its name.
            if let Some(name) = object.pointer("/metadata/name") {
                own["metadata"] = json!({ "name": name });
            }
            if let Err(errors) = Validator::new().validate_compiled(&self.rules, &own, None) {
                faults.extend(errors.into_vec().into_iter().map(|error| SchemaFault {
                    field: error.field_path,
                    message: error.message,
                }));
            }
        }
        faults.truncate(MOST);
        faults
    }
}

/// What would be refused in one object, as [`SchemaRules::faults`] finds it.
#[must_use]
pub fn faults<K: CustomResourceExt>(object: &Value) -> Vec<SchemaFault> {
    SchemaRules::new::<K>().faults(object)
}

fn collect_patterns(schema: &Value, patterns: &mut Patterns) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(pattern)) = fields.get("pattern")
                && let Ok(read) = Regex::new(pattern)
            {
                patterns.insert(pattern.clone(), read);
            }
            fields
                .values()
                .for_each(|field| collect_patterns(field, patterns));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_patterns(item, patterns)),
        _ => {}
    }
}

/// Removes nulls: they count as absent.
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

/// A walk through an object and its schema.
struct Walk<'a> {
    patterns: &'a Patterns,
    faults: Vec<SchemaFault>,
}

impl Walk<'_> {
    fn value(&mut self, schema: &Value, value: &Value, path: &str) {
        let mut refuse = |message: String| {
            self.faults.push(SchemaFault {
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
            return refuse(format!("must be of type {type_}, but is {}", shown(value)));
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
                self.object(schema, fields, path);
            }
            Value::Array(items) => {
                bounds("items", "minItems", "maxItems", items.len());
                self.array(schema, items, path);
            }
            Value::String(text) => {
                bounds("characters", "minLength", "maxLength", text.chars().count());
                if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
                    && !self
                        .patterns
                        .get(pattern)
                        .is_some_and(|pattern| pattern.is_match(text))
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

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>, path: &str) {
        let below = |name: &str| match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                self.faults.push(SchemaFault {
                    field: below(name),
                    message: "is required".to_owned(),
                });
            }
        }
        for (name, value) in fields {
            if let Some(schema) = field(schema, name) {
                self.value(schema, value, &below(name));
                continue;
            }
            let known = schema.get("properties").and_then(Value::as_object);
            let known: Vec<&str> = known
                .into_iter()
                .flat_map(Map::keys)
                .map(String::as_str)
                .collect();
            self.faults.push(SchemaFault {
                field: below(name),
                message: format!("is unknown; there are {}", known.join(", ")),
            });
        }
    }

    fn array(&mut self, schema: &Value, items: &[Value], path: &str) {
        let of = schema.get("items").unwrap_or(&Value::Null);
        let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
        let mut seen = HashSet::new();
        for (at, item) in items.iter().enumerate() {
            let path = format!("{path}[{at}]");
            self.value(of, item, &path);
            let Some(keys) = keys else {
                continue;
            };
            let key: Vec<String> = keys
                .iter()
                .filter_map(|key| Some(item.get(key.as_str()?)?.to_string()))
                .collect();
            if !seen.insert(key.clone()) {
                self.faults.push(SchemaFault {
                    field: path,
                    message: format!("{} occurs twice", key.join(", ")),
                });
            }
        }
    }
}

/// A value as JSON, truncated if it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}
