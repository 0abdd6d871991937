//! The same tree gives the same digest, and nothing from outside the tree goes into a layer.

use std::collections::HashMap;
use std::process::Command as Program;
use std::time::{Duration, Instant};

use bytes::Bytes;
use git_apply_engine::{EntryMode, ObjectError, Objects, Oid, TreeEntry};
use rstest::rstest;
use source_images::layer::{Contents, File, measure, write};
use source_images::python::version_file;
use source_images::{Error, TimedStore};

use super::{source, told, upstream};
use crate::support::git_repo::GitRepo;

const PATCH: &str =
    "Subject: [PATCH] Two\n\n--- a/file.txt\n+++ b/file.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n";

#[test]
fn the_same_tree_gives_the_same_image_wherever_it_comes_from() {
    let root = tempfile::tempdir().unwrap();
    let repo = upstream(root.path());
    let git = repo.dir.to_str().unwrap();
    let from_git = told(&["--repo", git, "--ref", "1.2.3"]);

    // Another repository, another history, other packing.
    let other = GitRepo::create(root.path(), "other");
    other.git(&[
        "fetch",
        "--quiet",
        "--depth=1",
        git,
        "refs/tags/1.2.3:refs/tags/1.2.3",
    ]);
    other.git(&["repack", "-adq", "--window=50"]);
    assert_eq!(
        told(&["--repo", other.dir.to_str().unwrap(), "--ref", "1.2.3"]),
        from_git
    );

    // A plain folder with other times, and not in Git.
    let folder = root.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let archive = Program::new("sh")
        .arg("-c")
        .arg(format!(
            "git --git-dir '{git}' archive 1.2.3 | tar -x -m -C '{}'",
            folder.display()
        ))
        .status()
        .unwrap();
    assert!(archive.success());
    let from_folder = told(&[folder.to_str().unwrap()]);
    assert_eq!(from_folder["tree"], from_git["tree"]);
    assert_eq!(from_folder["layer"], from_git["layer"]);
    assert_eq!(from_folder["tree"], repo.git(&["rev-parse", "1.2.3^{tree}"]));

    // The bytes must never change: registries hold what older versions made.
    assert_eq!(
        from_git["layer"],
        "sha256:85a174ba4becb6205d03a2bc9a28cf6dfc9146e4fc7c4946dad51e337a868921"
    );
}

#[test]
fn a_patched_tree_is_that_of_git_apply() {
    let root = tempfile::tempdir().unwrap();
    let repo = upstream(root.path());
    let patch = root.path().join("0001-two.patch");
    std::fs::write(&patch, PATCH).unwrap();
    let git = repo.dir.to_str().unwrap();
    let patched = told(&[
        "--repo",
        git,
        "--ref",
        "1.2.3",
        "--component",
        "component",
        "--release",
        "2025.2",
        "--url",
        "https://example.org/component",
        patch.to_str().unwrap(),
    ]);
    repo.git(&["read-tree", "1.2.3"]);
    repo.git(&["apply", "--cached", patch.to_str().unwrap()]);
    assert_eq!(patched["tree"], repo.git(&["write-tree"]));
    let labels = &patched["labels"];
    assert_eq!(labels["org.opencontainers.image.revision"], "1.2.3");
    assert_eq!(labels["org.opencontainers.image.version"], "1.2.3");
    assert_eq!(labels["patching.c5c3.io/tree"], patched["tree"]);
    assert_eq!(labels["patching.c5c3.io/release"], "2025.2");
    let patches: serde_json::Value =
        serde_json::from_str(labels["patching.c5c3.io/patches"].as_str().unwrap()).unwrap();
    assert_eq!(patches[0]["name"], "0001-two.patch");

    std::fs::write(&patch, PATCH.replace("-two", "-zwei")).unwrap();
    let failed = source(&["--repo", git, "--ref", "1.2.3", patch.to_str().unwrap()])
        .assert()
        .code(1);
    let text = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
    assert!(text.contains("0001-two.patch does not apply"), "{text}");
    assert!(failed.get_output().stdout.is_empty());
}

