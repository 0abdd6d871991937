//! Layouts of repositories in memory.

use std::collections::BTreeMap;

use git_apply_engine::{EntryMode, MemoryStore};
use patchset_api::LayoutKind;

use super::*;

/// An entry at a path of a repository.
#[derive(Clone)]
enum Content {
    File(Vec<u8>),
    Link(String),
    Other,
}

/// A repository in memory.
#[derive(Clone, Default)]
pub(crate) struct MemoryFiles(BTreeMap<String, Content>);

impl MemoryFiles {
    pub(crate) fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files = files.into_iter();
        Self(
            files
                .map(|(path, text)| (path.to_owned(), Content::File(text.into())))
                .collect(),
        )
    }

    pub(crate) fn link(mut self, path: &str, target: &str) -> Self {
        self.0.insert(path.to_owned(), Content::Link(target.to_owned()));
        self
    }

    fn other(mut self, path: &str) -> Self {
        self.0.insert(path.to_owned(), Content::Other);
        self
    }
}

impl RepositoryFiles for MemoryFiles {
    fn entries(&self, folder: &str) -> Result<Option<Vec<FolderEntry>>, FilesError> {
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let mut found: BTreeMap<String, FileKind> = BTreeMap::new();
        for (path, content) in &self.0 {
            let Some(rest) = path.strip_prefix(&prefix) else {
                continue;
            };
            let (name, kind) = match (rest.split_once('/'), content) {
                (Some((name, _)), _) => (name, FileKind::Folder),
                (None, Content::File(_)) => (rest, FileKind::File),
                (None, Content::Link(target)) => (
                    rest,
                    FileKind::Link {
                        target: target.clone(),
                    },
                ),
                (None, Content::Other) => (rest, FileKind::Other),
            };
            found.insert(name.to_owned(), kind);
        }
        let is_there = folder.is_empty() || !found.is_empty();
        let entries = found.into_iter().map(|(name, kind)| FolderEntry { name, kind });
        Ok(is_there.then(|| entries.collect()))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
        match self.0.get(path) {
            Some(Content::File(bytes)) if bytes.len() as u64 <= limit => Ok(bytes.clone()),
            Some(Content::File(_)) => Err(FilesError::TooLarge {
                path: path.to_owned(),
                limit,
            }),
            _ => Err(FilesError::NotFound {
                path: path.to_owned(),
            }),
        }
    }
}

fn series(files: &MemoryFiles, folder: &str) -> Series {
    Series::read(files, folder).unwrap().unwrap()
}

fn names(series: &Series) -> Vec<&str> {
    series.patches.iter().map(|patch| patch.name.as_str()).collect()
}

/// Kinds and places of faults.
fn faults(faults: &[LayoutFault]) -> Vec<String> {
    let told = faults.iter().map(|fault| {
        let line = fault.line.map_or(String::new(), |line| format!(":{line}"));
        format!("{:?} {}{line}", fault.kind, fault.path)
    });
    told.collect()
}

#[test]
fn patches_and_diffs_are_in_the_order_of_their_names_and_hidden_ones_are_none() {
    let files = MemoryFiles::new([
        ("p/b.patch", ""),
        ("p/a.diff", ""),
        ("p/B.patch", ""),
        ("p/._b.patch", ""),
        ("p/.#b.patch", ""),
        ("p/.gitkeep", ""),
        ("p/README.md", ""),
        ("p/OWNERS", ""),
        ("p/LICENSE", ""),
        ("p/LICENSES/Apache-2.0.txt", ""),
        ("p/b.patch.license", ""),
        ("p/REUSE.toml", ""),
        ("p/notes.txt", ""),
        ("p/Reader.txt", ""),
        ("p/old/c.patch", ""),
    ]);
    let found = series(&files, "p");
    assert_eq!(found.order, SeriesOrder::ByName);
    assert_eq!(names(&found), ["B.patch", "a.diff", "b.patch"]);
    assert_eq!(
        faults(&found.faults),
        [
            "StrayFile p/Reader.txt",
            "StrayFile p/notes.txt",
            "StrayFile p/old"
        ]
    );
    assert!(found.blocking_fault().is_none());
    assert!(Series::read(&files, "nothing").unwrap().is_none());
    // A single patch, and a file that is none.
    assert_eq!(names(&series(&files, "p/b.patch")), ["b.patch"]);
    assert!(matches!(
        Series::read(&files, "p/notes.txt"),
        Err(LayoutError::NoFolder { .. })
    ));
    // The root of a repository may have any files.
    let files = MemoryFiles::new([("a.patch", ""), ("Makefile", ""), ("src/x.c", "")]);
    assert_eq!(faults(&series(&files, "").faults), [""; 0]);
    let files = MemoryFiles::new([("Makefile", ""), ("src/x.c", "")]);
    let note = series(&files, "").note().unwrap();
    assert!(note.starts_with("the root: holds no patch"), "{note}");
}

