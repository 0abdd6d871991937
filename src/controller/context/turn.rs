//! One reconciliation of one object, as its steps receive it.

use std::sync::Arc;

use kube::ResourceExt;

use super::journal::{Interrupted, Journal};
use super::kind::Reconciled;
use super::{Budget, Context};
use crate::plan::Outcome;

/// One reconciliation: its object, what is shared, and what it may cost.
pub struct Turn<'a, K: Reconciled> {
    pub object: &'a K,
    pub context: &'a Arc<Context>,
    pub budget: Budget<'a>,
    pub journal: &'a Journal<'a, K>,
}

impl<K: Reconciled> Turn<'_, K> {
    /// The object's namespace.
    pub fn namespace(&self) -> String {
        self.object.namespace().unwrap_or_default()
    }

    /// The object's status with all that was recorded in this reconciliation.
    pub fn status(&self) -> Arc<K::Status> {
        self.journal.status()
    }

    /// Records the outcome so far, so that it is found again whatever happens.
    ///
    /// # Errors
    ///
    /// Where the status could not be written; the reconciliation is over then.
    pub async fn record(&self, so_far: Outcome<K::Sources, K::Done>) -> Result<(), Interrupted> {
        self.journal.record(so_far).await.map(drop)
    }
}
