//! What is attached to an image, where the registry keeps no list of that itself
//! (distribution-spec, "Referrers Tag Schema").

use std::collections::BTreeMap;

use bytes::Bytes;
use image_references::Digest;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::manifests::{ManifestKind, ManifestName};
use super::media_type::INDEX;
use super::repository::Repository;
use crate::Error;

/// What the request is for, in messages.
const WHAT: &str = "the list of what is attached";

/// How often the list is written if others write it at the same time.
const MOST_ATTEMPTS: usize = 5;

/// An artifact in the list of what is attached to an image.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Referrer<'a> {
    pub(crate) media_type: &'a str,
    pub(crate) digest: &'a Digest,
    /// In bytes.
    pub(crate) size: usize,
    pub(crate) artifact_type: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: &'a BTreeMap<&'a str, &'a str>,
}

impl Repository<'_> {
    /// Makes sure that the list of what is attached to an image has an entry. Entries of others
    /// stay.
    pub(crate) async fn list_in_tag(&self, subject: &Digest, entry: &Referrer<'_>) -> Result<(), Error> {
        let tag = subject.referrers_tag();
        let name = ManifestName::Tag(&tag);
        for _ in 0..MOST_ATTEMPTS {
            let mut index = self.referrers_index(name).await?;
            let entries = index
                .entry("manifests")
                .or_insert_with(|| json!([]))
                .as_array_mut()
                .ok_or_else(|| self.refused_error(WHAT, "it is not a list"))?;
            let digest = json!(entry.digest);
            if entries.iter().any(|one| one.get("digest") == Some(&digest)) {
                return Ok(());
            }
            entries.push(json!(entry));
            index.insert("mediaType".to_owned(), json!(INDEX));
            let body = serde_json::to_vec(&index).map_err(|error| Error::Write(error.into()))?;
            self.put_manifest(name, INDEX, Bytes::from(body))
                .await
                .map_err(|error| self.listing_error(entry, error))?;
            // The next attempt checks whether it is there: others may have written at the same
            // time.
        }
        Err(self.unavailable_error(format!("{WHAT}: others write the tag {tag} at the same time")))
    }

    /// Returns what an error in writing the list means for the attached artifact.
    fn listing_error(&self, entry: &Referrer<'_>, error: Error) -> Error {
        match error {
            Error::TagImmutable { tag, reason, .. } => Error::NotListed {
                artifact: self.image.with_digest(entry.digest).to_string(),
                tag,
                reason,
            },
            other => other,
        }
    }

    /// Returns the current list: only a missing tag counts as an empty one.
    async fn referrers_index(&self, name: ManifestName<'_>) -> Result<Map<String, Value>, Error> {
        let Some(manifest) = self.manifest(name).await? else {
            let mut index = Map::new();
            index.insert("schemaVersion".to_owned(), json!(2));
            return Ok(index);
        };
        let told = manifest
            .media_type()
            .map_err(|reason| self.refused_error(WHAT, reason))?;
        match (told, serde_json::from_slice(&manifest.bytes)) {
            ((_, ManifestKind::Index), Ok(Value::Object(index))) => Ok(index),
            _ => Err(self.refused_error(WHAT, &format!("something else has the tag {name}"))),
        }
    }
}
