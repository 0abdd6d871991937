//! Manifests and indexes, whose claims about themselves are checked.

use std::fmt;

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use image_references::{Digest, ImageReference};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::media_type::{DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST};
use super::message::{Answer, Outgoing};
use super::repository::{Access, Repository};
use crate::Error;

/// The largest manifest, in bytes: the least that registries have to accept (distribution-spec,
/// "Pushing Manifests").
const LARGEST: usize = 4 << 20;

/// The header with a manifest's digest.
const DIGEST: &str = "docker-content-digest";

/// The header by which a registry says that it keeps the list of what is attached to the subject.
const SUBJECT: &str = "oci-subject";

/// What requests are for, in messages.
const LOOK: &str = "a look at the image";
const PUSH: &str = "the manifest";

/// A manifest or index whose digest was checked.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
    /// The type that the answer declares.
    content_type: Option<String>,
}

/// What a manifest is requested by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ManifestName<'a> {
    Tag(&'a str),
    Digest(&'a Digest),
}

impl fmt::Display for ManifestName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl<'a> From<&'a ImageReference> for ManifestName<'a> {
    /// The digest if there is one, else the tag.
    fn from(image: &'a ImageReference) -> Self {
        match image.digest() {
            Some(digest) => Self::Digest(digest),
            None => Self::Tag(image.tag().unwrap_or("latest")),
        }
    }
}

/// What a manifest lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ManifestKind {
    /// Layers.
    Manifest,
    /// Manifests.
    Index,
}

/// The part of a manifest that shows which kind it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u64>,
    media_type: Option<String>,
    config: Option<IgnoredAny>,
    layers: Option<Vec<IgnoredAny>>,
    manifests: Option<Vec<IgnoredAny>>,
}

impl Manifest {
    /// Returns its media type: its own, else that of the answer that it came with. What lists both
    /// or neither of layers and manifests, or declares another type, is refused (CVE-2021-41190).
    pub(crate) fn media_type(&self) -> Result<(&'static str, ManifestKind), &'static str> {
        let shape: Shape =
            serde_json::from_slice(&self.bytes).map_err(|_| "what it has there is not a manifest")?;
        let kind = match (&shape.config, &shape.layers, &shape.manifests) {
            (Some(_), Some(_), None) => ManifestKind::Manifest,
            (None, None, Some(_)) => ManifestKind::Index,
            _ => return Err("what it has there is neither manifest nor index"),
        };
        if shape.schema_version != Some(2) {
            return Err("what it has there is not a manifest of version 2");
        }
        let declared = shape.media_type.as_deref().or(self.content_type.as_deref());
        let known = match kind {
            ManifestKind::Manifest => [MANIFEST, DOCKER_MANIFEST],
            ManifestKind::Index => [INDEX, DOCKER_INDEX],
        };
        let media_type = known.into_iter().find(|known| Some(*known) == declared);
        Ok((
            media_type.ok_or("what it has there has a media type that does not match its content")?,
            kind,
        ))
    }
}

/// What a registry did with a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Stored it.
    Plainly,
    /// Stored it, and lists it as attached to its subject.
    AsReferrer,
}

