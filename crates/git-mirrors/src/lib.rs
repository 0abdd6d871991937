#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod artifact;
pub mod clone;
mod commit;
mod error;
mod files;
pub mod folder;
mod gate;
mod history;
mod http;
mod http_git;
mod key_derivation;
mod known_hosts;
pub mod local;
mod local_error;
mod mirror;
mod mirrors;
mod openpgp;
mod pack;
mod partial;
mod patterns;
mod private_key;
mod promisor;
mod provider;
mod push;
mod refs;
mod safe_directory;
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

pub use self::url::{RepoUrl, Scheme, Transports};
pub use artifact::{Artifact, ArtifactLimits};
pub use commit::{Identity, MadeCommit, NewCommit};
pub use error::{Class, Error, SignatureFault};
pub use files::{FileLimits, SourceFile};
pub use history::{History, HistoryBounds, HistoryExtent, HistorySince};
pub use mirrors::{Freshness, MirrorConfig, Mirrors, Stats};
pub use partial::PartialSnapshot;
pub use push::{BranchUpdate, ExpectedBranch};
pub use refs::{RefSpec, Resolved, Revision, VersionRange};
pub use secret::{Credentials, Installation, Proxy, SecretData, SshCredentials, Tls, Upstream};
pub use session::{Agent, Pace, Timeouts};
pub use signing::Signer;
pub use snapshot::Snapshot;
pub use tree::Tree;
pub use verification::{Requirement, SignedObjects};

pub use git_apply_engine::Oid;