#[test]
fn a_quilt_series_is_followed() {
    let text =
        "# first\n\n  # indented\nb.patch\na.diff -p0 # why\nup/c.patch\t-p 2\n./d -p1\r\n\ne.patch #x\n";
    let files = MemoryFiles::new([
        ("p/series", text),
        ("p/ORDER", "a.diff\n"),
        ("p/a.diff", "A"),
        ("p/b.patch", "B"),
        ("p/d", "D"),
        ("p/e.patch", "E"),
        ("p/up/c.patch", "C"),
        ("p/up/left.patch", ""),
        ("p/up/README", ""),
        ("p/left.diff", ""),
    ]);
    let found = series(&files, "p");
    assert_eq!(
        found.order,
        SeriesOrder::Listed {
            file: "p/series".to_owned()
        }
    );
    let told: Vec<_> = found
        .patches
        .iter()
        .map(|patch| (patch.name.as_str(), patch.path.as_str(), patch.strip))
        .collect();
    assert_eq!(
        told,
        [
            ("b.patch", "p/b.patch", None),
            ("a.diff", "p/a.diff", Some(0)),
            ("up/c.patch", "p/up/c.patch", Some(2)),
            ("d", "p/d", Some(1)),
            ("e.patch", "p/e.patch", None),
        ]
    );
    assert_eq!(
        faults(&found.faults),
        [
            "StrayFile p/ORDER",
            "NotInSeries p/left.diff",
            "NotInSeries p/up/left.patch"
        ]
    );
    let read = found.contents(&files, &ContentLimits::default()).unwrap();
    let bytes: Vec<&[u8]> = read.iter().map(|patch| patch.bytes.as_slice()).collect();
    assert_eq!(bytes, [b"B", b"A", b"C", b"D", b"E"]);
    assert_eq!(read[1].strip, Some(0));
    let note = found.note().unwrap();
    assert!(note.contains("p/left.diff: is not in series"), "{note}");
}

#[test]
fn lists_of_others_have_a_name_a_line() {
    for list in [".patches", "ORDER"] {
        let path = format!("p/{list}");
        let files = MemoryFiles::new([
            (path.as_str(), "b c.patch\n# no\na.patch\n"),
            ("p/a.patch", ""),
            ("p/b c.patch", ""),
        ]);
        let found = series(&files, "p");
        assert_eq!(names(&found), ["b c.patch", "a.patch"], "{list}");
        assert_eq!(faults(&found.faults), [""; 0], "{list}");
    }
}

#[test]
fn what_a_series_names_in_vain_hides_the_patches() {
    for (text, told) in [
        ("a.patch\ngone.patch\n", "MissingPatch p/series:2"),
        ("../a.patch\n", "InvalidSeries p/series:1"),
        ("/etc/passwd\n", "InvalidSeries p/series:1"),
        ("up/../../x\n", "InvalidSeries p/series:1"),
        ("a.patch -R\n", "InvalidSeries p/series:1"),
        ("a.patch -p\n", "InvalidSeries p/series:1"),
        ("a.patch -p65\n", "InvalidSeries p/series:1"),
        ("a.patch -pa\n", "InvalidSeries p/series:1"),
        ("a.patch\na.patch\n", "InvalidSeries p/series:2"),
        ("folder\n", "InvalidSeries p/series:1"),
        ("out.patch\n", "RefusedLink p/series:1"),
        ("\u{1}\n", "InvalidSeries p/series:1"),
    ] {
        let files = MemoryFiles::new([("p/series", text), ("p/a.patch", ""), ("p/folder/x", "")])
            .link("p/out.patch", "../../x");
        let found = series(&files, "p");
        assert_eq!(faults(&found.faults)[0], told, "{text:?}");
        let read = found.contents(&files, &ContentLimits::default());
        assert!(matches!(read, Err(LayoutError::Faulty(_))), "{text:?}");
    }
}

