//! The controller as a process, against a real API server and real Git servers.

mod actions;
pub mod behaviour;
mod branches;
pub mod build;
mod build_plan;
mod delivery;
mod faults;
mod github_apps;
mod gitops;
mod image_tests;
mod inspection;
mod jobs;
mod many;
mod notify;
mod once;
mod overrides;
pub mod patches;
mod patches_commit;
mod pushes;
mod registries;
mod registry_logins;
mod sharding;
mod sortable;
pub mod tenants;
mod trust;
mod upstream_history;
mod validation;
mod verdicts;
mod verification;

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, ResourceExt};
use patchset_api::{ConstraintOverride, PatchSet};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::api_server::ApiServer;
use crate::support::git_repo::GitRepo;
use crate::support::git_server::{GitServer, free_port};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The file that the tests' upstreams hold.
pub const BASE: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n";

/// A patch on line 5 of [`BASE`].
pub const GOOD: &str = "From 1111111111111111111111111111111111111111 Mon Sep 17 00:00:00 2001\n\
From: Ann Author <ann@example.org>\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nSubject: [PATCH] Say five louder\n\n---\n\
diff --git a/file.txt b/file.txt\n--- a/file.txt\n+++ b/file.txt\n@@ -3,5 +3,5 @@\n three\n four\n-five\n+FIVE\n six\n seven\n";

/// A resource that the controller reconciles.
pub trait Resource:
    kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + DeserializeOwned
    + serde::Serialize
{
    /// The conditions; none without a status.
    fn conditions(&self) -> &[Condition];
    /// The generation that the status describes.
    fn observed_generation(&self) -> Option<i64>;
}

impl Resource for PatchSet {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn observed_generation(&self) -> Option<i64> {
        self.status.as_ref().map(|status| status.observed_generation)
    }
}

impl Resource for ConstraintOverride {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn observed_generation(&self) -> Option<i64> {
        self.status.as_ref().map(|status| status.observed_generation)
    }
}

/// A namespace, an upstream over HTTP, and a controller that watches just this namespace.
pub struct Stage {
    pub namespace: String,
    pub client: Client,
    pub root: tempfile::TempDir,
    pub upstream: GitRepo,
    pub server: GitServer,
    pub controller: Controller,
}

/// A controller's process; stopped when dropped.
pub struct Controller {
    child: Child,
    home: tempfile::TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    pub metrics: String,
    pub health: String,
}

impl Controller {
    fn start(api_server: &ApiServer, namespace: &str, extra: &[&str]) -> Self {
        Self::start_by(api_server, namespace, extra, None)
    }

    /// Starts a controller that reaches the API server at another address, if one is given.
    fn start_by(api_server: &ApiServer, namespace: &str, extra: &[&str], by: Option<SocketAddr>) -> Self {
        Self::launch(api_server, namespace, extra, by, &[])
    }

    fn launch(
        api_server: &ApiServer,
        namespace: &str,
        extra: &[&str],
        by: Option<SocketAddr>,
        environment: &[(&str, String)],
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        api_server.kubeconfig_by(&home.path().join("kubeconfig"), by);
        let (metrics, health) = (
            format!("127.0.0.1:{}", free_port()),
            format!("127.0.0.1:{}", free_port()),
        );
        let mut arguments: Vec<String> = [
            "controller",
            "--runtime-namespace",
            namespace,
            "--interval-jitter-percentage=0",
            "--metrics-addr",
            &metrics,
            "--health-addr",
            &health,
            "--storage-path",
        ]
        .map(ToOwned::to_owned)
        .to_vec();
        arguments.push(home.path().join("data").display().to_string());
        for default in [
            "--allow-transport=https,ssh,http,git",
            "--watch-all-namespaces=false",
            "--log-level=debug",
            "--min-interval=1s",
        ] {
            let name = default.split('=').next().unwrap();
            if !extra.iter().any(|argument| argument.starts_with(name)) {
                arguments.push(default.to_owned());
            }
        }
        arguments.extend(extra.iter().map(|argument| (*argument).to_owned()));
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        let environment: Vec<(String, String)> = environment.collect();
        let child = Self::spawn(home.path(), &arguments, &environment);
        Self {
            child,
            home,
            arguments,
            environment,
            metrics,
            health,
        }
    }

