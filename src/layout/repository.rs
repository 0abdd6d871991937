//! A whole repository: its releases, and the patches of each component at each of them.

use std::collections::{BTreeMap, BTreeSet};

use patchset_api::LayoutKind;
use patchset_api::extra_packages::ExtraPackages;
use patchset_api::source_refs::{SourceRefs, SourceRefsError};
use upper_constraints::{ConstraintsFile, Overrides};

use super::auto;
use super::fault::{FaultKind, LayoutError, LayoutFault};
use super::files::{FileKind, RepositoryFiles};
use super::links::{FolderWalk, FoundAt};
use super::ref_template::{RefTemplate, release_of_branch};
use super::release_folder::{EXTRA, OVERRIDES, REFS, ReleaseFolder, ReleaseRefs, UPPER};
use super::selection::{Selection, normal_name};
use super::series::{Series, SeriesOrder, folders_in, is_ignored};

/// The most bytes of a file that says something about a release.
const LARGEST_FILE: u64 = 64 << 20;

/// The most faults that are reported for one repository.
const MOST_FAULTS: usize = 10_000;

/// What is read of a repository, and how.
#[derive(Clone, Copy, Debug)]
pub struct LayoutOptions<'a> {
    /// How it arranges its patches.
    pub kind: LayoutKind,
    /// The folder of the repository that holds it all; its root where empty.
    pub directory: &'a str,
    /// The branch, where it says which release the patches are for.
    pub branch: Option<&'a str>,
    /// The component, where no folder says which one the patches are for.
    pub component: Option<&'a str>,
    /// Which ref a component is built from, where no `source-refs.yaml` says it.
    pub ref_template: Option<&'a RefTemplate>,
    /// What is asked for.
    pub selection: &'a Selection,
}

/// What a repository holds. Paths are relative to the folder that holds it all.
#[derive(Clone, Debug)]
pub struct RepositoryLayout {
    /// How it arranges its patches; never `Auto`.
    pub kind: LayoutKind,
    /// Its releases, by their names.
    pub releases: BTreeMap<String, ReleaseFolder>,
    /// The folders for patches, including those without any.
    pub series: Vec<ComponentSeries>,
    /// The components that have a folder `images/<component>`.
    pub images: BTreeSet<String>,
    /// What is wrong.
    pub faults: Vec<LayoutFault>,
}

/// What is wrong with what is there and cannot be read, so that it is not taken for absent.
const LEADS_NOWHERE: &str = "it is neither a file or folder, nor a link to one in the repository";

/// The patches of a component at a release.
#[derive(Clone, Debug)]
pub struct ComponentSeries {
    /// The component.
    pub component: String,
    /// The release.
    pub release: String,
    /// The folder above the component on its server, where the layout has it.
    pub organisation: Option<String>,
    /// The folder.
    pub folder: String,
    /// What is in it.
    pub series: Series,
    /// The ref that the component is built from; `None` if it has none, which a fault says where
    /// there are patches.
    pub reference: Option<String>,
}

impl ComponentSeries {
    /// The series as changes leave it. `directory` is the folder that the layout was read from.
    ///
    /// # Errors
    ///
    /// Where its folder cannot be read.
    pub fn read_again(&self, files: &dyn RepositoryFiles, directory: &str) -> Result<Self, LayoutError> {
        let folder = match (directory, self.folder.as_str()) {
            ("" | ".", folder) => folder.to_owned(),
            (directory, folder) => format!("{directory}/{folder}"),
        };
        let mut series = Series::read(files, &folder)?.unwrap_or_else(|| Series {
            patches: Vec::new(),
            faults: Vec::new(),
            ..self.series.clone()
        });
        // The path of the order's file stays relative to the directory, as it is reported.
        series.order = self.series.order.clone();
        Ok(Self {
            series,
            ..self.clone()
        })
    }
}

/// A folder, and what its patches are for.
struct SeriesFolder {
    component: String,
    release: String,
    organisation: Option<String>,
    folder: String,
}

impl<'a> LayoutOptions<'a> {
    /// Detects the layout, and takes the repository's root.
    #[must_use]
    pub fn new(selection: &'a Selection) -> Self {
        Self {
            kind: LayoutKind::Auto,
            directory: "",
            branch: None,
            component: None,
            ref_template: None,
            selection,
        }
    }
}

