//! The Secrets, ConfigMaps and Flux sources that objects refer to.
//!
//! Secrets and ConfigMaps are watched by their metadata alone. Contents are read when they are
//! needed, and kept until the watch shows another version, so that a reconciliation without news
//! asks the API server nothing.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::api_server::find;
use super::contents::{Contents, ObjectData};
use crate::ops::health::{Health, Presence, WatchHealth};
use crate::plan::{Failure, Step};
use crate::status::limit::within_limit;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::core::{ApiResource, GroupVersionKind, NamespaceResourceScope};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use patchset_api::referent::{ObjectKey, Referent, ReferentKind, SourceKind, SourceReference};
use patchset_api::{WEBHOOK_LABEL, reason};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How often to look whether a kind of Flux source has been installed.
const LOOK_FOR_KIND: Duration = Duration::from_secs(30);

/// How many objects come in a page of a list. Each may have up to 1.5 MiB, and each page takes some
/// 10 ms, however small they are.
const FULL_OBJECTS: u32 = 32;
/// The same for metadata alone, whose largest parts are left out.
const METADATA: u32 = 50;

/// Labels with this prefix are kept of ConfigMaps, and the webhook's label of Secrets.
const KEPT_LABELS: &str = "reconcile.fluxcd.io/";

/// A stream of objects that changed, came or went.
pub type ReferentChanges = BoxStream<'static, Referent>;

/// Watches of one scope: all namespaces, or one.
#[derive(Clone)]
pub struct WatchScope {
    client: Client,
    namespace: Option<String>,
    health: Health,
}

impl WatchScope {
    /// All namespaces if none is given.
    #[must_use]
    pub fn new(client: Client, namespace: Option<String>, health: Health) -> Self {
        Self {
            client,
            namespace,
            health,
        }
    }

    /// Watches a kind. Its objects are listed in pages of a few, and the process is ready only
    /// while this works.
    pub fn watch<K>(&self, config: watcher::Config) -> impl Stream<Item = Watched<K>> + Send + use<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let health = self.health.watch(&K::kind(&()), Presence::Required);
        watch_with_health(self.api::<K>(), config.page_size(FULL_OBJECTS), health)
    }

    /// An API for a kind in this scope.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn dynamic_api(&self, resource: &ApiResource) -> Api<DynamicObject> {
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        }
    }
}

/// What a watch yields.
type Watched<K> = watcher::Result<watcher::Event<K>>;

/// Watches objects, retries after failures, and keeps the process's health in step.
///
/// Lists are read from the API server's storage: from memory, it serves them only as a whole, not
/// in pages.
fn watch_with_health<K>(
    api: Api<K>,
    config: watcher::Config,
    health: WatchHealth,
) -> impl Stream<Item = Watched<K>> + Send + use<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watcher(api, config)
        .default_backoff()
        .inspect(move |event| health.observe(event))
}

/// Stores of the watched objects, and the contents that were read.
pub struct Referents {
    client: Client,
    secrets: Store<PartialObjectMeta<Secret>>,
    config_maps: Store<PartialObjectMeta<ConfigMap>>,
    sources: HashMap<SourceKind, Store<DynamicObject>>,
    contents: Contents,
}

impl Referents {
    /// Starts the watches. The stores fill while the stream of changes is polled.
    #[must_use]
    pub fn watch(scope: &WatchScope) -> (Self, ReferentChanges) {
        let (secrets, secret_changes) = watch_metadata::<Secret>(scope, ReferentKind::Secret);
        let (config_maps, config_map_changes) = watch_metadata::<ConfigMap>(scope, ReferentKind::ConfigMap);
        let mut changes = vec![secret_changes, config_map_changes];
        let mut sources = HashMap::new();
        for kind in SourceKind::ALL {
            let (store, source_changes) = watch_source(scope, kind);
            sources.insert(kind, store);
            changes.push(source_changes);
        }
        let referents = Self {
            client: scope.client.clone(),
            secrets,
            config_maps,
            sources,
            contents: Contents::default(),
        };
        (referents, futures::stream::select_all(changes).boxed())
    }

    /// Waits until Secrets and ConfigMaps are known. Flux's kinds need not exist.
    pub async fn wait_until_known(&self) {
        // An error means that the watch has ended, which its own task reports.
        let _ = self.secrets.wait_until_ready().await;
        let _ = self.config_maps.wait_until_ready().await;
    }

