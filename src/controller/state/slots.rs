//! Whose turn it is: a fixed number of objects is worked on at once, and namespaces take turns.
//!
//! No namespace ever has all places, so some are left for the others, and places that come free go
//! to the namespaces that wait, one after the other, whatever each has waiting.
//!
//! A place is not a core. Most of a reconciliation waits for servers, and what computes runs on
//! threads bounded only by the places: more places than cores help when servers are slow.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::locking::lock;

/// The part of the places that is kept from each namespace, rounded up: one in so many.
const KEPT_SHARE: usize = 4;

tokio::task_local! {
    /// The turn of the reconciliation that runs.
    static CURRENT: Arc<Slot>;
}

/// The places, and who waits for one.
#[derive(Clone, Debug)]
pub struct Slots(Arc<SharedSlots>);

/// Who shares the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// One namespace alone.
    OneNamespace,
    /// All namespaces.
    Namespaces,
}

#[derive(Debug)]
struct SharedSlots {
    queue: Mutex<SlotQueue>,
    /// Notified of each place that is given back.
    given_back: Notify,
}

#[derive(Debug)]
struct SlotQueue {
    places: usize,
    /// The most places of one namespace.
    share: usize,
    taken: usize,
    /// What each namespace has, if it has anything.
    namespaces: HashMap<String, Namespace>,
    /// Namespaces that wait, the next one first.
    order: VecDeque<String>,
    /// When a place was last taken or given back.
    moved: Instant,
}

#[derive(Debug, Default)]
struct Namespace {
    taken: usize,
    waiting: VecDeque<oneshot::Sender<Slot>>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Slots,
    namespace: String,
}

impl Slots {
    /// Creates so many places, at least one. If namespaces share them, a quarter is kept from each,
    /// and at least one, if there are two.
    pub fn new(places: u16, sharing: Sharing) -> Self {
        let places = usize::from(places.max(1));
        Self(Arc::new(SharedSlots {
            queue: Mutex::new(SlotQueue {
                places,
                share: match sharing {
                    Sharing::OneNamespace => places,
                    Sharing::Namespaces => places.saturating_sub(places.div_ceil(KEPT_SHARE)).max(1),
                },
                taken: 0,
                namespaces: HashMap::new(),
                order: VecDeque::new(),
                moved: Instant::now(),
            }),
            given_back: Notify::new(),
        }))
    }

    /// Waits for a place.
    pub async fn wait(&self, namespace: &str) -> Slot {
        let (sender, receiver) = oneshot::channel();
        lock(&self.0.queue).enqueue(namespace, sender);
        self.serve();
        match receiver.await {
            Ok(slot) => slot,
            // A sender that is in the queue stays there until it is served.
            Err(_) => std::future::pending().await,
        }
    }

    /// How long nothing has begun or ended although something waits; `None` if nothing does.
    pub fn stuck_for(&self, now: Instant) -> Option<Duration> {
        let queue = lock(&self.0.queue);
        (!queue.order.is_empty()).then(|| now.saturating_duration_since(queue.moved))
    }

    /// Waits until all places are given back.
    pub async fn wait_until_all_are_free(&self) {
        loop {
            let given_back = self.0.given_back.notified();
            if lock(&self.0.queue).taken == 0 {
                return;
            }
            given_back.await;
        }
    }

    /// Gives places to those whose turn it is.
    fn serve(&self) {
        loop {
            let Some((namespace, waiting)) = lock(&self.0.queue).next() else {
                return;
            };
            let slot = Slot {
                slots: self.clone(),
                namespace,
            };
            // If nothing waits any more, the slot is dropped, which gives it back.
            drop(waiting.send(slot));
        }
    }

    fn give_back(&self, namespace: &str) {
        lock(&self.0.queue).give_back(namespace);
        self.0.given_back.notify_waiters();
        self.serve();
    }
}

impl SlotQueue {
    fn enqueue(&mut self, namespace: &str, sender: oneshot::Sender<Slot>) {
        if self.order.is_empty() {
            // Nobody waited until now.
            self.moved = Instant::now();
        }
        let of_namespace = self.namespaces.entry(namespace.to_owned()).or_default();
        if of_namespace.waiting.is_empty() {
            self.order.push_back(namespace.to_owned());
        }
        of_namespace.waiting.push_back(sender);
    }

    /// Takes a place for whoever is next, skipping those that do not wait any more.
    fn next(&mut self) -> Option<(String, oneshot::Sender<Slot>)> {
        while self.taken < self.places {
            let (namespaces, share) = (&self.namespaces, self.share);
            let has_share = |name: &String| namespaces.get(name).is_some_and(|one| one.taken < share);
            let at = self.order.iter().position(has_share)?;
            let name = self.order.remove(at)?;
            let namespace = self.namespaces.get_mut(&name)?;
            let waiting = &mut namespace.waiting;
            let next = std::iter::from_fn(|| waiting.pop_front()).find(|next| !next.is_closed());
            let Some(sender) = next else {
                self.forget_where_empty(&name);
                continue;
            };
            namespace.taken += 1;
            if !namespace.waiting.is_empty() {
                self.order.push_back(name.clone());
            }
            self.taken += 1;
            self.moved = Instant::now();
            return Some((name, sender));
        }
        None
    }

