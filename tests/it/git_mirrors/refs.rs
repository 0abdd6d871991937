//! What refs resolve to, on real servers.

use git_mirrors::{Class, Error, FileLimits, Freshness, Mirrors, RefSpec, Resolved, Upstream};

use super::{anonymous, mirrors, soon};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;

struct Case {
    _root: tempfile::TempDir,
    cache: tempfile::TempDir,
    repo: GitRepo,
    server: GitServer,
    mirrors: Mirrors,
    upstream: Upstream,
}

impl Case {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let repo = GitRepo::create(root.path(), "repo");
        let server = GitServer::http(root.path()).start();
        let cache = tempfile::tempdir().unwrap();
        Self {
            mirrors: mirrors(cache.path()),
            upstream: anonymous(&server.url("repo")),
            _root: root,
            cache,
            repo,
            server,
        }
    }

    fn resolve(&self, want: &RefSpec) -> Result<Resolved, Error> {
        self.mirrors.resolve(&self.upstream, want, Freshness::Now, soon())
    }

    fn revision(&self, want: &RefSpec) -> String {
        let resolved = self.resolve(want).unwrap_or_else(|error| panic!("{error}"));
        let snapshot = self.mirrors.snapshot(&self.upstream, &resolved, soon()).unwrap();
        assert_eq!(snapshot.commit(), resolved.commit());
        resolved.revision().to_string()
    }
}

fn semver(range: &str) -> RefSpec {
    RefSpec::Semver(range.parse().unwrap())
}

fn any(value: &str) -> RefSpec {
    RefSpec::Any(value.to_owned())
}

#[test]
fn names_commits_and_defaults() {
    let case = Case::new();
    let first = case.repo.commit(&[("a", "1\n")], "one");
    case.repo.git(&["tag", "--annotate", "--message=x", "31.0.0"]);
    // A tag of a tag, and a tag and a branch of one name.
    case.repo
        .git(&["tag", "--annotate", "--message=y", "nested", "31.0.0"]);
    let second = case.repo.commit(&[("a", "2\n")], "two");
    case.repo.git(&["branch", "stable/2025.2"]);
    case.repo.git(&["branch", "31.0.0"]);
    let middle = case.repo.commit(&[("a", "3\n")], "three");
    let tip = case.repo.commit(&[("a", "4\n")], "four");
    let branch = |name: &str| RefSpec::Branch(name.to_owned());
    let tag = |name: &str| RefSpec::Tag(name.to_owned());

    assert_eq!(
        case.revision(&branch("stable/2025.2")),
        format!("stable/2025.2@sha1:{second}")
    );
    assert_eq!(
        case.revision(&branch("refs/heads/main")),
        format!("main@sha1:{tip}")
    );
    assert_eq!(case.revision(&branch("31.0.0")), format!("31.0.0@sha1:{second}"));
    assert_eq!(case.revision(&tag("31.0.0")), format!("31.0.0@sha1:{first}"));
    assert_eq!(case.revision(&tag("nested")), format!("nested@sha1:{first}"));
    assert_eq!(
        case.revision(&any("31.0.0")),
        format!("31.0.0@sha1:{first}"),
        "the tag goes before"
    );
    assert_eq!(
        case.revision(&any("stable/2025.2")),
        format!("stable/2025.2@sha1:{second}")
    );
    assert_eq!(case.revision(&RefSpec::Default), format!("main@sha1:{tip}"));
    // In full, although no ref ends there.
    assert_eq!(
        case.revision(&RefSpec::Commit(middle.clone())),
        format!("sha1:{middle}")
    );
    assert_eq!(case.revision(&any(&middle)), format!("sha1:{middle}"));
    // Abbreviated: the tip of a ref is found, but not a commit held because it was requested in
    // full.
    assert_eq!(
        case.revision(&RefSpec::Commit(tip[..7].to_owned())),
        format!("sha1:{tip}")
    );
    for short in [RefSpec::Commit(middle[..9].to_owned()), any(&middle[..9])] {
        let error = case.resolve(&short).unwrap_err();
        assert!(matches!(error, Error::RefInvalid { .. }), "{error}");
        assert!(error.to_string().contains("write all 40"), "{error}");
    }
}

