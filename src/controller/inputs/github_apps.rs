//! Tokens of GitHub Apps for fetching and pushing by git, where a Secret has an App's keys.

use forges::{ForgeCredentials, GitAccess, GitPurpose};
use git_mirrors::Installation;
use patchset_api::reason;

use super::secrets::NamedSecret;
use crate::controller::context::Context;
use crate::controller::context::failures::forge_failure;
use crate::controller::state::contents::ObjectData;
use crate::plan::inputs_hasher::InputsHasher;
use crate::plan::{Failure, Step};

/// Whether a Secret has the keys of an App.
pub fn has_keys(data: &ObjectData) -> bool {
    data.keys().any(|key| key.starts_with("githubApp"))
}

/// The token for a repository, if a Secret has the keys of an App; `None` if it has none.
pub async fn installation(
    context: &Context,
    secret: &NamedSecret,
    url: &str,
    purpose: GitPurpose,
) -> Result<Option<Installation>, Failure> {
    let data = secret.data();
    if !has_keys(data) {
        return Ok(None);
    }
    let failed = |error| {
        let failure = forge_failure(Step::Source, reason::ACCESS_DENIED, &error);
        let message = format!("{secret}: {}", failure.message);
        Failure { message, ..failure }
    };
    let usage = InputsHasher::new("github app")
        .with(secret.namespace().as_bytes())
        .with(url.as_bytes())
        .with(format!("{purpose:?}").as_bytes());
    let key = secret.digest_with(usage);
    let accesses = &context.github_apps;
    let access = if let Some(access) = accesses.get(&key) {
        access
    } else {
        let credentials = ForgeCredentials::from_secret(data).map_err(failed)?;
        let access = GitAccess::new(&context.requests(), url, credentials, purpose).map_err(failed)?;
        accesses.keep(key, access)
    };
    let token = access.token().await.map_err(failed)?;
    Ok(Some(Installation::new(data, token)))
}