    /// The contents of a Secret.
    ///
    /// # Errors
    ///
    /// A failure to be retried where it does not exist or cannot be read.
    pub async fn secret(&self, key: &ObjectKey) -> Result<Arc<ObjectData>, Failure> {
        let watched = find(&self.secrets, key);
        let version = watched.and_then(|secret| secret.resource_version());
        let referent = Referent {
            kind: ReferentKind::Secret,
            key: key.clone(),
        };
        self.contents(referent, version, |secret: Secret| {
            secret
                .data
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key, value.0))
                .collect()
        })
        .await
    }

    /// The contents of a Secret as far as they are kept, in the version that the watch shows. The API
    /// server is not asked.
    #[must_use]
    pub fn kept_secret(&self, key: &ObjectKey) -> Option<Arc<ObjectData>> {
        let version = self.secret_version(key)?;
        self.kept_contents(ReferentKind::Secret, key, &version)
    }

    /// The same for a ConfigMap.
    #[must_use]
    pub fn kept_config_map(&self, key: &ObjectKey) -> Option<Arc<ObjectData>> {
        let version = self.config_map_metadata(key)?.resource_version()?;
        self.kept_contents(ReferentKind::ConfigMap, key, &version)
    }

    fn kept_contents(&self, kind: ReferentKind, key: &ObjectKey, version: &str) -> Option<Arc<ObjectData>> {
        let key = key.clone();
        self.contents.get(&Referent { kind, key }, version)
    }

    /// The version of a Secret, as the watch last showed it; `None` if there is no such Secret.
    #[must_use]
    pub fn secret_version(&self, key: &ObjectKey) -> Option<String> {
        find(&self.secrets, key)?.resource_version()
    }

    /// The contents of a ConfigMap.
    ///
    /// # Errors
    ///
    /// A failure to be retried where it does not exist or cannot be read.
    pub async fn config_map(&self, key: &ObjectKey) -> Result<Arc<ObjectData>, Failure> {
        let watched = self.config_map_metadata(key);
        let version = watched.and_then(|map| map.resource_version());
        let referent = Referent {
            kind: ReferentKind::ConfigMap,
            key: key.clone(),
        };
        self.contents(referent, version, |map: ConfigMap| {
            let text = map
                .data
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key, value.into_bytes()));
            let bytes = map
                .binary_data
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key, value.0));
            text.chain(bytes).collect()
        })
        .await
    }

    /// A ConfigMap's metadata as the watch last showed it.
    #[must_use]
    pub fn config_map_metadata(&self, key: &ObjectKey) -> Option<Arc<PartialObjectMeta<ConfigMap>>> {
        find(&self.config_maps, key)
    }

    /// The label by which a Secret holds the token of a webhook, as the watch last showed it; `None`
    /// if there is no such Secret.
    #[must_use]
    pub fn webhook_label(&self, key: &ObjectKey) -> Option<String> {
        find(&self.secrets, key)?.labels().get(WEBHOOK_LABEL).cloned()
    }

    /// A Flux source as the watch last showed it.
    ///
    /// # Errors
    ///
    /// A failure to be retried where it does not exist.
    pub fn source(
        &self,
        namespace: &str,
        reference: &SourceReference,
    ) -> Result<Arc<DynamicObject>, Failure> {
        let kind = reference.kind;
        let key = ObjectRef::new_with(&reference.name, api_resource(kind)).within(namespace);
        self.sources
            .get(&kind)
            .and_then(|store| store.get(&key))
            .ok_or_else(|| missing_object(kind.kind(), &ObjectKey::new(namespace, &reference.name)))
    }

    /// The contents of an object, of the version that its watch shows; `None` if it shows none.
    async fn contents<K>(
        &self,
        referent: Referent,
        version: Option<String>,
        data: impl FnOnce(K) -> ObjectData,
    ) -> Result<Arc<ObjectData>, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let (kind, key) = (K::kind(&()), &referent.key);
        let version = version.ok_or_else(|| missing_object(&kind, key))?;
        if let Some(data) = self.contents.get(&referent, &version) {
            return Ok(data);
        }
        let api: Api<K> = Api::namespaced(self.client.clone(), &key.namespace);
        let object = within_limit(api.get_opt(&key.name)).await.map_err(|error| {
            Failure::retried(
                Step::Source,
                reason::REFERENCE_NOT_FOUND,
                format!("cannot read {kind} {key}: {error}"),
            )
        })?;
        let object = object.ok_or_else(|| missing_object(&kind, key))?;
        let version = object.resource_version().unwrap_or_default();
        let data = Arc::new(data(object));
        self.contents.keep(referent, version, Arc::clone(&data));
        Ok(data)
    }

    /// Drops the contents of an object that changed or went.
    pub fn forget(&self, referent: &Referent) {
        self.contents.forget(referent);
    }

    /// Drops the contents that nothing refers to.
    pub fn retain(&self, is_referred_to: impl Fn(&Referent) -> bool) {
        self.contents.retain(is_referred_to);
    }

    /// The number of objects whose contents are kept, and their bytes.
    #[must_use]
    pub fn contents_size(&self) -> (usize, usize) {
        self.contents.size()
    }
}