impl RepositoryLayout {
    /// Reads what is asked for.
    ///
    /// # Errors
    ///
    /// If the folders are of no kind, or may be of several; if something that is asked for by name
    /// does not exist; if the files cannot be read, or are too many.
    pub fn read(files: &dyn RepositoryFiles, options: &LayoutOptions<'_>) -> Result<Self, LayoutError> {
        let walk = FolderWalk::new(files, options.directory);
        let mut reader = LayoutReader {
            walk: &walk,
            options,
            strays: Vec::new(),
            components: BTreeSet::new(),
            release_names: BTreeSet::new(),
            cells: BTreeMap::new(),
            layout: Self {
                kind: match options.kind {
                    LayoutKind::Auto => auto::find_kind(&walk, options.branch)?,
                    kind => kind,
                },
                releases: BTreeMap::new(),
                series: Vec::new(),
                images: BTreeSet::new(),
                faults: Vec::new(),
            },
        };
        reader.read_releases()?;
        reader.read_all_overrides()?;
        for folder in reader.series_folders()? {
            reader.read_series(folder)?;
        }
        let mut layout = reader.layout;
        layout.images = folders_in(&walk, "images")?.into_iter().collect();
        if !options.selection.is_narrow() {
            layout.faults.append(&mut reader.strays);
        }
        let (mut components, releases) = (reader.components, reader.release_names);
        refuse_missing("--release", options.selection.required_releases(), &releases)?;
        let required = options.selection.required_components();
        if required.is_some_and(|required| !required.is_subset(&components)) {
            for release in layout.releases.values() {
                components.extend(pinned(&walk, release)?);
            }
        }
        refuse_missing("--component", required, &components)?;
        layout.faults.truncate(MOST_FAULTS);
        Ok(layout)
    }

    /// The patches of a component at a release, under any spelling of PEP 503, even if there is no
    /// folder for them yet; `None` if the layout does not say where that would be.
    #[must_use]
    pub fn series_for(
        &self,
        component: &str,
        release: &str,
        template: Option<&RefTemplate>,
    ) -> Option<ComponentSeries> {
        let wanted = normal_name(component);
        let mut series = self.series.iter();
        let found = series.find(|one| normal_name(&one.component) == wanted && one.release == release);
        if let Some(found) = found {
            return Some(found.clone());
        }
        let refs = self
            .releases
            .get(release)
            .and_then(|release| release.refs.as_ref());
        let mut named = refs.into_iter().flat_map(|found| found.refs.components());
        let component = named
            .find(|name| normal_name(name) == wanted)
            .unwrap_or(component);
        let folder = match self.kind {
            LayoutKind::ComponentRelease => format!("patches/{component}/{release}"),
            LayoutKind::ReleaseComponent => format!("patches/{release}/{component}"),
            _ => return None,
        };
        Some(ComponentSeries {
            component: component.to_owned(),
            release: release.to_owned(),
            organisation: None,
            folder,
            series: Series {
                order: SeriesOrder::ByName,
                patches: Vec::new(),
                faults: Vec::new(),
            },
            reference: self.reference(component, release, template),
        })
    }

    /// The ref that a component is built from at a release: what `source-refs.yaml` of the release
    /// says or, without such a file, what the template makes.
    #[must_use]
    pub fn reference(
        &self,
        component: &str,
        release: &str,
        template: Option<&RefTemplate>,
    ) -> Option<String> {
        match self
            .releases
            .get(release)
            .and_then(|release| release.refs.as_ref())
        {
            Some(found) => found.refs.get(component).ok().map(ToOwned::to_owned),
            None => template.map(|template| template.reference(component, release)),
        }
    }
}

/// Reads a file at a path relative to the folder that holds it all, through the links on the way.
///
/// # Errors
///
/// Where there is none, a link leads out of the repository, or the file cannot be read or has more
/// than `limit` bytes.
pub fn read_file(
    files: &dyn RepositoryFiles,
    directory: &str,
    path: &str,
    limit: u64,
) -> Result<Vec<u8>, LayoutError> {
    read_through_links(&FolderWalk::new(files, directory), path, limit)
}

