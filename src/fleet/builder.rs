//! The objects that a repository's folders ask for, and what collects them.

use std::collections::BTreeSet;
use std::fmt;

use foreign_text::printable;
use kube::{Resource, ResourceExt};
use patchset_api::patch_repository::{REPOSITORY_LABEL, RepositoryFault, SHARD_LABEL};
use patchset_api::{ConstraintOverride, PatchRepository, PatchSet};

use super::template::Templates;
use crate::layout::{FaultKind, LayoutFault, RepositoryLayout};

/// The longest message of a fault, in characters.
const LONGEST_MESSAGE: usize = 500;

/// What a repository's folders ask for.
#[derive(Debug, Default)]
pub struct DesiredObjects {
    /// The `PatchSet`s, sorted by release and component.
    pub patch_sets: Vec<PatchSet>,
    /// The `ConstraintOverride`s, sorted by release.
    pub constraint_overrides: Vec<ConstraintOverride>,
    /// What is wrong with the folders, or with what they and the templates result in.
    pub faults: Vec<RepositoryFault>,
    /// The names of all that is asked for, including what cannot be made, which the faults report.
    requested_names: BTreeSet<String>,
    /// The releases for which it is unknown what they ask for, because a file cannot be read.
    unknown_releases: BTreeSet<String>,
}

impl DesiredObjects {
    /// Whether an object of this name, for this release, may be deleted: nothing asks for it, and
    /// everything that might is known.
    #[must_use]
    pub fn may_be_pruned(&self, name: &str, release: &str) -> bool {
        !self.requested_names.contains(name) && !self.unknown_releases.contains(release)
    }
}

/// Collects the objects that a repository's folders ask for, and what is wrong with them.
pub(super) struct FleetBuilder<'a> {
    pub(super) repository: &'a PatchRepository,
    pub(super) layout: &'a RepositoryLayout,
    pub(super) templates: Templates<'a>,
    pub(super) desired: DesiredObjects,
}

impl FleetBuilder<'_> {
    /// A path relative to the repository's root.
    pub(super) fn path_in_repository(&self, path: &str) -> String {
        let directory = self.repository.spec.directory.as_deref().unwrap_or_default();
        let names = directory.split('/').chain(path.split('/'));
        let names: Vec<&str> = names.filter(|name| !name.is_empty() && *name != ".").collect();
        names.join("/")
    }

    /// Reports why an object is not made. An existing one stays.
    pub(super) fn reject_object(&mut self, name: &str, kind: &str, field: &str, message: impl fmt::Display) {
        self.desired.requested_names.insert(name.to_owned());
        self.add_fault(kind, field.to_owned(), None, message);
    }

    fn add_fault(&mut self, kind: &str, path: String, line: Option<u32>, message: impl fmt::Display) {
        self.desired.faults.push(RepositoryFault {
            kind: kind.to_owned(),
            path,
            line,
            message: printable(&message.to_string(), LONGEST_MESSAGE),
        });
    }

    pub(super) fn add_layout_faults(&mut self) {
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
            // No fault here: the overrides are merged into the requirements branch's constraints.
            if *kind == FaultKind::OverridesWithoutConstraints && has_requirements {
                continue;
            }
            let mut parts = path.split('/').rev().skip(1);
            if matches!(kind, FaultKind::InvalidRefs | FaultKind::RefusedLink)
                && let (Some(release), Some("releases")) = (parts.next(), parts.next())
            {
                self.desired.unknown_releases.insert(release.to_owned());
            }
            let line = line.and_then(|line| u32::try_from(line).ok());
            self.add_fault(kind.as_str(), self.path_in_repository(path), line, message);
        }
    }

    /// Sets the namespace, the owner, and the labels of the repository and of its shard. A shard's
    /// controller sees only objects with its label.
    pub(super) fn set_ownership(&mut self, object: &mut impl ResourceExt) {
        let repository = self.repository;
        if let Some(shard) = repository.labels().get(SHARD_LABEL) {
            object.labels_mut().insert(SHARD_LABEL.to_owned(), shard.clone());
        }
        self.desired.requested_names.insert(object.name_any());
        object.meta_mut().namespace = repository.namespace();
        object
            .labels_mut()
            .insert(REPOSITORY_LABEL.to_owned(), repository.name_any());
        let owner = repository.controller_owner_ref(&());
        object.owner_references_mut().extend(owner);
    }
}
