//! What is remembered of a server is not trusted by callers that reach it another way.

use std::time::Duration;

use git_mirrors::{FileLimits, Freshness, Mirrors, RefSpec, Upstream};

use super::{MARKER, mirrors, secret, soon, url};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;
use crate::support::proxy::Proxy;
use crate::support::tls::Authority;

/// Reads a file at a branch, with a look that may be a few minutes old.
fn read(mirrors: &Mirrors, upstream: &Upstream) -> Vec<u8> {
    let want = RefSpec::Branch("main".to_owned());
    let shared = Freshness::MaxAge(Duration::from_secs(600));
    let resolved = mirrors.resolve(upstream, &want, shared, soon()).unwrap();
    let snapshot = mirrors.snapshot(upstream, &resolved, soon()).unwrap();
    snapshot.read_file("a", &FileLimits::default()).unwrap()
}

#[test]
fn another_proxy_with_another_authority_is_another_server() {
    let (honest_root, hostile_root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    GitRepo::create(honest_root.path(), "repo").commit(&[("a", "honest\n")], "one");
    GitRepo::create(hostile_root.path(), "repo").commit(&[("a", "hostile\n")], "one");
    let (honest_authority, hostile_authority) = (Authority::new(), Authority::new());
    let honest = GitServer::http(honest_root.path())
        .tls(honest_authority.server(None))
        .start();
    let hostile = GitServer::http(hostile_root.path())
        .tls(hostile_authority.server(None))
        .start();
    let proxy = Proxy::start_to("user", MARKER, &hostile.host());
    let proxy = secret(&[
        ("address", &proxy.url()),
        ("username", "user"),
        ("password", MARKER),
    ]);
    let upstream = |authority: &Authority, proxy| {
        let data = secret(&[("ca.crt", &authority.pem())]);
        Upstream::new(url(&honest.url("repo")), Some(&data), proxy).unwrap()
    };
    let hostile_way = upstream(&hostile_authority, Some(&proxy));
    let honest_way = upstream(&honest_authority, None);
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    for _ in 0..2 {
        assert_eq!(read(&mirrors, &hostile_way), b"hostile\n");
        assert_eq!(read(&mirrors, &honest_way), b"honest\n");
    }
    assert_eq!((honest.packs(), hostile.packs()), (1, 1));
}