/// A folder's path from the repository's root without links on it; `None` if no folder is there.
///
/// # Errors
///
/// Where the files cannot be read, or are too many.
pub fn folder_without_links(
    files: &dyn RepositoryFiles,
    folder: &str,
) -> Result<Option<String>, LayoutError> {
    Ok(match FolderWalk::new(files, "").locate(folder)? {
        FoundAt::Folder(path) => Some(path),
        FoundAt::Nothing | FoundAt::File(_) | FoundAt::Refused(_) => None,
    })
}

fn read_through_links(walk: &FolderWalk<'_>, path: &str, limit: u64) -> Result<Vec<u8>, LayoutError> {
    match walk.locate(path)? {
        FoundAt::File(found) => Ok(walk.read(&found, limit)?),
        FoundAt::Nothing => Err(super::files::FilesError::NotFound {
            path: path.to_owned(),
        }
        .into()),
        FoundAt::Folder(_) => Err(LayoutError::NoLayout(format!("{path} is a folder"))),
        FoundAt::Refused(reason) => Err(LayoutError::NoLayout(format!("{path} {reason}"))),
    }
}

/// Reads a repository.
struct LayoutReader<'a, 'w> {
    walk: &'a FolderWalk<'w>,
    options: &'a LayoutOptions<'a>,
    layout: RepositoryLayout,
    /// What is wrong outside the components that are asked for.
    strays: Vec<LayoutFault>,
    /// The existing components, spelled as PEP 503 has them.
    components: BTreeSet<String>,
    release_names: BTreeSet<String>,
    /// The folders of components at releases.
    cells: BTreeMap<(String, String), String>,
}

impl LayoutReader<'_, '_> {
    fn fault(&mut self, kind: FaultKind, path: &str, message: impl Into<String>) {
        self.layout.faults.push(LayoutFault::new(kind, path, message));
    }

    /// The names in a folder; none where there is no folder.
    fn names_in(&self, folder: &str) -> Result<BTreeSet<String>, LayoutError> {
        let FoundAt::Folder(path) = self.walk.locate(folder)? else {
            return Ok(BTreeSet::new());
        };
        let entries = self.walk.entries(&path)?;
        let entries = entries.iter().flat_map(|entries| entries.iter());
        Ok(entries.map(|entry| entry.name.clone()).collect())
    }

    fn is_file(&self, path: &str) -> Result<bool, LayoutError> {
        Ok(matches!(self.walk.locate(path)?, FoundAt::File(_)))
    }

    /// The folders in a folder. Anything else there is a stray file; `belongs` says what should be.
    fn folders(&mut self, folder: &str, belongs: &str) -> Result<Vec<String>, LayoutError> {
        let mut names = Vec::new();
        let FoundAt::Folder(path) = self.walk.locate(folder)? else {
            return Ok(names);
        };
        for entry in self
            .walk
            .entries(&path)?
            .iter()
            .flat_map(|entries| entries.iter())
        {
            if is_ignored(entry) {
                continue;
            }
            let shown = format!("{folder}/{}", entry.name);
            let stray = match self.walk.locate(&shown)? {
                FoundAt::Folder(_) => {
                    names.push(entry.name.clone());
                    continue;
                }
                FoundAt::Refused(reason) if matches!(entry.kind, FileKind::Link { .. }) => {
                    LayoutFault::new(FaultKind::RefusedLink, shown, reason)
                }
                FoundAt::Nothing => LayoutFault::new(FaultKind::RefusedLink, shown, "is a link to nothing"),
                _ => LayoutFault::new(
                    FaultKind::StrayFile,
                    shown,
                    format!("nothing reads it: {belongs}"),
                ),
            };
            self.strays.push(stray);
        }
        Ok(names)
    }

    fn release(&mut self, name: &str) -> &mut ReleaseFolder {
        self.layout
            .releases
            .entry(name.to_owned())
            .or_insert_with(|| ReleaseFolder {
                name: name.to_owned(),
                ..ReleaseFolder::default()
            })
    }

