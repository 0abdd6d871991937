//! What the API server says of viewers.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use secrecy::{ExposeSecret, SecretString};

use super::stores::ShownKind;
use super::viewer::User;

/// How long the API server may take for one answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// The API server gave no answer.
#[derive(Debug)]
pub(super) struct NoAnswer;

/// Whose token it is; `None` where it is nobody's.
pub(super) async fn review_token(client: &Client, token: &SecretString) -> Result<Option<User>, NoAnswer> {
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: Some(token.expose_secret().to_owned()),
            ..TokenReviewSpec::default()
        },
        ..TokenReview::default()
    };
    let api: Api<TokenReview> = Api::all(client.clone());
    let answer = answered(api.create(&PostParams::default(), &review)).await?;
    let Some(status) = answer.status.filter(|status| status.authenticated == Some(true)) else {
        return Ok(None);
    };
    let Some(user) = status.user else {
        return Ok(None);
    };
    let extra = user.extra.unwrap_or_default();
    Ok(user.username.map(|name| User {
        name,
        uid: user.uid,
        groups: user.groups.unwrap_or_default(),
        extra: extra.into_iter().collect(),
    }))
}

/// Whether a user may list a kind, in a namespace or in all.
pub(super) async fn may_list(
    client: &Client,
    user: &User,
    kind: ShownKind,
    namespace: Option<&str>,
) -> Result<bool, NoAnswer> {
    let extra: BTreeMap<String, Vec<String>> = user.extra.iter().cloned().collect();
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.name.clone()),
            uid: user.uid.clone(),
            groups: Some(user.groups.clone()),
            extra: Some(extra),
            resource_attributes: Some(ResourceAttributes {
                group: Some(kind.group().to_owned()),
                resource: Some(kind.plural().to_owned()),
                verb: Some("list".to_owned()),
                namespace: namespace.map(ToOwned::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = answered(api.create(&PostParams::default(), &review)).await?;
    let allows = |status: k8s_openapi::api::authorization::v1::SubjectAccessReviewStatus| {
        status.allowed && status.denied != Some(true)
    };
    Ok(answer.status.is_some_and(allows))
}

async fn answered<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, NoAnswer> {
    match tokio::time::timeout(ANSWERS_WITHIN, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the API server does not say what a viewer of the page may see");
            Err(NoAnswer)
        }
        Err(_) => {
            tracing::warn!("the API server does not say in time what a viewer of the page may see");
            Err(NoAnswer)
        }
    }
}