    fn spawn(home: &Path, arguments: &[String], environment: &[(String, String)]) -> Child {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(home.join("log"))
            .unwrap();
        Command::new(env!("CARGO_BIN_EXE_patchset"))
            .args(arguments)
            .env("KUBECONFIG", home.join("kubeconfig"))
            .env_remove("RUST_LOG")
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process without a warning.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after a kill, on the same storage.
    pub fn restart(&mut self) {
        self.child = Self::spawn(self.home.path(), &self.arguments, &self.environment);
    }

    /// The folder of its mirrors.
    pub fn storage(&self) -> std::path::PathBuf {
        self.home.path().join("data")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    /// How many reconciliations of a kind have ended since the process began, with this outcome or,
    /// if it is empty, with any; zero before the process serves metrics.
    pub fn reconciliations(&self, kind: &str, outcome: &str) -> u64 {
        let address = format!("http://{}/metrics", self.metrics);
        let text = tokio::task::block_in_place(|| reqwest::blocking::get(address)?.text());
        let text = text.unwrap_or_default();
        let labels = [format!("kind=\"{kind}\""), format!("outcome=\"{outcome}")];
        text.lines()
            .filter(|line| line.starts_with("patchset_reconciliations_total{"))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// Waits until this many reconciliations of a kind have ended.
    pub async fn until_reconciled(&self, kind: &str, outcome: &str, count: u64) {
        let end = Instant::now() + PATIENCE;
        loop {
            let ended = self.reconciliations(kind, outcome);
            if ended >= count {
                return;
            }
            assert!(
                Instant::now() < end,
                "{ended} of {count} reconciliations of {kind}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the controller's log:\n{}", self.log());
        }
    }
}

impl Stage {
    pub async fn new(name: &str) -> Self {
        Self::with(name, &[], GitServer::http).await
    }

    pub async fn with(
        name: &str,
        options: &[&str],
        serve: impl FnOnce(std::path::PathBuf) -> crate::support::git_server::HttpBuilder,
    ) -> Self {
        let api_server = ApiServer::get().await;
        api_server.crds().await;
        Self::on(api_server, name, options, serve).await
    }

    /// A stage whose controller has variables in its environment.
    pub async fn with_environment(name: &str, options: &[&str], environment: &[(&str, String)]) -> Self {
        let api_server = ApiServer::get().await;
        api_server.crds().await;
        let controller =
            |namespace: &str| Controller::launch(api_server, namespace, options, None, environment);
        Self::set(api_server, name, GitServer::http, controller).await
    }

    /// Starts one more controller for the same namespace, with storage of its own.
    pub async fn another_controller(&self, options: &[&str]) -> Controller {
        Controller::start(ApiServer::get().await, &self.namespace, options)
    }

    /// A stage on an API server that has the CRDs.
    pub async fn on(
        api_server: &ApiServer,
        name: &str,
        options: &[&str],
        serve: impl FnOnce(std::path::PathBuf) -> crate::support::git_server::HttpBuilder,
    ) -> Self {
        let controller = |namespace: &str| Controller::start(api_server, namespace, options);
        Self::set(api_server, name, serve, controller).await
    }

    async fn set(
        api_server: &ApiServer,
        name: &str,
        serve: impl FnOnce(std::path::PathBuf) -> crate::support::git_server::HttpBuilder,
        controller: impl FnOnce(&str) -> Controller,
    ) -> Self {
        let namespace = api_server.namespace(name).await;
        let root = tempfile::tempdir().unwrap();
        let upstream = GitRepo::create(root.path(), "upstream");
        upstream.commit(&[("file.txt", BASE)], "base");
        upstream.git(&["tag", "1.0.0"]);
        let server = serve(root.path().to_path_buf()).start();
        let controller = controller(&namespace);
        Self {
            namespace,
            client: api_server.client(),
            root,
            upstream,
            server,
            controller,
        }
    }

    /// Another controller at work on the same objects.
    pub async fn second_controller(&self, options: &[&str]) -> Controller {
        Controller::start(ApiServer::get().await, &self.namespace, options)
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A spec on the upstream at a branch `main`, looked at every second.
    pub fn spec(&self) -> Value {
        json!({
            "component": "demo", "release": "2025.2", "interval": "1s",
            "upstream": { "url": self.server.url("upstream"), "ref": { "branch": "main" } }
        })
    }

    pub fn spec_with(&self, patches: &Value) -> Value {
        let mut spec = self.spec();
        spec["patches"] = patches.clone();
        spec
    }

    /// Applies a `PatchSet`.
    pub async fn apply(&self, name: &str, spec: &Value) -> PatchSet {
        self.try_apply(name, spec).await.unwrap()
    }

    pub async fn try_apply(&self, name: &str, spec: &Value) -> kube::Result<PatchSet> {
        self.try_apply_kind(name, spec).await
    }

    /// Applies a resource of any kind.
    pub async fn try_apply_kind<K: Resource>(&self, name: &str, spec: &Value) -> kube::Result<K> {
        let object = json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": K::kind(&()),
            "metadata": { "name": name, "namespace": self.namespace }, "spec": spec
        });
        let parameters = PatchParams::apply("test").force();
        self.api::<K>()
            .patch(name, &parameters, &Patch::Apply(&object))
            .await
    }

    pub async fn annotate(&self, name: &str, key: &str, value: &str) {
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        self.api::<PatchSet>()
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    pub async fn secret(&self, name: &str, data: &[(&str, &str)]) {
        let data: serde_json::Map<String, Value> = data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": data
        });
        let parameters = PatchParams::apply("test").force();
        self.api::<Secret>()
            .patch(name, &parameters, &Patch::Apply(&object))
            .await
            .unwrap();
    }

    pub async fn config_map(&self, name: &str, data: &[(&str, &str)]) {
        let data: serde_json::Map<String, Value> = data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data
        });
        let parameters = PatchParams::apply("test").force();
        self.api::<ConfigMap>()
            .patch(name, &parameters, &Patch::Apply(&object))
            .await
            .unwrap();
    }

    /// Waits until a `PatchSet` satisfies a condition; returns it.
    pub async fn wait(&self, name: &str, what: &str, wanted: impl Fn(&PatchSet) -> bool) -> PatchSet {
        self.wait_kind(name, what, wanted).await
    }

    /// Waits until Ready of a `PatchSet`'s current generation has a status and a reason.
    pub async fn ready(&self, name: &str, status: &str, reason: &str) -> PatchSet {
        self.ready_kind(name, status, reason).await
    }

    /// Waits until a resource of any kind satisfies a condition; returns it.
    pub async fn wait_kind<K: Resource>(&self, name: &str, what: &str, wanted: impl Fn(&K) -> bool) -> K {
        let end = Instant::now() + PATIENCE;
        let api = self.api::<K>();
        loop {
            let object = api.get(name).await.unwrap();
            if wanted(&object) {
                return object;
            }
            assert!(
                Instant::now() < end,
                "{name} is not {what}: {}",
                serde_json::to_string_pretty(&object).unwrap()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until Ready of a resource's current generation has a status and a reason.
    pub async fn ready_kind<K: Resource>(&self, name: &str, status: &str, reason: &str) -> K {
        self.wait_kind(name, &format!("Ready={status}/{reason}"), |object: &K| {
            condition(object, "Ready").is_some_and(|ready| {
                ready.status == status
                    && ready.reason == reason
                    && ready.observed_generation == object.meta().generation
            })
        })
        .await
    }

    /// Waits until `PatchSet`s were looked at this many more times: by then an object has done
    /// whatever it does by itself, without news.
    pub async fn looks(&self, looks: u64) {
        self.looks_at::<PatchSet>(looks).await;
    }

    /// The same for resources of any kind.
    pub async fn looks_at<K: Resource>(&self, looks: u64) {
        let kind = K::kind(&());
        let before = self.controller.reconciliations(&kind, "");
        // One may have begun before the call.
        self.controller
            .until_reconciled(&kind, "", before + 1 + looks)
            .await;
    }

    /// The events on an object, as reasons and notes, once there are this many: an event comes
    /// after its status.
    pub async fn events_once(&self, name: &str, count: usize) -> Vec<(String, String)> {
        let end = Instant::now() + PATIENCE;
        loop {
            let events = self.events(name).await;
            if events.len() >= count {
                return events;
            }
            assert!(Instant::now() < end, "{count} events on {name}: {events:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The notes of the events on an object, with their reasons.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let events = self.api::<Event>().list(&ListParams::default()).await.unwrap();
        events
            .into_iter()
            .filter(|event| {
                event
                    .regarding
                    .as_ref()
                    .is_some_and(|r| r.name.as_deref() == Some(name))
            })
            .map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default()))
            .collect()
    }
}

pub fn condition<'a, K: Resource>(object: &'a K, type_: &str) -> Option<&'a Condition> {
    object
        .conditions()
        .iter()
        .find(|condition| condition.type_ == type_)
}