#[test]
fn links_are_followed_inside_of_the_repository() {
    let files = MemoryFiles::new([
        ("shared/x.patch", "X"),
        ("p/one/a.patch", "A"),
        ("p/series-of", "x.patch\n"),
    ])
    .link("p/one/x.patch", "../../shared/x.patch")
    .link("p/two", "one")
    .link("p/three", "./two/")
    .link("p/one/out.patch", "../../../etc/passwd")
    .link("p/one/abs.patch", "/etc/passwd")
    .link("p/one/round.patch", "round2.patch")
    .link("p/one/round2.patch", "round.patch")
    .link("p/one/gone.patch", "nothing")
    .link("p/one/deep.patch", "a.patch/b");
    for folder in ["p/one", "p/two", "p/three"] {
        let found = series(&files, folder);
        let paths: Vec<_> = found.patches.iter().map(|patch| patch.path.as_str()).collect();
        assert_eq!(paths, ["p/one/a.patch", "shared/x.patch"], "{folder}");
        let refused = ["abs", "deep", "gone", "out", "round", "round2"];
        let refused = refused.map(|name| format!("RefusedLink {folder}/{name}.patch"));
        assert_eq!(faults(&found.faults), refused, "{folder}");
    }
}

#[test]
fn a_folder_with_other_things_alone_says_so() {
    let files = MemoryFiles::new([("p/a.txt", ""), ("p/2025.2/a.patch", ""), ("q/README", "")]);
    let found = series(&files, "p");
    assert_eq!(
        faults(&found.faults),
        ["StrayFile p/2025.2", "StrayFile p/a.txt", "NoPatches p"]
    );
    assert!(found.blocking_fault().is_none());
    assert!(
        found
            .contents(&files, &ContentLimits::default())
            .unwrap()
            .is_empty()
    );
    assert_eq!(faults(&series(&files, "q").faults), [""; 0]);
}

#[test]
fn hostile_folders_are_bounded() {
    let long = "x.patch\n".repeat(200_000);
    let files = MemoryFiles::new([("p/series", long.as_str()), ("p/x.patch", "")]);
    assert_eq!(
        faults(&series(&files, "p").faults),
        ["InvalidSeries p/series", "NotInSeries p/x.patch"]
    );
    let many: Vec<String> = (0..5000).map(|n| format!("{n}.patch\n")).collect();
    let many = many.concat();
    let files = MemoryFiles::new([("p/series", many.as_str())]);
    let found = series(&files, "p");
    assert!(found.faults.len() <= 100, "{}", found.faults.len());
    assert!(found.blocking_fault().is_some());
    let files = MemoryFiles::new([("p/series", "\u{feff}a.patch\n"), ("p/a.patch", "")]);
    assert_eq!(names(&series(&files, "p")), ["a.patch"]);
    // A status cannot hold a name that is not UTF-8.
    let files = MemoryFiles::new([("p/a.patch", "")]).other("p/\u{fffd}.patch");
    let found = series(&files, "p");
    assert_eq!(faults(&found.faults), ["RefusedLink p/\u{fffd}.patch"]);
    assert!(found.faults[0].message.contains("UTF-8"));
    // Many links on the way, and a path that is too deep.
    let mut files = MemoryFiles::new([("p/x.patch", "")]);
    for n in 0..20 {
        files = files.link(&format!("l{n}"), &format!("l{}", n + 1));
    }
    let files = files.link("p/far.patch", "../l0");
    assert_eq!(faults(&series(&files, "p").faults), ["RefusedLink p/far.patch"]);
    let deep = "d/".repeat(300);
    let files = MemoryFiles::new([("p/x.patch", "")]).link("p/deep.patch", &format!("{deep}x"));
    assert_eq!(faults(&series(&files, "p").faults), ["RefusedLink p/deep.patch"]);
    let limits = ContentLimits {
        total: 3,
        ..ContentLimits::default()
    };
    let files = MemoryFiles::new([("p/a.patch", "ab"), ("p/b.patch", "cd")]);
    assert!(matches!(
        series(&files, "p").contents(&files, &limits),
        Err(LayoutError::Files(FilesError::TooLarge { limit: 1, .. }))
    ));
}

fn read(files: &MemoryFiles, options: &LayoutOptions<'_>) -> RepositoryLayout {
    RepositoryLayout::read(files, options).unwrap()
}

