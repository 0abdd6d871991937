//! Takes a second look at upstreams, for objects answered by a look that may be older than what
//! triggered their reconciliation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use git_mirrors::{Freshness, Mirrors};
use patchset_api::referent::Referent;
use tokio::task::JoinSet;

use crate::controller::context::{Context, panics};
use crate::controller::inputs::upstreams::blocking;
use crate::controller::state::second_looks::SecondLook;
use crate::controller::state::slots;

/// How often to check whether an upstream is due.
const SEEN_EVERY: Duration = Duration::from_millis(500);

/// What errors say is being looked at.
const WHAT: &str = "an upstream";

/// Looks at each waiting upstream as soon as it may be looked at again, and wakes the objects whose
/// refs moved.
pub async fn look_when_due(context: Arc<Context>) {
    let mut looking = JoinSet::new();
    loop {
        context.second_looks.wait_for_any().await;
        tokio::time::sleep(SEEN_EVERY).await;
        while looking.try_join_next().is_some() {}
        let rest = context.options.min_interval;
        for due in context.second_looks.take_due(Instant::now(), rest) {
            let context = Arc::clone(&context);
            looking.spawn(async move {
                // An interruption is logged; the objects then wait for their interval.
                let _ = panics::caught(look(&context, due)).await;
            });
        }
    }
}

/// Looks at an upstream, in the turn of a namespace that waits for it.
async fn look(context: &Arc<Context>, due: SecondLook) {
    let Some(namespace) = due.objects().next().map(|object| object.key.namespace.clone()) else {
        return;
    };
    let due = Arc::new(due);
    let slot = context.slots.wait(&namespace).await;
    let deadline = Instant::now() + context.options.max_timeout;
    let looked = {
        let due = Arc::clone(&due);
        let work = move |mirrors: &Mirrors| Ok(moved(mirrors, &due, deadline));
        slots::run_within(slot, blocking(context, WHAT, deadline, work)).await
    };
    let objects = due.objects().count();
    // If the server cannot be reached, each object finds out by its own look.
    let moved = looked.unwrap_or_else(|_| due.objects().cloned().collect());
    tracing::debug!(
        objects,
        moved = moved.len(),
        "an upstream was looked at once more"
    );
    for object in moved {
        context.look_requests.note_second_look(&object);
        context.nudges.wake(object);
    }
}

/// The objects whose refs differ from what they were answered with.
fn moved(mirrors: &Mirrors, due: &SecondLook, deadline: Instant) -> Vec<Referent> {
    let newest = Freshness::MaxAge(Duration::ZERO);
    let moved = due.refs().filter(|(want, shown)| {
        let found = mirrors.resolve(&due.upstream, want, newest, deadline);
        found.ok().as_ref() != Some(&shown.resolved)
    });
    moved
        .flat_map(|(_, shown)| shown.objects.iter().cloned())
        .collect()
}
