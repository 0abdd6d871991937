//! The whole way on a real node: the controller in the cluster from its own image and chart, Jobs
//! that build with BuildKit, a registry, and pods that run the built images.

mod builds;
mod faults;
mod flux;
mod image_tests;
mod tutorial;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, LogParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config, ResourceExt};
use patchset_api::PatchSet;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::controller::{Resource, condition};
use crate::support::git_server::free_port;
use crate::support::program::program;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(480);

/// How many tests have a registry of their own.
const SPARE: usize = 2;

/// The namespace of the controller.
const HOME: &str = "patchset-system";

/// A running node, shared by all tests of this process.
pub struct Node {
    config: Config,
    kubeconfig: PathBuf,
    /// The registry's host and port.
    pub registry: String,
    /// Hosts and ports for registries of individual tests, which the controller and its builders
    /// access without TLS.
    spare: Mutex<Vec<String>>,
    namespaces: AtomicUsize,
    /// Its standard input keeps the node alive.
    _supervisor: Child,
}

impl Node {
    /// The node that all tests share, with the controller in it; the first caller starts it.
    pub async fn get() -> &'static Self {
        static SHARED: OnceLock<Node> = OnceLock::new();
        match tokio::task::spawn_blocking(|| SHARED.get_or_init(Self::start)).await {
            Ok(node) => node,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::Builder::new()
            .prefix("patchset-node-")
            .tempdir()
            .unwrap()
            .keep();
        let mut command = Command::new("bash");
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/node.sh"))
            .arg("serve")
            .arg(&directory)
            .env("PATCHSET_PROGRAM", env!("CARGO_BIN_EXE_patchset"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // An interrupt from the keyboard goes to this process alone; the script then sees its input
        // end.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut supervisor = command.spawn().expect("bash runs hack/node.sh");
        let stderr = supervisor.stderr.take().unwrap();
        let messages = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = BufReader::new(stderr).read_to_string(&mut text);
            text
        });
        let mut line = String::new();
        BufReader::new(supervisor.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        if line != "ready\n" {
            let _ = supervisor.wait();
            panic!(
                "the node for the tests did not start (hack/test.sh sets up what it needs):\n{}",
                messages.join().unwrap()
            );
        }
        let kubeconfig = directory.join("kubeconfig");
        let text = std::fs::read_to_string(&kubeconfig).unwrap();
        let config = futures::executor::block_on(Config::from_custom_kubeconfig(
            Kubeconfig::from_yaml(&text).unwrap(),
            &KubeConfigOptions::default(),
        ))
        .unwrap();
        let registry = std::fs::read_to_string(directory.join("registry")).unwrap();
        let node = Self {
            config,
            kubeconfig,
            registry: registry.trim().to_owned(),
            spare: Mutex::new((0..SPARE).map(|_| format!("127.0.0.1:{}", free_port())).collect()),
            namespaces: AtomicUsize::new(0),
            _supervisor: supervisor,
        };
        node.install();
        node
    }

    /// Runs kubectl; returns its output.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = program("kubectl")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Installs the controller from its chart, and waits until it is ready.
    fn install(&self) {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/patchset");
        let mut plain_http = self.spare.lock().unwrap().clone();
        plain_http.push(self.registry.clone());
        let values = json!({
            "image": { "repository": "localhost/patchset", "tag": "node", "pullPolicy": "Never" },
            "hostNetwork": true,
            "leaderElection": false,
            "controller": {
                "allowTransport": ["https", "ssh", "http"],
                // The pods of this node have no network of their own.
                "jobPodTemplate": "Allowed",
                "extraArgs": [
                    format!("--plain-http-registry={}", plain_http.join(",")),
                    "--buildkit-image=localhost/builder:node",
                    "--max-builds-per-namespace=2",
                ],
            },
        });
        let root = tempfile::tempdir().unwrap();
        let (file, manifests) = (
            root.path().join("values.json"),
            root.path().join("manifests.yaml"),
        );
        std::fs::write(&file, values.to_string()).unwrap();
        let rendered = program("helm")
            .args(["template", "patchset"])
            .arg(&chart)
            .args(["--namespace", HOME, "--include-crds", "--values"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(
            rendered.status.success(),
            "{}",
            String::from_utf8_lossy(&rendered.stderr)
        );
        std::fs::write(&manifests, rendered.stdout).unwrap();
        self.kubectl(&["create", "namespace", HOME]);
        let path = manifests.to_str().unwrap();
        self.kubectl(&["apply", "--server-side", "--namespace", HOME, "--filename", path]);
        self.await_controller();
    }

    fn await_controller(&self) {
        let arguments = [
            "rollout",
            "status",
            "deployment/patchset",
            "--namespace",
            HOME,
            "--timeout=120s",
        ];
        self.kubectl(&arguments);
    }

    /// Kills the controller without a warning, and waits for the next.
    pub fn kill_controller(&self) {
        let all = [
            "delete",
            "pod",
            "--namespace",
            HOME,
            "--all",
            "--force",
            "--grace-period=0",
        ];
        self.kubectl(&all);
        self.await_controller();
    }

    /// Stops the controller until the returned value is dropped. Other tests wait in the meantime.
    pub fn without_controller(&self) -> Absence<'_> {
        self.scale_controller(0);
        self.kubectl(&[
            "wait",
            "pod",
            "--namespace",
            HOME,
            "--all",
            "--for=delete",
            "--timeout=60s",
        ]);
        Absence(self)
    }

    fn scale_controller(&self, replicas: u32) {
        let replicas = format!("--replicas={replicas}");
        self.kubectl(&["scale", "deployment/patchset", "--namespace", HOME, &replicas]);
    }

    /// A host and port for a registry of one test.
    pub fn spare_host(&self) -> String {
        let mut spare = self.spare.lock().unwrap();
        spare
            .pop()
            .expect("SPARE is as large as there are tests that ask")
    }

    /// A client with all rights. It belongs to the calling test's runtime.
    pub fn client(&self) -> Client {
        Client::try_from(self.config.clone()).unwrap()
    }

    /// A new namespace for the test.
    pub fn site(&'static self, prefix: &str) -> Site {
        let namespace = format!("{prefix}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        self.kubectl(&["create", "namespace", &namespace]);
        Site {
            node: self,
            client: self.client(),
            namespace,
        }
    }
}

/// A period without a controller.
pub struct Absence<'a>(&'a Node);

impl Drop for Absence<'_> {
    fn drop(&mut self) {
        self.0.scale_controller(1);
        self.0.await_controller();
    }
}

/// A namespace on the node.
pub struct Site {
    pub node: &'static Node,
    pub client: Client,
    pub namespace: String,
}

/// Polls until there is a value.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Site {
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies an object.
    pub async fn apply<K>(&self, name: &str, object: &Value)
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let mut whole = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": { "name": name }
        });
        for (key, value) in object.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let parameters = PatchParams::apply("test").force();
        self.api::<K>()
            .patch(name, &parameters, &Patch::Apply(&whole))
            .await
            .unwrap();
    }

    /// Waits until Ready of a resource's current generation has a status and a reason.
    pub async fn ready<K: Resource>(&self, name: &str, status: &str, reason: &str) -> K {
        self.wait(name, &format!("Ready={status}/{reason}"), |object: &K| {
            condition(object, "Ready").is_some_and(|ready| {
                ready.status == status
                    && ready.reason == reason
                    && ready.observed_generation == object.meta().generation
            })
        })
        .await
    }

    /// Waits until a resource satisfies a condition.
    pub async fn wait<K: Resource>(&self, name: &str, what: &str, wanted: impl Fn(&K) -> bool) -> K {
        let end = Instant::now() + PATIENCE;
        loop {
            // The API server may be asked while nothing answers for a moment.
            let object = self.api::<K>().get(name).await.unwrap();
            if wanted(&object) {
                return object;
            }
            assert!(
                Instant::now() < end,
                "{name} is not {what}: {}\n{}\n{}",
                serde_json::to_string_pretty(&json!(object)).unwrap(),
                self.node
                    .kubectl(&["get", "pods,jobs", "--namespace", &self.namespace, "-o", "wide"]),
                self.node
                    .kubectl(&["logs", "deployment/patchset", "--namespace", HOME, "--tail=30"]),
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits for an event, which is posted after its status.
    pub async fn wait_for_event(&self, what: &str, wanted: impl Fn(&Event) -> bool) {
        until(&format!("an event of {what}"), || async {
            let events = self.api::<Event>().list(&ListParams::default()).await.unwrap();
            events.iter().any(&wanted).then_some(())
        })
        .await;
    }

    /// Runs a command in an image to its end; returns its output.
    pub async fn run(&self, name: &str, image: &str, command: &[&str]) -> String {
        let pod = json!({ "spec": {
            "restartPolicy": "Never", "hostNetwork": true, "automountServiceAccountToken": false,
            "containers": [{ "name": "run", "image": image, "command": command }]
        } });
        self.apply::<Pod>(name, &pod).await;
        let end = Instant::now() + PATIENCE;
        loop {
            let pod = self.api::<Pod>().get(name).await.unwrap();
            let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
            if let Some("Succeeded" | "Failed") = phase.as_deref() {
                let log = self.api::<Pod>().logs(name, &LogParams::default()).await.unwrap();
                assert_eq!(phase.as_deref(), Some("Succeeded"), "{log}");
                return log;
            }
            assert!(Instant::now() < end, "{name} does not end: {:?}", pod.status);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The build pods of this namespace.
    pub async fn build_pods(&self) -> Vec<Pod> {
        let of_builds = ListParams::default().labels("app.kubernetes.io/component=build");
        self.api::<Pod>().list(&of_builds).await.unwrap().items
    }

    /// A PatchSet.
    pub async fn patch_set(&self, name: &str) -> PatchSet {
        self.api::<PatchSet>().get(name).await.unwrap()
    }
}

/// What a Job needs on this node, where pods have no network of their own and nothing can run
/// unprivileged: its kernel has cgroups version 1.
pub fn pod_template() -> Value {
    json!({ "spec": {
        "hostNetwork": true, "dnsPolicy": "Default",
        "containers": [{
            "name": "build", "imagePullPolicy": "Never",
            "env": [{ "name": "BUILDER_FLAGS", "value": "--root /home/user/.local/share/buildkit" }],
            "securityContext": {
                "privileged": true, "runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": null,
                "seccompProfile": null, "appArmorProfile": null
            }
        }]
    } })
}

/// The name of the newest pod.
pub fn newest(pods: &[Pod]) -> Option<String> {
    pods.iter()
        .max_by_key(|pod| pod.creation_timestamp())
        .map(ResourceExt::name_any)
}
