//! How long it takes to find who broke a patch, in a history of 200 commits that all touch its
//! file.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::time::Instant;

use git_apply_engine::{EntryMode, MemoryStore, Oid, Options, PatchInput, PatchState, Sequence, apply};
use upstream_history::{Bounds, Commit, Commits, HistoryError, Judged, Range, find_breaker, find_merged};

const COMMITS: usize = 200;

struct Known(HashMap<Oid, Commit>);

impl Commits for Known {
    fn commit(&self, id: Oid) -> Result<Option<Commit>, HistoryError> {
        Ok(self.0.get(&id).cloned())
    }
}

fn main() {
    for lines in [500, 2000, 10_000] {
        let mut store = MemoryStore::new();
        let mut known = Known(HashMap::new());
        let mut file: Vec<String> = (0..lines)
            .map(|line| format!("    line {line} = {}\n", line % 37))
            .collect();
        let mut ids = Vec::new();
        for number in 0..=COMMITS {
            // The first change breaks the patch, and the others are elsewhere.
            let at = if number == 1 {
                100
            } else {
                200 + (number * 7919) % (lines - 250)
            };
            if number > 0 {
                file[at] = format!("    changed by {number}\n");
            }
            let text = file.concat();
            let tree = store
                .add_files([("src/manager.py", EntryMode::Regular, text.as_bytes())])
                .unwrap();
            let parent = ids
                .last()
                .map_or_else(String::new, |parent| format!("parent {parent}\n"));
            let who = format!("Ann <ann@example.org> {} +0000", 1_700_000_000 + number * 60);
            let raw = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\nChange {number}\n");
            let id = Oid::of_blob(raw.as_bytes());
            known.0.insert(id, Commit::parse(id, raw.as_bytes()).unwrap());
            ids.push(id);
            if number == COMMITS {
                let hunk = "@@ -98,7 +98,7 @@\n     line 97 = 23\n     line 98 = 24\n     line 99 = 25\n-    line 100 = 26\n+    ours\n     line 101 = 27\n     line 102 = 28\n     line 103 = 29\n";
                let patch = format!("--- a/src/manager.py\n+++ b/src/manager.py\n{hunk}");
                let (patches, options) = ([PatchInput::new("p", patch)], Options::default());
                let series = apply(&store, tree, &patches, Sequence::Stacked, &options).unwrap();
                assert_eq!(series.patches()[0].state, PatchState::Conflict);
                let judged = Judged::series(&patches, series.patches(), &options);
                let range = Range {
                    tip: id,
                    since: Some(ids[0]),
                };
                let start = Instant::now();
                let breaker = find_breaker(&known, &store, range, &judged, &Bounds::default()).unwrap();
                let breaking = start.elapsed();
                assert_eq!(breaker.unwrap().subject, "Change 1");
                let start = Instant::now();
                find_merged(&known, &store, id, &judged, &Bounds::default()).unwrap();
                println!(
                    "{lines} lines: broken by {breaking:?}, merged {:?}",
                    start.elapsed()
                );
            }
        }
    }
}
