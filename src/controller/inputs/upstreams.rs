//! Upstreams with the credentials that their Secrets hold, and what their refs stand for.

use std::sync::Arc;
use std::time::Instant;

use forges::GitPurpose;
use git_mirrors::{Installation, Mirrors, PathContent, RefSpec, RepoUrl, Requirement, Resolved, Upstream};
use patchset_api::common::{GitPath, GitRef, LocalReference, Verification};
use patchset_api::patch_set::Upstream as SpecUpstream;
use patchset_api::reason;
use patchset_api::referent::ObjectKey;
use secrecy::SecretString;

use super::github_apps;
use super::secrets::NamedSecret;
use crate::controller::context::{Budget, Context, failures};
use crate::controller::state::contents::ObjectData;
use crate::controller::state::referents::Referents;
use crate::controller::state::slots;
use crate::plan::{Failure, Step};
use crate::source::{ref_spec, signed_objects};

/// The Secrets needed to reach a repository.
#[derive(Clone, Copy)]
pub struct RepositorySecrets<'a> {
    pub namespace: &'a str,
    pub login: Option<&'a LocalReference>,
    pub proxy: Option<&'a LocalReference>,
}

/// Reads the Secrets of a repository and joins them with its address. A GitHub App's token has the
/// rights for what is done there.
pub async fn upstream(
    context: &Context,
    url: &str,
    secrets: RepositorySecrets<'_>,
    purpose: GitPurpose,
) -> Result<Upstream, Failure> {
    let RepositorySecrets {
        namespace,
        login,
        proxy,
    } = secrets;
    let referents = &context.referents;
    let address: RepoUrl = url
        .parse()
        .map_err(|error| failures::mirror_failure("spec", &error))?;
    let login = NamedSecret::read_if_named(referents, namespace, login).await?;
    let proxy = NamedSecret::read_if_named(referents, namespace, proxy).await?;
    let installation = match &login {
        Some(secret) => github_apps::installation(context, secret, url, purpose).await?,
        None => None,
    };
    let [data, proxy_data] = [&login, &proxy].map(|secret| secret.as_ref().map(|secret| &**secret.data()));
    with_logins(address, data, installation, proxy_data).map_err(|error| {
        let names: Vec<&str> = [&login, &proxy]
            .into_iter()
            .flatten()
            .map(NamedSecret::name)
            .collect();
        failures::mirror_failure(&format!("Secret {namespace}/{}", names.join(" and ")), &error)
    })
}

fn with_logins(
    address: RepoUrl,
    login: Option<&ObjectData>,
    installation: Option<Installation>,
    proxy: Option<&ObjectData>,
) -> Result<Upstream, git_mirrors::Error> {
    match (installation, login) {
        (Some(installation), Some(data)) => Upstream::by_app(address, data, installation, proxy),
        (_, data) => Upstream::new(address, data, proxy),
    }
}

/// A repository with what is kept of its Secrets, without any request: enough to find its mirror,
/// but not to reach its server. `None` if a Secret is not kept, or the repository cannot be reached
/// with it.
pub fn kept_upstream(referents: &Referents, url: &str, secrets: RepositorySecrets<'_>) -> Option<Upstream> {
    let kept = |reference: Option<&LocalReference>| match reference {
        Some(reference) => {
            let key = ObjectKey::new(secrets.namespace, &reference.name);
            referents.kept_secret(&key).map(Some)
        }
        None => Some(None),
    };
    let (login, proxy) = (kept(secrets.login)?, kept(secrets.proxy)?);
    // Which mirror is an App's follows from its keys, not from the token of the hour.
    let installation = login
        .as_deref()
        .filter(|data| github_apps::has_keys(data))
        .map(|data| Installation::new(data, SecretString::default()));
    with_logins(
        url.parse().ok()?,
        login.as_deref(),
        installation,
        proxy.as_deref(),
    )
    .ok()
}

/// Reads the Secrets of what a `PatchSet` patches, and joins them with its address.
pub async fn of_patch_set(
    context: &Context,
    namespace: &str,
    spec: &SpecUpstream,
) -> Result<Upstream, Failure> {
    let secrets = RepositorySecrets {
        namespace,
        login: spec.secret_ref.as_ref(),
        proxy: spec.proxy_secret_ref.as_ref(),
    };
    upstream(context, &spec.url, secrets, GitPurpose::Fetch).await
}

/// Finds the repository of a file or folder, and the commit to read it at.
pub async fn repository(
    context: &Arc<Context>,
    namespace: &str,
    what: &str,
    git: &GitPath,
    budget: Budget<'_>,
) -> Result<(Upstream, Resolved), Failure> {
    let secrets = RepositorySecrets {
        namespace,
        login: git.secret_ref.as_ref(),
        proxy: git.proxy_secret_ref.as_ref(),
    };
    let upstream = upstream(context, &git.url, secrets, GitPurpose::Fetch).await?;
    let want = git.ref_.as_ref().map_or(Ok(RefSpec::Default), git_ref)?;
    let resolved = resolve(context, what, &upstream, &want, budget).await?;
    let resolved = signed(&context.referents, namespace, git.verify.as_ref(), resolved).await?;
    Ok((upstream, resolved))
}

