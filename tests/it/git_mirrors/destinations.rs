//! Which addresses may be connected to, and where a server may lead.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;

use git_mirrors::{Error, Freshness, RefSpec, Upstream};

use super::{anonymous, mirrors, secret, soon, url, with_secret};
use crate::controller::{BASE, GOOD};
use crate::support::git_repo::GitRepo;
use crate::support::git_server::GitServer;
use crate::support::ssh_server::{GitProtocol, SshServer};
use crate::support::tls::Authority;

#[test]
fn link_local_addresses_are_refused_however_they_are_named() {
    let root = tempfile::tempdir().unwrap();
    GitRepo::create(root.path(), "repo").commit(&[("a", "1\n")], "one");
    let leading = |to: &str| GitServer::http(root.path()).redirect(to).start();
    let servers = [
        leading("https://169.254.169.254"),
        leading("http://169.254.169.254"),
        leading("https://[fe80::1]"),
    ];
    let ssh = SshServer::start(GitProtocol::Accepted);
    let key = ssh.user_key("ed25519", "");
    let known = format!("* {}\n", ssh.host_key("ed25519"));
    let login = [("identity", key.as_str()), ("known_hosts", known.as_str())];
    let proxy = secret(&[("address", "http://169.254.169.254:3128")]);
    let mut upstreams = vec![
        anonymous("https://169.254.169.254/x.git"),
        anonymous("http://2852039166/x.git"),
        anonymous("http://[::ffff:169.254.169.254]/x.git"),
        anonymous("git://169.254.169.254/x.git"),
        // Under these two schemes they are names, which the system resolves.
        anonymous("git://0xa9fea9fe/x.git"),
        with_secret("ssh://git@2852039166/x.git", &login),
        with_secret("ssh://git@169.254.169.254/x.git", &login),
        Upstream::new(url("https://example.org/x.git"), None, Some(&proxy)).unwrap(),
    ];
    upstreams.extend(servers.iter().map(|server| anonymous(&server.url("repo"))));
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    for upstream in upstreams {
        let error = mirrors
            .resolve(&upstream, &RefSpec::Default, Freshness::Now, soon())
            .unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{upstream:?}: {error:?}");
        assert!(error.to_string().contains("link-local"), "{error}");
    }
}

#[test]
fn of_where_a_server_leads_nothing_is_told() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(count @ 1..) => request.extend_from_slice(&piece[..count]),
                    _ => break,
                }
            }
            let line = |text: &str| format!("{:04x}{text}", text.len() + 4);
            let service = line("# service=git-upload-pack\n");
            let body = format!("{service}0000{}", line("ERR the inner words\n"));
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    let root = tempfile::tempdir().unwrap();
    let leading = GitServer::http(root.path())
        .redirect(&format!("http://localhost:{port}"))
        .start();
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let said = |address: &str| {
        let upstream = anonymous(address);
        let looked = mirrors.resolve(&upstream, &RefSpec::Default, Freshness::Now, soon());
        looked.unwrap_err().to_string()
    };
    let told = said(&format!("http://localhost:{port}/x.git"));
    assert!(told.contains("the inner words"), "{told}");
    let told = said(&leading.url("x"));
    assert!(told.contains("redirects to") && !told.contains("inner"), "{told}");
}

/// A folder for `patchset check`, with a patch for the component `demo` at its tag `1.0.0`.
pub fn layout(root: &Path) {
    for (path, text) in [
        ("patches/demo/2025.2/0001-five.patch", GOOD),
        ("releases/2025.2/source-refs.yaml", "demo: \"1.0.0\"\n"),
    ] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// In a separate network, where this machine has an address that counts as public.
#[test]
fn a_public_server_leads_to_no_loopback() {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let may = is_root
        && Command::new("unshare")
            .args(["--net", "true"])
            .status()
            .unwrap()
            .success();
    if !may {
        eprintln!("skipped: only root makes a network");
        return;
    }
    let done = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "git_mirrors::destinations::be_led",
            "--ignored",
            "--nocapture",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success() && said.contains("1 passed"),
        "{said}{errors}"
    );
}

#[test]
#[ignore = "the half of a_public_server_leads_to_no_loopback that is in the network"]
fn be_led() {
    // An address of AS112 (RFC 7535), which counts as public.
    const PUBLIC: Ipv4Addr = Ipv4Addr::new(192, 175, 48, 1);
    for arguments in [
        ["link", "set", "lo", "up"].as_slice(),
        &["addr", "add", "192.175.48.1/32", "dev", "lo"],
    ] {
        assert!(Command::new("ip").args(arguments).status().unwrap().success());
    }
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "demo");
    repo.commit(&[("file.txt", BASE)], "one");
    repo.git(&["tag", "1.0.0"]);
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let certificates = folder.path().join("ca.pem");
    std::fs::write(&certificates, authority.pem()).unwrap();
    layout(folder.path());
    let public = || {
        GitServer::http(root.path())
            .tls(authority.server_at("192.175.48.1"))
            .at(PUBLIC)
    };
    let inside = GitServer::http(root.path()).tls(authority.server(None)).start();
    let port = inside.host().rsplit_once(':').unwrap().1.to_owned();
    let check = |server: &GitServer| {
        let cache = tempfile::tempdir().unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_patchset"))
            .arg("check")
            .arg(folder.path())
            .args(["--upstream", &format!("https://{}", server.host()), "--cache-dir"])
            .arg(cache.path())
            .env("SSL_CERT_FILE", &certificates)
            .env("SSL_CERT_DIR", "/nonexistent")
            .output()
            .unwrap();
        (
            done.status.code(),
            String::from_utf8_lossy(&done.stdout).into_owned(),
        )
    };
    // It may lead to another public server.
    let other = public().start();
    let (code, said) = check(&public().redirect(&format!("https://{}", other.host())).start());
    assert_eq!(code, Some(0), "{said}");
    assert!(other.packs() > 0);
    for to in [inside.host(), format!("127.0.0.1:{port}")] {
        let (code, said) = check(&public().redirect(&format!("https://{to}")).start());
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("loopback"), "{said}");
    }
    assert_eq!(inside.counts().requests.load(Ordering::SeqCst), 0);
}

/// A request to a Git server is written in pieces, which must not wait for each other.
#[test]
fn small_pieces_leave_at_once() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let connected = runtime.block_on(guarded_egress::connect("127.0.0.1", port));
    assert!(connected.unwrap().nodelay().unwrap());
}
