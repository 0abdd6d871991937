//! The workflow that a spec names, and its client.

use std::sync::Arc;

use kube::ResourceExt;
use patchset_api::build::GitHubActions;
use patchset_api::{PatchSet, reason};

use crate::actions::{ActionsClient, ApiBaseUrl, Error, ForgeCredentials, ForgeKind, Workflow};
use crate::controller::context::{Context, failures};
use crate::controller::inputs::secrets::NamedSecret;
use crate::plan::inputs_hasher::InputsHasher;
use crate::plan::{Failure, Step};

/// The workflow that a spec names, and its client. Clients are kept as long as their Secret is
/// unchanged: they hold tokens, and what the server said about its limits.
pub async fn connect(
    patch_set: &PatchSet,
    options: &GitHubActions,
    context: &Context,
) -> Result<(Workflow, Arc<ActionsClient>), Failure> {
    let namespace = patch_set.namespace().unwrap_or_default();
    let secret = NamedSecret::read(&context.referents, &namespace, &options.secret_ref).await?;
    let credentials =
        ForgeCredentials::from_secret(secret.data()).map_err(|error| secret.unusable(Step::Build, &error))?;
    let parse = |address: &str| ApiBaseUrl::parse(ForgeKind::GitHub, address);
    let base = match (&options.api_url, credentials.base_url()) {
        (Some(address), _) => parse(address).map_err(|error| failure_of_github(&error))?,
        (None, Some(base)) => base.clone(),
        (None, None) => parse(ApiBaseUrl::GITHUB_COM).map_err(|error| failure_of_github(&error))?,
    };
    let (owner, repository) = options.repository.split_once('/').unwrap_or_default();
    let workflow = Workflow::new(base.clone(), owner, repository, &options.workflow, options.ref_())
        .map_err(|error| failure_of_github(&error))?;
    let usage = InputsHasher::new("github")
        .with(namespace.as_bytes())
        .with(base.to_string().as_bytes());
    let key = secret.digest_with(usage);
    let clients = &context.workflows.clients;
    if let Some(client) = clients.get(&key) {
        return Ok((workflow, client));
    }
    let client = ActionsClient::new(&context.requests().into(), credentials)
        .map_err(|error| failure_of_github(&error))?;
    Ok((workflow, clients.keep(key, client)))
}

/// What an error of GitHub means for an object.
pub fn failure_of_github(error: &Error) -> Failure {
    failures::forge_failure(Step::Build, reason::BUILD_FAILED, error)
}
