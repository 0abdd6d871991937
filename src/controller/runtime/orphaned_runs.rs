//! Cancels the workflow runs of `PatchSet`s that are gone.
//!
//! No finalizer holds a `PatchSet` until its run is cancelled: without a controller, it would hold
//! the object forever, and it takes the right to write `PatchSet`s. So the run of a `PatchSet` that
//! is deleted while no controller works goes on to its end.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::Api;
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt};
use patchset_api::referent::ObjectKey;
use patchset_api::{PatchSet, reason};
use tokio::task::{Id, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::actions::{Error, RequestId, RunId};
use crate::controller::build::workflow_engine::LISTED_WITHIN;
use crate::controller::context::Context;
use crate::controller::state::workflows::FollowedRun;
use crate::status::events::{self, Note};
use crate::status::limit::within_limit;

/// How often to look for runs that nothing follows any more.
const LOOK: Duration = Duration::from_secs(2);

/// How many runs of one namespace are cancelled at once, so that a server that does not answer
/// holds up no other namespace.
const AT_ONCE: usize = 4;

/// How long to keep trying to cancel a run.
const WITHIN: Duration = Duration::from_secs(120);

/// The wait before the second try; doubled for each further one, up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(16);

/// How cancelling a run ended.
enum Ended {
    /// It was cancelled, or was over.
    Cancelled,
    /// No run was requested.
    NoRun,
    /// Its `PatchSet` exists, and is another controller's.
    NotOurs,
}

/// Why one try did not cancel the run.
enum Trouble {
    /// Another try may.
    Again(String),
    /// No further try will.
    Final(String),
}

/// Cancels runs for as long as the controller works.
pub async fn cancel_all(context: Arc<Context>) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cancelling = JoinSet::new();
    let mut namespaces: HashMap<Id, String> = HashMap::new();
    loop {
        tokio::select! {
            _ = look.tick() => {}
            Some(ended) = cancelling.join_next_with_id() => {
                namespaces.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
                continue;
            }
        }
        let free = |namespace: &str| {
            let taken = namespaces.values().filter(|taken| *taken == namespace);
            AT_ONCE.saturating_sub(taken.count())
        };
        for run in context.workflows.take_orphans(&context.patch_sets, free) {
            let (context, namespace) = (Arc::clone(&context), run.patch_set.namespace.clone());
            let task = cancelling.spawn(async move { cancel(&context, &run).await });
            namespaces.insert(task.id(), namespace);
        }
    }
}

/// Cancels a run, and reports the outcome.
async fn cancel(context: &Context, run: &FollowedRun) {
    let ObjectKey {
        namespace,
        name: patch_set,
    } = &run.patch_set;
    let request = &run.attempt.name;
    let repository = run.workflow.full_name();
    let why = match cancel_until_over(context, run).await {
        Ok(Ended::Cancelled) => {
            tracing::info!(
                namespace,
                patch_set,
                request,
                repository,
                "the run of a deleted PatchSet was cancelled"
            );
            return;
        }
        Ok(Ended::NoRun | Ended::NotOurs) => return,
        Err(why) => why,
    };
    let message = format!(
        "run {request} of {repository} could not be cancelled after the PatchSet was deleted, and keeps running: {why}"
    );
    tracing::warn!(
        namespace,
        patch_set,
        request,
        repository,
        why,
        "the run of a deleted PatchSet keeps running"
    );
    let regarding = ObjectReference {
        api_version: Some(PatchSet::api_version(&()).into_owned()),
        kind: Some(PatchSet::kind(&()).into_owned()),
        namespace: Some(namespace.clone()),
        name: Some(patch_set.clone()),
        uid: Some(run.uid.clone()),
        ..ObjectReference::default()
    };
    let note = Note {
        kind: EventType::Warning,
        reason: reason::BUILD_NOT_CANCELLED,
        message,
    };
    if let Err(error) = events::publish(&context.client, &regarding, note).await {
        tracing::warn!(%error, "an event could not be written");
    }
}

/// Tries to cancel a run until it is over, nothing more can be done, or time is up.
async fn cancel_until_over(context: &Context, run: &FollowedRun) -> Result<Ended, String> {
    let begun = Instant::now();
    let mut wait = FIRST_WAIT;
    loop {
        let left = WITHIN.saturating_sub(begun.elapsed());
        let tried = tokio::time::timeout(left, try_to_cancel(context, run, begun)).await;
        let why = match tried {
            Ok(Ok(ended)) => return Ok(ended),
            Ok(Err(Trouble::Final(why))) => return Err(why),
            Ok(Err(Trouble::Again(why))) => why,
            Err(_) => "the server does not answer".to_owned(),
        };
        if begun.elapsed() + wait >= WITHIN {
            return Err(why);
        }
        tokio::time::sleep(wait).await;
        wait = LONGEST_WAIT.min(wait * 2);
    }
}

async fn try_to_cancel(context: &Context, run: &FollowedRun, begun: Instant) -> Result<Ended, Trouble> {
    if patch_set_exists(context, run)
        .await
        .map_err(|error| as_transient(&error))?
    {
        return Ok(Ended::NotOurs);
    }
    let id = if let Some(id) = run.attempt.run {
        RunId(id)
    } else {
        let request = RequestId::parse(&run.attempt.name).map_err(|error| classify_error(&error))?;
        let Time(since) = run.attempt.started_at;
        let found = run.client.find_run(&run.workflow, &request, since).await;
        match found.map_err(|error| classify_error(&error))? {
            Some(found) => found.id,
            // A reconciliation may have requested it a moment ago.
            None if begun.elapsed() < LISTED_WITHIN => return Err(as_transient(&"the run is not listed")),
            None => return Ok(Ended::NoRun),
        }
    };
    match run.client.cancel(&run.workflow, id).await {
        Ok(_) | Err(Error::NotFound { .. }) => Ok(Ended::Cancelled),
        Err(error) => Err(classify_error(&error)),
    }
}

/// Whether the `PatchSet` exists: by its labels, one that this controller does not see any more may
/// be another's.
async fn patch_set_exists(context: &Context, run: &FollowedRun) -> Result<bool, crate::status::Error> {
    let api: Api<PatchSet> = Api::namespaced(context.client.clone(), &run.patch_set.namespace);
    let found = within_limit(api.get_opt(&run.patch_set.name)).await?;
    Ok(found.is_some_and(|found| {
        found.uid().as_ref() == Some(&run.uid) && found.meta().deletion_timestamp.is_none()
    }))
}

fn as_transient(error: &dyn Display) -> Trouble {
    Trouble::Again(error.to_string())
}

fn classify_error(error: &Error) -> Trouble {
    if error.is_transient() {
        Trouble::Again(error.to_string())
    } else {
        Trouble::Final(error.to_string())
    }
}