/// Components, releases and folders.
fn cells(layout: &RepositoryLayout) -> Vec<String> {
    let cells = layout.series.iter().map(|series| {
        let reference = series.reference.as_deref().unwrap_or("-");
        format!(
            "{} {} {} {reference}",
            series.component, series.release, series.folder
        )
    });
    cells.collect()
}

#[test]
fn each_layout_is_found_out() {
    let everything = Selection::default();
    let template: RefTemplate = "stable/{release}".parse().unwrap();
    let cases: [(&[&str], LayoutKind, &str); 9] = [
        (
            &["patches/nova/2025.2/a.patch", "patches/glance/2026.1/a.patch"],
            LayoutKind::ComponentRelease,
            "glance 2026.1 patches/glance/2026.1 stable/2026.1",
        ),
        (
            &["patches/2025.2/nova/a.patch", "patches/master/glance/a.diff"],
            LayoutKind::ReleaseComponent,
            "nova 2025.2 patches/2025.2/nova stable/2025.2",
        ),
        (
            &["patches/openstack/nova/a.patch"],
            LayoutKind::OrgComponent,
            "nova 2025.1 patches/openstack/nova stable/2025.1",
        ),
        (
            &["patches/forks/nova/a.patch"],
            LayoutKind::OrgComponent,
            "nova 2025.1 patches/forks/nova stable/2025.1",
        ),
        (
            &["patches/a.patch", "README.md"],
            LayoutKind::SingleComponent,
            "mine 2025.1 patches stable/2025.1",
        ),
        (
            &["a.patch", "src/x.c"],
            LayoutKind::SingleComponent,
            "mine 2025.1  stable/2025.1",
        ),
        (
            &["patches/nova/series", "patches/nova/a"],
            LayoutKind::SingleComponent,
            "nova 2025.1 patches/nova stable/2025.1",
        ),
        (
            &["debian/patches/a.patch", "debian/rules"],
            LayoutKind::DebianPatches,
            "mine 2025.1 debian/patches stable/2025.1",
        ),
        (
            &[
                "patches/nova/special/a.patch",
                "releases/special/upper-constraints.txt",
            ],
            LayoutKind::ComponentRelease,
            "nova special patches/nova/special stable/special",
        ),
    ];
    for (paths, kind, cell) in cases {
        let files = MemoryFiles::new(paths.iter().map(|path| (*path, "a\n")));
        let options = LayoutOptions {
            branch: Some("stable/2025.1"),
            component: Some("mine"),
            ref_template: Some(&template),
            ..LayoutOptions::new(&everything)
        };
        let layout = read(&files, &options);
        assert_eq!(layout.kind, kind, "{paths:?}");
        assert_eq!(cells(&layout)[0], cell, "{paths:?}");
        // The same on request, and below a folder.
        let asked = LayoutOptions { kind, ..options };
        assert_eq!(cells(&read(&files, &asked)), cells(&layout));
        let below: Vec<String> = paths.iter().map(|path| format!("deploy/here/{path}")).collect();
        let files = MemoryFiles::new(below.iter().map(|path| (path.as_str(), "a\n")));
        let below = LayoutOptions {
            directory: "deploy/here",
            ..options
        };
        assert_eq!(cells(&read(&files, &below)), cells(&layout));
    }
}

#[test]
fn what_cannot_be_told_apart_is_said() {
    let everything = Selection::default();
    let options = LayoutOptions::new(&everything);
    let cases: [(&[&str], &[&str]); 5] = [
        (
            &["patches/nova/special/a.patch"],
            &["nova", "special", "--layout", "ComponentRelease or OrgComponent"],
        ),
        (
            &["patches/2025.2/nova/a.patch", "patches/nova/2025.2/a.patch"],
            &["ComponentRelease or ReleaseComponent"],
        ),
        (
            &["debian/patches/a.patch", "patches/nova/2025.2/a.patch"],
            &["debian/patches", "DebianPatches or ComponentRelease"],
        ),
        (&["src/x.c"], &["no folder patches"]),
        (&["patches/openstack/nova/a.patch"], &["--branch"]),
    ];
    for (paths, told) in cases {
        let files = MemoryFiles::new(paths.iter().map(|path| (*path, "")));
        let error = RepositoryLayout::read(&files, &options).unwrap_err().to_string();
        for part in told {
            assert!(error.contains(part), "{paths:?}: {error}");
        }
    }
    let single = MemoryFiles::new([("patches/a.patch", "")]);
    let options = LayoutOptions {
        branch: Some("main"),
        ..options
    };
    let error = RepositoryLayout::read(&single, &options).unwrap_err().to_string();
    assert!(error.contains("--component"), "{error}");
}

