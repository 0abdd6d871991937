//! Over HTTPS: authorities, client certificates, proxies, redirects.

use std::sync::atomic::Ordering;

use git_mirrors::{Class, Error, Freshness, RefSpec, Upstream};

use super::{MARKER, mirrors, secret, soon, url, with_secret};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;
use crate::support::proxy::Proxy;
use crate::support::tls::Authority;

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    GitRepo::create(root.path(), "repo").commit(&[("a", "1\n")], "one");
    root
}

fn fetch(upstream: &Upstream) -> Result<(), Error> {
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let want = RefSpec::Branch("main".to_owned());
    let resolved = mirrors.resolve(upstream, &want, Freshness::Now, soon())?;
    mirrors.snapshot(upstream, &resolved, soon()).map(drop)
}

#[test]
fn the_authority_comes_from_the_secret() {
    let (root, ours, other) = (root(), Authority::new(), Authority::new());
    let server = GitServer::http(root.path()).tls(ours.server(None)).start();
    let address = server.url("repo");
    fetch(&with_secret(&address, &[("ca.crt", &ours.pem())])).unwrap();
    fetch(&with_secret(
        &address,
        &[("ca.crt", &format!("{}{}", other.pem(), ours.pem()))],
    ))
    .unwrap();
    for data in [vec![("ca.crt", other.pem())], vec![]] {
        let data: Vec<_> = data.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let error = fetch(&with_secret(&address, &data)).unwrap_err();
        assert_eq!(error.class(), Class::Authentication, "{error}");
        assert!(error.to_string().contains("ca.crt"), "{error}");
    }
}

#[test]
fn a_client_certificate_is_shown() {
    let (root, ours, clients) = (root(), Authority::new(), Authority::new());
    let server = GitServer::http(root.path())
        .tls(ours.server(Some(&clients)))
        .start();
    let address = server.url("repo");
    let ca = ours.pem();
    let (certificate, key) = clients.client();
    let pair = [
        ("ca.crt", ca.as_str()),
        ("tls.crt", &certificate),
        ("tls.key", &key),
    ];
    fetch(&with_secret(&address, &pair)).unwrap();
    let (certificate, key) = ours.client();
    let strange = [
        ("ca.crt", ca.as_str()),
        ("tls.crt", &certificate),
        ("tls.key", &key),
    ];
    for data in [&strange[..], &strange[..1]] {
        let error = fetch(&with_secret(&address, data)).unwrap_err();
        assert_eq!(error.class(), Class::Authentication, "{error}");
        assert!(error.to_string().contains("tls.crt"), "{error}");
    }
}

#[test]
fn a_proxy_with_a_login_is_used() {
    let (root, ours) = (root(), Authority::new());
    let proxy = Proxy::start("user", MARKER);
    let address = proxy.url();
    let good = secret(&[("address", &address), ("username", "user"), ("password", MARKER)]);
    let wrong = secret(&[("address", &address), ("username", "user"), ("password", "no")]);
    let none = secret(&[("address", &address)]);
    let data = secret(&[("ca.crt", &ours.pem())]);
    let plain = GitServer::http(root.path()).start();
    let encrypted = GitServer::http(root.path()).tls(ours.server(None)).start();
    for server in [&plain, &encrypted] {
        let with = |proxy| fetch(&Upstream::new(url(&server.url("repo")), Some(&data), Some(proxy)).unwrap());
        let before = proxy.passed_on();
        with(&good).unwrap();
        assert!(proxy.passed_on() > before);
        let (served, asked) = (proxy.passed_on(), server.counts().requests.load(Ordering::SeqCst));
        for refused in [&wrong, &none] {
            let error = with(refused).unwrap_err();
            assert_eq!(error.class(), Class::Authentication, "{error}");
            assert!(error.to_string().contains("proxySecretRef"), "{error}");
        }
        assert_eq!(proxy.passed_on(), served);
        assert_eq!(server.counts().requests.load(Ordering::SeqCst), asked);
    }
}

#[test]
fn redirects_lose_the_login_and_never_the_encryption() {
    let (root, ours) = (root(), Authority::new());
    let ca = ours.pem();
    let login = [
        ("ca.crt", ca.as_str()),
        ("username", "user"),
        ("password", MARKER),
    ];

    let target = GitServer::http(root.path()).tls(ours.server(None)).start();
    let start = GitServer::http(root.path())
        .tls(ours.server(None))
        .redirect(&format!("https://{}", target.host()))
        .start();
    fetch(&with_secret(&start.url("repo"), &login)).unwrap();
    assert!(start.counts().with_login.load(Ordering::SeqCst) > 0);
    assert_eq!(target.counts().with_login.load(Ordering::SeqCst), 0);
    assert_eq!(target.packs(), 1);

    let plain = GitServer::http(root.path()).start();
    let down = GitServer::http(root.path())
        .tls(ours.server(None))
        .redirect(&format!("http://{}", plain.host()))
        .start();
    let error = fetch(&with_secret(&down.url("repo"), &login)).unwrap_err();
    assert_eq!(error.class(), Class::Invalid, "{error}");
    assert!(error.to_string().contains("not encrypted"), "{error}");
    assert_eq!(plain.counts().requests.load(Ordering::SeqCst), 0);
}

#[test]
fn endless_redirects_end() {
    let root = root();
    let first = GitServer::http(root.path()).start();
    let looping = GitServer::http(root.path())
        .redirect(&format!("http://{}/again", first.host()))
        .start();
    // The path changes, but the tail stays, so only the count of hops can end it.
    let error = fetch(&with_secret(&looping.url("repo"), &[])).unwrap_err();
    assert_eq!(error.class(), Class::NotFound, "{error}");
    let ring = GitServer::http(root.path()).redirect("").start();
    let error = fetch(&with_secret(&ring.url("repo"), &[])).unwrap_err();
    assert!(error.to_string().contains("more than 5 redirects"), "{error}");
    assert_eq!(ring.counts().requests.load(Ordering::SeqCst), 6);
}

/// In a separate process, because its environment determines the system's authorities.
#[test]
fn a_system_without_authorities_is_no_hindrance() {
    for test in ["the_authority_comes_from_the_secret", "endless_redirects_end"] {
        let done = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("git_mirrors::tls::{test}")])
            .env("SSL_CERT_FILE", "/nonexistent")
            .env("SSL_CERT_DIR", "/nonexistent")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
    }
}
