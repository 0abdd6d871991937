#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod artifact;
mod artifact_files;
mod branch;
pub mod clone;
mod commit;
mod commit_fetcher;
mod content;
mod error;
mod files;
pub mod folder;
mod gate;
mod gitoxide_objects;
mod held_blobs;
mod history;
mod http;
mod http_git;
mod kept_look;
#[cfg(feature = "keys")]
mod key_derivation;
#[cfg(feature = "keys")]
mod known_hosts;
pub mod local;
mod local_error;
mod mirror;
mod mirrors;
mod object_header;
mod object_reader;
#[cfg(feature = "keys")]
mod openpgp;
mod pack;
mod partial;
mod path_content;
#[cfg(feature = "keys")]
mod patterns;
#[cfg(feature = "keys")]
mod private_key;
mod promisor;
mod push;
mod refs;
mod safe_directory;
mod secret;
mod session;
#[cfg(feature = "keys")]
mod signing;
mod snapshot;
#[cfg(feature = "keys")]
mod ssh;
mod storage;
mod store;
mod tree;
mod url;
mod verification;
mod wire;

pub use self::url::{RepoUrl, Scheme, Transports};
pub use artifact::{Artifact, ArtifactLimits};
pub use artifact_files::{ArtifactEntry, ArtifactKind, OpenedArtifact};
pub use branch::{Branch, BranchError, CommitAt, LocalBranchError};
pub use commit::{FileChange, Identity, MadeCommit, NewCommit};
pub use error::{Class, Error, SignatureFault};
pub use files::{FileLimits, SourceFile, plain_path};
pub use held_blobs::HeldBlobs;
pub use history::{History, HistoryBounds, HistoryExtent, HistorySince};
pub use mirrors::{Freshness, LookedUp, MirrorConfig, Mirrors, ServedLook, Stats};
pub use partial::PartialSnapshot;
pub use path_content::PathContent;
pub use push::{BranchUpdate, ExpectedBranch};
pub use refs::{RefSpec, Resolved, Revision, VersionRange};
pub use secret::{Credentials, Installation, Proxy, SecretData, SshCredentials, Tls, Upstream};
pub use session::{Agent, Pace, Timeouts};
#[cfg(feature = "keys")]
pub use signing::Signer;
pub use snapshot::Snapshot;
pub use tree::Tree;
pub use verification::{Requirement, SignedObjects};

pub use git_apply_engine::Oid;
pub use git_format_patch::{
    FormatError, FormatLimits, FormattedPatch, FormattedSeries, SubjectPolicy, format_series,
};
