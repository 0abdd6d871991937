//! Private keys with chosen parameters.

use std::process::Command;

use base64::Engine;

/// Bytes as a PEM document.
pub fn armored(label: &str, bytes: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// An SSH key of the curve P-256 with a chosen number, as OpenSSH writes it; returns both halves. A
/// cipher is one of `ssh -Q cipher`; without a passphrase none is used.
pub fn p256(number: &[u8; 32], passphrase: &str, cipher: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    // An ECPrivateKey of RFC 5915 with the curve's name. The point follows from the number.
    let curve = [0xa0, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let key = [&[0x30, 49, 2, 1, 1, 4, 32][..], number, &curve].concat();
    std::fs::write(&path, armored("EC PRIVATE KEY", &key)).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let keygen = |arguments: &[&str]| {
        let done = Command::new("ssh-keygen")
            .args(arguments)
            .arg("-f")
            .arg(&path)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let public = keygen(&["-y"]);
    keygen(&["-p", "-P", "", "-N", passphrase, "-a", "1", "-Z", cipher]);
    (std::fs::read_to_string(path).unwrap(), public)
}

/// An SSH key that declares this many rounds of bcrypt for its passphrase.
pub fn bcrypt(rounds: u32) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let made = Command::new("ssh-keygen")
        .args([
            "-q",
            "-t",
            "ed25519",
            "-a",
            "1",
            "-N",
            "passphrase",
            "-C",
            "test",
            "-f",
        ])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let text = std::fs::read_to_string(path).unwrap();
    let inner: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let mut bytes = base64::engine::general_purpose::STANDARD.decode(inner).unwrap();
    // The options of bcrypt are a salt of 16 bytes and the rounds (OpenSSH's PROTOCOL.key).
    let name = bytes.windows(6).position(|window| window == b"bcrypt").unwrap();
    let at = name + 6 + 4 + 4 + 16;
    bytes[at..at + 4].copy_from_slice(&rounds.to_be_bytes());
    armored("OPENSSH PRIVATE KEY", &bytes)
}

/// An OpenPGP key (RFC 9580) whose passphrase goes through Argon2 with 2^`memory` KiB.
pub fn openpgp_with_argon2(memory: u8) -> String {
    // A secret key: version, time, Ed25519, its public half, AES-256 with OCB, Argon2 with its
    // salt, passes and lanes.
    let mut body = vec![4, 0x65, 0, 0, 0, 27];
    body.extend([3; 32]);
    body.extend([253, 9, 2, 4]);
    body.extend([5; 16]);
    body.extend([1, 1, memory]);
    body.extend([6; 15]);
    body.extend([9; 48]);
    let packet = |tag: u8, body: &[u8]| [&[0xc0 | tag, u8::try_from(body.len()).unwrap()], body].concat();
    let bytes = [packet(5, &body), packet(13, b"Tester <tester@example.org>")].concat();
    let text = armored("PGP PRIVATE KEY BLOCK", &bytes);
    text.replacen("BLOCK-----\n", "BLOCK-----\n\n", 1)
}
