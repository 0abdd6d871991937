//! How often an upstream is looked at, and what is known about it after a restart.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git_mirrors::{Error, Freshness, MirrorConfig, Mirrors, RefSpec, Resolved, Upstream};

use super::{anonymous, config, soon, with_secret};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::{Fault, GitServer};

const HOUR: Duration = Duration::from_secs(3600);
const NEW: Freshness = Freshness::MaxAge(Duration::ZERO);

struct Case {
    _root: tempfile::TempDir,
    repo: GitRepo,
    server: GitServer,
    cache: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let repo = GitRepo::create(root.path(), "repo");
        repo.commit(&[("a", "1\n")], "one");
        let server = GitServer::http(root.path()).start();
        Self {
            _root: root,
            repo,
            server,
            cache: tempfile::tempdir().unwrap(),
        }
    }

    fn mirrors(&self, look_interval: Duration) -> Mirrors {
        Mirrors::open(MirrorConfig {
            look_interval,
            ..config(self.cache.path())
        })
        .unwrap()
    }

    fn upstream(&self) -> Upstream {
        anonymous(&self.server.url("repo"))
    }
}

fn look(mirrors: &Mirrors, upstream: &Upstream, freshness: Freshness) -> Result<Resolved, Error> {
    mirrors.resolve(upstream, &RefSpec::Branch("main".to_owned()), freshness, soon())
}

fn files(cache: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cache)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    entries
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

#[test]
fn an_upstream_is_left_in_peace_but_by_those_who_know_of_news() {
    let case = Case::new();
    let (mirrors, upstream) = (case.mirrors(HOUR), case.upstream());
    let old = look(&mirrors, &upstream, NEW).unwrap().commit();
    let new = case.repo.commit(&[("a", "2\n")], "two");
    let pushed = Instant::now();
    for age in [Duration::ZERO, Duration::from_millis(1), HOUR] {
        let found = look(&mirrors, &upstream, Freshness::MaxAge(age)).unwrap();
        assert_eq!(found.commit(), old);
    }
    assert_eq!(case.server.looks(), 1);
    // All who know of the same push share a look, whenever they come.
    for _ in 0..5 {
        let found = look(&mirrors, &upstream, Freshness::Since(pushed)).unwrap();
        assert_eq!(found.commit().to_string(), new);
    }
    assert_eq!(case.server.looks(), 2);
    assert_eq!(look(&mirrors, &upstream, NEW).unwrap().commit().to_string(), new);
    look(&mirrors, &upstream, Freshness::Now).unwrap();
    assert_eq!(case.server.looks(), 3);
    // Another login makes another upstream, even for callers without news.
    let login = with_secret(&case.server.url("repo"), &[("username", "a"), ("password", "b")]);
    look(&mirrors, &login, NEW).unwrap();
    assert_eq!(case.server.looks(), 4);
}

#[test]
fn an_upstream_that_fails_is_left_in_peace_too() {
    let case = Case::new();
    let (mirrors, upstream) = (case.mirrors(HOUR), case.upstream());
    case.server.fail(Fault::Status(503));
    let first = look(&mirrors, &upstream, NEW).unwrap_err();
    let pushed = Instant::now();
    for _ in 0..5 {
        assert_eq!(look(&mirrors, &upstream, NEW).unwrap_err(), first);
    }
    assert_eq!(mirrors.stats().looks, 1);
    for _ in 0..5 {
        look(&mirrors, &upstream, Freshness::Since(pushed)).unwrap_err();
    }
    assert_eq!(mirrors.stats().looks, 2);
    case.server.fail(Fault::None);
    look(&mirrors, &upstream, Freshness::Now).unwrap();
    look(&mirrors, &upstream, NEW).unwrap();
    assert_eq!(mirrors.stats().looks, 3);
    // What is known stays valid when a later look fails.
    case.server.fail(Fault::Status(503));
    look(&mirrors, &upstream, Freshness::Now).unwrap_err();
    look(&mirrors, &upstream, NEW).unwrap();
}

#[test]
fn a_look_serves_the_next_process_for_its_age_and_not_those_who_know_of_news() {
    let case = Case::new();
    let upstream = case.upstream();
    let first = case.mirrors(Duration::ZERO);
    let old = look(&first, &upstream, NEW).unwrap();
    // Files beside a mirror count with it: without a mirror, none are kept.
    assert!(files(case.cache.path(), "look").is_empty());
    first.snapshot(&upstream, &old, soon()).unwrap();
    let new = case.repo.commit(&[("a", "2\n")], "two");
    let again = case.mirrors(Duration::ZERO);
    let found = look(&again, &upstream, Freshness::MaxAge(HOUR)).unwrap();
    assert_eq!((found.revision(), case.server.looks()), (old.revision(), 1));
    // A commit that is not held is fetched, as after any look.
    let snapshot = again.snapshot(&upstream, &found, soon()).unwrap();
    assert_eq!(snapshot.commit(), old.commit());
    let with_login = with_secret(&case.server.url("repo"), &[("username", "a"), ("password", "b")]);
    look(&again, &with_login, Freshness::MaxAge(HOUR)).unwrap();
    assert_eq!(case.server.looks(), 2);

    let pushed = Instant::now();
    let third = case.mirrors(HOUR);
    assert_eq!(look(&third, &upstream, NEW).unwrap().commit(), old.commit());
    assert_eq!(case.server.looks(), 2);
    let found = look(&third, &upstream, Freshness::Since(pushed)).unwrap();
    assert_eq!(found.commit().to_string(), new);
    let fourth = case.mirrors(Duration::ZERO);
    std::thread::sleep(Duration::from_millis(20));
    look(&fourth, &upstream, Freshness::MaxAge(Duration::from_millis(10))).unwrap();
    assert_eq!(case.server.looks(), 4);
}

#[test]
fn a_kept_look_that_is_damaged_or_of_another_upstream_is_not_believed() {
    let case = Case::new();
    let upstream = case.upstream();
    let first = case.mirrors(HOUR);
    let found = look(&first, &upstream, NEW).unwrap();
    first.snapshot(&upstream, &found, soon()).unwrap();
    let [kept] = &files(case.cache.path(), "look")[..] else {
        panic!("a look is kept");
    };
    let whole = std::fs::read(kept).unwrap();
    for damaged in [&whole[..whole.len() - 1], &[whole.as_slice(), b"x"].concat(), b""] {
        std::fs::write(kept, damaged).unwrap();
        let before = case.server.looks();
        look(&case.mirrors(HOUR), &upstream, NEW).unwrap();
        assert_eq!(case.server.looks(), before + 1);
    }
}
