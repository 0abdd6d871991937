//! Which host is a registry of which cloud, and where that cloud's own servers are.
//!
//! A tenant writes the host. Each part of it is checked, so that every address made from it is a
//! server of the cloud: in `sts.REGION.amazonaws.com`, a "region" such as `s3` would be somebody's
//! bucket.

use patchset_api::build::CloudProvider;

/// A registry of a cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudRegistry {
    /// Amazon ECR.
    Ecr(Ecr),
    /// Google Artifact Registry, also by the names of the former Container Registry.
    Google,
    /// Azure Container Registry.
    Acr(Acr),
}

/// A registry of Amazon ECR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ecr {
    pub(super) region: String,
    /// The part of AWS that it is in: `amazonaws.com`, or that of China.
    pub(super) domain: &'static str,
    pub(super) kind: EcrKind,
}

/// What kind of registry of Amazon ECR it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EcrKind {
    Private,
    /// Private, by endpoints that are validated for FIPS 140.
    Fips,
    Public,
}

/// An Azure Container Registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acr {
    pub(super) host: String,
    /// The host of the cloud's Entra ID.
    pub(super) authority: &'static str,
}

impl CloudRegistry {
    /// The registry of a host; `None` for one that is not of this cloud, or has a port.
    #[must_use]
    pub fn parse(provider: CloudProvider, host: &str) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        match provider {
            CloudProvider::Aws => ecr(&host).map(Self::Ecr),
            CloudProvider::Gcp => is_google(&host).then_some(Self::Google),
            CloudProvider::Azure => acr(&host).map(Self::Acr),
        }
    }

    /// What hosts of a cloud's registries look like, for messages.
    #[must_use]
    pub fn host_form(provider: CloudProvider) -> &'static str {
        match provider {
            CloudProvider::Aws => "ACCOUNT.dkr.ecr.REGION.amazonaws.com or public.ecr.aws",
            CloudProvider::Gcp => "LOCATION-docker.pkg.dev or gcr.io",
            CloudProvider::Azure => "NAME.azurecr.io",
        }
    }
}

fn ecr(host: &str) -> Option<Ecr> {
    if host == "public.ecr.aws" {
        // Only this region has the API of public registries.
        return Some(Ecr {
            region: "us-east-1".to_owned(),
            domain: "amazonaws.com",
            kind: EcrKind::Public,
        });
    }
    let (account, rest) = host.split_once(".dkr.")?;
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let (service, rest) = rest.split_once('.')?;
    let (region, domain) = rest.split_once('.')?;
    let domain = match domain {
        "amazonaws.com" => "amazonaws.com",
        "amazonaws.com.cn" => "amazonaws.com.cn",
        _ => return None,
    };
    let kind = match service {
        "ecr" => EcrKind::Private,
        "ecr-fips" => EcrKind::Fips,
        _ => return None,
    };
    (is_account && is_region(region)).then(|| Ecr {
        region: region.to_owned(),
        domain,
        kind,
    })
}

/// Whether a text is a region of AWS: `eu-central-1`, `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let Some((places, number)) = text.rsplit_once('-') else {
        return false;
    };
    let mut places = places.split('-');
    let area = places.next().unwrap_or_default();
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let rest: Vec<&str> = places.collect();
    is_word(area)
        && area.len() == 2
        && (1..=2).contains(&rest.len())
        && rest.into_iter().all(is_word)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_google(host: &str) -> bool {
    let Some((first, domain)) = host.split_once('.') else {
        return false;
    };
    match domain {
        "io" => first == "gcr",
        "gcr.io" => is_label(first),
        "pkg.dev" => first.strip_suffix("-docker").is_some_and(is_label),
        _ => false,
    }
}

fn acr(host: &str) -> Option<Acr> {
    let (name, domain) = host.split_once('.')?;
    let authority = match domain {
        "azurecr.io" => "login.microsoftonline.com",
        "azurecr.cn" => "login.chinacloudapi.cn",
        "azurecr.us" => "login.microsoftonline.us",
        _ => return None,
    };
    is_label(name).then(|| Acr {
        host: host.to_owned(),
        authority,
    })
}

/// Whether a text is one label of a host's name.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_of_a_cloud_by_its_whole_name() {
        use CloudProvider::{Aws, Azure, Gcp};
        for (provider, host, expected) in [
            (Aws, "123456789012.dkr.ecr.eu-central-1.amazonaws.com", true),
            (Aws, "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", true),
            (Aws, "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", true),
            (Aws, "123456789012.DKR.ecr.ap-southeast-12.amazonaws.com", true),
            (Aws, "public.ecr.aws", true),
            (Aws, "123456789012.dkr.ecr.eu-central-1.amazonaws.com:443", false),
            (
                Aws,
                "123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example",
                false,
            ),
            (Aws, "123456789012.dkr.ecr.eu-central-1.evil.example", false),
            (Aws, "12345678901.dkr.ecr.eu-central-1.amazonaws.com", false),
            (Aws, "evil.123456789012.dkr.ecr.eu-central-1.amazonaws.com", false),
            // Servers derived from these would be other people's buckets.
            (Aws, "123456789012.dkr.ecr.s3.amazonaws.com", false),
            (Aws, "123456789012.dkr.ecr.s3-us-west-2.amazonaws.com", false),
            (Aws, "123456789012.dkr.ecr.s3.eu-central-1.amazonaws.com", false),
            (Aws, "123456789012.dkr.s3.eu-central-1.amazonaws.com", false),
            (Aws, "europe-docker.pkg.dev", false),
            (Gcp, "europe-west3-docker.pkg.dev", true),
            (Gcp, "us-docker.pkg.dev", true),
            (Gcp, "gcr.io", true),
            (Gcp, "eu.gcr.io", true),
            (Gcp, "evilgcr.io", false),
            (Gcp, "evil.io", false),
            (Gcp, "us-docker.pkg.dev.evil.example", false),
            (Gcp, "us-python.pkg.dev", false),
            (Gcp, "-docker.pkg.dev", false),
            (Gcp, "a.b-docker.pkg.dev", false),
            (Gcp, "gcr.io:443", false),
            (Azure, "contoso.azurecr.io", true),
            (Azure, "contoso.azurecr.us", true),
            (Azure, "contoso.azurecr.cn", true),
            (Azure, ".azurecr.io", false),
            (Azure, "azurecr.io", false),
            (Azure, "a.b.azurecr.io", false),
            (Azure, "contoso.azurecr.io.evil.example", false),
            (Azure, "contoso.azurecr.io:5000", false),
            (Azure, "registry.example.org", false),
        ] {
            assert_eq!(CloudRegistry::parse(provider, host).is_some(), expected, "{host}");
        }
    }
}
