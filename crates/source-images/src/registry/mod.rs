//! Registries (OCI distribution-spec 1.1): requests over HTTP, each answer read within bounds.
//!
//! A registry is treated as hostile, as whoever names one may be. What it says is believed only
//! where that can be checked, and it may redirect only where [`guarded_egress`] allows: manifests,
//! tokens and lists stay at their server; blobs and uploads may be at another host, over https,
//! without the login.
//!
//! | file | what it does |
//! | --- | --- |
//! | `credentials.rs` | which login is for which repository |
//! | `client.rs`, `remembered.rs` | what all requests share |
//! | `repository.rs` | a repository of a registry, and what its errors say |
//! | `message.rs`, `exchange.rs`, `refusal.rs` | one request and its answer: redirects, time, what refusals mean |
//! | `challenge.rs`, `token.rs`, `login.rs` | what a registry asks for, tokens, and requests with them |
//! | `manifests.rs`, `blobs.rs`, `uploads.rs`, `referrers.rs` | the parts of the API |

mod blobs;
mod challenge;
mod client;
mod credentials;
mod exchange;
mod login;
mod manifests;
mod media_type;
mod message;
mod referrers;
mod refusal;
mod remembered;
mod repository;
mod token;
mod uploads;

pub use self::client::{Registry, RegistryConfig};
pub use self::credentials::Credentials;

pub(super) use self::manifests::{Manifest, ManifestName, Stored};
pub(super) use self::media_type::MANIFEST;
pub(super) use self::referrers::Referrer;
pub(super) use self::repository::{Access, Repository};
pub(super) use self::uploads::NewBlob;
