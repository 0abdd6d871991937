//! Reports on patches, and the results of patches, on trees in memory.

use std::collections::BTreeMap;

use git_apply_engine::{
    EntryMode, FileChange, HunkOutcome, Limits, MemoryStore, ObjectError, Oid, Options, PatchInput,
    PatchReport, PatchState, Rejection, Results, Sequence, Series, apply,
};

const FILES: [(&str, EntryMode, &str); 6] = [
    ("a.txt", EntryMode::Regular, "1\n2\n3\n4\n5\n6\n7\n8\n9\n"),
    ("dir/b.txt", EntryMode::Regular, "x\ny\nz\n"),
    ("dir/c.txt", EntryMode::Regular, "c\n"),
    ("link", EntryMode::Symlink, "a.txt"),
    ("same.txt", EntryMode::Regular, "c\n"),
    ("run.sh", EntryMode::Executable, "#!/bin/sh\n"),
];

/// Changes line 2 of `a.txt`.
const TWO: &str =
    "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n 1\n-2\n+zwei\n 3\n";

fn base() -> (MemoryStore, Oid) {
    let mut store = MemoryStore::new();
    let tree = store.add_files(FILES).unwrap();
    (store, tree)
}

fn applied(patches: &[&str], sequence: Sequence, options: &Options) -> Series {
    let (store, tree) = base();
    let inputs = patches.iter().enumerate();
    let inputs: Vec<PatchInput> = inputs
        .map(|(at, patch)| PatchInput::new(format!("{at}.patch"), *patch))
        .collect();
    apply(&store, tree, &inputs, sequence, options).unwrap()
}

fn report(patch: &str) -> PatchReport {
    report_within(patch, Limits::default())
}

fn report_within(patch: &str, limits: Limits) -> PatchReport {
    let options = Options {
        limits,
        ..Options::default()
    };
    applied(&[patch], Sequence::Stacked, &options).patches()[0].clone()
}

fn error(patch: &str) -> String {
    report(patch).error.unwrap()
}

/// The files after a series, with their contents.
fn files_after(series: &Series) -> BTreeMap<String, String> {
    let (mut store, _) = base();
    let tree = series.write(&mut store).unwrap();
    assert_eq!(tree, series.tree());
    let files = store.list_files(tree).unwrap();
    let read = |path: &[u8]| store.read_file(tree, path).unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    files.keys().map(|path| (text(path), text(&read(path)))).collect()
}

#[test]
fn each_kind_of_change_is_told_with_its_paths() {
    for (patch, change, path, old_path) in [
        (TWO, FileChange::Modify, "a.txt", None),
        (
            "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+n\n",
            FileChange::Create,
            "n",
            None,
        ),
        (
            "diff --git a/dir/c.txt b/dir/c.txt\ndeleted file mode 100644\n--- a/dir/c.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-c\n",
            FileChange::Delete,
            "dir/c.txt",
            None,
        ),
        (
            "diff --git a/dir/c.txt b/d.txt\nsimilarity index 100%\nrename from dir/c.txt\nrename to d.txt\n",
            FileChange::Rename,
            "d.txt",
            Some("dir/c.txt"),
        ),
        (
            "diff --git a/dir/c.txt b/d.txt\nsimilarity index 100%\ncopy from dir/c.txt\ncopy to d.txt\n",
            FileChange::Copy,
            "d.txt",
            Some("dir/c.txt"),
        ),
        (
            "diff --git a/run.sh b/run.sh\nold mode 100755\nnew mode 100644\n",
            FileChange::Modify,
            "run.sh",
            None,
        ),
    ] {
        let report = report(patch);
        assert_eq!(
            (report.state, &report.error),
            (PatchState::Clean, &None),
            "{patch}"
        );
        let [file] = report.files.as_slice() else {
            panic!("{report:?}")
        };
        let told = (file.change, file.path.as_str(), file.old_path.as_deref());
        assert_eq!(told, (change, path, old_path), "{patch}");
        assert_eq!(file.error, None);
    }
}

/// A patch that makes a file with one line.
fn new_file(path: &str, mode: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+n\n"
    )
}

/// A patch that changes line 1 of `a.txt` and claims another mode for it.
fn of_mode(mode: &str) -> String {
    format!(
        "diff --git a/a.txt b/a.txt\nold mode {mode}\nnew mode {mode}\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-1\n+x\n"
    )
}

