//! Blobs: layers, configurations, documents.

use bytes::Bytes;
use guarded_egress::CrossOriginPolicy;
use http::Method;
use image_references::{Digest, Hasher};

use super::message::{Answer, Outgoing};
use super::repository::Repository;
use crate::Error;

/// What blobs are read for, in messages.
const LOOK: &str = "a look at the image";

/// A blob while it is received. Its digest is checked at the end.
pub(crate) struct Blob<'a> {
    repository: Repository<'a>,
    answer: Answer,
    hasher: Option<Hasher>,
    digest: Digest,
    /// What it is, in messages.
    name: String,
}

impl Blob<'_> {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    ///
    /// If nothing arrives in time, and at the end if the contents do not match the digest.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let patience = self.repository.registry.config.timeout;
        let chunk = match tokio::time::timeout(patience, self.answer.response.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| self.repository.connection_error(LOOK, &error))?,
            Err(_) => return Err(self.repository.timeout_error(&self.name)),
        };
        if let Some(bytes) = &chunk {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(bytes);
            }
        } else if let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.digest
        {
            let reason = format!("{} does not match its digest", self.name);
            return Err(self.repository.refused_error(LOOK, &reason));
        }
        Ok(chunk)
    }
}

impl<'a> Repository<'a> {
    /// Whether the registry has a blob in this repository.
    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let what = "a look at a layer";
        let mut request = Outgoing::new(Method::HEAD, self.url(&format!("blobs/{digest}"))?, what);
        request.elsewhere = CrossOriginPolicy::OverHttps;
        let answer = self.send(&request).await?;
        if answer.status().is_success() {
            return Ok(true);
        }
        let refusal = self.refusal(answer, what).await;
        if refusal.is_absent {
            Ok(false)
        } else {
            Err(refusal.error)
        }
    }

    /// Begins to read a blob, which messages call `name`. Many registries keep blobs at another
    /// host, which gets no login.
    pub(crate) async fn blob(&self, digest: &Digest, name: &str) -> Result<Blob<'a>, Error> {
        let mut request = Outgoing::new(Method::GET, self.url(&format!("blobs/{digest}"))?, LOOK);
        request.elsewhere = CrossOriginPolicy::OverHttps;
        let answer = self.send(&request).await?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer, name).await.error);
        }
        Ok(Blob {
            repository: *self,
            answer,
            hasher: Some(digest.hasher()),
            digest: digest.clone(),
            name: name.to_owned(),
        })
    }
}
