//! Any bytes as a patch, on a small tree and within small limits: no panic, no unbounded work, and
//! nothing outside the tree.

#![no_main]

use git_apply_engine::{EntryMode, Limits, MemoryStore, Options, PatchInput, Sequence, apply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, u16, Vec<u8>)| {
    let (effort, memory, bytes) = input;
    let mut store = MemoryStore::new();
    let files = [("a", "1\n2\n3\n4\n5\n"), ("dir/b", "x\ny"), ("empty", "")];
    let files = files.map(|(path, contents)| (path, EntryMode::Regular, contents));
    let root = store.add_files(files).expect("good paths");
    let patches = [PatchInput::new("p", bytes)];
    let small = Limits {
        path_bytes: 40,
        path_depth: 4,
        folder_entries: 4,
        effort: u64::from(effort) << 8,
        memory_bytes: u64::from(memory) << 4,
        ..Limits::default()
    };
    for (reverse, limits) in [(false, Limits::default()), (true, Limits::default()), (false, small), (true, small)] {
        let options = Options { reverse, limits, ..Options::default() };
        let series = apply(&store, root, &patches, Sequence::Stacked, &options).expect("the store is whole");
        let mut written = store.clone();
        let tree = series.write(&mut written).expect("memory takes all");
        assert_eq!(tree, series.tree());
        if !series.patches()[0].applies() {
            assert_eq!(tree, root, "a patch that does not apply leaves nothing");
        }
        for path in written.list_files(tree).expect("the store is whole").into_keys().map(|path| path.to_string()) {
            assert!(path.split('/').all(|part| !matches!(part, "" | "." | ".." | ".git")), "{path}");
            assert!(path.len() <= limits.path_bytes.max(5) && path.split('/').count() <= limits.path_depth, "{path}");
        }
    }
});