#[test]
fn a_patch_that_does_not_apply_is_told_why() {
    const DELETES: &str = "diff --git a/a.txt b/a.txt\ndeleted file mode 100644\n";
    let link =
        "diff --git a/link b/link\nindex 1..2 100644\n--- a/link\n+++ b/link\n@@ -1 +1 @@\n-a.txt\n+b\n";
    let half = format!("{DELETES}--- a/a.txt\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-1\n-2\n");
    let renamed = TWO.replace("a.txt", "same.txt");
    let renamed = format!("diff --git a/same.txt b/m\nrename from same.txt\nrename to m\n{renamed}");
    let to_link = "diff --git a/a.txt b/a.txt\nold mode 100644\nnew mode 120000\n";
    for (patch, expected) in [
        (new_file("a.txt", "100644"), "a.txt: already exists"),
        (TWO.replace("a.txt", "absent"), "absent: does not exist"),
        (TWO.replace("a.txt", "dir"), "dir: does not exist"),
        (
            "--- a/absent\n+++ b/absent\n@@ -1 +1 @@\n-x\n+y\n".to_owned(),
            "absent: does not exist",
        ),
        (
            "--- a/absent\n+++ b/absent\n@@ -0,0 +1 @@\n+x\n@@ -0,0 +2 @@\n+y\n".to_owned(),
            "absent: does not exist",
        ),
        (link.to_owned(), "link: is a symbolic link, not a file"),
        (
            to_link.to_owned(),
            "a.txt: the new mode 120000 is of a different kind from the old mode 100644",
        ),
        (of_mode("160000"), "a.txt: is a file, not a submodule"),
        (of_mode("040000"), "a.txt: is a file, not a folder"),
        (
            half,
            "a.txt: 1 of 1 hunks do not fit, the first is hunk 1 (line 5 of the patch)",
        ),
        (
            DELETES.to_owned(),
            "a.txt: the patch deletes the file, but would leave contents in it",
        ),
        (
            renamed,
            "same.txt: an earlier part of the patch renamed or deleted it",
        ),
        (
            new_file("a.txt/n", "100644"),
            "a.txt/n: a file is where a folder should be, or a folder where the file should be",
        ),
        (
            new_file("dir", "100644"),
            "dir: a file is where a folder should be, or a folder where the file should be",
        ),
        (new_file("m", "160000"), "m: no commit is given for the submodule"),
    ] {
        let report = report(&patch);
        let error = report.error.unwrap();
        assert_eq!(report.state, PatchState::Conflict, "{patch}\n{error}");
        assert!(error.starts_with(expected), "{patch}\n{error}");
        assert_eq!(report.tree, None);
    }
    for (path, expected) in [
        ("link/n", "link/n: the path leads through a symbolic link"),
        (".git/n", "the path \".git/n\" is not allowed"),
    ] {
        let report = report(&new_file(path, "100644"));
        assert_eq!(report.state, PatchState::Malformed);
        assert!(report.error.unwrap().starts_with(expected), "{path}");
    }
}

#[test]
fn hunks_that_do_not_fit_are_counted_and_the_first_is_told() {
    let patch = "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n\
        @@ -1,3 +1,3 @@\n 1\n-2\n+zwei\n 3\n\
        @@ -4,3 +4,3 @@\n 4\n-no\n+x\n 6\n\
        @@ -7,3 +7,3 @@\n 7\n-neither\n+x\n 9\n";
    let both = format!(
        "{TWO}diff --git a/dir/b.txt b/dir/b.txt\n--- a/dir/b.txt\n+++ b/dir/b.txt\n@@ -1,3 +1,3 @@\n x\n-no\n+Y\n z\n"
    );
    let report = report(patch);
    let start = "a.txt: 2 of 3 hunks do not fit, the first is hunk 2 (line 9 of the patch)";
    assert_eq!(report.error.as_deref(), Some(start));
    let hunks = &report.files[0].hunks;
    let told: Vec<_> = hunks
        .iter()
        .map(|hunk| (hunk.number, hunk.patch_line, hunk.old_start))
        .collect();
    assert_eq!(told, [(1, 4, 1), (2, 9, 4), (3, 14, 7)]);
    assert_eq!(hunks[0].outcome, HunkOutcome::Placed { line: 1, offset: 0 });
    let (file, hunk, rejection) = report.first_rejected().unwrap();
    assert_eq!((file.path.as_str(), hunk.number, rejection.line), ("a.txt", 2, 4));
    assert_eq!(rejection.expected, ["4", "no", "6"]);
    assert_eq!(rejection.found, ["4", "5", "6"]);
    let nearest = rejection.nearest.as_ref().unwrap();
    assert_eq!((nearest.line, nearest.matching, nearest.differs_at), (4, 2, 2));
    // All files are reported, and the patch's error is the first of them.
    let report = self::report(&both);
    let errors: Vec<bool> = report.files.iter().map(|file| file.error.is_some()).collect();
    assert_eq!(errors, [false, true]);
    assert_eq!(report.error, report.files[1].error);
    let (first, second) = both.split_at(TWO.len());
    let report = self::report(&format!("{second}{first}"));
    assert_eq!((report.files.len(), &report.files[1].error), (2, &None));
}

