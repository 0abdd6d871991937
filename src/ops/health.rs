//! Whether the process is alive and ready, as its watches and its queue show.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::runtime::watcher::{Error, Event};

/// How long a watch may take to list what it watches.
const LISTS_WITHIN: Duration = Duration::from_secs(120);
/// How long a watch may fail before the process counts as not ready.
const FAILS_FOR: Duration = Duration::from_secs(30);
/// A watch without a failure for this long works. While it fails, it is retried at least once a
/// minute.
const RECOVERED_AFTER: Duration = Duration::from_secs(90);

/// How long work has waited although nothing else was begun or ended; `None` where nothing waits.
type Stuck = dyn Fn(Instant) -> Option<Duration> + Send + Sync;

/// What a process should do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessDuty {
    /// The work.
    #[default]
    Work,
    /// Wait for the Lease: it is ready while it does.
    StandBy,
}

/// What `/healthz` and `/readyz` report.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    duty: ProcessDuty,
    watches: Vec<WatchHealth>,
    queue: Option<(Duration, Box<Stuck>)>,
}

impl Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("duty", &self.duty)
            .field("watches", &self.watches)
            .finish_non_exhaustive()
    }
}

impl Health {
    /// Notes what the process should do.
    pub fn set_duty(&self, duty: ProcessDuty) {
        self.lock().duty = duty;
    }

    /// Takes one more watch into account.
    #[must_use]
    pub fn watch(&self, kind: &str, presence: Presence) -> WatchHealth {
        let watch = WatchHealth(Arc::new(Mutex::new(Watch::new(kind, presence, Instant::now()))));
        self.lock().watches.push(watch.clone());
        watch
    }

    /// Takes a queue into account: the process counts as dead once work waited for `longest` while
    /// nothing was begun or ended.
    pub fn follow_queue(
        &self,
        longest: Duration,
        stuck: impl Fn(Instant) -> Option<Duration> + Send + Sync + 'static,
    ) {
        self.lock().queue = Some((longest, Box::new(stuck)));
    }

    /// Whether the process does its work, or stands by.
    ///
    /// # Errors
    ///
    /// What keeps it from that, in words.
    pub fn ready(&self) -> Result<(), String> {
        self.ready_at(Instant::now())
    }

