//! Private keys with parameters of one's choice.

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

/// An SSH key that says that its passphrase goes through so many rounds of bcrypt.
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
    // A secret key: version, time, Ed25519, its public half, AES-256 with OCB, Argon2 with its salt, passes and lanes.
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
