//! Manifests, of which no more is read than one may have. The library reads all that a registry sends.

use bytes::Bytes;
use http::header::{ACCEPT, HeaderMap};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use reqwest::{Client, RequestBuilder, Response};
use sha2::{Digest, Sha256};

use super::answers::{is_absent, told};
use super::image::{DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST};
use super::layer::hex;
use super::{Error, Registry, RegistryConfig};

/// The largest manifest, in bytes: what registries take at least (distribution-spec, "Pushing Manifests").
const LARGEST: usize = 4 << 20;

/// How much of a refusal is read, in bytes.
const LARGEST_REFUSAL: usize = 64 << 10;

/// What manifests are asked for as.
const ACCEPTED: [&str; 4] = [MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX];

/// The name of the header with a manifest's digest.
const DIGEST: &str = "docker-content-digest";

/// Reads manifests.
pub(super) struct Reader {
    /// Nothing where there can be no client, which is told when one is needed.
    http: Result<Client, String>,
    plain_http: Vec<String>,
}

impl Reader {
    pub(super) fn new(config: &RegistryConfig) -> Self {
        crate::tls::ensure_provider();
        let http = Client::builder()
            .user_agent(concat!("patchset/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.timeout)
            .read_timeout(config.timeout)
            .referer(false)
            .build();
        Self {
            http: http.map_err(|error| error.to_string()),
            plain_http: config.plain_http.clone(),
        }
    }

    fn request(&self, target: &Reference) -> Result<RequestBuilder, OciDistributionError> {
        let http = self
            .http
            .as_ref()
            .map_err(|error| OciDistributionError::GenericError(Some(error.clone())))?;
        let registry = target.resolve_registry();
        let scheme = if self.plain_http.iter().any(|host| host == registry) {
            "http"
        } else {
            "https"
        };
        let name = target.digest().or(target.tag()).unwrap_or("latest");
        let url = format!(
            "{scheme}://{registry}/v2/{}/manifests/{name}",
            target.repository()
        );
        Ok(http.get(url).header(ACCEPT, ACCEPTED.join(", ")))
    }
}

impl Registry {
    /// A manifest with its digest, or nothing where the registry has none of that name.
    pub(super) async fn manifest_of(&self, target: &Reference) -> Result<Option<(Bytes, String)>, Error> {
        let what = "a look at the image";
        let auth = self.credentials.at(target.resolve_registry());
        let token = self.client.auth(target, &auth, RegistryOperation::Pull).await;
        let token = token.map_err(|error| told(target, "the credentials", &error))?;
        let refused = |reason: &str| Error::Refused {
            registry: target.resolve_registry().to_owned(),
            what: what.to_owned(),
            reason: reason.to_owned(),
        };
        let answer = self.ask(target, token, auth).await;
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(told(target, what, &error)),
        };
        let body = read(&mut answer, LARGEST).await;
        let body = body.map_err(|error| told(target, what, &error.into()))?;
        let body = body.ok_or_else(|| refused("its manifest is too large"))?;
        let digest = digest(&body, answer.headers(), target.digest()).map_err(refused)?;
        Ok(Some((body.into(), digest)))
    }

    async fn ask(
        &self,
        target: &Reference,
        token: Option<String>,
        auth: RegistryAuth,
    ) -> Result<Response, OciDistributionError> {
        let request = self.manifests.request(target)?;
        let request = match (token, auth) {
            (Some(token), _) | (None, RegistryAuth::Bearer(token)) => request.bearer_auth(token),
            (None, RegistryAuth::Basic(user, password)) => request.basic_auth(user, Some(password)),
            (None, RegistryAuth::Anonymous) => request,
        };
        let mut answer = request.send().await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let message = read(&mut answer, LARGEST_REFUSAL).await?.unwrap_or_default();
        Err(OciDistributionError::ServerError {
            code: status.as_u16(),
            url: target.to_string(),
            message: String::from_utf8_lossy(&message).into_owned(),
        })
    }
}

/// A body; nothing where it is longer than this.
async fn read(answer: &mut Response, most: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// The digest of a manifest. What was asked for, and what the registry says of it, has to be true of what it sent.
fn digest(body: &[u8], headers: &HeaderMap, wanted: Option<&str>) -> Result<String, &'static str> {
    let is = hex(&Sha256::digest(body));
    let said = headers.get(DIGEST).and_then(|value| value.to_str().ok());
    let is_wrong = |digest: &str| digest.starts_with("sha256:") && digest != is;
    if [said, wanted].into_iter().flatten().any(is_wrong) {
        return Err("its manifest is another than its digest says");
    }
    // Another algorithm is taken at its word: what it names is compared with itself only.
    Ok(wanted.or(said).map_or(is, ToOwned::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_has_to_be_true() {
        let mut headers = HeaderMap::new();
        assert_eq!(digest(b"", &headers, None).as_deref(), Ok(EMPTY));
        assert_eq!(digest(b"", &headers, Some(EMPTY)).as_deref(), Ok(EMPTY));
        assert!(digest(b"x", &headers, Some(EMPTY)).is_err());
        headers.insert(DIGEST, EMPTY.parse().unwrap());
        assert_eq!(digest(b"", &headers, None).as_deref(), Ok(EMPTY));
        assert!(digest(b"x", &headers, None).is_err());
    }
}
