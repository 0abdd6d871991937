//! Over a real `sshd`.

use git_mirrors::{Class, Error, FileLimits, Freshness, RefSpec, Signer, Snapshot, Upstream};

use super::{MARKER, mirrors, secret, soon, with_secret};
use crate::support::git_repo::GitRepo;
use crate::support::keys::p256;
use crate::support::ssh_server::{GitProtocol, SshServer};

fn fetch(upstream: &Upstream) -> Result<Snapshot, Error> {
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let want = RefSpec::Branch("main".to_owned());
    let resolved = mirrors.resolve(upstream, &want, Freshness::Now, soon())?;
    let snapshot = mirrors.snapshot(upstream, &resolved, soon())?;
    assert_eq!(snapshot.read_file("a", &FileLimits::default())?, b"1\n");
    Ok(snapshot)
}

#[rstest::rstest]
#[case::version_2(GitProtocol::Accepted, "ed25519", "")]
#[case::version_0(GitProtocol::Ignored, "ed25519", "")]
#[case::rsa(GitProtocol::Accepted, "rsa", "")]
#[case::ecdsa(GitProtocol::Accepted, "ecdsa", "")]
#[case::passphrase(GitProtocol::Accepted, "ed25519", MARKER)]
fn keys_of_each_kind_fetch(#[case] protocol: GitProtocol, #[case] kind: &str, #[case] passphrase: &str) {
    let root = tempfile::tempdir().unwrap();
    // A name that a shell would trip over.
    let repo = GitRepo::create(root.path(), "it's a $repo");
    let tip = repo.commit(&[("a", "1\n")], "one");
    let server = SshServer::start(protocol);
    let key = server.user_key(kind, passphrase);
    let known = server.known_hosts("ed25519");
    let mut data = vec![("identity", key.as_str()), ("known_hosts", known.as_str())];
    if !passphrase.is_empty() {
        data.push(("password", passphrase));
    }
    let address = server.url(&repo.dir).replace(' ', "%20");
    let snapshot = fetch(&with_secret(&address, &data)).unwrap();
    assert_eq!(snapshot.commit().to_string(), tip);
}

/// OpenSSH omits leading zeros of a key's number, and one in 512 keys of the curve P-256 has any.
#[rstest::rstest]
#[case::plain("", "aes256-ctr")]
#[case::encrypted(MARKER, "aes256-ctr")]
#[case::authenticated(MARKER, "aes256-gcm@openssh.com")]
#[case::chacha(MARKER, "chacha20-poly1305@openssh.com")]
fn keys_with_a_short_number_fetch_and_sign(#[case] passphrase: &str, #[case] cipher: &str) {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "repo");
    repo.commit(&[("a", "1\n")], "one");
    let server = SshServer::start(GitProtocol::Accepted);
    let known = server.known_hosts("ed25519");
    // The number of leading zeros, and the first byte after them. With a zero before it, 0x80 fills
    // 32 bytes.
    for (zeros, first) in [(0, 0x7f), (0, 0x80), (1, 0x80), (1, 0x7f), (2, 0x01), (9, 0xff)] {
        let mut number = [0x5a; 32];
        number[..zeros].fill(0);
        number[zeros] = first;
        let (key, public) = p256(&number, passphrase, cipher);
        server.let_in(&public);
        let mut data = vec![("identity", key.as_str()), ("known_hosts", known.as_str())];
        if !passphrase.is_empty() {
            data.push(("password", passphrase));
        }
        let fetched = fetch(&with_secret(&server.url(&repo.dir), &data));
        assert!(fetched.is_ok(), "{zeros} {first:#x}: {fetched:?}");
        let signer = Signer::from_secret(&secret(&data));
        assert!(signer.is_ok(), "{zeros} {first:#x}: {signer:?}");
        if passphrase.is_empty() {
            continue;
        }
        data.retain(|(name, _)| *name != "password");
        let locked = Signer::from_secret(&secret(&data)).unwrap_err().to_string();
        assert!(locked.contains("needs a passphrase"), "{locked}");
        data.push(("password", "another"));
        let wrong = Signer::from_secret(&secret(&data)).unwrap_err().to_string();
        assert!(wrong.contains("is not the passphrase"), "{wrong}");
    }
}