#[test]
fn the_package_names_the_component_of_debian_patches() {
    let everything = Selection::default();
    let files = MemoryFiles::new([
        ("debian/patches/series", "a.patch\n"),
        ("debian/patches/a.patch", ""),
        ("debian/control", "# x\nSource: nova \nSection: net\n"),
    ]);
    let options = LayoutOptions {
        branch: Some("debian/2025.2"),
        ..LayoutOptions::new(&everything)
    };
    assert_eq!(cells(&read(&files, &options)), ["nova 2025.2 debian/patches -"]);
}

#[test]
fn refs_come_from_the_release_and_else_from_the_template() {
    let everything = Selection::default();
    let template: RefTemplate = "{component}-{release}".parse().unwrap();
    let files = MemoryFiles::new([
        ("patches/nova/2025.2/a.patch", ""),
        ("patches/nova/2026.1/a.patch", ""),
        ("patches/glance/2025.2/a.patch", ""),
        ("patches/empty/2025.2/.gitkeep", ""),
        (
            "releases/2025.2/source-refs.yaml",
            "# x\nnova: \"32.0.0\"\nkeystone: 28.10\n",
        ),
        ("images/nova/Dockerfile", ""),
        ("images/.x/Dockerfile", ""),
    ]);
    let without = read(&files, &LayoutOptions::new(&everything));
    assert_eq!(
        cells(&without),
        [
            "empty 2025.2 patches/empty/2025.2 -",
            "glance 2025.2 patches/glance/2025.2 -",
            "nova 2025.2 patches/nova/2025.2 32.0.0",
            "nova 2026.1 patches/nova/2026.1 -",
        ]
    );
    assert_eq!(
        faults(&without.faults),
        [
            "InvalidRefs releases/2025.2/source-refs.yaml:3",
            "UnknownComponent patches/glance/2025.2",
            "ReleaseWithoutRefs patches/nova/2026.1",
        ]
    );
    assert_eq!(Vec::from_iter(&without.images), ["nova"]);
    let refs = without.releases["2025.2"].refs.as_ref().unwrap();
    assert_eq!(refs.refs.line("nova"), Some(2));
    let options = LayoutOptions {
        ref_template: Some(&template),
        ..LayoutOptions::new(&everything)
    };
    let with = read(&files, &options);
    assert_eq!(cells(&with)[3], "nova 2026.1 patches/nova/2026.1 nova-2026.1");
    assert_eq!(
        with.reference("new", "2026.1", Some(&template)).unwrap(),
        "new-2026.1"
    );
    assert_eq!(with.reference("glance", "2025.2", Some(&template)), None);
}

