//! The API server that the tests run against is a real one.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::{Api, Error};

use crate::support::api_server::ApiServer;
use crate::support::program::program;

#[tokio::test]
async fn answers_as_a_supported_version() {
    let version = ApiServer::get().await.client().apiserver_version().await.unwrap();
    assert_eq!(version.major, "1");
    let minor: u32 = version.minor.trim_end_matches('+').parse().unwrap();
    assert!(
        minor >= 33,
        "k8s-openapi's v1_33 is the oldest that is supported: {version:?}"
    );
}

#[tokio::test]
async fn namespaces_are_the_tests_own() {
    let server = ApiServer::get().await;
    let (first, second) = (server.namespace("own").await, server.namespace("own").await);
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_service_account_gets_a_token_and_may_do_nothing() {
    let server = ApiServer::get().await;
    let namespace = server.namespace("token").await;
    let accounts: Api<ServiceAccount> = Api::namespaced(server.client(), &namespace);
    let account = ServiceAccount {
        metadata: kube::core::ObjectMeta {
            name: Some("nobody".to_owned()),
            ..Default::default()
        },
        ..ServiceAccount::default()
    };
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let request = TokenRequest {
        spec: TokenRequestSpec::default(),
        ..TokenRequest::default()
    };
    let token = accounts
        .create_token_request("nobody", &PostParams::default(), &request)
        .await
        .unwrap();
    assert!(!token.status.unwrap().token.is_empty());

    let maps: Api<ConfigMap> = Api::namespaced(server.client_as(&namespace, "nobody"), &namespace);
    match maps.list(&ListParams::default()).await {
        Err(Error::Api(status)) => assert_eq!(status.code, 403),
        other => panic!("RBAC let it pass: {other:?}"),
    }
}

#[tokio::test]
async fn serves_the_custom_resources() {
    let server = ApiServer::get().await;
    server.crds().await;
    let groups = server
        .client()
        .list_api_group_resources("patching.c5c3.io/v1alpha1")
        .await
        .unwrap();
    let names: Vec<_> = groups.resources.iter().map(|r| r.name.as_str()).collect();
    for wanted in [
        "patchsets",
        "patchsets/status",
        "constraintoverrides",
        "constraintoverrides/status",
        "patchrepositories",
        "patchrepositories/status",
    ] {
        assert!(names.contains(&wanted), "{wanted} is missing among {names:?}");
    }
}

#[tokio::test]
async fn a_process_gets_in_by_the_kubeconfig() {
    let server = ApiServer::get().await;
    let namespace = server.namespace("kubectl").await;
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    server.kubeconfig(&kubeconfig);
    let output = program("kubectl")
        .args(["get", "namespace", &namespace, "--output=name", "--kubeconfig"])
        .arg(&kubeconfig)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("namespace/{namespace}\n")
    );
}
