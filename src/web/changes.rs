//! What changed, for the pages that are open.

use futures::stream::BoxStream;

use super::stores::ShownKind;

/// An object that changed, came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedObject {
    /// A `PatchSet` of a namespace.
    PatchSet(String),
    /// A `ConstraintOverride` of a namespace.
    ConstraintOverride(String),
    /// A `PatchRepository` of a namespace.
    PatchRepository(String),
    /// More changes than could be kept: any object.
    Any,
}

impl ChangedObject {
    /// The kind and the namespace; `None` where it may be any.
    pub(super) fn place(&self) -> Option<(ShownKind, &str)> {
        match self {
            Self::PatchSet(namespace) => Some((ShownKind::PatchSets, namespace)),
            Self::ConstraintOverride(namespace) => Some((ShownKind::ConstraintOverrides, namespace)),
            Self::PatchRepository(namespace) => Some((ShownKind::PatchRepositories, namespace)),
            Self::Any => None,
        }
    }
}

/// Makes a stream of the changes from that moment on, one for each page.
pub type Changes = dyn Fn() -> BoxStream<'static, ChangedObject> + Send + Sync;
