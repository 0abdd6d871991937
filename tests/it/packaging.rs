//! The chart and the kustomize configuration, against the real API server.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{Pod, SecurityContext, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::events::EventType;
use kube::runtime::wait::await_condition;
use kube::{Api, Resource, ResourceExt};
use patchset::status::writer::Written;
use patchset::{ops, status};
use patchset_api::patch_set::PatchSet;
use patchset_api::status::PatchSetStatus;
use rstest::rstest;
use serde_json::Value;

use crate::support::api_server::ApiServer;
use crate::support::program::program;

const RELEASE: &str = "patchset";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn chart() -> PathBuf {
    root().join("charts/patchset")
}

/// Runs `helm` without the caller's own configuration.
fn helm(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    program("helm")
        .args(arguments)
        .env("HELM_CACHE_HOME", home.path())
        .env("HELM_CONFIG_HOME", home.path())
        .env("HELM_DATA_HOME", home.path())
        .output()
        .unwrap()
}

/// The standard output of a command that must succeed.
fn succeeded(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn rendered(namespace: &str, settings: &[&str]) -> String {
    let chart = chart();
    let mut arguments = vec![
        "template",
        RELEASE,
        chart.to_str().unwrap(),
        "--namespace",
        namespace,
    ];
    for setting in settings {
        arguments.extend(["--set-json", setting]);
    }
    succeeded(&helm(&arguments))
}

fn kustomized() -> String {
    kustomize("config/default")
}

fn kustomize(folder: &str) -> String {
    let output = program("kubectl")
        .arg("kustomize")
        .arg(root().join(folder))
        .output()
        .unwrap();
    succeeded(&output)
}

/// The objects of a stream of YAML documents.
fn objects(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple::<Option<Value>>(yaml)
        .unwrap()
        .into_iter()
        .flatten()
        .collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn one_of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = of_kind(objects, kind);
    assert_eq!(found.len(), 1, "one {kind} is expected");
    found[0]
}

fn deployment(objects: &[Value]) -> Deployment {
    serde_json::from_value(one_of_kind(objects, "Deployment").clone()).unwrap()
}

/// Runs `kubectl apply --server-side` on a stream of documents; unknown fields are refused.
fn apply(server: &ApiServer, yaml: &str, dry_run: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    server.kubeconfig(&kubeconfig);
    let mut child = program("kubectl")
        .args(["apply", "--server-side", "--validate=strict", "--filename=-"])
        .arg(format!("--dry-run={dry_run}"))
        .arg("--kubeconfig")
        .arg(&kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn helm_finds_nothing_to_complain_about() {
    succeeded(&helm(&["lint", "--strict", chart().to_str().unwrap()]));
}

#[test]
fn the_chart_carries_the_generated_definitions() {
    let names = |folder: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let (generated, carried) = (root().join("crds"), chart().join("crds"));
    let mut definitions = names(&generated);
    definitions.retain(|name| name != "Kustomization");
    assert_eq!(definitions, names(&carried));
    for name in definitions {
        assert_eq!(
            std::fs::read_to_string(generated.join(&name)).unwrap(),
            std::fs::read_to_string(carried.join(&name)).unwrap(),
            "copy crds/{name} to charts/patchset/crds/"
        );
    }
}

/// `kubectl apply -f crds` sends each of these to the API server, which does not know kustomize's
/// `Kustomization`.
#[test]
fn the_folder_of_definitions_has_nothing_else_that_kubectl_would_send() {
    for entry in std::fs::read_dir(root().join("crds")).unwrap() {
        let path = entry.unwrap().path();
        let is_sent = path
            .extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|sent| extension == *sent));
        if is_sent {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(
                text.contains("kind: CustomResourceDefinition"),
                "{}",
                path.display()
            );
        }
    }
}

#[rstest]
#[case::defaults(&[])]
#[case::one_namespace(&["controller.watchAllNamespaces=false"])]
#[case::everything_on(&[
    "replicas=2",
    "image.digest=\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"",
    "imagePullSecrets=[{\"name\":\"pull\"}]",
    "serviceAccount.annotations={\"a\":\"b\"}",
    "controller.eventsAddr=\"http://notification-controller.flux-system.svc.cluster.local./\"",
    "controller.watchLabelSelector=\"sharding.fluxcd.io/key=a\"",
    "controller.extraArgs=[\"--buildkit-image=moby/buildkit:rootless\"]",
    "controller.extraEnv=[{\"name\":\"HTTPS_PROXY\",\"value\":\"http://proxy:3128\"}]",
    "storage.persistence.enabled=true",
    "storage.persistence.storageClassName=\"fast\"",
    "storage.persistence.annotations={\"a\":\"b\"}",
    "metrics.service.annotations={\"a\":\"b\"}",
    "controller.defaultServiceAccount=\"tenant\"",
    "rbac.impersonate=true",
    "controller.registryIdentities=[\"aws\",\"gcp\"]",
    "networkPolicy.extraEgress=[{\"to\":[{\"ipBlock\":{\"cidr\":\"169.254.20.10/32\"}}]}]",
    "webhook.enabled=true",
    "webhook.service.type=\"NodePort\"",
    "webhook.ingress={\"enabled\":true,\"className\":\"nginx\",\"host\":\"hooks.example.org\",\"tlsSecretName\":\"tls\",\"annotations\":{\"a\":\"b\"}}",
    "web={\"enabled\":true,\"trustedProxies\":[\"10.1.0.0/16\",\"fd00::1\"],\"anonymousNamespaces\":[\"open\"],\"ingress\":{\"enabled\":true,\"className\":\"nginx\",\"host\":\"patches.example.org\",\"tlsSecretName\":\"tls\"}}",
    "networkPolicy.webFrom=[{\"namespaceSelector\":{\"matchLabels\":{\"a\":\"b\"}}}]",
    "networkPolicy.webhookFrom=[{\"namespaceSelector\":{\"matchLabels\":{\"a\":\"b\"}}}]",
    "networkPolicy.metricsFrom=[{\"namespaceSelector\":{\"matchLabels\":{\"a\":\"b\"}}}]",
    "podAnnotations={\"a\":\"b\"}",
    "podLabels={\"c\":\"d\"}",
    "priorityClassName=\"system-cluster-critical\"",
    "nodeSelector={\"kubernetes.io/os\":\"linux\"}",
    "tolerations=[{\"key\":\"a\",\"operator\":\"Exists\"}]",
    "affinity={\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\"}]}]}}}",
    "topologySpreadConstraints=[{\"maxSkew\":1,\"topologyKey\":\"zone\",\"whenUnsatisfiable\":\"ScheduleAnyway\"}]",
    "extraVolumes=[{\"name\":\"ca\",\"configMap\":{\"name\":\"ca\"}}]",
    "extraVolumeMounts=[{\"name\":\"ca\",\"mountPath\":\"/ca\"}]",
])]
#[case::as_little_as_possible(&[
    "leaderElection=false",
    "rbac.create=false",
    "serviceAccount.create=false",
    "metrics.service.enabled=false",
    "networkPolicy.enabled=false",
    "storage.persistence={\"enabled\":true,\"existingClaim\":\"mine\"}",
])]
#[tokio::test]
async fn the_api_server_takes_the_chart(#[case] settings: &[&str]) {
    let server = ApiServer::get().await;
    let namespace = server.namespace("chart").await;
    let output = apply(server, &rendered(&namespace, settings), "server");
    succeeded(&output);
}

