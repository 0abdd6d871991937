//! The texts of an object's patches, as far as they are at hand where the page is made.

use std::collections::{BTreeMap, BTreeSet};

use git_apply_engine::Oid;
use patchset_api::status::PatchStatus;
use patchset_api::{PatchSet, Recorded};

use crate::page::PatchView;

/// Why texts are not at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsentTexts {
    /// The controller keeps no copy of patches from this kind of source.
    NeverKept,
    /// The copy of the repository was dropped, or not fetched yet.
    NoMirror,
    /// Who may read the repository is not known at the moment.
    NoLogin,
    /// The copy could not be read in time.
    Unreadable,
}

impl AbsentTexts {
    /// The same in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NeverKept => "the controller keeps no copies of them: look at them where they are",
            Self::NoMirror => {
                "the controller's copy of their repository is missing at the moment; the next look at it brings it back"
            }
            Self::NoLogin => {
                "the controller has no login for their repository at the moment; the next look at it brings that back"
            }
            Self::Unreadable => {
                "the controller's copy of their repository could not be read in time: load the page again"
            }
        }
    }
}

/// How many bytes of patches a page shows.
pub(super) const SHOWN_BYTES: usize = 4 << 20;

/// The texts of an object's patches, as far as they are at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchTexts {
    /// The bytes, by Git blob id.
    pub by_blob: BTreeMap<Oid, Vec<u8>>,
    /// Those that are larger than a page shows.
    pub too_large: BTreeSet<Oid>,
    /// Why others are not at hand.
    pub absent: Option<AbsentTexts>,
}

impl PatchTexts {
    /// No texts, and why.
    #[must_use]
    pub fn absent(why: AbsentTexts) -> Self {
        Self {
            absent: Some(why),
            ..Self::default()
        }
    }

    /// The text of a patch: the inline one of its object, or the one with its blob id.
    pub(super) fn find<'a>(&'a self, object: &'a PatchSet, patch: &PatchStatus) -> Option<&'a [u8]> {
        let patches = object.spec.patches.as_ref();
        let inline = patches
            .and_then(|patches| patches.inline.as_deref())
            .unwrap_or_default();
        if let Some(inline) = inline.iter().find(|inline| inline.name == patch.name) {
            return Some(inline.content.as_bytes());
        }
        let blob = patch.blob.as_ref()?.value()?;
        self.by_blob.get(blob).map(Vec::as_slice)
    }

    /// Why patches have no diff, in sentences.
    pub(super) fn notes(&self, statuses: &[PatchStatus], patches: &[PatchView]) -> Vec<String> {
        let is_too_large = |status: &PatchStatus| {
            let blob = status.blob.as_ref().and_then(Recorded::value);
            blob.is_some_and(|blob| self.too_large.contains(blob))
        };
        let without = patches.iter().filter(|patch| patch.diff.is_none());
        let without = without.filter_map(|patch| statuses.iter().find(|status| status.name == patch.name));
        let (large, absent): (Vec<_>, Vec<_>) = without.partition(|status| is_too_large(status));
        let mut notes = Vec::new();
        let count_of = |count: usize| match count {
            1 => "The diff of 1 patch is not shown".to_owned(),
            count => format!("The diffs of {count} patches are not shown"),
        };
        if !large.is_empty() {
            let names: Vec<&str> = large.iter().map(|status| status.name.as_str()).collect();
            notes.push(format!(
                "{}, because they are too large: {}.",
                count_of(large.len()),
                names.join(", ")
            ));
        }
        match self.absent {
            _ if absent.is_empty() => {}
            Some(why) => notes.push(format!("{}: {}.", count_of(absent.len()), why.words())),
            None => notes.push(format!(
                "{}: a page shows at most {} MiB of patches.",
                count_of(absent.len()),
                SHOWN_BYTES >> 20
            )),
        }
        notes
    }
}
