//! Files from a mirror by their ids, for showing again what was read before. No server is asked,
//! and nothing is fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use git2::ObjectType;

use super::mirrors::Mirrors;
use super::store::Store;
use super::{Error, FileLimits, Oid, Upstream};

/// Those of some blobs that a mirror has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldBlobs {
    /// Those within the limits.
    pub contents: BTreeMap<Oid, Vec<u8>>,
    /// Those beyond the limits.
    pub beyond_limits: BTreeSet<Oid>,
}

impl Mirrors {
    /// Reads those of some blobs that the mirror of an upstream has; `None` if no mirror of it was
    /// fetched with these credentials. What was fetched with others is not read.
    ///
    /// # Errors
    ///
    /// If the scheme of the address may not be used; [`Error::Timeout`] if the removal of the
    /// mirror takes until the deadline; [`Error::Io`].
    pub fn held_blobs(
        &self,
        upstream: &Upstream,
        blobs: &[Oid],
        limits: &FileLimits,
        deadline: Instant,
    ) -> Result<Option<HeldBlobs>, Error> {
        self.config.transports.check(&upstream.url)?;
        let mirror = self.mirror(upstream)?;
        // Marking a mirror as in use leaves a file beside it, which a missing one must not get.
        if !mirror.dir.is_dir() {
            return Ok(None);
        }
        let patience = self.patience(deadline);
        let _in_use = mirror.mark_in_use(&patience)?.ok_or_else(|| Error::Timeout {
            url: upstream.url.to_string(),
            step: "waiting for the mirror",
        })?;
        let Some(store) = Store::open(&mirror.dir)? else {
            return Ok(None);
        };
        let mut held = HeldBlobs::default();
        let mut left = limits.total;
        let wanted = blobs.get(..limits.count).unwrap_or(blobs);
        let lacking: BTreeSet<Oid> = store.lacking(wanted)?.into_iter().collect();
        for blob in wanted {
            if patience.is_over() {
                break;
            }
            if held.contents.contains_key(blob) || lacking.contains(blob) {
                continue;
            }
            let most = usize::try_from(limits.file.min(left)).unwrap_or(usize::MAX);
            match store.read_object(*blob, ObjectType::Blob, most) {
                Ok(content) => {
                    left = left.saturating_sub(content.len() as u64);
                    held.contents.insert(*blob, content);
                }
                Err(Error::TooLarge { .. }) => {
                    held.beyond_limits.insert(*blob);
                }
                // It is not a file, or is damaged: the next caller that needs the mirror mends it.
                Err(_) => {}
            }
        }
        Ok(Some(held))
    }
}
