//! `patchset source`: a patched tree as an image, for builders to take as a named context.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use foreign_text::printable_lines;
use git_apply_engine::{LayeredStore, Objects, Oid, Options as Engine, PatchReport, Sequence};
use git_mirrors::folder::Folder;
use git_mirrors::local::LocalRepository;
use image_references::{Digest, ImageReference};
use pep440_rs::Version;
use source_images::image::{About, Image, PatchId};
use source_images::layer::{self, Contents};
use source_images::python::{self, VersionFile};
use source_images::{Pushed, Registry};

use super::error::Error;
use super::output::print;
use super::patch_files;
use super::registry::RegistryOptions;
use super::style::{BOLD, DIM, ODD, plain};

/// Options of `patchset source`.
#[derive(Debug, Args)]
pub struct SourceOptions {
    /// The repository: a Git folder or a working tree. Without it, the first path is a plain folder
    /// to take the tree from
    #[arg(long, value_name = "GITDIR", requires = "revision")]
    repo: Option<PathBuf>,
    /// The revision that the patches are for, as `git rev-parse` reads it
    #[arg(long = "ref", value_name = "REV", requires = "repo")]
    revision: Option<String>,
    /// The component, for the labels
    #[arg(long, value_name = "NAME")]
    component: Option<String>,
    /// The release, for the labels
    #[arg(long, value_name = "RELEASE")]
    release: Option<String>,
    /// The upstream's address, for the labels
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The component's version (PEP 440), for packaging without Git [default: REV, if it is a tag
    /// that names one]
    #[arg(id = "component_version", long = "component-version", value_name = "VERSION")]
    version: Option<Version>,
    /// Push the image to this reference, unless it is there already
    #[arg(long, value_name = "IMAGE")]
    push: Option<ImageReference>,
    #[command(flatten)]
    registry: RegistryOptions,
    /// How to describe the image
    #[arg(long, value_enum, default_value = "text")]
    output: SourceOutput,
    /// Patches, or folders of them; - is standard input
    #[arg(value_name = "PATH", required_unless_present = "repo")]
    paths: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SourceOutput {
    /// Human-readable; with --push, only the pushed reference on standard output.
    Text,
    /// One JSON object.
    Json,
}

/// The JSON output. Other tools read it: fields may be added, not changed.
#[derive(serde::Serialize)]
struct SourceDocument<'a> {
    /// The image's digest: that of its manifest.
    digest: &'a Digest,
    tree: Oid,
    layer: &'a Digest,
    size: u64,
    version: Option<String>,
    labels: &'a std::collections::BTreeMap<String, String>,
    /// The image by its digest, where it was pushed.
    reference: Option<String>,
    /// Whether the registry had it before.
    existed: Option<bool>,
}

pub(super) fn run(options: &SourceOptions) -> Result<ExitCode, Error> {
    if let Some(repo) = &options.repo {
        let repository = LocalRepository::open(repo)?;
        let revision = options.revision.as_deref().unwrap_or("HEAD");
        let tree = repository.tree_of(revision)?;
        let named = repository.tag_of(revision).and_then(python::version_of_tag);
        // libgit2's repository is used by one thread at a time.
        let objects = Arc::new(SharedRepository(repository.into()));
        return make_image(options, objects, tree, named, &options.paths);
    }
    let Some((dir, patches)) = options.paths.split_first() else {
        return Err(Error::Usage(
            "say what to take: a folder, or --repo and --ref".to_owned(),
        ));
    };
    let folder = Folder::read(dir)?;
    let tree = folder.tree_id();
    make_image(options, Arc::new(folder), tree, None, patches)
}

/// A repository that threads take turns on.
struct SharedRepository(std::sync::Mutex<LocalRepository>);

impl SharedRepository {
    fn lock(&self) -> std::sync::MutexGuard<'_, LocalRepository> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Objects for SharedRepository {
    fn tree(&self, id: Oid) -> Result<Vec<git_apply_engine::TreeEntry>, git_apply_engine::ObjectError> {
        self.lock().tree(id)
    }

