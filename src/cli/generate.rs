//! `patchset generate`: the objects that a `PatchRepository` would make of a repository's folders,
//! for teams that keep them in Git.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use git_mirrors::local::LocalRepository;
use patchset_api::patch_repository::RepositoryFault;
use patchset_api::schema::faults;
use patchset_api::{GROUP, LayoutKind, PatchRepository, VERSION, yaml};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::Error;
use super::input;
use super::layout_options::LayoutArguments;
use super::local_files::LocalFolder;
use super::output::print;
use crate::fleet::{DesiredObjects, FleetError, ReadingRules, desired_objects, fails_a_check};
use crate::layout::RepositoryLayout;

/// The largest manifest or template, in bytes.
const LARGEST: u64 = 4 << 20;

/// Options of `patchset generate`.
#[derive(Debug, Args)]
pub struct GenerateOptions {
    /// The repository's folder: its root, or the folder that holds it all
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Make what the PatchRepository in this file would; "-" is standard input
    ///
    /// A file of YAML or JSON documents. Without it, the other options say what the objects are.
    #[arg(long, value_name = "FILE")]
    repository: Option<PathBuf>,
    /// The PatchRepository of this name; if options describe the objects, the value of their label
    /// [default: the only one; the last part of --source-url]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The namespace of the objects [default: that of the PatchRepository]
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    #[command(flatten)]
    made: MadeRepository,
    #[command(flatten)]
    layout: LayoutArguments,
}

/// What stands in for a PatchRepository that is not given.
#[derive(Debug, Args)]
struct MadeRepository {
    /// The address from which the cluster reads the repository [default: that of the checkout's
    /// origin]
    #[arg(long, value_name = "URL", conflicts_with = "repository")]
    source_url: Option<String>,
    /// The Secret with credentials for that address
    #[arg(long, value_name = "NAME", conflicts_with = "repository")]
    source_secret: Option<String>,
    /// The address of a component's upstream, with {component} in it
    #[arg(
        long,
        value_name = "TEMPLATE",
        required_unless_present = "repository",
        conflicts_with = "repository"
    )]
    upstream_url_template: Option<String>,
    /// Only components of this name; "*" matches any text. May be repeated
    #[arg(long, value_name = "PATTERN", conflicts_with = "repository")]
    component: Vec<String>,
    /// Only releases of this name; "*" matches any text. May be repeated
    #[arg(long, value_name = "PATTERN", conflicts_with = "repository")]
    release: Vec<String>,
    /// A component that is a library. May be repeated [default: those with patches and no
    /// images/<component>]
    #[arg(long, value_name = "NAME", conflicts_with = "repository")]
    library: Vec<String>,
    /// A file with what else the PatchSets have: metadata and spec, as in spec.template of a
    /// PatchRepository
    #[arg(long, value_name = "FILE", conflicts_with = "repository")]
    template: Option<PathBuf>,
    /// Also make a ConstraintOverride for each release
    #[arg(long, conflicts_with = "repository")]
    constraints: bool,
}

pub(super) fn run(options: &GenerateOptions) -> Result<ExitCode, Error> {
    let found = LocalFolder::open(&options.folder)?;
    let checkout = LocalRepository::open(found.files.root()).ok();
    let branch = options
        .layout
        .branch()
        .map(ToOwned::to_owned)
        .or_else(|| checkout.as_ref()?.branch());
    let mut repository = if let Some(path) = &options.repository {
        read_repository(path, options.name.as_deref())?
    } else {
        let origin = || checkout.as_ref()?.origin();
        let url = options.made.source_url.clone().or_else(origin).ok_or_else(|| {
            Error::Usage("say with --source-url where the cluster reads the repository".to_owned())
        })?;
        make_repository(options, &url, &found.path, branch.as_deref())?
    };
    if options.namespace.is_some() {
        repository.metadata.namespace.clone_from(&options.namespace);
    }
    let of_spec = repository.spec.source.git.as_ref();
    let of_spec = of_spec.and_then(|git| git.ref_.as_ref()?.branch.clone());
    let branch = options
        .layout
        .branch()
        .map(ToOwned::to_owned)
        .or(of_spec)
        .or(branch);
    let rules = ReadingRules::new(&repository.spec).map_err(|error| in_repository(&error))?;
    let mut reading = rules.options(branch.as_deref());
    // The folder is the repository's root, even inside a larger checkout.
    let directory = if options.repository.is_some() {
        format!("{}/{}", found.path, reading.directory)
    } else {
        found.path.clone()
    };
    reading.directory = &directory;
    let layout = RepositoryLayout::read(&found.files, &reading)?;
    let desired = desired_objects(&repository, &layout).map_err(|error| in_repository(&error))?;
    print(render(&desired)?.as_bytes())?;
    Ok(print_faults(&desired))
}

fn in_repository(error: &FleetError) -> Error {
    Error::Usage(format!("PatchRepository: {error}"))
}

