//! Google Cloud: a token of a workload identity pool by STS (RFC 8693), and one of a service
//! account if one is impersonated.

use forge_rest::Error;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::login::{LoginSecret, RegistryLogin};
use super::request::{ExchangeClient, ExchangeStep};

const STS: &str = "sts.googleapis.com";
const CREDENTIALS: &str = "iamcredentials.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The user name that registries accept with an access token.
const USER: &str = "oauth2accesstoken";

#[derive(Deserialize)]
struct PoolToken {
    access_token: String,
    /// In seconds.
    expires_in: i64,
}

/// Exchanges a service account's token for one of the pool.
pub(super) async fn pool_token(
    exchange: &ExchangeClient,
    provider: &str,
    token: &SecretString,
) -> Result<RegistryLogin, Error> {
    let what = format!("a token of {provider}");
    let step = ExchangeStep {
        host: STS,
        path: "/v1/token",
        what: &what,
        advice: "check that the provider is of this cluster's issuer, and allows its own name as the audience",
        secret: token,
    };
    let audience = format!("//iam.googleapis.com/{provider}");
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", audience.as_str()),
        ("scope", SCOPE),
        (
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", token.expose_secret()),
    ];
    let exchanged: PoolToken = exchange.post_form(&step, &fields).await?;
    Ok(RegistryLogin {
        secret: LoginSecret::Password {
            user: USER.to_owned(),
            password: step.token(exchanged.access_token)?,
        },
        ends: Timestamp::now() + SignedDuration::from_secs(exchanged.expires_in.clamp(0, 86_400)),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceAccountToken {
    access_token: String,
    expire_time: Timestamp,
}

/// Asks for a token of a Google service account.
pub(super) async fn act_as(
    exchange: &ExchangeClient,
    email: &str,
    granted: &RegistryLogin,
) -> Result<RegistryLogin, Error> {
    let LoginSecret::Password { password, .. } = &granted.secret else {
        return Ok(granted.clone());
    };
    let what = format!("a token of {email}");
    let path = format!("/v1/projects/-/serviceAccounts/{email}:generateAccessToken");
    let step = ExchangeStep {
        host: CREDENTIALS,
        path: &path,
        what: &what,
        advice: "grant the Kubernetes service account's principal the role roles/iam.workloadIdentityUser on it",
        secret: password,
    };
    let mut login = HeaderValue::from_str(&format!("Bearer {}", password.expose_secret()))
        .map_err(|_| step.refused_error("the token before it cannot be put in a header"))?;
    login.set_sensitive(true);
    let headers = HeaderMap::from_iter([
        (AUTHORIZATION, login),
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
    ]);
    let body = serde_json::json!({ "scope": [SCOPE] }).to_string();
    let answer = exchange.send(&step, headers, body).await?;
    let generated: ServiceAccountToken = step.read_grant(&answer)?;
    Ok(RegistryLogin {
        secret: LoginSecret::Password {
            user: USER.to_owned(),
            password: step.token(generated.access_token)?,
        },
        ends: generated.expire_time,
    })
}