#[test]
fn a_moved_branch_is_fetched_over_version_0() {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "repo");
    repo.commit(&[("a", "1\n"), ("b", "1\n")], "one");
    repo.git(&["tag", "--annotate", "--message=x", "1.0.0"]);
    let server = SshServer::start(GitProtocol::Ignored);
    let upstream = with_secret(
        &server.url(&repo.dir),
        &[
            ("identity", &server.user_key("ed25519", "")),
            ("known_hosts", &server.known_hosts("ed25519")),
        ],
    );
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let tag = RefSpec::Tag("1.0.0".to_owned());
    let resolved = mirrors.resolve(&upstream, &tag, Freshness::Now, soon()).unwrap();
    mirrors.snapshot(&upstream, &resolved, soon()).unwrap();
    let middle = repo.commit(&[("b", "x\n")], "between");
    let tip = repo.commit(&[("b", "2\n")], "two");
    let branch = RefSpec::Branch("main".to_owned());
    let resolved = mirrors
        .resolve(&upstream, &branch, Freshness::Now, soon())
        .unwrap();
    let snapshot = mirrors.snapshot(&upstream, &resolved, soon()).unwrap();
    assert_eq!(snapshot.commit().to_string(), tip);
    assert_eq!(snapshot.read_file("b", &FileLimits::default()).unwrap(), b"2\n");
    // Version 0 serves only the tips of refs.
    let resolved = mirrors
        .resolve(&upstream, &RefSpec::Commit(middle), Freshness::Now, soon())
        .unwrap();
    let error = mirrors.snapshot(&upstream, &resolved, soon()).unwrap_err();
    assert!(matches!(error, Error::RefNotFound { .. }), "{error}");
}

#[test]
fn known_hosts_are_strict() {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "repo");
    repo.commit(&[("a", "1\n")], "one");
    let server = SshServer::start(GitProtocol::Accepted);
    let key = server.user_key("ed25519", "");
    let address = server.url(&repo.dir);
    let port = server.port();
    let (ed25519, rsa) = (server.host_key("ed25519"), server.host_key("rsa"));
    let (_, stranger) = server.stranger_key("ed25519", "");
    let with = |known: &str| {
        fetch(&with_secret(
            &address,
            &[("identity", &key), ("known_hosts", known)],
        ))
    };

    let good = [
        server.hashed_known_hosts("ed25519"),
        // Only the RSA key is known: the server must be asked for that one.
        server.known_hosts("rsa"),
        format!("# a comment\n\n[127.0.0.?]:{port} {ed25519}\n"),
        format!("other.example,[127.*]:{port} {ed25519} comment\n"),
        format!("[127.0.0.1]:{port} {stranger}[127.0.0.1]:{port} {ed25519}\n"),
    ];
    for known in good {
        with(&known).unwrap_or_else(|error| panic!("{known}: {error}"));
    }
    let bad = [
        (String::from("\n"), "no line for this host"),
        (format!("127.0.0.1 {ed25519}\n"), "no line for this host"),
        (
            format!("[127.0.0.1]:{} {ed25519}\n", port - 1),
            "no line for this host",
        ),
        (format!("[127.0.0.1]:{port} {stranger}"), "is not in known_hosts"),
        (
            format!("![127.0.0.1]:{port},[127.*]:{port} {ed25519}\n"),
            "no line for this host",
        ),
        (
            format!("@revoked [127.*]:{port} {ed25519}\n[127.0.0.1]:{port} {ed25519}\n"),
            "is not in known_hosts",
        ),
        (
            format!("@cert-authority [127.*]:{port} {rsa}\n"),
            "@cert-authority",
        ),
    ];
    for (known, reason) in bad {
        let error = with(&known).unwrap_err();
        assert_eq!(error.class(), Class::Authentication, "{known}: {error}");
        assert!(error.to_string().contains(reason), "{known}: {error}");
    }
}

#[test]
fn what_the_server_refuses_is_said() {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "repo");
    repo.commit(&[("a", "1\n")], "one");
    let server = SshServer::start(GitProtocol::Accepted);
    let key = server.user_key("ed25519", "");
    let (stranger, _) = server.stranger_key("ed25519", "");
    let known = server.known_hosts("ed25519");
    let data = |key| [("identity", key), ("known_hosts", known.as_str())];

    let error = fetch(&with_secret(&server.url(&repo.dir), &data(&stranger))).unwrap_err();
    assert_eq!(error.class(), Class::Authentication, "{error}");
    assert!(error.to_string().contains("does not accept the key"), "{error}");

    let missing = server.url(&root.path().join("none.git"));
    let error = fetch(&with_secret(&missing, &data(&key))).unwrap_err();
    assert_eq!(error.class(), Class::NotFound, "{error}");
    assert!(
        error
            .to_string()
            .contains("does not appear to be a git repository"),
        "{error}"
    );

    let encrypted = server.user_key("ed25519", MARKER);
    let error = fetch(&with_secret(&server.url(&repo.dir), &data(&encrypted))).unwrap_err();
    assert_eq!(error.class(), Class::Invalid, "{error}");
    assert!(error.to_string().contains("passphrase"), "{error}");
}

