//! Metrics in the text format of `OpenMetrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry, Unit};

use super::objects::{ObjectSource, Objects, as_gauge};

/// How a reconciliation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum OutcomeLabel {
    /// There was a result, and it was written.
    Changed,
    /// There was a result, and it was stored already.
    Unchanged,
    /// A step failed and will be repeated.
    Failed,
    /// The object is suspended.
    Suspended,
}

/// Labels of a reconciliation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconciliation {
    kind: &'static str,
    outcome: OutcomeLabel,
}

/// Labels of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// What became of an event for the notification controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Notified {
    Delivered,
    Duplicate,
    Dropped,
}

/// Labels of events.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Notification {
    outcome: Notified,
}

/// What became of a push that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum PushOutcome {
    /// It woke objects.
    Woke,
    /// It wakes objects later, together with others.
    Deferred,
    /// No object reads the repository.
    Unconcerned,
    /// It was about something other than a push.
    NoPush,
    /// It could not be read.
    Unreadable,
    /// It was not signed with the token, or there is no usable token.
    Refused,
    /// There is no such hook.
    UnknownHook,
    /// There were too many for the hook or its namespace.
    Limited,
    /// There were too many requests at the same time.
    Overloaded,
}

/// Labels of pushes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PushLabels {
    outcome: PushOutcome,
}

/// What upkeep did at a forge or to a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum UpkeepAct {
    /// Commits were pushed.
    Pushed,
    /// A pull request was opened.
    Opened,
    /// Its title, text or labels were changed.
    Updated,
    /// It was closed.
    Closed,
    /// One of these failed.
    Failed,
}

/// Labels of what upkeep did.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpkeepLabels {
    act: UpkeepAct,
}

/// Labels of the program.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Program {
    version: &'static str,
}

/// The controller's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    reconciliations: Family<Reconciliation, Counter>,
    durations: Family<KindLabel, Histogram>,
    active: Family<KindLabel, Gauge>,
    working: Gauge,
    notifications: Family<Notification, Counter>,
    pushes: Family<PushLabels, Counter>,
    upkeep: Family<UpkeepLabels, Counter>,
    mirrors: MirrorMetrics,
    unreadable: Family<KindLabel, Gauge>,
    left_out: Counter,
    contents: Gauge,
    contents_bytes: Gauge,
}

/// The metrics of mirrors.
#[derive(Clone, Debug)]
struct MirrorMetrics {
    looks: Counter,
    fetches: Counter,
    fetched_bytes: Counter,
    evictions: Counter,
    rebuilds: Counter,
    storage_bytes: Gauge<f64, AtomicU64>,
}

/// What the mirrors have done since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorTotals {
    /// Looks at the refs of upstreams.
    pub looks: u64,
    /// Packs that were fetched.
    pub fetches: u64,
    /// Bytes that were received.
    pub bytes: u64,
    /// Mirrors that were removed to make room.
    pub evictions: u64,
    /// Mirrors that were damaged or had too many packs, and were thrown away.
    pub rebuilds: u64,
    /// Bytes that the mirrors take on disk.
    pub stored: u64,
}

/// What became of the events for the notification controller since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotificationTotals {
    /// Those that were accepted.
    pub delivered: u64,
    /// Those that the server had already.
    pub duplicates: u64,
    /// Those that were given up.
    pub dropped: u64,
}

impl Metrics {
    /// Makes metrics that start at zero, and those of the objects that the source gives.
    #[must_use]
    pub fn new(objects: ObjectSource) -> Self {
        let mut all = Registering(Registry::with_prefix("patchset"));
        all.add_program();
        all.0.register_collector(Box::new(Objects(objects)));
        let durations = || Histogram::new(exponential_buckets(0.001, 4.0, 10));
        Self {
            reconciliations: all.add("reconciliations", "Reconciliations by outcome", Family::default()),
            durations: all.add_with_unit(
                "reconcile_duration",
                "Time that a reconciliation took",
                Unit::Seconds,
                Family::new_with_constructor(durations),
            ),
            active: all.add(
                "reconciliations_active",
                "Reconciliations under way",
                Family::default(),
            ),
            working: all.add(
                "working",
                "Whether this replica is active or on standby",
                Gauge::default(),
            ),
            notifications: all.add(
                "notifications",
                "Events for the notification controller by outcome",
                Family::default(),
            ),
            pushes: all.add(
                "pushes",
                "Pushes that were received, by outcome",
                Family::default(),
            ),
            upkeep: all.add(
                "upkeep_acts",
                "What was done to branches and pull requests for the upkeep of patches",
                Family::default(),
            ),
            mirrors: MirrorMetrics::register(&mut all),
            unreadable: all.add(
                "objects_unreadable",
                "Objects that cannot be read and are left alone",
                Family::default(),
            ),
            left_out: all.add(
                "api_values_left_out",
                "Values nested too deep in answers of the API server",
                Counter::default(),
            ),
            contents: all.add(
                "contents",
                "Secrets and ConfigMaps whose contents are in memory",
                Gauge::default(),
            ),
            contents_bytes: all.add_with_unit(
                "contents_size",
                "The size of these contents",
                Unit::Bytes,
                Gauge::default(),
            ),
            registry: Arc::new(all.0),
        }
    }
}

