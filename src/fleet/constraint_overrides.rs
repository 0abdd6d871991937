//! The `ConstraintOverride`s of a repository.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use patchset_api::ConstraintOverride;
use patchset_api::patch_repository::{
    ConstraintsTemplate, GitRepositorySource, RequirementsSource, TemplateMetadata,
};
use patchset_api::schema::SchemaRules;
use serde_json::{Value, json};

use super::builder::FleetBuilder;
use super::cells::Cell;
use super::names::{TakenNames, object_name};
use super::patch_sets::{git_path, ref_of};
use super::selection::ReadingRules;
use super::variables::Variables;
use crate::layout::{FaultKind, RefTemplate};

/// What the API server asks of `ConstraintOverride`s, prepared once.
static SCHEMA: LazyLock<SchemaRules> = LazyLock::new(SchemaRules::new::<ConstraintOverride>);

/// Makes a `ConstraintOverride` for each release that has upper constraints. Returns their names by
/// the releases.
pub(super) fn make_constraint_overrides(
    builder: &mut FleetBuilder<'_>,
    cells: &[Cell<'_>],
    rules: &ReadingRules<'_>,
) -> BTreeMap<String, String> {
    let mut made = BTreeMap::new();
    let repository = builder.repository;
    let Some(template) = &repository.spec.constraints else {
        return made;
    };
    let Some(source) = &repository.spec.source.git else {
        return made;
    };
    let requirements_ref = match template
        .requirements
        .as_ref()
        .map(RequirementsSource::ref_template)
    {
        None => None,
        Some(text) => match text.parse::<RefTemplate>() {
            Ok(template) => Some(template),
            Err(error) => {
                let field = "spec.constraints.requirements.refTemplate";
                builder.reject_object("", "TemplateInvalid", field, error);
                return made;
            }
        },
    };
    let of_cells = cells.iter().map(|cell| cell.release);
    let of_folders = builder.layout.releases.keys().map(String::as_str);
    let releases: BTreeSet<&str> = of_cells.chain(of_folders).collect();
    let mut names = TakenNames::default();
    for release in releases {
        if !rules.selection().has_release(release) {
            continue;
        }
        let Some(upper) = upper_constraints(builder, source, release, requirements_ref.as_ref()) else {
            continue;
        };
        let Some(name) = object_name(&format!("constraints-{release}")) else {
            continue;
        };
        if let Err(other) = names.take(&name, release) {
            let message =
                format!("releases {other} and {release} both ask for ConstraintOverride {name}: rename one");
            builder.reject_object(
                &name,
                "NameCollision",
                &builder.path_in_repository(&format!("releases/{release}")),
                message,
            );
            continue;
        }
        let mut spec = json!({
            "release": release,
            "upperConstraints": { "git": upper },
            "overrides": overrides(builder, source, release),
            "interval": template.interval.as_ref().unwrap_or(&repository.spec.interval),
            "timeout": repository.spec.timeout,
        });
        if !template.built_from_source.is_empty() {
            spec["builtFromSource"] = json!(template.built_from_source);
        }
        match finish(template, release, &name, spec, &SCHEMA) {
            Err((field, message)) => builder.reject_object(&name, "TemplateInvalid", &field, message),
            Ok(mut object) => {
                builder.set_ownership(&mut object);
                made.insert(release.to_owned(), name);
                builder.desired.constraint_overrides.push(object);
            }
        }
    }
    made
}

/// Where a release's upper constraints are: in the repository, or else in the requirements'.
fn upper_constraints(
    builder: &FleetBuilder<'_>,
    source: &GitRepositorySource,
    release: &str,
    requirements_ref: Option<&RefTemplate>,
) -> Option<Value> {
    let folder = builder.layout.releases.get(release);
    if let Some(path) = folder.and_then(|folder| folder.upper.as_ref()) {
        return Some(git_path(source, &builder.path_in_repository(path)));
    }
    let template = builder.repository.spec.constraints.as_ref()?;
    let requirements = template.requirements.as_ref()?;
    let reference = requirements_ref?.reference("requirements", release);
    let RequirementsSource {
        url,
        secret_ref,
        proxy_secret_ref,
        ..
    } = requirements;
    Some(json!({
        "url": url, "ref": ref_of(&reference), "path": requirements.path(),
        "secretRef": secret_ref, "proxySecretRef": proxy_secret_ref,
    }))
}

/// Where a release's overrides are; an empty list where there are none.
fn overrides(builder: &FleetBuilder<'_>, source: &GitRepositorySource, release: &str) -> Value {
    let folder = builder.layout.releases.get(release);
    let found = folder.and_then(|folder| folder.overrides.clone());
    // The layout has them only next to upper constraints, and reports the others.
    let alone = || {
        let path = format!("overrides/{release}/");
        let mut faults = builder.layout.faults.iter();
        let fault = faults.find(|fault| {
            fault.kind == FaultKind::OverridesWithoutConstraints && fault.path.starts_with(&path)
        });
        fault.map(|fault| fault.path.clone())
    };
    match found.or_else(alone) {
        Some(path) => json!({ "git": git_path(source, &builder.path_in_repository(&path)) }),
        None => json!({ "entries": [] }),
    }
}

fn finish(
    template: &ConstraintsTemplate,
    release: &str,
    name: &str,
    mut spec: Value,
    schema: &SchemaRules,
) -> Result<ConstraintOverride, (String, String)> {
    super::merge::drop_nulls(&mut spec);
    let faults = schema.faults(&json!({ "metadata": { "name": name }, "spec": spec }));
    if let Some(fault) = faults.first() {
        return Err((
            "spec.constraints".to_owned(),
            format!("ConstraintOverride {name}: {fault}"),
        ));
    }
    let read = serde_json::from_value(spec).map_err(|error| {
        (
            "spec.constraints".to_owned(),
            format!("ConstraintOverride {name}: {error}"),
        )
    })?;
    let mut object = ConstraintOverride::new(name, read);
    if let Some(TemplateMetadata { labels, annotations }) = &template.metadata {
        let variables = Variables {
            component: "{component}",
            release,
            reference: "its release",
            version: None,
        };
        let field = "spec.constraints.metadata";
        object.metadata.labels = super::patch_sets::texts(labels, &variables, &format!("{field}.labels"))?;
        object.metadata.annotations =
            super::patch_sets::texts(annotations, &variables, &format!("{field}.annotations"))?;
    }
    Ok(object)
}
