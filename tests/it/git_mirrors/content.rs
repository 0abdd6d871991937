//! What identifies the files at a path of a commit.

use std::time::Duration;

use git_mirrors::{FileLimits, Freshness, Mirrors, Oid, PathContent, RefSpec, Upstream};

use super::{anonymous, mirrors, soon, with_secret};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;

const PATHS: [&str; 6] = ["", "a/b", "a/b/one.patch", "linked", "linked/two.patch", "gone"];

/// The contents of the paths at the newest commit.
fn contents(mirrors: &Mirrors, upstream: &Upstream) -> [PathContent; 6] {
    let resolved = mirrors.resolve(upstream, &RefSpec::Default, Freshness::Now, soon());
    let resolved = resolved.unwrap();
    PATHS.map(|path| mirrors.content(upstream, &resolved, path, soon()).unwrap())
}

#[test]
fn a_commit_changes_what_its_files_change_and_links_all() {
    let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let repo = GitRepo::create(root.path(), "repo");
    let server = GitServer::http(root.path()).start();
    let upstream = anonymous(&server.url("repo"));
    std::fs::create_dir_all(repo.work().join("linked")).unwrap();
    std::os::unix::fs::symlink("../a/b/one.patch", repo.work().join("linked/two.patch")).unwrap();
    repo.commit(&[("a/b/one.patch", "one\n"), ("other", "1\n")], "one");
    let tree = |path: &str| repo.git(&["rev-parse", &format!("main:{path}")]).parse().unwrap();
    let mirrors = mirrors(cache.path());

    let first = contents(&mirrors, &upstream);
    let linked = PathContent::Linked { root: tree("") };
    assert_eq!(
        first,
        [
            linked,
            PathContent::Folder { tree: tree("a/b") },
            PathContent::File {
                blob: tree("a/b/one.patch")
            },
            linked,
            linked,
            PathContent::Absent,
        ]
    );
    let packs = server.packs();
    assert_eq!(contents(&mirrors, &upstream), first);
    assert_eq!(server.packs(), packs, "what is known is not fetched");

    // Another file: only paths that may lead there by a link change.
    repo.commit(&[("other", "2\n")], "two");
    let second = contents(&mirrors, &upstream);
    assert_eq!([second[1], second[2], second[5]], [first[1], first[2], first[5]]);
    assert!(second[0] != first[0] && second[3] != first[3] && second[4] != first[4]);
    assert_eq!(server.packs(), packs + 1);

    // The file that the link leads to.
    repo.commit(&[("a/b/one.patch", "one more\n"), ("gone/file", "x\n")], "three");
    let third = contents(&mirrors, &upstream);
    for (path, (before, now)) in PATHS.iter().zip(second.iter().zip(&third)) {
        assert_ne!(before, now, "{path}");
    }
    let known = mirrors.resolve(
        &upstream,
        &RefSpec::Default,
        Freshness::MaxAge(Duration::from_secs(600)),
        soon(),
    );
    let known = mirrors
        .known_content(&upstream, &known.unwrap(), "./a//b/")
        .unwrap();
    assert_eq!(known, Some(third[1]));
    assert!(
        mirrors
            .known_content(
                &anonymous(&server.url("other")),
                &mirrors
                    .resolve(&upstream, &RefSpec::Default, Freshness::Now, soon())
                    .unwrap(),
                "a/b"
            )
            .unwrap()
            .is_none()
    );
}

#[test]
fn held_files_are_given_by_their_ids_to_the_same_login_alone_and_no_server_is_asked() {
    let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let repo = GitRepo::create(root.path(), "repo");
    let large = "large\n".repeat(100);
    repo.commit(&[("one", "one\n"), ("two", "two\n"), ("large", &large)], "files");
    let blob = |name: &str| -> Oid { repo.git(&["rev-parse", &format!("main:{name}")]).parse().unwrap() };
    let tree: Oid = repo.git(&["rev-parse", "main^{tree}"]).parse().unwrap();
    let blobs = [
        blob("one"),
        blob("two"),
        blob("large"),
        tree,
        Oid::of_blob(b"none"),
    ];
    let server = GitServer::http(root.path()).basic("a", "b").start();
    let login =
        |password: &str| with_secret(&server.url("repo"), &[("username", "a"), ("password", password)]);
    let mirrors = mirrors(cache.path());
    let limits = FileLimits {
        file: 100,
        ..FileLimits::default()
    };
    let held = |upstream: &Upstream, limits: &FileLimits| {
        mirrors.held_blobs(upstream, &blobs, limits, soon()).unwrap()
    };
    let files = || std::fs::read_dir(cache.path()).unwrap().count();
    let before = files();
    assert_eq!(held(&login("b"), &limits), None, "nothing was fetched yet");
    assert_eq!(files(), before, "a question leaves something behind");
    let want = RefSpec::Default;
    mirrors.fetch(&login("b"), &want, Freshness::Now, soon()).unwrap();
    let (looks, packs) = (server.looks(), server.packs());

    let found = held(&login("b"), &limits).unwrap();
    let contents: Vec<&[u8]> = [blob("one"), blob("two")]
        .iter()
        .map(|blob| &*found.contents[blob])
        .collect();
    assert_eq!(contents, [b"one\n", b"two\n"]);
    assert_eq!(found.contents.len(), 2);
    assert_eq!(
        found.beyond_limits.into_iter().collect::<Vec<_>>(),
        [blob("large")]
    );
    let tight = FileLimits { total: 6, ..limits };
    let found = held(&login("b"), &tight).unwrap();
    assert_eq!(found.contents.len(), 1, "together they are bounded");

    for other in [anonymous(&server.url("repo")), login("c")] {
        assert_eq!(held(&other, &limits), None);
    }
    assert_eq!((server.looks(), server.packs()), (looks, packs));
}
