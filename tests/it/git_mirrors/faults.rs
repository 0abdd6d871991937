//! Servers that misbehave, and what may be said about it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use git_mirrors::{
    Class, Error, FileLimits, Freshness, MirrorConfig, Mirrors, Proxy, RefSpec, RepoUrl, Scheme, Snapshot,
    Timeouts, Transports, Upstream,
};

use super::{MARKER, anonymous, config, mirrors, secret, soon, url, with_secret};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::{Fault, GitServer, free_port};
use crate::support::ssh_server::{GitProtocol, SshServer};

fn fetch_until(mirrors: &Mirrors, upstream: &Upstream, deadline: Instant) -> Result<Snapshot, Error> {
    let want = RefSpec::Branch("main".to_owned());
    let resolved = mirrors.resolve(upstream, &want, Freshness::Now, deadline)?;
    mirrors.snapshot(upstream, &resolved, deadline)
}

/// A server that accepts, waits for the first bytes, sends this greeting, and then stays silent.
fn mute(greeting: &'static [u8]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(greeting);
                // Until the client disconnects.
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            });
        }
    });
    port
}

fn with_timeouts(root: &std::path::Path, step: Duration) -> Mirrors {
    let timeouts = Timeouts {
        connect: step,
        idle: step,
        talk: step.max(Timeouts::default().talk),
        ..Timeouts::default()
    };
    Mirrors::open(MirrorConfig {
        timeouts,
        ..config(root)
    })
    .unwrap()
}

#[test]
fn silence_ends_in_time() {
    let caches = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let short = Duration::from_millis(400);
    // One of the two timeouts ends it: the other is longer than any test takes.
    let long = Duration::from_secs(3600);
    let impatient = with_timeouts(caches.0.path(), short);
    let patient = with_timeouts(caches.1.path(), long);
    let ssh = SshServer::start(GitProtocol::Accepted);
    let key = ssh.user_key("ed25519", "");
    let silent = mute(b"");
    let known = format!("[127.0.0.1]:{silent} {}\n", ssh.host_key("ed25519"));
    let login = [("identity", key.as_str()), ("known_hosts", known.as_str())];
    let upstreams = [
        anonymous(&format!("http://127.0.0.1:{silent}/repo.git")),
        anonymous(&format!("https://127.0.0.1:{silent}/repo.git")),
        anonymous(&format!("git://127.0.0.1:{silent}/repo.git")),
        with_secret(&format!("ssh://git@127.0.0.1:{silent}/repo.git"), &login),
        anonymous(&format!("http://127.0.0.1:{}/repo.git", mute(b"HTTP/1.1 200 OK\r\n"))),
        anonymous(&format!(
            "http://127.0.0.1:{}/repo.git",
            mute(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nContent-Length: 99\r\n\r\n001e#")
        )),
        anonymous(&format!("git://127.0.0.1:{}/repo.git", mute(b"00"))),
        with_secret(
            &format!("ssh://git@127.0.0.1:{}/repo.git", mute(b"SSH-2.0-mute\r\n")),
            &[("identity", &key), ("known_hosts", &format!("* {0}\n[127.0.0.1]:* {0}\n", ssh.host_key("ed25519")))],
        ),
    ];
    for upstream in &upstreams {
        for (mirrors, wait) in [(&impatient, long), (&patient, short)] {
            let error = fetch_until(mirrors, upstream, Instant::now() + wait).unwrap_err();
            assert_eq!(error.class(), Class::Transient, "{error}");
            assert!(matches!(error, Error::Timeout { .. }), "{error}");
        }
    }
}

#[test]
fn packs_that_stall_end_or_change_leave_a_usable_mirror() {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "repo");
    repo.commit(&[("a", "1\n"), ("b", &super::noise(7, 50_000))], "one");
    let server = GitServer::http(root.path()).start();
    let cache = tempfile::tempdir().unwrap();
    // Both look at one folder, one after the other.
    let (impatient, mirrors) = (
        with_timeouts(cache.path(), Duration::from_secs(1)),
        mirrors(cache.path()),
    );
    let upstream = anonymous(&server.url("repo"));
    for stall in [0, 500] {
        server.fail(Fault::StallPack(stall));
        // On a slow machine, a step before the pack may be the one that takes too long.
        let packs = server.packs();
        let error = (0..60)
            .map(|_| fetch_until(&impatient, &upstream, soon()).unwrap_err())
            .find(|_| server.packs() > packs)
            .expect("a look within a second");
        assert!(matches!(error, Error::Timeout { .. }), "{stall}: {error:?}");
    }
    for (fault, class) in [
        (Fault::CutPack(0), Class::Transient),
        (Fault::CutPack(500), Class::Transient),
        (Fault::FlipPack(20_000), Class::Corrupt),
        (Fault::Status(500), Class::Transient),
        (Fault::Status(429), Class::Transient),
        (Fault::Status(404), Class::NotFound),
        (Fault::Status(403), Class::Authentication),
    ] {
        server.fail(fault);
        let error = fetch_until(&mirrors, &upstream, soon()).unwrap_err();
        assert_eq!(error.class(), class, "{fault:?}: {error}");
    }
    server.fail(Fault::None);
    let snapshot = fetch_until(&mirrors, &upstream, soon()).unwrap();
    assert_eq!(snapshot.read_file("a", &FileLimits::default()).unwrap(), b"1\n");
}