    fn read_releases(&mut self) -> Result<(), LayoutError> {
        let releases = folders_in(self.walk, "releases")?;
        for name in self.names_in("releases")? {
            let path = format!("releases/{name}");
            if !releases.contains(&name)
                && matches!(self.walk.locate(&path)?, FoundAt::Nothing | FoundAt::Refused(_))
            {
                self.fault(FaultKind::InvalidRefs, &format!("{path}/{REFS}"), LEADS_NOWHERE);
            }
        }
        for name in releases {
            self.release_names.insert(name.clone());
            if self.options.selection.has_release(&name) {
                self.read_release(&name)?;
            }
        }
        for release in self.layout.releases.values() {
            let refs = release.refs.iter().flat_map(|found| found.refs.components());
            self.components.extend(refs.map(normal_name));
        }
        Ok(())
    }

    fn read_release(&mut self, name: &str) -> Result<(), LayoutError> {
        let path = |file: &str| format!("releases/{name}/{file}");
        let mut release = ReleaseFolder {
            name: name.to_owned(),
            ..ReleaseFolder::default()
        };
        let names = self.names_in(&format!("releases/{name}"))?;
        if self.is_file(&path(REFS))? {
            release.refs = Some(ReleaseRefs {
                refs: self.read_refs(&path(REFS))?,
                path: path(REFS),
            });
        } else if names.contains(REFS) {
            self.fault(FaultKind::InvalidRefs, &path(REFS), LEADS_NOWHERE);
            release.refs = Some(ReleaseRefs {
                refs: SourceRefs::default(),
                path: path(REFS),
            });
        }
        if self.is_file(&path(EXTRA))? {
            let refs = release.refs.as_ref().map(|found| &found.refs);
            self.check_extra(&path(EXTRA), refs)?;
            release.extra = Some(path(EXTRA));
        }
        if self.is_file(&path(UPPER))? {
            release.upper = Some(path(UPPER));
        } else if names.contains(UPPER) {
            self.fault(FaultKind::RefusedLink, &path(UPPER), LEADS_NOWHERE);
        }
        self.layout.releases.insert(name.to_owned(), release);
        Ok(())
    }

    /// The refs; none if they cannot be read, so that the release's patches are not reported as
    /// lacking a file that exists.
    fn read_refs(&mut self, path: &str) -> Result<SourceRefs, LayoutError> {
        let bytes = read_through_links(self.walk, path, LARGEST_FILE)?;
        let refs = match SourceRefs::parse(&bytes) {
            Ok(refs) => refs,
            Err(error) => {
                self.fault(FaultKind::InvalidRefs, path, error.to_string());
                return Ok(SourceRefs::default());
            }
        };
        if refs.components().next().is_none() {
            self.fault(FaultKind::InvalidRefs, path, "names no component");
        }
        let selection = self.options.selection;
        for component in refs.components().filter(|name| selection.has_component(name)) {
            if let Err(error) = refs.get(component) {
                let fault = LayoutFault::new(FaultKind::InvalidRefs, path, error.to_string());
                self.layout.faults.push(LayoutFault {
                    line: refs.line(component),
                    ..fault
                });
            }
        }
        Ok(refs)
    }

    fn check_extra(&mut self, path: &str, refs: Option<&SourceRefs>) -> Result<(), LayoutError> {
        let bytes = read_through_links(self.walk, path, LARGEST_FILE)?;
        let extra = match std::str::from_utf8(&bytes) {
            Err(_) => Err("is not UTF-8".to_owned()),
            Ok(text) => ExtraPackages::parse(text).map_err(|error| error.to_string()),
        };
        let extra = match extra {
            Ok(extra) => extra,
            Err(message) => {
                self.fault(FaultKind::InvalidExtraPackages, path, message);
                return Ok(());
            }
        };
        let Some(refs) = refs.filter(|refs| refs.components().next().is_some()) else {
            return Ok(());
        };
        let known: BTreeSet<&str> = refs.components().collect();
        let selection = self.options.selection;
        for component in extra.components().filter(|name| selection.has_component(name)) {
            if !known.contains(component) {
                let message = format!("{component} is not in {REFS} of the release");
                self.fault(FaultKind::UnknownComponent, path, message);
            }
        }
        Ok(())
    }

    fn read_all_overrides(&mut self) -> Result<(), LayoutError> {
        let belongs = "overrides are in overrides/<release>/constraints.txt";
        for name in self.folders("overrides", belongs)? {
            self.release_names.insert(name.clone());
            if self.options.selection.has_release(&name) {
                self.read_overrides(&name)?;
            }
        }
        Ok(())
    }

