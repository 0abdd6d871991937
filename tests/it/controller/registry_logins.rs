//! Logins for the registries of clouds, as a service account of the tenant, exchanged at test
//! servers.

use axum::http::Method;
use jiff::SignedDuration;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use patchset_api::PatchSet;
use rstest::rstest;
use serde_json::{Value, json};

use super::{GOOD, Stage, assert_well_formed, condition, inline};
use crate::support::clouds::{ACR, CLIENT, Clouds, ECR, EMAIL, GAR, POOL, ROLE, SECRET, TENANT};
use crate::support::fake_registry::{Asks, Profile};

const AWS: &[(&str, &str)] = &[("eks.amazonaws.com/role-arn", ROLE)];
const AZURE: &[(&str, &str)] = &[
    ("azure.workload.identity/tenant-id", TENANT),
    ("azure.workload.identity/client-id", CLIENT),
];
const GCP: &[(&str, &str)] = &[("gcp.auth.fluxcd.io/workload-identity-provider", POOL)];
const GCP_AS_ANOTHER: &[(&str, &str)] = &[
    ("gcp.auth.fluxcd.io/workload-identity-provider", POOL),
    ("iam.gke.io/gcp-service-account", EMAIL),
];

const ALLOWED: &str = "--registry-identities=aws,azure,gcp";

fn clouds(asks: Asks) -> Clouds {
    Clouds::start(Profile {
        asks,
        // No client has it before one is issued.
        login: Some("none".to_owned()),
        ..Profile::default()
    })
}

fn spec(stage: &Stage, provider: &str, host: &str, account: &str) -> Value {
    let mut spec = stage.spec_with(&inline(&[("0001-five.patch", GOOD)]));
    spec["upstream"]["ref"] = json!({ "tag": "1.0.0" });
    spec["build"] = json!({
        "engine": "External", "provider": provider, "serviceAccountName": account,
        "image": { "repository": format!("{host}/team/demo"), "tag": "{version}-{inputs}" },
        "source": { "repository": format!("{host}/team/demo-source") },
    });
    spec
}

async fn account(stage: &Stage, name: &str, annotations: &[(&str, &str)]) {
    let annotations: serde_json::Map<String, Value> = annotations
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    let object = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": name, "annotations": annotations }
    });
    let parameters = PatchParams::apply("test").force();
    let accounts = stage.api::<ServiceAccount>();
    accounts
        .patch(name, &parameters, &Patch::Apply(&object))
        .await
        .unwrap();
}

fn message_of(object: &PatchSet) -> String {
    condition(object, "Ready").unwrap().message.clone()
}

/// Whether the API server accepts a token for an audience; its own if none is given.
async fn is_taken(stage: &Stage, token: &str, audience: Option<&str>) -> bool {
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: Some(token.to_owned()),
            audiences: audience.map(|audience| vec![audience.to_owned()]),
        },
        ..TokenReview::default()
    };
    let reviews: Api<TokenReview> = Api::all(stage.client.clone());
    let review = reviews.create(&PostParams::default(), &review).await.unwrap();
    review.status.unwrap().authenticated.unwrap_or_default()
}

/// Asserts that nothing secret that was issued or sent appears in a status, event or log.
async fn assert_nothing_is_told(stage: &Stage, clouds: &Clouds, name: &str) {
    let object = stage.api::<PatchSet>().get(name).await.unwrap();
    let mut told = serde_json::to_string(&object).unwrap();
    told.push_str(&stage.controller.log());
    for (_, note) in stage.events(name).await {
        told.push_str(&note);
    }
    assert!(!told.contains(SECRET), "{told}");
    for token in &clouds.state().tokens {
        assert!(!told.contains(token.rsplit('.').next().unwrap()), "{told}");
    }
}

