//! The one door by which Secrets that a spec names are read.

use std::fmt::{self, Display};
use std::sync::Arc;

use patchset_api::common::LocalReference;
use patchset_api::referent::ObjectKey;
use patchset_api::{InputsDigest, reason};

use crate::controller::state::contents::ObjectData;
use crate::controller::state::referents::Referents;
use crate::plan::inputs_hasher::InputsHasher;
use crate::plan::{Failure, Step};

/// A Secret that a spec names, with what it holds. It is shown by its name alone.
pub struct NamedSecret {
    key: ObjectKey,
    data: Arc<ObjectData>,
}

/// The key of a Secret of the type `kubernetes.io/dockerconfigjson`.
const DOCKER_CONFIG: &str = ".dockerconfigjson";

impl NamedSecret {
    /// Reads a Secret in the namespace of the object that names it.
    ///
    /// # Errors
    ///
    /// A failure of the sources, to be retried, where it does not exist or cannot be read.
    pub async fn read(
        referents: &Referents,
        namespace: &str,
        reference: &LocalReference,
    ) -> Result<Self, Failure> {
        let key = ObjectKey::new(namespace, &reference.name);
        Ok(Self {
            data: referents.secret(&key).await?,
            key,
        })
    }

    /// The same for one that need not be named.
    ///
    /// # Errors
    ///
    /// As [`NamedSecret::read`].
    pub async fn read_if_named(
        referents: &Referents,
        namespace: &str,
        reference: Option<&LocalReference>,
    ) -> Result<Option<Self>, Failure> {
        match reference {
            Some(reference) => Self::read(referents, namespace, reference).await.map(Some),
            None => Ok(None),
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.key.namespace
    }

    /// Its name in its namespace.
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// All that it holds.
    pub fn data(&self) -> &Arc<ObjectData> {
        &self.data
    }

    /// The logins to registries that it has to hold.
    ///
    /// # Errors
    ///
    /// A failure of the build, to be retried, where it has none.
    pub fn docker_config(&self) -> Result<&[u8], Failure> {
        let value = self.data.get(DOCKER_CONFIG).map(Vec::as_slice);
        value.ok_or_else(|| {
            let why = format!(
                "it has no key {DOCKER_CONFIG}: create it with kubectl create secret docker-registry"
            );
            self.unusable(Step::Build, &why)
        })
    }

    /// The failure of a step for which it lacks what it should hold. It may be changed without the
    /// spec, so the step is tried again.
    pub fn unusable(&self, step: Step, why: &dyn Display) -> Failure {
        Failure::retried(step, reason::INVALID_REFERENCE, format!("{self}: {why}"))
    }

    /// A digest of what it holds, and of what it is used for; changed where either changes.
    pub fn digest_with(&self, usage: InputsHasher) -> InputsDigest {
        let parts = self.data.iter();
        let with_data = parts.fold(usage, |digest, (key, value)| {
            digest.with(key.as_bytes()).with(value)
        });
        with_data.digest()
    }
}

impl Display for NamedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret {}", self.key)
    }
}
