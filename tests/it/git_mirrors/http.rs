//! Over `git http-backend`: refs, fetches, logins.

use git_mirrors::{Class, Error, FileLimits, Freshness, RefSpec, Snapshot, Upstream};

use super::{MARKER, anonymous, mirrors, soon, with_secret};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;

fn branch(name: &str) -> RefSpec {
    RefSpec::Branch(name.to_owned())
}

fn fetch(mirrors: &git_mirrors::Mirrors, upstream: &Upstream, want: &RefSpec) -> Result<Snapshot, Error> {
    let resolved = mirrors.resolve(upstream, want, Freshness::Now, soon())?;
    mirrors.snapshot(upstream, &resolved, soon())
}

#[test]
fn a_branch_is_fetched_and_read() {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "glance");
    repo.commit(&[("README", "old\n")], "first");
    let tip = repo.commit(&[("README", "hello\n"), ("a/b/c.txt", "deep\n")], "second");
    let server = GitServer::http(root.path()).start();
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let upstream = anonymous(&server.url("glance"));
    let snapshot = fetch(&mirrors, &upstream, &branch("main")).unwrap();
    assert_eq!(snapshot.revision().to_string(), format!("main@sha1:{tip}"));
    let limits = FileLimits::default();
    assert_eq!(snapshot.read_file("README", &limits).unwrap(), b"hello\n");
    assert_eq!(snapshot.read_file("a/b/c.txt", &limits).unwrap(), b"deep\n");
    assert_eq!(
        snapshot.tree_id().to_string(),
        repo.git(&["rev-parse", "HEAD^{tree}"])
    );
    assert_eq!((server.looks(), server.packs()), (1, 1));
}

#[test]
fn logins_are_sent_and_checked() {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "private");
    repo.commit(&[("a", "1\n")], "one");
    let server = GitServer::http(root.path()).basic("reader", MARKER).start();
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let url = server.url("private");
    let good = with_secret(&url, &[("username", "reader"), ("password", MARKER)]);
    fetch(&mirrors, &good, &branch("main")).unwrap();
    let wrong = with_secret(&url, &[("username", "reader"), ("password", "other")]);
    for upstream in [wrong, anonymous(&url)] {
        let error = fetch(&mirrors, &upstream, &branch("main")).unwrap_err();
        assert_eq!(error.class(), Class::Authentication, "{error}");
    }
}
