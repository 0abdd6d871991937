//! What the metrics show of each object.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

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
    /// What is to be done for its patches; `None` where nobody asks for that.
    pub upkeep: Option<UpkeepMetrics>,
}

/// What is to be done for the patches of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpkeepMetrics {
    /// What became of that.
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

// Prometheus puts the label `namespace` of what it scrapes on each metric. As in Flux's metrics,
// the object's own is called `exported_namespace`, as it would otherwise become on the way.

/// Labels of an object, as Flux's `gotk_resource_info` has them, and more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Info {
    kind: &'static str,
    exported_namespace: String,
    name: String,
    component: String,
    release: String,
    ready: String,
    reason: String,
    suspended: &'static str,
    revision: String,
    applied: String,
    tag: String,
    digest: String,
}

/// Labels of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabels {
    kind: &'static str,
    exported_namespace: String,
    name: String,
    component: String,
    release: String,
    r#type: String,
    status: String,
    reason: String,
}

/// Labels of an object's patches or overrides.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    exported_namespace: String,
    name: String,
    component: String,
    release: String,
    state: &'static str,
}

/// Labels of the `PatchSet`s of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RepositoryLabels {
    exported_namespace: String,
    name: String,
    state: &'static str,
}

/// Labels of the patches of an object that upstream has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EvidenceLabels {
    exported_namespace: String,
    name: String,
    component: String,
    release: String,
    evidence: &'static str,
}

/// Labels of an object of a kind that the metric's name tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabels {
    exported_namespace: String,
    name: String,
    component: String,
    release: String,
}

/// Labels of what is to be done for the patches of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    exported_namespace: String,
    name: String,
    component: String,
    release: String,
    change: &'static str,
}

/// The metrics of objects.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    info: Family<Info, Gauge>,
    conditions: Family<ConditionLabels, Gauge>,
    patches: Family<StateLabels, Gauge>,
    overrides: Family<StateLabels, Gauge>,
    patch_sets: Family<RepositoryLabels, Gauge>,
    merged: Family<EvidenceLabels, Gauge>,
    merged_first: Family<NameLabels, Gauge>,
    upkeep_changes: Family<ChangeLabels, Gauge>,
    upkeep_since: Family<StateLabels, Gauge>,
}