fn rejection(patch: &str) -> Rejection {
    report(patch).first_rejected().unwrap().2.clone()
}

#[test]
fn lines_of_a_conflict_are_shown_up_to_a_number_and_a_length() {
    let expecting = |lines: &[String]| {
        let count = lines.len() + 1;
        let text = format!(" {}\n", lines.join("\n "));
        let hunk = format!("@@ -2,{count} +2,{count} @@\n-gone\n+x\n{text}");
        rejection(&format!(
            "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n{hunk}"
        ))
    };
    for (count, shown) in [(10, 11), (59, 60), (60, 60), (100, 60)] {
        assert_eq!(expecting(&vec!["l".to_owned(); count]).expected.len(), shown);
    }
    for (length, cut) in [(4095, None), (4096, None), (4097, Some(4096)), (9000, Some(4096))] {
        let rejection = expecting(&["w".repeat(length)]);
        let shown = cut.map_or("w".repeat(length), |cut| format!("{}…", "w".repeat(cut)));
        assert!(rejection.expected[1] == shown, "{length}");
        assert_eq!(rejection.nearest, None);
    }
    // Nothing follows the end of the file; what is expected there is reported all the same.
    let behind = expecting(&["8".to_owned(), "9".to_owned()]);
    assert_eq!((behind.line, behind.nearest.unwrap().line), (2, 7));
}

#[test]
fn what_reports_show_is_bounded_and_counted_over_the_series() {
    let conflict = TWO.replace("-2", "-no");
    let shown = |report_bytes: u64| {
        let limits = Limits {
            report_bytes,
            ..Limits::default()
        };
        let options = Options {
            limits,
            ..Options::default()
        };
        let series = applied(&[&conflict, &conflict], Sequence::Independent, &options);
        let rejections = series.patches().iter().map(|report| {
            let (.., rejection) = report.first_rejected().unwrap();
            assert_eq!(rejection.lines_left_out, rejection.expected.is_empty());
            (!rejection.lines_left_out, rejection.nearest.is_some())
        });
        rejections.collect::<Vec<_>>()
    };
    let string = u64::try_from(size_of::<String>()).unwrap();
    // Three lines on either side, and three of the nearest place: `1no3`, `123`, `123`.
    let (sides, nearest) = (6 * string + 7, 3 * string + 3);
    assert_eq!(shown(0), [(false, false); 2]);
    assert_eq!(shown(sides - 1), [(false, false); 2]);
    assert_eq!(shown(sides), [(true, false), (false, false)]);
    assert_eq!(shown(sides + nearest - 1), [(true, false), (false, false)]);
    assert_eq!(shown(sides + nearest), [(true, true), (false, false)]);
    assert_eq!(shown(2 * (sides + nearest)), [(true, true); 2]);
}

#[test]
fn texts_without_a_diff_are_told_what_they_look_like() {
    let told = |bytes: &[u8]| {
        let (store, tree) = base();
        let inputs = [PatchInput::new("x", bytes)];
        let series = apply(&store, tree, &inputs, Sequence::Stacked, &Options::default()).unwrap();
        assert_eq!(series.patches()[0].state, PatchState::Malformed);
        series.patches()[0].error.clone().unwrap()
    };
    for bytes in [&b"\xff\xfed\0"[..], b"\xfe\xff\0d"] {
        assert!(told(bytes).contains("UTF-16"), "{bytes:?}");
    }
    let base64 = "ZGlmZiAtLWdpdA+/".repeat(5);
    assert!(told(base64.as_bytes()).contains("base64"));
    assert!(told(&base64.as_bytes()[..65]).contains("base64"));
    for other in [
        &base64.as_bytes()[..64],
        b"",
        b"text",
        format!("{base64}\n!").as_bytes(),
    ] {
        assert!(told(other).contains("is it empty, or cut off"), "{other:?}");
    }
}

