//! The files for which patches were made.

use git_apply_engine::{EntryMode, MemoryStore, Oid, Options, PatchInput, Results, Sequence, apply};

use super::applying::Stop;
use super::layout::Section;
use super::merge::is_binary;
use super::options::RefreshHints;
use super::outcome::MergeBase;
use super::scratch::{File, Scratch};
use super::work::Work;

/// A file for which a diff was made, and the file after it.
pub(crate) struct Base {
    pub(crate) kind: MergeBase,
    pub(crate) contents: Vec<u8>,
    pub(crate) patched: Vec<u8>,
}

/// Where to look for the files for which patches were made.
#[derive(Clone, Copy)]
pub(crate) struct BaseSearch<'a> {
    pub(crate) hints: &'a RefreshHints<'a>,
    pub(crate) options: &'a Options,
    pub(crate) work: &'a Work,
    /// The tree before the patch where it last applied.
    pub(crate) tree: Option<Oid>,
}

/// The fewest digits that make an id in an `index` line useful.
const FEWEST_DIGITS: usize = 4;

impl BaseSearch<'_> {
    /// The files for which the diff of a file may have been made, the most certain first.
    pub(crate) fn find(&self, scratch: &Scratch<'_>, section: &Section<'_>) -> Result<Vec<Base>, Stop> {
        let Some(path) = &section.diff.old_path else {
            return Ok(Vec::new());
        };
        let last = match self.tree {
            Some(tree) => scratch.file(tree, path)?,
            None => None,
        };
        let named = self.named(section, last)?;
        let last = last.map(|file| file.id).filter(|last| Some(*last) != named);
        let found = [
            named.map(|id| (id, MergeBase::IndexLine)),
            last.map(|id| (id, MergeBase::LastApplied)),
        ];
        let mut bases = Vec::new();
        for (id, kind) in found.into_iter().flatten() {
            let Some(contents) = scratch.contents(id, self.work.limits().file_bytes)? else {
                continue;
            };
            if is_binary(&contents) {
                continue;
            }
            if let Some(patched) = self.patched(section, path, &contents)? {
                bases.push(Base {
                    kind,
                    contents: contents.to_vec(),
                    patched,
                });
            }
        }
        Ok(bases)
    }

    /// The blob that the `index` line names.
    fn named(&self, section: &Section<'_>, last: Option<File>) -> Result<Option<Oid>, Stop> {
        let Ok(prefix) = std::str::from_utf8(section.diff.old_id) else {
            return Ok(None);
        };
        let says_something = prefix.len() >= FEWEST_DIGITS
            && prefix.bytes().all(|byte| byte.is_ascii_hexdigit())
            && prefix.bytes().any(|byte| byte != b'0');
        if !says_something {
            return Ok(None);
        }
        let prefix = prefix.to_ascii_lowercase();
        if let Some(file) = last.filter(|file| file.id.to_string().starts_with(&prefix)) {
            return Ok(Some(file.id));
        }
        if let Ok(whole) = prefix.parse() {
            return Ok(Some(whole));
        }
        match self.hints.blobs {
            Some(blobs) => Ok(blobs.find_blob(&prefix)?),
            None => Ok(None),
        }
    }

    /// Contents with the diff of a file applied; `None` if it does not apply to them.
    fn patched(&self, section: &Section<'_>, path: &[u8], contents: &[u8]) -> Result<Option<Vec<u8>>, Stop> {
        let mode = match EntryMode::from_bits(section.diff.old_mode) {
            EntryMode::Executable => EntryMode::Executable,
            _ => EntryMode::Regular,
        };
        let mut store = MemoryStore::new();
        let Ok(tree) = store.add_files([(path, mode, contents)]) else {
            return Ok(None);
        };
        let mut options = self.options.clone();
        options.limits.effort = self.work.left_for_applying();
        options.results = Results::Needed;
        let patch = [PatchInput::new("", section.text())];
        let Ok(series) = apply(&store, tree, &patch, Sequence::Stacked, &options) else {
            return Ok(None);
        };
        self.work.note_applying(series.effort());
        let applies = series
            .patches()
            .iter()
            .all(git_apply_engine::PatchReport::applies);
        let Some(after) = section.diff.new_path.as_ref().filter(|_| applies) else {
            return Ok(None);
        };
        let tree = series.write(&mut store)?;
        Ok(store.read_file(tree, after)?.map(|patched| patched.to_vec()))
    }
}