impl Repository<'_> {
    /// Returns a manifest or index, or `None` where the registry has none of that name.
    pub(crate) async fn manifest(&self, name: ManifestName<'_>) -> Result<Option<Manifest>, Error> {
        let Some(mut answer) = self.find_manifest(Method::GET, name).await? else {
            return Ok(None);
        };
        let body = self.read_body(&mut answer, LARGEST, LOOK).await?;
        let body = body.ok_or_else(|| self.refused_error(LOOK, "its manifest is too large"))?;
        let wanted = match name {
            ManifestName::Digest(digest) => Some(digest),
            ManifestName::Tag(_) => None,
        };
        let digest = checked_digest(&body, answer.response.headers(), wanted)
            .map_err(|reason| self.refused_error(LOOK, reason))?;
        let content_type = answer.header(CONTENT_TYPE.as_str()).map(|text| {
            let (media_type, _) = text.split_once(';').unwrap_or((text, ""));
            media_type.trim().to_owned()
        });
        Ok(Some(Manifest {
            bytes: body.into(),
            digest,
            content_type,
        }))
    }

    /// Returns what an index lists by a digest, or `None` if the registry does not have it.
    pub(crate) async fn listed_manifest(&self, digest: &str) -> Result<Option<Manifest>, Error> {
        let digest: Digest = digest
            .parse()
            .map_err(|_| self.refused_error(LOOK, "it lists something by a digest of an unknown kind"))?;
        self.manifest(ManifestName::Digest(&digest)).await
    }

    /// Returns the digest that a tag stands for, or `None` where there is no such tag.
    ///
    /// Only the digest is requested, which counts less than a manifest towards the rate limits of
    /// some registries. It is just a name: whoever requests the contents by it checks them.
    pub(crate) async fn manifest_digest(&self, name: ManifestName<'_>) -> Result<Option<Digest>, Error> {
        let Some(answer) = self.find_manifest(Method::HEAD, name).await? else {
            return Ok(None);
        };
        match (name, answer.header(DIGEST)) {
            (ManifestName::Tag(_), Some(text)) => {
                let digest = text.parse();
                digest
                    .map(Some)
                    .map_err(|_| self.refused_error(LOOK, UNKNOWN_DIGEST))
            }
            _ => Ok(self.manifest(name).await?.map(|manifest| manifest.digest)),
        }
    }

    /// Looks for a manifest or index; `None` if it does not exist.
    ///
    /// To clients that may only pull, some registries (Docker Hub, Artifactory) answer that access
    /// is denied when something does not exist yet: it is then requested once more with push
    /// access.
    async fn find_manifest(&self, method: Method, name: ManifestName<'_>) -> Result<Option<Answer>, Error> {
        let request = self.manifest_request(method, name)?;
        let answer = self.send(&request).await?;
        let refused = match self.success_or_absence(answer).await {
            Err(refused @ Error::Authentication { .. })
                if self.access == Access::Pull
                    && self.login().is_some()
                    && self.remembered_token().is_some() =>
            {
                refused
            }
            found => return found,
        };
        let as_pusher = Self {
            access: Access::Push,
            ..*self
        };
        let found = match as_pusher.send(&request).await {
            Ok(answer) => as_pusher.success_or_absence(answer).await,
            Err(error) => Err(error),
        };
        // The answer to the request for less access is closer to the truth.
        found.map_err(|error| match error {
            Error::Authentication { .. } => refused,
            other => other,
        })
    }

    /// Returns the answer to a look, or `None` where it says that there is no such thing.
    async fn success_or_absence(&self, answer: Answer) -> Result<Option<Answer>, Error> {
        if answer.status().is_success() {
            return Ok(Some(answer));
        }
        let refusal = self.refusal(answer, LOOK).await;
        if refusal.is_absent {
            Ok(None)
        } else {
            Err(refusal.error)
        }
    }

    /// Whether the registry says that it has no such repository.
    pub(super) async fn is_unknown_name(&self) -> bool {
        let Ok(request) = self.manifest_request(Method::GET, ManifestName::from(self.image)) else {
            return false;
        };
        match self.send(&request).await {
            Ok(answer) if !answer.status().is_success() => self.refusal(answer, LOOK).await.is_unknown_name,
            _ => false,
        }
    }

    fn manifest_request(&self, method: Method, name: ManifestName<'_>) -> Result<Outgoing<'static>, Error> {
        let mut request = Outgoing::new(method, self.url(&format!("manifests/{name}"))?, LOOK);
        for media_type in [MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX] {
            request
                .headers
                .append(ACCEPT, HeaderValue::from_static(media_type));
        }
        Ok(request)
    }

    /// Stores a manifest or index.
    pub(crate) async fn put_manifest(
        &self,
        name: ManifestName<'_>,
        media_type: &'static str,
        body: Bytes,
    ) -> Result<Stored, Error> {
        if body.len() > LARGEST {
            return Err(self.refused_error(PUSH, "it is larger than what registries take"));
        }
        let mut request = Outgoing::new(Method::PUT, self.url(&format!("manifests/{name}"))?, PUSH);
        request
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        request.body = body;
        let answer = self.send(&request).await?;
        // The specification requires a `Location`, which is not needed.
        if !answer.status().is_success() {
            let refusal = self.refusal(answer, PUSH).await;
            return match (name, refusal.immutability) {
                (ManifestName::Tag(tag), Some(reason)) => {
                    self.check_kept_tag(tag, &request.body, reason, refusal.error)
                        .await
                }
                _ => Err(refusal.error),
            };
        }
        Ok(match answer.header(SUBJECT) {
            Some(_) => Stored::AsReferrer,
            None => Stored::Plainly,
        })
    }

    /// Decides what it means that a registry refuses a manifest for a tag, possibly because the tag
    /// is immutable. A tag that already stands for the manifest counts as success: the answer to an
    /// earlier attempt may have been lost.
    async fn check_kept_tag(
        &self,
        tag: &str,
        manifest: &[u8],
        reason: String,
        error: Error,
    ) -> Result<Stored, Error> {
        let Ok(Some(found)) = self.manifest_digest(ManifestName::Tag(tag)).await else {
            return Err(error);
        };
        if found.matches(manifest) {
            return Ok(Stored::Plainly);
        }
        Err(Error::TagImmutable {
            tag: tag.to_owned(),
            reference: self.image.with_tag(tag)?.to_string(),
            found,
            reason,
        })
    }
}