#[rstest]
#[case("")]
#[case("sharding.fluxcd.io/key=one")]
#[case("sharding.fluxcd.io/key in (a,b),team!=x")]
fn a_shard_has_a_lease_of_its_own(#[case] selector: &str) {
    let setting = format!("controller.watchLabelSelector={}", serde_json::json!(selector));
    let objects = objects(&rendered("ours", &[&setting]));
    let selector = Some(selector).filter(|selector| !selector.is_empty());
    let roles = of_kind(&objects, "Role");
    let leases: Vec<&Value> = roles
        .iter()
        .flat_map(|role| role["rules"].as_array().unwrap())
        .filter(|rule| rule["resources"][0] == "leases")
        .filter_map(|rule| rule.get("resourceNames"))
        .collect();
    assert_eq!(leases, [&serde_json::json!([ops::leader::lease_name(selector)])]);
    let pod = deployment(&objects).spec.unwrap().template.spec.unwrap();
    let arguments = pod.containers[0].args.clone().unwrap();
    let told = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("--watch-label-selector="));
    assert_eq!(told, selector);
}

/// Each controller may renew the Lease of its own selector, and selectors match only their own
/// pods.
#[test]
fn the_kustomize_configuration_has_shards_with_a_lease_each() {
    let objects = objects(&kustomize("config/sharding"));
    let (deployments, roles) = (of_kind(&objects, "Deployment"), of_kind(&objects, "Role"));
    let suffixes = ["", "-one", "-two"];
    assert_eq!((deployments.len(), roles.len()), (suffixes.len(), suffixes.len()));
    let named = |objects: &[&Value], name: String| -> Value {
        let mut objects = objects.iter();
        (*objects.find(|object| object["metadata"]["name"] == name).unwrap()).clone()
    };
    for suffix in suffixes {
        let deployment = named(&deployments, format!("patchset{suffix}"));
        let deployment: Deployment = serde_json::from_value(deployment).unwrap();
        let spec = deployment.spec.unwrap();
        let pod = spec.template.spec.unwrap();
        let arguments = pod.containers[0].args.clone().unwrap();
        let told: Vec<&str> = arguments
            .iter()
            .filter_map(|argument| argument.strip_prefix("--watch-label-selector="))
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
        let role = named(&roles, format!("patchset-leader-election{suffix}"));
        let lease = ops::leader::lease_name(Some(told[0]));
        assert_eq!(role["rules"][1]["resourceNames"], serde_json::json!([lease]));
        let labels = spec.selector.match_labels.unwrap();
        let instance = &labels["app.kubernetes.io/instance"];
        assert_eq!(*instance, format!("patchset{suffix}"));
        assert_eq!(pod.service_account_name.as_deref(), Some("patchset"));
    }
}

/// Otherwise the Role would cover another Lease, and no controller would lead.
#[test]
fn a_selector_among_the_further_arguments_is_refused() {
    let chart = chart();
    let setting = "controller.extraArgs=[\"--watch-label-selector=a=b\"]";
    let output = helm(&[
        "template",
        RELEASE,
        chart.to_str().unwrap(),
        "--set-json",
        setting,
    ]);
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("write controller.watchLabelSelector in place of"),
        "{told}"
    );
}

#[tokio::test]
async fn the_api_server_takes_the_kustomize_configuration() {
    let server = ApiServer::get().await;
    server.crds().await;
    let yaml = kustomized();
    let namespace: Vec<_> = objects(&yaml)
        .into_iter()
        .filter(|object| object["kind"] == "Namespace")
        .map(|object| object.to_string())
        .collect();
    succeeded(&apply(server, &namespace.join("\n---\n"), "none"));
    succeeded(&apply(server, &yaml, "server"));
}

