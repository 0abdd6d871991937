//! Whether the process is alive and ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Readiness: set once the caches are filled. A replica that waits for the lease is ready too, because it
/// stands by as it should.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Tells that the process is ready, or no longer.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Whether the process is ready.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
