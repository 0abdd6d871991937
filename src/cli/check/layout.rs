//! Reads the folders `patches/<component>/<release>`, `overrides/<release>` and
//! `releases/<release>`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::api::extra_packages::ExtraPackages;
use crate::api::source_refs::{SourceRefs, SourceRefsError};
use crate::cli::error::Error;
use crate::cli::input;
use crate::constraints::PackageName;

const REFS: &str = "source-refs.yaml";
const EXTRA: &str = "extra-packages.yaml";
const UPPER: &str = "upper-constraints.txt";
const OVERRIDES: &str = "constraints.txt";

/// Endings of files that may lie beside others: licences as REUSE keeps them.
const BESIDE: &str = "license";

/// What is wrong with the folder, besides patches that do not apply and overrides that need
/// attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub(super) enum FaultKind {
    /// A file or folder where none belongs: nothing reads it.
    StrayFile,
    /// Patches or packages for a component that the release does not build.
    UnknownComponent,
    /// Patches for a release without `source-refs.yaml`.
    ReleaseWithoutRefs,
    /// A `source-refs.yaml` that cannot be read, or a ref in it.
    InvalidRefs,
    /// An `extra-packages.yaml` that cannot be read.
    InvalidExtraPackages,
    /// A component's repository cannot be used, or lacks the ref.
    UpstreamUnavailable,
    /// Overrides for a release without `upper-constraints.txt`.
    OverridesWithoutConstraints,
    /// An `upper-constraints.txt` that cannot be read.
    InvalidConstraints,
    /// Overrides that cannot be read or merged.
    InvalidOverrides,
    /// A component is built from source, and the merged constraints pin it: pip and uv refuse that.
    StillPinned,
}

impl FaultKind {
    /// Whether it fails the check; the others need attention.
    pub(super) fn fails(self) -> bool {
        self != Self::StillPinned
    }
}

/// Something that is wrong with the folder.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct LayoutFault {
    pub(super) kind: FaultKind,
    /// The file or folder, relative to the root.
    pub(super) path: String,
    /// The line, where one line is to blame.
    pub(super) line: Option<usize>,
    pub(super) message: String,
}

/// What was asked for. Nothing named means everything.
#[derive(Debug)]
pub(super) struct Selection {
    components: BTreeSet<String>,
    releases: BTreeSet<String>,
}

impl Selection {
    pub(super) fn new(components: &[String], releases: &[String]) -> Self {
        Self {
            components: components.iter().map(|name| normal_name(name)).collect(),
            releases: releases.iter().cloned().collect(),
        }
    }

    /// Whether a component or package was asked for, under any spelling of PEP 503.
    pub(super) fn has_component(&self, name: &str) -> bool {
        self.components.is_empty() || self.components.contains(&normal_name(name))
    }

    /// Whether single components were asked for.
    pub(super) fn is_narrow(&self) -> bool {
        !self.components.is_empty()
    }

    fn has_release(&self, name: &str) -> bool {
        self.releases.is_empty() || self.releases.contains(name)
    }
}

fn normal_name(name: &str) -> String {
    name.parse::<PackageName>()
        .map_or_else(|_| name.to_owned(), |name| name.to_string())
}

/// The patches of a component at a release.
#[derive(Debug)]
pub(super) struct ComponentSeries {
    pub(super) component: String,
    pub(super) release: String,
    /// The folder, relative to the root.
    pub(super) path: String,
    /// The patches, in the order in which they apply.
    pub(super) patches: Vec<PathBuf>,
    /// The component's ref; `None` if it has none, which a fault says.
    pub(super) reference: Option<String>,
}

/// The files of a release.
#[derive(Debug, Default)]
pub(super) struct ReleaseFiles {
    pub(super) name: String,
    pub(super) refs: Option<SourceRefs>,
    /// `upper-constraints.txt`, with its path relative to the root.
    pub(super) upper: Option<(PathBuf, String)>,
    /// `constraints.txt`, with its path relative to the root.
    pub(super) overrides: Option<(PathBuf, String)>,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) releases: BTreeMap<String, ReleaseFiles>,
    pub(super) series: Vec<ComponentSeries>,
    pub(super) faults: Vec<LayoutFault>,
}

