//! Upstreams with the credentials that their Secrets hold.

use super::failures;
use super::references::References;
use crate::api::common::LocalReference;
use crate::plan::Failure;
use crate::source::{RepoUrl, Upstream};

/// Reads the Secrets that an upstream names and joins them with its address.
pub(super) async fn upstream(
    references: &References,
    namespace: &str,
    url: &str,
    secret: Option<&LocalReference>,
    proxy: Option<&LocalReference>,
) -> Result<Upstream, Failure> {
    let url: RepoUrl = url.parse().map_err(|error| failures::of_source("spec", &error))?;
    let data = match secret {
        Some(secret) => Some(references.secret(namespace, &secret.name).await?),
        None => None,
    };
    let proxy_data = match proxy {
        Some(proxy) => Some(references.secret(namespace, &proxy.name).await?),
        None => None,
    };
    Upstream::new(url, data.as_deref(), proxy_data.as_deref()).map_err(|error| {
        let names: Vec<&str> = [secret, proxy]
            .into_iter()
            .flatten()
            .map(|r| r.name.as_str())
            .collect();
        failures::of_source(&format!("Secret {namespace}/{}", names.join(" and ")), &error)
    })
}
