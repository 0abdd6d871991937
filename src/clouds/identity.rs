//! What a service account's annotations say about its identity in a cloud.

use std::collections::BTreeMap;

use foreign_text::printable;
use patchset_api::build::CloudProvider;

const AWS_ROLE: &str = "eks.amazonaws.com/role-arn";
const AZURE_CLIENT: &str = "azure.workload.identity/client-id";
const AZURE_TENANT: &str = "azure.workload.identity/tenant-id";
const GCP_PROVIDER: &str = "gcp.auth.fluxcd.io/workload-identity-provider";
const GCP_EMAIL: &str = "iam.gke.io/gcp-service-account";

/// Who a service account is in a cloud, by the annotations that the clouds' own tools and Flux
/// read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CloudIdentity {
    /// A role of AWS.
    Aws {
        /// Its ARN.
        role: String,
    },
    /// An application or managed identity of Azure.
    Azure {
        /// The tenant that it is in.
        tenant: String,
        /// Its client ID.
        client: String,
    },
    /// The identity that a workload identity pool of Google Cloud gives the service account.
    Gcp {
        /// The pool's provider, by its full resource name.
        provider: String,
        /// The Google service account to impersonate; none if the pool's identity has the rights
        /// itself.
        email: Option<String>,
    },
}

/// An annotation that is missing or malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It is not there.
    #[error("it has no annotation {annotation}: {advice}")]
    Missing {
        /// The annotation.
        annotation: &'static str,
        /// What belongs there.
        advice: &'static str,
    },
    /// It does not hold what it should.
    #[error("its annotation {annotation} is {text:?}: {advice}")]
    Invalid {
        /// The annotation.
        annotation: &'static str,
        /// What it holds, shortened.
        text: String,
        /// What belongs there.
        advice: &'static str,
    },
}

impl CloudIdentity {
    /// Reads the annotations of a service account.
    ///
    /// # Errors
    ///
    /// [`IdentityError`], with what belongs there.
    pub fn read(
        provider: CloudProvider,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, IdentityError> {
        let read = ServiceAccountAnnotations(annotations);
        match provider {
            CloudProvider::Aws => Ok(Self::Aws {
                role: read.needed(
                    AWS_ROLE,
                    is_role,
                    "write the role's ARN, such as arn:aws:iam::123456789012:role/patchset",
                )?,
            }),
            CloudProvider::Azure => Ok(Self::Azure {
                tenant: read.needed(
                    AZURE_TENANT,
                    is_id,
                    "write the ID of the tenant that the identity is in",
                )?,
                client: read.needed(AZURE_CLIENT, is_id, "write the identity's client ID")?,
            }),
            CloudProvider::Gcp => Ok(Self::Gcp {
                provider: read.needed(
                    GCP_PROVIDER,
                    is_pool_provider,
                    "write projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER (on GKE as well: \
                     its metadata service is not asked)",
                )?,
                email: read.optional(
                    GCP_EMAIL,
                    is_email,
                    "write NAME@PROJECT.iam.gserviceaccount.com, or leave it out",
                )?,
            }),
        }
    }

    /// The audience that a token of the service account must have. No API server accepts a token
    /// for any of these.
    #[must_use]
    pub fn audience(&self) -> String {
        match self {
            Self::Aws { .. } => "sts.amazonaws.com".to_owned(),
            Self::Azure { .. } => "api://AzureADTokenExchange".to_owned(),
            Self::Gcp { provider, .. } => format!("//iam.googleapis.com/{provider}"),
        }
    }
}

struct ServiceAccountAnnotations<'a>(&'a BTreeMap<String, String>);

impl ServiceAccountAnnotations<'_> {
    fn optional(
        &self,
        annotation: &'static str,
        is_valid: impl Fn(&str) -> bool,
        advice: &'static str,
    ) -> Result<Option<String>, IdentityError> {
        let text = self.0.get(annotation).map_or("", |text| text.trim());
        if text.is_empty() {
            return Ok(None);
        }
        if is_valid(text) {
            return Ok(Some(text.to_owned()));
        }
        Err(IdentityError::Invalid {
            annotation,
            text: printable(text, 200),
            advice,
        })
    }

    fn needed(
        &self,
        annotation: &'static str,
        is_valid: impl Fn(&str) -> bool,
        advice: &'static str,
    ) -> Result<String, IdentityError> {
        self.optional(annotation, is_valid, advice)?
            .ok_or(IdentityError::Missing { annotation, advice })
    }
}

