//! A separate API server with a controller for all namespaces: tenants with hostile objects, and an
//! honest one.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use kube::{Client, Error};
use patchset_api::build::BuildStatus;
use serde::Deserialize;
use serde_json::{Value, json};

use super::git::{self, Repository};
use super::process::{self, limited};
use super::registries;
use super::server::Server;
use super::table::{Row, faults_of_text};
use crate::controller::patches::install_git_repository_kind;
use crate::controller::{BASE, GOOD, inline};
use crate::support::api_server::ApiServer;
use crate::support::crafted;
use crate::support::git_repo::GitRepo;
use crate::support::git_server::{GitServer, free_port};
use crate::support::registry::Registry;

/// The most memory that the controller may use, in MiB.
pub const MOST: u64 = 400;
/// How long an honest object, or the message on a hostile one, may take on a busy machine. An
/// object that takes longer is held up.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long the controller may take to end on request: 10 s, plus an allowance for a busy machine.
const END: Duration = Duration::from_secs(20);
/// How long the controller may keep working on deleted objects: the rest of their timeout, plus an
/// allowance for a busy machine.
const REST: Duration = Duration::from_secs(60);
/// The most that the controller may log about one tenant, in bytes.
const MOST_LOG: usize = 4 << 20;
/// The content of a Secret of the honest tenant, which appears nowhere else.
const SECRET: &str = "ladybird-of-the-honest-tenant";

/// Objects of a tenant, and the outcomes allowed for them.
pub struct Tenant {
    /// What is odd about them, with its size.
    pub input: String,
    /// Manifests as JSON; `NAMESPACE` in them becomes the tenant's namespace.
    pub objects: Vec<String>,
    /// Words of which one must be in the message of the API server, or of Ready of the object
    /// `hostile`; if there are none, no message is needed.
    pub names: Vec<&'static str>,
    /// Layers of the image that appears as soon as `hostile` waits for it.
    pub layers: Option<Vec<Vec<u8>>>,
    /// Whether the controller has to end while it is at work on them, and to start with them.
    pub restart: bool,
    /// Called with the tenant's namespace before its objects are created.
    pub prepare: Option<Prepare>,
    /// Folders and servers that they need.
    pub ground: Box<dyn Any + Send>,
}

/// A preparation of a namespace.
pub type Prepare = Box<dyn FnOnce(&str)>;

/// A tenant that is created later: some take much memory and many files.
pub type Make = Box<dyn FnOnce(&Cluster) -> Tenant>;

/// Boxes a function that makes a tenant.
pub fn make(tenant: impl FnOnce(&Cluster) -> Tenant + 'static) -> Make {
    Box::new(tenant)
}

impl Tenant {
    /// A tenant with one `PatchSet`.
    pub fn with_spec(input: impl Into<String>, names: &[&'static str], spec: &Value) -> Self {
        Self {
            input: input.into(),
            objects: vec![patch_set("hostile", spec)],
            names: names.to_vec(),
            layers: None,
            restart: false,
            prepare: None,
            ground: Box::new(()),
        }
    }
}

/// A manifest.
pub fn patch_set(name: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet",
        "metadata": { "name": name, "namespace": "NAMESPACE" }, "spec": spec
    })
    .to_string()
}

/// A manifest of a Secret or ConfigMap.
pub fn data(kind: &str, name: &str, data: &Value) -> String {
    let field = if kind == "Secret" { "stringData" } else { "data" };
    json!({
        "apiVersion": "v1", "kind": kind, "metadata": { "name": name, "namespace": "NAMESPACE" }, field: data
    })
    .to_string()
}

/// A spec on an upstream at its tag 1.0.0.
pub fn spec(url: &str, patches: &Value) -> Value {
    json!({
        "component": "demo", "release": "2025.2", "interval": "10s", "timeout": "30s", "patches": patches,
        "upstream": { "url": url, "ref": { "tag": "1.0.0" } }
    })
}