#[test]
fn a_commit_that_is_held_costs_no_network() {
    let case = Case::new();
    let tip = case.repo.commit(&[("a", "1\n")], "one");
    let want = RefSpec::Commit(tip);
    case.revision(&want);
    let asked = || {
        case.server
            .counts()
            .requests
            .load(std::sync::atomic::Ordering::SeqCst)
    };
    let before = asked();
    case.revision(&want);
    assert_eq!(asked(), before);
    // Not even after a restart without any server.
    let (url, root) = (case.server.url("repo"), case.cache);
    drop((case.server, case.mirrors));
    let again = mirrors(root.path());
    let upstream = anonymous(&url);
    let resolved = again.resolve(&upstream, &want, Freshness::Now, soon()).unwrap();
    let snapshot = again.snapshot(&upstream, &resolved, soon()).unwrap();
    assert_eq!(snapshot.read_file("a", &FileLimits::default()).unwrap(), b"1\n");
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let case = Case::new();
    case.repo.commit(&[("a", "1\n")], "one");
    for branch in [
        "stable/2025.1",
        "stable/2025.2",
        "stable/2026.1",
        "unmaintained/zed",
    ] {
        case.repo.git(&["branch", branch]);
    }
    for tag in ["31.0.0", "31.1.0", "30.0.0"] {
        case.repo.git(&["tag", tag]);
    }
    let near = |want: &RefSpec| match case.resolve(want) {
        Err(Error::RefNotFound { near, wanted, .. }) => (wanted, near.join(" ")),
        other => panic!("{other:?}"),
    };
    let (wanted, names) = near(&RefSpec::Branch("stable/2026.2".to_owned()));
    assert_eq!(wanted, "branch stable/2026.2");
    assert_eq!(names, "stable/2026.1 stable/2025.2 stable/2025.1");
    assert_eq!(near(&RefSpec::Tag("31.0.1".to_owned())).1, "31.0.0 31.1.0 30.0.0");
    assert_eq!(near(&semver(">=32")).1, "31.1.0 31.0.0 30.0.0");
    assert_eq!(near(&any("master")).1, "");

    let error = case
        .resolve(&RefSpec::Commit("0123456789".to_owned()))
        .unwrap_err();
    assert!(error.to_string().contains("write all 40"), "{error}");
    assert_eq!(error.class(), Class::Invalid);
    let error = case.resolve(&RefSpec::Commit("xyz".to_owned())).unwrap_err();
    assert_eq!(error.class(), Class::Invalid);
    let gone = RefSpec::Commit("0123456789012345678901234567890123456789".to_owned());
    let resolved = case.resolve(&gone).unwrap();
    let error = case
        .mirrors
        .snapshot(&case.upstream, &resolved, soon())
        .unwrap_err();
    assert!(matches!(error, Error::RefNotFound { .. }), "{error:?}");
}

#[test]
fn ranges_choose_the_highest_tag() {
    let case = Case::new();
    case.repo.commit(&[("a", "1\n")], "one");
    for tag in [
        "30.0.0",
        "31.0.0",
        "31.0.0.0rc1",
        "31.2.0-rc.1",
        "31.1.0",
        "v31.1.1",
        "32.0",
        "9.0.0",
        "2025.2",
        "not-a-version",
    ] {
        case.repo.git(&["tag", tag]);
    }
    for (range, expected) in [
        (">=31.0.0, <32", "v31.1.1"),
        (">=31.0.0 <32", "v31.1.1"),
        (">= 30 <31", "30.0.0"),
        ("~31.0.0", "31.0.0"),
        ("^9", "9.0.0"),
        ("31.x", "v31.1.1"),
        ("31.1.0", "31.1.0"),
        ("v31.1.1", "v31.1.1"),
        ("<1000", "32.0"),
        (">=31.2.0-0, <32", "31.2.0-rc.1"),
    ] {
        let resolved = case
            .resolve(&semver(range))
            .unwrap_or_else(|error| panic!("{range}: {error}"));
        assert_eq!(resolved.revision().name(), Some(expected), "{range}");
    }
    for malformed in ["", "  ", ">=", "1.0 || 2.0", "latest", ">=1.0, !"] {
        let error = malformed.parse::<git_mirrors::VersionRange>().unwrap_err();
        assert_eq!(error.class(), Class::Invalid, "{malformed}");
    }
}

