//! What the metrics show of each object.

use std::fmt;

use patchset_api::reason::condition;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Gives the current objects, each as the metrics show it.
pub type ObjectSource = Box<dyn Fn() -> Box<dyn Iterator<Item = ObjectMetrics>> + Send + Sync>;

/// An object as the metrics show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectMetrics {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The component, where it has one.
    pub component: String,
    /// The release.
    pub release: String,
    /// Whether it is suspended.
    pub suspended: bool,
    /// The upstream's revision.
    pub revision: String,
    /// How many patches apply, of how many.
    pub applied: String,
    /// The image's tag.
    pub tag: String,
    /// The image's digest.
    pub digest: String,
    /// Type, status and reason of each condition.
    pub conditions: Vec<(String, String, String)>,
    /// What it consists of.
    pub states: States,
    /// How many of its patches upstream has, by how that is known.
    pub merged: Vec<(&'static str, usize)>,
    /// When upstream merged the first of them, in seconds since the epoch, where that is known.
    pub merged_first: Option<i64>,
    /// What is to be done for its patches; `None` if upkeep is not asked for.
    pub upkeep: Option<UpkeepMetrics>,
}

/// What is to be done for the patches of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpkeepMetrics {
    /// The state of upkeep.
    pub state: &'static str,
    /// Since when, in seconds since the epoch.
    pub since: i64,
    /// How many changes there are of each kind.
    pub changes: Vec<(&'static str, usize)>,
}

