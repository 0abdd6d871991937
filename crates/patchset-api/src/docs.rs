//! The reference for all fields as Markdown, generated from the schema.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

/// The reference for the given definitions.
#[must_use]
pub fn markdown(definitions: &[CustomResourceDefinition]) -> String {
    let mut text = String::from(
        "# API reference\n\nMade from the types by `patchset crds --markdown`. Fields without a default are absent unless they are set.\n",
    );
    for definition in definitions {
        for version in &definition.spec.versions {
            let names = &definition.spec.names;
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\n## {} (`{}/{}`)\n",
                names.kind, definition.spec.group, version.name
            );
            let Some(schema) = version
                .schema
                .as_ref()
                .and_then(|schema| schema.open_api_v3_schema.as_ref())
            else {
                continue;
            };
            let _ = writeln!(text, "\n{}", one_line(schema));
            for part in ["spec", "status"] {
                let Some(properties) = schema.properties.as_ref().and_then(|all| all.get(part)) else {
                    continue;
                };
                let _ = write!(
                    text,
                    "\n### {}.{part}\n\n| field | type | default | |\n| --- | --- | --- | --- |\n",
                    names.kind
                );
                rows(&mut text, "", properties);
            }
        }
    }
    text
}

fn rows(text: &mut String, path: &str, schema: &JSONSchemaProps) {
    let required = schema.required.clone().unwrap_or_default();
    // Kubernetes' own fields have their own reference and are not described here.
    let described = schema.properties.iter().flatten();
    for (name, property) in described.filter(|(_, property)| property.description.is_some()) {
        let here = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let star = if required.contains(name) { ", required" } else { "" };
        let default = property
            .default
            .as_ref()
            .map(|value| format!("`{}`", value.0))
            .unwrap_or_default();
        let about = [one_line(property), rules(property)].concat();
        let _ = writeln!(
            text,
            "| `{here}` | {}{star} | {default} | {about} |",
            type_of(property)
        );
        match &property.items {
            Some(JSONSchemaPropsOrArray::Schema(items)) => rows(text, &format!("{here}[]"), items),
            _ => rows(text, &here, property),
        }
    }
}

fn type_of(schema: &JSONSchemaProps) -> String {
    if let Some(values) = &schema.enum_ {
        let values: Vec<String> = values
            .iter()
            .filter_map(|value| value.0.as_str())
            .map(|value| format!("`{value}`"))
            .collect();
        return values.join(" or ");
    }
    match (&schema.type_, &schema.items) {
        (Some(_), Some(JSONSchemaPropsOrArray::Schema(items))) => format!("list of {}", type_of(items)),
        (Some(type_), _) => type_.clone(),
        (None, _) => "any".to_owned(),
    }
}

fn rules(schema: &JSONSchemaProps) -> String {
    let messages = schema
        .x_kubernetes_validations
        .iter()
        .flatten()
        .filter_map(|rule| rule.message.as_deref());
    messages
        .map(|message| format!(" *{}.*", message.replace('|', "\\|")))
        .collect::<Vec<_>>()
        .concat()
}

fn one_line(schema: &JSONSchemaProps) -> String {
    let text = schema.description.as_deref().unwrap_or_default();
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}