impl Objects {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let objects = Self {
            info: Family::default(),
            conditions: Family::default(),
            patches: Family::default(),
            overrides: Family::default(),
            patch_sets: Family::default(),
            merged: Family::default(),
            merged_first: Family::default(),
            upkeep_changes: Family::default(),
            upkeep_since: Family::default(),
        };
        registry.register(
            "resource_info",
            "Objects with what their status says",
            objects.info.clone(),
        );
        registry.register(
            "resource_condition",
            "The conditions of objects",
            objects.conditions.clone(),
        );
        registry.register(
            "patches",
            "Patches of each PatchSet by state",
            objects.patches.clone(),
        );
        registry.register(
            "overrides",
            "Overrides of each ConstraintOverride by state",
            objects.overrides.clone(),
        );
        registry.register(
            "repository_patch_sets",
            "PatchSets of each PatchRepository by how they do",
            objects.patch_sets.clone(),
        );
        registry.register(
            "patches_merged",
            "Patches of each PatchSet that upstream has, by how that is known",
            objects.merged.clone(),
        );
        registry.register_with_unit(
            "patches_merged_first_timestamp",
            "When upstream merged the first of these patches, since the epoch",
            Unit::Seconds,
            objects.merged_first.clone(),
        );
        registry.register(
            "upkeep_changes",
            "Patches of each PatchSet that are to be dropped or made anew, or are left alone",
            objects.upkeep_changes.clone(),
        );
        registry.register_with_unit(
            "upkeep_since_timestamp",
            "Since when what is to be done for the patches of a PatchSet is in its state, since the epoch",
            Unit::Seconds,
            objects.upkeep_since.clone(),
        );
        objects
    }

    /// Shows the objects as they are now, in place of those that were shown before.
    pub(super) fn show(&self, objects: impl IntoIterator<Item = ObjectMetrics>) {
        self.info.clear();
        self.conditions.clear();
        self.patches.clear();
        self.overrides.clear();
        self.patch_sets.clear();
        self.merged.clear();
        self.merged_first.clear();
        self.upkeep_changes.clear();
        self.upkeep_since.clear();
        for object in objects {
            self.show_merged(&object);
            self.show_states(&object);
            self.show_upkeep(&object);
            for (type_, status, reason) in &object.conditions {
                let labels = ConditionLabels {
                    kind: object.kind,
                    exported_namespace: object.namespace.clone(),
                    name: object.name.clone(),
                    component: object.component.clone(),
                    release: object.release.clone(),
                    r#type: type_.clone(),
                    status: status.clone(),
                    reason: reason.clone(),
                };
                self.conditions.get_or_create(&labels).set(1);
            }
            self.info.get_or_create(&info(object)).set(1);
        }
    }

    fn show_states(&self, object: &ObjectMetrics) {
        let as_gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let (family, states) = match &object.states {
            States::Patches(states) => (&self.patches, states),
            States::Overrides(states) => (&self.overrides, states),
            States::PatchSets(states) => {
                for (state, count) in states {
                    let labels = RepositoryLabels {
                        exported_namespace: object.namespace.clone(),
                        name: object.name.clone(),
                        state,
                    };
                    self.patch_sets.get_or_create(&labels).set(as_gauge(*count));
                }
                return;
            }
        };
        for (state, count) in states {
            let labels = StateLabels {
                exported_namespace: object.namespace.clone(),
                name: object.name.clone(),
                component: object.component.clone(),
                release: object.release.clone(),
                state,
            };
            family.get_or_create(&labels).set(as_gauge(*count));
        }
    }

    fn show_upkeep(&self, object: &ObjectMetrics) {
        let Some(upkeep) = &object.upkeep else { return };
        for (change, count) in &upkeep.changes {
            let labels = ChangeLabels {
                exported_namespace: object.namespace.clone(),
                name: object.name.clone(),
                component: object.component.clone(),
                release: object.release.clone(),
                change,
            };
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.upkeep_changes.get_or_create(&labels).set(count);
        }
        let labels = StateLabels {
            exported_namespace: object.namespace.clone(),
            name: object.name.clone(),
            component: object.component.clone(),
            release: object.release.clone(),
            state: upkeep.state,
        };
        self.upkeep_since.get_or_create(&labels).set(upkeep.since);
    }

    fn show_merged(&self, object: &ObjectMetrics) {
        for (evidence, count) in &object.merged {
            let labels = EvidenceLabels {
                exported_namespace: object.namespace.clone(),
                name: object.name.clone(),
                component: object.component.clone(),
                release: object.release.clone(),
                evidence,
            };
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.merged.get_or_create(&labels).set(count);
        }
        if let Some(first) = object.merged_first {
            let labels = NameLabels {
                exported_namespace: object.namespace.clone(),
                name: object.name.clone(),
                component: object.component.clone(),
                release: object.release.clone(),
            };
            self.merged_first.get_or_create(&labels).set(first);
        }
    }
}

fn info(object: ObjectMetrics) -> Info {
    let ready = object
        .conditions
        .into_iter()
        .find(|(type_, ..)| type_ == crate::api::reason::condition::READY);
    let (_, ready, reason) = ready.unwrap_or_else(|| (String::new(), "Unknown".to_owned(), String::new()));
    Info {
        kind: object.kind,
        exported_namespace: object.namespace,
        name: object.name,
        component: object.component,
        release: object.release,
        ready,
        reason,
        suspended: if object.suspended { "true" } else { "false" },
        revision: object.revision,
        applied: object.applied,
        tag: object.tag,
        digest: object.digest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn an_object_shows_one_state_at_a_time() {
        let mut registry = Registry::with_prefix("patchset");
        let objects = Objects::register(&mut registry);
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
        objects.show([shown("False", "PatchConflict")]);
        objects.show([shown("True", "Succeeded")]);
        let text_now = text(&registry);
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
        objects.show([]);
        let gone = text(&registry);
        assert!(
            !gone.contains("Succeeded") && !gone.contains("ChangeId") && !gone.contains("174600000"),
            "{gone}"
        );
    }
}