    fn blob(&self, id: Oid) -> Result<bytes::Bytes, git_apply_engine::ObjectError> {
        self.lock().blob(id)
    }

    fn blob_size(&self, id: Oid) -> Result<u64, git_apply_engine::ObjectError> {
        self.lock().blob_size(id)
    }
}

fn make_image(
    options: &SourceOptions,
    base: Arc<dyn Objects + Send + Sync>,
    tree: Oid,
    named: Option<Version>,
    patches: &[PathBuf],
) -> Result<ExitCode, Error> {
    let engine = Engine::default();
    let patches = patch_files::read_named(patches, engine.limits.patch_bytes)?;
    let series = git_apply_engine::apply(&*base, tree, &patches, Sequence::Stacked, &engine)?;
    if let Some(failing) = series.patches().iter().find(|report| !report.applies()) {
        tell_failure(failing);
        return Ok(ExitCode::from(1));
    }
    let mut layered = LayeredStore::over(base);
    let tree = series.write(&mut layered)?;
    let version = options.version.clone().or(named);
    let files = match python::version_file(&layered, tree, version.as_ref())? {
        VersionFile::NotNeeded => Vec::new(),
        VersionFile::Add(files) => files,
        VersionFile::Unknown { package } => {
            anstream::eprintln!(
                "{ODD}warning{ODD:#}: {} takes its version from Git, which is not in the image, and the revision is not a tag that names one: give it with --component-version",
                plain(&package)
            );
            Vec::new()
        }
    };
    let contents = Contents {
        tree: Some(tree),
        files,
    };
    let about = About {
        component: options.component.clone(),
        release: options.release.clone(),
        source: options.url.clone(),
        revision: options.revision.clone(),
        version: version.as_ref().map(ToString::to_string),
        tree: Some(tree.to_string()),
        patches: patches
            .iter()
            .map(|patch| PatchId::new(&patch.name, &patch.bytes))
            .collect(),
    };
    let image = Image::new(layer::measure(&layered, &contents)?, &about)?;
    let pushed = match &options.push {
        None => None,
        Some(reference) => {
            let (image, contents, objects) = (&image, &contents, Arc::new(layered));
            let push =
                |registry: Registry| async move { registry.push(reference, image, contents, objects).await };
            Some(options.registry.run(push)?)
        }
    };
    print_result(options.output, tree, &image, about.version, pushed.as_ref())?;
    Ok(ExitCode::SUCCESS)
}

fn tell_failure(report: &PatchReport) {
    anstream::eprintln!(
        "{BOLD}{}{BOLD:#} does not apply: {}\n{DIM}patchset apply says why{DIM:#}",
        plain(&report.name),
        plain(report.error.as_deref().unwrap_or_default())
    );
}

fn print_result(
    output: SourceOutput,
    tree: Oid,
    image: &Image,
    version: Option<String>,
    pushed: Option<&Pushed>,
) -> Result<(), Error> {
    if output == SourceOutput::Json {
        let mut text = serde_json::to_vec(&SourceDocument {
            digest: image.digest(),
            tree,
            layer: &image.layer.digest,
            size: image.layer.size,
            version,
            labels: &image.labels,
            reference: pushed.map(|pushed| pushed.reference.to_string()),
            existed: pushed.map(|pushed| pushed.existed),
        })?;
        text.push(b'\n');
        return print(&text);
    }
    let Some(Pushed { reference, existed }) = pushed else {
        let mut text = format!(
            "image  {}\nlayer  {} ({} bytes)\ntree   {tree}\n",
            image.digest(),
            image.layer.digest,
            image.layer.size
        );
        for (key, value) in &image.labels {
            text.extend(["label  ", key, "=", &printable_lines(value), "\n"]);
        }
        return print(text.as_bytes());
    };
    if *existed {
        anstream::eprintln!("{DIM}the registry already has it{DIM:#}");
    }
    print(format!("{reference}\n").as_bytes())
}
