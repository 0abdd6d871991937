//! The annotations of an object that are read here. Of the 256 KiB that an object may have, only
//! these are kept.

use std::collections::BTreeMap;

use patchset_api::GROUP;

use crate::status::notify::FLUX_EVENT_GROUP;

/// The longest value, in bytes. Times, digests and names are shorter.
const LONGEST_VALUE: usize = 1024;
/// The most that an object's events carry.
const MOST_FOR_EVENTS: usize = 16;

/// Drops the annotations that nothing reads, and cuts those that are too long.
pub fn keep_used(annotations: &mut BTreeMap<String, String>) {
    let mut for_events = 0;
    annotations.retain(|name, _| match name.split_once('/') {
        Some((group, _)) if FLUX_EVENT_GROUP.strip_suffix('/') == Some(group) => {
            for_events += 1;
            for_events <= MOST_FOR_EVENTS
        }
        Some((group, _)) => group == GROUP || group == "reconcile.fluxcd.io",
        None => false,
    });
    for value in annotations.values_mut() {
        let end = (0..=LONGEST_VALUE.min(value.len()))
            .rev()
            .find(|at| value.is_char_boundary(*at));
        value.truncate(end.unwrap_or_default());
    }
}

/// The annotations that go with an object's events.
pub fn for_events(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut annotations = annotations.clone();
    keep_used(&mut annotations);
    annotations.retain(|name, _| name.starts_with(FLUX_EVENT_GROUP));
    annotations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_reads_is_dropped_and_the_rest_is_short() {
        let mut annotations: BTreeMap<String, String> = (0..100)
            .map(|n| (format!("{FLUX_EVENT_GROUP}{n}"), "ä".repeat(100_000)))
            .collect();
        for name in ["reconcile.fluxcd.io/requestedAt", "patching.c5c3.io/approved"] {
            annotations.insert(name.to_owned(), "x".repeat(200_000));
        }
        annotations.insert(
            "kubectl.kubernetes.io/last-applied-configuration".into(),
            "{}".into(),
        );
        annotations.insert("a".into(), "b".into());
        keep_used(&mut annotations);
        assert_eq!(annotations.len(), MOST_FOR_EVENTS + 2);
        let bytes: usize = annotations
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        assert!(bytes < 20_000, "{bytes}");
        let told = for_events(&annotations);
        assert_eq!(told.len(), MOST_FOR_EVENTS);
    }
}
