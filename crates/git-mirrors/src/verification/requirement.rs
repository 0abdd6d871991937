//! What has to be signed, and by whom.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::SecretData;

/// What has to be signed, and by whom.
#[derive(Clone, PartialEq, Eq)]
pub struct Requirement {
    objects: SignedObjects,
    /// What the keys are called in messages, for instance `Secret ours/keys`.
    pub(super) source: String,
    pub(super) data: Arc<SecretData>,
}

/// Which objects have to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignedObjects {
    /// The commit that the ref stands for.
    Commit,
    /// The annotated tag that the ref names.
    Tag,
    /// Both.
    TagAndCommit,
}

impl SignedObjects {
    /// As Flux's `GitRepository` spells it in `verify.mode`.
    fn mode(self) -> &'static str {
        match self {
            Self::Commit => "HEAD",
            Self::Tag => "Tag",
            Self::TagAndCommit => "TagAndHEAD",
        }
    }
}

impl fmt::Debug for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Requirement({}, {})", self.objects.mode(), self.source)
    }
}

impl Requirement {
    /// Requires signatures by the keys in a Secret's values, whatever its keys are called: armored
    /// OpenPGP public keys, SSH public keys, and lines of an `allowed_signers` file
    /// (ssh-keygen(1)).
    ///
    /// They are read when something is verified.
    #[must_use]
    pub fn new(objects: SignedObjects, source: String, data: Arc<SecretData>) -> Self {
        Self {
            objects,
            source,
            data,
        }
    }

    /// A digest over everything that a verdict follows from besides the objects, as `sha256:` and
    /// 64 hexadecimal digits.
    ///
    /// Each part goes in with its length, so that no two requirements look the same.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        add(b"verification/1");
        add(self.objects.mode().as_bytes());
        for (name, value) in self.data.iter() {
            add(name.as_bytes());
            add(value);
        }
        format!("sha256:{}", hex::encode(hash.finalize()))
    }

    /// Whether the tag object has to be there.
    pub(crate) fn needs_tag(&self) -> bool {
        self.objects != SignedObjects::Commit
    }

    /// Whether the commit itself has to be signed.
    #[cfg(feature = "keys")]
    pub(super) fn needs_commit(&self) -> bool {
        self.objects != SignedObjects::Tag
    }
}
