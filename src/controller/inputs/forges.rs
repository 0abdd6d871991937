//! Clients of the forges where pull requests are opened.

use std::sync::Arc;

use forges::{Error, ForgeCredentials, ForgeKind, ForgeRepository, MissingReviewers, PullRequestClient};
use patchset_api::delivery::{ForgeProvider, PullRequestOptions};
use patchset_api::reason;

use super::secrets::NamedSecret;
use crate::controller::context::Context;
use crate::controller::context::failures::forge_failure;
use crate::plan::inputs_hasher::InputsHasher;
use crate::plan::{Failure, Step};

/// The client for a repository's pull requests, with the login that a spec of a namespace names.
///
/// It is kept, as it knows when the server wants no requests.
///
/// # Errors
///
/// A failure of the delivery where the Secret cannot be used, or the address is none of that forge.
pub async fn pull_request_client(
    context: &Context,
    namespace: &str,
    url: &str,
    options: &PullRequestOptions,
) -> Result<Arc<PullRequestClient>, Failure> {
    let secret = NamedSecret::read(&context.referents, namespace, &options.secret_ref).await;
    let secret = secret.map_err(|failure| failure.of_step(Step::Delivery))?;
    let kind = match options.provider {
        ForgeProvider::GitHub => ForgeKind::GitHub,
        ForgeProvider::GitLab => ForgeKind::GitLab,
        ForgeProvider::Gitea => ForgeKind::Gitea,
    };
    let api = options.api_url.as_deref();
    let usage = InputsHasher::new("forge")
        .with(kind.name().as_bytes())
        .with(namespace.as_bytes())
        .with(url.as_bytes())
        .with(api.unwrap_or_default().as_bytes());
    let key = secret.digest_with(usage);
    let clients = &context.deliveries.clients;
    if let Some(client) = clients.get(&key) {
        return Ok(client);
    }
    let unusable = |error| secret.unusable(Step::Delivery, &error);
    let credentials = ForgeCredentials::from_secret(secret.data()).map_err(unusable)?;
    let named = credentials.base_url().map(ToString::to_string);
    let repository = ForgeRepository::from_git_url(kind, url, api.or(named.as_deref()));
    let repository = repository.map_err(|error| failure_of_forge(&error))?;
    let client = PullRequestClient::new(&context.requests(), repository, credentials).map_err(unusable)?;
    Ok(clients.keep(key, client))
}

/// The failure for a forge's error.
pub fn failure_of_forge(error: &Error) -> Failure {
    forge_failure(Step::Delivery, reason::PUSH_REJECTED, error)
}

/// Logs who was not asked for a review: the request goes on without them.
pub fn log_missing_reviewers(url: &str, asked: &Result<Option<MissingReviewers>, Failure>) {
    match asked {
        Ok(None) => {}
        Ok(Some(missing)) => {
            let reviewers = missing.reviewers.join(", ");
            tracing::warn!(
                url,
                reviewers,
                reason = missing.reason,
                "not all reviewers could be asked"
            );
        }
        Err(failure) => tracing::warn!(url, %failure, "reviewers could not be asked"),
    }
}
