//! One reconciliation of each kind, step by step.

mod apply;
mod build;
mod constraint_override;
mod deliver;
mod made_objects;
pub mod merged_file;
mod patch_repository;
mod patch_set;
mod publish;
mod repository_objects;
mod repository_source;
mod repository_summary;
mod resolve;
mod test;
mod upstream_history;

use std::future::Future;
use std::time::Duration;

use crate::controller::context::journal::Interrupted;
use crate::controller::context::kind::Reconciled;
use crate::controller::context::turn::Turn;
use crate::plan::Outcome;

/// A kind of object whose steps are here.
pub trait Pipeline: Reconciled {
    /// Does what there is to do for an object, and returns the outcome.
    ///
    /// # Errors
    ///
    /// Where a status could not be written on the way.
    fn run(
        turn: &Turn<'_, Self>,
    ) -> impl Future<Output = Result<Outcome<Self::Sources, Self::Done>, Interrupted>> + Send;

    /// Does what follows from the status that was written, whatever it says. Returns the longest
    /// time until it has to look again.
    ///
    /// # Errors
    ///
    /// Where a status could not be written.
    fn conclude(
        _turn: &Turn<'_, Self>,
    ) -> impl Future<Output = Result<Option<Duration>, Interrupted>> + Send {
        std::future::ready(Ok(None))
    }
}