#[test]
fn templates_have_two_tokens() {
    let template: RefTemplate = "x/{release}/{component}".parse().unwrap();
    assert_eq!(template.reference("{release}", "2"), "x/2/{release}");
    for (text, told) in [
        ("", "empty"),
        ("stable/{version}", "{version}"),
        ("{release", "{release"),
        ("a}", "}"),
    ] {
        let error = text.parse::<RefTemplate>().unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    for (branch, release) in [
        ("stable/2025.2", "2025.2"),
        ("refs/heads/unmaintained/2024.1", "2024.1"),
        ("main", "main"),
        ("feature/x", "feature-x"),
    ] {
        assert_eq!(release_of_branch(branch), release);
    }
}

#[test]
fn one_component_has_its_patches_once() {
    let everything = Selection::default();
    let files = MemoryFiles::new([
        ("patches/openstack/nova/a.patch", ""),
        ("patches/x/nova/a.patch", ""),
    ]);
    let options = LayoutOptions {
        branch: Some("main"),
        ..LayoutOptions::new(&everything)
    };
    let layout = read(&files, &options);
    assert_eq!(layout.series.len(), 1);
    assert!(faults(&layout.faults).contains(&"DuplicateSeries patches/x/nova".to_owned()));
}

#[test]
fn what_is_asked_for_by_name_is_there() {
    let files = MemoryFiles::new([
        ("patches/nova/2025.2/a.patch", ""),
        ("patches/glance/2025.2/a.patch", ""),
        ("patches/stray", ""),
    ]);
    let named = |component: &str, release: &str| {
        let list = |name: &str| {
            (!name.is_empty())
                .then(|| name.to_owned())
                .into_iter()
                .collect::<Vec<_>>()
        };
        Selection::named(&list(component), &list(release))
    };
    let selection = named("Nova", "");
    let layout = read(&files, &LayoutOptions::new(&selection));
    assert_eq!(cells(&layout).len(), 1);
    // Other faults beside it are not reported.
    assert_eq!(faults(&layout.faults), ["ReleaseWithoutRefs patches/nova/2025.2"]);
    for (component, release, told) in [
        (
            "nvoa",
            "",
            "--component nvoa: no such name; did you mean nova? there is glance, nova",
        ),
        ("zzz", "", "--component zzz: no such name; there is glance, nova"),
        (
            "",
            "2025.1",
            "--release 2025.1: no such name; did you mean 2025.2?",
        ),
    ] {
        let selection = named(component, release);
        let error = RepositoryLayout::read(&files, &LayoutOptions::new(&selection)).unwrap_err();
        assert!(error.to_string().starts_with(told), "{error}");
    }
    let rules = Selection::by_rules(|component| component.starts_with('n'), |_| true);
    assert_eq!(cells(&read(&files, &LayoutOptions::new(&rules))).len(), 1);
    assert!(
        faults(&read(&files, &LayoutOptions::new(&rules)).faults)
            .contains(&"StrayFile patches/stray".to_owned())
    );
}

/// Endlessly nested folders.
struct EndlessFiles;

impl RepositoryFiles for EndlessFiles {
    fn entries(&self, folder: &str) -> Result<Option<Vec<FolderEntry>>, FilesError> {
        let names = match folder {
            "" => vec!["patches".to_owned()],
            _ => (0..2000).map(|number| format!("2025.{number}")).collect(),
        };
        let entries = names.into_iter().map(|name| FolderEntry {
            name,
            kind: FileKind::Folder,
        });
        Ok(Some(entries.collect()))
    }

    fn read(&self, path: &str, _: u64) -> Result<Vec<u8>, FilesError> {
        Err(FilesError::NotFound {
            path: path.to_owned(),
        })
    }
}

#[test]
fn a_repository_without_an_end_is_bounded() {
    let everything = Selection::default();
    for kind in LayoutKind::ALL {
        let options = LayoutOptions {
            kind,
            branch: Some("main"),
            component: Some("x"),
            ..LayoutOptions::new(&everything)
        };
        match RepositoryLayout::read(&EndlessFiles, &options) {
            Err(LayoutError::TooMuch { .. }) => {}
            Ok(layout) => assert!(layout.faults.len() <= 10_000, "{kind}"),
            Err(error) => panic!("{kind}: {error}"),
        }
    }
}

#[test]
fn a_tree_of_objects_is_read_with_its_links_and_odd_names() {
    let mut store = MemoryStore::new();
    let files: [(&[u8], EntryMode, &[u8]); 6] = [
        (b"p/a.patch", EntryMode::Regular, b"A"),
        (b"p/b.patch", EntryMode::Symlink, b"../shared/b.patch"),
        (b"p/out.patch", EntryMode::Symlink, b"../../x"),
        (b"p/odd-\xff.patch", EntryMode::Regular, b"x"),
        (b"p/to-odd.patch", EntryMode::Symlink, b"odd-\xff.patch"),
        (b"shared/b.patch", EntryMode::Executable, b"B"),
    ];
    let root = store.add_files(files).unwrap();
    let files = TreeFiles::new(&store, root);
    let found = Series::read(&files, "p").unwrap().unwrap();
    let paths: Vec<&str> = found.patches.iter().map(|patch| patch.path.as_str()).collect();
    assert_eq!(paths, ["p/a.patch", "shared/b.patch"]);
    let told = faults(&found.faults);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told.iter().all(|fault| fault.starts_with("RefusedLink")),
        "{told:?}"
    );
    assert_eq!(files.read("shared/b.patch", 1).unwrap(), b"B");
    assert!(matches!(
        files.read("shared/b.patch", 0),
        Err(FilesError::TooLarge { .. })
    ));
    assert!(matches!(files.read("p", 9), Err(FilesError::NotFound { .. })));
    assert!(files.entries("p/a.patch").unwrap().is_none());
}