    fn give_back(&mut self, name: &str) {
        self.taken = self.taken.saturating_sub(1);
        self.moved = Instant::now();
        if let Some(namespace) = self.namespaces.get_mut(name) {
            namespace.taken = namespace.taken.saturating_sub(1);
        }
        self.forget_where_empty(name);
    }

    fn forget_where_empty(&mut self, name: &str) {
        let is_empty = |namespace: &Namespace| namespace.taken == 0 && namespace.waiting.is_empty();
        if self.namespaces.get(name).is_some_and(is_empty) {
            self.namespaces.remove(name);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.give_back(&self.namespace);
    }
}

/// Runs a reconciliation in its turn.
pub async fn run_within<F: Future>(slot: Slot, reconciliation: F) -> F::Output {
    CURRENT.scope(Arc::new(slot), reconciliation).await
}

/// Runs work off the async threads, as a part of the reconciliation that asks for it.
///
/// A thread cannot be stopped from outside. So the place stays taken as long as the work runs, even
/// if the reconciliation has given it up: what a namespace leaves behind counts against its own
/// share, and there are never more such threads than places.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let slot = CURRENT.try_with(Arc::clone).ok();
    tokio::task::spawn_blocking(move || {
        let _slot = slot;
        work()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    /// Waiters in the order of their requests; polled once each.
    fn ask(slots: &Slots, namespaces: &[&str]) -> Vec<(String, futures::future::BoxFuture<'static, Slot>)> {
        let mut waiting = Vec::new();
        for namespace in namespaces {
            let (slots, namespace) = (slots.clone(), (*namespace).to_owned());
            let name = namespace.clone();
            let mut future = async move { slots.wait(&namespace).await }.boxed();
            assert!(
                future.as_mut().now_or_never().is_none(),
                "{name} has a place already"
            );
            waiting.push((name, future));
        }
        waiting
    }

    #[tokio::test]
    async fn a_namespace_leaves_a_place_and_namespaces_take_turns() {
        let slots = Slots::new(4, Sharing::Namespaces);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(slots.wait("a").now_or_never().unwrap());
        }
        let mut waiting = ask(&slots, &["a", "a", "a"]);
        let quick = slots
            .wait("b")
            .now_or_never()
            .expect("the last place is not for a");
        waiting.extend(ask(&slots, &["b", "c", "b"]));
        assert!(slots.stuck_for(Instant::now()).is_some());
        drop(quick);
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let mut served = None;
            for (at, (_, future)) in waiting.iter_mut().enumerate() {
                if let Some(slot) = future.now_or_never() {
                    served = Some((at, slot));
                    break;
                }
            }
            match served {
                Some((at, slot)) => {
                    order.push(waiting.remove(at).0);
                    drop(slot);
                }
                None => drop(held.pop().expect("somebody is served")),
            }
        }
        assert_eq!(order, ["b", "c", "b", "a", "a", "a"]);
        drop(held);
        slots.wait_until_all_are_free().await;
        assert_eq!(slots.stuck_for(Instant::now()), None);
        assert!(
            lock(&slots.0.queue).namespaces.is_empty(),
            "nothing is kept of who is gone"
        );
    }

    #[test]
    fn the_others_have_a_quarter_of_many_places() {
        for (places, share) in [(1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (16, 12), (256, 192)] {
            let slots = Slots::new(places, Sharing::Namespaces);
            let mut held = Vec::new();
            while let Some(slot) = slots.wait("a").now_or_never() {
                held.push(slot);
            }
            assert_eq!(held.len(), share, "of {places}");
            let alone = Slots::new(places, Sharing::OneNamespace);
            let all: Vec<Slot> = std::iter::from_fn(|| alone.wait("a").now_or_never()).collect();
            assert_eq!(all.len(), usize::from(places));
        }
    }

    #[tokio::test]
    async fn who_goes_away_takes_no_place() {
        let slots = Slots::new(1, Sharing::Namespaces);
        let held = slots.wait("a").await;
        let waiting = ask(&slots, &["a", "b"]);
        drop(waiting);
        drop(held);
        drop(slots.wait("c").await);
        slots.wait_until_all_are_free().await;
    }

    #[tokio::test]
    async fn work_that_is_given_up_keeps_its_place_until_it_ends() {
        let slots = Slots::new(1, Sharing::Namespaces);
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let slot = slots.wait("a").await;
        let (work,) = run_within(slot, async move { (spawn_blocking(move || ends.recv()),) }).await;
        assert!(
            slots.wait("b").now_or_never().is_none(),
            "the thread is still at work"
        );
        end.send(()).unwrap();
        work.await.unwrap().unwrap();
        drop(slots.wait("c").await);
    }
}
