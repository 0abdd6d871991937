//! Metrics in the text format of `OpenMetrics`.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::objects::{Objects, Shown};

/// How a reconciliation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum OutcomeLabel {
    /// There was a result, and it was written.
    Changed,
    /// There was a result, and it stood there already.
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
    objects: Objects,
    notifications: Family<Notification, Counter>,
    fetches: Counter,
    fetched_bytes: Counter,
    evictions: Counter,
    storage_bytes: Gauge<f64, AtomicU64>,
    unreadable: Family<KindLabel, Gauge>,
    left_out: Counter,
    contents: Gauge,
    contents_bytes: Gauge,
}

/// What the mirrors have done since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorTotals {
    /// Packs that were fetched.
    pub fetches: u64,
    /// Bytes that were received.
    pub bytes: u64,
    /// Mirrors that were removed to make room.
    pub evictions: u64,
    /// Bytes that the mirrors take on disk.
    pub stored: u64,
}

/// What became of the events for the notification controller since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotificationTotals {
    /// They were taken.
    pub delivered: u64,
    /// The server had them already.
    pub duplicates: u64,
    /// They were given up.
    pub dropped: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("patchset");
        let reconciliations = Family::default();
        let durations = Family::<KindLabel, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.001, 4.0, 10))
        });
        let (active, working) = (Family::default(), Gauge::default());
        let notifications = Family::default();
        let (fetches, fetched_bytes, evictions) =
            (Counter::default(), Counter::default(), Counter::default());
        let storage_bytes = Gauge::default();
        registry.register(
            "reconciliations",
            "Reconciliations by outcome",
            reconciliations.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "Time that a reconciliation took",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register(
            "reconciliations_active",
            "Reconciliations under way",
            active.clone(),
        );
        registry.register(
            "working",
            "Whether this replica works, or stands by",
            working.clone(),
        );
        registry.register(
            "notifications",
            "Events for the notification controller by outcome",
            notifications.clone(),
        );
        let program = Family::<Program, Gauge>::default();
        let version = env!("CARGO_PKG_VERSION");
        program.get_or_create(&Program { version }).set(1);
        registry.register("build_info", "The program's version", program);
        let objects = Objects::register(&mut registry);
        registry.register("mirror_fetches", "Packs fetched from upstreams", fetches.clone());
        registry.register_with_unit(
            "mirror_received",
            "Bytes received from upstreams",
            Unit::Bytes,
            fetched_bytes.clone(),
        );
        registry.register(
            "mirror_evictions",
            "Mirrors removed to make room",
            evictions.clone(),
        );
        registry.register_with_unit(
            "mirror_stored",
            "Bytes that mirrors take on disk",
            Unit::Bytes,
            storage_bytes.clone(),
        );
        let (unreadable, left_out) = (Family::default(), Counter::default());
        let (contents, contents_bytes) = (Gauge::default(), Gauge::default());
        registry.register(
            "objects_unreadable",
            "Objects that cannot be read and are left alone",
            unreadable.clone(),
        );
        registry.register(
            "api_values_left_out",
            "Values nested too deep in answers of the API server",
            left_out.clone(),
        );
        registry.register(
            "contents",
            "Secrets and ConfigMaps whose contents are in memory",
            contents.clone(),
        );
        registry.register_with_unit(
            "contents_size",
            "The size of these contents",
            Unit::Bytes,
            contents_bytes.clone(),
        );
        Self {
            registry: Arc::new(registry),
            reconciliations,
            durations,
            active,
            working,
            objects,
            notifications,
            fetches,
            fetched_bytes,
            evictions,
            storage_bytes,
            unreadable,
            left_out,
            contents,
            contents_bytes,
        }
    }
}

impl Metrics {
    /// Notes that a reconciliation starts; the guard notes its end.
    #[must_use]
    pub fn started(&self, kind: &'static str) -> Active {
        let gauge = self.active.get_or_create(&KindLabel { kind }).clone();
        gauge.inc();
        Active(gauge)
    }

    /// Notes a reconciliation that ended.
    pub fn reconciled(&self, kind: &'static str, outcome: OutcomeLabel, took: Duration) {
        self.reconciliations
            .get_or_create(&Reconciliation { kind, outcome })
            .inc();
        self.durations
            .get_or_create(&KindLabel { kind })
            .observe(took.as_secs_f64());
    }

    /// Notes that this replica has begun to work.
    pub fn works(&self) {
        self.working.set(1);
    }

    /// Shows the objects as they are now, in place of those that were shown before.
    pub fn show_objects(&self, objects: impl IntoIterator<Item = Shown>) {
        self.objects.show(objects);
    }

    /// Shows how many objects of a kind cannot be read.
    pub fn show_unreadable(&self, kind: &'static str, count: usize) {
        self.unreadable
            .get_or_create(&KindLabel { kind })
            .set(as_gauge(count));
    }

    /// Shows how many values of the API server's answers were nested too deep.
    pub fn observe_left_out(&self, total: u64) {
        self.left_out
            .inner()
            .store(total, std::sync::atomic::Ordering::Relaxed);
    }

    /// Shows of how many Secrets and `ConfigMap`s the contents are in memory, and their bytes.
    pub fn observe_contents(&self, count: usize, bytes: usize) {
        self.contents.set(as_gauge(count));
        self.contents_bytes.set(as_gauge(bytes));
    }

    /// Shows what became of events.
    pub fn observe_notifications(&self, totals: NotificationTotals) {
        for (outcome, total) in [
            (Notified::Delivered, totals.delivered),
            (Notified::Duplicate, totals.duplicates),
            (Notified::Dropped, totals.dropped),
        ] {
            self.notifications
                .get_or_create(&Notification { outcome })
                .inner()
                .store(total, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Shows what the mirrors have done.
    pub fn observe_mirrors(&self, totals: MirrorTotals) {
        self.fetches
            .inner()
            .store(totals.fetches, std::sync::atomic::Ordering::Relaxed);
        self.fetched_bytes
            .inner()
            .store(totals.bytes, std::sync::atomic::Ordering::Relaxed);
        self.evictions
            .inner()
            .store(totals.evictions, std::sync::atomic::Ordering::Relaxed);
        #[allow(
            clippy::cast_precision_loss,
            reason = "a metric of bytes needs no more than 52 bits"
        )]
        self.storage_bytes.set(totals.stored as f64);
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

fn as_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
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
        let metrics = Metrics::default();
        metrics.reconciled("PatchSet", OutcomeLabel::Changed, Duration::from_millis(3));
        metrics.observe_mirrors(MirrorTotals {
            fetches: 2,
            bytes: 10,
            evictions: 0,
            stored: 7,
        });
        metrics.observe_notifications(NotificationTotals {
            delivered: 3,
            duplicates: 0,
            dropped: 1,
        });
        let standing_by = metrics.encode().unwrap();
        assert!(standing_by.contains("patchset_working 0"), "{standing_by}");
        metrics.works();
        let text = metrics.encode().unwrap();
        for line in [
            "patchset_mirror_fetches_total 2",
            r#"patchset_reconciliations_total{kind="PatchSet",outcome="Changed"} 1"#,
            r#"patchset_notifications_total{outcome="Delivered"} 3"#,
            r#"patchset_notifications_total{outcome="Dropped"} 1"#,
            "patchset_working 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
