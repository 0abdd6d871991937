//! Two namespaces that name one repository and reach it by different ways, in one controller.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use patchset_api::PatchSet;
use serde_json::{Value, json};

use super::{GOOD, PATIENCE, inline, shown};
use crate::support::api_server::ApiServer;
use crate::support::git_repo::GitRepo;
use crate::support::git_server::{GitServer, free_port};
use crate::support::proxy::Proxy;
use crate::support::tls::Authority;

/// A controller of all namespaces, for objects with a label.
struct Controller {
    child: Child,
    home: tempfile::TempDir,
}

impl Controller {
    fn start(api_server: &ApiServer, label: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let kubeconfig = home.path().join("kubeconfig");
        api_server.kubeconfig(&kubeconfig);
        let child = Command::new(env!("CARGO_BIN_EXE_patchset"))
            .args([
                "controller",
                "--interval-jitter-percentage=0",
                "--allow-transport=https",
            ])
            .arg(format!("--watch-label-selector={label}"))
            .arg(format!("--metrics-addr=127.0.0.1:{}", free_port()))
            .arg(format!("--health-addr=127.0.0.1:{}", free_port()))
            .arg("--storage-path")
            .arg(home.path().join("data"))
            .env("KUBECONFIG", kubeconfig)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(home.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, home }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.home.path().join("log"));
            eprintln!("the controller's log:\n{}", log.unwrap_or_default());
        }
    }
}

struct Tenant<'a> {
    api_server: &'a ApiServer,
    namespace: String,
    label: &'a str,
}

impl Tenant<'_> {
    async fn secret(&self, name: &str, data: &Value) {
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": data
        });
        let secrets: Api<Secret> = Api::namespaced(self.api_server.client(), &self.namespace);
        let parameters = PatchParams::apply("test").force();
        secrets
            .patch(name, &parameters, &Patch::Apply(&object))
            .await
            .unwrap();
    }

    /// Applies a `PatchSet`, and waits until it is Ready; returns its upstream's revision.
    async fn ready(&self, name: &str, upstream: &Value) -> String {
        let (key, value) = self.label.split_once('=').unwrap();
        let object = json!({
            "apiVersion": "patching.c5c3.io/v1alpha1", "kind": "PatchSet",
            "metadata": { "name": name, "labels": { key: value } },
            "spec": {
                "component": "demo", "release": "2025.2", "interval": "5s", "upstream": upstream,
                "patches": inline(&[("0001-five.patch", GOOD)])
            }
        });
        let patch_sets: Api<PatchSet> = Api::namespaced(self.api_server.client(), &self.namespace);
        let parameters = PatchParams::apply("test").force();
        patch_sets
            .patch(name, &parameters, &Patch::Apply(&object))
            .await
            .unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            let object = patch_sets.get(name).await.unwrap();
            if shown(&object, "Ready") == "True/Succeeded" {
                let status = serde_json::to_value(object.status.unwrap()).unwrap();
                return status["upstreamRevision"]
                    .as_str()
                    .map_or_else(|| status.to_string(), ToOwned::to_owned);
            }
            assert!(Instant::now() < end, "{:?}", object.status);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_own_way_to_a_server_is_believed_by_nobody_else() {
    let api_server = ApiServer::get().await;
    api_server.crds().await;
    let (hostile, honest) = (
        api_server.namespace("hostile").await,
        api_server.namespace("honest").await,
    );
    let label = format!("trust={honest}");
    let tenant = |namespace| Tenant {
        api_server,
        namespace,
        label: &label,
    };
    let (hostile, honest) = (tenant(hostile), tenant(honest));
    let roots = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [real, fake] = [&roots[0], &roots[1]].map(|root| GitRepo::create(root.path(), "upstream"));
    let real_commit = real.commit(&[("file.txt", super::BASE)], "real");
    let fake_commit = fake.commit(&[("file.txt", super::BASE), ("more", "hostile\n")], "fake");
    let (authority, own_authority) = (Authority::new(), Authority::new());
    let server = GitServer::http(roots[0].path())
        .tls(authority.server(None))
        .start();
    let own_server = GitServer::http(roots[1].path())
        .tls(own_authority.server(None))
        .start();
    let proxy = Proxy::start_to("user", "password", &own_server.host());
    hostile
        .secret("login", &json!({ "ca.crt": own_authority.pem() }))
        .await;
    let address = json!({ "address": proxy.url(), "username": "user", "password": "password" });
    hostile.secret("proxy", &address).await;
    honest
        .secret("login", &json!({ "ca.crt": authority.pem() }))
        .await;
    let upstream = json!({
        "url": server.url("upstream"), "ref": { "branch": "main" }, "secretRef": { "name": "login" }
    });
    let mut by_proxy = upstream.clone();
    by_proxy["proxySecretRef"] = json!({ "name": "proxy" });
    let _controller = Controller::start(api_server, &label);
    for round in 0..3 {
        let revision = hostile.ready(&format!("hostile-{round}"), &by_proxy).await;
        assert!(revision.contains(&fake_commit), "{revision}");
        let revision = honest.ready(&format!("honest-{round}"), &upstream).await;
        assert!(revision.contains(&real_commit), "{revision}");
        assert!(!revision.contains(&fake_commit), "{revision}");
    }
}
