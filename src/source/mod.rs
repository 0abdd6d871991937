//! Mirrors upstreams, resolves refs, and reads what Git and Flux sources hold.
//!
//! [`Mirrors`] keeps one bare mirror per upstream and credentials: [`Mirrors::resolve`] finds the commit that a ref
//! stands for, [`Mirrors::snapshot`] fetches it with depth 1 and gives its files and objects.
//! [`Mirrors::fetch_artifact`] reads what a Flux source published. [`Snapshot::make_commit`] makes a commit on a snapshot, and
//! [`Mirrors::push`] brings it to the server.
//!
//! Packs and objects are libgit2's, the protocol is gitoxide's, connections are made here, because each step of
//! them has a deadline, a byte budget and the upstream's own credentials. All calls block.

mod artifact;
pub mod clone;
mod commit;
mod error;
mod files;
pub mod folder;
mod gate;
mod http;
mod http_git;
mod key_derivation;
mod known_hosts;
pub mod local;
mod mirror;
mod mirrors;
mod openpgp;
mod pack;
mod private_key;
mod push;
mod refs;
mod secret;
mod session;
mod signing;
mod snapshot;
mod ssh;
mod storage;
mod store;
mod tree;
mod url;
mod verification;
mod wire;

pub use artifact::{Artifact, ArtifactLimits};
pub use commit::{Identity, MadeCommit, NewCommit};
pub use error::{Class, Error, SignatureFault};
pub use files::{FileLimits, SourceFile};
pub use mirrors::{Freshness, MirrorConfig, Mirrors, Stats};
pub use push::{BranchUpdate, ExpectedBranch};
pub use refs::{RefSpec, Resolved, Revision, VersionRange};
pub use secret::{Credentials, Installation, Proxy, SecretData, SshCredentials, Tls, Upstream};
pub use session::{Pace, Timeouts};
pub use signing::Signer;
pub use snapshot::Snapshot;
pub use tree::Tree;
pub use url::{RepoUrl, Scheme, Transports};
pub use verification::{Requirement, SignedObjects};

use crate::patch::Oid;