/// The fields that are read from an object: its spec may be too deep to be read here.
#[derive(Deserialize)]
struct Looked {
    metadata: Value,
    #[serde(default)]
    status: Value,
}

/// The outcome of an honest object.
struct Honest {
    seconds: f64,
    fault: Option<String>,
}

/// A controller's process; ended when dropped.
struct Controller {
    child: Child,
}

/// See the module.
pub struct Cluster {
    server: ApiServer,
    pub client: Client,
    pub root: tempfile::TempDir,
    pub git: GitServer,
    pub registry: Registry,
    /// Registries that answer wrongly, in the order of [`registries::ODD`].
    pub odd: Vec<Server>,
    honest: String,
    controller: Controller,
    /// The controller's peak memory so far, in MiB.
    peak: Cell<u64>,
    arguments: Vec<String>,
    count: usize,
    _upstream: GitRepo,
}

impl Cluster {
    /// Starts the servers and the controller.
    pub async fn start() -> Self {
        let server = ApiServer::separate().await;
        server.crds().await;
        install_git_repository_kind(&server.client()).await;
        let root = tempfile::tempdir().unwrap();
        let upstream = GitRepo::create(root.path(), "upstream");
        // Images with a distribution are inspected.
        let about = "[metadata]\nname = demo\n";
        upstream.commit(&[("file.txt", BASE), ("setup.cfg", about)], "base");
        upstream.git(&["tag", "1.0.0"]);
        let registry = Registry::open();
        let odd: Vec<Server> = registries::ODD
            .iter()
            .map(|(name, ..)| registries::serve(name))
            .collect();
        let plain: Vec<String> = odd
            .iter()
            .map(Server::host)
            .chain([registry.host.clone()])
            .collect();
        let honest = server.namespace("honest").await;
        server.kubeconfig(&root.path().join("kubeconfig"));
        let arguments = [
            "controller".to_owned(),
            format!("--runtime-namespace={honest}"),
            "--interval-jitter-percentage=0".to_owned(),
            "--allow-transport=https,ssh,http,git".to_owned(),
            format!("--plain-http-registry={}", plain.join(",")),
            format!("--storage-path={}", root.path().join("data").display()),
        ];
        let controller = Controller::spawn(root.path(), &arguments);
        let cluster = Self {
            client: server.client(),
            git: GitServer::http(root.path()).start(),
            server,
            root,
            registry,
            odd,
            honest,
            controller,
            peak: Cell::new(0),
            arguments: arguments.to_vec(),
            count: 0,
            _upstream: upstream,
        };
        let secret =
            data("Secret", "secret", &json!({ "password": SECRET })).replace("NAMESPACE", &cluster.honest);
        cluster.create(&secret).await.unwrap();
        cluster
    }

    /// The honest upstream's address.
    pub fn upstream(&self) -> String {
        self.git.url("upstream")
    }

    /// Creates an object by its manifest, which may be too deep to be read here.
    async fn create(&self, manifest: &str) -> Result<(), String> {
        let request = http::Request::post(collection(manifest))
            .header("Content-Type", "application/json")
            .body(manifest.as_bytes().to_vec())
            .unwrap();
        told(self.client.request_text(request).await)
    }

    async fn delete(&self, manifest: &str) {
        let path = format!("{}/{}", collection(manifest), field(manifest, "name"));
        let request = http::Request::delete(path).body(Vec::new()).unwrap();
        let _ = self.client.request_text(request).await;
    }

    /// Metadata and status of an object.
    async fn get(&self, namespace: &str, name: &str) -> Option<Value> {
        let path = format!("/apis/patching.c5c3.io/v1alpha1/namespaces/{namespace}/patchsets/{name}/status");
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let text = self.client.request_text(request).await.ok()?;
        let mut reader = serde_json::Deserializer::from_str(&text);
        let read = Looked::deserialize(&mut reader).ok()?;
        Some(json!({ "metadata": read.metadata, "status": read.status }))
    }