/// Reports what is wrong, and returns the exit status for it.
fn print_faults(desired: &DesiredObjects) -> ExitCode {
    for RepositoryFault {
        kind,
        path,
        line,
        message,
    } in &desired.faults
    {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        let text = format!("{kind}: {path}{line}: {message}");
        anstream::eprintln!("{}", foreign_text::printable_lines(&text));
    }
    anstream::eprintln!(
        "{} PatchSets, {} ConstraintOverrides, {} faults",
        desired.patch_sets.len(),
        desired.constraint_overrides.len(),
        desired.faults.len()
    );
    if desired.faults.iter().any(fails_a_check) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// The objects as YAML documents, without their owner: nothing owns what a team keeps in Git.
fn render(desired: &DesiredObjects) -> Result<String, Error> {
    let mut text = String::new();
    for object in &desired.constraint_overrides {
        let mut object = object.clone();
        object.metadata.owner_references = None;
        // Writing to a string does not fail.
        let _ = write!(text, "---\n{}", serde_saphyr::to_string(&object)?);
    }
    for object in &desired.patch_sets {
        let mut object = object.clone();
        object.metadata.owner_references = None;
        let _ = write!(text, "---\n{}", serde_saphyr::to_string(&object)?);
    }
    Ok(text)
}

/// The YAML documents of a file.
fn documents(path: &Path) -> Result<Vec<Value>, Error> {
    let shown = path.display();
    let bytes = input::read(path, LARGEST)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::Usage(format!("{shown} is larger than {LARGEST} bytes")));
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| Error::Usage(format!("{shown} is not UTF-8: {error}")))?;
    serde_saphyr::from_multiple(text)
        .map_err(|error| Error::Usage(format!("{shown} is not YAML: {}", yaml::fault(&error))))
}

/// Reads the PatchRepository of a file: that of this name, or the only one.
fn read_repository(path: &Path, name: Option<&str>) -> Result<PatchRepository, Error> {
    let shown = path.display();
    let mut found = BTreeMap::new();
    for document in documents(path)? {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
        if text("/kind") != Some("PatchRepository") {
            continue;
        }
        let own = text("/metadata/name").unwrap_or_default().to_owned();
        if own.is_empty() {
            return Err(Error::Usage(format!("{shown}: a PatchRepository has no name")));
        }
        let ours = format!("{GROUP}/{VERSION}");
        if text("/apiVersion") != Some(&ours) {
            return Err(Error::Usage(format!(
                "{shown}: PatchRepository {own}: apiVersion should be {ours}"
            )));
        }
        if found.insert(own.clone(), document).is_some() {
            return Err(Error::Usage(format!(
                "{shown}: PatchRepository {own} occurs twice"
            )));
        }
    }
    let names: Vec<String> = found.keys().cloned().collect();
    let chosen = match (name, found.len()) {
        (Some(name), _) => found.remove(name),
        (None, 1) => found.pop_first().map(|(_, document)| document),
        (None, _) => None,
    };
    let Some(document) = chosen else {
        let there = match names.as_slice() {
            [] => "there is none".to_owned(),
            names => format!("there are {}: choose one with --name", names.join(", ")),
        };
        return Err(Error::Usage(match name {
            Some(name) => format!("{shown}: no PatchRepository {name}; {there}"),
            None => format!("{shown}: one PatchRepository is needed; {there}"),
        }));
    };
    accept(document).map_err(|message| Error::Usage(format!("{shown}: {message}")))
}

/// Reads an object as the API server would.
fn accept<K: DeserializeOwned + kube::CustomResourceExt>(document: Value) -> Result<K, String> {
    if let Some(fault) = faults::<K>(&document).first() {
        return Err(fault.to_string());
    }
    serde_json::from_value(document).map_err(|error| error.to_string())
}

/// Makes a PatchRepository from options.
fn make_repository(
    options: &GenerateOptions,
    url: &str,
    directory: &str,
    branch: Option<&str>,
) -> Result<PatchRepository, Error> {
    let made = &options.made;
    let last = url
        .trim_end_matches('/')
        .rsplit(['/', ':'])
        .next()
        .unwrap_or_default();
    let name = options.name.as_deref().unwrap_or(last.trim_end_matches(".git"));
    let template = match &made.template {
        None => Value::Null,
        Some(path) => documents(path)?.into_iter().next().unwrap_or_default(),
    };
    let layout: LayoutKind = options.layout.kind();
    let mut spec = json!({
        "source": { "git": { "url": url } },
        "layout": layout,
        "upstream": { "urlTemplate": made.upstream_url_template },
        "components": { "include": made.component },
        "releases": { "include": made.release },
        "template": template,
    });
    if let Some(branch) = branch {
        spec["source"]["git"]["ref"] = json!({ "branch": branch });
    }
    if let Some(secret) = &made.source_secret {
        spec["source"]["git"]["secretRef"] = json!({ "name": secret });
    }
    if let Some(template) = options.layout.ref_template() {
        spec["upstream"]["refTemplate"] = json!(template.to_string());
    }
    if !directory.is_empty() {
        spec["directory"] = json!(directory);
    }
    let names_it = |name: &str| {
        name.chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let has_folders = matches!(
        layout,
        LayoutKind::ComponentRelease | LayoutKind::ReleaseComponent | LayoutKind::OrgComponent
    );
    // The one component that a repository is for, where no folder names it.
    if let [component] = made.component.as_slice()
        && names_it(component)
        && !has_folders
    {
        spec["component"] = json!(component);
    }
    if !made.library.is_empty() {
        spec["libraries"] = json!(made.library);
    }
    if made.constraints {
        spec["constraints"] = json!({});
    }
    let object = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "PatchRepository",
        "metadata": { "name": name },
        "spec": spec,
    });
    accept(object).map_err(|message| {
        Error::Usage(format!(
            "the options make a PatchRepository that the API server would refuse: {message}"
        ))
    })
}
