//! One real API server (etcd and kube-apiserver) for all tests of this process.
//!
//! `hack/cluster.sh serve` starts it and stops it when its standard input ends. This process holds
//! the other end of that pipe, so the servers go with it however it ends: normally, by a panic, or
//! killed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, Config};
use tokio::sync::OnceCell;

/// A running API server.
pub struct ApiServer {
    kubeconfig: String,
    config: Config,
    namespaces: AtomicUsize,
    crds: OnceCell<()>,
    /// Its standard input keeps the servers alive.
    _supervisor: Child,
}

impl ApiServer {
    /// The API server that all tests share, started by the first that asks.
    pub async fn get() -> &'static Self {
        static SHARED: OnceLock<ApiServer> = OnceLock::new();
        match tokio::task::spawn_blocking(|| SHARED.get_or_init(Self::start)).await {
            Ok(server) => server,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// An API server for one test, which would disturb the others.
    pub async fn separate() -> Self {
        tokio::task::spawn_blocking(Self::start).await.unwrap()
    }

    fn start() -> Self {
        // If a TLS provider is already installed, it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::Builder::new()
            .prefix("patchset-cluster-")
            .tempdir()
            .unwrap()
            .keep();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/cluster.sh");
        let mut command = Command::new("bash");
        command.arg(&script).arg("serve").arg(&directory);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // An interrupt from the keyboard goes to this process alone; the script then sees its input
        // end.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut supervisor = command.spawn().expect("bash runs hack/cluster.sh");

        let stderr = supervisor.stderr.take().unwrap();
        let messages = thread::spawn(move || {
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
                "the API server for the tests did not start (hack/test.sh sets up what it needs):\n{}",
                messages.join().unwrap()
            );
        }

        let kubeconfig = std::fs::read_to_string(directory.join("kubeconfig")).unwrap();
        let config = futures::executor::block_on(Config::from_custom_kubeconfig(
            Kubeconfig::from_yaml(&kubeconfig).unwrap(),
            &KubeConfigOptions::default(),
        ))
        .unwrap();
        Self {
            kubeconfig,
            config,
            namespaces: AtomicUsize::new(0),
            crds: OnceCell::new(),
            _supervisor: supervisor,
        }
    }

    /// A client with all rights. It belongs to the calling test's runtime: do not keep it in a
    /// static.
    pub fn client(&self) -> Client {
        Client::try_from(self.config.clone()).unwrap()
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        let url = &self.config.cluster_url;
        format!("{}:{}", url.host().unwrap(), url.port_u16().unwrap())
            .parse()
            .unwrap()
    }

    /// A client with all rights that reaches the server at another address.
    pub fn client_by(&self, address: SocketAddr) -> Client {
        let mut config = self.config.clone();
        config.cluster_url = format!("https://{address}").parse().unwrap();
        Client::try_from(config).unwrap()
    }

    /// A client that acts as a service account, with its rights.
    pub fn client_as(&self, namespace: &str, service_account: &str) -> Client {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(format!("system:serviceaccount:{namespace}:{service_account}"));
        config.auth_info.impersonate_groups = Some(vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ]);
        Client::try_from(config).unwrap()
    }

    /// Writes a kubeconfig, complete in itself, for a process that a test starts.
    pub fn kubeconfig(&self, path: &Path) {
        self.kubeconfig_by(path, None);
    }

    /// Writes a kubeconfig with which a process reaches the server at another address, if one is
    /// given.
    pub fn kubeconfig_by(&self, path: &Path, address: Option<SocketAddr>) {
        let mut text = self.kubeconfig.clone();
        if let Some(address) = address {
            let own = self.address().to_string();
            assert!(text.contains(&own), "{own} is not in the kubeconfig");
            text = text.replace(&own, &address.to_string());
        }
        std::fs::write(path, text).unwrap();
    }

    /// Writes a kubeconfig with a service account's token.
    pub async fn kubeconfig_of(&self, namespace: &str, service_account: &str, path: &Path) {
        let token = Api::<ServiceAccount>::namespaced(self.client(), namespace)
            .create_token_request(service_account, &PostParams::default(), &TokenRequest::default())
            .await
            .unwrap()
            .status
            .unwrap()
            .token;
        let mut kubeconfig = Kubeconfig::from_yaml(&self.kubeconfig).unwrap();
        kubeconfig.auth_infos[0].auth_info.as_mut().unwrap().token = Some(token.into());
        // JSON is YAML too.
        std::fs::write(path, serde_json::to_vec(&kubeconfig).unwrap()).unwrap();
    }

    /// Creates a new namespace; returns its name: the prefix and a number.
    pub async fn namespace(&self, prefix: &str) -> String {
        self.namespace_labelled(prefix, &[]).await
    }

    /// Like [`Self::namespace`], with labels.
    pub async fn namespace_labelled(&self, prefix: &str, labels: &[(&str, &str)]) -> String {
        let name = format!("{prefix}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels.collect::<BTreeMap<_, _>>()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        Api::all(self.client())
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        name
    }

    /// Installs the CRDs in `crds/` and waits until they are served. The first call does the work.
    pub async fn crds(&self) {
        self.crds_changed(|_| {}).await;
    }

    /// Like [`Self::crds`], with changes to the CRDs.
    pub async fn crds_changed(&self, change: impl Fn(&mut CustomResourceDefinition)) {
        self.crds.get_or_init(|| self.install_crds(change)).await;
    }

    async fn install_crds(&self, change: impl Fn(&mut CustomResourceDefinition)) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client());
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("Kustomization") {
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let mut definition: CustomResourceDefinition = serde_saphyr::from_str(&text).unwrap();
            change(&mut definition);
            let name = definition.metadata.name.clone().unwrap();
            api.patch(
                &name,
                &PatchParams::apply("tests").force(),
                &Patch::Apply(&definition),
            )
            .await
            .unwrap();
            await_condition(api.clone(), &name, conditions::is_crd_established())
                .await
                .unwrap();
        }
    }
}