/// How many parts of an object are in each state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum States {
    /// Patches.
    Patches(Vec<(&'static str, usize)>),
    /// Overrides.
    Overrides(Vec<(&'static str, usize)>),
    /// `PatchSet`s.
    PatchSets(Vec<(&'static str, usize)>),
}

impl Default for States {
    fn default() -> Self {
        Self::Patches(Vec::new())
    }
}

/// The metrics of objects. They are made for each answer: kept in memory, those of many objects
/// would take more than the objects.
pub(super) struct Objects(pub(super) ObjectSource);

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

impl Collector for Objects {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &FAMILIES {
            let unit = family.unit.as_ref();
            let mut metric = encoder.encode_descriptor(family.name, family.help, unit, MetricType::Gauge)?;
            for object in (self.0)() {
                (family.samples)(&object, &mut |labels, value| {
                    ConstGauge::new(value).encode(metric.encode_family(&labels)?)
                })?;
            }
        }
        Ok(())
    }
}

/// A metric that all objects of some kinds have.
struct ObjectFamily {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    samples: fn(&ObjectMetrics, &mut Sample<'_>) -> fmt::Result,
}

/// Takes the labels and the value of a sample.
type Sample<'a> = dyn FnMut(&[Label<'_>], i64) -> fmt::Result + 'a;

/// A label's name and value.
type Label<'a> = (&'static str, &'a str);

static FAMILIES: [ObjectFamily; 9] = [
    ObjectFamily {
        name: "resource_info",
        help: "Objects with what their status says",
        unit: None,
        samples: info,
    },
    ObjectFamily {
        name: "resource_condition",
        help: "The conditions of objects",
        unit: None,
        samples: conditions,
    },
    ObjectFamily {
        name: "patches",
        help: "Patches of each PatchSet by state",
        unit: None,
        samples: |object, sample| match &object.states {
            States::Patches(states) => counts(object, "state", states, sample),
            States::Overrides(_) | States::PatchSets(_) => Ok(()),
        },
    },
    ObjectFamily {
        name: "overrides",
        help: "Overrides of each ConstraintOverride by state",
        unit: None,
        samples: |object, sample| match &object.states {
            States::Overrides(states) => counts(object, "state", states, sample),
            States::Patches(_) | States::PatchSets(_) => Ok(()),
        },
    },
    ObjectFamily {
        name: "repository_patch_sets",
        help: "PatchSets of each PatchRepository by how they are doing",
        unit: None,
        samples: repository_patch_sets,
    },
    ObjectFamily {
        name: "patches_merged",
        help: "Patches of each PatchSet that upstream has, by how that is known",
        unit: None,
        samples: |object, sample| counts(object, "evidence", &object.merged, sample),
    },
    ObjectFamily {
        name: "patches_merged_first_timestamp",
        help: "When upstream merged the first of these patches, since the epoch",
        unit: Some(Unit::Seconds),
        samples: |object, sample| match object.merged_first {
            Some(first) => sample(&object.labels(), first),
            None => Ok(()),
        },
    },
    ObjectFamily {
        name: "upkeep_changes",
        help: "Patches of each PatchSet that are to be dropped or refreshed, or are left alone",
        unit: None,
        samples: |object, sample| match &object.upkeep {
            Some(upkeep) => counts(object, "change", &upkeep.changes, sample),
            None => Ok(()),
        },
    },
    ObjectFamily {
        name: "upkeep_since_timestamp",
        help: "When the upkeep of a PatchSet's patches entered its state, since the epoch",
        unit: Some(Unit::Seconds),
        samples: |object, sample| match &object.upkeep {
            Some(upkeep) => sample(&object.labels_and(("state", upkeep.state)), upkeep.since),
            None => Ok(()),
        },
    },
];

impl ObjectMetrics {
    /// The labels of an object; its kind is in the metric's name.
    ///
    /// Prometheus puts the label `namespace` of the scraped target on each metric. As in Flux's
    /// metrics, the object's own is called `exported_namespace`, the name that Prometheus would
    /// otherwise give it.
    fn labels(&self) -> [Label<'_>; 4] {
        [
            ("exported_namespace", &self.namespace),
            ("name", &self.name),
            ("component", &self.component),
            ("release", &self.release),
        ]
    }

    fn labels_and<'a>(&'a self, last: Label<'a>) -> [Label<'a>; 5] {
        let [namespace, name, component, release] = self.labels();
        [namespace, name, component, release, last]
    }
}

/// Gives one sample for each count.
fn counts(
    object: &ObjectMetrics,
    label: &'static str,
    counts: &[(&'static str, usize)],
    sample: &mut Sample<'_>,
) -> fmt::Result {
    for (counted, count) in counts {
        sample(&object.labels_and((label, counted)), as_gauge(*count))?;
    }
    Ok(())
}

/// The labels of Flux's `gotk_resource_info`, and more.
fn info(object: &ObjectMetrics, sample: &mut Sample<'_>) -> fmt::Result {
    let mut conditions = object.conditions.iter();
    let ready = conditions.find(|(type_, ..)| type_ == condition::READY);
    let (ready, reason) = ready.map_or(("Unknown", ""), |(_, status, reason)| (status, reason));
    let [namespace, name, component, release] = object.labels();
    let labels = [
        ("kind", object.kind),
        namespace,
        name,
        component,
        release,
        ("ready", ready),
        ("reason", reason),
        ("suspended", if object.suspended { "true" } else { "false" }),
        ("revision", &object.revision),
        ("applied", &object.applied),
        ("tag", &object.tag),
        ("digest", &object.digest),
    ];
    sample(&labels, 1)
}

fn conditions(object: &ObjectMetrics, sample: &mut Sample<'_>) -> fmt::Result {
    let [namespace, name, component, release] = object.labels();
    for (type_, status, reason) in &object.conditions {
        let labels = [
            ("kind", object.kind),
            namespace,
            name,
            component,
            release,
            ("type", type_),
            ("status", status),
            ("reason", reason),
        ];
        sample(&labels, 1)?;
    }
    Ok(())
}

fn repository_patch_sets(object: &ObjectMetrics, sample: &mut Sample<'_>) -> fmt::Result {
    let States::PatchSets(states) = &object.states else {
        return Ok(());
    };
    let [namespace, name, ..] = object.labels();
    for (state, count) in states {
        sample(&[namespace, name, ("state", state)], as_gauge(*count))?;
    }
    Ok(())
}

/// A count as the value of a gauge.
pub(super) fn as_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn an_object_shows_one_state_at_a_time() {
        let objects = Arc::new(Mutex::new(Vec::new()));
        let source = Arc::clone(&objects);
        let source: ObjectSource = Box::new(move || Box::new(source.lock().unwrap().clone().into_iter()));
        let mut registry = Registry::with_prefix("patchset");
        registry.register_collector(Box::new(Objects(source)));
        let text = |now: &[ObjectMetrics]| {
            *objects.lock().unwrap() = now.to_vec();
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        let shown = |status: &str, reason: &str| ObjectMetrics {
            kind: "PatchSet",
            namespace: "ns".into(),
            name: "a".into(),
            component: "glance".into(),
            release: "2025.2".into(),
            conditions: vec![("Ready".into(), status.into(), reason.into())],
            states: States::Patches(vec![("Clean", 2)]),
            merged: vec![("ChangeId", 3)],
            merged_first: Some(1_746_000_000),
            upkeep: Some(UpkeepMetrics {
                state: "Proposed",
                since: 1_746_000_001,
                changes: vec![("drop", 2)],
            }),
            ..ObjectMetrics::default()
        };
        assert!(text(&[shown("False", "PatchConflict")]).contains("PatchConflict"));
        let text_now = text(&[shown("True", "Succeeded")]);
        assert!(!text_now.contains("PatchConflict"), "{text_now}");
        for line in [
            r#"ready="True",reason="Succeeded",suspended="false""#,
            r#"type="Ready",status="True",reason="Succeeded"} 1"#,
            r#"patchset_patches{exported_namespace="ns",name="a",component="glance",release="2025.2",state="Clean"} 2"#,
            r#"patchset_patches_merged{exported_namespace="ns",name="a",component="glance",release="2025.2",evidence="ChangeId"} 3"#,
            r#"patchset_patches_merged_first_timestamp_seconds{exported_namespace="ns",name="a",component="glance",release="2025.2"} 1746000000"#,
            r#"patchset_upkeep_changes{exported_namespace="ns",name="a",component="glance",release="2025.2",change="drop"} 2"#,
            r#"patchset_upkeep_since_timestamp_seconds{exported_namespace="ns",name="a",component="glance",release="2025.2",state="Proposed"} 1746000001"#,
        ] {
            assert!(text_now.contains(line), "{line} in {text_now}");
        }
        let gone = text(&[]);
        assert!(
            !gone.contains("Succeeded") && !gone.contains("ChangeId") && !gone.contains("174600000"),
            "{gone}"
        );
    }
}