#[tokio::test]
async fn helm_installs_upgrades_and_removes_it() {
    let server = ApiServer::get().await;
    server.crds().await;
    let namespace = server.namespace("install").await;
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    server.kubeconfig(&kubeconfig);
    let common = [
        "--namespace",
        &namespace,
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
    ];
    let run = |arguments: &[&str]| succeeded(&helm(&[arguments, &common].concat()));
    let chart = chart();
    let chart = chart.to_str().unwrap();

    let notes = run(&["install", RELEASE, chart]);
    assert!(
        notes.contains("watches PatchSets and ConstraintOverrides in all namespaces"),
        "{notes}"
    );
    let deployments: Api<Deployment> = Api::namespaced(server.client(), &namespace);
    assert!(deployments.get_opt(RELEASE).await.unwrap().is_some());

    run(&["upgrade", RELEASE, chart, "--set", "replicas=2"]);
    let replicas = deployments.get(RELEASE).await.unwrap().spec.unwrap().replicas;
    assert_eq!(replicas, Some(2));

    run(&["uninstall", RELEASE]);
    assert!(deployments.get_opt(RELEASE).await.unwrap().is_none());
}

#[rstest]
#[case("controller.concurrent=0", "concurrent")]
#[case("controller.allowTransport=[\"file\"]", "allowTransport")]
#[case("controller.allowTransport=[]", "allowTransport")]
#[case("controller.logEncoding=\"xml\"", "logEncoding")]
#[case("controller.eventsAddr=\"http://ann:secret@host/\"", "eventsAddr")]
#[case("image.digest=\"sha256:123\"", "digest")]
#[case("storage.capacity=\"a lot\"", "capacity")]
#[case("replicas=\"two\"", "replicas")]
#[case("metrics.serviceMonitor.interval=\"1 minute\"", "interval")]
#[case("imagePullSecret=\"x\"", "imagePullSecret")]
#[case("controller.jobPodTemplate=\"Everything\"", "jobPodTemplate")]
#[case("controller.maxTimeout=\"soon\"", "maxTimeout")]
#[case("controller.minInterval=10", "minInterval")]
#[case("controller.maxBuildTimeout=\"an hour\"", "maxBuildTimeout")]
#[case("controller.defaultServiceAccount=\"a b\"", "defaultServiceAccount")]
#[case("networkPolicy.deniedAddresses=[\"metadata\"]", "deniedAddresses")]
#[case("webhook.service.type=\"ExternalName\"", "webhook")]
#[case("web.trustedProxies=[\"everybody\"]", "trustedProxies")]
#[case("web.anonymousNamespaces=[\"A b\"]", "anonymousNamespaces")]
#[case(
    "webhook={\"enabled\":true,\"ingress\":{\"enabled\":true}}",
    "webhook.ingress.host"
)]
fn the_schema_names_a_wrong_value(#[case] setting: &str, #[case] named: &str) {
    let chart = chart();
    let output = helm(&[
        "template",
        RELEASE,
        chart.to_str().unwrap(),
        "--set-json",
        setting,
    ]);
    assert!(!output.status.success(), "{setting} was taken");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains(named), "{message}");
}

