//! Logins for the registries of clouds, as a service account of a resource's own namespace
//! (`build.provider`).
//!
//! The controller's own identity in a cloud is never used: it asks the API server for a token of
//! the tenant's service account that is valid for the cloud alone, and exchanges that. A login
//! serves only those who name the same service account, as it stands, in the same namespace.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use patchset_api::build::{Build, CloudProvider};
use patchset_api::common::ServiceAccountName;
use patchset_api::conditions;
use patchset_api::reason::{self, condition};
use patchset_api::{PatchSet, PatchSetStatus};
use secrecy::SecretString;
use source_images::Credentials;

use super::image_references::image_of_spec;
use crate::clouds::{self, CloudIdentity, CloudRegistry, LoginSecret, RegistryLogin};
use crate::controller::context::failures::forge_failure;
use crate::controller::context::service_account::service_account;
use crate::controller::context::{Budget, Context};
use crate::controller::state::registry_logins::LoginKey;
use crate::plan::{Failure, Step};
use crate::status::Error;
use crate::status::limit::within_limit;

/// How long a token of a service account is valid, in seconds: the shortest that the API server
/// gives. It is used at once.
const TOKEN_LIFE: i64 = 600;

/// How long before its end a login is not used any more.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// How long a login is used, even if it is valid for longer: after that, what a cloud has revoked
/// is gone.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long a login is used if a new look is requested, or if a registry refused something with it.
const SHORTEST: Duration = Duration::from_secs(60);

/// Adds logins for the registries of a build that are the cloud's, if its Secret has none.
pub async fn add(
    patch_set: &PatchSet,
    build: &Build,
    context: &Context,
    budget: Budget<'_>,
    credentials: &mut Credentials,
) -> Result<(), Failure> {
    let Some(provider) = build.provider else {
        return Ok(());
    };
    let cloud = provider.as_str();
    if !context.options.registry_identities.contains(&provider) {
        return Err(Failure::stalled(
            Step::Build,
            reason::ACCESS_DENIED,
            format!(
                "build.provider: this controller does not log in to registries of {cloud} as a service account: name a \
                 login in build.secretRef, or have the operator allow it with --registry-identities={cloud}"
            ),
        ));
    }
    let registries = registries(build, provider, credentials)?;
    if registries.is_empty() {
        return Ok(());
    }
    if let Some(host) = registries
        .iter()
        .find(|host| context.options.plain_http_registry.contains(host))
    {
        return Err(Failure::stalled(
            Step::Build,
            reason::ACCESS_DENIED,
            format!(
                "build.provider: {host} is reached without TLS (--plain-http-registry): no login is sent there"
            ),
        ));
    }
    let logins = async {
        let account = Account::find(patch_set, build, provider, context).await?;
        let oldest = longest_use(patch_set.status.as_ref(), budget);
        for host in registries {
            let login = account.login(context, provider, &host, oldest).await?;
            match login.secret {
                LoginSecret::Password { user, password } => credentials.add_password(&host, user, password),
                LoginSecret::IdentityToken(token) => credentials.add_identity_token(&host, token),
            }
        }
        Ok(())
    };
    match tokio::time::timeout_at(budget.deadline.into(), logins).await {
        Ok(added) => added,
        Err(_) => Err(Failure::retried(
            Step::Build,
            reason::TIMED_OUT,
            format!("build.provider: no login from {cloud} within spec.timeout"),
        )),
    }
}

/// How long a login is used: only briefly if a new look is requested, or if the registry refused
/// one.
fn longest_use(status: Option<&PatchSetStatus>, budget: Budget<'_>) -> Duration {
    let built = status.and_then(|status| conditions::reason(&status.conditions, condition::IMAGE_BUILT));
    if built == Some(reason::AUTHENTICATION_FAILED) || budget.is_asked_for() {
        SHORTEST
    } else {
        LONGEST
    }
}

/// The hosts of a cloud that a build needs logins for. What it pushes to has to be the cloud's, or
/// in the Secret.
fn registries(
    build: &Build,
    provider: CloudProvider,
    credentials: &Credentials,
) -> Result<BTreeSet<String>, Failure> {
    let image = build
        .image
        .as_ref()
        .map(|image| ("build.image.repository", &image.repository.0));
    let pushed = [("build.source.repository", &build.source.repository.0)];
    let mut hosts = BTreeSet::new();
    for (field, repository) in pushed.into_iter().chain(image) {
        let image = image_of_spec(repository)?;
        if credentials.has_login(&image) {
            continue;
        }
        let host = image.registry();
        if CloudRegistry::parse(provider, host).is_none() {
            return Err(Failure::stalled(
                Step::Build,
                reason::INVALID_SPEC,
                format!(
                    "{field}: {host} is not a registry of {} ({}): remove build.provider, or put a login for it into the \
                     Secret of build.secretRef",
                    provider.as_str(),
                    CloudRegistry::host_form(provider)
                ),
            ));
        }
        hosts.insert(host.to_owned());
    }
    for context in build.contexts.values() {
        // An image with a digest is not looked up.
        let image = image_of_spec(&context.0)?;
        if image.digest().is_none()
            && !credentials.has_login(&image)
            && CloudRegistry::parse(provider, image.registry()).is_some()
        {
            hosts.insert(image.registry().to_owned());
        }
    }
    Ok(hosts)
}