    fn read_overrides(&mut self, name: &str) -> Result<(), LayoutError> {
        let folder = format!("overrides/{name}");
        let FoundAt::Folder(path) = self.walk.locate(&folder)? else {
            return Ok(());
        };
        for entry in self
            .walk
            .entries(&path)?
            .iter()
            .flat_map(|entries| entries.iter())
        {
            let shown = format!("{folder}/{}", entry.name);
            if entry.name == OVERRIDES && self.is_file(&shown)? {
                let release = self.release(name);
                if release.upper.is_some() {
                    release.overrides = Some(shown);
                } else {
                    let message = format!("there is no releases/{name}/{UPPER} to merge them into");
                    self.fault(FaultKind::OverridesWithoutConstraints, &shown, message);
                }
            } else if !is_ignored(entry) && !self.options.selection.is_narrow() {
                let message = format!("nothing reads it: overrides are in {OVERRIDES}");
                self.fault(FaultKind::StrayFile, &shown, message);
            }
        }
        Ok(())
    }

    /// The folders for patches, and what they are for.
    fn series_folders(&mut self) -> Result<Vec<SeriesFolder>, LayoutError> {
        match self.layout.kind {
            LayoutKind::SingleComponent => self.single_component(),
            LayoutKind::DebianPatches => {
                let component = self.debian_component()?;
                let release = self.release_by_branch()?;
                Ok(vec![SeriesFolder {
                    component,
                    release,
                    organisation: None,
                    folder: "debian/patches".to_owned(),
                }])
            }
            kind => self.folders_in_folders(kind),
        }
    }

    fn folders_in_folders(&mut self, kind: LayoutKind) -> Result<Vec<SeriesFolder>, LayoutError> {
        let (belongs, inside) = match kind {
            LayoutKind::ReleaseComponent => (
                "patches are in patches/<release>/<component>",
                "patches are in a folder named after the component",
            ),
            LayoutKind::OrgComponent => (
                "patches are in patches/<org>/<component>",
                "patches are in a folder named after the component",
            ),
            _ => (
                "patches are in patches/<component>/<release>",
                "patches are in a folder named after the release",
            ),
        };
        let mut found = Vec::new();
        for outer in self.folders("patches", belongs)? {
            if kind == LayoutKind::ComponentRelease {
                // Even if it has no folder for a release.
                self.components.insert(normal_name(&outer));
            }
            let path = format!("patches/{outer}");
            for inner in self.folders(&path, inside)? {
                let folder = format!("{path}/{inner}");
                let outer = outer.clone();
                let (component, release, organisation) = match kind {
                    LayoutKind::ReleaseComponent => (inner, outer, None),
                    LayoutKind::OrgComponent => (inner, self.release_by_branch()?, Some(outer)),
                    _ => (outer, inner, None),
                };
                found.push(SeriesFolder {
                    component,
                    release,
                    organisation,
                    folder,
                });
            }
        }
        Ok(found)
    }

    fn single_component(&mut self) -> Result<Vec<SeriesFolder>, LayoutError> {
        let release = self.release_by_branch()?;
        let alone = |component: &str, folder: &str| {
            vec![SeriesFolder {
                component: component.to_owned(),
                release: release.clone(),
                organisation: None,
                folder: folder.to_owned(),
            }]
        };
        for folder in ["patches", ""] {
            if auto::has_patches(self.walk, folder)? {
                return Ok(alone(self.component()?, folder));
            }
        }
        let mut found = Vec::new();
        for name in self.folders("patches", "patches are in patches or patches/<component>")? {
            let folder = format!("patches/{name}");
            found.extend(alone(&name, &folder));
        }
        if found.is_empty() {
            return Ok(alone(self.component()?, "patches"));
        }
        Ok(found)
    }

    fn component(&self) -> Result<&str, LayoutError> {
        self.options.component.ok_or_else(|| {
            LayoutError::MissingOption(format!(
                "the layout {} does not say which component the patches are for: name it (--component)",
                self.layout.kind
            ))
        })
    }

