//! Requests to the API server in the name of a tenant's service account, with its rights.

use std::fmt;

use http::HeaderValue;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Client, Resource, ResourceExt};
use patchset_api::common::ServiceAccountName;
use patchset_api::{PatchSet, reason};
use serde::de::DeserializeOwned;

use super::options::ControllerOptions;
use crate::plan::{Failure, Step};
use crate::status::Error;
use crate::status::limit::within_limit;

/// The header that makes the API server treat a request as another user's. The groups of a service
/// account follow from its name.
const IMPERSONATE: &str = "Impersonate-User";

/// In whose name requests to the API server are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestIdentity {
    /// In that of the controller.
    Controller,
    /// In that of a service account.
    ServiceAccount {
        /// Its name.
        name: String,
        /// Its user name.
        user: HeaderValue,
    },
}

impl RequestIdentity {
    /// In whose name to write what a `PatchSet` asks for.
    ///
    /// # Errors
    ///
    /// If its service account has a name that none can have.
    pub fn of_writes(patch_set: &PatchSet, options: &ControllerOptions) -> Result<Self, Failure> {
        let Some(ServiceAccountName(name)) = service_account(patch_set, options) else {
            return Ok(Self::Controller);
        };
        let namespace = patch_set.namespace().unwrap_or_default();
        let user = HeaderValue::from_str(&format!("system:serviceaccount:{namespace}:{name}"));
        let user = user.map_err(|_| {
            Failure::stalled(
                Step::Delivery,
                reason::INVALID_SPEC,
                "serviceAccountName is not the name of a service account",
            )
        })?;
        Ok(Self::ServiceAccount {
            name: name.clone(),
            user,
        })
    }

    /// Makes one request in this name, within the time allowed for one.
    ///
    /// # Errors
    ///
    /// Where the API server refuses or cannot be reached in time.
    pub async fn request<T: DeserializeOwned>(
        &self,
        client: &Client,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T, Error> {
        within_limit(async {
            let mut request = request.map_err(kube::Error::BuildRequest)?;
            if let Self::ServiceAccount { user, .. } = self {
                request.headers_mut().insert(IMPERSONATE, user.clone());
            }
            client.request(request).await
        })
        .await
    }

    /// What to do if the API server refuses a write of ConfigMaps.
    pub fn advice(&self, refusal: &kube::core::Status) -> &'static str {
        let mut details = refusal.details.iter();
        let is_of_impersonation = details.any(|details| details.kind == ServiceAccount::plural(&()));
        match self {
            Self::Controller => "give the controller the rights of its chart",
            Self::ServiceAccount { .. } if is_of_impersonation => {
                "let the controller impersonate service accounts (rbac.impersonate of the chart)"
            }
            Self::ServiceAccount { .. } => "give it the verbs create and patch on configmaps by a Role",
        }
    }
}

impl fmt::Display for RequestIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Controller => f.write_str("the controller"),
            Self::ServiceAccount { name, .. } => write!(f, "the service account {name}"),
        }
    }
}

/// The service account of a `PatchSet`; `None` if neither its spec nor the controller names one.
pub fn service_account<'a>(
    patch_set: &'a PatchSet,
    options: &'a ControllerOptions,
) -> Option<&'a ServiceAccountName> {
    let own = patch_set.spec.service_account_name.as_ref();
    own.or(options.default_service_account.as_ref())
}
