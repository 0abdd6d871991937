//! Any bytes as a patch, on a small tree: no panic, no unbounded work, and nothing outside the tree.

#![no_main]

use libfuzzer_sys::fuzz_target;
use patchset::patch::{Options, PatchInput, Sequence, apply};

#[path = "../store.rs"]
mod store;

fuzz_target!(|bytes: &[u8]| {
    let store = store::Store::new(&[("a", b"1\n2\n3\n4\n5\n"), ("dir/b", b"x\ny"), ("empty", b"")]);
    let patches = [PatchInput { name: "p".into(), bytes: bytes.to_vec() }];
    for reverse in [false, true] {
        let options = Options { reverse, ..Options::default() };
        let series = apply(&store, store.root(), &patches, Sequence::Stacked, &options).expect("the store is whole");
        let mut written = store.clone();
        let tree = series.write(&mut written).expect("memory takes all");
        assert_eq!(tree, series.tree());
        for path in written.paths(tree) {
            assert!(path.split('/').all(|part| !matches!(part, "" | "." | ".." | ".git")), "{path}");
        }
    }
});