/// A folder and its name.
struct NamedFolder {
    path: PathBuf,
    name: String,
}

impl Layout {
    /// Reads what was asked for.
    ///
    /// # Errors
    ///
    /// Where the folder is not of this kind or cannot be read, or where something that was asked
    /// for is not there.
    pub(super) fn read(root: &Path, selection: &Selection) -> Result<Self, Error> {
        let has = |name: &str| root.join(name).is_dir();
        if !["patches", "overrides", "releases"].into_iter().any(has) {
            let shown = root.display();
            return Err(Error::Usage(if root.is_dir() {
                format!("{shown}: there is no folder patches, overrides or releases in it")
            } else {
                format!("{shown}: there is no such folder")
            }));
        }
        let mut layout = Self::default();
        let mut known = (BTreeSet::new(), BTreeSet::new());
        for place in folders(root, "releases", &mut Vec::new())? {
            known.1.insert(place.name.clone());
            if selection.has_release(&place.name) {
                layout.read_release(&place, selection)?;
            }
        }
        for release in layout.releases.values() {
            known.0.extend(
                release
                    .refs
                    .iter()
                    .flat_map(SourceRefs::components)
                    .map(normal_name),
            );
        }
        let mut faults = Vec::new();
        for place in folders(root, "overrides", &mut faults)? {
            known.1.insert(place.name.clone());
            if selection.has_release(&place.name) {
                layout.read_overrides(&place, selection)?;
            }
        }
        for component in folders(root, "patches", &mut faults)? {
            known.0.insert(normal_name(&component.name));
            for release in folders(&component.path, "", &mut faults)? {
                known.1.insert(release.name.clone());
                if selection.has_component(&component.name) && selection.has_release(&release.name) {
                    let shown = format!("patches/{}/{}", component.name, release.name);
                    layout.read_series(&component.name, &release, &shown)?;
                }
            }
        }
        if !selection.is_narrow() {
            layout.faults.append(&mut faults);
        }
        refuse_missing("--release", &selection.releases, &known.1)?;
        for release in layout.releases.values() {
            known.0.extend(pinned(release));
        }
        refuse_missing("--component", &selection.components, &known.0)?;
        Ok(layout)
    }

    fn fault(&mut self, kind: FaultKind, path: &str, message: impl Into<String>) {
        self.faults.push(LayoutFault {
            kind,
            path: path.to_owned(),
            line: None,
            message: message.into(),
        });
    }

    fn release(&mut self, name: &str) -> &mut ReleaseFiles {
        self.releases
            .entry(name.to_owned())
            .or_insert_with(|| ReleaseFiles {
                name: name.to_owned(),
                ..ReleaseFiles::default()
            })
    }

    fn read_release(&mut self, place: &NamedFolder, selection: &Selection) -> Result<(), Error> {
        let shown = |file: &str| format!("releases/{}/{file}", place.name);
        let mut release = ReleaseFiles {
            name: place.name.clone(),
            ..ReleaseFiles::default()
        };
        let refs = place.path.join(REFS);
        if refs.is_file() {
            let invalid = |layout: &mut Self, error: &SourceRefsError| {
                layout.fault(FaultKind::InvalidRefs, &shown(REFS), error.to_string());
            };
            match SourceRefs::parse(&input::read(&refs, input::LARGEST)?) {
                Ok(refs) => {
                    if refs.components().next().is_none() {
                        self.fault(FaultKind::InvalidRefs, &shown(REFS), "names no component");
                    }
                    for component in refs.components().filter(|name| selection.has_component(name)) {
                        if let Err(error) = refs.get(component) {
                            invalid(self, &error);
                        }
                    }
                    release.refs = Some(refs);
                }
                Err(error) => {
                    invalid(self, &error);
                    // Patches of this release are not told to lack a file that is there.
                    release.refs = Some(SourceRefs::default());
                }
            }
        }
        let extra = place.path.join(EXTRA);
        if extra.is_file() {
            self.read_extra(&extra, &shown(EXTRA), release.refs.as_ref(), selection)?;
        }
        let upper = place.path.join(UPPER);
        if upper.is_file() {
            release.upper = Some((upper, shown(UPPER)));
        }
        self.releases.insert(place.name.clone(), release);
        Ok(())
    }

