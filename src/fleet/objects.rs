//! The objects of a repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kube::{Resource, ResourceExt};

use super::constraint_overrides::make_constraint_overrides;
use super::patch_sets::make_patch_sets;
use super::selection::ReadingRules;
use super::template::Templates;
use crate::api::patch_repository::{REPOSITORY_LABEL, RepositoryFault};
use crate::api::patch_set::Level;
use crate::api::{ConstraintOverride, PatchRepository, PatchSet};
use crate::layout::{ComponentSeries, FaultKind, LayoutFault, RepositoryLayout};
use crate::text::printable;

/// The most `PatchSet`s of one repository.
pub(super) const MOST_PATCH_SETS: usize = 5_000;

/// The most bytes of JSON of all objects of one repository.
pub(super) const LARGEST: usize = 32 << 20;

/// The longest message of a fault, in characters.
const LONGEST_MESSAGE: usize = 500;

/// What a repository's folders ask for.
#[derive(Debug, Default)]
pub struct DesiredObjects {
    /// The `PatchSet`s, sorted by release and component.
    pub patch_sets: Vec<PatchSet>,
    /// The `ConstraintOverride`s, sorted by release.
    pub constraint_overrides: Vec<ConstraintOverride>,
    /// What is wrong with the folders, or with what they and the templates come to.
    pub faults: Vec<RepositoryFault>,
    /// The names of all that is asked for, also of what cannot be made, which the faults say.
    asked_for: BTreeSet<String>,
    /// The releases of which it is not known what they ask for, as a file cannot be read.
    unknown_releases: BTreeSet<String>,
}

impl DesiredObjects {
    /// Whether an object of this name, for this release, may be deleted: nothing asks for it, and
    /// all is known that may ask for it.
    #[must_use]
    pub fn may_be_pruned(&self, name: &str, release: &str) -> bool {
        !self.asked_for.contains(name) && !self.unknown_releases.contains(release)
    }
}

/// Why a repository's objects cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// A field of the `PatchRepository` is wrong.
    #[error("{field}: {message}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// The templates are too large.
    #[error("spec.template and spec.overrides have {size} bytes together, and may have {limit}")]
    TemplateTooLarge {
        /// How large they are.
        size: usize,
        /// How large they may be.
        limit: usize,
    },
    /// There are too many components and releases.
    #[error(
        "the folders ask for {count} PatchSets, and one PatchRepository may have {limit}: make several, with components.include or releases.include"
    )]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// All objects together are too large.
    #[error(
        "the PatchSets have more than {limit} bytes together: make several PatchRepositories, with components.include or releases.include, or smaller templates"
    )]
    TooLarge {
        /// How large they may be.
        limit: usize,
    },
}

impl FleetError {
    /// What is wrong with a field.
    pub(super) fn field(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::Field {
            field: field.into(),
            message: printable(&message.to_string(), LONGEST_MESSAGE),
        }
    }
}

/// What a repository's folders ask for. Each object is owned by the repository, where that is one of
/// a cluster, and has its label.
///
/// # Errors
///
/// Where templates or patterns cannot be read, or there are too many objects. What is wrong with
/// single ones is told in the result.
pub fn desired_objects(
    repository: &PatchRepository,
    layout: &RepositoryLayout,
) -> Result<DesiredObjects, FleetError> {
    let rules = ReadingRules::new(&repository.spec)?;
    let templates = Templates::new(&repository.spec)?;
    let cells = Cell::all(layout, &rules);
    if cells.len() > MOST_PATCH_SETS {
        return Err(FleetError::TooMany {
            count: cells.len(),
            limit: MOST_PATCH_SETS,
        });
    }
    let mut making = Making {
        repository,
        layout,
        templates,
        desired: DesiredObjects::default(),
    };
    making.add_layout_faults();
    let constraints = make_constraint_overrides(&mut making, &cells, &rules);
    make_patch_sets(&mut making, &cells, &constraints)?;
    Ok(making.desired)
}

/// A component at a release.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell<'a> {
    pub(super) component: &'a str,
    pub(super) release: &'a str,
    pub(super) level: Level,
    pub(super) series: Option<&'a ComponentSeries>,
    /// What says the ref: the path of a `source-refs.yaml`, relative to the folder that holds it all;
    /// `None` where the template of refs says it.
    pub(super) refs_path: Option<&'a str>,
}