/// A service account, as it is now.
struct Account {
    namespace: String,
    name: String,
    uid: String,
    identity: CloudIdentity,
}

impl Account {
    async fn find(
        patch_set: &PatchSet,
        build: &Build,
        provider: CloudProvider,
        context: &Context,
    ) -> Result<Self, Failure> {
        let own = build.service_account_name.as_ref();
        let name = own.or(service_account(patch_set, &context.options));
        let Some(ServiceAccountName(name)) = name else {
            return Err(Failure::stalled(
                Step::Build,
                reason::INVALID_SPEC,
                "build.provider: it needs an identity: set build.serviceAccountName",
            ));
        };
        let namespace = patch_set.namespace().unwrap_or_default();
        let shown = format!("ServiceAccount {namespace}/{name}");
        let accounts: Api<ServiceAccount> = Api::namespaced(context.client.clone(), &namespace);
        // Metadata alone comes without annotations (`ops::api_client`).
        let found = within_limit(accounts.get_opt(name)).await;
        let found = found.map_err(|error| api_refusal(&shown, "get it", &error))?;
        let found = found.ok_or_else(|| {
            let message =
                format!("{shown} does not exist: create it, or name another in build.serviceAccountName");
            Failure::retried(Step::Build, reason::REFERENCE_NOT_FOUND, message)
        })?;
        let identity = CloudIdentity::read(provider, found.annotations()).map_err(|error| {
            let message = format!("{shown}: {error}");
            Failure::retried(Step::Build, reason::INVALID_REFERENCE, message)
        })?;
        Ok(Self {
            uid: found.uid().unwrap_or_default(),
            name: name.clone(),
            namespace,
            identity,
        })
    }

    /// The login for a registry, obtained at most this long ago.
    async fn login(
        &self,
        context: &Context,
        provider: CloudProvider,
        host: &str,
        longest: Duration,
    ) -> Result<RegistryLogin, Failure> {
        let shown = format!("ServiceAccount {}/{}", self.namespace, self.name);
        let registry = CloudRegistry::parse(provider, host).ok_or_else(|| {
            let message = format!("{host} is not a registry of {}", provider.as_str());
            Failure::stalled(Step::Build, reason::INVALID_SPEC, message)
        })?;
        let slot = context.registry_logins.slot(&LoginKey {
            namespace: self.namespace.clone(),
            account_uid: self.uid.clone(),
            identity: self.identity.clone(),
            registry: host.to_owned(),
        });
        let mut kept = slot.lock().await;
        if let Some((got_at, login)) = &*kept
            && got_at.elapsed() < longest
            && login.ends > Timestamp::now() + MARGIN
        {
            return Ok(login.clone());
        }
        let got_at = Instant::now();
        let token = self.token(context).await?;
        let session = format!("patchset.{}.{}", self.namespace, self.name);
        let login =
            clouds::exchange_token(&context.requests(), &registry, &self.identity, &token, &session).await;
        let login = login.map_err(|error| {
            let failure = forge_failure(Step::Build, reason::AUTHENTICATION_FAILED, &error);
            let message = format!("{shown}, for {host}: {}", failure.message);
            Failure { message, ..failure }
        })?;
        tracing::debug!(
            namespace = self.namespace,
            service_account = self.name,
            host,
            ends = %login.ends,
            "a login for a registry was got"
        );
        *kept = Some((got_at, login.clone()));
        Ok(login)
    }

    /// Asks the API server for a token of the service account that is valid for the cloud alone.
    async fn token(&self, context: &Context) -> Result<SecretString, Failure> {
        let accounts: Api<ServiceAccount> = Api::namespaced(context.client.clone(), &self.namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![self.identity.audience()],
                expiration_seconds: Some(TOKEN_LIFE),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let parameters = PostParams::default();
        let asked = accounts.create_token_request(&self.name, &parameters, &request);
        let answer = within_limit(asked).await.map_err(|error| {
            let shown = format!("ServiceAccount {}/{}", self.namespace, self.name);
            api_refusal(&shown, "create a token of it", &error)
        })?;
        Ok(answer
            .status
            .map(|status| status.token)
            .unwrap_or_default()
            .into())
    }
}

/// What the API server does not let the controller do.
fn api_refusal(account: &str, what: &str, error: &Error) -> Failure {
    let message = format!("cannot {what}: {account}: {error}");
    match error {
        Error::Api(kube::Error::Api(status)) if status.is_forbidden() => Failure::retried(
            Step::Build,
            reason::ACCESS_DENIED,
            format!(
                "{message}; give the controller the right to get serviceaccounts and to create serviceaccounts/token \
                 (controller.registryIdentities of the chart)"
            ),
        ),
        _ => Failure::retried(Step::Build, reason::REFERENCE_NOT_FOUND, message),
    }
}
