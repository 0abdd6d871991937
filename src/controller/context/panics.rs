//! Confines a defect met while one object is worked on: it is that object's failure alone.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use patchset_api::reason;

use crate::plan::{Failure, Step};

/// Work was interrupted by a panic. Its message is not reported, as it may hold what somebody sent;
/// the log has its location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// Runs work to its end, or until it panics.
///
/// Nothing that the work shares with others is left half changed: what a lock guards is changed
/// while it is held, and locks that a panic poisoned stay in use.
pub async fn caught<F: Future>(work: F) -> Result<F::Output, Panicked> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .map_err(|_: Box<dyn Any + Send>| Panicked)
}

impl From<Panicked> for Failure {
    fn from(_: Panicked) -> Self {
        Failure::retried(
            Step::Source,
            reason::INTERNAL_ERROR,
            "a bug in the controller interrupted the work on this object: \
             report it with the place that the controller's log names",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_that_tells_no_contents() {
        let secret = std::hint::black_box("s3cr3t");
        let work = async {
            tokio::task::yield_now().await;
            assert_ne!(secret, "s3cr3t", "{secret}");
        };
        let failure = caught(work).await.map_err(Failure::from).unwrap_err();
        assert_eq!(failure.reason, reason::INTERNAL_ERROR);
        assert!(!failure.message.contains("s3cr3t"));
        assert_eq!(caught(async { 1 }).await, Ok(1));
    }

    #[tokio::test]
    async fn so_is_one_off_the_async_threads() {
        let work = tokio::task::spawn_blocking(|| panic!("s3cr3t"));
        let failure = crate::controller::context::failures::task_failure(&work.await.unwrap_err());
        assert_eq!(failure.reason, reason::INTERNAL_ERROR);
        assert!(!failure.message.contains("s3cr3t"));
    }
}
