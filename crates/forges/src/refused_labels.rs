//! Remembers refused labels, so that they are not asked for all the time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::request::MissingLabels;

/// How long until a refused label is asked for again: people have to fix what is missing.
const PAUSE: Duration = Duration::from_secs(600);
/// The most requests whose refused labels are remembered.
const MOST_REQUESTS: usize = 1000;

/// The labels that requests could not be given, by their number, and when they were last asked for.
#[derive(Default)]
pub(super) struct RefusedLabels(Mutex<HashMap<u64, (Instant, MissingLabels)>>);

impl RefusedLabels {
    /// Remembers what a request lacks.
    pub(super) fn remember(&self, number: u64, missing: Option<&MissingLabels>) {
        let mut refused = self.lock();
        let Some(missing) = missing else {
            refused.remove(&number);
            return;
        };
        if refused.len() >= MOST_REQUESTS {
            refused.clear();
        }
        refused.insert(number, (Instant::now(), missing.clone()));
    }

    /// What a request lacked a short while ago, where that is all of these labels.
    pub(super) fn recall(&self, number: u64, labels: &[String]) -> Option<MissingLabels> {
        let refused = self.lock();
        let (asked, missing) = refused.get(&number)?;
        (asked.elapsed() < PAUSE && missing.labels == labels).then(|| missing.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, (Instant, MissingLabels)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
