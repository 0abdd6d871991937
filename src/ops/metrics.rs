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

/// How a reconciliation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
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
    outcome: Outcome,
}

/// Labels of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// Labels of an object's condition, as Flux's `gotk_resource_info` has them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectCondition {
    kind: &'static str,
    namespace: String,
    name: String,
    reason: String,
    ready: String,
}

/// Labels of an object's patches or overrides.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectStates {
    namespace: String,
    name: String,
    state: &'static str,
}

/// The controller's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    reconciliations: Family<Reconciliation, Counter>,
    durations: Family<Kind, Histogram>,
    active: Family<Kind, Gauge>,
    ready: Family<ObjectCondition, Gauge>,
    patches: Family<ObjectStates, Gauge>,
    overrides: Family<ObjectStates, Gauge>,
    fetches: Counter,
    fetched_bytes: Counter,
    evictions: Counter,
    storage_bytes: Gauge<f64, AtomicU64>,
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
    /// Bytes on disk now.
    pub stored: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("patchset");
        let reconciliations = Family::default();
        let durations = Family::<Kind, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.001, 4.0, 10))
        });
        let (active, ready) = (Family::default(), Family::default());
        let (patches, overrides) = (Family::default(), Family::default());
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
            "resource_info",
            "Objects with their Ready condition",
            ready.clone(),
        );
        registry.register("patches", "Patches of each PatchSet by state", patches.clone());
        registry.register(
            "overrides",
            "Overrides of each ConstraintOverride by state",
            overrides.clone(),
        );
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
        Self {
            registry: Arc::new(registry),
            reconciliations,
            durations,
            active,
            ready,
            patches,
            overrides,
            fetches,
            fetched_bytes,
            evictions,
            storage_bytes,
        }
    }
}

impl Metrics {
    /// Notes that a reconciliation starts; the guard notes its end.
    #[must_use]
    pub fn started(&self, kind: &'static str) -> Active {
        let gauge = self.active.get_or_create(&Kind { kind }).clone();
        gauge.inc();
        Active(gauge)
    }

    /// Notes a reconciliation that ended.
    pub fn reconciled(&self, kind: &'static str, outcome: Outcome, took: Duration) {
        self.reconciliations
            .get_or_create(&Reconciliation { kind, outcome })
            .inc();
        self.durations
            .get_or_create(&Kind { kind })
            .observe(took.as_secs_f64());
    }

    /// Shows the objects as they are now, in place of those that were shown before.
    pub fn show_objects(&self, objects: impl IntoIterator<Item = Shown>) {
        self.ready.clear();
        self.patches.clear();
        self.overrides.clear();
        for Shown {
            kind,
            namespace,
            name,
            ready,
            states,
        } in objects
        {
            let (family, states) = match states {
                States::Patches(states) => (&self.patches, states),
                States::Overrides(states) => (&self.overrides, states),
            };
            for (state, count) in states {
                let labels = ObjectStates {
                    namespace: namespace.clone(),
                    name: name.clone(),
                    state,
                };
                family
                    .get_or_create(&labels)
                    .set(i64::try_from(count).unwrap_or(i64::MAX));
            }
            let Some((status, reason)) = ready else { continue };
            let labels = ObjectCondition {
                kind,
                namespace,
                name,
                reason,
                ready: status,
            };
            self.ready.get_or_create(&labels).set(1);
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

/// An object as the metrics show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Status and reason of its Ready condition.
    pub ready: Option<(String, String)>,
    /// What it consists of.
    pub states: States,
}

/// How many parts of an object are in each state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum States {
    /// Patches.
    Patches(Vec<(&'static str, usize)>),
    /// Overrides.
    Overrides(Vec<(&'static str, usize)>),
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
    fn an_object_shows_one_condition_at_a_time() {
        let metrics = Metrics::default();
        let shown = |ready: (&str, &str)| Shown {
            kind: "PatchSet",
            namespace: "ns".into(),
            name: "a".into(),
            ready: Some((ready.0.into(), ready.1.into())),
            states: States::Patches(vec![("Clean", 2)]),
        };
        metrics.show_objects([shown(("False", "PatchConflict"))]);
        metrics.show_objects([shown(("True", "Succeeded"))]);
        metrics.reconciled("PatchSet", Outcome::Changed, Duration::from_millis(3));
        metrics.observe_mirrors(MirrorTotals {
            fetches: 2,
            bytes: 10,
            evictions: 0,
            stored: 5,
        });
        let text = metrics.encode().unwrap();
        assert!(!text.contains("PatchConflict"), "{text}");
        assert!(text.contains(r#"reason="Succeeded",ready="True"} 1"#), "{text}");
        assert!(
            text.contains(r#"patchset_patches{namespace="ns",name="a",state="Clean"} 2"#),
            "{text}"
        );
        assert!(text.contains("patchset_mirror_fetches_total 2"), "{text}");
        assert!(
            text.contains(r#"patchset_reconciliations_total{kind="PatchSet",outcome="Changed"} 1"#),
            "{text}"
        );
        metrics.show_objects([]);
        assert!(!metrics.encode().unwrap().contains("Succeeded"));
    }
}
