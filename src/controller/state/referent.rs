//! What objects refer to.

use crate::api::reference::SourceKind;

/// An object that something may refer to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Referent {
    /// Its kind.
    pub kind: ReferentKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The kinds of objects that something may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReferentKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
    /// A Flux source.
    Source(SourceKind),
    /// A Job, by the name of the `PatchSet` that owns it.
    Job,
    /// A `PatchSet`.
    PatchSet,
    /// A `ConstraintOverride`.
    ConstraintOverride,
}

/// A stream of objects that changed, came or went.
pub type Changes = futures::stream::BoxStream<'static, Referent>;
