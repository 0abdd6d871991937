//! Registries with the credentials that a resource names, and what tags stand for.

use std::time::Duration;

use kube::ResourceExt;

use super::registry_logins;
use crate::api::build::Build;
use crate::api::{PatchSet, reason};
use crate::controller::context::failures::of_registry;
use crate::controller::context::{Context, Pace};
use crate::plan::{Failure, Step};
use crate::publish::base::{Base, base, pinned as by_digest};
use crate::publish::{self, Credentials, Registry, RegistryConfig};
use crate::source::Freshness;

/// The key of a Secret of type `kubernetes.io/dockerconfigjson`.
const DOCKER_CONFIG: &str = ".dockerconfigjson";

/// A client with the credentials of a build.
pub async fn registry(
    patch_set: &PatchSet,
    build: &Build,
    context: &Context,
    pace: Pace,
) -> Result<Registry, Failure> {
    let namespace = patch_set.namespace().unwrap_or_default();
    let mut credentials = match &build.secret_ref {
        None => Credentials::default(),
        Some(secret) => {
            let data = context.references.secret(&namespace, &secret.name).await?;
            let wrong = |message: String| Failure::retried(Step::Build, reason::INVALID_REFERENCE, message);
            let document = data.get(DOCKER_CONFIG).ok_or_else(|| {
                wrong(format!(
                    "Secret {namespace}/{} has no key {DOCKER_CONFIG}",
                    secret.name
                ))
            })?;
            Credentials::parse(&format!("Secret {namespace}/{}", secret.name), document)
                .map_err(|error| wrong(error.to_string()))?
        }
    };
    registry_logins::add(patch_set, build, context, pace, &mut credentials).await?;
    let config = RegistryConfig {
        plain_http: context.options.plain_http_registry.clone(),
        // The reconciliation is repeated with waits of its own.
        retries: 1,
        ..RegistryConfig::default()
    };
    Ok(Registry::new(config, credentials))
}

/// An image by its digest: what its tag stands for now, or did not longer ago than the pace allows.
pub async fn pinned(
    patch_set: &PatchSet,
    build: &Build,
    context: &Context,
    name: &str,
    image: &str,
    pace: Pace,
) -> Result<String, Failure> {
    let reference = match base(image) {
        Base::Pinned(reference) => return Ok(reference),
        Base::Tagged(reference) => reference,
    };
    let key = (patch_set.namespace().unwrap_or_default(), reference.to_owned());
    let age = match pace.freshness {
        Freshness::Now => Duration::ZERO,
        Freshness::MaxAge(age) => age,
    };
    let digest = if let Some(digest) = context.pins.get(&key, age) {
        digest
    } else {
        let registry = registry(patch_set, build, context, pace).await?;
        let found = in_time(pace, "looking at a context's image", registry.digest(reference)).await?;
        let digest = found.ok_or_else(|| {
            Failure::retried(
                Step::Build,
                reason::REFERENCE_NOT_FOUND,
                format!("build.contexts: {name}: the registry has no {reference}"),
            )
        })?;
        context.pins.put(key, digest.clone());
        digest
    };
    Ok(by_digest(reference, &digest))
}

/// Waits for a registry, and not longer than the reconciliation may take.
pub async fn in_time<T>(
    pace: Pace,
    what: &str,
    work: impl Future<Output = Result<T, publish::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout_at(pace.deadline.into(), work).await {
        Ok(result) => result.map_err(|error| of_registry(&error)),
        Err(_) => Err(Failure::retried(
            Step::Build,
            reason::TIMED_OUT,
            format!("{what}: not done within spec.timeout"),
        )),
    }
}