const UNKNOWN_DIGEST: &str = "it names its manifest by a digest of an unknown kind";

/// Returns the digest of a manifest. What was sent has to match the requested digest and the one
/// that the registry declares.
fn checked_digest(body: &[u8], headers: &HeaderMap, wanted: Option<&Digest>) -> Result<Digest, &'static str> {
    let declared = match headers.get(DIGEST) {
        None => None,
        Some(value) => {
            let digest = value.to_str().ok().and_then(|text| text.parse().ok());
            Some(digest.ok_or(UNKNOWN_DIGEST)?)
        }
    };
    let all = [wanted, declared.as_ref()];
    if !all.into_iter().flatten().all(|digest| digest.matches(body)) {
        return Err("its manifest does not match its digest");
    }
    let named = wanted.cloned().or(declared);
    Ok(named.unwrap_or_else(|| Digest::sha256(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const EMPTY_384: &str = "sha384:38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b";

    #[test]
    fn a_digest_has_to_be_true() {
        let empty: Digest = EMPTY.parse().unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(checked_digest(b"", &headers, None), Ok(empty.clone()));
        assert_eq!(checked_digest(b"", &headers, Some(&empty)), Ok(empty.clone()));
        assert!(checked_digest(b"x", &headers, Some(&empty)).is_err());
        headers.insert(DIGEST, EMPTY.parse().unwrap());
        assert_eq!(checked_digest(b"", &headers, None), Ok(empty));
        assert!(checked_digest(b"x", &headers, None).is_err());
        headers.insert(DIGEST, EMPTY_384.parse().unwrap());
        assert_eq!(
            checked_digest(b"", &headers, None).unwrap().to_string(),
            EMPTY_384
        );
        assert!(checked_digest(b"x", &headers, None).is_err());
        headers.insert(DIGEST, "md5:d41d8cd98f00b204e9800998ecf8427e".parse().unwrap());
        assert_eq!(checked_digest(b"", &headers, None), Err(UNKNOWN_DIGEST));
    }

    #[test]
    fn only_manifests_and_indexes_are_manifests() {
        let media_type = |body: &str, content_type: &str| {
            let manifest = Manifest {
                bytes: Bytes::copy_from_slice(body.as_bytes()),
                digest: EMPTY.parse().unwrap(),
                content_type: Some(content_type.to_owned()),
            };
            manifest.media_type()
        };
        let index = r#"{"schemaVersion": 2, "manifests": []}"#;
        assert_eq!(
            media_type(index, DOCKER_INDEX),
            Ok((DOCKER_INDEX, ManifestKind::Index))
        );
        let manifest =
            format!(r#"{{"schemaVersion": 2, "mediaType": "{MANIFEST}", "config": {{}}, "layers": []}}"#);
        assert_eq!(
            media_type(&manifest, "text/plain"),
            Ok((MANIFEST, ManifestKind::Manifest))
        );
        for (body, content_type) in [
            ("AKIAEXAMPLE", MANIFEST),
            (r#"{"Code": "Success", "Token": "secret"}"#, MANIFEST),
            (index, MANIFEST),
            (index, "application/json"),
            (r#"{"manifests": []}"#, INDEX),
            (r#"{"schemaVersion": 1, "manifests": []}"#, INDEX),
            (
                r#"{"schemaVersion": 2, "manifests": [], "config": {}, "layers": []}"#,
                INDEX,
            ),
            (r#"{"schemaVersion": 2, "layers": []}"#, MANIFEST),
            (&manifest.replace("manifest.v1", "index.v1"), MANIFEST),
            (&"[".repeat(100_000), MANIFEST),
        ] {
            assert!(media_type(body, content_type).is_err(), "{body}");
        }
    }
}
