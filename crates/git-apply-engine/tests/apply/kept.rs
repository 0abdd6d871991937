//! Large files changed by patches: they are kept as their changes, and built again when a later
//! patch or the writer of the tree needs them.

use git_apply_engine::{
    EntryMode, Limits, MemoryStore, Oid, Options, PatchInput, PatchState, Sequence, Series, apply,
};

/// How many lines each file has.
const LINES: usize = 30_000;

/// A file of more than a megabyte, which is never kept as read, with some of its lines replaced.
fn file(others: &[(usize, &str)]) -> String {
    let line = |number: usize| {
        let other = others.iter().find(|(line, _)| *line == number);
        other.map_or_else(|| stock(number), |(_, other)| (*other).to_owned())
    };
    (0..LINES).map(line).collect()
}

/// An unchanged line of a file.
fn stock(number: usize) -> String {
    format!("line {number} of a file that is large\n")
}

/// A patch that replaces the line of this number.
fn change(path: &str, number: usize, from: &str, to: &str) -> String {
    let added: String = to
        .split_inclusive('\n')
        .map(|line| ["+", line].concat())
        .collect();
    format!(
        "--- a/{path}\n+++ b/{path}\n@@ -{number},3 +{number},{} @@\n {}-{from}{added} {}",
        2 + to.lines().count(),
        stock(number - 1),
        stock(number + 1)
    )
}

struct Base {
    store: MemoryStore,
    tree: Oid,
}

impl Base {
    fn with_files(files: &[(String, String)]) -> Self {
        let mut store = MemoryStore::new();
        let files = files
            .iter()
            .map(|(path, text)| (path.as_str(), EntryMode::Regular, text.as_str()));
        let tree = store.add_files(files).unwrap();
        Self { store, tree }
    }

    fn apply(&self, patches: &[String], options: &Options) -> Series {
        let inputs = patches.iter().enumerate();
        let inputs: Vec<PatchInput> = inputs
            .map(|(at, patch)| PatchInput::new(format!("{at}.patch"), patch.as_str()))
            .collect();
        let series = apply(&self.store, self.tree, &inputs, Sequence::Stacked, options).unwrap();
        let errors: Vec<&String> = series
            .patches()
            .iter()
            .filter_map(|patch| patch.error.as_ref())
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
        series
    }

    /// A file as the series leaves it.
    fn after(&self, series: &Series, path: &str) -> String {
        let mut store = self.store.clone();
        let tree = series.write(&mut store).unwrap();
        assert_eq!(tree, series.tree());
        let contents = store.read_file(tree, path).unwrap().unwrap();
        String::from_utf8(contents.to_vec()).unwrap()
    }
}

#[test]
fn many_large_files_take_what_changes_in_them() {
    let paths: Vec<String> = (0..12).map(|number| format!("folder/{number}")).collect();
    let files: Vec<_> = paths.iter().map(|path| (path.clone(), file(&[]))).collect();
    let base = Base::with_files(&files);
    let patches: Vec<String> = paths
        .iter()
        .map(|path| change(path, 20_000, &stock(20_000), "changed\n"))
        .collect();
    // Together they have twelve megabytes, twice what may be held.
    let options = Options {
        limits: Limits {
            memory_bytes: 6 << 20,
            ..Limits::default()
        },
        ..Options::default()
    };
    let series = base.apply(&patches, &options);
    let states = series.patches().iter().map(|patch| patch.state);
    assert!(states.into_iter().all(|state| state == PatchState::Clean));
    let expected = file(&[(20_000, "changed\n")]);
    for path in &paths {
        assert!(base.after(&series, path) == expected, "{path}");
    }
}

#[test]
fn a_later_patch_finds_what_earlier_ones_left() {
    let base = Base::with_files(&[("a".to_owned(), file(&[]))]);
    let patches = [
        change("a", 10, &stock(10), "ten\n"),
        change("a", 10, "ten\n", "zehn\nand more\n"),
        change("a", 20_000, &stock(20_000), ""),
    ];
    let series = base.apply(&patches, &Options::default());
    let expected = file(&[(10, "zehn\nand more\n"), (20_000, "")]);
    assert!(base.after(&series, "a") == expected);
    // Each patch is reversed on what the one before left.
    let back = [
        change("a", 10, &stock(10), "ten\n"),
        change("a", 10, "ten\n", &stock(10)),
    ];
    let series = base.apply(&back, &Options::default());
    assert_eq!(series.tree(), base.tree);
    assert!(base.after(&series, "a") == file(&[]));
}

/// When each of two contents was made from the other, neither is looked up by way of the other.
#[test]
fn contents_that_were_made_of_each_other_are_found() {
    let (one, other) = (file(&[]), file(&[(10, "ten\n")]));
    let files = ["a", "b", "c", "d"].map(str::to_owned);
    let [a, b, c, d] = files;
    let base = Base::with_files(&[(a, one.clone()), (b, other.clone()), (c, one), (d, other)]);
    let (to, from) = (
        |path: &str| change(path, 10, &stock(10), "ten\n"),
        |path: &str| change(path, 10, "ten\n", &stock(10)),
    );
    let further = |path: &str| change(path, 20, &stock(20), "twenty\n");
    let patches = [
        to("a"),
        further("a"),
        from("b"),
        further("b"),
        further("c"),
        further("d"),
    ];
    let series = base.apply(&patches, &Options::default());
    for (path, ten) in [("a", true), ("b", false), ("c", false), ("d", true)] {
        let ten = ten.then_some((10, "ten\n"));
        let others: Vec<_> = ten.into_iter().chain([(20, "twenty\n")]).collect();
        assert!(base.after(&series, path) == file(&others), "{path}");
    }
}
