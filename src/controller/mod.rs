//! Runs the reconcilers in a cluster: gather, plan, act, write status.
//!
//! Imports go one way: `runtime → pipeline → {build, delivery, upkeep} → inputs → context → state`.

mod build;
mod context;
mod delivery;
mod inputs;
mod pipeline;
mod runtime;
mod state;
mod upkeep;

pub use context::options::{ControllerOptions, TransportName};
pub use runtime::run;

/// Why the controller cannot run, or one reconciliation could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system gives no threads.
    #[error("cannot start threads: {0}")]
    Runtime(std::io::Error),
    /// No way to the API server was configured.
    #[error("cannot tell how to reach the API server: {0}; set KUBECONFIG, or run in a cluster")]
    Configuration(#[from] kube::config::InferConfigError),
    /// The API server refused, or could not be reached.
    #[error("{0}")]
    Api(#[from] kube::Error),
    /// The CRDs are not installed, or another version of them.
    #[error("the API server does not serve {0}: install the CRDs with `patchset crds | kubectl apply -f -`")]
    NotInstalled(String),
    /// The mirrors' folder cannot be used.
    #[error("{0}")]
    Storage(#[from] git_mirrors::Error),
    /// A status could not be written.
    #[error("cannot write the status: {0}")]
    Status(#[from] crate::status::Error),
    /// A reconciliation hit a defect in the controller.
    #[error("a bug in the controller interrupted the work; the log says where")]
    Panicked,
    /// A task that the controller cannot work without ended.
    #[error("{0} ended; exiting so that the controller is restarted")]
    TaskEnded(String),
    /// An endpoint, the logs or leader election failed.
    #[error("{0}")]
    Ops(#[from] crate::ops::Error),
}