    fn read_extra(
        &mut self,
        path: &Path,
        shown: &str,
        refs: Option<&SourceRefs>,
        selection: &Selection,
    ) -> Result<(), Error> {
        let bytes = input::read(path, input::LARGEST)?;
        let extra = match std::str::from_utf8(&bytes) {
            Err(_) => Err("is not UTF-8".to_owned()),
            Ok(text) => ExtraPackages::parse(text).map_err(|error| error.to_string()),
        };
        match extra {
            Err(message) => self.fault(FaultKind::InvalidExtraPackages, shown, message),
            Ok(extra) => {
                let Some(refs) = refs.filter(|refs| refs.components().next().is_some()) else {
                    return Ok(());
                };
                let known: BTreeSet<&str> = refs.components().collect();
                for component in extra.components().filter(|name| selection.has_component(name)) {
                    if !known.contains(component) {
                        self.fault(
                            FaultKind::UnknownComponent,
                            shown,
                            format!("{component} is not in {REFS} of the release"),
                        );
                    }
                }
            }
        }
        Ok(())
    }

    fn read_overrides(&mut self, place: &NamedFolder, selection: &Selection) -> Result<(), Error> {
        for path in input::entries(&place.path)? {
            let name = name_of(&path);
            let shown = format!("overrides/{}/{name}", place.name);
            if name == OVERRIDES && path.is_file() {
                let release = self.release(&place.name);
                if release.upper.is_none() {
                    self.fault(
                        FaultKind::OverridesWithoutConstraints,
                        &shown,
                        format!("there is no releases/{}/{UPPER} to merge them into", place.name),
                    );
                } else {
                    release.overrides = Some((path, shown));
                }
            } else if !is_tolerated(&path) && !selection.is_narrow() {
                self.fault(
                    FaultKind::StrayFile,
                    &shown,
                    format!("nothing reads it: overrides are in {OVERRIDES}"),
                );
            }
        }
        Ok(())
    }

    fn read_series(&mut self, component: &str, place: &NamedFolder, shown: &str) -> Result<(), Error> {
        let mut patches = Vec::new();
        for path in input::entries(&place.path)? {
            if input::is_patch(&path) && path.is_file() {
                patches.push(path);
            } else if !is_tolerated(&path) {
                self.fault(
                    FaultKind::StrayFile,
                    &format!("{shown}/{}", name_of(&path)),
                    "nothing reads it: patches are files that end in .patch",
                );
            }
        }
        // A folder without patches is a valid state, whatever the release.
        if patches.is_empty() {
            return Ok(());
        }
        let reference = self.reference(component, &place.name, shown);
        self.series.push(ComponentSeries {
            component: component.to_owned(),
            release: place.name.clone(),
            path: shown.to_owned(),
            patches,
            reference,
        });
        Ok(())
    }

    /// Returns the ref that a component is built from; adds a fault if it has none.
    fn reference(&mut self, component: &str, release: &str, shown: &str) -> Option<String> {
        let Some(refs) = self
            .releases
            .get(release)
            .and_then(|release| release.refs.as_ref())
        else {
            self.fault(
                FaultKind::ReleaseWithoutRefs,
                shown,
                format!("there is no releases/{release}/{REFS} that says which ref they are for"),
            );
            return None;
        };
        match refs.get(component) {
            Ok(reference) => return Some(reference.to_owned()),
            // Where the file cannot be read, or the ref in it, that was told already.
            Err(SourceRefsError::Absent { known, .. }) if !known.is_empty() => {
                let known = known.join(", ");
                self.fault(
                    FaultKind::UnknownComponent,
                    shown,
                    format!("{component} is not in releases/{release}/{REFS}, which has {known}"),
                );
            }
            Err(_) => {}
        }
        None
    }
}