#[test]
fn what_cannot_be_taken_is_told() {
    for (arguments, part) in [
        (&[][..], "required"),
        (&["--repo", "/nowhere", "--ref", "x"], "/nowhere"),
        (&["/nowhere"], "/nowhere"),
        (&["--repo", "/tmp"], "--ref"),
    ] {
        let failed = source(arguments).assert().code(2);
        let text = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// A store with one blob, and trees exactly as given, however wrong.
struct Forged(HashMap<Oid, Vec<TreeEntry>>, &'static str);

impl Default for Forged {
    fn default() -> Self {
        Self(HashMap::new(), "/etc")
    }
}

impl Forged {
    fn forge(&mut self, entries: &[(EntryMode, &[u8], Oid)]) -> Oid {
        let id = Oid::of_blob(format!("{entries:?}").as_bytes());
        let entries = entries.iter().map(|(mode, name, id)| TreeEntry {
            mode: *mode,
            name: (*name).into(),
            id: *id,
        });
        self.0.insert(id, entries.collect());
        id
    }
}

impl Objects for Forged {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        self.0.get(&id).cloned().ok_or(ObjectError::NotFound(id))
    }

    fn blob(&self, _: Oid) -> Result<Bytes, ObjectError> {
        Ok(Bytes::from_static(self.1.as_bytes()))
    }

    fn blob_size(&self, _: Oid) -> Result<u64, ObjectError> {
        Ok(self.1.len() as u64)
    }
}

fn contents(tree: Oid) -> Contents {
    Contents {
        tree: Some(tree),
        files: Vec::new(),
    }
}

#[rstest]
#[case(b"..", "leads out")]
#[case(b".", "leads out")]
#[case(b"", "empty name")]
#[case(b"a/b", "slash")]
#[case(b"/etc/passwd", "slash")]
#[case(b".git", "repository")]
#[case(b".GIT", "repository")]
#[case(b"a\0b", "NUL")]
#[case(b".wh.x", "delete")]
#[case(b".wh..wh..opq", "delete")]
fn hostile_names_are_refused(#[case] name: &[u8], #[case] reason: &str) {
    let mut forged = Forged::default();
    let blob = Oid::of_blob(b"");
    let inner = forged.forge(&[(EntryMode::Regular, name, blob)]);
    let outer = forged.forge(&[(EntryMode::Tree, b"ok", inner)]);
    for tree in [inner, outer] {
        let error = measure(&forged, &contents(tree)).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_link_does_not_lead_a_folder_of_the_same_name_out_of_the_tree() {
    let mut forged = Forged::default();
    let blob = Oid::of_blob(b"");
    let inner = forged.forge(&[(EntryMode::Regular, b"passwd", blob)]);
    let tree = forged.forge(&[(EntryMode::Symlink, b"x", blob), (EntryMode::Tree, b"x", inner)]);
    let error = measure(&forged, &contents(tree)).unwrap_err().to_string();
    assert!(error.contains("\"x\" occurs twice"), "{error}");
}

#[test]
fn a_tree_that_holds_itself_is_refused() {
    let mut forged = Forged::default();
    let id = forged.forge(&[]);
    forged.0.insert(
        id,
        vec![TreeEntry {
            mode: EntryMode::Tree,
            name: "again".into(),
            id,
        }],
    );
    let error = measure(&forged, &contents(id)).unwrap_err().to_string();
    assert!(error.contains("the depth of folders"), "{error}");
}

/// A tree of nested folders, ten in each, with 10^`power` entries in total.
fn broad(forged: &mut Forged, entry: EntryMode, power: usize) -> Oid {
    let (mut mode, mut id) = (entry, Oid::of_blob(b""));
    for _ in 0..power {
        let names: Vec<[u8; 1]> = (b'0'..=b'9').map(|digit| [digit]).collect();
        let entries: Vec<_> = names.iter().map(|name| (mode, name.as_slice(), id)).collect();
        (mode, id) = (EntryMode::Tree, forged.forge(&entries));
    }
    id
}

#[test]
fn a_walk_over_a_tree_ends_with_its_time() {
    let mut forged = Forged::default();
    let tree = broad(&mut forged, EntryMode::Regular, 9);
    let begun = Instant::now();
    let timed = TimedStore::new(forged, begun + Duration::from_millis(50));
    let refused = measure(&timed, &contents(tree)).unwrap_err();
    assert!(
        matches!(refused, Error::Object(ObjectError::Interrupted(_))),
        "{refused} after {:?}",
        begun.elapsed()
    );
    let late = version_file(&timed, tree, None).unwrap_err();
    assert!(
        matches!(late, Error::Object(ObjectError::Interrupted(_))),
        "{late}"
    );
}

/// Submodules are in no list of files, and count all the same.
#[test]
fn a_list_of_files_is_not_made_of_a_tree_with_too_many_entries() {
    let mut forged = Forged::default();
    let submodules = broad(&mut forged, EntryMode::Gitlink, 9);
    let blob = Oid::of_blob(b"");
    let tree = forged.forge(&[
        (EntryMode::Tree, b"a", submodules),
        (EntryMode::Regular, b"setup.cfg", blob),
    ]);
    forged.1 = "[metadata]\nname = demo\n[pbr]\n";
    let version = "1.0".parse().unwrap();
    let refused = version_file(&forged, tree, Some(&version)).unwrap_err();
    assert!(refused.to_string().contains("the number of files"), "{refused}");
}

#[test]
fn a_file_alone_makes_a_layer() {
    let constraints = Contents {
        tree: None,
        files: vec![File {
            name: "upper-constraints.txt".into(),
            content: b"a===1\n".to_vec(),
        }],
    };
    let forged = Forged::default();
    let mut tar = Vec::new();
    write(&forged, &constraints, &mut tar).unwrap();
    let layer = measure(&forged, &constraints).unwrap();
    assert_eq!(layer.size, tar.len() as u64);
    let mut archive = tar::Archive::new(&tar[..]);
    let mut entries = archive.entries().unwrap();
    let entry = entries.next().unwrap().unwrap();
    assert_eq!(entry.path().unwrap().to_str(), Some("upper-constraints.txt"));
    let header = entry.header();
    assert_eq!(
        (
            header.mtime().unwrap(),
            header.uid().unwrap(),
            header.mode().unwrap()
        ),
        (315_532_800, 0, 0o644)
    );
    assert!(entries.next().is_none());
}
