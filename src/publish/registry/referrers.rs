//! What is attached to an image, where the registry keeps no list of that itself (distribution-spec, "Referrers Tag
//! Schema").

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::digest::ContentDigest;
use super::exchange::Repository;
use super::manifests::ManifestKind;
use super::reference::ManifestName;
use crate::publish::Error;
use crate::publish::image::INDEX;

/// What it is for, in messages.
const WHAT: &str = "the list of what is attached";

/// How often the list is written where somebody else writes it at the same time.
const MOST_ATTEMPTS: usize = 5;

impl Repository<'_> {
    /// Sees to it that the list of what is attached to an image has an entry. What others put there stays.
    pub(in crate::publish) async fn list_in_tag(
        &self,
        subject: &ContentDigest,
        entry: &Value,
    ) -> Result<(), Error> {
        let tag = subject.referrers_tag();
        let name = ManifestName::Tag(&tag);
        for _ in 0..MOST_ATTEMPTS {
            let mut index = self.index(name).await?;
            let digest = entry.get("digest");
            let entries = index
                .entry("manifests")
                .or_insert_with(|| json!([]))
                .as_array_mut()
                .ok_or_else(|| self.refused(WHAT, "it is no list"))?;
            if entries.iter().any(|one| one.get("digest") == digest) {
                return Ok(());
            }
            entries.push(entry.clone());
            index.insert("mediaType".to_owned(), json!(INDEX));
            let body = serde_json::to_vec(&index).map_err(|error| Error::Write(error.into()))?;
            self.put_manifest(name, INDEX, Bytes::from(body))
                .await
                .map_err(|error| self.unlisted(entry, error))?;
            // The next turn reads again whether it is there: somebody else may have written at the same time.
        }
        Err(self.unavailable(format!("{WHAT}: others write the tag {tag} at the same time")))
    }

    /// What an error of writing the list means for what was attached.
    fn unlisted(&self, entry: &Value, error: Error) -> Error {
        match error {
            Error::TagImmutable { tag, reason, .. } => {
                let digest = entry.get("digest").and_then(Value::as_str).unwrap_or_default();
                Error::NotListed {
                    artifact: self.image.by_digest(digest),
                    tag,
                    reason,
                }
            }
            other => other,
        }
    }

    /// The list as it is: only a tag that is not there is an empty one.
    async fn index(&self, name: ManifestName<'_>) -> Result<Map<String, Value>, Error> {
        let Some(manifest) = self.manifest(name).await? else {
            let mut index = Map::new();
            index.insert("schemaVersion".to_owned(), json!(2));
            return Ok(index);
        };
        let told = manifest
            .media_type()
            .map_err(|reason| self.refused(WHAT, reason))?;
        match (told, serde_json::from_slice(&manifest.bytes)) {
            ((_, ManifestKind::Index), Ok(Value::Object(index))) => Ok(index),
            _ => Err(self.refused(WHAT, &format!("something else has the tag {name}"))),
        }
    }
}