/// JGit reports it in an `ERR` line, with status 200, 400 or 500; its older versions on the
/// sideband for errors.
#[rstest::rstest]
#[case::jgit(200, "ERR want OID not valid")]
#[case::jgit_6_1(400, "ERR want OID not valid\n")]
#[case::jgit_500(500, "ERR want OID not valid")]
#[case::sideband(200, "\u{3}error: want OID not valid")]
#[case::git(200, "ERR upload-pack: not our ref OID")]
#[case::azure(200, "ERR TF401035: The object 'OID' does not exist.")]
fn a_branch_that_moved_since_the_look_is_looked_at_anew(
    #[case] status: u16,
    #[case] words: &'static str,
    #[values(false, true)] is_version_0: bool,
) {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "repo");
    let tip = repo.commit(&[("a", "1\n")], "one");
    let server = GitServer::http(root.path());
    let server = if is_version_0 { server.version_0() } else { server }.start();
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let upstream = anonymous(&server.url("repo"));
    let branch = RefSpec::Branch("main".to_owned());
    let decline = |times| {
        server.fail(Fault::Decline { times, status, words });
    };
    // Declined forever: the error names the ref, rather than a missing repository.
    decline(usize::MAX);
    let error = mirrors
        .fetch(&upstream, &branch, Freshness::Now, soon())
        .unwrap_err();
    assert!(
        matches!(&error, Error::Moved { name, commit, .. } if name == "main" && *commit == tip),
        "{error:?}"
    );
    // With version 0, each connection lists the refs.
    let connections = usize::from(is_version_0);
    assert_eq!(server.looks(), 2 + 2 * connections);
    // A commit that was named directly cannot move.
    let commit = RefSpec::Commit(tip.clone());
    let error = mirrors
        .fetch(&upstream, &commit, Freshness::Now, soon())
        .unwrap_err();
    assert!(matches!(error, Error::RefNotFound { .. }), "{error:?}");
    // Declined once: the earlier listing is out of date, although it is young.
    mirrors
        .resolve(&upstream, &branch, Freshness::Now, soon())
        .unwrap();
    decline(1);
    let hour = Freshness::MaxAge(Duration::from_secs(3600));
    let looks = server.looks();
    let snapshot = mirrors.fetch(&upstream, &branch, hour, soon()).unwrap();
    assert_eq!(snapshot.commit().to_string(), tip);
    assert_eq!(server.looks(), looks + 1 + 2 * connections);
}

#[test]
fn a_pack_that_is_not_what_it_says_is_the_servers_fault() {
    let repository = crate::hostile::upstreams::false_count(58_842).repository;
    let server = crate::hostile::git::serve([("repo".to_owned(), repository)].into());
    let cache = tempfile::tempdir().unwrap();
    let upstream = anonymous(&format!("http://{}/repo.git", server.host()));
    let error = fetch_until(&mirrors(cache.path()), &upstream, soon()).unwrap_err();
    let Error::BadPack { url, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(url.contains(&server.host()), "{error}");
    assert_eq!(error.class(), Class::Corrupt);
}

#[test]
fn what_is_no_git_server_is_said() {
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let page = mute(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello");
    let error = fetch_until(
        &mirrors,
        &anonymous(&format!("http://127.0.0.1:{page}/x.git")),
        soon(),
    )
    .unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    let error = fetch_until(
        &mirrors,
        &anonymous(&format!("http://127.0.0.1:{}/x.git", free_port())),
        soon(),
    );
    assert!(matches!(error, Err(Error::Unreachable { .. })), "{error:?}");
    let error = fetch_until(&mirrors, &anonymous("http://no-such-host.invalid/x.git"), soon());
    assert!(matches!(error, Err(Error::Unreachable { .. })), "{error:?}");
}

#[test]
fn endless_refs_are_cut_off() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let _ = stream.read(&mut [0; 1000]);
        let line = format!("{} refs/heads/{}", "1".repeat(40), "x".repeat(150));
        let first = format!(
            "{} HEAD\0multi_ack_detailed side-band-64k shallow",
            "1".repeat(40)
        );
        let _ = write!(stream, "{:04x}{first}", first.len() + 4);
        let line = format!("{:04x}{line}", line.len() + 4);
        while stream.write_all(line.as_bytes()).is_ok() {}
    });
    let cache = tempfile::tempdir().unwrap();
    let mirrors = Mirrors::open(MirrorConfig {
        max_refs: 1 << 20,
        ..config(cache.path())
    })
    .unwrap();
    let error = fetch_until(&mirrors, &anonymous(&format!("git://127.0.0.1:{port}/x")), soon()).unwrap_err();
    assert_eq!(error.class(), Class::TooLarge, "{error}");
}