#[test]
fn moved_and_forced_branches_are_seen() {
    let case = Case::new();
    let big = super::noise(3, 60_000);
    let first = case.repo.commit(&[("big", big.as_str()), ("a", "1\n")], "one");
    let main = RefSpec::Branch("main".to_owned());
    assert_eq!(case.revision(&main), format!("main@sha1:{first}"));
    let before = case.mirrors.stats().received_bytes;
    let second = case.repo.commit(&[("a", "2\n")], "two");
    assert_eq!(case.revision(&main), format!("main@sha1:{second}"));
    let moved = case.mirrors.stats().received_bytes - before;
    assert!(
        moved < before / 5,
        "only what is new is fetched: {moved} of {before} bytes"
    );
    case.repo.git(&["reset", "--hard", "--quiet", &first]);
    let forced = case.repo.commit(&[("a", "3\n")], "other");
    assert_eq!(case.revision(&main), format!("main@sha1:{forced}"));
    // What was dropped is still held.
    assert_eq!(
        case.revision(&RefSpec::Commit(second.clone())),
        format!("sha1:{second}")
    );
    // git itself finds the mirror intact.
    let folder = |path: &std::path::Path| {
        let entries = std::fs::read_dir(path).unwrap().flatten();
        entries
            .map(|entry| entry.path())
            .find(|path| path.is_dir())
            .expect("a folder")
    };
    let fsck = std::process::Command::new("git")
        .arg("--git-dir")
        .arg(folder(&folder(case.cache.path())))
        .args(["fsck", "--full", "--strict"])
        .output()
        .unwrap();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stderr));
}

#[test]
fn servers_with_version_0_only() {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "repo");
    let first = repo.commit(&[("a", "1\n")], "one");
    repo.git(&["tag", "--annotate", "--message=x", "1.0.0"]);
    let middle = repo.commit(&[("a", "2\n")], "two");
    let tip = repo.commit(&[("a", "3\n")], "three");
    let server = GitServer::http(root.path()).version_0().start();
    let daemon = GitServer::daemon(root.path());
    for upstream in [anonymous(&server.url("repo")), anonymous(&daemon.url("repo"))] {
        let cache = tempfile::tempdir().unwrap();
        let mirrors = mirrors(cache.path());
        let get = |want: RefSpec| {
            let resolved = mirrors.resolve(&upstream, &want, Freshness::Now, soon())?;
            mirrors.snapshot(&upstream, &resolved, soon())
        };
        assert_eq!(
            get(RefSpec::Tag("1.0.0".to_owned()))
                .unwrap()
                .commit()
                .to_string(),
            first
        );
        assert_eq!(get(RefSpec::Default).unwrap().commit().to_string(), tip);
        // Over HTTP, and with version 2 as the daemon speaks it, any commit of a branch is served.
        let snapshot = get(RefSpec::Commit(middle.clone())).unwrap();
        assert_eq!(snapshot.commit().to_string(), middle);
    }
}

#[test]
fn an_empty_repository_has_no_refs() {
    let case = Case::new();
    for want in [RefSpec::Default, RefSpec::Branch("main".to_owned())] {
        let error = case.resolve(&want).unwrap_err();
        assert!(matches!(error, Error::RefNotFound { .. }), "{error:?}");
    }
}
