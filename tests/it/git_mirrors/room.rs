//! What fetches may take: disk space, memory, and other mirrors' share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use git_mirrors::{Class, Error, Freshness, MirrorConfig, Mirrors, RefSpec, Snapshot, Upstream};

use super::{anonymous, config, mirrors, noise, soon};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::{Fault, GitServer};
use crate::support::measured::run;

fn fetch(mirrors: &Mirrors, upstream: &Upstream) -> Result<Snapshot, Error> {
    let want = RefSpec::Branch("main".to_owned());
    let resolved = mirrors.resolve(upstream, &want, Freshness::Now, soon())?;
    mirrors.snapshot(upstream, &resolved, soon())
}

fn served(names: &[&str]) -> (tempfile::TempDir, GitServer) {
    let root = tempfile::tempdir().unwrap();
    for (name, seed) in names.iter().zip(1..) {
        GitRepo::create(root.path(), name).commit(&[("noise", &noise(seed, 200_000))], "one");
    }
    let server = GitServer::http(root.path()).start();
    (root, server)
}

fn names(cache: &Path) -> Vec<String> {
    let entries = fs::read_dir(cache).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name != "key").collect()
}

fn only_mirror(cache: &Path) -> PathBuf {
    let folders: Vec<String> = names(cache)
        .into_iter()
        .filter(|name| !name.contains('.'))
        .collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    cache.join(&folders[0])
}

#[test]
fn a_mirror_goes_with_all_that_is_beside_it() {
    let (_root, server) = served(&["a", "b", "c"]);
    let cache = tempfile::tempdir().unwrap();
    let bounded = Mirrors::open(MirrorConfig {
        capacity: 450_000,
        ..config(cache.path())
    })
    .unwrap();
    for name in ["a", "b", "c"] {
        fetch(&bounded, &anonymous(&server.url(name))).unwrap();
        assert!(bounded.disk_bytes() <= 450_000);
    }
    assert_eq!(bounded.stats().evictions, 1);
    assert_eq!(names(cache.path()).len(), 2 * 4, "{:?}", names(cache.path()));
    // Files whose mirror was removed without them are swept at the start.
    let orphan = "0123456789abcdef0123456789abcdef";
    for extension in ["use", "lock", "look"] {
        fs::write(cache.path().join(format!("{orphan}.{extension}")), "").unwrap();
    }
    drop(mirrors(cache.path()));
    assert!(!names(cache.path()).iter().any(|name| name.starts_with(orphan)));
}

#[test]
fn a_fetch_measures_its_own_mirror_alone() {
    let (_root, server) = served(&["a", "b"]);
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    fetch(&mirrors, &anonymous(&server.url("a"))).unwrap();
    fs::write(only_mirror(cache.path()).join("more"), vec![0; 5_000_000]).unwrap();
    fetch(&mirrors, &anonymous(&server.url("b"))).unwrap();
    assert!(mirrors.disk_bytes() < 5_000_000, "{}", mirrors.disk_bytes());
    // Opening the folder measures everything.
    assert!(super::mirrors(cache.path()).disk_bytes() > 5_000_000);
}

#[test]
fn who_removes_a_mirror_is_waited_for_until_the_deadline() {
    let (_root, server) = served(&["a"]);
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let upstream = anonymous(&server.url("a"));
    drop(fetch(&mirrors, &upstream).unwrap());
    let users = fs::File::open(only_mirror(cache.path()).with_extension("use")).unwrap();
    users.lock().unwrap();
    let want = RefSpec::Branch("main".to_owned());
    let resolved = mirrors.resolve(&upstream, &want, Freshness::Now, soon()).unwrap();
    let deadline = Instant::now() + Duration::from_millis(300);
    let error = mirrors.snapshot(&upstream, &resolved, deadline).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    drop(users);
    mirrors.snapshot(&upstream, &resolved, soon()).unwrap();
}

#[test]
fn a_fetch_that_fails_leaves_nothing() {
    let (_root, server) = served(&["a"]);
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let upstream = anonymous(&server.url("a"));
    server.fail(Fault::CutPack(500));
    // A process that another test starts holds this process's locks until it executes its own
    // program.
    let is_empty = (0..20).any(|_| {
        assert_eq!(fetch(&mirrors, &upstream).unwrap_err().class(), Class::Transient);
        names(cache.path()).is_empty()
    });
    assert!(is_empty, "{:?}", names(cache.path()));
    assert_eq!(mirrors.disk_bytes(), 0);
    server.fail(Fault::None);
    drop(fetch(&mirrors, &upstream).unwrap());
    assert_eq!(names(cache.path()).len(), 4);
    // What is held stays.
    server.fail(Fault::CutPack(500));
    let other = RefSpec::Commit("1".repeat(40));
    let resolved = mirrors
        .resolve(&upstream, &other, Freshness::Now, soon())
        .unwrap();
    mirrors.snapshot(&upstream, &resolved, soon()).unwrap_err();
    assert_eq!(names(cache.path()).len(), 4);
}

#[test]
fn room_is_made_before_a_pack_comes_or_it_does_not_come() {
    let (_root, server) = served(&["a", "b", "c"]);
    let cache = tempfile::tempdir().unwrap();
    let bounded = Mirrors::open(MirrorConfig {
        capacity: 450_000,
        ..config(cache.path())
    })
    .unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| anonymous(&server.url(name)));
    let in_use = (fetch(&bounded, &a).unwrap(), fetch(&bounded, &b).unwrap());
    let error = fetch(&bounded, &c).unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");
    assert!(error.to_string().contains("--storage-capacity"), "{error}");
    assert!(bounded.disk_bytes() <= 450_000);
    drop(in_use);
    fetch(&bounded, &c).unwrap();
    // No pack is larger than half of it.
    let small = tempfile::tempdir().unwrap();
    let small = Mirrors::open(MirrorConfig {
        capacity: 200_000,
        ..config(small.path())
    })
    .unwrap();
    assert_eq!(fetch(&small, &a).unwrap_err().class(), Class::TooLarge);
}

#[test]
fn a_file_that_is_too_large_is_refused_as_it_comes() {
    let (_root, server) = served(&["a"]);
    let cache = tempfile::tempdir().unwrap();
    let bounded = Mirrors::open(MirrorConfig {
        max_object: 150_000,
        ..config(cache.path())
    })
    .unwrap();
    let error = fetch(&bounded, &anonymous(&server.url("a"))).unwrap_err();
    assert_eq!(error.class(), Class::TooLarge, "{error}");
    assert!(error.to_string().contains("a file in the pack"), "{error}");
}

/// The real program, limited to 300 MiB in total.
#[test]
fn a_large_file_of_a_server_takes_no_memory() {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "demo");
    let file = fs::File::create(repo.work().join("zeros")).unwrap();
    file.set_len(512 << 20).unwrap();
    repo.commit(&[("file.txt", crate::controller::BASE)], "one");
    repo.git(&["tag", "1.0.0"]);
    let server = GitServer::http(root.path()).start();
    let layout = tempfile::tempdir().unwrap();
    super::destinations::layout(layout.path());
    let done = run(Command::new(env!("CARGO_BIN_EXE_patchset"))
        .arg("check")
        .arg(layout.path())
        .args(["--upstream", &format!("http://{}", server.host()), "--cache-dir"])
        .arg(layout.path().join("cache")));
    assert_eq!(done.code, Some(1), "{}{}", done.stdout, done.stderr);
    assert!(
        done.stdout.contains("larger than the limit of 100 MiB"),
        "{}",
        done.stdout
    );
    assert!(done.peak < 300 << 10, "{} KiB", done.peak);
}
