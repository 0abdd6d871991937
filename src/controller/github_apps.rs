//! Tokens of GitHub Apps for fetching and pushing by git, where a Secret has an App's keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::contents::Data;
use super::context::Context;
use super::failures::of_rest;
use crate::api::reason;
use crate::forge::{Credentials, GitAccess, GitPurpose};
use crate::plan::inputs::Inputs;
use crate::plan::{Failure, Step};
use crate::source::Installation;

/// How many Apps' accesses are kept. Whoever comes anew costs a request.
const MOST: usize = 1024;

/// The accesses that are known, by a digest of all that decides on them.
#[derive(Default)]
pub(super) struct GitHubApps(Mutex<HashMap<String, Arc<GitAccess>>>);

/// The token for a repository, where a Secret has the keys of an App; `None` where it has none.
pub(super) async fn installation(
    context: &Context,
    (namespace, name): (&str, &str),
    data: &Data,
    url: &str,
    purpose: GitPurpose,
) -> Result<Option<Installation>, Failure> {
    if !data.keys().any(|key| key.starts_with("githubApp")) {
        return Ok(None);
    }
    let failed = |error| {
        let failure = of_rest(Step::Source, reason::ACCESS_DENIED, &error);
        let message = format!("Secret {namespace}/{name}: {}", failure.message);
        Failure { message, ..failure }
    };
    let mut key = Inputs::new("github app")
        .with(namespace.as_bytes())
        .with(url.as_bytes())
        .with(format!("{purpose:?}").as_bytes());
    for (name, value) in data {
        key = key.with(name.as_bytes()).with(value);
    }
    let key = key.digest();
    let known = {
        let accesses = &context.github_apps.0;
        let accesses = accesses.lock().unwrap_or_else(PoisonError::into_inner);
        accesses.get(&key).cloned()
    };
    let access = if let Some(access) = known {
        access
    } else {
        let credentials = Credentials::from_secret(data).map_err(failed)?;
        let access = GitAccess::new(&context.requests(), url, credentials, purpose).map_err(failed)?;
        let access = Arc::new(access);
        let mut accesses = context
            .github_apps
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if accesses.len() >= MOST {
            accesses.clear();
        }
        accesses.insert(key, Arc::clone(&access));
        access
    };
    let token = access.token().await.map_err(failed)?;
    Ok(Some(Installation::new(data, token)))
}
