//! What is remembered of the objects that `PatchRepository`s made, so that a look at them that finds
//! nothing new reads no folders and asks the API server nothing. All of it can be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use patchset_api::patch_repository::RepositoryFault;
use patchset_api::reason::Reason;
use patchset_api::{InputsDigest, LayoutKind};

use super::recent::Recent;

/// The most `PatchRepository`s that are remembered.
const MOST: usize = 1_024;

/// What is remembered, by the uid of the `PatchRepository`.
pub type Repositories = Recent<String, Arc<MadeObjects>, MOST>;

/// The kinds of objects that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MadeKind {
    /// A `ConstraintOverride`.
    ConstraintOverride,
    /// A `PatchSet`.
    PatchSet,
}

/// What an object is made for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MadeFor {
    /// `None` for all components.
    pub component: Option<String>,
    pub release: String,
}

/// An object that is made, by its kind and name.
pub type MadeKey = (MadeKind, String);

/// What was made of a repository's folders.
#[derive(Clone, Debug)]
pub struct MadeObjects {
    /// A digest over what they follow from.
    pub inputs_digest: InputsDigest,
    /// How the folders are named.
    pub layout: LayoutKind,
    /// What is wrong with the folders, the templates and the objects.
    pub faults: Vec<RepositoryFault>,
    /// Objects that are asked for and refused, and why.
    pub refused: BTreeMap<MadeKey, Reason>,
    /// Objects that are not asked for, and stay: a fault says why.
    pub kept: BTreeSet<MadeKey>,
    /// The objects, by kind and name.
    pub objects: BTreeMap<MadeKey, MadeObject>,
}

/// An object that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeObject {
    /// A digest of what it should be.
    pub desired: InputsDigest,
    /// A digest of what identifies the files that it reads in the repository; `None` if that is not
    /// known.
    pub files: Option<InputsDigest>,
    /// The object of the API server that is as it should be; `None` if none is.
    pub applied: Option<AppliedObject>,
}

/// An object of the API server, at the last change of its spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedObject {
    pub uid: String,
    pub generation: i64,
}