#[test]
fn a_damaged_patch_is_told_with_its_line() {
    let binary = "diff --git a/n b/n\nnew file mode 100644\nindex 0000000000000000000000000000000000000000..f76dd238ade08917e6712764a16a22005a50573d\n";
    let second = "diff --git a/dir/b.txt b/dir/b.txt\n--- a/dir/b.txt\n+++ b/dir/b.txt\n";
    for (patch, expected) in [
        (
            format!("{TWO}{second}@@ -1,3 +1,3 @@\n x\n-y\n"),
            "line 12: this hunk's lines are not what its header says",
        ),
        (
            format!("{TWO}{second}"),
            "line 12: this file header has no change after it",
        ),
        (
            format!("{TWO}text\n@@ -1 +1 @@\n-top\n+x\n"),
            "line 10: this hunk has no file header before it",
        ),
        (
            format!(
                "{TWO}diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
            ),
            "line 13: x is said to be new, but the hunk has old lines",
        ),
        (
            format!(
                "{TWO}diff --git a/x b/x\ndeleted file mode 100644\n--- a/x\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n"
            ),
            "line 13: x is said to be deleted, but the hunk has new lines",
        ),
        (
            format!("{TWO}diff --git a/x b/x\nrename from x\nnew file mode 100644\n"),
            "line 11: the header says more than one of new, deleted, renamed and copied",
        ),
        (
            format!(
                "{TWO}diff --git a/x b/y\nrename from x\nrename to y\n--- a/z\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n"
            ),
            "line 12: the old names in the header differ",
        ),
        (
            format!("{TWO}diff --git a/x b/x\nold mode x\n"),
            "line 10: this is not a file mode",
        ),
        (
            format!("{binary}GIT binary patch\nliteral 99999999999\nIcmZPo000310RR91\n\n"),
            "line 5: a binary hunk of 99999999999 bytes is larger than",
        ),
        (
            format!(
                "{binary}GIT binary patch\nliteral 1\nIcmZPo000310RR91\n\nliteral 99999999999\nIcmZPo000310RR91\n\n"
            ),
            "line 5: a binary hunk of 99999999999 bytes is larger than",
        ),
    ] {
        let report = report(&patch);
        let error = report.error.unwrap();
        assert!(error.starts_with(expected), "{patch}\n{error}");
        assert_eq!(report.state, PatchState::Malformed);
        assert_eq!(report.files, []);
    }
}

#[test]
fn binary_changes_that_do_not_fit_are_told() {
    let (old, new) = (Oid::of_blob(b"c\n"), Oid::of_blob(b"\x00"));
    let header =
        |old: &str, new: &str| format!("diff --git a/same.txt b/same.txt\nindex {old}..{new} 100644\n");
    let literal = "GIT binary patch\nliteral 1\nIcmZPo000310RR91\n\n";
    let (old, new) = (old.to_string(), new.to_string());
    let other = Oid::of_blob(b"other").to_string();
    for (patch, expected) in [
        (
            header("1", "2") + literal,
            "same.txt: a binary change needs an index line with full object ids".to_owned(),
        ),
        (
            header(&other, &new) + literal,
            format!("same.txt: the binary change is for {other}, and the file is {old}"),
        ),
        (
            header(&old, &other) + literal,
            format!("same.txt: the binary change gives {new}, not {other} as it says"),
        ),
        (
            header(&old, &new) + "Binary files a/same.txt and b/same.txt differ\n",
            "same.txt: the patch only says that binary files differ; make it with git diff --binary"
                .to_owned(),
        ),
    ] {
        let told = error(&patch);
        assert_eq!(told, expected, "{patch}");
    }
    let series = applied(
        &[&(header(&old, &new) + literal)],
        Sequence::Stacked,
        &Options::default(),
    );
    assert_eq!(files_after(&series)["same.txt"], "\0");
    // Its result is known by id from then on, and a file may be emptied without a hunk.
    let reverse = Options {
        reverse: true,
        ..Options::default()
    };
    let taken_back = applied(&[&(header(&new, &old) + literal)], Sequence::Stacked, &reverse);
    let told = taken_back.patches()[0].error.as_deref();
    assert_eq!(
        told,
        Some("same.txt: the binary change has no hunk that reverses it")
    );
    let empties = header(&old, &"0".repeat(40)) + literal;
    let emptied = applied(&[&empties], Sequence::Stacked, &Options::default());
    assert_eq!(files_after(&emptied)["same.txt"], "");
}