/// The folders in a folder. Anything else there is a stray file.
fn folders(parent: &Path, name: &str, faults: &mut Vec<LayoutFault>) -> Result<Vec<NamedFolder>, Error> {
    let folder = if name.is_empty() {
        parent.to_owned()
    } else {
        parent.join(name)
    };
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let prefix = if name.is_empty() {
        format!("patches/{}", name_of(parent))
    } else {
        name.to_owned()
    };
    let mut places = Vec::new();
    for path in input::entries(&folder)? {
        let name = name_of(&path);
        let shown = format!("{prefix}/{name}");
        if path.is_dir() && !name.starts_with('.') {
            places.push(NamedFolder { path, name });
        } else if !is_tolerated(&path) {
            let belongs = match prefix.as_str() {
                "patches" => "patches are in patches/<component>/<release>",
                "overrides" => "overrides are in overrides/<release>/constraints.txt",
                _ => "patches are in a folder named after the release",
            };
            faults.push(LayoutFault {
                kind: FaultKind::StrayFile,
                path: shown,
                line: None,
                message: format!("nothing reads it: {belongs}"),
            });
        }
    }
    Ok(places)
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Files that lie beside others without being read: hidden ones, READMEs, licences.
fn is_tolerated(path: &Path) -> bool {
    let name = name_of(path);
    path.is_file()
        && (name.starts_with('.')
            || name.starts_with("README")
            || path.extension().is_some_and(|extension| extension == BESIDE))
}

/// The packages that a release's constraints or overrides name; nothing where they cannot be read.
fn pinned(release: &ReleaseFiles) -> Vec<String> {
    use crate::constraints::{ConstraintsFile, Overrides};
    let read = |file: &Option<(PathBuf, String)>| {
        let (path, _) = file.as_ref()?;
        input::read(path, input::LARGEST).ok()
    };
    let upper = read(&release.upper).and_then(|bytes| ConstraintsFile::parse(&bytes).ok());
    let overrides = read(&release.overrides).and_then(|bytes| Overrides::parse(&bytes).ok());
    let upper = upper
        .iter()
        .flat_map(ConstraintsFile::entries)
        .map(|entry| entry.name.to_string());
    let overrides = overrides
        .iter()
        .flat_map(Overrides::list)
        .map(|one| one.name.to_string());
    upper.chain(overrides).collect()
}

fn refuse_missing(option: &str, asked: &BTreeSet<String>, known: &BTreeSet<String>) -> Result<(), Error> {
    match asked.difference(known).next() {
        None => Ok(()),
        Some(name) => {
            let mut some: Vec<&str> = known.iter().map(String::as_str).take(20).collect();
            if known.len() > some.len() {
                some.push("…");
            }
            Err(Error::Usage(format!(
                "{option} {name}: there is none of that name; there is {}",
                some.join(", ")
            )))
        }
    }
}

impl ComponentSeries {
    /// What is to be checked of it; nothing without a ref, which a fault says.
    pub(super) fn task(&self, layout: &Layout, _root: &Path) -> Result<Option<super::series::SeriesTask>, LayoutFault> {
        let Some(reference) = &self.reference else { return Ok(None) };
        let mut patches = Vec::new();
        for path in &self.patches {
            match input::read(path, crate::patch::Limits::default().patch_bytes) {
                Ok(bytes) => patches.push(crate::patch::PatchInput { name: name_of(path), bytes }),
                Err(error) => return Err(LayoutFault { kind: FaultKind::UpstreamUnavailable, path: self.path.clone(), line: None, message: error.to_string() }),
            }
        }
        let refs = layout.releases.get(&self.release).and_then(|release| release.refs.as_ref());
        Ok(Some(super::series::SeriesTask {
            component: self.component.clone(),
            release: self.release.clone(),
            folder: self.path.clone(),
            reference: super::report::RefPlace {
                name: reference.clone(),
                path: format!("releases/{}/{REFS}", self.release),
                line: refs.and_then(|refs| refs.line(&self.component)),
            },
            files: patches.iter().map(|patch| format!("{}/{}", self.path, patch.name)).collect(),
            patches,
            baseline: super::series::Baseline::Ignored,
        }))
    }
}