impl MirrorMetrics {
    fn register(all: &mut Registering) -> Self {
        Self {
            looks: all.add(
                "mirror_looks",
                "Looks at the refs of upstreams",
                Counter::default(),
            ),
            fetches: all.add(
                "mirror_fetches",
                "Packs fetched from upstreams",
                Counter::default(),
            ),
            fetched_bytes: all.add_with_unit(
                "mirror_received",
                "Bytes received from upstreams",
                Unit::Bytes,
                Counter::default(),
            ),
            evictions: all.add(
                "mirror_evictions",
                "Mirrors removed to make room",
                Counter::default(),
            ),
            rebuilds: all.add(
                "mirror_rebuilds",
                "Mirrors discarded, to be fetched again",
                Counter::default(),
            ),
            storage_bytes: all.add_with_unit(
                "mirror_stored",
                "Bytes that mirrors take on disk",
                Unit::Bytes,
                Gauge::default(),
            ),
        }
    }
}

/// A registry that is being filled. It encodes metrics in the order in which they are added.
struct Registering(Registry);

impl Registering {
    fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn add_with_unit<M: Metric + Clone>(&mut self, name: &str, help: &str, unit: Unit, metric: M) -> M {
        self.0.register_with_unit(name, help, unit, metric.clone());
        metric
    }

    fn add_program(&mut self) {
        let program = self.add(
            "build_info",
            "The program's version",
            Family::<Program, Gauge>::default(),
        );
        let version = env!("CARGO_PKG_VERSION");
        program.get_or_create(&Program { version }).set(1);
    }
}

impl Metrics {
    /// Notes that a reconciliation starts; the guard notes its end.
    #[must_use]
    pub fn count_active(&self, kind: &'static str) -> Active {
        let gauge = self.active.get_or_create(&KindLabel { kind }).clone();
        gauge.inc();
        Active(gauge)
    }

    /// Notes a reconciliation that ended.
    pub fn observe_reconciliation(&self, kind: &'static str, outcome: OutcomeLabel, took: Duration) {
        self.reconciliations
            .get_or_create(&Reconciliation { kind, outcome })
            .inc();
        self.durations
            .get_or_create(&KindLabel { kind })
            .observe(took.as_secs_f64());
    }

    /// Notes what became of a push that was received.
    pub fn count_push(&self, outcome: PushOutcome) {
        self.pushes.get_or_create(&PushLabels { outcome }).inc();
    }

    /// Counts what upkeep did.
    pub fn count_upkeep_act(&self, act: UpkeepAct) {
        self.upkeep.get_or_create(&UpkeepLabels { act }).inc();
    }

    /// Notes that this replica has begun to work.
    pub fn set_working(&self) {
        self.working.set(1);
    }

    /// Shows how many objects of a kind cannot be read.
    pub fn set_unreadable(&self, kind: &'static str, count: usize) {
        self.unreadable
            .get_or_create(&KindLabel { kind })
            .set(as_gauge(count));
    }

    /// Shows how many values of the API server's answers were nested too deep.
    pub fn set_left_out(&self, total: u64) {
        self.left_out.inner().store(total, Ordering::Relaxed);
    }

    /// Shows how many Secrets and `ConfigMap`s have their contents in memory, and their bytes.
    pub fn set_contents(&self, count: usize, bytes: usize) {
        self.contents.set(as_gauge(count));
        self.contents_bytes.set(as_gauge(bytes));
    }

    /// Shows what became of events.
    pub fn set_notification_totals(&self, totals: NotificationTotals) {
        for (outcome, total) in [
            (Notified::Delivered, totals.delivered),
            (Notified::Duplicate, totals.duplicates),
            (Notified::Dropped, totals.dropped),
        ] {
            self.notifications
                .get_or_create(&Notification { outcome })
                .inner()
                .store(total, Ordering::Relaxed);
        }
    }

    /// Shows what the mirrors have done.
    pub fn set_mirror_totals(&self, totals: MirrorTotals) {
        for (counter, total) in [
            (&self.mirrors.looks, totals.looks),
            (&self.mirrors.fetches, totals.fetches),
            (&self.mirrors.fetched_bytes, totals.bytes),
            (&self.mirrors.evictions, totals.evictions),
            (&self.mirrors.rebuilds, totals.rebuilds),
        ] {
            counter.inner().store(total, Ordering::Relaxed);
        }
        #[allow(
            clippy::cast_precision_loss,
            reason = "a metric of bytes needs no more than 52 bits"
        )]
        self.mirrors.storage_bytes.set(totals.stored as f64);
    }

    /// All metrics as text.
    ///
    /// # Errors
    ///
    /// Where a metric cannot be formatted.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// A reconciliation under way.
#[derive(Debug)]
pub struct Active(Gauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_process_does_is_shown() {
        let metrics = Metrics::new(Box::new(|| Box::new(std::iter::empty())));
        metrics.observe_reconciliation("PatchSet", OutcomeLabel::Changed, Duration::from_millis(3));
        metrics.count_push(PushOutcome::Woke);
        metrics.count_upkeep_act(UpkeepAct::Opened);
        metrics.set_mirror_totals(MirrorTotals {
            looks: 5,
            fetches: 2,
            bytes: 10,
            evictions: 0,
            rebuilds: 1,
            stored: 7,
        });
        metrics.set_notification_totals(NotificationTotals {
            delivered: 3,
            duplicates: 0,
            dropped: 1,
        });
        let standing_by = metrics.encode().unwrap();
        assert!(standing_by.contains("patchset_working 0"), "{standing_by}");
        metrics.set_working();
        let text = metrics.encode().unwrap();
        for line in [
            "patchset_mirror_looks_total 5",
            "patchset_mirror_fetches_total 2",
            "patchset_mirror_rebuilds_total 1",
            r#"patchset_pushes_total{outcome="Woke"} 1"#,
            r#"patchset_upkeep_acts_total{act="Opened"} 1"#,
            r#"patchset_reconciliations_total{kind="PatchSet",outcome="Changed"} 1"#,
            r#"patchset_notifications_total{outcome="Delivered"} 3"#,
            r#"patchset_notifications_total{outcome="Dropped"} 1"#,
            "patchset_working 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
