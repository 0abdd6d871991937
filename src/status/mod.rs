//! The writer of the status of objects that can be read, and of events.
//!
//! Status is written whole, by server-side apply under one field manager, only if it differs from
//! the stored one, and only while what it follows from is still stored.

pub mod events;
mod fair_queue;
pub mod limit;
pub mod notify;
pub mod writer;

/// The field manager under which status and owned objects are applied, and the name in events.
pub const FIELD_MANAGER: &str = "patchset-controller";

/// Why a status or an event could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or could not be reached.
    #[error("{0}")]
    Api(#[from] kube::Error),
    /// The status cannot be written as JSON.
    #[error("cannot write the status as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// Events go to an address that must not be connected to.
    #[error("--events-addr: {0}")]
    Address(#[from] guarded_egress::RefusedAddress),
    /// Others changed the object again and again.
    #[error("others changed the object {0} times meanwhile")]
    Busy(usize),
    /// The API server took too long.
    #[error("the API server took too long")]
    TimedOut,
}