#[tokio::test]
async fn its_pod_fits_restricted_pod_security() {
    let server = ApiServer::get().await;
    let labels = [("pod-security.kubernetes.io/enforce", "restricted")];
    let namespace = server.namespace_labelled("restricted", &labels).await;
    let account = ServiceAccount {
        metadata: named(RELEASE),
        ..ServiceAccount::default()
    };
    Api::namespaced(server.client(), &namespace)
        .create(&PostParams::default(), &account)
        .await
        .unwrap();

    let pods: Api<Pod> = Api::namespaced(server.client(), &namespace);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    for yaml in [rendered(&namespace, &[]), kustomized()] {
        let template = deployment(&objects(&yaml)).spec.unwrap().template;
        let mut pod = Pod {
            metadata: named("controller"),
            spec: template.spec,
            ..Pod::default()
        };
        pods.create(&dry_run, &pod).await.unwrap();

        pod.spec.as_mut().unwrap().containers[0].security_context = Some(SecurityContext::default());
        let refused = pods.create(&dry_run, &pod).await.unwrap_err().to_string();
        assert!(refused.contains("violates PodSecurity"), "{refused}");
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

/// A right: verb, API group, resource with or without a subresource.
type Right = (&'static str, &'static str, &'static str);

/// All rights that are granted, each with its use.
const NEEDED: &[Right] = &[
    // The watches, and the check that a write is still due.
    ("get", "patching.c5c3.io", "patchsets"),
    ("list", "patching.c5c3.io", "patchsets"),
    ("watch", "patching.c5c3.io", "patchsets"),
    ("get", "patching.c5c3.io", "constraintoverrides"),
    ("list", "patching.c5c3.io", "constraintoverrides"),
    ("watch", "patching.c5c3.io", "constraintoverrides"),
    ("get", "patching.c5c3.io", "patchrepositories"),
    ("list", "patching.c5c3.io", "patchrepositories"),
    ("watch", "patching.c5c3.io", "patchrepositories"),
    // The objects that a PatchRepository creates and prunes.
    ("create", "patching.c5c3.io", "patchsets"),
    ("patch", "patching.c5c3.io", "patchsets"),
    ("delete", "patching.c5c3.io", "patchsets"),
    ("create", "patching.c5c3.io", "constraintoverrides"),
    ("patch", "patching.c5c3.io", "constraintoverrides"),
    ("delete", "patching.c5c3.io", "constraintoverrides"),
    ("patch", "patching.c5c3.io", "patchsets/status"),
    ("patch", "patching.c5c3.io", "constraintoverrides/status"),
    ("patch", "patching.c5c3.io", "patchrepositories/status"),
    // Owners of Jobs and ConfigMaps, where the API server has OwnerReferencesPermissionEnforcement.
    ("update", "patching.c5c3.io", "patchsets/finalizers"),
    ("update", "patching.c5c3.io", "constraintoverrides/finalizers"),
    ("update", "patching.c5c3.io", "patchrepositories/finalizers"),
    ("get", "", "secrets"),
    ("list", "", "secrets"),
    ("watch", "", "secrets"),
    // Server-side apply creates by patch, which requires both.
    ("get", "", "configmaps"),
    ("list", "", "configmaps"),
    ("watch", "", "configmaps"),
    ("create", "", "configmaps"),
    ("patch", "", "configmaps"),
    ("list", "source.toolkit.fluxcd.io", "gitrepositories"),
    ("watch", "source.toolkit.fluxcd.io", "gitrepositories"),
    ("list", "source.toolkit.fluxcd.io", "ocirepositories"),
    ("watch", "source.toolkit.fluxcd.io", "ocirepositories"),
    ("list", "source.toolkit.fluxcd.io", "buckets"),
    ("watch", "source.toolkit.fluxcd.io", "buckets"),
    ("list", "source.toolkit.fluxcd.io", "externalartifacts"),
    ("watch", "source.toolkit.fluxcd.io", "externalartifacts"),
    ("get", "batch", "jobs"),
    ("list", "batch", "jobs"),
    ("watch", "batch", "jobs"),
    ("create", "batch", "jobs"),
    ("delete", "batch", "jobs"),
    // Why a build failed.
    ("list", "", "pods"),
    ("get", "", "pods/log"),
    ("create", "events.k8s.io", "events"),
];

/// The same in the controller's own namespace only. A name follows `#`.
const NEEDED_AT_HOME: &[Right] = &[
    ("create", "coordination.k8s.io", "leases"),
    ("get", "coordination.k8s.io", "leases#patchset-controller"),
    ("update", "coordination.k8s.io", "leases#patchset-controller"),
];

const NEVER: &[Right] = &[
    ("create", "", "secrets"),
    ("update", "", "secrets"),
    ("delete", "", "secrets"),
    ("delete", "", "configmaps"),
    ("get", "", "pods"),
    ("create", "", "pods"),
    ("create", "", "pods/exec"),
    ("create", "", "serviceaccounts/token"),
    ("impersonate", "", "users"),
    ("impersonate", "", "groups"),
    ("impersonate", "", "serviceaccounts"),
    ("update", "", "configmaps"),
    ("update", "patching.c5c3.io", "patchsets/status"),
    ("patch", "events.k8s.io", "events"),
    ("get", "coordination.k8s.io", "leases#another"),
    ("update", "coordination.k8s.io", "leases#another"),
    ("list", "coordination.k8s.io", "leases"),
    ("create", "", "namespaces"),
    ("update", "apps", "deployments"),
    ("update", "batch", "jobs"),
    ("deletecollection", "patching.c5c3.io", "patchsets"),
    ("delete", "patching.c5c3.io", "patchrepositories"),
    ("patch", "patching.c5c3.io", "patchrepositories"),
    ("patch", "source.toolkit.fluxcd.io", "gitrepositories"),
    ("create", "rbac.authorization.k8s.io", "clusterroles"),
    ("bind", "rbac.authorization.k8s.io", "clusterroles"),
    ("update", "apiextensions.k8s.io", "customresourcedefinitions"),
    ("delete", "coordination.k8s.io", "leases"),
];

/// Asks the API server whether the release's service account at home may do something in a
/// namespace.
async fn may(server: &ApiServer, home: &str, namespace: &str, (verb, group, resource): Right) -> bool {
    let (resource, name) = match resource.split_once('#') {
        Some((resource, name)) => (resource, Some(name.to_owned())),
        None => (resource, None),
    };
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource, None),
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{home}:{RELEASE}")),
            groups: Some(vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{home}"),
                "system:authenticated".to_owned(),
            ]),
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                verb: Some(verb.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource,
                name,
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = Api::<SubjectAccessReview>::all(server.client())
        .create(&PostParams::default(), &review)
        .await
        .unwrap();
    answer.status.unwrap().allowed
}

/// Asks until the answer is the wanted one: the API server takes up new roles some time after their
/// creation.
async fn settles(server: &ApiServer, home: &str, namespace: &str, right: Right, wanted: bool) -> bool {
    for _ in 0..50 {
        if may(server, home, namespace, right).await == wanted {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    false
}

#[rstest]
#[case::all_namespaces(true)]
#[case::one_namespace(false)]
#[tokio::test]
async fn its_rights_are_those_it_needs_and_no_others(#[case] all: bool) {
    let server = ApiServer::get().await;
    let home = server.namespace("rights").await;
    let elsewhere = server.namespace("elsewhere").await;
    let setting = format!("controller.watchAllNamespaces={all}");
    succeeded(&apply(server, &rendered(&home, &[&setting]), "none"));

    for &right in NEEDED.iter().chain(NEEDED_AT_HOME) {
        assert!(
            settles(server, &home, &home, right, true).await,
            "needs {right:?} at home"
        );
    }
    for &right in NEEDED {
        assert_eq!(
            may(server, &home, &elsewhere, right).await,
            all,
            "{right:?} elsewhere"
        );
    }
    for &right in NEEDED_AT_HOME {
        assert!(
            !may(server, &home, &elsewhere, right).await,
            "must not {right:?} elsewhere"
        );
    }
    for &right in NEVER {
        for namespace in [&home, &elsewhere] {
            assert!(
                !may(server, &home, namespace, right).await,
                "must not {right:?} in {namespace}"
            );
        }
    }
}

/// The rights that the roles among some objects grant, except the aggregated ones.
fn granted(objects: &[Value]) -> BTreeSet<(String, String, String)> {
    let texts = |list: &Value| -> Vec<String> {
        let items = list.as_array().into_iter().flatten();
        items.map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let roles = ["Role", "ClusterRole"]
        .iter()
        .flat_map(|kind| of_kind(objects, kind));
    let mut granted = BTreeSet::new();
    for role in roles.filter(|role| !role.to_string().contains("aggregate-to-")) {
        for rule in role["rules"].as_array().unwrap() {
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    for verb in texts(&rule["verbs"]) {
                        let names = texts(&rule["resourceNames"]);
                        let named = names.iter().map(|name| format!("{resource}#{name}"));
                        let resources = if names.is_empty() {
                            vec![resource.clone()]
                        } else {
                            named.collect()
                        };
                        let rights = resources.into_iter();
                        granted.extend(rights.map(|resource| (verb.clone(), group.clone(), resource)));
                    }
                }
            }
        }
    }
    granted
}

#[rstest]
#[case::chart(rendered("rights", &[]))]
#[case::chart_of_one_namespace(rendered("rights", &["controller.watchAllNamespaces=false"]))]
#[case::kustomize(kustomized())]
fn no_right_is_given_that_nothing_uses(#[case] yaml: String) {
    let needed = NEEDED.iter().chain(NEEDED_AT_HOME);
    let needed: BTreeSet<_> = needed
        .map(|(verb, group, resource)| ((*verb).to_owned(), (*group).to_owned(), (*resource).to_owned()))
        .collect();
    assert_eq!(granted(&objects(&yaml)), needed);
}

#[rstest]
#[case("rbac.impersonate=true")]
#[case("controller.defaultServiceAccount=\"tenant\"")]
fn service_accounts_are_impersonated_where_that_is_asked_for(#[case] setting: &str) {
    let (plain, with) = (rendered("rights", &[]), rendered("rights", &[setting]));
    let more = &granted(&objects(&with)) - &granted(&objects(&plain));
    let right = (
        "impersonate".to_owned(),
        String::new(),
        "serviceaccounts".to_owned(),
    );
    assert_eq!(more, BTreeSet::from([right]));
}

#[test]
fn tokens_of_service_accounts_are_created_where_that_is_asked_for() {
    let setting = "controller.registryIdentities=[\"azure\"]";
    let (plain, with) = (rendered("rights", &[]), rendered("rights", &[setting]));
    let more = &granted(&objects(&with)) - &granted(&objects(&plain));
    let right = |verb: &str, resource: &str| (verb.to_owned(), String::new(), resource.to_owned());
    assert_eq!(
        more,
        BTreeSet::from([
            right("get", "serviceaccounts"),
            right("create", "serviceaccounts/token")
        ])
    );
    let option = "--registry-identities=azure";
    assert!(with.contains(option) && !plain.contains("--registry-identities"));
}

/// Whoever may edit a namespace writes specs, but only the controller writes a status.
#[test]
fn editors_write_no_status_and_viewers_nothing() {
    for yaml in [rendered("rights", &[]), kustomized()] {
        let objects = objects(&yaml);
        let roles: BTreeSet<String> = of_kind(&objects, "ClusterRole")
            .into_iter()
            .filter(|role| role.to_string().contains("aggregate-to-"))
            .map(|role| {
                let rules = role["rules"].as_array().unwrap();
                assert_eq!(rules.len(), 1);
                format!(
                    "{} {} {}",
                    rules[0]["apiGroups"], rules[0]["resources"], rules[0]["verbs"]
                )
            })
            .collect();
        let group = r#"["patching.c5c3.io"]"#;
        assert_eq!(
            roles,
            BTreeSet::from([
                format!(
                    r#"{group} ["patchsets","patchsets/status","constraintoverrides","constraintoverrides/status","patchrepositories","patchrepositories/status"] ["get","list","watch"]"#
                ),
                format!(
                    r#"{group} ["patchsets","constraintoverrides","patchrepositories"] ["create","update","patch","delete","deletecollection"]"#
                ),
            ])
        );
    }
}

/// Whether a policy lets something out, according to
/// <https://kubernetes.io/docs/concepts/services-networking/network-policies/>.
fn lets_out(policy: &Value, address: IpAddr, port: u64) -> bool {
    let contains = |block: &str| {
        let (network, bits) = block.split_once('/').unwrap();
        let bits: u32 = bits.parse().unwrap();
        match (network.parse().unwrap(), address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (u32::from(network) ^ u32::from(address)).leading_zeros() >= bits
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (u128::from(network) ^ u128::from(address)).leading_zeros() >= bits
            }
            _ => false,
        }
    };
    policy["spec"]["egress"].as_array().unwrap().iter().any(|rule| {
        let ports = rule["ports"].as_array();
        let to_port = ports.is_none_or(|ports| ports.iter().any(|known| known["port"] == port));
        let peers = rule["to"].as_array();
        let to_address = peers.is_none_or(|peers| {
            peers
                .iter()
                .filter(|peer| !peer["ipBlock"].is_null())
                .any(|peer| {
                    let except = peer["ipBlock"]["except"].as_array().unwrap();
                    contains(peer["ipBlock"]["cidr"].as_str().unwrap())
                        && !except.iter().any(|block| contains(block.as_str().unwrap()))
                })
        });
        to_port && to_address
    })
}

#[rstest]
#[case::chart(rendered("patchset-system", &[]))]
#[case::kustomize(kustomized())]
fn by_default_nothing_goes_to_link_local_addresses(#[case] yaml: String) {
    let objects = objects(&yaml);
    let policy = one_of_kind(&objects, "NetworkPolicy");
    assert_eq!(
        policy["spec"]["policyTypes"],
        serde_json::json!(["Ingress", "Egress"])
    );
    let pod = &one_of_kind(&objects, "Deployment")["spec"]["template"]["metadata"]["labels"];
    for (key, value) in policy["spec"]["podSelector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(pod[key], *value, "the policy is for other pods");
    }
    for (address, is_let_out) in [
        ("169.254.169.254", false),
        ("169.254.170.2", false),
        ("fe80::1", false),
        ("fd00:ec2::254", false),
        ("fd00:ec2::23", false),
        ("fd20:ce::254", false),
        ("168.63.129.16", false),
        ("100.100.100.200", false),
        ("192.0.0.192", false),
        ("140.82.121.4", true),
        ("10.96.0.1", true),
        ("2606:50c0:8000::1", true),
        ("fd12:3456::1", true),
    ] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(lets_out(policy, address, 443), is_let_out, "{address}");
        assert_eq!(lets_out(policy, address, 80), is_let_out, "{address}");
        // A DNS cache on the node has a link-local address.
        assert!(lets_out(policy, address, 53), "{address}");
    }
    let ports: Vec<_> = policy["spec"]["ingress"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|rule| rule["ports"].as_array().unwrap())
        .map(|port| port["port"].as_str().unwrap())
        .collect();
    assert_eq!(ports, ["healthz", "http-metrics"]);
}

#[test]
fn replicas_are_evicted_one_at_a_time() {
    let of_one = objects(&rendered("budget", &[]));
    assert!(
        of_kind(&of_one, "PodDisruptionBudget").is_empty(),
        "it would hold a drain up"
    );
    let of_two = objects(&rendered("budget", &["replicas=2"]));
    let budget = one_of_kind(&of_two, "PodDisruptionBudget");
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    let selector = &one_of_kind(&of_two, "Deployment")["spec"]["selector"];
    assert_eq!(budget["spec"]["selector"], *selector);
    let off = objects(&rendered(
        "budget",
        &["replicas=2", "podDisruptionBudget.enabled=false"],
    ));
    assert!(of_kind(&off, "PodDisruptionBudget").is_empty());
}

/// The parts of the program that write to the API server do so here with only the chart's rights.
#[rstest]
#[case::all_namespaces(true)]
#[case::one_namespace(false)]
#[tokio::test]
async fn its_rights_suffice_for_the_work(#[case] all: bool) {
    let server = ApiServer::get().await;
    server.crds().await;
    let home = server.namespace("work").await;
    let setting = format!("controller.watchAllNamespaces={all}");
    succeeded(&apply(server, &rendered(&home, &[&setting]), "none"));
    let last = ("update", "coordination.k8s.io", "leases#patchset-controller");
    assert!(settles(server, &home, &home, last, true).await);

    let spec = serde_json::json!({
        "component": "glance",
        "release": "2025.2",
        "upstream": { "url": "https://example.com/glance", "ref": { "branch": "main" } },
    });
    let patch_set = PatchSet::new("glance", serde_json::from_value(spec).unwrap());
    let patch_set = Api::<PatchSet>::namespaced(server.client(), &home)
        .create(&PostParams::default(), &patch_set)
        .await
        .unwrap();

    let client = server.client_as(&home, RELEASE);
    let status = PatchSetStatus {
        observed_generation: 1,
        ..PatchSetStatus::default()
    };
    // An expired version makes it read the object, which requires a right of its own.
    let past = patch_set.resource_version();
    let labels = serde_json::json!({ "metadata": { "labels": { "team": "images" } } });
    Api::<PatchSet>::namespaced(server.client(), &home)
        .patch("glance", &PatchParams::default(), &Patch::Merge(&labels))
        .await
        .unwrap();
    let is_known = |now: &PatchSet| now.status.is_none();
    let written = status::writer::write(&client, &patch_set, past.as_deref(), &status, is_known).await;
    let Ok(Written::Stored(stored)) = written else {
        panic!("{written:?}");
    };
    assert_eq!(stored.status.unwrap().observed_generation, 1);

    let note = status::events::Note {
        kind: EventType::Normal,
        reason: patchset_api::reason::SUCCEEDED,
        message: "2 of 2 patches apply".to_owned(),
    };
    let regarding = patch_set.object_ref(&());
    status::events::publish(&client, &regarding, note).await.unwrap();

    let lease = || ops::leader::lease_name(None);
    let lead = |name| ops::leader::Candidate::new(lease(), name).lead(client.clone(), &home);
    lead("first").await.release().await;
    lead("second").await.release().await;
}

/// The real program with the arguments of the rendered Deployment and its service account's token,
/// in one namespace.
#[tokio::test]
async fn the_program_runs_as_the_chart_starts_it() {
    let server = ApiServer::get().await;
    server.crds().await;
    let home = server.namespace("run").await;
    let yaml = rendered(&home, &["controller.watchAllNamespaces=false"]);
    succeeded(&apply(server, &yaml, "none"));

    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    server.kubeconfig_of(&home, RELEASE, &kubeconfig).await;
    let template = deployment(&objects(&yaml)).spec.unwrap().template;
    let arguments = template.spec.unwrap().containers[0].args.clone().unwrap();
    let arguments = arguments.iter().map(|argument| match argument.as_str() {
        "--storage-path=/data" => format!("--storage-path={}", directory.path().display()),
        "--metrics-addr=:8080" => "--metrics-addr=127.0.0.1:0".to_owned(),
        "--health-addr=:9440" => "--health-addr=127.0.0.1:0".to_owned(),
        other => other.to_owned(),
    });
    let log = directory.path().join("log");
    let mut controller = Command::new(env!("CARGO_BIN_EXE_patchset"))
        .args(arguments)
        .env("KUBECONFIG", &kubeconfig)
        .env("RUNTIME_NAMESPACE", &home)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();

    let spec = serde_json::json!({
        "component": "glance",
        "release": "2025.2",
        "upstream": { "url": "http://127.0.0.1/glance", "ref": { "branch": "main" } },
    });
    let patch_sets = Api::<PatchSet>::namespaced(server.client(), &home);
    let patch_set = PatchSet::new("glance", serde_json::from_value(spec).unwrap());
    patch_sets
        .create(&PostParams::default(), &patch_set)
        .await
        .unwrap();
    let stalled = |object: Option<&PatchSet>| {
        let status = object.and_then(|object| object.status.as_ref());
        status.is_some_and(|status| {
            status
                .conditions
                .iter()
                .any(|c| c.type_ == "Stalled" && c.status == "True")
        })
    };
    let waited = tokio::time::timeout(
        std::time::Duration::from_secs(30),
        Box::pin(await_condition(patch_sets, "glance", stalled)),
    )
    .await;
    controller.kill().unwrap();
    controller.wait().unwrap();
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(matches!(waited, Ok(Ok(_))), "{log}");
    assert!(!log.contains("forbidden"), "{log}");
}

#[test]
fn the_kustomize_configuration_says_what_the_chart_says() {
    let chart = objects(&rendered("patchset-system", &[]));
    let config = objects(&kustomized());
    assert_eq!(deployment(&chart).spec, deployment(&config).spec);
    for kind in ["Service", "NetworkPolicy"] {
        assert_eq!(
            one_of_kind(&chart, kind)["spec"],
            one_of_kind(&config, kind)["spec"]
        );
    }

    let rules = |objects: &[Value]| -> BTreeMap<String, Value> {
        ["Role", "ClusterRole"]
            .iter()
            .flat_map(|kind| of_kind(objects, kind))
            .map(|role| {
                let name = role["metadata"]["name"].as_str().unwrap();
                (name.replace("-patchset-system", ""), role["rules"].clone())
            })
            .collect()
    };
    assert_eq!(rules(&chart), rules(&config));
}

#[test]
fn pushes_come_in_where_that_is_asked_for_and_nowhere_else() {
    let plain = rendered("hooks", &[]);
    assert!(!plain.contains("webhook"), "pushes are taken by default");
    let settings = [
        "webhook.enabled=true",
        "webhook.httpRoute={\"enabled\":true,\"parentRefs\":[{\"name\":\"public\"}],\"hostnames\":[\"h.example.org\"]}",
        "networkPolicy.webhookFrom=[{\"podSelector\":{}}]",
    ];
    let objects = objects(&rendered("hooks", &settings));
    let pod = &one_of_kind(&objects, "Deployment")["spec"]["template"];
    let container = &pod["spec"]["containers"][0];
    let arguments = container["args"].as_array().unwrap();
    assert!(arguments.iter().any(|one| one == "--webhook-addr=:9292"));
    let ports = container["ports"].as_array().unwrap();
    let port = ports.iter().find(|port| port["name"] == "http-webhook").unwrap();
    assert_eq!(port["containerPort"], 9292);
    let services = of_kind(&objects, "Service").into_iter();
    let service = services
        .into_iter()
        .find(|service| {
            service["metadata"]["name"]
                .as_str()
                .unwrap()
                .ends_with("-webhook")
        })
        .unwrap();
    assert_eq!(service["spec"]["ports"][0]["targetPort"], port["name"]);
    assert!(
        service["spec"]["selector"]
            .as_object()
            .unwrap()
            .iter()
            .all(|(key, value)| { pod["metadata"]["labels"][key] == *value })
    );
    let route = one_of_kind(&objects, "HTTPRoute");
    let backend = &route["spec"]["rules"][0]["backendRefs"][0];
    assert_eq!(backend["name"], service["metadata"]["name"]);
    assert_eq!(backend["port"], service["spec"]["ports"][0]["port"]);
    let rules = one_of_kind(&objects, "NetworkPolicy")["spec"]["ingress"]
        .as_array()
        .unwrap()
        .clone();
    let rule = rules
        .iter()
        .find(|rule| rule["ports"][0]["port"] == "http-webhook")
        .unwrap();
    assert_eq!(rule["from"], serde_json::json!([{ "podSelector": {} }]));
}

#[test]
fn the_page_is_served_where_that_is_asked_for_and_nowhere_else() {
    let plain = rendered("page", &[]);
    assert!(
        !plain.contains("-web") && !plain.contains("tokenreviews"),
        "the page is served by default"
    );
    let settings = [
        "web.enabled=true",
        "web.trustedProxies=[\"10.1.2.3\",\"fd00::/8\"]",
        "web.anonymousNamespaces=[\"a\",\"b\"]",
        "web.httpRoute={\"enabled\":true,\"parentRefs\":[{\"name\":\"public\"}],\"hostnames\":[\"p.example.org\"]}",
        "networkPolicy.webFrom=[{\"podSelector\":{}}]",
    ];
    let objects = objects(&rendered("page", &settings));
    let container = &one_of_kind(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().unwrap();
    for argument in [
        "--web-addr=:9494",
        "--web-trusted-proxy=10.1.2.3,fd00::/8",
        "--web-anonymous=a,b",
    ] {
        assert!(arguments.iter().any(|one| one == argument), "{argument}");
    }
    let route = one_of_kind(&objects, "HTTPRoute");
    let backend = &route["spec"]["rules"][0]["backendRefs"][0];
    let services = of_kind(&objects, "Service").into_iter();
    let mut services = services.filter(|service| service["metadata"]["name"] == backend["name"]);
    assert_eq!(
        services.next().unwrap()["spec"]["ports"][0]["targetPort"],
        "http-web"
    );
    let roles = of_kind(&objects, "ClusterRole").into_iter();
    let mut roles = roles.filter(|role| role["metadata"]["name"].as_str().unwrap().ends_with("-web"));
    let rules = roles.next().unwrap()["rules"].to_string();
    assert!(
        rules.contains("tokenreviews")
            && rules.contains("subjectaccessreviews")
            && rules.matches("create").count() == 2,
        "{rules}"
    );
    let rules = &one_of_kind(&objects, "NetworkPolicy")["spec"]["ingress"];
    let rules = rules.as_array().unwrap();
    let rule = rules
        .iter()
        .find(|rule| rule["ports"][0]["port"] == "http-web")
        .unwrap();
    assert_eq!(rule["from"], serde_json::json!([{ "podSelector": {} }]));
}

#[test]
fn monitors_select_what_they_are_for() {
    let settings = [
        "metrics.serviceMonitor.enabled=true",
        "metrics.podMonitor.enabled=true",
    ];
    let objects = objects(&rendered("monitored", &settings));
    let contains = |labels: &Value, wanted: &Value| {
        let wanted = wanted.as_object().unwrap();
        !wanted.is_empty() && wanted.iter().all(|(key, value)| labels[key] == *value)
    };

    let service = one_of_kind(&objects, "Service");
    let monitor = one_of_kind(&objects, "ServiceMonitor");
    let selector = &monitor["spec"]["selector"]["matchLabels"];
    assert!(contains(&service["metadata"]["labels"], selector));
    let port = &monitor["spec"]["endpoints"][0]["port"];
    assert_eq!(service["spec"]["ports"][0]["name"], *port);

    let pod = &one_of_kind(&objects, "Deployment")["spec"]["template"];
    let monitor = one_of_kind(&objects, "PodMonitor");
    let selector = &monitor["spec"]["selector"]["matchLabels"];
    assert!(contains(&pod["metadata"]["labels"], selector));
    assert!(contains(&pod["metadata"]["labels"], &service["spec"]["selector"]));
    let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
    let ports = pod["spec"]["containers"][0]["ports"].as_array().unwrap();
    assert!(ports.iter().any(|candidate| candidate["name"] == *port));
}

/// Prometheus Operator and Grafana get the same from the chart and from kustomize: the tested
/// files.
#[test]
fn alerts_and_dashboard_come_as_they_are() {
    let settings = [
        "metrics.prometheusRule.enabled=true",
        "metrics.prometheusRule.labels={\"release\":\"stack\"}",
        "metrics.dashboard.enabled=true",
        "metrics.dashboard.annotations={\"folder\":\"patches\"}",
    ];
    let chart = objects(&rendered("monitored", &settings));
    let output = program("kubectl")
        .arg("kustomize")
        .arg(root().join("config/monitoring"))
        .output()
        .unwrap();
    let config = objects(&succeeded(&output));
    let file = |name: &str| std::fs::read_to_string(self::chart().join("files").join(name)).unwrap();
    let alerts: Value = serde_saphyr::from_str(&file("alerts.yaml")).unwrap();
    let dashboard: Value = serde_json::from_str(&file("dashboard.json")).unwrap();
    for objects in [&chart, &config] {
        assert_eq!(one_of_kind(objects, "PrometheusRule")["spec"], alerts);
        let map = one_of_kind(objects, "ConfigMap");
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
        let text = map["data"]["patchset.json"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), dashboard);
    }
    assert_eq!(
        one_of_kind(&chart, "PrometheusRule")["metadata"]["labels"]["release"],
        "stack"
    );
    assert_eq!(
        one_of_kind(&chart, "ConfigMap")["metadata"]["annotations"]["folder"],
        "patches"
    );
    let plain = self::objects(&rendered("monitored", &[]));
    assert!(of_kind(&plain, "PrometheusRule").is_empty() && of_kind(&plain, "ConfigMap").is_empty());

    let template = deployment(&objects(&kustomized())).spec.unwrap().template;
    let labels = template.metadata.unwrap().labels.unwrap();
    let monitor = one_of_kind(&config, "PodMonitor");
    let selector = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
    assert!(
        !selector.is_empty()
            && selector
                .iter()
                .all(|(key, value)| labels.get(key).is_some_and(|l| l == value))
    );
    let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
    let ports = template.spec.unwrap().containers[0].ports.clone().unwrap();
    assert!(ports.iter().any(|found| found.name.as_deref() == port.as_str()));
}
