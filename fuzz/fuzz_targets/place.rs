//! A file and an edit of it: the patch between them applies and can be taken back, even with more
//! text around the file. With a smaller budget it applies in the same way, or is refused.

#![no_main]

use git_apply_engine::{EntryMode, Limits, MemoryStore, Oid, Options, PatchInput, Sequence, apply};
use libfuzzer_sys::fuzz_target;

/// A store with one file, and its tree.
fn store(contents: &str) -> (MemoryStore, Oid) {
    let mut store = MemoryStore::new();
    let root = store.add_files([("f", EntryMode::Regular, contents)]).expect("a good path");
    (store, root)
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>, u8)| {
    let (before, after, shift) = input;
    let line = |byte: &u8| format!("{}\n", byte % 7);
    let before: Vec<String> = before.iter().take(64).map(line).collect();
    let after: Vec<String> = after.iter().take(64).map(line).collect();
    if before.is_empty() || before == after {
        return;
    }
    let common = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let rest = before.len().min(after.len()) - common;
    let tail = before.iter().rev().zip(after.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let mut hunk = format!("--- a/f\n+++ b/f\n@@ -1,{} +{},{} @@\n", before.len(), usize::from(!after.is_empty()), after.len());
    before[..common].iter().for_each(|line| hunk.push_str(&format!(" {line}")));
    before[common..before.len() - tail].iter().for_each(|line| hunk.push_str(&format!("-{line}")));
    after[common..after.len() - tail].iter().for_each(|line| hunk.push_str(&format!("+{line}")));
    before[before.len() - tail..].iter().for_each(|line| hunk.push_str(&format!(" {line}")));

    let text = before.concat();
    let (store, root) = store(&text);
    let patches = [PatchInput::new("p", hunk.as_str())];
    let series = apply(&store, root, &patches, Sequence::Stacked, &Options::default()).expect("whole");
    assert!(series.patches()[0].applies(), "{hunk}\n{:?}", series.patches()[0]);
    let mut written = store.clone();
    let tree = series.write(&mut written).expect("memory takes all");
    let back = Options { reverse: true, ..Options::default() };
    let taken = apply(&written, tree, &patches, Sequence::Stacked, &back).expect("whole");
    assert_eq!(taken.tree(), root, "{hunk}");

    let lead = "lead\n".repeat(usize::from(shift % 5) * usize::from(shift));
    let longer = format!("{lead}{text}{lead}");
    let (moved, moved_root) = self::store(&longer);
    let whole = apply(&moved, moved_root, &patches, Sequence::Stacked, &Options::default()).expect("whole");
    let limits = Limits {
        effort: u64::from(shift) << 12,
        memory_bytes: u64::from(shift) << 8,
        ..Limits::default()
    };
    let options = Options { limits, ..Options::default() };
    let bounded = apply(&moved, moved_root, &patches, Sequence::Stacked, &options).expect("whole");
    assert!(bounded.tree() == whole.tree() || bounded.tree() == moved_root);
});