#[test]
fn schemes_are_off_unless_allowed() {
    let cache = tempfile::tempdir().unwrap();
    let secure = Mirrors::open(MirrorConfig::new(cache.path())).unwrap();
    for address in ["http://127.0.0.1:1/x.git", "git://127.0.0.1:1/x.git"] {
        let error = fetch_until(&secure, &anonymous(address), soon()).unwrap_err();
        assert_eq!(error.class(), Class::Invalid, "{error}");
        assert!(error.to_string().contains("--allow-"), "{error}");
    }
    assert!(!Transports::SECURE.and(Scheme::Git).allow(Scheme::Http));
}

#[rstest::rstest]
#[case("https://example.org/a/b.git", "https://example.org/a/b.git")]
#[case("HTTPS://Example.ORG:443/a", "https://example.org/a")]
#[case("https://example.org:8443/a%20b/", "https://example.org:8443/a%20b/")]
#[case("https://[::1]:8443/a", "https://[::1]:8443/a")]
#[case("ssh://deploy@example.org:2222/srv/a.git", "ssh://example.org:2222/srv/a.git")]
#[case("git@github.com:openstack/nova.git", "github.com:openstack/nova.git")]
#[case("example.org:a.git", "example.org:a.git")]
#[case("git://example.org/a", "git://example.org/a")]
#[case("ssh://git@example.org:2222/~ann/a.git", "ssh://example.org:2222/~ann/a.git")]
#[case("example.org:~ann/a.git", "example.org:~ann/a.git")]
fn addresses_are_shown_without_users(#[case] text: &str, #[case] shown: &str) {
    let url: RepoUrl = text.parse().unwrap();
    assert_eq!(url.to_string(), shown);
    assert_eq!(format!("{url:?}"), format!("RepoUrl({shown})"));
}

#[rstest::rstest]
#[case("https://user:marker-pa55word@example.org/a")]
#[case("https://marker-pa55word@example.org/a")]
#[case("ssh://git:marker-pa55word@example.org/a")]
#[case("git:marker-pa55word@example.org:a")]
#[case("https://example.org/a?token=marker-pa55word")]
#[case("https://example.org/a#marker-pa55word")]
#[case("file:///etc/passwd")]
#[case("ext::sh -c true")]
#[case("ftp://example.org/a")]
#[case("/srv/git/a.git")]
#[case("../a.git")]
#[case("C:\\a")]
#[case("https://")]
#[case("https:///a")]
#[case("https://example.org")]
#[case("ssh://example.org")]
#[case("ssh://-oProxyCommand=x/a")]
#[case("-oProxyCommand=x:a")]
#[case("ssh://example.org/a\nb")]
#[case("ssh://example.org/%0a")]
#[case("https://exa mple.org/a")]
#[case("")]
fn other_addresses_are_refused(#[case] text: &str) {
    let error = text.parse::<RepoUrl>().unwrap_err();
    assert_eq!(error.class(), Class::Invalid);
    for said in [error.to_string(), format!("{error:?}")] {
        assert!(!said.contains(MARKER), "{said}");
    }
}

