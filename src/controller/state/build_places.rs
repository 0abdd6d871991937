//! How many builds may be under way at the same time, and whose turn is next.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use patchset_api::referent::ObjectKey;

/// How long the watch may take to show a build that began.
pub const BEGINS_WITHIN: Duration = Duration::from_secs(60);

/// How long a waiting build keeps its place in the queue without asking again: some polls of a
/// queued build.
const KEPT: Duration = Duration::from_secs(180);

/// The bounds of builds by one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildLimits {
    /// How many may be under way in one namespace.
    pub in_namespace: usize,
    /// How many in all.
    pub in_all: usize,
    /// How long one may take.
    pub timeout: Duration,
}

/// How many builds are under way in each namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnderWay(HashMap<String, usize>);

impl UnderWay {
    pub fn in_namespace(&self, namespace: &str) -> usize {
        self.0.get(namespace).copied().unwrap_or_default()
    }

    /// How many in all. A namespace that has more than its share, because Jobs were made there by
    /// hand, counts with its share alone.
    pub fn in_all(&self, limits: BuildLimits) -> usize {
        self.0.values().map(|count| limits.in_namespace.min(*count)).sum()
    }

    fn add(&mut self, namespace: &str) {
        *self.0.entry(namespace.to_owned()).or_default() += 1;
    }
}

impl FromIterator<String> for UnderWay {
    /// Counts builds by their namespaces.
    fn from_iter<I: IntoIterator<Item = String>>(namespaces: I) -> Self {
        let mut counted = Self::default();
        namespaces
            .into_iter()
            .for_each(|namespace| counted.add(&namespace));
        counted
    }
}

/// Why a build has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    in_namespace: usize,
    in_all: usize,
    limits: BuildLimits,
}

impl fmt::Display for Queued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "waiting for its turn: {} builds are under way for this namespace (at most {}), {} in all (at most {})",
            self.in_namespace, self.limits.in_namespace, self.in_all, self.limits.in_all
        )
    }
}

/// The `PatchSet`s whose builds wait, in the order in which they came, with the time when each last
/// asked.
#[derive(Debug, Default)]
pub struct BuildQueue(Vec<(ObjectKey, Instant)>);

impl BuildQueue {
    /// Asks for a place. If it is given, the build does not wait any more; if not, it waits behind
    /// those that came before.
    pub fn ask(
        &mut self,
        build: &ObjectKey,
        under_way: &UnderWay,
        limits: BuildLimits,
        now: Instant,
    ) -> Result<(), Queued> {
        self.0
            .retain(|(waiting, asked)| waiting == build || now.duration_since(*asked) < KEPT);
        match self.0.iter_mut().find(|(waiting, _)| waiting == build) {
            Some((_, asked)) => *asked = now,
            None => self.0.push((build.clone(), now)),
        }
        if self.next_builds(under_way, limits).contains(build) {
            self.stop_waiting(build);
            return Ok(());
        }
        Err(Queued {
            in_namespace: under_way.in_namespace(&build.namespace),
            in_all: under_way.in_all(limits),
            limits,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes a build that does not wait any more.
    fn stop_waiting(&mut self, build: &ObjectKey) {
        self.0.retain(|(waiting, _)| waiting != build);
    }

    /// Removes the builds that do not wait any more.
    pub fn retain(&mut self, waits: impl Fn(&ObjectKey) -> bool) {
        self.0.retain(|(waiting, _)| waits(waiting));
    }

    /// The builds that may begin. The namespace with the fewest builds is next, and in it the first
    /// to come, so that a namespace with many builds does not hold up one with few.
    pub fn next_builds(&self, under_way: &UnderWay, limits: BuildLimits) -> Vec<ObjectKey> {
        let mut under_way = under_way.clone();
        let mut waiting: Vec<&ObjectKey> = self.0.iter().map(|(waiting, _)| waiting).collect();
        let mut turns = Vec::new();
        while under_way.in_all(limits) < limits.in_all {
            let next = waiting
                .iter()
                .enumerate()
                .map(|(at, build)| (under_way.in_namespace(&build.namespace), at))
                .filter(|(count, _)| *count < limits.in_namespace)
                .min();
            let Some((_, at)) = next else { break };
            let build = waiting.remove(at);
            under_way.add(&build.namespace);
            turns.push(build.clone());
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(in_namespace: usize, in_all: usize) -> BuildLimits {
        BuildLimits {
            in_namespace,
            in_all,
            timeout: Duration::ZERO,
        }
    }

    fn build(namespace: &str, number: usize) -> ObjectKey {
        ObjectKey {
            namespace: namespace.to_owned(),
            name: number.to_string(),
        }
    }

    fn under_way(namespaces: &[&str]) -> UnderWay {
        namespaces
            .iter()
            .map(|namespace| (*namespace).to_owned())
            .collect()
    }

    #[test]
    fn a_namespace_has_its_share_and_no_more() {
        let (mut queue, now) = (BuildQueue::default(), Instant::now());
        let some = under_way(&["a", "a"]);
        let queued = queue.ask(&build("a", 0), &some, limits(2, 4), now).unwrap_err();
        assert!(
            queued
                .to_string()
                .contains("2 builds are under way for this namespace (at most 2), 2 in all (at most 4)")
        );
        assert_eq!(queue.ask(&build("b", 0), &some, limits(2, 4), now), Ok(()));
        // More than its share counts as its share.
        let many = under_way(&["a"; 9]);
        assert_eq!(queue.ask(&build("b", 1), &many, limits(2, 4), now), Ok(()));
        let full = under_way(&["a", "a", "b", "c"]);
        assert!(queue.ask(&build("d", 0), &full, limits(2, 4), now).is_err());
    }

    #[test]
    fn turns_go_round_the_namespaces_and_by_arrival_in_each() {
        let (mut queue, now) = (BuildQueue::default(), Instant::now());
        let full = under_way(&["x", "x", "y", "y"]);
        for number in 0..100 {
            assert!(
                queue
                    .ask(&build("greedy", number), &full, limits(2, 4), now)
                    .is_err()
            );
        }
        assert!(queue.ask(&build("honest", 0), &full, limits(2, 4), now).is_err());
        assert!(queue.ask(&build("honest", 1), &full, limits(2, 4), now).is_err());
        let free = under_way(&["greedy"]);
        let turns = [build("honest", 0), build("greedy", 0), build("honest", 1)];
        assert_eq!(queue.next_builds(&free, limits(2, 4)), turns);
        // A later one has no turn, even if it asks first.
        let late = queue.ask(&build("greedy", 1), &free, limits(2, 4), now);
        assert!(late.is_err());
        assert_eq!(queue.ask(&build("honest", 0), &free, limits(2, 4), now), Ok(()));
    }

    #[test]
    fn who_does_not_ask_any_more_holds_nobody_up() {
        let (mut queue, now) = (BuildQueue::default(), Instant::now());
        assert!(
            queue
                .ask(&build("a", 0), &under_way(&["x"]), limits(1, 1), now)
                .is_err()
        );
        let free = under_way(&[]);
        assert!(
            queue
                .ask(&build("b", 0), &free, limits(1, 1), now + KEPT / 2)
                .is_err()
        );
        assert_eq!(queue.ask(&build("b", 0), &free, limits(1, 1), now + KEPT), Ok(()));
        assert!(
            queue
                .ask(&build("c", 0), &under_way(&["x"]), limits(1, 1), now)
                .is_err()
        );
        queue.retain(|build| build.namespace != "c");
        assert_eq!(queue.next_builds(&free, limits(1, 1)), []);
    }
}
