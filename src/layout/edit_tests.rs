//! Changes to series, over all layouts, lists and links.

use patchset_api::LayoutKind;

use super::tests::MemoryFiles;
use super::*;

/// The series of a component in a repository.
fn series_of(files: &MemoryFiles, options: LayoutOptions<'_>, release: &str) -> ComponentSeries {
    let layout = RepositoryLayout::read(files, &options).unwrap();
    let found = layout.series.into_iter().find(|series| series.release == release);
    found.unwrap_or_else(|| panic!("no series for {release}"))
}

fn drop_patch(name: &str) -> SeriesChange {
    SeriesChange::Drop {
        name: name.to_owned(),
    }
}

fn replace(name: &str, text: &str) -> SeriesChange {
    SeriesChange::Replace {
        name: name.to_owned(),
        bytes: text.into(),
    }
}

fn add(name: &str, text: &str) -> SeriesChange {
    SeriesChange::Add {
        name: name.parse().unwrap(),
        bytes: text.into(),
    }
}

fn rename(name: &str, to: &str) -> SeriesChange {
    SeriesChange::Rename {
        name: name.to_owned(),
        to: to.parse().unwrap(),
    }
}

fn reorder(names: &[&str]) -> SeriesChange {
    SeriesChange::Reorder {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// The changes, one line per file.
fn told(edit: &RepositoryEdit) -> Vec<String> {
    let told = edit.edits().map(|edit| match edit {
        FileEdit::Write { path, bytes } => format!("{path} = {}", String::from_utf8_lossy(bytes)),
        FileEdit::Remove { path } => format!("{path} goes"),
    });
    told.collect()
}

/// A folder `p/x/1` with files.
fn folder(files: &[(&str, &str)]) -> MemoryFiles {
    let paths: Vec<(String, &str)> = files
        .iter()
        .map(|(name, text)| (format!("patches/x/1/{name}"), *text))
        .collect();
    MemoryFiles::new(paths.iter().map(|(path, text)| (path.as_str(), *text)))
}

fn of_folder(files: &MemoryFiles, release: &str) -> ComponentSeries {
    let selection = Selection::default();
    let options = LayoutOptions {
        kind: LayoutKind::ComponentRelease,
        ..LayoutOptions::new(&selection)
    };
    series_of(files, options, release)
}

/// The outcome of the changes, and the names and contents of the patches afterwards.
fn edited(files: &MemoryFiles, changes: &[SeriesChange]) -> (SeriesEdit, Vec<(String, String)>) {
    let edit = edit_series(files, "", &of_folder(files, "1"), changes).unwrap();
    let after = contents(&EditedFiles::new(files, &edit.edit), "patches/x/1");
    (edit, after)
}

fn contents(files: &dyn RepositoryFiles, folder: &str) -> Vec<(String, String)> {
    let patches = FolderPatches::read(files, folder, &ContentLimits::default()).unwrap();
    let patches = patches.patches.into_iter();
    patches
        .map(|patch| (patch.name, String::from_utf8(patch.bytes).unwrap()))
        .collect()
}

fn refusal(files: &MemoryFiles, changes: &[SeriesChange]) -> String {
    let refused = edit_series(files, "", &of_folder(files, "1"), changes);
    refused.unwrap_err().to_string()
}

fn list_after(list: &str, text: &str, names: &[&str], changes: &[SeriesChange]) -> String {
    let mut files = vec![(list, text)];
    files.extend(names.iter().map(|name| (*name, *name)));
    let files = folder(&files);
    let (edit, after) = edited(&files, changes);
    // Reading the result gives what was asked for.
    let text = EditedFiles::new(&files, &edit.edit).read(&format!("patches/x/1/{list}"), 10_000);
    for (name, bytes) in after {
        let old = edit.renamed.iter().find(|(_, new)| *new == name);
        let old = old.map_or(name.as_str(), |(old, _)| old.as_str());
        assert!(bytes == old || bytes == "new", "{name} has {bytes}");
    }
    String::from_utf8(text.unwrap()).unwrap()
}

#[test]
fn every_layout_has_its_series_changed_where_it_is() {
    let selection = Selection::default();
    for (kind, directory, folder) in [
        (LayoutKind::ComponentRelease, "", "patches/x/1"),
        (LayoutKind::ComponentRelease, "deploy/prod", "patches/x/1"),
        (LayoutKind::ReleaseComponent, "", "patches/1/x"),
        (LayoutKind::OrgComponent, "", "patches/openstack/x"),
        (LayoutKind::SingleComponent, "", "patches"),
        (LayoutKind::SingleComponent, "", "patches/x"),
        (LayoutKind::SingleComponent, "", ""),
        (LayoutKind::DebianPatches, "sub", "debian/patches"),
    ] {
        let path = |name: &str| {
            [directory, folder, name]
                .iter()
                .filter(|part| !part.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join("/")
        };
        let (first, second, third) = (path("0001-a.patch"), path("0002-b.patch"), path("0003-c.patch"));
        let files = MemoryFiles::new([(first.as_str(), "a"), (second.as_str(), "b")]);
        let options = LayoutOptions {
            kind,
            directory,
            branch: Some("stable/1"),
            component: Some("x"),
            ..LayoutOptions::new(&selection)
        };
        let series = series_of(&files, options, "1");
        let name = NextNames::after(&series.series).next_for("c");
        let changes = [
            drop_patch("0001-a.patch"),
            replace("0002-b.patch", "B"),
            SeriesChange::Add {
                name,
                bytes: "c".into(),
            },
        ];
        let edit = edit_series(&files, directory, &series, &changes).unwrap();
        assert_eq!(
            told(&edit.edit),
            [
                format!("{first} goes"),
                format!("{second} = B"),
                format!("{third} = c")
            ],
            "{kind} {directory}"
        );
        let after = EditedFiles::new(&files, &edit.edit);
        let after = series_of_edited(&after, options);
        let names: Vec<&str> = after.iter().map(String::as_str).collect();
        assert_eq!(names, ["0002-b.patch", "0003-c.patch"], "{kind} {directory}");
    }
}

fn series_of_edited(files: &EditedFiles<'_>, options: LayoutOptions<'_>) -> Vec<String> {
    let layout = RepositoryLayout::read(files, &options).unwrap();
    let series = layout.series.into_iter().next().unwrap();
    series
        .series
        .patches
        .into_iter()
        .map(|patch| patch.name)
        .collect()
}

#[test]
fn a_series_that_is_not_there_yet_gets_its_folder() {
    let files = MemoryFiles::new([("patches/x/1/a.patch", "a")]).link("patches/y", "x");
    let new = |folder: &str| ComponentSeries {
        folder: folder.to_owned(),
        series: Series {
            order: SeriesOrder::ByName,
            patches: Vec::new(),
            faults: Vec::new(),
        },
        ..of_folder(&files, "1")
    };
    let edit = edit_series(&files, "", &new("patches/z/2"), &[add("0001-a.patch", "a")]).unwrap();
    assert_eq!(told(&edit.edit), ["patches/z/2/0001-a.patch = a"]);
    // Nothing is written through a link.
    let edit = edit_series(&files, "", &new("patches/y/2"), &[add("0001-a.patch", "a")]).unwrap();
    assert_eq!(told(&edit.edit), ["patches/x/2/0001-a.patch = a"]);
    let error = edit_series(&files, "", &new("patches/x/1/a.patch/2"), &[]).unwrap_err();
    assert!(error.to_string().contains("is a file"), "{error}");
}

#[test]
fn a_folder_that_has_nothing_left_is_gone_and_others_stay() {
    let files = MemoryFiles::new([
        ("patches/x/1/a.patch", "a"),
        ("patches/y/1/a.patch", "a"),
        ("patches/y/1/README.md", "read"),
    ]);
    let mut edit = edit_series(&files, "", &of_folder(&files, "1"), &[drop_patch("a.patch")]).unwrap();
    let after = EditedFiles::new(&files, &edit.edit);
    assert_eq!(after.entries("patches/x/1").unwrap(), None);
    assert_eq!(after.entries("patches/x").unwrap(), None);
    let names = |files: &EditedFiles<'_>, folder: &str| -> Vec<String> {
        let entries = files.entries(folder).unwrap().unwrap().into_iter();
        entries.map(|entry| entry.name).collect()
    };
    assert_eq!(names(&after, "patches"), ["y"]);
    edit.edit.remove("patches/y/1/a.patch");
    let after = EditedFiles::new(&files, &edit.edit);
    assert_eq!(names(&after, "patches/y/1"), ["README.md"]);
    assert!(after.read("patches/y/1/a.patch", 10).is_err());
    assert_eq!(after.read("patches/y/1/README.md", 10).unwrap(), b"read");
    assert!(after.read("patches/y/1/README.md", 3).is_err());
}

#[test]
fn lists_keep_all_else_that_is_in_them() {
    let names = ["a.patch", "b.patch", "c.patch"];
    let quilt = "# first\n  a.patch -p0 # why\n\n./b.patch\n# c is last\nc.patch\t-p2\n#gone.patch\n";
    for (list, text, changes, expected) in [
        (
            "series",
            quilt,
            vec![drop_patch("b.patch")],
            "# first\n  a.patch -p0 # why\n\n# c is last\nc.patch\t-p2\n#gone.patch\n",
        ),
        ("series", quilt, vec![replace("b.patch", "new")], quilt),
        (
            "series",
            quilt,
            vec![add("new.patch", "new")],
            "# first\n  a.patch -p0 # why\n\n./b.patch\n# c is last\nc.patch\t-p2\n#gone.patch\nnew.patch\n",
        ),
        (
            "series",
            quilt,
            vec![rename("b.patch", "z.patch"), rename("c.patch", "y.patch")],
            "# first\n  a.patch -p0 # why\n\nz.patch\n# c is last\ny.patch\t-p2\n#gone.patch\n",
        ),
        (
            "series",
            quilt,
            vec![reorder(&["c.patch", "a.patch", "b.patch"])],
            "# first\nc.patch\t-p2\n\n  a.patch -p0 # why\n# c is last\n./b.patch\n#gone.patch\n",
        ),
        (
            "series",
            quilt,
            vec![
                add("new.patch", "new"),
                reorder(&["a.patch", "new.patch", "b.patch", "c.patch"]),
            ],
            "# first\n  a.patch -p0 # why\nnew.patch\n\n./b.patch\n# c is last\nc.patch\t-p2\n#gone.patch\n",
        ),
        (
            "series",
            "\u{feff}a.patch\r\n# x\r\nb.patch\r\nc.patch",
            vec![drop_patch("a.patch"), add("new.patch", "new")],
            "\u{feff}# x\r\nb.patch\r\nc.patch\r\nnew.patch\r\n",
        ),
        (
            "series",
            "a.patch\n# x\nb.patch\nc.patch",
            vec![reorder(&["c.patch", "b.patch", "a.patch"])],
            "c.patch\n# x\nb.patch\na.patch\n",
        ),
        (
            "ORDER",
            "a.patch\nb.patch\nc.patch\n",
            vec![
                drop_patch("a.patch"),
                drop_patch("b.patch"),
                drop_patch("c.patch"),
            ],
            "",
        ),
        (
            ".patches",
            "# all\na.patch\n b.patch \nc.patch",
            vec![drop_patch("c.patch"), rename("b.patch", "b b.patch")],
            "# all\na.patch\n b b.patch \n",
        ),
    ] {
        assert_eq!(
            list_after(list, text, &names, &changes),
            expected,
            "{text} {changes:?}"
        );
    }
}

#[test]
fn a_name_with_spaces_stands_where_a_line_is_a_name() {
    let spaces = ["a b.patch", "c.patch"];
    let text = "a b.patch\nc.patch\n";
    assert_eq!(
        list_after("ORDER", text, &spaces, &[drop_patch("a b.patch")]),
        "c.patch\n"
    );
    let files = folder(&[("series", "a.patch\n"), ("a.patch", "a")]);
    let error = refusal(&files, &[rename("a.patch", "a b.patch")]);
    assert_eq!(
        error,
        "patches/x/1/series cannot name a b.patch: a name there has no spaces, and does not begin with #"
    );
}

#[test]
fn what_a_list_leaves_out_is_left_alone() {
    let files = folder(&[
        ("series", "a.patch\n#b.patch\n"),
        ("a.patch", "a"),
        ("b.patch", "b"),
    ]);
    let error = refusal(&files, &[drop_patch("b.patch")]);
    assert!(
        error.contains("patches/x/1 has no patch b.patch; it has a.patch")
            || error.contains("did you mean a.patch?"),
        "{error}"
    );
    let error = refusal(&files, &[add("b.patch", "new")]);
    assert!(error.contains("patches/x/1/b.patch already exists"), "{error}");
    let files = folder(&[("series", "a.patch\nabsent.patch\n"), ("a.patch", "a")]);
    let error = refusal(&files, &[drop_patch("a.patch")]);
    assert!(error.contains("absent.patch, which does not exist"), "{error}");
}

#[test]
fn numbers_follow_each_other() {
    for (before, after) in [
        (
            &["0001-a.patch", "0003-b.patch", "0007-c.patch"][..],
            &["0001-a.patch", "0002-b.patch", "0003-c.patch"][..],
        ),
        (&["0000-a.patch", "0002_b.diff"], &["0000-a.patch", "0001_b.diff"]),
        (
            &["10-a.patch", "9-b.patch", "CVE-1.patch"],
            &["01-a.patch", "02-b.patch", "CVE-1.patch"],
        ),
        (&["a.patch", "b.patch"], &["a.patch", "b.patch"]),
    ] {
        let files: Vec<(&str, &str)> = before.iter().map(|name| (*name, *name)).collect();
        let (edit, found) = edited(&folder(&files), &[SeriesChange::Renumber]);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, after);
        let bytes: Vec<&str> = found.iter().map(|(_, bytes)| bytes.as_str()).collect();
        assert_eq!(bytes, before);
        assert_eq!(edit.edit.is_empty(), before == after);
    }
    let list = "0002-b.patch -p0\nsub/0009-c.patch\nfix.patch\n0001-a.patch\n";
    let names = ["0002-b.patch", "sub/0009-c.patch", "fix.patch", "0001-a.patch"];
    assert_eq!(
        list_after("series", list, &names, &[SeriesChange::Renumber]),
        "0001-b.patch -p0\nsub/0002-c.patch\nfix.patch\n0004-a.patch\n"
    );
}

#[test]
fn names_that_have_the_order_keep_it() {
    let files = folder(&[
        ("0001-a.patch", "a"),
        ("0002-b.patch", "b"),
        ("0003-c.patch", "c"),
    ]);
    let order = reorder(&["0003-c.patch", "0001-a.patch", "0002-b.patch"]);
    let (edit, after) = edited(&files, &[order]);
    let after: Vec<(&str, &str)> = after
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    assert_eq!(
        after,
        [
            ("0001-c.patch", "c"),
            ("0002-a.patch", "a"),
            ("0003-b.patch", "b")
        ]
    );
    assert_eq!(edit.renamed.len(), 3);
    // A patch may take the name that another gives up.
    let swapped = [
        rename("0001-a.patch", "0009-t.patch"),
        rename("0002-b.patch", "0001-a.patch"),
        rename("0009-t.patch", "0002-b.patch"),
        reorder(&["0001-a.patch", "0002-b.patch", "0003-c.patch"]),
    ];
    let (_, after) = edited(&files, &swapped);
    assert_eq!(
        after[..2],
        [
            ("0001-a.patch".to_owned(), "b".to_owned()),
            ("0002-b.patch".to_owned(), "a".to_owned())
        ]
    );
    let error = refusal(&files, &[rename("0001-a.patch", "0005-a.patch")]);
    assert_eq!(
        error,
        "patches/x/1: names set the order of the patches, and with these 0002-b.patch would come before 0005-a.patch: choose other names, or write the order into a file series"
    );
    let error = refusal(&files, &[rename("0001-a.patch", "0002-b.patch")]);
    assert!(
        error.contains("patches/x/1/0002-b.patch already exists"),
        "{error}"
    );
    let error = refusal(&files, &[reorder(&["0001-a.patch", "0002-b.patch"])]);
    assert!(error.contains("this one does not: 0003-c.patch"), "{error}");
    let error = refusal(&files, &[drop_patch("0002.patch")]);
    assert_eq!(
        error,
        "patches/x/1 has no patch 0002.patch; did you mean 0002-b.patch?"
    );
    let (edit, _) = edited(&files, &[add("0000-n.patch", "new")]);
    assert_eq!(
        edit.notes,
        ["0000-n.patch comes before 0001-a.patch: names set the order of the patches, byte by byte"]
    );
}

#[test]
fn a_licence_goes_with_its_patch() {
    let files = folder(&[
        ("0001-a.patch", "a"),
        ("0001-a.patch.license", "MIT"),
        ("0003-b.patch", "b"),
        ("0003-b.patch.license", "MIT too"),
    ]);
    let (edit, _) = edited(&files, &[drop_patch("0001-a.patch"), SeriesChange::Renumber]);
    assert_eq!(
        told(&edit.edit),
        [
            "patches/x/1/0001-a.patch goes",
            "patches/x/1/0001-a.patch.license goes",
            "patches/x/1/0001-b.patch = b",
            "patches/x/1/0001-b.patch.license = MIT too",
            "patches/x/1/0003-b.patch goes",
            "patches/x/1/0003-b.patch.license goes",
        ]
    );
}

#[test]
fn what_others_have_by_links_stays_as_it_is() {
    let files = MemoryFiles::new([
        ("patches/x/1/0001-a.patch", "a"),
        ("patches/x/1/0003-b.patch", "b"),
        ("shared/c.patch", "c"),
    ])
    .link("patches/x/1/0004-c.patch", "../../../shared/c.patch")
    .link("patches/x/2/0001-a.patch", "../1/0001-a.patch")
    .link("patches/x/2/0002-b.patch", "../1/0003-b.patch")
    .link("patches/x/3/0001-a.patch", "../2/0001-a.patch")
    .link("patches/x/3/0002-c.patch", "../1/0004-c.patch");
    let others =
        |files: &dyn RepositoryFiles| ["patches/x/2", "patches/x/3"].map(|path| contents(files, path));
    let before = others(&files);
    for (changes, own) in [
        (
            vec![drop_patch("0001-a.patch")],
            vec![("0003-b.patch", "b"), ("0004-c.patch", "c")],
        ),
        (
            vec![replace("0001-a.patch", "A"), replace("0004-c.patch", "C")],
            vec![
                ("0001-a.patch", "A"),
                ("0003-b.patch", "b"),
                ("0004-c.patch", "C"),
            ],
        ),
        (
            vec![SeriesChange::Renumber],
            vec![
                ("0001-a.patch", "a"),
                ("0002-b.patch", "b"),
                ("0003-c.patch", "c"),
            ],
        ),
        (
            vec![drop_patch("0004-c.patch")],
            vec![("0001-a.patch", "a"), ("0003-b.patch", "b")],
        ),
    ] {
        let (edit, after) = edited(&files, &changes);
        let after: Vec<(&str, &str)> = after
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        assert_eq!(after, own, "{changes:?}");
        assert_eq!(
            others(&EditedFiles::new(&files, &edit.edit)),
            before,
            "{changes:?}"
        );
        assert!(edit.edit.at("shared/c.patch").is_none(), "{changes:?}");
        assert!(!edit.notes.is_empty(), "{changes:?}");
    }
    // A link is changed as a link.
    let second = of_folder(&files, "2");
    let edit = edit_series(&files, "", &second, &[drop_patch("0002-b.patch")]).unwrap();
    assert_eq!(told(&edit.edit), ["patches/x/2/0002-b.patch goes"]);
    let edit = edit_series(&files, "", &second, &[replace("0002-b.patch", "B")]).unwrap();
    assert_eq!(told(&edit.edit), ["patches/x/2/0002-b.patch = B"]);
    assert_eq!(
        edit.notes,
        [
            "patches/x/2/0002-b.patch was a link to ../1/0003-b.patch, and becomes a file: what it led to stays as it is"
        ]
    );
}

#[test]
fn a_folder_that_is_a_link_is_changed_where_it_leads_and_that_is_told() {
    let files = MemoryFiles::new([("patches/x/1/a.patch", "a"), ("patches/x/1/b.patch", "b")])
        .link("patches/x/2", "1");
    for release in ["1", "2"] {
        let edit = edit_series(&files, "", &of_folder(&files, release), &[drop_patch("a.patch")]).unwrap();
        assert_eq!(told(&edit.edit), ["patches/x/1/a.patch goes"]);
        assert_eq!(
            edit.notes,
            ["patches/x/2 is a link to patches/x/1: what changes there changes for both"]
        );
    }
}

#[test]
fn a_list_that_is_a_link_becomes_a_file_of_its_own() {
    let files = MemoryFiles::new([
        ("patches/x/1/series", "a.patch\nb.patch\n"),
        ("patches/x/1/a.patch", "a"),
        ("patches/x/1/b.patch", "b"),
        ("patches/x/2/a.patch", "a"),
        ("patches/x/2/b.patch", "b"),
    ])
    .link("patches/x/2/series", "../1/series");
    let edit = edit_series(&files, "", &of_folder(&files, "2"), &[drop_patch("a.patch")]).unwrap();
    assert_eq!(
        told(&edit.edit),
        ["patches/x/2/a.patch goes", "patches/x/2/series = b.patch\n"]
    );
    let (edit, _) = edited(&files, &[drop_patch("a.patch")]);
    assert_eq!(
        told(&edit.edit),
        [
            "patches/x/1/a.patch goes",
            "patches/x/1/series = b.patch\n",
            "patches/x/2/series = a.patch\nb.patch\n"
        ]
    );
}

#[test]
fn later_changes_count() {
    let files = folder(&[("a.patch", "a"), ("b.patch", "b")]);
    let (mut first, _) = edited(&files, &[replace("a.patch", "A")]);
    let after = EditedFiles::new(&files, &first.edit);
    let layout_options = Selection::default();
    let options = LayoutOptions {
        kind: LayoutKind::ComponentRelease,
        ..LayoutOptions::new(&layout_options)
    };
    let layout = RepositoryLayout::read(&after, &options).unwrap();
    let second = edit_series(&after, "", &layout.series[0], &[drop_patch("a.patch")]).unwrap();
    first.edit.merge(second.edit);
    assert_eq!(told(&first.edit), ["patches/x/1/a.patch goes"]);
    // Writing the same content changes nothing.
    let (edit, _) = edited(&files, &[replace("a.patch", "a")]);
    assert!(edit.edit.is_empty());
    assert!(edit.notes.is_empty());
}
