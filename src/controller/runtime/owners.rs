//! Notifies the owners of objects that these changed: each owner at most once in a while, however
//! many of its objects change meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::Stream;
use futures::StreamExt;
use futures::stream::BoxStream;
use patchset_api::referent::ObjectKey;
use tokio::sync::Notify;

use crate::controller::state::locking::lock;

/// The shortest time between two notifications of one owner.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// How long the first change waits for others that come with it.
const GATHERED_FOR: Duration = Duration::from_millis(300);

/// The owners whose objects changed since their last notification.
#[derive(Clone, Debug, Default)]
pub struct ChangedOwners(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    owners: Mutex<HashSet<ObjectKey>>,
    added: Notify,
}

impl ChangedOwners {
    /// Adds an owner, one of whose objects came, changed or went.
    pub fn add(&self, owner: ObjectKey) {
        if lock(&self.0.owners).insert(owner) {
            self.0.added.notify_one();
        }
    }

    /// The owners to notify, each at its time. For a single reader.
    pub fn due(&self) -> BoxStream<'static, ObjectKey> {
        batches(Arc::clone(&self.0))
            .flat_map(futures::stream::iter)
            .boxed()
    }
}

fn batches(waiting: Arc<Waiting>) -> impl Stream<Item = Vec<ObjectKey>> + Send {
    let told_at: HashMap<ObjectKey, Instant> = HashMap::new();
    futures::stream::unfold((waiting, told_at), |(waiting, mut told_at)| async move {
        loop {
            if lock(&waiting.owners).is_empty() {
                waiting.added.notified().await;
            }
            tokio::time::sleep(GATHERED_FOR).await;
            let due = take_due(&mut lock(&waiting.owners), &mut told_at, Instant::now());
            if !due.is_empty() {
                return Some((due, (waiting, told_at)));
            }
        }
    })
}

/// Takes the owners not notified for long enough, and notes the time of this notification.
fn take_due(
    owners: &mut HashSet<ObjectKey>,
    told_at: &mut HashMap<ObjectKey, Instant>,
    now: Instant,
) -> Vec<ObjectKey> {
    told_at.retain(|_, at| now.saturating_duration_since(*at) < TOLD_EVERY);
    let due: Vec<ObjectKey> = owners.extract_if(|owner| !told_at.contains_key(owner)).collect();
    told_at.extend(due.iter().map(|owner| (owner.clone(), now)));
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_told_once_in_a_while_and_of_the_last_change_too() {
        let key = |name: &str| ObjectKey::new("ours", name);
        let (mut owners, mut told_at) = (HashSet::from([key("a")]), HashMap::new());
        let begun = Instant::now();
        let mut due = |owners: &mut HashSet<ObjectKey>, millis| {
            take_due(owners, &mut told_at, begun + Duration::from_millis(millis))
        };
        assert_eq!(due(&mut owners, 0), [key("a")]);
        owners.extend([key("a"), key("b")]);
        assert_eq!(
            due(&mut owners, 300),
            [key("b")],
            "who was not told waits for nobody"
        );
        assert_eq!(due(&mut owners, 1_900), []);
        assert_eq!(due(&mut owners, 2_000), [key("a")]);
        assert_eq!(due(&mut owners, 9_000), []);
    }

    #[tokio::test]
    async fn whoever_waits_is_told() {
        let owners = ChangedOwners::default();
        let mut due = owners.due();
        let waiting = tokio::spawn(async move { due.next().await });
        tokio::task::yield_now().await;
        owners.add(ObjectKey::new("ours", "a"));
        assert_eq!(waiting.await.unwrap(), Some(ObjectKey::new("ours", "a")));
    }
}
