//! Decides when an object is worked on: as soon as that is requested, and after the wait that its
//! last work ended with; never twice at the same time.
//!
//! Everything that waits for its turn is held here, up to all objects that exist: the cost of one
//! must not grow with the number of the others. (kube's `Controller` polls each reconciliation that
//! has begun whenever one of them moves.)

use std::collections::{BTreeSet, HashMap};
use std::future::{Future, pending};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use tokio::task::JoinSet;

/// Whether requested work has begun: from then on it may miss changes.
#[derive(Clone, Debug, Default)]
pub struct Begun(Arc<AtomicBool>);

impl Begun {
    /// Marks the work as begun. Its object is to be read after that.
    pub fn mark(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_noted(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What waits, and what is under way.
#[derive(Debug)]
struct WorkQueue<T> {
    active: HashMap<T, ActiveWork>,
    /// When to work on objects for which nothing asks.
    due: HashMap<T, Instant>,
    by_time: BTreeSet<(Instant, T)>,
}

/// Work that was asked for and has not ended.
#[derive(Debug, Default)]
struct ActiveWork {
    begun: Begun,
    /// Whether it was requested again after it began.
    again: bool,
}

impl<T: Clone + Eq + Hash + Ord> WorkQueue<T> {
    fn new() -> Self {
        Self {
            active: HashMap::new(),
            due: HashMap::new(),
            by_time: BTreeSet::new(),
        }
    }

    /// Requests work. Returns the mark of its beginning if it is to be started.
    fn ask(&mut self, key: &T) -> Option<Begun> {
        if let Some(active) = self.active.get_mut(key) {
            active.again |= active.begun.is_noted();
            return None;
        }
        self.forget_time(key);
        let begun = Begun::default();
        let active = ActiveWork {
            begun: begun.clone(),
            again: false,
        };
        self.active.insert(key.clone(), active);
        Some(begun)
    }

    /// Notes that work ended, and the time after which it is wanted again. Returns the mark of its
    /// beginning if it is to be started again at once.
    fn end(&mut self, key: &T, wait: Option<Duration>) -> Option<Begun> {
        let ended = self.active.remove(key);
        if ended.is_some_and(|ended| ended.again) {
            return self.ask(key);
        }
        // A time beyond the clock's range never comes.
        if let Some(at) = wait.and_then(|wait| Instant::now().checked_add(wait)) {
            self.due.insert(key.clone(), at);
            self.by_time.insert((at, key.clone()));
        }
        None
    }

    /// Waits for the next that is due.
    async fn next_due(&mut self) -> T {
        let Some((at, _)) = self.by_time.first() else {
            return pending().await;
        };
        tokio::time::sleep_until((*at).into()).await;
        match self.by_time.pop_first() {
            Some((_, key)) => {
                self.due.remove(&key);
                key
            }
            None => pending().await,
        }
    }

    fn forget_time(&mut self, key: &T) {
        if let Some(at) = self.due.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }
}

/// Starts work on all that is requested or due, until there can be no more requests or work ends
/// badly.
///
/// Nothing is started before `ready`; requests made until then are not lost. Work returns the time
/// after which it is wanted again, if known.
pub async fn run<T, W>(
    asked: impl Stream<Item = T>,
    ready: impl Future<Output = ()>,
    work: impl Fn(T, Begun) -> W,
) where
    T: Clone + Eq + Hash + Ord + Send + 'static,
    W: Future<Output = Option<Duration>> + Send + 'static,
{
    let (mut asked, mut ready) = (std::pin::pin!(asked), std::pin::pin!(ready));
    let mut early: BTreeSet<T> = BTreeSet::new();
    loop {
        tokio::select! {
            () = &mut ready => break,
            key = asked.next() => match key {
                Some(key) => early.insert(key),
                None => return,
            },
        };
    }
    let mut queue = WorkQueue::new();
    let mut active: JoinSet<(T, Option<Duration>)> = JoinSet::new();
    let start = |active: &mut JoinSet<(T, Option<Duration>)>, key: T, begun: Begun| {
        let working = work(key.clone(), begun);
        active.spawn(async move { (key, working.await) });
    };
    for key in early {
        if let Some(begun) = queue.ask(&key) {
            start(&mut active, key, begun);
        }
    }
    loop {
        let (key, begun) = tokio::select! {
            key = asked.next() => match key {
                Some(key) => (key.clone(), queue.ask(&key)),
                None => return,
            },
            key = queue.next_due() => (key.clone(), queue.ask(&key)),
            Some(ended) = active.join_next() => match ended {
                Ok((key, wait)) => (key.clone(), queue.end(&key, wait)),
                Err(error) => {
                    tracing::error!(%error, "work on an object ended badly");
                    return;
                }
            },
        };
        if let Some(begun) = begun {
            start(&mut active, key, begun);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::{Semaphore, mpsc};
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::*;

    #[test]
    fn what_is_asked_for_before_it_begins_is_one_work_and_after_that_one_more() {
        let mut queue = WorkQueue::new();
        let begun = queue.ask(&"a").unwrap();
        assert!(queue.ask(&"a").is_none() && queue.ask(&"b").is_some());
        begun.mark();
        assert!(queue.ask(&"a").is_none() && queue.ask(&"a").is_none());
        // Requested again, whatever wait resulted.
        assert!(queue.end(&"a", Some(Duration::from_secs(60))).is_some());
        assert!(queue.end(&"a", None).is_none());
        assert!(queue.end(&"b", None).is_none());
        assert!(queue.active.is_empty() && queue.due.is_empty() && queue.by_time.is_empty());
    }

    #[tokio::test]
    async fn what_is_due_comes_in_the_order_of_time_unless_it_is_asked_for_before() {
        let mut queue = WorkQueue::new();
        for (key, wait) in [("c", 30), ("a", 10), ("asked", 1), ("b", 20), ("never", u64::MAX)] {
            let _ = queue.ask(&key);
            let wait = Duration::from_millis(wait);
            let wait = if key == "never" { Duration::MAX } else { wait };
            assert!(queue.end(&key, Some(wait)).is_none());
        }
        assert!(queue.ask(&"asked").is_some());
        let order = [
            queue.next_due().await,
            queue.next_due().await,
            queue.next_due().await,
        ];
        assert_eq!(order, ["a", "b", "c"]);
        assert!(queue.due.is_empty() && queue.by_time.is_empty());
    }

    #[tokio::test]
    async fn nothing_begins_before_all_is_ready_and_nothing_is_lost() {
        let (ask, asked) = mpsc::unbounded_channel();
        let (ready, is_ready) = tokio::sync::oneshot::channel::<()>();
        let worked: Arc<Mutex<Vec<u32>>> = Arc::default();
        let (done, all_done) = (Arc::new(Semaphore::new(0)), Arc::clone(&worked));
        let work = {
            let done = Arc::clone(&done);
            move |key: u32, begun: Begun| {
                let (worked, done) = (Arc::clone(&worked), Arc::clone(&done));
                async move {
                    begun.mark();
                    worked.lock().unwrap().push(key);
                    done.add_permits(1);
                    // One that asks to be worked on twice.
                    (key == 7 && worked.lock().unwrap().iter().filter(|one| **one == 7).count() < 2)
                        .then_some(Duration::from_millis(1))
                }
            }
        };
        let ready_at = async move { is_ready.await.unwrap() };
        let running = tokio::spawn(run(UnboundedReceiverStream::new(asked), ready_at, work));
        for key in [7, 3, 7, 5] {
            ask.send(key).unwrap();
        }
        ready.send(()).unwrap();
        let _ = done.acquire_many(4).await.unwrap();
        let mut found = all_done.lock().unwrap().clone();
        found.sort_unstable();
        assert_eq!(found, [3, 5, 7, 7]);
        drop(ask);
        running.await.unwrap();
    }

    /// The time for one object must not grow with the number of waiting ones.
    #[tokio::test]
    async fn those_that_wait_are_not_looked_at_while_others_work() {
        struct Counted<F>(F, Arc<std::sync::atomic::AtomicUsize>);
        impl<F: Future + Unpin> Future for Counted<F> {
            type Output = F::Output;
            fn poll(
                mut self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<F::Output> {
                self.1.fetch_add(1, Ordering::SeqCst);
                std::pin::Pin::new(&mut self.0).poll(context)
            }
        }
        const OBJECTS: usize = 2_000;
        let polls = Arc::<std::sync::atomic::AtomicUsize>::default();
        let (places, ended) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(0)));
        let work = {
            let (polls, ended) = (Arc::clone(&polls), Arc::clone(&ended));
            move |_: usize, begun: Begun| {
                let (places, ended) = (Arc::clone(&places), Arc::clone(&ended));
                let working = async move {
                    let _place = places.acquire().await.unwrap();
                    begun.mark();
                    tokio::task::yield_now().await;
                    ended.add_permits(1);
                    None
                };
                Counted(Box::pin(working), Arc::clone(&polls))
            }
        };
        let (ask, asked) = mpsc::unbounded_channel();
        let running = tokio::spawn(run(UnboundedReceiverStream::new(asked), async {}, work));
        (0..OBJECTS).for_each(|key| ask.send(key).unwrap());
        let _ = ended.acquire_many(u32::try_from(OBJECTS).unwrap()).await.unwrap();
        let polls = polls.load(Ordering::SeqCst);
        assert!(polls <= 4 * OBJECTS, "{polls} polls of {OBJECTS} objects");
        running.abort();
    }
}