/// What is within a limit applies; what exceeds it is refused with this error.
fn check_limit(patch: &str, limit: impl Fn(&mut Limits, u64), most: u64, expected: &str) {
    let within = |most: u64| {
        let mut limits = Limits::default();
        limit(&mut limits, most);
        report_within(patch, limits)
    };
    let report = within(most);
    assert_ne!(report.state, PatchState::Malformed, "{:?}", report.error);
    for least in [most - 1, most / 2] {
        let report = within(least);
        assert_eq!(report.state, PatchState::Malformed, "{expected}");
        let error = report.error.unwrap();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_is_within_the_limits_applies_and_what_is_beyond_is_refused() {
    let count = |most: u64| usize::try_from(most).unwrap();
    let whole = u64::try_from(TWO.len()).unwrap();
    let bytes = "bytes, more than the";
    check_limit(TWO, |limits, most| limits.patch_bytes = most, whole, bytes);
    let shorter = TWO.replace("-2\n+zwei\n", "-2\n").replace("+1,3", "+1,2");
    let file = |limits: &mut Limits, most| limits.file_bytes = most;
    check_limit(&shorter, file, 18, "a.txt: has 18 bytes, more than the");
    let longer = TWO.replace("zwei", &"z".repeat(83));
    check_limit(&longer, file, 100, "a.txt: has 100 bytes, more than the");
    let path = |limits: &mut Limits, most| limits.path_bytes = count(most);
    check_limit(
        TWO,
        path,
        5,
        "line 1: the path \"a.txt\"… has 5 bytes, more than the",
    );
    let below = TWO.replace("a.txt", "d/a.txt");
    let depth = |limits: &mut Limits, most| limits.path_depth = count(most);
    check_limit(
        &below,
        depth,
        2,
        "line 1: the path \"d/a.txt\"… has 2 names, more than the",
    );
    let folder = |limits: &mut Limits, most| limits.folder_entries = count(most);
    check_limit(TWO, folder, 5, "entries of a folder that are allowed");
    let new: String = ["x", "y"].map(|path| new_file(path, "100644")).concat();
    let files = |limits: &mut Limits, most| limits.files = count(most);
    check_limit(&new, files, 2, "the patch touches more than");

    let memory = Limits {
        memory_bytes: 100,
        ..Limits::default()
    };
    let error = report_within(TWO, memory).error.unwrap();
    assert!(error.contains("needs more memory than the 100 bytes that a series may use"));
    let options = Options {
        limits: Limits {
            patches: 1,
            ..Limits::default()
        },
        ..Options::default()
    };
    assert_eq!(applied(&[TWO], Sequence::Stacked, &options).patches().len(), 1);
    let (store, tree) = base();
    for count in [2, 3] {
        let patches = vec![PatchInput::new("x", TWO); count];
        let error = apply(&store, tree, &patches, Sequence::Stacked, &options).unwrap_err();
        let expected = format!("there are {count} patches, more than the 1 that are allowed");
        assert_eq!(error.to_string(), expected);
    }
}

/// Patches that each take most of the allowed memory, and release it.
#[test]
fn memory_is_that_of_what_is_held_and_not_of_all_that_was() {
    let limits = Limits {
        memory_bytes: 60_000,
        ..Limits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let line = |of: usize| format!("{of:03}").repeat(1000);
    let change = |of: usize| {
        let (old, new) = match of {
            0 => ("2".to_owned(), line(0)),
            of => (line(of - 1), line(of)),
        };
        TWO.replace("-2\n+zwei", &format!("-{old}\n+{new}"))
    };
    let patches: Vec<String> = (0..100).map(change).collect();
    let patches: Vec<&str> = patches.iter().map(String::as_str).collect();
    let series = applied(&patches, Sequence::Stacked, &options);
    let told = series.patches().iter().filter(|patch| !patch.applies());
    assert_eq!(told.map(|patch| patch.error.clone()).collect::<Vec<_>>(), []);
    // What is kept counts: each of these patches leaves a file.
    let patches: Vec<String> = (0..100)
        .map(|of| format!("diff --git a/{of} b/{of}\nnew file mode 100644\n--- /dev/null\n+++ b/{of}\n@@ -0,0 +1 @@\n+{}\n", line(of)))
        .collect();
    let patches: Vec<&str> = patches.iter().map(String::as_str).collect();
    let series = applied(&patches, Sequence::Stacked, &options);
    let states = series.patches().iter().map(|patch| patch.state);
    let fit = states.take_while(|state| *state == PatchState::Clean).count();
    assert!((5..19).contains(&fit), "{fit}");
    // So do the results of independent patches if they are kept for writing, but not otherwise.
    let fit = |results: Results| {
        let options = Options {
            results,
            ..options.clone()
        };
        let series = applied(&patches, Sequence::Independent, &options);
        let states = series.patches().iter().map(|patch| patch.state);
        states.filter(|state| *state == PatchState::Clean).count()
    };
    assert_eq!(fit(Results::Needed), 100);
    assert!((5..19).contains(&fit(Results::All)), "{}", fit(Results::All));
}

#[test]
fn contents_at_two_places_stay_until_both_are_gone() {
    let new = |path: &str| {
        format!(
            "diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+made\n"
        )
    };
    let gone = |path: &str| {
        format!(
            "diff --git a/{path} b/{path}\ndeleted file mode 100644\n--- a/{path}\n+++ /dev/null\n@@ -1 +0,0 @@\n-made\n"
        )
    };
    let (one, other) = (new("one"), new("two/three"));
    let series = applied(
        &[&one, &other, &gone("one")],
        Sequence::Stacked,
        &Options::default(),
    );
    let files = files_after(&series);
    assert_eq!(
        (files.get("two/three").map(String::as_str), files.get("one")),
        (Some("made\n"), None)
    );
    let series = applied(
        &[&one, &other, &gone("one"), &gone("two/three")],
        Sequence::Stacked,
        &Options::default(),
    );
    assert_eq!(series.tree(), base().1, "folders that become empty go");
}

/// A patch of many diffs of one file, each of which replaces the one before.
#[test]
fn what_a_later_diff_of_the_patch_replaces_takes_no_memory() {
    let line = |of: usize| format!("{of:03}").repeat(3000);
    let diffs: String = (1..100)
        .map(|of| TWO.replace("-2\n+zwei", &format!("-{}\n+{}", line(of - 1), line(of))))
        .collect();
    let patch = TWO.replace("zwei", &line(0)) + &diffs;
    let limits = Limits {
        memory_bytes: 400_000,
        ..Limits::default()
    };
    let report = report_within(&patch, limits);
    assert_eq!((report.state, report.error), (PatchState::Clean, None));
}

#[test]
fn a_file_keeps_its_mode_unless_the_patch_changes_it() {
    let modes = |patch: &str| -> BTreeMap<String, EntryMode> {
        let (mut store, _) = base();
        let series = applied(&[patch], Sequence::Stacked, &Options::default());
        assert_eq!(series.patches()[0].error, None, "{patch}");
        let tree = series.write(&mut store).unwrap();
        let files = store.list_files(tree).unwrap();
        files
            .iter()
            .map(|(path, (mode, _))| (path.to_string(), *mode))
            .collect()
    };
    let (regular, executable) = (Some(&EntryMode::Regular), Some(&EntryMode::Executable));
    for kind in ["rename", "copy"] {
        let moved = modes(&format!(
            "diff --git a/run.sh b/x\n{kind} from run.sh\n{kind} to x\n"
        ));
        assert_eq!(moved.get("x"), executable, "{kind}");
        assert_eq!(moved.contains_key("run.sh"), kind == "copy");
    }
    // The mode in an index line is the old one, which the file need not have.
    let index = TWO.replace("--- a", "index 1111111..2222222 100755\n--- a");
    assert_eq!(modes(&index).get("a.txt"), regular);
    assert_eq!(
        modes("--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+n\n").get("n"),
        regular
    );
    assert_eq!(modes(&new_file("n", "100755")).get("n"), executable);
    // The shortest names that a header can have.
    assert_eq!(modes("--- n\n+++ n\n@@ -0,0 +1 @@\n+n\n").get("n"), regular);
}

#[test]
fn what_was_tried_and_refused_leaves_nothing() {
    // The second file's hunk does not fit; the third is a submodule without a commit.
    let second = "diff --git a/dir/b.txt b/dir/b.txt\n--- a/dir/b.txt\n+++ b/dir/b.txt\n@@ -1,3 +1,3 @@\n x\n-no\n+Y\n z\n";
    let third = "diff --git a/m b/m\nnew file mode 160000\n--- /dev/null\n+++ b/m\n@@ -0,0 +1 @@\n+nothing\n";
    for bad in [format!("{TWO}{second}"), format!("{TWO}{third}")] {
        let series = applied(&[&bad], Sequence::Stacked, &Options::default());
        assert_eq!(series.tree(), base().1);
        let series = applied(&[&bad, TWO], Sequence::Stacked, &Options::default());
        assert_eq!(series.patches()[1].state, PatchState::Clean);
        assert_eq!(files_after(&series)["a.txt"], "1\nzwei\n3\n4\n5\n6\n7\n8\n9\n");
    }
}

#[test]
fn states_follow_from_what_stands_there_and_what_failed_before() {
    use PatchState::{Blocked, Clean, Conflict, Merged, Offset};

    let again = TWO;
    let on_top = TWO.replace("-2", "-zwei").replace("+zwei", "+drei");
    let bad = TWO.replace("-2", "-no");
    let states = |patches: &[&str], sequence| {
        let series = applied(patches, sequence, &Options::default());
        series
            .patches()
            .iter()
            .map(|patch| patch.state)
            .collect::<Vec<_>>()
    };
    let offset = TWO.replace(
        "@@ -1,3 +1,3 @@\n 1\n-2\n+zwei\n 3",
        "@@ -2,3 +2,3 @@\n 4\n-5\n+x\n 6",
    );
    assert_eq!(
        states(&[TWO, again, &on_top], Sequence::Stacked),
        [Clean, Merged, Clean]
    );
    assert_eq!(
        states(&[TWO, again, &on_top], Sequence::Independent),
        [Clean, Clean, Conflict]
    );
    assert_eq!(states(&[&bad, &on_top], Sequence::Stacked), [Conflict, Blocked]);
    assert_eq!(
        states(&[&bad, &on_top], Sequence::Independent),
        [Conflict, Conflict]
    );
    assert_eq!(states(&[&offset], Sequence::Stacked), [Offset]);
    let elsewhere = bad.replace("a.txt", "dir/b.txt");
    assert_eq!(
        states(&[&bad, &elsewhere], Sequence::Stacked),
        [Conflict, Conflict]
    );
    let series = applied(&[&bad, &on_top], Sequence::Stacked, &Options::default());
    let error = series.patches()[1].error.as_deref().unwrap();
    assert!(
        error.ends_with("(0.patch, which does not apply, touches the same file)"),
        "{error}"
    );
    let reverse = Options {
        reverse: true,
        ..Options::default()
    };
    let series = applied(&[TWO], Sequence::Stacked, &reverse);
    let told = &series.patches()[0];
    assert_eq!(told.state, Merged);
    assert!(
        told.error
            .as_deref()
            .unwrap()
            .starts_with("it is not in the tree")
    );
}

#[test]
fn offsets_are_the_largest_of_all_hunks() {
    let hunk = |at: usize, line: usize| {
        format!(
            "@@ -{at},3 +{at},3 @@\n {}\n-{line}\n+x\n {}\n",
            line - 1,
            line + 1
        )
    };
    let report = |hunks: &str| {
        report(&format!(
            "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n{hunks}"
        ))
    };
    assert_eq!(report(&hunk(4, 5)).largest_offset(), 0);
    assert_eq!(report(&hunk(2, 5)).largest_offset(), 2);
    assert_eq!(report(&hunk(6, 5)).largest_offset(), -2);
    assert_eq!(report(&(hunk(3, 2) + &hunk(4, 7))).largest_offset(), 2);
    assert_eq!(report(&(hunk(4, 2) + &hunk(7, 7))).largest_offset(), -3);
    assert_eq!(
        report(&hunk(4, 5)).files[0].hunks[0].outcome,
        HunkOutcome::Placed { line: 4, offset: 0 }
    );
}

#[test]
fn line_ends_that_differ_are_told() {
    let ends = |file: &str, patch: &str| {
        let mut store = MemoryStore::new();
        let tree = store.add_files([("f", EntryMode::Regular, file)]).unwrap();
        let inputs = [PatchInput::new("x", format!("--- a/f\n+++ b/f\n{patch}"))];
        let series = apply(&store, tree, &inputs, Sequence::Stacked, &Options::default()).unwrap();
        series.patches()[0].error.clone().unwrap()
    };
    let hunk = "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n";
    let hunk_crlf = "@@ -1,3 +1,3 @@\n a\r\n-b\r\n+x\r\n c\r\n";
    assert!(ends("a\r\nb\r\nc\r\n", hunk).contains("the file's lines end in CRLF and the patch's in LF"));
    assert!(ends("a\nb\nc\n", hunk_crlf).contains("the patch's lines end in CRLF and the file's in LF"));
    for (file, patch) in [
        ("a\nB\nc\n", hunk),
        ("a\r\nb\nC\r\n", hunk),
        ("a\r\nB\r\nc\r\n", hunk_crlf),
        ("", hunk),
    ] {
        assert!(!ends(file, patch).contains("CRLF"), "{file:?}");
    }
}

#[test]
fn white_space_that_differs_alone_is_told() {
    let told = |file: &str| {
        let mut store = MemoryStore::new();
        let tree = store.add_files([("f", EntryMode::Regular, file)]).unwrap();
        let patch = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\n-    b = 1\n+x\n c\n";
        let inputs = [PatchInput::new("x", patch)];
        let series = apply(&store, tree, &inputs, Sequence::Stacked, &Options::default()).unwrap();
        series.patches()[0].error.clone().unwrap()
    };
    for file in [
        "a\n\tb = 1\nc\n",
        "a\n    b = 1  \nc\n",
        "a\n    b=1\nc\n",
        "a\n    b = 1\r\nc\n",
    ] {
        assert!(
            told(file).contains("differ only in white space"),
            "{file:?}: {}",
            told(file)
        );
    }
    for file in ["a\n    b = 2\nc\n", "", "a\n"] {
        assert!(!told(file).contains("white space"), "{file:?}");
    }
}

#[test]
fn a_name_that_another_strip_finds_is_told() {
    let patch = "--- dir/b.txt\n+++ dir/b.txt\n@@ -1,3 +1,3 @@\n x\n-y\n+why\n z\n";
    assert_eq!(
        error(patch),
        "b.txt: does not exist; with -p0 it is dir/b.txt, which does: set strip to 0"
    );
    let deep = patch.replace("dir/b.txt", "a/src/dir/b.txt");
    assert_eq!(
        error(&deep),
        "src/dir/b.txt: does not exist; with -p2 it is dir/b.txt, which does: set strip to 2"
    );
    for (patch, strip) in [(patch, 0), (deep.as_str(), 2)] {
        let options = Options {
            strip: Some(strip),
            ..Options::default()
        };
        let series = applied(&[patch], Sequence::Stacked, &options);
        assert_eq!(series.patches()[0].state, PatchState::Clean);
    }
}

#[test]
fn a_time_stamp_of_the_epoch_is_told() {
    const STAMP: &str = "1970-01-01 00:00:00.000000000 +0000";
    let new = format!("--- a/a.txt\t{STAMP}\n+++ b/a.txt\t2025-01-01 00:00:00 +0000\n@@ -0,0 +1 @@\n+x\n");
    assert!(
        error(&new).starts_with("a.txt: already exists; the time stamp of 1970"),
        "{}",
        error(&new)
    );
    let change =
        format!("--- a/a.txt\t{STAMP}\n+++ b/a.txt\t2025-01-01 00:00:00 +0000\n@@ -1 +1 @@\n-1\n+x\n");
    assert!(
        error(&change).contains("the time stamp of 1970"),
        "{}",
        error(&change)
    );
    assert_eq!(error(&new_file("a.txt", "100644")), "a.txt: already exists");
}

#[test]
fn an_encoded_mail_is_told_where_its_diff_is_damaged() {
    let mail = |encoding: &str, line: &str| {
        format!(
            "From: A <a@example.org>\nSubject: S\nContent-Transfer-Encoding: {encoding}\n\n\
             --- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n-{line}\n+x\n 2\n"
        )
    };
    assert!(error(&mail("quoted-printable", "a=3D1")).contains("git mailinfo"));
    assert!(!error(&mail("8bit", "a=3D1")).contains("mailinfo"));
    let report = report(&mail("quoted-printable", "1"));
    assert_eq!((report.state, report.error), (PatchState::Clean, None));
}

#[test]
fn a_store_that_lacks_an_object_ends_the_series() {
    let tree = base().1;
    let inputs = [PatchInput::new("x", TWO)];
    let empty = MemoryStore::new();
    let failed = apply(&empty, tree, &inputs, Sequence::Stacked, &Options::default()).unwrap_err();
    assert_eq!(failed.to_string(), ObjectError::NotFound(tree).to_string());
}
