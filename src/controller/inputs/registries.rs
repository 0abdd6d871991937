//! Registries with the credentials that a resource names, and what tags stand for.

use std::pin::Pin;

use image_references::ImageReference;
use kube::ResourceExt;
use patchset_api::{PatchSet, reason};
use source_images::{Credentials, Registry, RegistryConfig};

use super::image_references::image_of_spec;
use super::registry_logins;
use super::secrets::NamedSecret;
use crate::controller::context::failures::registry_failure;
use crate::controller::context::{Budget, Context};
use crate::plan::{Failure, Step};

/// A client with the credentials of a build.
pub async fn registry(
    patch_set: &PatchSet,
    context: &Context,
    budget: Budget<'_>,
) -> Result<Registry, Failure> {
    let namespace = patch_set.namespace().unwrap_or_default();
    let build = patch_set.spec.build.as_ref();
    let mut credentials = match build.and_then(|build| build.secret_ref.as_ref()) {
        None => Credentials::default(),
        Some(secret) => {
            let secret = NamedSecret::read(&context.referents, &namespace, secret).await?;
            let document = secret.docker_config()?;
            Credentials::parse(&secret.to_string(), document).map_err(|error| registry_failure(&error))?
        }
    };
    if let Some(build) = build {
        registry_logins::add(patch_set, build, context, budget, &mut credentials).await?;
    }
    let config = RegistryConfig {
        user_agent: crate::USER_AGENT.to_owned(),
        plain_http: context.options.plain_http_registry.clone(),
        // The reconciliation is retried, with its own waits.
        retries: 1,
        ..RegistryConfig::default()
    };
    Ok(Registry::new(config, credentials))
}

/// An image by its digest: what its tag stands for, found no earlier than the budget allows.
pub async fn pin_to_digest(
    patch_set: &PatchSet,
    context: &Context,
    name: &str,
    image: &str,
    budget: Budget<'_>,
) -> Result<ImageReference, Failure> {
    let reference = image_of_spec(image)?;
    if let Some(digest) = reference.digest() {
        return Ok(reference.with_digest(digest));
    }
    let key = (patch_set.namespace().unwrap_or_default(), reference.clone());
    let digest = if let Some(digest) = context.pins.get(&key, budget.longest_pin) {
        digest
    } else {
        let registry = registry(patch_set, context, budget).await?;
        let looked = Box::pin(registry.digest(&reference));
        let found = in_time(budget, "looking at a context's image", looked).await?;
        let digest = found.ok_or_else(|| {
            Failure::retried(
                Step::Build,
                reason::REFERENCE_NOT_FOUND,
                format!(
                    "build.contexts: {name}: the registry has no {}",
                    reference.as_given()
                ),
            )
        })?;
        context.pins.put(key, digest.clone());
        digest
    };
    Ok(reference.with_digest(&digest))
}

/// Waits for a registry, at most as long as the reconciliation may take. The future is large, and
/// boxed therefore.
pub async fn in_time<T>(
    budget: Budget<'_>,
    what: &str,
    work: Pin<Box<impl Future<Output = Result<T, source_images::Error>>>>,
) -> Result<T, Failure> {
    let done = budget.limit(Step::Build, what, work).await?;
    done.map_err(|error| registry_failure(&error))
}
