//! The `PatchSet`s of a repository.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use patchset_api::patch_repository::{GitRepositorySource, UpstreamOverride};
use patchset_api::patch_set::Level;
use patchset_api::patch_set_template::PATCH_SET_SPEC;
use patchset_api::schema::SchemaRules;
use patchset_api::{LayoutKind, PatchSet};
use serde_json::{Value, json};
use source_images::python::version_of_tag;

use super::builder::FleetBuilder;
use super::cells::Cell;
use super::error::FleetError;
use super::merge::{drop_nulls, lay_over};
use super::names::{TakenNames, object_name};
use super::template::MergedTemplate;
use super::variables::{VariableFault, Variables};

/// What the API server requires of `PatchSet`s. Preparing it takes as long as checking about a
/// hundred objects.
static SCHEMA: LazyLock<SchemaRules> = LazyLock::new(SchemaRules::new::<PatchSet>);

/// The prefix that says that a ref is a tag.
const TAGS: &str = "refs/tags/";
/// The prefix that says that it is a branch.
const BRANCHES: &str = "refs/heads/";
/// The fewest digits of a commit that is named by itself.
const COMMIT_DIGITS: usize = 7;
/// The most bytes of JSON of all `PatchSet`s of one repository.
const LARGEST: usize = 32 << 20;
/// The longest value of a label.
const LONGEST_LABEL: usize = 63;

/// The field that is wrong, and what is wrong with it.
type Refusal = (String, String);

/// Makes the `PatchSet`s; `constraints` has the names of the `ConstraintOverride`s, by release.
///
/// # Errors
///
/// Where they are too large together.
pub(super) fn make_patch_sets(
    builder: &mut FleetBuilder<'_>,
    cells: &[Cell<'_>],
    constraints: &BTreeMap<String, String>,
) -> Result<(), FleetError> {
    let names = names(builder, cells);
    let mut libraries: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (cell, name) in cells.iter().zip(&names) {
        if let (Level::Library, Some(name)) = (cell.level, name) {
            libraries
                .entry(cell.release)
                .or_default()
                .push(json!({ "name": name }));
        }
    }
    let mut size = 0;
    for (cell, name) in cells.iter().zip(&names) {
        let Some(name) = name else {
            continue;
        };
        let surroundings = Surroundings {
            libraries: libraries.get(cell.release).map_or(&[], Vec::as_slice),
            constraints: constraints.get(cell.release).map(String::as_str),
        };
        let maker = PatchSetMaker {
            builder,
            cell,
            surroundings,
            schema: &SCHEMA,
        };
        match maker.make(name) {
            Err((field, message)) => {
                let message = format!("PatchSet {name}: {message}");
                builder.reject_object(name, "TemplateInvalid", &field, message);
            }
            Ok((mut object, bytes)) => {
                size += bytes;
                if size > LARGEST {
                    return Err(FleetError::TooLarge { limit: LARGEST });
                }
                builder.set_ownership(&mut object);
                builder.desired.patch_sets.push(object);
            }
        }
    }
    Ok(())
}

/// The names of cells, in their order. Of two that ask for the same name, the one spelled exactly
/// like it has it, or else the first.
fn names(builder: &mut FleetBuilder<'_>, cells: &[Cell<'_>]) -> Vec<Option<String>> {
    let mut taken = TakenNames::default();
    let asked: Vec<(String, Option<String>)> = cells
        .iter()
        .map(|cell| format!("{}-{}", cell.component, cell.release))
        .map(|text| (text.clone(), object_name(&text)))
        .collect();
    let exact: BTreeMap<&str, String> = cells
        .iter()
        .zip(&asked)
        .filter(|(_, (text, name))| name.as_ref() == Some(text))
        .map(|(cell, (text, _))| (text.as_str(), cell.describe()))
        .collect();
    let mut names = Vec::new();
    for (cell, (text, name)) in cells.iter().zip(&asked) {
        let folder = cell.series.map_or(cell.refs_path, |series| Some(&series.folder));
        let folder = builder.path_in_repository(folder.unwrap_or_default());
        let Some(name) = name else {
            let message = format!("{} does not give a valid PatchSet name", cell.describe());
            builder.reject_object(text, "NameCollision", &folder, message);
            names.push(None);
            continue;
        };
        let before = match exact.get(name.as_str()).filter(|_| name != text) {
            Some(other) => Err(other.clone()),
            None => taken.take(name, &cell.describe()),
        };
        if let Err(other) = before {
            let message = format!(
                "{} and {other} both ask for PatchSet {name}: rename one, or exclude it with components.exclude",
                cell.describe()
            );
            builder.reject_object(text, "NameCollision", &folder, message);
            names.push(None);
            continue;
        }
        names.push(Some(name.clone()));
    }
    names
}