impl<'a> Cell<'a> {
    /// All cells, by release and component.
    fn all(layout: &'a RepositoryLayout, rules: &ReadingRules<'a>) -> Vec<Self> {
        let mut found: BTreeMap<(&str, &str), Self> = BTreeMap::new();
        let selection = rules.selection();
        for (release, folder) in &layout.releases {
            let refs = folder.refs.iter();
            for (component, path) in refs.flat_map(|refs| {
                let named = refs.refs.components().filter(|name| refs.refs.get(name).is_ok());
                named.map(|name| (name, refs.path.as_str()))
            }) {
                if selection.has_component(component) && selection.has_release(release) {
                    let cell = Self {
                        component,
                        release,
                        level: Level::Service,
                        series: None,
                        refs_path: Some(path),
                    };
                    found.insert((release, component), cell);
                }
            }
        }
        for series in layout.series.iter().filter(|series| series.reference.is_some()) {
            let cell = found.entry((&series.release, &series.component)).or_insert(Self {
                component: &series.component,
                release: &series.release,
                level: Level::Service,
                series: None,
                refs_path: None,
            });
            cell.series = Some(series);
        }
        let libraries = libraries(layout, rules);
        let mut cells: Vec<Self> = found.into_values().collect();
        for cell in &mut cells {
            if libraries.contains(cell.component) {
                cell.level = Level::Library;
            }
        }
        cells
    }

    /// What the cell is, in words.
    pub(super) fn describe(&self) -> String {
        format!("{} {}", self.component, self.release)
    }
}

/// The components that are libraries: those that are named, or else those that have patches and no
/// image, where the repository has images.
fn libraries<'a>(layout: &'a RepositoryLayout, rules: &ReadingRules<'a>) -> BTreeSet<&'a str> {
    if let Some(named) = rules.libraries() {
        return named.iter().map(|name| name.0.as_str()).collect();
    }
    let patched = layout.series.iter().filter(|one| !one.series.patches.is_empty());
    let patched = patched.map(|one| one.component.as_str());
    patched
        .filter(|name| !layout.images.is_empty() && !layout.images.contains(*name))
        .collect()
}

/// The objects of a repository, as they are made.
pub(super) struct Making<'a> {
    pub(super) repository: &'a PatchRepository,
    pub(super) layout: &'a RepositoryLayout,
    pub(super) templates: Templates<'a>,
    pub(super) desired: DesiredObjects,
}

impl Making<'_> {
    /// A path relative to the repository's root.
    pub(super) fn path(&self, path: &str) -> String {
        let directory = self.repository.spec.directory.as_deref().unwrap_or_default();
        let names = directory.split('/').chain(path.split('/'));
        let names: Vec<&str> = names.filter(|name| !name.is_empty() && *name != ".").collect();
        names.join("/")
    }

    /// Tells why an object is not made. What there is of it stays.
    pub(super) fn refuse(&mut self, name: &str, kind: &str, field: &str, message: impl fmt::Display) {
        self.desired.asked_for.insert(name.to_owned());
        self.tell(kind, field.to_owned(), None, message);
    }

    fn tell(&mut self, kind: &str, path: String, line: Option<u32>, message: impl fmt::Display) {
        self.desired.faults.push(RepositoryFault {
            kind: kind.to_owned(),
            path,
            line,
            message: printable(&message.to_string(), LONGEST_MESSAGE),
        });
    }

    fn add_layout_faults(&mut self) {
        let has_requirements = self
            .repository
            .spec
            .constraints
            .as_ref()
            .is_some_and(|constraints| constraints.requirements.is_some());
        for fault in &self.layout.faults {
            let LayoutFault {
                kind,
                path,
                line,
                message,
            } = fault;
            // They are merged into those of the requirements' branch.
            if *kind == FaultKind::OverridesWithoutConstraints && has_requirements {
                continue;
            }
            if *kind == FaultKind::InvalidRefs
                && let Some(release) = path.split('/').rev().nth(1)
            {
                self.desired.unknown_releases.insert(release.to_owned());
            }
            let line = line.and_then(|line| u32::try_from(line).ok());
            self.tell(&format!("{kind:?}"), self.path(path), line, message);
        }
    }

    /// Puts on what all objects have that are made: namespace, owner and label.
    pub(super) fn own(&mut self, object: &mut impl ResourceExt) {
        let repository = self.repository;
        self.desired.asked_for.insert(object.name_any());
        object.meta_mut().namespace = repository.namespace();
        object
            .labels_mut()
            .insert(REPOSITORY_LABEL.to_owned(), repository.name_any());
        let owner = repository.controller_owner_ref(&());
        object.owner_references_mut().extend(owner);
    }
}
