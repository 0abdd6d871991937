//! Private keys whose passphrase would take much time or memory to process.

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use git_mirrors::{Error, Freshness, RefSpec, Signer};

use super::{mirrors, secret, soon, with_secret};
use crate::support::keys::{armored, bcrypt, openpgp_with_argon2};

/// A PKCS#8 key, encrypted by OpenSSL.
fn pkcs8(options: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    let run = |arguments: &[&str]| {
        let done = Command::new("openssl").args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    run(&[
        "genpkey",
        "-algorithm",
        "ed25519",
        "-out",
        plain.to_str().unwrap(),
    ]);
    let mut arguments = vec![
        "pkcs8",
        "-topk8",
        "-in",
        plain.to_str().unwrap(),
        "-passout",
        "pass:passphrase",
    ];
    arguments.extend(options);
    run(&arguments)
}

/// A PKCS#8 key that claims to derive from its passphrase by scrypt with 128 MiB.
fn scrypt() -> String {
    let text = pkcs8(&[
        "-scrypt",
        "-scrypt_N",
        "16384",
        "-scrypt_r",
        "8",
        "-scrypt_p",
        "1",
    ]);
    let inner: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let mut bytes = base64::engine::general_purpose::STANDARD.decode(inner).unwrap();
    // N and r, in DER; OpenSSL makes no larger ones.
    let parameters = [2, 2, 0x40, 0, 2, 1, 8];
    let at = bytes.windows(7).position(|window| window == parameters).unwrap();
    bytes[at + 6] = 64;
    armored("ENCRYPTED PRIVATE KEY", &bytes)
}

/// A `PuTTY` key, up to its passphrase.
fn putty(memory: u64) -> String {
    format!(
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: aes256-cbc\nComment: x\nPublic-Lines: 1\nAAAA\n\
         Key-Derivation: Argon2id\nArgon2-Memory: {memory}\nArgon2-Passes: 13\nArgon2-Parallelism: 1\n\
         Argon2-Salt: 00112233445566778899aabbccddeeff\nPrivate-Lines: 1\nAAAA\nPrivate-MAC: 00\n"
    )
}

#[test]
fn a_login_is_refused_before_its_passphrase_takes_long() {
    let cache = tempfile::tempdir().unwrap();
    let mirrors = mirrors(cache.path());
    let known =
        "[127.0.0.1]:9 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n";
    let begun = Instant::now();
    for (key, part) in [
        (bcrypt(u32::MAX), "rounds of bcrypt"),
        (pkcs8(&["-iter", "10000001"]), "iterations of PBKDF2"),
        (scrypt(), "bytes of scrypt"),
        (putty(u64::MAX), "KiB of memory of Argon2"),
        (putty(8192), "passes of Argon2"),
        (armored("OPENSSH PRIVATE KEY", &vec![1; 100_000]), "larger than"),
    ] {
        let data = [
            ("identity", key.as_str()),
            ("password", "passphrase"),
            ("known_hosts", known),
        ];
        let upstream = with_secret("ssh://git@127.0.0.1:9/x.git", &data);
        let error = mirrors
            .resolve(&upstream, &RefSpec::Default, Freshness::Now, soon())
            .unwrap_err();
        assert!(matches!(error, Error::Secret(_)), "{error:?}");
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    // No key was derived; OpenSSL's own part takes some seconds.
    assert!(begun.elapsed() < Duration::from_secs(120));
    // A key within bounds is read, and nothing listens at the address.
    for key in [bcrypt(1), pkcs8(&["-iter", "2048"])] {
        let data = [
            ("identity", key.as_str()),
            ("password", "passphrase"),
            ("known_hosts", known),
        ];
        let upstream = with_secret("ssh://git@127.0.0.1:9/x.git", &data);
        let error = mirrors
            .resolve(&upstream, &RefSpec::Default, Freshness::Now, soon())
            .unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    }
}

#[test]
fn a_signing_key_is_refused_before_its_passphrase_takes_long() {
    for (data, part) in [
        (
            vec![
                ("identity", bcrypt(u32::MAX)),
                ("password", "passphrase".to_owned()),
            ],
            "rounds of bcrypt",
        ),
        (
            vec![
                ("git.asc", openpgp_with_argon2(21)),
                ("passphrase", "passphrase".to_owned()),
            ],
            "KiB of memory of Argon2",
        ),
    ] {
        let data: Vec<_> = data.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let error = Signer::from_secret(&secret(&data)).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}