/// Binds what was resolved to the signature that a spec asks for, with the keys of its Secret.
pub async fn signed(
    referents: &Referents,
    namespace: &str,
    verify: Option<&Verification>,
    resolved: Resolved,
) -> Result<Resolved, Failure> {
    let Some(Verification { mode, secret_ref }) = verify else {
        return Ok(resolved);
    };
    let keys = NamedSecret::read(referents, namespace, secret_ref).await;
    let keys = keys.map_err(|failure| failure.of_step(Step::Verification))?;
    let (objects, source) = (signed_objects(mode.unwrap_or_default()), keys.to_string());
    Ok(resolved.requiring(Arc::new(Requirement::new(
        objects,
        source,
        Arc::clone(keys.data()),
    ))))
}

/// What is at a path of a commit, which is fetched if it is not held. One that lacks a required
/// signature gives nothing.
///
/// # Errors
///
/// If the repository is not available, or the commit is not signed as it has to be.
pub async fn content(
    context: &Arc<Context>,
    what: &str,
    (upstream, resolved): (&Upstream, &Resolved),
    path: &str,
    deadline: Instant,
) -> Result<PathContent, Failure> {
    let known = context.mirrors.known_content(upstream, resolved, path);
    if let Some(known) = known.map_err(|error| failures::mirror_failure(what, &error))? {
        return Ok(known);
    }
    let (upstream, resolved, path) = (upstream.clone(), resolved.clone(), path.to_owned());
    blocking(context, what, deadline, move |mirrors| {
        mirrors.content(&upstream, &resolved, &path, deadline)
    })
    .await
}

/// Checks the signature that something is bound to, fetching it if it is not held; returns who
/// signed it, in words, and `None` if no signature is asked for.
pub async fn signatures(
    context: &Arc<Context>,
    what: &str,
    upstream: &Upstream,
    resolved: &Resolved,
    deadline: Instant,
) -> Result<Option<String>, Failure> {
    if !resolved.is_verified() {
        return Ok(None);
    }
    let (upstream, resolved) = (upstream.clone(), resolved.clone());
    let signed = blocking(context, what, deadline, move |mirrors| {
        let snapshot = mirrors.partial_snapshot(&upstream, &resolved, deadline)?;
        Ok(snapshot.signatures().map(ToOwned::to_owned))
    })
    .await?;
    Ok(signed.map(|signed| format!("{what}: {signed}")))
}

/// Joins what [`signatures`] found.
pub fn joined(signatures: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let found: Vec<String> = signatures.into_iter().flatten().collect();
    (!found.is_empty()).then(|| found.join("; "))
}

/// The ref that a spec names.
pub fn git_ref(git: &GitRef) -> Result<RefSpec, Failure> {
    ref_spec(git).map_err(|error| Failure::stalled(Step::Source, reason::INVALID_SPEC, error.to_string()))
}

/// Resolves a ref, looking at the upstream if that is due.
pub async fn resolve(
    context: &Arc<Context>,
    what: &str,
    upstream: &Upstream,
    want: &RefSpec,
    budget: Budget<'_>,
) -> Result<Resolved, Failure> {
    let Budget {
        freshness, deadline, ..
    } = budget;
    let (upstream, want) = (upstream.clone(), want.clone());
    let (upstream, want, found) = blocking(context, what, deadline, move |mirrors| {
        let found = mirrors.look_up(&upstream, &want, freshness, deadline)?;
        Ok((upstream, want, found))
    })
    .await?;
    budget.looks.record(upstream, want, &found);
    Ok(found.resolved)
}

/// Runs work on the mirrors off the async threads, and gives up at the deadline.
///
/// The work has the deadline too, and ends by itself soon after. Until then it keeps the place of
/// its object.
pub async fn blocking<T: Send + 'static>(
    context: &Arc<Context>,
    what: &str,
    deadline: Instant,
    work: impl FnOnce(&Mirrors) -> Result<T, git_mirrors::Error> + Send + 'static,
) -> Result<T, Failure> {
    let mirrors = Arc::clone(&context.mirrors);
    let task = slots::spawn_blocking(move || work(&mirrors));
    match tokio::time::timeout_at(deadline.into(), task).await {
        Ok(Ok(result)) => result.map_err(|error| failures::mirror_failure(what, &error)),
        Ok(Err(interrupted)) => Err(failures::task_failure(&interrupted)),
        Err(_) => Err(Failure::retried(
            Step::Source,
            reason::TIMED_OUT,
            format!("{what}: no answer within spec.timeout"),
        )),
    }
}