/// What a service of a release is built with.
#[derive(Clone, Copy)]
struct Surroundings<'a> {
    libraries: &'a [Value],
    constraints: Option<&'a str>,
}

struct PatchSetMaker<'a> {
    builder: &'a FleetBuilder<'a>,
    cell: &'a Cell<'a>,
    surroundings: Surroundings<'a>,
    schema: &'a SchemaRules,
}

impl PatchSetMaker<'_> {
    /// Makes the object, and says how many bytes of JSON its spec has.
    fn make(&self, name: &str) -> Result<(PatchSet, usize), Refusal> {
        let cell = self.cell;
        let reference = self.reference();
        let version = version_of_ref(&reference);
        let variables = Variables {
            component: cell.component,
            release: cell.release,
            reference: &reference,
            version: version.as_deref(),
        };
        let MergedTemplate {
            mut spec,
            labels,
            annotations,
        } = self
            .builder
            .templates
            .merged(cell.component, cell.release, cell.level);
        variables.fill(&mut spec, "spec").map_err(in_template)?;
        self.complete_build(&mut spec);
        let mut whole = json!({
            "component": cell.component,
            "release": cell.release,
            "level": cell.level,
            "upstream": self.upstream(&reference)?,
            "patches": self.patches(),
            "upkeep": self.builder.repository.spec.upkeep,
        });
        lay_over(&mut whole, &spec, &PATCH_SET_SPEC);
        self.lay_over_own(&mut whole);
        drop_nulls(&mut whole);
        let object = json!({ "metadata": { "name": name }, "spec": whole });
        if let Some(fault) = self.schema.faults(&object).first() {
            return Err(in_template(VariableFault {
                field: fault.field.clone(),
                message: fault.message.clone(),
            }));
        }
        let bytes = serde_json::to_vec(&whole).map_or(0, |json| json.len());
        let read = serde_json::from_value(whole)
            .map_err(|error| ("spec.template.spec".to_owned(), error.to_string()))?;
        let mut made = PatchSet::new(name, read);
        let field = "spec.template.metadata";
        made.metadata.labels = texts(&labels, &variables, &format!("{field}.labels"))?;
        made.metadata.annotations = texts(&annotations, &variables, &format!("{field}.annotations"))?;
        Ok((made, bytes))
    }

    /// The ref that the component is built from.
    fn reference(&self) -> String {
        let of_series = self.cell.series.and_then(|series| series.reference.clone());
        let of_file = || {
            let folder = self.builder.layout.releases.get(self.cell.release)?;
            let refs = &folder.refs.as_ref()?.refs;
            refs.get(self.cell.component).ok().map(ToOwned::to_owned)
        };
        of_series.or_else(of_file).unwrap_or_default()
    }

    fn upstream_override(&self) -> Option<&UpstreamOverride> {
        let overrides = &self.builder.repository.spec.upstream.overrides;
        overrides
            .iter()
            .find(|one| one.component.0 == self.cell.component)
    }

    fn upstream(&self, reference: &str) -> Result<Value, Refusal> {
        let upstream = &self.builder.repository.spec.upstream;
        let own = self.upstream_override().and_then(|own| own.url.clone());
        let url = match own {
            Some(url) => url,
            None => self.url_by_template()?,
        };
        let mut made = json!({
            "url": url,
            "secretRef": upstream.secret_ref,
            "proxySecretRef": upstream.proxy_secret_ref,
            "commitUrlTemplate": upstream
                .commit_url_template
                .as_ref()
                .map(|template| template.replace("{component}", self.cell.component)),
        });
        match self.cell.refs_path {
            Some(path) => made["refFrom"] = json!({ "path": self.builder.path_in_repository(path) }),
            None => made["ref"] = ref_of(reference),
        }
        Ok(made)
    }

    fn url_by_template(&self) -> Result<String, Refusal> {
        let field = "spec.upstream.urlTemplate";
        let Some(template) = &self.builder.repository.spec.upstream.url_template else {
            return Err((
                "spec.upstream.overrides".to_owned(),
                format!("no url for {}: name one, or set urlTemplate", self.cell.component),
            ));
        };
        let organisation = self.cell.series.and_then(|series| series.organisation.as_deref());
        if template.contains("{org}") && organisation.is_none() {
            return Err((
                field.to_owned(),
                "asks for {org}, but no folder names it: only the layout OrgComponent has it".to_owned(),
            ));
        }
        let mut url = String::new();
        let mut rest = template.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, tail) = after.split_once('}').unwrap_or((after, ""));
            url.push_str(before);
            url.push_str(match name {
                "component" => self.cell.component,
                "release" => self.cell.release,
                "org" => organisation.unwrap_or_default(),
                other => {
                    return Err((
                        field.to_owned(),
                        format!("{{{other}}} is unknown; there are {{component}}, {{release}} and {{org}}"),
                    ));
                }
            });
            rest = tail;
        }
        url.push_str(rest);
        Ok(url)
    }

    fn patches(&self) -> Value {
        let source = &self.builder.repository.spec.source;
        let folder = self.folder();
        let own = self.upstream_override();
        let mut made = json!({
            "strip": own.and_then(|own| own.strip),
            "directory": own.and_then(|own| own.directory.clone()),
        });
        if let Some(git) = &source.git {
            made["git"] = git_path(git, &folder);
        }
        if let Some(reference) = &source.source_ref {
            made["sourceRef"] = json!(reference);
            made["path"] = json!(folder);
        }
        made
    }

    /// The folder with the patches, even if it does not exist yet: an absent one has none.
    fn folder(&self) -> String {
        let Cell {
            component, release, ..
        } = self.cell;
        let folder = match self.cell.series {
            Some(series) => series.folder.clone(),
            None => match self.builder.layout.kind {
                LayoutKind::Auto | LayoutKind::ComponentRelease => format!("patches/{component}/{release}"),
                LayoutKind::ReleaseComponent => format!("patches/{release}/{component}"),
                LayoutKind::OrgComponent | LayoutKind::SingleComponent => format!("patches/{component}"),
                LayoutKind::DebianPatches => "debian/patches".to_owned(),
            },
        };
        self.builder.path_in_repository(&folder)
    }

    /// Adds what the repository has for an image, unless the template sets it.
    fn complete_build(&self, spec: &mut Value) {
        if self.cell.level == Level::Library {
            return;
        }
        let Some(build) = spec.get_mut("build").and_then(Value::as_object_mut) else {
            return;
        };
        if !build.get("image").is_some_and(Value::is_object) {
            return;
        }
        let (builder, cell) = (self.builder, self.cell);
        if let Some(git) = &builder.repository.spec.source.git
            && builder.layout.images.contains(cell.component)
        {
            let path = builder.path_in_repository(&format!("images/{}", cell.component));
            let dockerfile = build.entry("dockerfile").or_insert_with(|| json!({}));
            // Anything else that a template says of it, such as its stage, is for this folder.
            if let Value::Object(dockerfile) = dockerfile
                && ["git", "configMap", "inline"]
                    .iter()
                    .all(|place| !dockerfile.contains_key(*place))
            {
                dockerfile.insert("git".to_owned(), git_path(git, &path));
            }
        }
        let folder = builder.layout.releases.get(cell.release);
        if let Some(path) = folder.and_then(|folder| folder.extra.as_ref()) {
            build
                .entry("extraPackagesFrom")
                .or_insert_with(|| json!({ "path": builder.path_in_repository(path) }));
        }
    }

    /// Lays over what goes beyond a template: the settings of single components, and what services
    /// with an image are built with.
    fn lay_over_own(&self, spec: &mut Value) {
        if let Some(own) = self.upstream_override() {
            if let Some(secret) = &own.secret_ref {
                spec["upstream"]["secretRef"] = json!(secret);
            }
            if let Some(strip) = own.strip {
                spec["patches"]["strip"] = json!(strip);
            }
            if let Some(directory) = &own.directory {
                spec["patches"]["directory"] = json!(directory);
            }
        }
        let has_image = spec.pointer("/build/image").is_some_and(Value::is_object);
        if self.cell.level == Level::Library || !has_image {
            return;
        }
        let Surroundings {
            libraries,
            constraints,
        } = self.surroundings;
        let mut with = json!({ "libraries": libraries });
        if let Some(name) = constraints {
            with["constraints"] = json!({ "name": name });
        }
        let Value::Object(with) = &mut with else {
            return;
        };
        // What a template says wins, and a null leaves them out.
        for (name, value) in std::mem::take(with) {
            match spec.get(&name) {
                Some(Value::Array(own)) => {
                    let mut list = value;
                    let own = Value::Array(own.clone());
                    let schema = PATCH_SET_SPEC.pointer(&format!("/properties/{name}"));
                    lay_over(&mut list, &own, schema.unwrap_or(&Value::Null));
                    spec[name] = list;
                }
                Some(_) => {}
                None => spec[name] = value,
            }
        }
        if spec.get("libraries").is_some_and(|list| list == &json!([])) {
            spec["libraries"] = Value::Null;
        }
    }
}