/// As git does: with the slash, the server looks for a folder named `~user` below its root.
#[test]
fn a_repository_in_a_home_folder_is_asked_for_as_git_does() {
    let root = tempfile::tempdir().unwrap();
    let asked = root.path().join("asked");
    let script = format!("echo \"$SSH_ORIGINAL_COMMAND\" >{}", asked.display());
    let server = SshServer::with_script(GitProtocol::Accepted, &script);
    let key = server.user_key("ed25519", "");
    let known = server.known_hosts("ed25519");
    let login = [("identity", key.as_str()), ("known_hosts", known.as_str())];
    let identity = root.path().join("identity");
    std::fs::write(&identity, &key).unwrap();
    std::fs::set_permissions(&identity, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let ssh = format!(
        "ssh -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
        identity.display()
    );
    let home = server.url(std::path::Path::new("/~/patchset-none.git"));
    for (address, path) in [
        (home.clone(), "~/patchset-none.git"),
        (home.replace("/~/", "/~root/"), "~root/patchset-none.git"),
        (home.replace("/~/", "/%7Eroot/"), "~root/patchset-none.git"),
        (home.replace("/~/", "/a~/"), "/a~/patchset-none.git"),
        (home.replace("/~/", "/a/~/"), "/a/~/patchset-none.git"),
    ] {
        let expected = format!("git-upload-pack '{path}'\n");
        let done = std::process::Command::new("git")
            .args(["ls-remote", &address])
            .env("GIT_SSH_COMMAND", &ssh)
            .output()
            .unwrap();
        assert!(!done.status.success(), "{address}");
        assert_eq!(
            std::fs::read_to_string(&asked).unwrap(),
            expected,
            "git: {address}"
        );
        std::fs::remove_file(&asked).unwrap();
        let error = fetch(&with_secret(&address, &login)).unwrap_err();
        assert!(matches!(error, Error::Declined { .. }), "{error:?}");
        assert_eq!(std::fs::read_to_string(&asked).unwrap(), expected, "{address}");
        std::fs::remove_file(&asked).unwrap();
    }
}

/// A server that offers only unsupported algorithms is reported by what is missing.
#[rstest::rstest]
#[case::key_exchange("KexAlgorithms diffie-hellman-group14-sha1,diffie-hellman-group1-sha1", &["key exchange", "diffie-hellman-group14-sha1", "Azure DevOps Server", "https"])]
#[case::newer_key_exchange("KexAlgorithms ecdh-sha2-nistp521", &["key exchange", "ecdh-sha2-nistp521", "update"])]
#[case::host_key_of_sha1("HostKeyAlgorithms ssh-rsa", &["kind of host key", "ssh-rsa", "SHA-1", "https"])]
#[case::host_key("HostKeyAlgorithms ssh-ed25519", &["kind of host key", "ssh-ed25519", "known_hosts"])]
#[case::cipher("Ciphers aes128-cbc,3des-cbc", &["cipher", "aes128-cbc, 3des-cbc", "update"])]
#[case::mac("Ciphers aes128-ctr\nMACs hmac-sha1", &["MAC", "hmac-sha1", "SHA-1"])]
fn what_a_server_and_this_side_do_not_share_is_named(#[case] settings: &str, #[case] parts: &[&str]) {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "repo");
    repo.commit(&[("a", "1\n")], "one");
    let server = SshServer::with(GitProtocol::Accepted, settings);
    let key = server.user_key("ed25519", "");
    let known = server.known_hosts(if settings.starts_with("HostKey") {
        "rsa"
    } else {
        "ed25519"
    });
    let login = [("identity", key.as_str()), ("known_hosts", known.as_str())];
    let error = fetch(&with_secret(&server.url(&repo.dir), &login)).unwrap_err();
    assert_eq!(error.class(), Class::Authentication, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}
