//! Which files patches touch, found without applying them.

use std::collections::BTreeSet;

use bstr::BString;

use super::budget::Budget;
use super::options::Options;
use super::parse::parse;
use super::series::PatchInput;

/// Returns the paths of all files that patches change, copy or otherwise name, with `options`
/// applied to the names in the patches.
///
/// These are the files that [`apply`](super::apply) reads, so that a store can get them in one
/// request beforehand. A patch that cannot be read names none.
///
/// ```
/// use git_apply_engine::{Options, PatchInput, touched_paths};
///
/// let patch = "--- a/setup.cfg\n+++ b/setup.cfg\n@@ -1 +1 @@\n-a\n+b\n";
/// let paths = touched_paths(&[PatchInput::new("one.patch", patch)], &Options::default());
/// assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["setup.cfg"]);
/// ```
#[must_use]
pub fn touched_paths(patches: &[PatchInput], options: &Options) -> BTreeSet<BString> {
    let budget = Budget::new(&options.limits);
    let mut paths = BTreeSet::new();
    for patch in patches.iter().take(options.limits.patches) {
        budget.begin_patch(0);
        for file in parse(&patch.bytes, &patch.options(options), &budget).unwrap_or_default() {
            let names = [file.old_name, file.new_name];
            paths.extend(names.into_iter().flatten().map(BString::from));
        }
    }
    paths
}
