//! One writer for each place: orders that come while another is written wait, and are then written
//! in one go.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::locking::lock;

/// How long the first waits for others.
const GATHER: Duration = Duration::from_millis(100);

/// Writers by place. One is kept while somebody waits for it.
pub struct BatchedWriters<K, O, A>(Mutex<HashMap<K, Arc<BatchedWriter<O, A>>>>);

struct BatchedWriter<O, A> {
    turn: tokio::sync::Mutex<()>,
    waiting: Mutex<Vec<(O, oneshot::Sender<A>)>>,
}

impl<K, O, A> Default for BatchedWriters<K, O, A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone, O, A> BatchedWriters<K, O, A> {
    /// Passes an order to a writer, and returns its answer. Whoever has the turn does the work for
    /// all waiting orders; the answers are in the order of the orders. `None` if the worker was
    /// stopped, or the turn did not come before the deadline: what was done is not known then.
    pub async fn run<W>(
        &self,
        key: &K,
        order: O,
        deadline: Instant,
        work: impl FnOnce(Vec<O>) -> W,
    ) -> Option<A>
    where
        W: Future<Output = Vec<A>>,
    {
        let writer = {
            let mut writers = lock(&self.0);
            writers.retain(|_, writer| Arc::strong_count(writer) > 1);
            Arc::clone(writers.entry(key.clone()).or_insert_with(|| {
                Arc::new(BatchedWriter {
                    turn: tokio::sync::Mutex::default(),
                    waiting: Mutex::default(),
                })
            }))
        };
        let (sender, mut receiver) = oneshot::channel();
        lock(&writer.waiting).push((order, sender));
        let _turn = tokio::time::timeout_at(deadline.into(), writer.turn.lock())
            .await
            .ok()?;
        match receiver.try_recv() {
            Ok(answer) => return Some(answer),
            Err(oneshot::error::TryRecvError::Closed) => return None,
            Err(oneshot::error::TryRecvError::Empty) => {}
        }
        tokio::time::sleep(GATHER).await;
        // An order whose caller was stopped while it waited is dropped.
        let waiting = std::mem::take(&mut *lock(&writer.waiting));
        let (orders, senders): (Vec<O>, Vec<_>) = waiting
            .into_iter()
            .filter(|(_, sender)| !sender.is_closed())
            .unzip();
        for (sender, answer) in senders.into_iter().zip(work(orders).await) {
            let _ = sender.send(answer);
        }
        receiver.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn what_waits_is_done_in_one_go() {
        let writers: BatchedWriters<&str, u32, u32> = BatchedWriters::default();
        let rounds = AtomicUsize::new(0);
        let double = |orders: Vec<u32>| {
            rounds.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                orders.into_iter().map(|order| order * 2).collect::<Vec<_>>()
            }
        };
        let answers = futures::future::join_all((0..10).map(|n| writers.run(&"a", n, soon(), double))).await;
        assert_eq!(answers, (0..10).map(|n| Some(n * 2)).collect::<Vec<_>>());
        assert_eq!(rounds.load(Ordering::SeqCst), 1);
        let other = futures::future::join(
            writers.run(&"b", 7, soon(), double),
            writers.run(&"c", 8, soon(), double),
        )
        .await;
        assert_eq!((other, rounds.load(Ordering::SeqCst)), ((Some(14), Some(16)), 3));
    }

    #[tokio::test]
    async fn who_is_stopped_takes_nobody_along() {
        let writers: BatchedWriters<&str, u32, u32> = BatchedWriters::default();
        let never = |_| std::future::pending::<Vec<u32>>();
        let stopped = tokio::time::timeout(Duration::from_millis(300), writers.run(&"a", 1, soon(), never));
        let beside = writers.run(&"a", 2, soon(), std::future::ready);
        let (stopped, beside) = futures::future::join(stopped, beside).await;
        assert!(stopped.is_err());
        // Its order was under way; the outcome is unknown.
        assert_eq!(beside, None);
        assert_eq!(writers.run(&"a", 3, soon(), std::future::ready).await, Some(3));
    }
}
