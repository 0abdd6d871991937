//! Upstreams that get a second look as soon as they may, for objects answered by a look that may be
//! older than what triggered their reconciliation.
//!
//! All objects on an upstream share that look, and one is looked at again only if the ref that it
//! was answered with has moved.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use git_mirrors::{LookedUp, RefSpec, Resolved, ServedLook, Upstream};
use patchset_api::referent::Referent;
use tokio::sync::Notify;

use super::locking::lock;

/// What a look showed to a reconciliation.
#[derive(Clone, Debug)]
pub struct UsedLook {
    pub upstream: Upstream,
    pub want: RefSpec,
    pub resolved: Resolved,
    pub look: ServedLook,
}

/// The looks that one attempt was answered by.
#[derive(Debug, Default)]
pub struct UsedLooks(Mutex<Vec<UsedLook>>);

impl UsedLooks {
    /// Records what was found; what needed no look is left out.
    pub fn record(&self, upstream: Upstream, want: RefSpec, found: &LookedUp) {
        if let Some(look) = found.look.clone() {
            lock(&self.0).push(UsedLook {
                upstream,
                want,
                resolved: found.resolved.clone(),
                look,
            });
        }
    }

    /// The last look that showed each ref.
    #[must_use]
    pub fn into_latest(self) -> Vec<UsedLook> {
        let used = self.0.into_inner().unwrap_or_default();
        let mut latest: HashMap<(String, RefSpec), UsedLook> = HashMap::new();
        for one in used {
            latest.insert((one.look.mirror.clone(), one.want.clone()), one);
        }
        latest.into_values().collect()
    }
}

/// An upstream that is to be looked at, and for whom.
#[derive(Debug)]
pub struct SecondLook {
    pub upstream: Upstream,
    /// When the last look began that an object was answered by.
    begun: Instant,
    shown: HashMap<RefSpec, Vec<ShownRef>>,
}

/// A ref as a look showed it, and the objects that were answered with that.
#[derive(Debug)]
pub struct ShownRef {
    pub resolved: Resolved,
    pub objects: HashSet<Referent>,
}

impl SecondLook {
    /// The refs that were asked for, each with what was answered.
    pub fn refs(&self) -> impl Iterator<Item = (&RefSpec, &ShownRef)> {
        let shown = self.shown.iter();
        shown.flat_map(|(want, shown)| shown.iter().map(move |one| (want, one)))
    }

    /// All objects that wait for it.
    pub fn objects(&self) -> impl Iterator<Item = &Referent> {
        self.refs().flat_map(|(_, shown)| &shown.objects)
    }
}

/// The upstreams that are to be looked at once more.
#[derive(Debug, Default)]
pub struct SecondLooks {
    /// By the name of the mirror.
    waiting: Mutex<HashMap<String, SecondLook>>,
    added: Notify,
}

impl SecondLooks {
    /// Records that an object was answered by a look which may be too old for it.
    pub fn record(&self, object: &Referent, used: UsedLook) {
        let UsedLook {
            upstream,
            want,
            resolved,
            look,
        } = used;
        let mut waiting = lock(&self.waiting);
        let waits = waiting.entry(look.mirror).or_insert_with(|| SecondLook {
            upstream,
            begun: look.begun,
            shown: HashMap::new(),
        });
        waits.begun = waits.begun.max(look.begun);
        let shown = waits.shown.entry(want).or_default();
        match shown.iter_mut().find(|one| one.resolved == resolved) {
            Some(one) => {
                one.objects.insert(object.clone());
            }
            None => shown.push(ShownRef {
                resolved,
                objects: HashSet::from([object.clone()]),
            }),
        }
        drop(waiting);
        self.added.notify_one();
    }

    /// Waits until there is something to look at, now or later.
    pub async fn wait_for_any(&self) {
        while lock(&self.waiting).is_empty() {
            self.added.notified().await;
        }
    }

    /// Takes the upstreams whose last look began at least `rest` ago: they may be looked at again.
    pub fn take_due(&self, now: Instant, rest: Duration) -> Vec<SecondLook> {
        let mut waiting = lock(&self.waiting);
        let due = waiting.extract_if(|_, look| now.saturating_duration_since(look.begun) >= rest);
        due.map(|(_, look)| look).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use patchset_api::referent::{ObjectKey, ReferentKind};

    fn used(mirror: &str, branch: &str, begun: Instant) -> UsedLook {
        let address = "https://example.org/a.git".parse().unwrap();
        UsedLook {
            upstream: Upstream::new(address, None, None).unwrap(),
            want: RefSpec::Branch(branch.to_owned()),
            resolved: Resolved::pinned("1".repeat(40).parse().unwrap()),
            look: ServedLook {
                mirror: mirror.to_owned(),
                begun,
            },
        }
    }

    fn object(name: &str) -> Referent {
        Referent {
            kind: ReferentKind::PatchSet,
            key: ObjectKey::new("ns", name),
        }
    }

    #[test]
    fn an_upstream_is_due_once_for_all_objects_and_when_its_last_look_is_old_enough() {
        let looks = SecondLooks::default();
        let begin = Instant::now();
        let second = |second| begin + Duration::from_secs(second);
        let rest = Duration::from_secs(10);
        for (name, mirror, branch, begun) in [
            ("a", "one", "main", 0),
            ("b", "one", "main", 0),
            ("b", "one", "stable", 0),
            ("c", "one", "main", 4),
            ("d", "two", "main", 1),
        ] {
            looks.record(&object(name), used(mirror, branch, second(begun)));
        }
        assert!(looks.take_due(second(10), rest).is_empty());
        let due = looks.take_due(second(11), rest);
        let names = |look: &SecondLook| -> Vec<String> {
            let names: BTreeSet<&str> = look.objects().map(|object| object.key.name.as_str()).collect();
            names.into_iter().map(ToOwned::to_owned).collect()
        };
        assert_eq!(due.iter().map(names).collect::<Vec<_>>(), [["d"]]);
        let due = looks.take_due(second(14), rest);
        assert_eq!(due.iter().map(names).collect::<Vec<_>>(), [["a", "b", "c"]]);
        assert_eq!(due[0].refs().count(), 2, "one for each ref");
        assert!(looks.take_due(second(60), rest).is_empty());
    }

    #[test]
    fn of_what_an_attempt_used_the_last_counts_for_each_ref() {
        let looks = UsedLooks::default();
        let begin = Instant::now();
        for (branch, begun) in [("main", 0), ("stable", 0), ("main", 3)] {
            let UsedLook {
                upstream,
                want,
                resolved,
                look,
            } = used("one", branch, begin + Duration::from_secs(begun));
            let look = Some(look);
            looks.record(upstream, want, &LookedUp { resolved, look });
        }
        let mut latest = looks.into_latest();
        latest.sort_by_key(|one| one.look.begun);
        let begun: Vec<u64> = latest
            .iter()
            .map(|one| (one.look.begun - begin).as_secs())
            .collect();
        assert_eq!(begun, [0, 3]);
    }
}