#[rstest::rstest]
#[case(&[("username", "u")], "password")]
#[case(&[("password", MARKER)], "username")]
#[case(&[("bearerToken", MARKER), ("username", "u"), ("password", MARKER)], "bearerToken")]
#[case(&[("identity", MARKER)], "known_hosts")]
#[case(&[("githubAppID", "1"), ("githubAppPrivateKey", MARKER)], "GitHub App")]
#[case(&[("ca.crt", MARKER)], "ca.crt")]
#[case(&[("tls.crt", MARKER)], "tls.key")]
#[case(&[("tls.crt", MARKER), ("tls.key", MARKER)], "tls.crt")]
#[case(&[("bearerToken", "a\nb")], "bearerToken")]
#[case(&[("identity", MARKER), ("known_hosts", "x")], "ssh")]
fn secrets_that_cannot_work_are_explained(#[case] data: &[(&str, &str)], #[case] word: &str) {
    let error = Upstream::new(url("https://example.org/a"), Some(&secret(data)), None).unwrap_err();
    assert!(matches!(error, Error::Secret(_)), "{error:?}");
    assert!(error.to_string().contains(word), "{error}");
    assert!(!format!("{error} {error:?}").contains(MARKER), "{error}");
}

#[test]
fn proxies_that_cannot_work_are_explained() {
    for data in [
        vec![],
        vec![("address", "marker-pa55word")],
        vec![("address", "http://u:marker-pa55word@proxy:1")],
        vec![("address", "ftp://proxy")],
        vec![("address", "http://proxy"), ("password", MARKER)],
    ] {
        let error = Proxy::from_secret(&secret(&data)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(MARKER), "{error}");
    }
    let proxy = secret(&[("address", "http://proxy:3128")]);
    let error = Upstream::new(url("git://example.org/a"), None, Some(&proxy)).unwrap_err();
    assert!(error.to_string().contains("proxySecretRef"), "{error}");
}

/// Collects log output.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server that echoes the login in an `ERR` line, as careless ones do.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap_or(0);
            let line = format!(
                "ERR you sent {} {MARKER}",
                String::from_utf8_lossy(&request[..count]).len()
            );
            let body = format!("{:04x}{line}", line.len() + 4);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    port
}

/// In a separate process, because logging is global to a process.
#[test]
fn no_credential_is_ever_said() {
    let done = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "git_mirrors::faults::log_everything", "--ignored"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "the half of no_credential_is_ever_said that talks"]
fn log_everything() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    let root = tempfile::tempdir().unwrap();
    GitRepo::create(root.path(), "repo").commit(&[("a", "1\n")], "one");
    let wanting = GitServer::http(root.path()).basic("user", "other").start();
    let content = GitServer::http(root.path()).basic("user", MARKER).start();
    let token = GitServer::http(root.path()).bearer(MARKER).start();
    let broken = GitServer::http(root.path()).start();
    broken.fail(Fault::Status(500));
    let redirecting = GitServer::http(root.path())
        .redirect(&format!("http://u:{MARKER}@{}", broken.host()))
        .start();
    let login = [("username", "user"), ("password", MARKER)];
    let proxy = secret(&[
        ("address", "http://127.0.0.1:1"),
        ("username", "user"),
        ("password", MARKER),
    ]);
    let bearer = [("bearerToken", MARKER)];
    let upstreams = [
        with_secret(&wanting.url("repo"), &login),
        with_secret(&wanting.url("repo"), &bearer),
        with_secret(&content.url("repo"), &login),
        with_secret(&token.url("repo"), &bearer),
        with_secret(&broken.url("repo"), &login),
        with_secret(&redirecting.url("repo"), &login),
        with_secret(&format!("http://127.0.0.1:{}/x.git", echo()), &login),
        with_secret(&format!("http://127.0.0.1:{}/x.git", free_port()), &bearer),
        with_secret(&format!("https://127.0.0.1:{}/x.git", mute(b"nonsense")), &bearer),
        Upstream::new(url(&content.url("repo")), Some(&secret(&login)), Some(&proxy)).unwrap(),
    ];
    let cache = tempfile::tempdir().unwrap();
    let mut failed = 0;
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let mirrors = mirrors(cache.path());
    for upstream in &upstreams {
        assert!(!format!("{upstream:?}").contains(MARKER));
        tracing::info!(?upstream, url = %upstream.url(), "fetching");
        if let Err(error) = fetch_until(&mirrors, upstream, soon()) {
            failed += 1;
            tracing::warn!(%error, debug = ?error, "failed");
            assert!(!format!("{error} {error:?}").contains(MARKER), "{error}");
        }
    }
    assert_eq!(failed, upstreams.len() - 2);
    let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("fetching") && said.contains("failed") && said.contains("fetched"));
    assert!(!said.contains(MARKER), "{said}");
    // Nor in the encoding of basic authentication.
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("user:{MARKER}"));
    assert!(!said.contains(&encoded), "{said}");
    // Nor is it on disk.
    let found = std::process::Command::new("grep")
        .args(["-rlF", MARKER])
        .arg(cache.path())
        .output()
        .unwrap();
    assert!(
        found.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&found.stdout)
    );
}
