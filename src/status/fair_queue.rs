//! A queue of what waits to be sent, by namespace: namespaces take turns, and if there is no room
//! left, the one that takes most loses what it added last. So no namespace delays or displaces what
//! another has to say.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// How much may wait at once, in all namespaces together.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

/// Items by namespace.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    limits: QueueLimits,
    waiting: Mutex<WaitingEvents<T>>,
    added: Notify,
}

#[derive(Debug)]
struct WaitingEvents<T> {
    queues: HashMap<String, NamespaceQueue<T>>,
    /// The namespaces that have a queue, the next one first.
    turns: VecDeque<String>,
    items: usize,
    bytes: usize,
}

/// What waits in one namespace, each item with its size in bytes.
#[derive(Debug)]
struct NamespaceQueue<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
}

impl<T> FairQueue<T> {
    pub(super) fn new(limits: QueueLimits) -> Self {
        let waiting = WaitingEvents {
            queues: HashMap::new(),
            turns: VecDeque::new(),
            items: 0,
            bytes: 0,
        };
        Self {
            limits,
            waiting: Mutex::new(waiting),
            added: Notify::new(),
        }
    }

    /// Adds an item of the given size in bytes. Returns what does not fit: the last items of the
    /// namespaces that take most, which may include this one.
    pub(super) fn push(&self, namespace: &str, size: usize, item: T) -> Vec<T> {
        let mut displaced = Vec::new();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(namespace, size, item);
            while waiting.items > self.limits.items || waiting.bytes > self.limits.bytes {
                let Some(item) = waiting.take_last_of_largest(self.limits) else {
                    break;
                };
                displaced.push(item);
            }
        }
        self.added.notify_one();
        displaced
    }

    /// Waits for the next item, each namespace in its turn and its items in their order. Only one
    /// task may call this.
    pub(super) async fn next(&self) -> T {
        loop {
            let added = self.added.notified();
            let next = self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take_next();
            match next {
                Some(item) => return item,
                None => added.await,
            }
        }
    }
}

impl<T> WaitingEvents<T> {
    fn push(&mut self, namespace: &str, size: usize, item: T) {
        let queue = self.queues.entry(namespace.to_owned()).or_insert_with(|| {
            self.turns.push_back(namespace.to_owned());
            NamespaceQueue {
                items: VecDeque::new(),
                bytes: 0,
            }
        });
        queue.items.push_back((size, item));
        queue.bytes += size;
        self.items += 1;
        self.bytes += size;
    }

    fn take_next(&mut self) -> Option<T> {
        let namespace = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&namespace)?;
        let (size, item) = queue.items.pop_front()?;
        queue.bytes -= size;
        if queue.items.is_empty() {
            self.queues.remove(&namespace);
        } else {
            self.turns.push_back(namespace);
        }
        self.items -= 1;
        self.bytes -= size;
        Some(item)
    }

    /// Weighs each namespace by whichever limit it takes the larger share of.
    fn take_last_of_largest(&mut self, limits: QueueLimits) -> Option<T> {
        let weight = |queue: &NamespaceQueue<T>| {
            (queue.items.len() * limits.bytes.max(1)).max(queue.bytes.saturating_mul(limits.items.max(1)))
        };
        let (namespace, queue) = self.queues.iter_mut().max_by_key(|(_, queue)| weight(queue))?;
        let namespace = namespace.clone();
        let (size, item) = queue.items.pop_back()?;
        queue.bytes -= size;
        if queue.items.is_empty() {
            self.queues.remove(&namespace);
            self.turns.retain(|turn| *turn != namespace);
        }
        self.items -= 1;
        self.bytes -= size;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: QueueLimits = QueueLimits {
        items: 10,
        bytes: 1000,
    };

    #[tokio::test]
    async fn namespaces_have_turns_and_their_items_an_order() {
        let queue = FairQueue::new(LIMITS);
        for item in ["a1", "a2", "a3", "b1", "c1", "b2"] {
            assert!(queue.push(&item[..1], 1, item).is_empty());
        }
        let mut order = Vec::new();
        for _ in 0..6 {
            order.push(queue.next().await);
        }
        assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[tokio::test]
    async fn who_takes_most_loses_what_it_added_last() {
        let queue = FairQueue::new(LIMITS);
        assert!(queue.push("honest", 1, 0).is_empty());
        for item in 1..10 {
            assert!(queue.push("greedy", 1, item).is_empty());
        }
        assert_eq!(queue.push("greedy", 1, 10), [10]);
        assert_eq!(queue.push("honest", 1, 11), [9]);
        assert_eq!(queue.push("other", 1, 12), [8]);
        assert_eq!(
            [queue.next().await, queue.next().await, queue.next().await],
            [0, 1, 12]
        );
    }

    #[test]
    fn bytes_count_as_items_do() {
        let queue = FairQueue::new(LIMITS);
        for item in 0..5 {
            assert!(queue.push("many", 1, item).is_empty());
        }
        assert!(queue.push("large", 600, 6).is_empty());
        assert_eq!(queue.push("large", 600, 7), [7]);
        assert_eq!(queue.push("huge", 2000, 8), [8]);
    }

    #[tokio::test]
    async fn whoever_waits_is_told_of_an_item() {
        let queue = std::sync::Arc::new(FairQueue::new(LIMITS));
        let waiting = tokio::spawn({
            let queue = std::sync::Arc::clone(&queue);
            async move { queue.next().await }
        });
        tokio::task::yield_now().await;
        queue.push("a", 1, "item");
        assert_eq!(waiting.await.unwrap(), "item");
    }
}
