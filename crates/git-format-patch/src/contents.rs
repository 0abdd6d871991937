//! The contents of the files that a commit changes.

use std::collections::HashMap;

use bstr::ByteSlice;
use git_apply_engine::{EntryMode, ObjectError, Oid};

use super::changes::{Change, Side};
use super::error::FormatError;
use super::store::CommitStore;
use super::work::Work;

/// How many bytes Git looks at for a NUL.
const LOOKED_AT: usize = 8000;

/// Whether Git treats contents as binary.
pub(crate) fn is_binary(contents: &[u8]) -> bool {
    contents.iter().take(LOOKED_AT).any(|byte| *byte == 0)
}

/// The contents of the files that a commit changes.
pub(crate) struct Contents<'a> {
    pub(crate) commit: Oid,
    work: &'a Work,
    held: HashMap<Oid, Vec<u8>>,
}

impl<'a> Contents<'a> {
    pub(crate) fn read_all(
        store: &dyn CommitStore,
        work: &'a Work,
        commit: Oid,
        changes: &[Change],
    ) -> Result<Self, FormatError> {
        let mut held = HashMap::new();
        let mut bytes = 0_u64;
        for side in changes
            .iter()
            .flat_map(|change| [change.before(), change.after()])
            .flatten()
        {
            if held.contains_key(&side.id) {
                continue;
            }
            let contents = if let Some(text) = submodule_text(side) {
                text
            } else {
                bytes = bytes.saturating_add(store.blob_size(side.id)?);
                if bytes > work.limits.file_bytes {
                    return Err(FormatError::TooLarge {
                        commit,
                        what: format!(
                            "with {} the files that it changes have more than {} bytes",
                            side.path.to_str_lossy(),
                            work.limits.file_bytes
                        ),
                    });
                }
                store.blob(side.id)?.to_vec()
            };
            held.insert(side.id, contents);
        }
        Ok(Self { commit, work, held })
    }

    pub(crate) fn read(&self, side: &Side) -> Result<&[u8], FormatError> {
        let contents = self.held.get(&side.id).map(Vec::as_slice);
        contents.ok_or(FormatError::Object(ObjectError::NotFound(side.id)))
    }

    pub(crate) fn spend(&self, units: usize) -> Result<(), FormatError> {
        self.work.spend(self.commit, units)
    }
}

/// What stands in for the contents of a submodule.
fn submodule_text(side: &Side) -> Option<Vec<u8>> {
    (side.mode == EntryMode::Gitlink).then(|| format!("Subproject commit {}\n", side.id).into_bytes())
}