#[rstest]
#[case::aws("aws", ECR, AWS, Asks::Basic, "sts.amazonaws.com")]
#[case::azure(
    "azure",
    ACR,
    AZURE,
    Asks::Bearer(String::new()),
    "api://AzureADTokenExchange"
)]
#[case::gcp("gcp", GAR, GCP, Asks::Bearer(String::new()), &format!("//iam.googleapis.com/{POOL}"))]
#[case::gcp_as("gcp", GAR, GCP_AS_ANOTHER, Asks::Basic, &format!("//iam.googleapis.com/{POOL}"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_of_the_namespace_pushes(
    #[case] provider: &str,
    #[case] host: &str,
    #[case] annotations: &[(&str, &str)],
    #[case] asks: Asks,
    #[case] audience: &str,
) {
    let clouds = clouds(asks);
    let stage = Stage::with_environment("clouds", &[ALLOWED], &clouds.environment()).await;
    account(&stage, "push", annotations).await;
    clouds.trust(&stage.namespace, "push");
    stage.apply("demo", &spec(&stage, provider, host, "push")).await;
    let awaited = stage.ready("demo", "Unknown", "AwaitingImage").await;
    assert_well_formed(&awaited);
    assert!(
        clouds
            .registry
            .count(&Method::PUT, "/v2/team/demo-source/manifests/")
            > 0
    );
    let tokens = clouds.state().tokens.clone();
    assert_eq!(tokens.len(), 1);
    assert!(is_taken(&stage, &tokens[0], Some(audience)).await);
    assert!(!is_taken(&stage, &tokens[0], None).await);
    assert_nothing_is_told(&stage, &clouds, "demo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_logs_in_where_the_operator_did_not_allow_it() {
    let clouds = clouds(Asks::Basic);
    let options = ["--registry-identities=gcp"];
    let stage = Stage::with_environment("clouds-off", &options, &clouds.environment()).await;
    account(&stage, "push", AWS).await;
    clouds.trust(&stage.namespace, "push");
    stage.apply("demo", &spec(&stage, "aws", ECR, "push")).await;
    let refused = stage.ready("demo", "False", "AccessDenied").await;
    assert_well_formed(&refused);
    assert!(
        message_of(&refused).contains("--registry-identities=aws"),
        "{}",
        message_of(&refused)
    );
    assert!(clouds.state().seen.is_empty() && clouds.registry.state().seen.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_another_namespace_cannot_be_named() {
    let clouds = clouds(Asks::Basic);
    let stage = Stage::with_environment("clouds-other", &[ALLOWED], &clouds.environment()).await;
    for name in ["other/push", "system:serviceaccount:other:push", "../push"] {
        let refused = stage.try_apply("demo", &spec(&stage, "aws", ECR, name)).await;
        assert!(
            refused.unwrap_err().to_string().contains("serviceAccountName"),
            "{name}"
        );
    }
    // The trusted account is in another namespace; the account of that name here is a different
    // one.
    clouds.trust("other", "push");
    stage.apply("demo", &spec(&stage, "aws", ECR, "push")).await;
    let absent = stage.ready("demo", "False", "ReferenceNotFound").await;
    assert!(
        message_of(&absent).contains("does not exist"),
        "{}",
        message_of(&absent)
    );
    assert!(clouds.state().seen.is_empty());
    account(&stage, "push", AWS).await;
    let refused = stage.ready("demo", "False", "AccessDenied").await;
    assert!(
        message_of(&refused).contains("trust policy"),
        "{}",
        message_of(&refused)
    );
    assert_nothing_is_told(&stage, &clouds, "demo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_shared_by_those_of_one_account_alone() {
    let clouds = clouds(Asks::Basic);
    let stage = Stage::with_environment("clouds-shared", &[ALLOWED], &clouds.environment()).await;
    for name in ["push", "another"] {
        account(&stage, name, AWS).await;
    }
    clouds.trust(&stage.namespace, "push");
    for name in ["one", "two"] {
        stage.apply(name, &spec(&stage, "aws", ECR, "push")).await;
        stage.ready(name, "Unknown", "AwaitingImage").await;
    }
    assert_eq!(clouds.state().given, 1);
    // The other account is not trusted, and cannot use what the first one got.
    stage.apply("three", &spec(&stage, "aws", ECR, "another")).await;
    stage.ready("three", "False", "AccessDenied").await;
    assert_eq!(clouds.state().given, 1);
    // Nor can an account that is created again under the first one's name.
    clouds.state().trusted.clear();
    let accounts = stage.api::<ServiceAccount>();
    accounts.delete("push", &DeleteParams::default()).await.unwrap();
    account(&stage, "push", AWS).await;
    stage.ready("one", "False", "AccessDenied").await;
    assert_eq!(clouds.state().given, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_got_anew_before_it_ends() {
    let clouds = clouds(Asks::Basic);
    clouds.state().lifetime = SignedDuration::from_mins(4);
    let stage = Stage::with_environment("clouds-renewed", &[ALLOWED], &clouds.environment()).await;
    account(&stage, "push", AWS).await;
    clouds.trust(&stage.namespace, "push");
    stage.apply("demo", &spec(&stage, "aws", ECR, "push")).await;
    stage.ready("demo", "Unknown", "AwaitingImage").await;
    // The registry accepts only the last one: each look has its own.
    let end = std::time::Instant::now() + super::PATIENCE;
    while clouds.state().given < 3 {
        assert!(std::time::Instant::now() < end, "no login was got anew");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    stage.ready("demo", "Unknown", "AwaitingImage").await;
}

#[rstest]
#[case::no_annotation("aws", ECR, &[], "InvalidReference", "eks.amazonaws.com/role-arn")]
#[case::no_audience("gcp", GAR, &[], "InvalidReference", "workload-identity-provider")]
#[case::another_host("aws", "registry.example.org", AWS, "InvalidSpec", "remove build.provider")]
#[case::another_cloud("azure", ECR, AZURE, "InvalidSpec", "NAME.azurecr.io")]
#[case::role("aws", ECR, &[("eks.amazonaws.com/role-arn", "arn:aws:iam::123456789012:role/x")], "AccessDenied", "trust policy")]
#[case::ecr("aws", ECR, AWS, "AuthenticationFailed", "ecr:GetAuthorizationToken")]
#[case::acr("azure", ACR, AZURE, "AuthenticationFailed", "AcrPush")]
#[case::email("gcp", GAR, GCP_AS_ANOTHER, "AccessDenied", "roles/iam.workloadIdentityUser")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_with_what_to_do(
    #[case] provider: &str,
    #[case] host: &str,
    #[case] annotations: &[(&str, &str)],
    #[case] reason: &str,
    #[case] part: &str,
) {
    let clouds = clouds(Asks::Basic);
    clouds.state().may_log_in = false;
    let stage = Stage::with_environment("clouds-refused", &[ALLOWED], &clouds.environment()).await;
    account(&stage, "push", annotations).await;
    clouds.trust(&stage.namespace, "push");
    stage.apply("demo", &spec(&stage, provider, host, "push")).await;
    let refused = stage.ready("demo", "False", reason).await;
    assert_well_formed(&refused);
    let message = message_of(&refused);
    assert!(message.contains(part) && message.len() < 1000, "{message}");
    assert!(clouds.registry.state().seen.is_empty());
    assert_nothing_is_told(&stage, &clouds, "demo").await;
}

/// A tenant whom the clouds do not trust gets the advice for each cloud.
#[rstest]
#[case::azure("azure", ACR, AZURE, "AuthenticationFailed", "federated credential")]
#[case::gcp("gcp", GAR, GCP, "AuthenticationFailed", "cluster's issuer")]
#[tokio::test(flavor = "multi_thread")]
async fn whom_a_cloud_does_not_trust_is_told_what_to_do(
    #[case] provider: &str,
    #[case] host: &str,
    #[case] annotations: &[(&str, &str)],
    #[case] reason: &str,
    #[case] part: &str,
) {
    let clouds = clouds(Asks::Basic);
    let stage = Stage::with_environment("clouds-untrusted", &[ALLOWED], &clouds.environment()).await;
    account(&stage, "push", annotations).await;
    stage.apply("demo", &spec(&stage, provider, host, "push")).await;
    let refused = stage.ready("demo", "False", reason).await;
    assert!(message_of(&refused).contains(part), "{}", message_of(&refused));
}