/// Whether a text has 1 to 100 letters, digits and some more characters.
fn is_word(text: &str, more: &[u8]) -> bool {
    (1..=100).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
}

fn is_number(text: &str) -> bool {
    (1..=30).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`.
fn is_role(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, role] = parts.as_slice() else {
        return false;
    };
    let name = role.strip_prefix("role/").unwrap_or_default();
    partition.starts_with("aws")
        && is_word(partition, b"-")
        && account.len() == 12
        && is_number(account)
        && (1..=600).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&byte))
}

/// An ID in Entra: a GUID, or a domain of a tenant.
fn is_id(text: &str) -> bool {
    is_word(text, b"-.") && !text.starts_with('.') && !text.contains("..")
}

fn is_pool_provider(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let [
        "projects",
        number,
        "locations",
        "global",
        "workloadIdentityPools",
        pool,
        "providers",
        provider,
    ] = parts.as_slice()
    else {
        return false;
    };
    is_number(number) && is_word(pool, b"-") && is_word(provider, b"-")
}

fn is_email(text: &str) -> bool {
    text.strip_suffix(".iam.gserviceaccount.com")
        .and_then(|rest| rest.split_once('@'))
        .is_some_and(|(name, project)| is_word(name, b"-") && is_word(project, b"-."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(provider: CloudProvider, pairs: &[(&str, &str)]) -> Result<CloudIdentity, IdentityError> {
        let pairs = pairs.iter();
        let annotations = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        CloudIdentity::read(provider, &annotations.collect())
    }

    #[test]
    fn annotations_are_read_as_the_clouds_write_them() {
        let role = "arn:aws-us-gov:iam::123456789012:role/team/push";
        let aws = read(CloudProvider::Aws, &[(AWS_ROLE, role)]).unwrap();
        assert_eq!(aws.audience(), "sts.amazonaws.com");
        let provider = "projects/12/locations/global/workloadIdentityPools/pool/providers/cluster";
        let gcp = read(CloudProvider::Gcp, &[(GCP_PROVIDER, provider)]).unwrap();
        assert_eq!(gcp.audience(), format!("//iam.googleapis.com/{provider}"));
        let email = "push@team.iam.gserviceaccount.com";
        assert_eq!(
            read(
                CloudProvider::Gcp,
                &[(GCP_PROVIDER, provider), (GCP_EMAIL, email)]
            ),
            Ok(CloudIdentity::Gcp {
                provider: provider.to_owned(),
                email: Some(email.to_owned())
            })
        );
        let azure = [(AZURE_TENANT, "72f9-ab"), (AZURE_CLIENT, "0000-11")];
        let azure = read(CloudProvider::Azure, &azure).unwrap();
        assert_eq!(azure.audience(), "api://AzureADTokenExchange");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let provider = "projects/12/locations/global/workloadIdentityPools/pool/providers/cluster";
        for (cloud, annotations, named) in [
            (CloudProvider::Aws, vec![], AWS_ROLE),
            (CloudProvider::Aws, vec![(AWS_ROLE, "admin")], AWS_ROLE),
            (
                CloudProvider::Aws,
                vec![(AWS_ROLE, "arn:aws:iam::123456789012:user/a")],
                AWS_ROLE,
            ),
            (
                CloudProvider::Aws,
                vec![(AWS_ROLE, "arn:aws:iam::123456789012:role/a&Action=x")],
                AWS_ROLE,
            ),
            (CloudProvider::Azure, vec![(AZURE_CLIENT, "a")], AZURE_TENANT),
            (CloudProvider::Azure, vec![(AZURE_TENANT, "a")], AZURE_CLIENT),
            (
                CloudProvider::Azure,
                vec![(AZURE_TENANT, "../../evil"), (AZURE_CLIENT, "a")],
                AZURE_TENANT,
            ),
            (CloudProvider::Gcp, vec![], GCP_PROVIDER),
            (
                CloudProvider::Gcp,
                vec![(GCP_PROVIDER, "https://kubernetes.default.svc")],
                GCP_PROVIDER,
            ),
            (
                CloudProvider::Gcp,
                vec![(GCP_PROVIDER, provider), (GCP_EMAIL, "a@b/c:x")],
                GCP_EMAIL,
            ),
        ] {
            let error = read(cloud, &annotations).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("write"), "{error}");
        }
    }
}
