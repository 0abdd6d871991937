//! Which vulnerabilities an image's patches resolve, as `OpenVEX` statements: vulnerability
//! scanners read those, and not the pedigrees of a bill of materials.

use std::collections::{BTreeMap, BTreeSet};

use image_references::ImageReference;
use jiff::Timestamp;
use patch_headers::{Cve, PatchHeaders};
use purl::{GenericPurl, ParseError};
use serde_json::{Value, json};

use super::document::Patched;
use super::{Error, purl_error, uuid_of};

/// The namespace of the statements, which is also the predicate type of an attestation of them.
pub const PREDICATE_TYPE: &str = "https://openvex.dev/ns/v0.2.0";

/// The media type of an in-toto attestation.
pub const ATTESTATION_TYPE: &str = "application/vnd.in-toto+json";

/// The annotation by which readers find one kind of attestation among others.
pub const PREDICATE_ANNOTATION: &str = "in-toto.io/predicate-type";

/// The vulnerabilities that patches claim to resolve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolutions(BTreeMap<Cve, Resolution>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Resolution {
    /// Names of the patches.
    patches: Vec<String>,
    /// Package URLs of the components.
    components: BTreeSet<String>,
}

/// Who makes statements, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// A person or an organization.
    pub author: String,
    /// When.
    pub time: Timestamp,
}

impl Resolutions {
    /// Reads what the patches of components claim.
    ///
    /// # Errors
    ///
    /// [`Error::Purl`] of a component that is to be named.
    pub fn by_patches<'a>(components: impl IntoIterator<Item = &'a Patched>) -> Result<Self, Error> {
        let mut found = Self::default();
        for Patched {
            component, patches, ..
        } in components
        {
            for patch in patches {
                for cve in PatchHeaders::read(&patch.name, &patch.bytes).cves {
                    let resolution = found.0.entry(cve).or_default();
                    resolution.patches.push(patch.name.clone());
                    resolution.components.insert(component.purl()?.to_string());
                }
            }
        }
        Ok(found)
    }

    /// Whether there is nothing to state.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the statements about an image that is named by its digest, as JSON.
    ///
    /// Equal input gives equal bytes.
    ///
    /// # Errors
    ///
    /// [`Error::NoDigest`], [`Error::Purl`], [`Error::Write`]; [`Error::NothingToState`] where it
    /// [is empty](Self::is_empty): such a document is not valid.
    pub fn document(&self, image: &ImageReference, issued: &Issued) -> Result<Vec<u8>, Error> {
        if self.is_empty() {
            return Err(Error::NothingToState);
        }
        let product = image_purl(image)?;
        let statements: Vec<Value> = self
            .0
            .iter()
            .map(|(cve, resolution)| statement(cve, resolution, &product))
            .collect();
        let mut document = json!({
            "@context": PREDICATE_TYPE,
            "author": issued.author,
            "role": "Packager",
            "timestamp": issued.time.to_string(),
            "version": 1,
            "tooling": crate::USER_AGENT,
            "statements": statements,
        });
        let unnamed = to_json(&document)?;
        if let Some(document) = document.as_object_mut() {
            document.insert("@id".to_owned(), json!(uuid_of(&unnamed).urn().to_string()));
        }
        to_json(&document)
    }

    /// Writes the statements as an unsigned in-toto attestation about the image.
    ///
    /// # Errors
    ///
    /// As for [`Resolutions::document`].
    pub fn attestation(&self, image: &ImageReference, issued: &Issued) -> Result<Vec<u8>, Error> {
        let document = self.document(image, issued)?;
        let predicate: Value =
            serde_json::from_slice(&document).map_err(|error| Error::Write(error.to_string()))?;
        let (algorithm, digits) = digest_of(image)?;
        to_json(&json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{
                "name": format!("{}/{}", image.registry(), image.repository()),
                "digest": { algorithm: digits },
            }],
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate,
        }))
    }
}

fn statement(cve: &Cve, resolution: &Resolution, product: &str) -> Value {
    let named = |purl: &str| json!({ "@id": purl, "identifiers": { "purl": purl } });
    let components: Vec<Value> = resolution.components.iter().map(|purl| named(purl)).collect();
    let mut product = named(product);
    if let Some(product) = product.as_object_mut() {
        product.insert("subcomponents".to_owned(), Value::Array(components));
    }
    json!({
        "vulnerability": { "name": cve.as_str() },
        "products": [product],
        "status": "fixed",
        "status_notes": format!("fixed by {}", resolution.patches.join(", ")),
    })
}

/// The package URL of an image: `pkg:oci/glance@sha256:…?repository_url=…`.
fn image_purl(image: &ImageReference) -> Result<String, Error> {
    let (algorithm, digits) = digest_of(image)?;
    let repository = format!("{}/{}", image.registry(), image.repository());
    let name = image.repository().rsplit('/').next().unwrap_or_default();
    let purl = GenericPurl::<String>::builder("oci".to_owned(), name)
        .with_version(format!("{algorithm}:{digits}"))
        .with_qualifier("repository_url", repository.clone())
        .and_then(purl::GenericPurlBuilder::build);
    purl.map(|purl| purl.to_string())
        .map_err(|error: ParseError| purl_error(&repository, &error))
}

fn digest_of(image: &ImageReference) -> Result<(String, String), Error> {
    let digest = image
        .digest()
        .ok_or_else(|| Error::NoDigest(image.to_string()))?
        .to_string();
    let (algorithm, digits) = digest.split_once(':').unwrap_or_default();
    Ok((algorithm.to_owned(), digits.to_owned()))
}

fn to_json(value: &Value) -> Result<Vec<u8>, Error> {
    serde_json::to_vec_pretty(value).map_err(|error| Error::Write(error.to_string()))
}
