//! Which objects to look at when something that they refer to changes.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{Future, StreamExt};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::references::{Changes, References, Referent, ReferentKind};
use crate::api::PatchSet;
use crate::api::patch_set::Patches;

/// How many changes may wait. Where more come at once, everything is looked at.
const WAITING: usize = 1024;

/// What changed.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// One object.
    One(Referent),
    /// More than could be kept: any object.
    Any,
}

/// Runs the watches, drops outdated contents, and passes the changes on.
pub(super) fn fan_out(
    mut changes: Changes,
    references: Arc<References>,
) -> (impl Future<Output = ()>, BoxStream<'static, Change>) {
    let (sender, receiver) = broadcast::channel(WAITING);
    let run = async move {
        while let Some(referent) = changes.next().await {
            references.forget(&referent);
            // No receiver is no error: the controllers may be gone already.
            let _ = sender.send(referent);
        }
    };
    let stream = BroadcastStream::new(receiver)
        .map(|change| change.map_or(Change::Any, Change::One))
        .boxed();
    (run, stream)
}

/// Whether a `PatchSet` refers to what changed.
pub(super) fn concerns(patch_set: &PatchSet, namespace: &str, change: &Change) -> bool {
    let Change::One(referent) = change else {
        return true;
    };
    if let ReferentKind::Source(kind) = referent.kind {
        let reference = patch_set
            .spec
            .patches
            .as_ref()
            .and_then(|patches| patches.source_ref.as_ref());
        return reference.is_some_and(|r| {
            r.kind == kind
                && r.name == referent.name
                && r.namespace.as_deref().unwrap_or(namespace) == referent.namespace
        });
    }
    referent.namespace == namespace
        && match referent.kind {
            ReferentKind::Secret => secret_names(patch_set).any(|name| name == referent.name),
            ReferentKind::ConfigMap => config_map_name(patch_set) == Some(referent.name.as_str()),
            ReferentKind::Source(_) => false,
        }
}

fn secret_names(patch_set: &PatchSet) -> impl Iterator<Item = &str> {
    let upstream = &patch_set.spec.upstream;
    let git = patch_set
        .spec
        .patches
        .as_ref()
        .and_then(|patches| patches.git.as_ref());
    [
        upstream.secret_ref.as_ref(),
        upstream.proxy_secret_ref.as_ref(),
        git.and_then(|git| git.secret_ref.as_ref()),
        git.and_then(|git| git.proxy_secret_ref.as_ref()),
    ]
    .into_iter()
    .flatten()
    .map(|reference| reference.name.as_str())
}

fn config_map_name(patch_set: &PatchSet) -> Option<&str> {
    let Patches { config_map, .. } = patch_set.spec.patches.as_ref()?;
    config_map.as_ref().map(|reference| reference.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patch_set(spec: &serde_json::Value) -> PatchSet {
        serde_json::from_value(json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet",
            "metadata": { "name": "p", "namespace": "ours" }, "spec": spec
        }))
        .unwrap()
    }

    fn one(kind: ReferentKind, namespace: &str, name: &str) -> Change {
        Change::One(Referent {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        })
    }

    #[test]
    fn only_what_is_named_in_the_own_namespace_concerns() {
        let object = patch_set(&json!({
            "component": "glance", "release": "2025.2",
            "upstream": { "url": "https://example.org/glance", "ref": { "tag": "1" }, "secretRef": { "name": "key" } },
            "patches": { "configMap": { "name": "patches" } }
        }));
        for (change, expected) in [
            (one(ReferentKind::Secret, "ours", "key"), true),
            (one(ReferentKind::Secret, "theirs", "key"), false),
            (one(ReferentKind::Secret, "ours", "patches"), false),
            (one(ReferentKind::ConfigMap, "ours", "patches"), true),
            (Change::Any, true),
        ] {
            assert_eq!(concerns(&object, "ours", &change), expected, "{change:?}");
        }
    }

    #[test]
    fn a_source_concerns_by_kind_name_and_namespace() {
        use crate::api::reference::SourceKind::{Bucket, GitRepository};
        let object = patch_set(&json!({
            "component": "glance", "release": "2025.2",
            "upstream": { "url": "https://example.org/glance", "ref": { "tag": "1" } },
            "patches": { "sourceRef": { "kind": "GitRepository", "name": "ours", "namespace": "flux" } }
        }));
        assert!(concerns(
            &object,
            "ours",
            &one(ReferentKind::Source(GitRepository), "flux", "ours")
        ));
        assert!(!concerns(
            &object,
            "ours",
            &one(ReferentKind::Source(GitRepository), "ours", "ours")
        ));
        assert!(!concerns(
            &object,
            "ours",
            &one(ReferentKind::Source(Bucket), "flux", "ours")
        ));
    }
}