    /// Creates an honest `PatchSet` and waits for its reconciliation.
    async fn serve_honest(&self) -> Honest {
        let name = format!("honest-{}", self.count);
        let spec = spec(&self.upstream(), &inline(&[("0001-five.patch", GOOD)]));
        let manifest = patch_set(&name, &spec).replace("NAMESPACE", &self.honest);
        let begin = Instant::now();
        self.create(&manifest).await.unwrap();
        let mut last = Value::Null;
        while begin.elapsed() < PATIENCE {
            last = self.get(&self.honest, &name).await.unwrap_or_default();
            if ready(&last).is_some_and(|ready| ready["status"] == "True") {
                self.delete(&manifest).await;
                return Honest {
                    seconds: begin.elapsed().as_secs_f64(),
                    fault: None,
                };
            }
            self.peak();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.delete(&manifest).await;
        Honest {
            seconds: begin.elapsed().as_secs_f64(),
            fault: Some(format!(
                "an honest object is not Ready: {}",
                last["status"]["conditions"]
            )),
        }
    }

    /// How long an honest object takes, in seconds, or why it is not Ready.
    pub async fn honest(&mut self) -> Result<f64, String> {
        self.count += 1;
        let honest = self.serve_honest().await;
        honest.fault.map_or(Ok(honest.seconds), Err)
    }

    /// Creates a tenant's objects in a new namespace; returns the namespace, and what the API
    /// server refused.
    pub async fn settle(&self, tenant: &mut Tenant) -> (String, Vec<String>, Option<String>) {
        let namespace = self.server.namespace("hostile").await;
        if let Some(prepare) = tenant.prepare.take() {
            prepare(&namespace);
        }
        let objects: Vec<String> = tenant
            .objects
            .iter()
            .map(|manifest| manifest.replace("NAMESPACE", &namespace))
            .collect();
        let mut refused = None;
        for manifest in &objects {
            if let Err(error) = self.create(manifest).await {
                refused = Some(error);
            }
        }
        (namespace, objects, refused)
    }

    /// Adds a tenant, and records the outcome for it, the controller and an honest tenant.
    pub async fn run(&mut self, mut tenant: Tenant) -> Row {
        self.count += 1;
        self.forget_peak();
        let (logged, worked) = (self.log().len(), self.computed());
        let begin = Instant::now();
        let (namespace, objects, refused) = self.settle(&mut tenant).await;
        let mut faults = Vec::new();
        if tenant.restart && refused.is_none() {
            tokio::time::sleep(Duration::from_secs(2)).await;
            self.peak();
            faults.extend(self.end().await);
            self.controller = Controller::spawn(self.root.path(), &self.arguments);
        }
        let honest = self.serve_honest().await;
        let alive = honest.fault.is_none();
        faults.extend(honest.fault);
        let said = match refused {
            Some(refused) => refused,
            // A controller that ended says nothing.
            None if tenant.names.is_empty() || !alive => String::new(),
            None => match self.word(&namespace, &tenant).await {
                Ok(said) => said,
                Err(fault) => {
                    faults.push(fault);
                    String::new()
                }
            },
        };
        let seconds = begin.elapsed().as_secs_f64();
        faults.extend(faults_of_text(&said, &tenant.names));
        let peak = self.peak();
        if peak > MOST {
            faults.push(format!("the controller takes {peak} MiB, more than {MOST}"));
        }
        let log = self.log();
        faults.extend(faults_of_log(log.get(logged..).unwrap_or(&log)));
        for manifest in &objects {
            self.delete(manifest).await;
        }
        match self.ended() {
            Some(status) => faults.push(format!("the controller ended: {status}")),
            None => faults.extend(self.rest().await),
        }
        // After a restart, it counts from there.
        let computed = self.computed();
        let computed = if computed < worked {
            computed
        } else {
            computed - worked
        };
        if !faults.is_empty() {
            eprintln!(
                "{}: the controller logged last:\n{}",
                tenant.input,
                last_lines(&log)
            );
        }
        // The next tenant finds a controller that is not at work on this one.
        if !faults.is_empty() {
            self.restart();
        }
        drop(tenant.ground);
        Row {
            input: tenant.input,
            by: "controller",
            said,
            seconds,
            computed,
            peak,
            faults,
        }
    }

    fn computed(&self) -> f64 {
        process::computed(self.controller.child.id()).unwrap_or_default()
    }

    /// Waits until the controller is idle; returns a fault if it keeps working.
    async fn rest(&self) -> Option<String> {
        let begin = Instant::now();
        while begin.elapsed() < REST {
            let before = self.computed();
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.computed() - before < 0.3 {
                return None;
            }
        }
        Some(format!(
            "the controller is at work for {} s after the objects are gone",
            REST.as_secs()
        ))
    }

    /// The message of Ready of `hostile`, once it has one of the tenant's names, or its last one if
    /// it never does. Messages from before all of the tenant's objects are seen do not count.
    async fn word(&self, namespace: &str, tenant: &Tenant) -> Result<String, String> {
        let end = Instant::now() + PATIENCE;
        let mut layers = tenant.layers.clone();
        let (mut last, mut said) = (Value::Null, None);
        while Instant::now() < end {
            last = self.get(namespace, "hostile").await.unwrap_or_default();
            if let Some(ready) = ready(&last) {
                let waits = ready["status"] == "Unknown";
                if ready["reason"] == "AwaitingImage"
                    && let Some(layers) = layers.take()
                {
                    self.put_image(&last["status"]["build"], layers).await;
                } else if !waits && layers.is_none() || waits && tenant.names.contains(&"AwaitingImage") {
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    let text = format!("{}: {}", text(&ready["reason"]), text(&ready["message"]));
                    if tenant.names.is_empty() || tenant.names.iter().any(|name| text.contains(name)) {
                        return Ok(text);
                    }
                    said = Some(text);
                }
            }
            self.peak();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        said.ok_or_else(|| format!("nothing is said of it: {}", last["status"]["conditions"]))
    }

    /// Pushes an image to the registry, as if built as the status says.
    async fn put_image(&self, build: &Value, layers: Vec<Vec<u8>>) {
        let build: BuildStatus = serde_json::from_value(build.clone()).unwrap();
        let target = build.target.unwrap();
        let (repository, tag) = target.rsplit_once(':').unwrap();
        let (_, name) = repository.split_once('/').unwrap();
        crafted::Repository::new(&self.registry, name)
            .image(Some(tag), build.inputs_digest.as_str(), layers)
            .await;
    }

    /// A spec with a build by another CI, from the honest upstream.
    pub fn build_spec(&self, name: &str) -> Value {
        let mut spec = spec(&self.upstream(), &inline(&[("0001-five.patch", GOOD)]));
        spec["build"] = json!({
            "engine": "External",
            "image": { "repository": format!("{}/{name}", self.registry.host), "tag": "{version}-{inputs}" },
            "source": { "repository": format!("{}/{name}-source", self.registry.host) }
        });
        spec
    }

    /// Serves a forged Git repository.
    pub fn serve_git(repository: Repository) -> Server {
        git::serve(BTreeMap::from([("hostile".to_owned(), repository)]))
    }

    /// The controller's peak memory in MiB since [`Cluster::forget_peak`].
    pub fn peak(&self) -> u64 {
        let peak = process::peak(self.controller.child.id()).unwrap_or_default();
        self.peak.set(self.peak.get().max(peak));
        self.peak.get()
    }

    /// Resets [`Cluster::peak`].
    pub fn forget_peak(&self) {
        self.peak.set(0);
        process::forget_peak(self.controller.child.id());
    }

    /// The controller's exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.controller.child.try_wait().unwrap()
    }

    fn restart(&mut self) {
        let _ = self.controller.child.kill();
        let _ = self.controller.child.wait();
        self.controller = Controller::spawn(self.root.path(), &self.arguments);
    }

    /// Asks the controller to end; returns what is wrong with how it does.
    pub async fn end(&mut self) -> Option<String> {
        let pid = self.controller.child.id().to_string();
        let _ = std::process::Command::new("kill").arg(&pid).status();
        let begin = Instant::now();
        while begin.elapsed() < END {
            if let Some(status) = self.controller.child.try_wait().unwrap() {
                return (!status.success())
                    .then(|| format!("asked to end, the controller ends with {status}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let _ = self.controller.child.kill();
        let _ = self.controller.child.wait();
        Some(format!(
            "asked to end, the controller runs on for {} s",
            END.as_secs()
        ))
    }

    fn log(&self) -> String {
        let bytes = std::fs::read(self.root.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Controller {
    fn spawn(root: &std::path::Path, arguments: &[String]) -> Self {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(root.join("log"))
            .unwrap();
        let child = limited()
            .args(arguments)
            .arg(format!("--metrics-addr=127.0.0.1:{}", free_port()))
            .arg(format!("--health-addr=127.0.0.1:{}", free_port()))
            .env("KUBECONFIG", root.join("kubeconfig"))
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        Self { child }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<String> = log
        .lines()
        .rev()
        .take(12)
        .map(|line| line.chars().take(600).collect())
        .collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// The faults in the controller's log.
pub fn faults_of_log(log: &str) -> Vec<String> {
    use base64::Engine;
    let mut faults = Vec::new();
    if log.len() > MOST_LOG {
        faults.push(format!("logs {} bytes", log.len()));
    }
    let encoded = base64::engine::general_purpose::STANDARD.encode(SECRET);
    if log.contains(SECRET) || log.contains(&encoded) {
        faults.push("logs what stands in a Secret of another tenant".to_owned());
    }
    if let Some(at) = log.find("panicked at") {
        let panic: String = log[at..].chars().take(160).collect();
        faults.push(format!("logs a panic: {}", panic.escape_debug()));
    }
    faults
}

fn ready(object: &Value) -> Option<&Value> {
    let generation = &object["metadata"]["generation"];
    let conditions = object["status"]["conditions"].as_array()?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    let progressing = ready["reason"] == "Progressing";
    (ready["observedGeneration"] == *generation && !progressing).then_some(ready)
}

fn told(outcome: Result<String, Error>) -> Result<(), String> {
    match outcome {
        Ok(_) => Ok(()),
        Err(Error::Api(status)) => Err(status.message),
        Err(error) => Err(error.to_string()),
    }
}

/// The first text of a field of a manifest; deeper levels are not read.
fn field(manifest: &str, name: &str) -> String {
    let key = format!("\"{name}\":\"");
    let start = manifest.find(&key).unwrap() + key.len();
    manifest[start..].split('"').next().unwrap().to_owned()
}

/// The API path of a manifest's kind.
fn collection(manifest: &str) -> String {
    let namespace = field(manifest, "namespace");
    let (group, plural) = match field(manifest, "kind").as_str() {
        "PatchSet" => ("apis/patching.c5c3.io/v1alpha1", "patchsets"),
        "ConstraintOverride" => ("apis/patching.c5c3.io/v1alpha1", "constraintoverrides"),
        "GitRepository" => ("apis/source.toolkit.fluxcd.io/v1", "gitrepositories"),
        "Secret" => ("api/v1", "secrets"),
        "ConfigMap" => ("api/v1", "configmaps"),
        "Job" => ("apis/batch/v1", "jobs"),
        kind => panic!("no place for {kind}"),
    };
    format!("/{group}/namespaces/{namespace}/{plural}")
}
