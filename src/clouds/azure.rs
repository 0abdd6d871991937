//! Azure: an access token of Entra ID by a client assertion, and ACR's refresh token for that.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forge_rest::Error;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::login::{LoginSecret, RegistryLogin};
use super::registry::Acr;
use super::request::{ExchangeClient, ExchangeStep};

/// What the access token is for: registries, and nothing else of Azure.
const SCOPE: &str = "https://containerregistry.azure.net/.default";

/// How long a refresh token without an expiry is used.
const UNTOLD: SignedDuration = SignedDuration::from_mins(30);

#[derive(Deserialize)]
struct AccessTokenAnswer {
    access_token: String,
}

/// Asks for an access token of an identity: its tenant and its client ID.
pub(super) async fn access_token(
    exchange: &ExchangeClient,
    acr: &Acr,
    (tenant, client): (&str, &str),
    token: &SecretString,
) -> Result<SecretString, Error> {
    let what = format!("a token of the client {client}");
    let path = format!("/{tenant}/oauth2/v2.0/token");
    let step = ExchangeStep {
        host: acr.authority,
        path: &path,
        what: &what,
        advice: "check that the identity has a federated credential with this cluster's issuer, the service account as its subject and the audience api://AzureADTokenExchange",
        secret: token,
    };
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("scope", SCOPE),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", token.expose_secret()),
    ];
    let granted: AccessTokenAnswer = exchange.post_form(&step, &fields).await?;
    step.token(granted.access_token)
}

#[derive(Deserialize)]
struct RefreshTokenAnswer {
    refresh_token: String,
}

/// Exchanges an access token for the registry's refresh token.
pub(super) async fn acr_login(
    exchange: &ExchangeClient,
    acr: &Acr,
    tenant: &str,
    access: &SecretString,
) -> Result<RegistryLogin, Error> {
    let step = ExchangeStep {
        host: &acr.host,
        path: "/oauth2/exchange",
        what: "a login at the registry",
        advice: "give the identity the role AcrPush on the registry",
        secret: access,
    };
    let fields = [
        ("grant_type", "access_token"),
        ("service", acr.host.as_str()),
        ("tenant", tenant),
        ("access_token", access.expose_secret()),
    ];
    let exchanged: RefreshTokenAnswer = exchange.post_form(&step, &fields).await?;
    let ends = expiry(&exchanged.refresh_token);
    Ok(RegistryLogin {
        secret: LoginSecret::IdentityToken(step.token(exchanged.refresh_token)?),
        ends: ends.unwrap_or_else(|| Timestamp::now() + UNTOLD),
    })
}

/// When a JWT expires, as its issuer says. It is not verified: nothing is trusted because of it.
fn expiry(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct ExpiryClaims {
        exp: i64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: ExpiryClaims = serde_json::from_slice(&claims).ok()?;
    Timestamp::from_second(claims.exp).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_when_it_ends_or_does_not() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"exp": 1700000000, "aud": "x"}"#);
        assert_eq!(
            expiry(&format!("h.{claims}.s")),
            Timestamp::from_second(1_700_000_000).ok()
        );
        for token in ["", "opaque", "a.b.c", "a.!.c"] {
            assert_eq!(expiry(token), None, "{token}");
        }
    }
}
