//! What objects refer to: each other, Secrets, ConfigMaps and Flux's sources.

use std::fmt;
use std::str::FromStr;

use kube::{KubeSchema, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kinds of Flux sources whose artifact may hold patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SourceKind {
    /// `source.toolkit.fluxcd.io/v1` GitRepository.
    GitRepository,
    /// `source.toolkit.fluxcd.io/v1` OCIRepository.
    OCIRepository,
    /// `source.toolkit.fluxcd.io/v1` Bucket.
    Bucket,
    /// `source.toolkit.fluxcd.io/v1` ExternalArtifact.
    ExternalArtifact,
}

impl SourceKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [
        Self::GitRepository,
        Self::OCIRepository,
        Self::Bucket,
        Self::ExternalArtifact,
    ];

    /// The kind's name.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::GitRepository => "GitRepository",
            Self::OCIRepository => "OCIRepository",
            Self::Bucket => "Bucket",
            Self::ExternalArtifact => "ExternalArtifact",
        }
    }

    /// The plural that the API server's paths use.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::GitRepository => "gitrepositories",
            Self::OCIRepository => "ocirepositories",
            Self::Bucket => "buckets",
            Self::ExternalArtifact => "externalartifacts",
        }
    }
}

/// A Flux source whose artifact is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceReference {
    /// Kind of the source.
    pub kind: SourceKind,
    /// Name of the source.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the source. Defaults to that of the referring object. Any other is refused
    /// unless the controller runs with `--no-cross-namespace-refs=false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// Namespace and name of an object: `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// The error for a text that is not the namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not NAMESPACE/NAME")]
pub struct ObjectKeyError(String);

impl ObjectKey {
    /// The key of an object in a namespace.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of an object that was read.
    #[must_use]
    pub fn of_object(object: &impl ResourceExt) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ObjectKey {
    type Err = ObjectKeyError;

    fn from_str(text: &str) -> Result<Self, ObjectKeyError> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self::new(namespace, name))
            }
            _ => Err(ObjectKeyError(text.to_owned())),
        }
    }
}

/// An object that something may refer to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Referent {
    /// Its kind.
    pub kind: ReferentKind,
    /// Its namespace and name.
    pub key: ObjectKey,
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
    /// A `PatchRepository`.
    PatchRepository,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let key = ObjectKey::new("ours", "glance");
        assert_eq!(key.to_string().parse(), Ok(key));
        for wrong in ["", "ours", "/glance", "ours/", "a/b/c"] {
            assert!(wrong.parse::<ObjectKey>().is_err(), "{wrong}");
        }
    }
}
