//! The status of an object while it is worked on: the outcome of a step is recorded, and the
//! reconciliation goes on.
//!
//! What has to be found again after a crash is recorded before it is done. A status that somebody
//! else wrote meanwhile is never overwritten: the reconciliation ends, and starts over from theirs.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;
use patchset_api::status::NEVER_OBSERVED;

use super::kind::Reconciled;
use super::news::note_of_change;
use super::{Context, annotations};
use crate::controller::Error;
use crate::controller::state::locking::lock;
use crate::controller::state::memory::{Memory, SeenStatus};
use crate::plan::Outcome;
use crate::plan::lifecycle::{AskedFor, Next, Observed};
use crate::status::events::{self, Note};
use crate::status::limit::API_TIMEOUT;
use crate::status::notify::EventContext;
use crate::status::writer::{self, Written};

/// The annotation by which Flux's users ask for a look now.
const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// The statuses that were written last, by the uid of their object.
pub type Statuses<K> = Memory<String, Arc<<K as Reconciled>::Status>>;

/// What ends a reconciliation before it has an outcome.
#[derive(Debug)]
pub enum Interrupted {
    /// The object is gone, or has another status by now.
    Overtaken,
    /// A status could not be written.
    Failed(Error),
}

/// What the API server has of an object's status, with all that was recorded so far.
pub struct Journal<'a, K: Reconciled> {
    context: &'a Context,
    statuses: &'a Statuses<K>,
    object: &'a K,
    asked: AskedFor<'a>,
    last_written: Mutex<SeenStatus<Arc<K::Status>>>,
    /// The status that says that work has begun, until something is written.
    begun: Mutex<Option<Arc<K::Status>>>,
}

impl<'a, K: Reconciled> Journal<'a, K> {
    /// Begins with the status of the object, or with what was written since the watch showed it.
    pub fn open(context: &'a Context, statuses: &'a Statuses<K>, object: &'a K) -> Self {
        let meta = object.meta();
        let uid = meta.uid.clone().unwrap_or_default();
        let newer = statuses.newer_than(&uid, meta.resource_version.as_deref());
        Self {
            context,
            statuses,
            object,
            asked: AskedFor {
                generation: meta.generation.unwrap_or_default(),
                requested_at: requested_at(object),
            },
            last_written: Mutex::new(newer.unwrap_or_else(|| seen_status(object))),
            begun: Mutex::default(),
        }
    }

    /// The current status, including that work has begun.
    pub fn status(&self) -> Arc<K::Status> {
        let begun = lock(&self.begun).clone();
        begun.unwrap_or_else(|| self.last_written().status)
    }

    /// The annotation that requests a look, if no status has answered it yet.
    pub fn requested_at(&self) -> Option<&str> {
        let asked = self.asked.requested_at?;
        (Some(asked) != self.status().last_handled_reconcile_at()).then_some(asked)
    }

    /// Notes that work has begun. It is written with the first result, or by
    /// [`Journal::tell_begun`].
    pub fn begin(&self, status: K::Status) {
        *lock(&self.begun) = Some(Arc::new(status));
    }

    /// Writes that work has begun, if nothing was written since.
    ///
    /// # Errors
    ///
    /// As [`Journal::write`].
    pub async fn tell_begun(&self) -> Result<(), Interrupted> {
        let begun = lock(&self.begun).clone();
        match begun {
            Some(begun) => self.write(&begun).await,
            None => Ok(()),
        }
    }

    /// Settles the outcome of the work so far, and writes it if it differs. Returns when to look
    /// again if the work ends here.
    ///
    /// # Errors
    ///
    /// If the status could not be written: nothing that relies on it may be done then.
    pub async fn record(&self, outcome: Outcome<K::Sources, K::Done>) -> Result<Next, Interrupted> {
        let previous = self.status();
        let (status, next) = self
            .object
            .settle(&previous, self.asked, Timestamp::now(), outcome);
        if status != *previous || lock(&self.begun).is_some() {
            self.write(&status).await?;
        }
        Ok(next)
    }

    /// Writes a status that follows from the known one, and reports what is new.
    ///
    /// # Errors
    ///
    /// If the write failed, or is not known to have succeeded.
    pub async fn write(&self, status: &K::Status) -> Result<(), Interrupted> {
        let (client, object, last) = (&self.context.client, self.object, self.last_written());
        let begun = lock(&self.begun).take();
        let is_known = |now: &K| seen_status(now).status == last.status;
        let writing = writer::write(client, object, last.version.as_deref(), status, is_known);
        let stored = match tokio::time::timeout(API_TIMEOUT, writing).await {
            Ok(Ok(Written::Stored(stored))) => stored,
            Ok(Ok(Written::Gone)) => return Err(Interrupted::Overtaken),
            Ok(Ok(Written::Overtaken)) => {
                tracing::info!(
                    kind = K::KIND,
                    namespace = object.meta().namespace,
                    name = object.meta().name,
                    "somebody else wrote the status meanwhile; starting over"
                );
                return Err(Interrupted::Overtaken);
            }
            Ok(Err(error)) => return Err(Interrupted::Failed(error.into())),
            Err(_) => return Err(Interrupted::Failed(crate::status::Error::TimedOut.into())),
        };
        let written = seen_status(stored.as_ref());
        let uid = object.uid().unwrap_or_default();
        self.statuses.note_written(uid, written.clone());
        *lock(&self.last_written) = written;
        self.tell_news(&begun.unwrap_or(last.status), status, &stored)
            .await;
        Ok(())
    }

    /// Tells people what is new.
    async fn tell_news(&self, before: &K::Status, status: &K::Status, stored: &K) {
        let details = K::details(status);
        let Some(note) = note_of_change(before.conditions(), status.conditions(), details.as_deref()) else {
            return;
        };
        // That a new object is as it should be is in its status, which costs the one write.
        let is_first = before.observed_generation() == NEVER_OBSERVED;
        if is_first && note.is_good() {
            self.notify(&note, status, stored);
        } else {
            self.publish(note, status, stored).await;
        }
    }

    /// Tells people something beyond what Ready says, about a status that was written.
    pub async fn publish_note(&self, note: Note, status: &K::Status) {
        self.publish(note, status, self.object).await;
    }

    /// Notifies Flux's notification controller, if there is one.
    fn notify(&self, note: &Note, status: &K::Status, stored: &K) {
        if let Some(notifier) = &self.context.notifier {
            let about = EventContext {
                facts: self.object.facts(status),
                annotations: annotations::for_events(self.object.annotations()),
            };
            let versioned = ObjectReference {
                resource_version: stored.resource_version(),
                ..stored.object_ref(&())
            };
            notifier.post(versioned, note, about);
        }
    }

    async fn publish(&self, note: Note, status: &K::Status, stored: &K) {
        self.notify(&note, status, stored);
        let regarding = stored.object_ref(&());
        if let Err(error) = events::publish(&self.context.client, &regarding, note).await {
            tracing::warn!(%error, "an event could not be written");
        }
    }

    fn last_written(&self) -> SeenStatus<Arc<K::Status>> {
        lock(&self.last_written).clone()
    }
}

/// The annotation that requests a look, answered or not.
pub fn requested_at(object: &impl ResourceExt) -> Option<&str> {
    object.annotations().get(REQUESTED_AT).map(String::as_str)
}

/// The status that an object has.
fn seen_status<K: Reconciled>(object: &K) -> SeenStatus<Arc<K::Status>> {
    SeenStatus {
        version: object.resource_version(),
        status: Arc::new(object.status().cloned().unwrap_or_default()),
    }
}