    fn release_by_branch(&self) -> Result<String, LayoutError> {
        let branch = self.options.branch.filter(|branch| !branch.is_empty());
        branch.map(release_of_branch).ok_or_else(|| {
            LayoutError::MissingOption(format!(
                "the layout {} takes the release from the branch, and no branch is known: name it (--branch)",
                self.layout.kind
            ))
        })
    }

    /// The component that a Debian source package is: the one that is given, or the package's name.
    fn debian_component(&self) -> Result<String, LayoutError> {
        if let Some(component) = self.options.component {
            return Ok(component.to_owned());
        }
        if self.is_file("debian/control")? {
            let text = read_through_links(self.walk, "debian/control", LARGEST_FILE)?;
            let text = String::from_utf8_lossy(&text);
            let name = text.lines().find_map(|line| line.strip_prefix("Source:"));
            if let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) {
                return Ok(name.to_owned());
            }
        }
        self.component().map(ToOwned::to_owned)
    }

    fn read_series(&mut self, place: SeriesFolder) -> Result<(), LayoutError> {
        let SeriesFolder {
            component,
            release,
            organisation,
            folder,
        } = place;
        self.components.insert(normal_name(&component));
        self.release_names.insert(release.clone());
        let selection = self.options.selection;
        if !selection.has_component(&component) || !selection.has_release(&release) {
            return Ok(());
        }
        let Some(series) = Series::read_below(self.walk, &folder)? else {
            return Ok(());
        };
        let cell = (component.clone(), release.clone());
        if let Some(before) = self.cells.get(&cell) {
            let message = format!("has the patches of {component} at {release}, as does {before}");
            self.fault(FaultKind::DuplicateSeries, &folder, message);
            return Ok(());
        }
        self.cells.insert(cell, folder.clone());
        self.layout.faults.extend(series.faults.iter().cloned());
        let template = self.options.ref_template;
        let reference = self.layout.reference(&component, &release, template);
        // A folder without patches is a valid state, whatever the release.
        if reference.is_none() && !series.patches.is_empty() {
            self.tell_no_reference(&component, &release, &folder);
        }
        self.layout.series.push(ComponentSeries {
            component,
            release,
            organisation,
            folder,
            series,
            reference,
        });
        Ok(())
    }

    fn tell_no_reference(&mut self, component: &str, release: &str, folder: &str) {
        let Some(refs) = self
            .layout
            .releases
            .get(release)
            .and_then(|release| release.refs.as_ref())
        else {
            let message = format!(
                "there is no releases/{release}/{REFS} that says which ref they are for, and no template of refs"
            );
            self.fault(FaultKind::ReleaseWithoutRefs, folder, message);
            return;
        };
        // If the file or the ref in it cannot be read, that is already reported.
        if let Err(SourceRefsError::Absent { known, .. }) = refs.refs.get(component)
            && !known.is_empty()
        {
            let known = known.join(", ");
            let message = format!("{component} is not in releases/{release}/{REFS}, which has {known}");
            self.fault(FaultKind::UnknownComponent, folder, message);
        }
    }
}

/// The packages that a release's constraints or overrides name; none where they cannot be read.
fn pinned(walk: &FolderWalk<'_>, release: &ReleaseFolder) -> Result<Vec<String>, LayoutError> {
    let read = |path: &Option<String>| match path {
        Some(path) => read_through_links(walk, path, LARGEST_FILE).map(Some),
        None => Ok(None),
    };
    let upper = read(&release.upper)?.and_then(|bytes| ConstraintsFile::parse(&bytes).ok());
    let overrides = read(&release.overrides)?.and_then(|bytes| Overrides::parse(&bytes).ok());
    let upper = upper
        .iter()
        .flat_map(ConstraintsFile::entries)
        .map(|entry| entry.name.to_string());
    let overrides = overrides
        .iter()
        .flat_map(Overrides::list)
        .map(|one| one.name.to_string());
    Ok(upper.chain(overrides).collect())
}

fn refuse_missing(
    option: &'static str,
    asked: Option<&BTreeSet<String>>,
    known: &BTreeSet<String>,
) -> Result<(), LayoutError> {
    match asked.and_then(|asked| asked.difference(known).next()) {
        None => Ok(()),
        Some(name) => Err(LayoutError::NotThere {
            option,
            name: name.clone(),
            known: known.clone(),
        }),
    }
}