/// Status and reason of a condition, as `True/Succeeded`; `-` where it is absent.
pub fn shown<K: Resource>(object: &K, type_: &str) -> String {
    condition(object, type_).map_or("-".to_owned(), |c| format!("{}/{}", c.status, c.reason))
}

/// Asserts what holds for every status.
pub fn assert_well_formed<K: Resource>(object: &K) {
    assert_eq!(object.observed_generation(), object.meta().generation);
    let is = |type_: &str| condition(object, type_).is_some_and(|c| c.status == "True");
    assert!(
        !(is("Reconciling") && is("Stalled")),
        "Reconciling and Stalled together"
    );
    for type_ in ["Reconciling", "Stalled"] {
        assert!(
            condition(object, type_).is_none_or(|c| c.status == "True"),
            "{type_} is there but not True"
        );
    }
    assert!(!object.name_any().is_empty());
}

/// The answer of an HTTP endpoint of the controller.
pub fn get(address: &str, path: &str) -> (u16, String) {
    let response = reqwest::blocking::get(format!("http://{address}{path}")).unwrap();
    let status = response.status().as_u16();
    let mut text = String::new();
    let mut response = response;
    response.read_to_string(&mut text).unwrap();
    (status, text)
}

/// Inline patches.
pub fn inline(patches: &[(&str, &str)]) -> Value {
    let patches: Vec<Value> = patches
        .iter()
        .map(|(name, content)| json!({ "name": name, "content": content }))
        .collect();
    json!({ "inline": patches })
}