fn missing_object(kind: &str, key: &ObjectKey) -> Failure {
    Failure::retried(
        Step::Source,
        reason::REFERENCE_NOT_FOUND,
        format!("{kind} {key} does not exist; it will be picked up as soon as it does"),
    )
}

fn watch_metadata<K>(scope: &WatchScope, kind: ReferentKind) -> (Store<PartialObjectMeta<K>>, ReferentChanges)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let health = scope.health.watch(&K::kind(&()), Presence::Required);
    let config = watcher::Config::default().page_size(METADATA);
    let events = watch_with_health(scope.api::<PartialObjectMeta<K>>(), config, health)
        .modify(|object: &mut PartialObjectMeta<K>| {
            // Others may write as much as they like into all of them.
            object.managed_fields_mut().clear();
            object.annotations_mut().clear();
            object.finalizers_mut().clear();
            object
                .labels_mut()
                .retain(|name, _| name.starts_with(KEPT_LABELS) || name == WEBHOOK_LABEL);
            object
                .owner_references_mut()
                .retain(|owner| owner.controller == Some(true));
        })
        .reflect(writer)
        .touched_objects();
    (store, referent_changes(events, kind))
}

fn watch_source(scope: &WatchScope, kind: SourceKind) -> (Store<DynamicObject>, ReferentChanges) {
    let resource = api_resource(kind);
    let writer = reflector::store::Writer::new(resource.clone());
    let store = writer.as_reader();
    let api = scope.dynamic_api(&resource);
    let probe = api.clone();
    let installed = async move {
        while let Err(error) = probe
            .list_metadata(&kube::api::ListParams::default().limit(1))
            .await
        {
            tracing::debug!(kind = kind.kind(), %error, "this kind of Flux source cannot be watched yet");
            tokio::time::sleep(LOOK_FOR_KIND).await;
        }
    };
    let health = scope.health.watch(kind.kind(), Presence::Optional);
    let config = watcher::Config::default().page_size(FULL_OBJECTS);
    let events = watch_with_health(api, config, health)
        .modify(|object: &mut DynamicObject| {
            object.managed_fields_mut().clear();
            object.annotations_mut().clear();
            let artifact = object.data.pointer_mut("/status/artifact").map(Value::take);
            object.data = json!({ "status": { "artifact": artifact } });
        })
        .reflect(writer)
        .touched_objects();
    let events = futures::stream::once(async move {
        installed.await;
        events
    })
    .flatten();
    (store, referent_changes(events, ReferentKind::Source(kind)))
}

fn referent_changes<K: ResourceExt + Send + 'static>(
    objects: impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
    kind: ReferentKind,
) -> ReferentChanges {
    objects
        .filter_map(move |object| async move {
            match object {
                Ok(object) => Some(Referent {
                    kind,
                    key: ObjectKey::of_object(&object),
                }),
                Err(error) => {
                    tracing::warn!(?kind, %error, "a watch was interrupted");
                    None
                }
            }
        })
        .boxed()
}

/// The API resource of a kind of Flux source.
fn api_resource(kind: SourceKind) -> ApiResource {
    let gvk = GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", kind.kind());
    ApiResource::from_gvk_with_plural(&gvk, kind.plural())
}
