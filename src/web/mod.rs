//! The page of a cluster, served read-only: `patchset controller --web-addr`.
//!
//! What is shown comes from the stores that the controller's watches fill: a view asks the API
//! server only who the viewer is and what they may list, at most once a minute each. An open page
//! learns of changes by server-sent events, and fetches itself again.
//!
//! A viewer sees what they may list in the cluster, and nothing else: every list is cut to that, an
//! object that they may not list looks like one that does not exist, and no event about it is sent
//! to them.

mod access;
mod changes;
mod compression;
mod reviews;
mod routes;
mod session;
mod stores;
mod texts;
mod viewer;

pub use changes::{ChangedObject, Changes};
pub use routes::{Site, serve};
pub use stores::{HeldMergedFile, Stores};
pub use texts::HeldTexts;
pub use viewer::{TrustedProxies, ViewerOptions};