    fn ready_at(&self, now: Instant) -> Result<(), String> {
        let inner = self.lock();
        if inner.duty == ProcessDuty::StandBy {
            return Ok(());
        }
        if inner.watches.is_empty() {
            return Err("the watches have not started".to_owned());
        }
        let faults: Vec<String> = inner
            .watches
            .iter()
            .filter_map(|watch| watch.lock().fault(now))
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("; "))
        }
    }

    /// Whether the process can go on at all.
    ///
    /// # Errors
    ///
    /// Why it cannot, in words.
    pub fn alive(&self) -> Result<(), String> {
        match &self.lock().queue {
            Some((longest, stuck)) => match stuck(Instant::now()) {
                Some(waited) if waited > *longest => Err(format!(
                    "objects have waited for {} s, and nothing was started or finished",
                    waited.as_secs()
                )),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a kind may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The API server has it.
    Required,
    /// It may be installed later, or removed.
    Optional,
}

/// What is known of one watch.
#[derive(Clone, Debug)]
pub struct WatchHealth(Arc<Mutex<Watch>>);

impl WatchHealth {
    /// Notes what the watch gave.
    pub fn observe<K>(&self, event: &Result<Event<K>, Error>) {
        self.lock().observe(event, Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Watch {
    kind: String,
    presence: Presence,
    /// Since when it lists; `None` once that is done.
    listing_since: Option<Instant>,
    was_listed: bool,
    /// The first and the last of the failures since it last worked.
    failed: Option<(Instant, Instant)>,
}

impl Watch {
    fn new(kind: &str, presence: Presence, now: Instant) -> Self {
        Self {
            kind: kind.to_owned(),
            presence,
            listing_since: Some(now),
            was_listed: false,
            failed: None,
        }
    }

    fn observe<K>(&mut self, event: &Result<Event<K>, Error>, now: Instant) {
        match event {
            Ok(Event::Init) => _ = self.listing_since.get_or_insert(now),
            Ok(Event::InitDone) => {
                (self.listing_since, self.was_listed, self.failed) = (None, true, None);
            }
            // Listing may fail again at the next page.
            Ok(Event::InitApply(_)) => {}
            Ok(Event::Apply(_) | Event::Delete(_)) => self.failed = None,
            Err(error) if self.presence == Presence::Optional && is_not_found(error) => {
                (self.listing_since, self.failed) = (None, None);
            }
            Err(_) => {
                let first = self.failed.map_or(now, |(first, _)| first);
                self.failed = Some((first, now));
            }
        }
    }

    fn fault(&self, now: Instant) -> Option<String> {
        let kind = &self.kind;
        let is_required = self.presence == Presence::Required;
        if is_required && !self.was_listed {
            return Some(format!("{kind} has not been listed yet"));
        }
        if let Some((first, last)) = self.failed
            && now.duration_since(last) < RECOVERED_AFTER
            && now.duration_since(first) >= FAILS_FOR
        {
            return Some(format!("the watch of {kind} is failing"));
        }
        let since = self.listing_since.filter(|_| self.was_listed)?;
        (now.duration_since(since) >= LISTS_WITHIN).then(|| format!("{kind} cannot be listed again"))
    }
}

fn is_not_found(error: &Error) -> bool {
    let (Error::InitialListFailed(cause) | Error::WatchStartFailed(cause) | Error::WatchFailed(cause)) =
        error
    else {
        return false;
    };
    matches!(cause, kube::Error::Api(status) if status.is_not_found())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Result<Event<()>, Error> {
        Err(Error::NoResourceVersion)
    }

    #[test]
    fn a_watch_that_fails_takes_readiness_until_it_works() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = Watch::new("Secret", Presence::Required, start);
        assert!(
            watch
                .fault(start)
                .is_some_and(|fault| fault.contains("listed yet"))
        );
        watch.observe(&Ok(Event::<()>::Init), start);
        assert!(watch.fault(start).is_some());
        watch.observe(&Ok(Event::<()>::InitDone), start);
        assert_eq!(watch.fault(at(9_999)), None);
        // A failure or two happen on every restart of the API server.
        watch.observe(&failed(), at(10_000));
        assert_eq!(watch.fault(at(10_010)), None);
        watch.observe(&failed(), at(10_040));
        assert!(watch.fault(at(10_040)).is_some());
        watch.observe(&Ok(Event::Apply(())), at(10_050));
        assert_eq!(watch.fault(at(10_050)), None);
        watch.observe(&failed(), at(10_060));
        watch.observe(&failed(), at(10_120));
        assert!(watch.fault(at(10_121)).is_some());
        // It retries more often than that: so it works, and nothing changes.
        assert_eq!(watch.fault(at(10_300)), None);
        watch.observe(&Ok(Event::<()>::Init), at(11_000));
        assert_eq!(watch.fault(at(11_060)), None);
        watch.observe(&Ok(Event::<()>::Init), at(11_100));
        assert!(watch.fault(at(11_130)).is_some());
    }

    #[test]
    fn standing_by_is_ready_and_a_queue_that_stands_still_is_dead() {
        let health = Health::default();
        assert!(health.ready().is_err());
        health.set_duty(ProcessDuty::StandBy);
        assert_eq!((health.ready(), health.alive()), (Ok(()), Ok(())));
        let minute = Duration::from_secs(60);
        health.follow_queue(minute, move |_| Some(minute));
        assert_eq!(health.alive(), Ok(()));
        health.follow_queue(minute, move |_| Some(minute * 2));
        assert!(health.alive().is_err());
    }
}
