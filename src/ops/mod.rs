//! What an operator of the process needs: telemetry, metrics, health endpoints, leader election.

pub mod api_client;
pub mod bounded_server;
pub mod health;
pub mod leader;
pub mod metrics;
pub mod objects;
pub mod push_server;
pub mod server;
pub mod telemetry;

/// Why the process cannot start, or has to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address as it was given.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// An address is not `HOST:PORT` or `:PORT`.
    #[error("{0:?} is not an address to listen on: write HOST:PORT or :PORT")]
    Address(String),
    /// Logging was set up before.
    #[error("cannot set up logging: {0}")]
    Logging(String),
    /// The Lease could not be renewed in time, or another process holds it.
    #[error("the lease was lost; exiting so that another replica can take over")]
    LostLease,
}