/// A fault in a field of a `PatchSet`, reported at the template that it comes from.
fn in_template(fault: VariableFault) -> Refusal {
    let VariableFault { field, message } = fault;
    (format!("spec.template.{field}"), message)
}

/// A file or folder of the repository.
pub(super) fn git_path(source: &GitRepositorySource, path: &str) -> Value {
    let GitRepositorySource {
        url,
        ref_,
        verify,
        secret_ref,
        proxy_secret_ref,
    } = source;
    json!({
        "url": url, "ref": ref_, "path": path, "verify": verify,
        "secretRef": secret_ref, "proxySecretRef": proxy_secret_ref,
    })
}

/// A ref by its name: a branch, unless it says that it is a tag.
pub(super) fn ref_of(reference: &str) -> Value {
    match reference.strip_prefix(TAGS) {
        Some(tag) => json!({ "tag": tag }),
        None => json!({ "branch": reference.strip_prefix(BRANCHES).unwrap_or(reference) }),
    }
}

/// The version that a ref names; `None` for a branch or commit.
fn version_of_ref(reference: &str) -> Option<String> {
    let tag = reference.strip_prefix(TAGS).unwrap_or(reference);
    let is_commit = tag.len() >= COMMIT_DIGITS && tag.chars().all(|c| c.is_ascii_hexdigit());
    if tag.contains('/') || is_commit {
        return None;
    }
    version_of_tag(tag).map(|version| version.to_string())
}

/// Labels or annotations with their variables filled in; `None` if there are none.
pub(super) fn texts(
    texts: &BTreeMap<String, Option<String>>,
    variables: &Variables<'_>,
    field: &str,
) -> Result<Option<BTreeMap<String, String>>, Refusal> {
    let mut filled = BTreeMap::new();
    for (key, text) in texts {
        let Some(text) = text else {
            continue;
        };
        let field = format!("{field}.{key}");
        let text = variables
            .filled(text, &field)
            .map_err(|fault| (fault.field, fault.message))?
            .unwrap_or_else(|| text.clone());
        if field.contains(".labels.") && !is_label_value(&text) {
            return Err((
                field,
                format!(
                    "{text:?} is not a valid label value: use letters, digits, '-', '_' and '.', at most {LONGEST_LABEL}, the first and last a letter or digit"
                ),
            ));
        }
        filled.insert(key.clone(), text);
    }
    Ok((!filled.is_empty()).then_some(filled))
}

fn is_label_value(text: &str) -> bool {
    let is_end = |c: char| c.is_ascii_alphanumeric();
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.is_empty()
        || (text.len() <= LONGEST_LABEL
            && text.starts_with(is_end)
            && text.ends_with(is_end)
            && text.chars().all(is_inside))
}
