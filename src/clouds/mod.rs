//! Logins for the registries of clouds, got with a token of a tenant's service account: AWS (ECR),
//! Google Cloud (Artifact Registry) and Azure (ACR).
//!
//! No identity of this process is involved. The token says who asks, for one audience; the cloud
//! decides what they may do. The token is sent over TLS. To which server follows from the registry's
//! host by the rules of each cloud, and from nothing else that a tenant writes.
//!
//! | file | what it does |
//! | --- | --- |
//! | `registry.rs` | which host is a registry of which cloud |
//! | `login.rs` | the result of an exchange |
//! | `identity.rs` | what a service account's annotations say |
//! | `aws.rs`, `sigv4.rs` | STS and ECR, and how requests to ECR are signed |
//! | `gcp.rs` | Google's STS, and the tokens of its service accounts |
//! | `azure.rs` | Entra ID, and ACR |
//! | `request.rs` | one request of an exchange |

mod aws;
mod azure;
mod gcp;
mod identity;
mod login;
mod registry;
mod request;
mod sigv4;

use forge_rest::{Error, RequestConfig};
use secrecy::SecretString;

pub use self::identity::{CloudIdentity, IdentityError};
pub use self::login::{LoginSecret, RegistryLogin};
pub use self::registry::CloudRegistry;

use self::request::ExchangeClient;

/// Exchanges a service account's token, which is for [`CloudIdentity::audience`], for a login at a
/// registry of the same cloud. `session` says in the cloud's logs who asked.
///
/// # Errors
///
/// Where a step is refused, with what to do; where a server cannot be reached.
pub async fn exchange_token(
    config: &RequestConfig,
    registry: &CloudRegistry,
    identity: &CloudIdentity,
    token: &SecretString,
    session: &str,
) -> Result<RegistryLogin, Error> {
    let exchange = ExchangeClient::new(config)?;
    match (registry, identity) {
        (CloudRegistry::Ecr(ecr), CloudIdentity::Aws { role }) => {
            let credentials = aws::assume_role(&exchange, ecr, role, token, session).await?;
            aws::ecr_login(&exchange, ecr, &credentials).await
        }
        (CloudRegistry::Google, CloudIdentity::Gcp { provider, email }) => {
            let granted = gcp::pool_token(&exchange, provider, token).await?;
            match email {
                None => Ok(granted),
                Some(email) => gcp::act_as(&exchange, email, &granted).await,
            }
        }
        (CloudRegistry::Acr(acr), CloudIdentity::Azure { tenant, client }) => {
            let access = azure::access_token(&exchange, acr, (tenant, client), token).await?;
            azure::acr_login(&exchange, acr, tenant, &access).await
        }
        _ => Err(Error::Secret(
            "the service account's annotations are for another cloud than the registry's".to_owned(),
        )),
    }
}
