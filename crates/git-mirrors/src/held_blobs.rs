//! Files out of a mirror as it is, by their ids: for who shows what was read before. No server is
//! asked, and nothing is fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use git2::ObjectType;

use super::mirrors::Mirrors;
use super::store::Store;
use super::{Error, FileLimits, Oid, Upstream};

/// What a mirror has of some blobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldBlobs {
    /// Those that it has, and that the limits let through.
    pub contents: BTreeMap<Oid, Vec<u8>>,
    /// Those that it has, and that are beyond the limits.
    pub beyond_limits: BTreeSet<Oid>,
}

impl Mirrors {
    /// Reads those of some blobs that the mirror of an upstream has; `None` where there is no
    /// mirror of it that was fetched by these credentials. What was fetched by others is not looked
    /// at.
    ///
    /// # Errors
    ///
    /// Where the scheme of the address may not be used; [`Error::Timeout`] where the mirror is being
    /// removed until the deadline; [`Error::Io`].
    pub fn held_blobs(
        &self,
        upstream: &Upstream,
        blobs: &[Oid],
        limits: &FileLimits,
        deadline: Instant,
    ) -> Result<Option<HeldBlobs>, Error> {
        self.config.transports.check(&upstream.url)?;
        let mirror = self.mirror(upstream)?;
        // What is in use leaves a file beside the mirror: none for one that is not there.
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
                // It is no file, or damaged: whoever needs the mirror mends it.
                Err(_) => {}
            }
        }
        Ok(Some(held))
    }
}
